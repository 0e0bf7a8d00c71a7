//! The demo's mailbox and directories: what a person would do by hand, done.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use flow_daemon::Directories;
use flow_testkit::imap::Server;
use flow_testkit::samples::{self, Sample};
use tempfile::TempDir;

use crate::catalogue::{self, Example};
use crate::files::{self, Existing};

/// Stands for whoever goes on with the files; its queue keeps the messages about them.
pub(super) const NEXT: &str = "flow/next";

const USER: &str = "demo";
const PASSWORD: &str = "only-on-loopback";

/// Everything the demo needs; gone when dropped.
pub(super) struct Setup {
    /// The mail server, with the samples in its INBOX.
    pub server: Server,
    /// What is in the mailbox, oldest first.
    pub samples: Vec<Sample>,
    directory: TempDir,
}

impl Setup {
    /// Starts the server and writes the flows.
    ///
    /// # Errors
    /// No port, or no place for temporary files.
    pub(super) async fn make() -> anyhow::Result<Self> {
        let server = Server::start(USER, PASSWORD)
            .await
            .context("can't start a server on 127.0.0.1")?;
        let samples = samples::all();
        for sample in &samples {
            server.deliver("INBOX", sample.raw.clone());
        }
        let directory = tempfile::Builder::new().prefix("flow-demo-").tempdir();
        let setup = Self {
            server,
            samples,
            directory: directory.context("no place for temporary files")?,
        };
        setup
            .write_flows()
            .context("can't write the flows of the demo")?;
        Ok(setup)
    }

    /// The two shipped examples with the lines edited, and the password.
    fn write_flows(&self) -> anyhow::Result<()> {
        let address = self.server.address();
        for name in ["poll/mail", "subscribe/mail"] {
            let example =
                catalogue::example(name).with_context(|| format!("{name} is not shipped"))?;
            let path = self.path("config").join(example.file);
            files::write(
                &path,
                edited(example, &address.to_string()),
                0o644,
                Existing::Keep,
            )?;
        }
        let next = self.path("config").join(format!("{NEXT}.yaml"));
        files::write(&next, "exchange: xs_files\n", 0o644, Existing::Keep)?;
        let credentials = format!("imap://{USER}:{PASSWORD}@{address}\n");
        files::write(
            &self.path("config").join("credentials.conf"),
            &credentials,
            0o600,
            Existing::Keep,
        )?;
        fs::create_dir_all(self.home())?;
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where the engine finds and keeps things.
    pub(super) fn directories(&self) -> Directories {
        Directories {
            config: self.path("config"),
            state: self.path("state"),
            cache: self.path("cache"),
        }
    }

    /// `${HOME}` of the flows: below it the files arrive.
    pub(super) fn home(&self) -> String {
        self.path("home").to_string_lossy().into_owned()
    }

    /// Every file below home, with its content, sorted.
    ///
    /// # Errors
    /// One can't be read.
    pub(super) fn files(&self) -> anyhow::Result<Vec<(PathBuf, Vec<u8>)>> {
        let home = self.path("home");
        let mut found = Vec::new();
        collect(&home, &home, &mut found).context("can't read the files that arrived")?;
        found.sort();
        Ok(found)
    }

    /// Leaves everything where it is.
    pub(super) fn keep(self) -> PathBuf {
        self.directory.keep()
    }
}

/// The example with its marked line written for the server of the demo.
fn edited(example: Example, address: &str) -> String {
    let edit = |line: &str| {
        if !line.contains("# EDIT:") {
            return line.to_owned();
        }
        let (indent, key) = line.split_at(line.len() - line.trim_start().len());
        match key.split(':').next() {
            Some("pollUrl") => format!("{indent}pollUrl: imap://{USER}@{address}/INBOX"),
            Some("allow") => format!("{indent}allow: {{connect: ['{address}']}}"),
            _ => line.to_owned(),
        }
    };
    example.text.lines().map(|line| edit(line) + "\n").collect()
}

fn collect(
    directory: &Path,
    home: &Path,
    found: &mut Vec<(PathBuf, Vec<u8>)>,
) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, home, found)?;
        } else {
            let below = path.strip_prefix(home).unwrap_or(&path).to_owned();
            found.push((below, fs::read(&path)?));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marked_lines_are_the_only_ones_edited() {
        for (name, line) in [
            ("poll/mail", "pollUrl: imap://demo@127.0.0.1:1143/INBOX"),
            ("subscribe/mail", "allow: {connect: ['127.0.0.1:1143']}"),
        ] {
            let example = catalogue::example(name).expect("it is shipped");
            let text = edited(example, "127.0.0.1:1143");
            let changed: Vec<&str> = text
                .lines()
                .zip(example.text.lines())
                .filter(|(a, b)| a != b)
                .map(|(a, _)| a)
                .collect();
            assert_eq!(changed, [line]);
        }
    }
}
