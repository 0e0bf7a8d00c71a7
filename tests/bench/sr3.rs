//! Sarracenia as a peer: a configuration of its own, and its programs.
//!
//! `FLOW_SR3` is the `bin` of a virtual environment that has it; else it is that of the search path.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::broker::Broker;
use crate::{find, place};

/// An installation of sr3 with a home of its own.
pub(crate) struct Sr3 {
    program: PathBuf,
    home: tempfile::TempDir,
}

impl Sr3 {
    /// None where it is not installed.
    pub(crate) fn installed(broker: &Broker) -> Result<Option<Self>> {
        let Some(program) = std::env::var_os("FLOW_SR3")
            .map(|bin| PathBuf::from(bin).join("sr3"))
            .or_else(|| find("sr3"))
        else {
            return Ok(None);
        };
        let home = tempfile::tempdir_in(place())?;
        let config = home.path().join(".config/sr3");
        fs::create_dir_all(&config)?;
        // It looks a URL up as it is written, and configurations say `/` for the first vhost.
        let urls = [broker.secret_url(), broker.plain_url()].map(|url| url.replace("/%2F", "/"));
        fs::write(config.join("credentials.conf"), urls.join("\n") + "\n")?;
        Ok(Some(Self { program, home }))
    }

    /// Writes the configuration `name`, as in `shovel/x`.
    pub(crate) fn configure(&self, name: &str, text: &str) -> Result<()> {
        self.write(&format!("{name}.conf"), text)
    }

    /// Writes a file below its configuration.
    pub(crate) fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.home.path().join(".config/sr3").join(path);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        Ok(fs::write(path, text)?)
    }

    /// Forgets all it has seen, which it keeps also when it is stopped.
    pub(crate) fn forget(&self) -> Result<()> {
        match fs::remove_dir_all(self.home.path().join(".cache")) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// `sr3` with these arguments.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.program("sr3", arguments)
    }

    /// `sr3_post` with these arguments.
    pub(crate) fn post(&self, arguments: &[&str]) -> Command {
        self.program("sr3_post", arguments)
    }

    /// `sr3_cpost`, the C implementation, with the same configuration and these arguments. None where
    /// it is not installed: `FLOW_SR3_CPOST` is its path, else it is that of the search path.
    pub(crate) fn cpost(&self, arguments: &[&str]) -> Option<Command> {
        let named = std::env::var_os("FLOW_SR3_CPOST").map(PathBuf::from);
        let program = named.or_else(|| find("sr3_cpost"))?;
        Some(self.run(program, arguments))
    }

    fn program(&self, name: &str, arguments: &[&str]) -> Command {
        self.run(self.program.with_file_name(name), arguments)
    }

    fn run(&self, program: PathBuf, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("HOME", self.home.path())
            .env("USER", "bench")
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_CACHE_HOME")
            .current_dir(self.home.path());
        command
    }
}
