//! sr3, MetPX Sarracenia 3 from PyPI, run privately: own home, own configuration, own state.
//!
//! It comes from the virtual environment whose `bin` is named in `FLOW_SR3`, else from one that the
//! first test makes in the target directory and all later ones use. Versions are pinned in `sr3.txt`.
//!
//! Flows are started as `sr3 start` starts them, one instance a process, but as children of the test
//! that say their log on stderr: so one can be killed alone, and nothing else of this machine is touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use super::authority::write_private;
use super::{cache, venv};
use crate::harness::{Finished, RUN_LIMIT, Running};

const REQUIREMENTS: &str = include_str!("sr3.txt");

const MQTT_POSTS: &str = "\
import copy
import logging
import sarracenia.moth.mqtt
from sarracenia.flowcb import FlowCB

sarracenia.moth.mqtt.copy = copy


class Mqtt_posts(FlowCB):
    def __init__(self, options):
        super().__init__(options, logging.getLogger(__name__))
";

const INSTALL: &str = "name the `bin` of a virtual environment that has it in FLOW_SR3, or let \
    `tests/run` make one (it needs `apt-get install python3-venv` and a package index for pip)";

/// A private installation of sr3: configuration, state and home in a temporary directory.
#[derive(Debug)]
pub struct Sr3 {
    home: tempfile::TempDir,
    bin: PathBuf,
}

impl Default for Sr3 {
    fn default() -> Self {
        Self::new()
    }
}

impl Sr3 {
    /// A fresh installation.
    ///
    /// # Panics
    /// When sr3 is neither there nor to be had; the text says what to do.
    #[track_caller]
    pub fn new() -> Self {
        match Self::try_new() {
            Ok(sr3) => sr3,
            Err(error) => panic!("this test needs sr3: {error:#}; {INSTALL}"),
        }
    }

    fn try_new() -> Result<Self> {
        let bin = match std::env::var_os("FLOW_SR3") {
            Some(bin) => PathBuf::from(bin),
            // As `tests/run` makes it.
            None => venv::environment_in(&cache::above_test(3)?.join("sr3"), REQUIREMENTS)?,
        };
        ensure!(
            bin.join("sr3_post").is_file(),
            "there is no sr3_post in {}",
            bin.display()
        );
        let home = tempfile::Builder::new().prefix("flow-sr3-").tempdir()?;
        let sr3 = Self { home, bin };
        for directory in [sr3.config_dir(), sr3.state_dir()] {
            fs::create_dir_all(directory)?;
        }
        Ok(sr3)
    }

    /// The home directory; `~` and `${HOME}` in configurations.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// A path below the home directory.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.home.path().join(relative)
    }

    /// Where configurations and credentials are.
    pub fn config_dir(&self) -> PathBuf {
        self.path(".config/sr3")
    }

    /// Where queue names, retries and logs are.
    pub fn state_dir(&self) -> PathBuf {
        self.path(".cache/sr3")
    }

    /// Writes the configuration `component/name`.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn add_config(&self, name: &str, text: &str) {
        let path = self.config_dir().join(format!("{name}.conf"));
        let parent = path.parent().expect("below the configuration");
        // `sr3 start` makes the second; without it the name of the queue is not kept.
        for directory in [parent, &self.state_dir().join(name)] {
            fs::create_dir_all(directory).expect("the temporary directory is writable");
        }
        fs::write(&path, text).expect("the temporary directory is writable");
    }

    /// Puts settings before all others of the configuration `component/name`: some count only for what
    /// comes after them.
    ///
    /// # Panics
    /// When there is no such configuration.
    #[track_caller]
    pub fn amend(&self, name: &str, settings: &[(&str, &str)]) {
        let path = self.config_dir().join(format!("{name}.conf"));
        let mut text = String::new();
        for (option, value) in settings {
            text.push_str(&format!("{option} {value}\n"));
        }
        text.push_str(&fs::read_to_string(&path).expect("the configuration was added before"));
        fs::write(&path, text).expect("the temporary directory is writable");
    }

    /// Writes `credentials.conf`, mode 600.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn credentials(&self, text: &str) {
        write_private(&self.config_dir().join("credentials.conf"), text)
            .expect("the temporary directory is writable");
    }

    /// Has flows post over MQTT. 3.3.1 as it is published can't: its module forgets to import what it
    /// copies messages with, so that no post ever leaves. This is the missing line, as a plugin that
    /// `callback mqtt_posts` loads.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn mend_mqtt(&self) {
        let path = self.config_dir().join("plugins/mqtt_posts.py");
        let parent = path.parent().expect("below the configuration");
        fs::create_dir_all(parent).expect("the temporary directory is writable");
        fs::write(&path, MQTT_POSTS).expect("the temporary directory is writable");
    }

    /// Runs `sr3` to its end. Most of its commands end with 0 whatever happened.
    ///
    /// # Panics
    /// When it takes longer than two minutes.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Finished {
        let mut command = self.command("sr3");
        command.args(arguments);
        Running::start(command, &format!("sr3 {}", arguments.join(" "))).finish(RUN_LIMIT)
    }

    /// Runs `sr3_post` with the configuration `post/NAME`; paths are relative to the home directory.
    ///
    /// # Panics
    /// When it takes longer than two minutes.
    #[track_caller]
    pub fn post(&self, name: &str, paths: &[&str]) -> Finished {
        let mut command = self.command("sr3_post");
        command.args(["-c", name]).args(paths);
        Running::start(command, &format!("sr3_post -c {name}")).finish(RUN_LIMIT)
    }

    /// Starts instance 1 of `component/name`.
    ///
    /// # Panics
    /// When Python can't be run at all.
    #[track_caller]
    pub fn spawn(&self, name: &str) -> Running {
        let mut command = self.command("python");
        command.args(["-m", "sarracenia.instance", "--no", "1", "--logStdout"]);
        command.args(["start", name]);
        Running::start(command, &format!("sr3 start {name}"))
    }

    /// The name of the queue of `component/name` on its first broker, once it has chosen one.
    pub fn queue(&self, name: &str) -> Option<String> {
        let path = self.state_dir().join(name).join("subscriptions.json");
        let text = fs::read_to_string(path).ok()?;
        // Being written: not chosen yet.
        let subscriptions: serde_json::Value = serde_json::from_str(&text).ok()?;
        let queue = subscriptions.get(0)?.get("queue")?.get("name")?;
        queue.as_str().map(str::to_owned)
    }

    fn command(&self, program: &str) -> Command {
        // A child that outlives a killed test would go on for ever.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(self.bin.join(program))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home())
            .env("XDG_CONFIG_HOME", self.path(".config"))
            .env("XDG_CACHE_HOME", self.path(".cache"))
            .env("USER", "site")
            .env("LC_ALL", "C.UTF-8")
            .env("PYTHONUNBUFFERED", "1")
            .current_dir(self.home())
            .stdin(Stdio::null());
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 3.3.1, as it says it itself.
    const VERSION: &str = "3.03.01";

    #[test]
    fn is_the_version_that_is_written_about_and_has_a_home_of_its_own() {
        let sr3 = Sr3::new();
        let shown = sr3.run(&["--version"]).expect(0);
        assert!(
            format!("{}{}", shown.stdout, shown.stderr).contains(VERSION),
            "{shown:?}"
        );
        sr3.add_config(
            "subscribe/one",
            "broker amqp://me@127.0.0.1:1/\nexchange x\n",
        );
        let listed = sr3.run(&["list"]).expect(0);
        assert!(listed.stdout.contains("subscribe/one.conf"), "{listed:?}");
        assert_eq!(sr3.queue("subscribe/one"), None);
    }
}
