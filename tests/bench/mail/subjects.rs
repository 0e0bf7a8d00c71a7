//! The programs under comparison. Each run starts from nothing and is checked to have fetched all.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use flow_testkit::{Dovecot, Flow};
use flow_tests::tree;

use crate::find;
use crate::measure::{Measured, measure};

/// An id without rights: getmail6 refuses to deliver as root.
const NOBODY: u32 = 65_534;

/// One server with one full mailbox.
pub(crate) struct Bench<'a> {
    pub(crate) server: &'a Dovecot,
    pub(crate) place: &'a Path,
    pub(crate) mails: usize,
    pub(crate) parts: usize,
}

impl Bench<'_> {
    /// `flow`, storing mails as they are.
    pub(crate) fn flow_download(&self) -> Result<Measured> {
        let flow = self.flow("");
        let measured = self.run_flow(&flow)?;
        let found = tree::files(&flow.path("mail")).len();
        ensure!(
            found == self.mails,
            "flow stored {found} of {} mails",
            self.mails
        );
        Ok(measured)
    }

    /// `flow`, the whole way: attachments decoded, stored, and posted to the embedded broker.
    pub(crate) fn flow_pipeline(&self) -> Result<Measured> {
        let flow = self.flow(
            "  - plugin: mail-decode\n    filters:\n      - accept: '.*\\.bin$'\n        directory: ${HOME}/parts\n\
             \x20     - reject: '.*'\npost_exchange: xs_files\n",
        );
        flow_tests::queue::declare(&flow, "xs_files");
        let measured = self.run_flow(&flow)?;
        let found = tree::files(&flow.path("parts")).len();
        ensure!(
            found == self.parts,
            "flow stored {found} of {} parts",
            self.parts
        );
        let posted = flow_tests::queue::queued(&flow, "xs_files").len();
        ensure!(
            posted == self.parts,
            "flow posted {posted} of {} parts",
            self.parts
        );
        Ok(measured)
    }

    /// `mbsync` into a Maildir; none if it is not installed.
    pub(crate) fn mbsync(&self) -> Result<Option<Measured>> {
        let Some(program) = find("mbsync") else {
            return Ok(None);
        };
        let home = tempfile::tempdir_in(self.place)?;
        let directory = home.path().display();
        let config = home.path().join("mbsyncrc");
        fs::write(
            &config,
            format!(
                "IMAPAccount bench\nHost 127.0.0.1\nPort {}\nUser {}\nPass \"{}\"\nSSLType None\nAuthMechs PLAIN\n\n\
                 IMAPStore far\nAccount bench\n\n\
                 MaildirStore near\nPath {directory}/mail/\nInbox {directory}/mail/INBOX\n\n\
                 Channel bench\nFar :far:\nNear :near:\nPatterns INBOX\nCreate Near\nSync Pull\nSyncState *\n",
                self.server.imap_port(),
                Dovecot::USER,
                Dovecot::PASSWORD
            ),
        )?;
        fs::create_dir_all(home.path().join("mail"))?;
        let mut command = Command::new(program);
        command
            .arg("-c")
            .arg(&config)
            .arg("bench")
            .env("HOME", home.path());
        let measured = measure(&mut command, &home.path().join("log"))?;
        let found = tree::files(&home.path().join("mail/INBOX/new")).len()
            + tree::files(&home.path().join("mail/INBOX/cur")).len();
        ensure!(
            found == self.mails,
            "mbsync stored {found} of {} mails",
            self.mails
        );
        Ok(Some(measured))
    }

    /// `getmail6` into a Maildir, as an ordinary user; none if it is not installed.
    pub(crate) fn getmail(&self) -> Result<Option<Measured>> {
        let Some(program) = find("getmail") else {
            return Ok(None);
        };
        let home = tempfile::tempdir_in(self.place)?;
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755))?;
        let work = home.path().join("getmail");
        let maildir = work.join("mail");
        for directory in ["new", "cur", "tmp"] {
            fs::create_dir_all(maildir.join(directory))?;
        }
        let config = work.join("getmailrc");
        fs::write(
            &config,
            format!(
                "[retriever]\ntype = SimpleIMAPRetriever\nserver = 127.0.0.1\nport = {}\nusername = {}\n\
                 password = {}\nmailboxes = (\"INBOX\",)\n\n\
                 [destination]\ntype = Maildir\npath = {}/\n\n[options]\nread_all = true\ndelete = false\nverbose = 0\n",
                self.server.imap_port(),
                Dovecot::USER,
                Dovecot::PASSWORD,
                maildir.display()
            ),
        )?;
        let mut command = Command::new(program);
        command
            .arg("--getmaildir")
            .arg(&work)
            .arg("--rcfile")
            .arg(&config)
            .env("HOME", &work);
        if fs::metadata(home.path()).is_ok_and(|metadata| is_root(&metadata)) {
            for path in tree_of(&work) {
                chown(path, Some(NOBODY), Some(NOBODY))?;
            }
            command.uid(NOBODY).gid(NOBODY);
        }
        let measured = measure(&mut command, &home.path().join("log"))?;
        let found = tree::files(&maildir.join("new")).len();
        ensure!(
            found == self.mails,
            "getmail6 stored {found} of {} mails",
            self.mails
        );
        Ok(Some(measured))
    }

    /// `flow --help`.
    pub(crate) fn help(&self) -> Result<Measured> {
        let flow = super::installation(self.place);
        measure(&mut flow.command(&["--help"]), &flow.path("log"))
    }

    /// From starting the process to the first question to the origin.
    pub(crate) fn first_gather(&self) -> Result<Duration> {
        let flow = self.flow("");
        let start = Instant::now();
        let mut running = flow.spawn(&["foreground", "flow/mail", "--log-level", "debug"]);
        running.wait_for("gathering", Duration::from_secs(20));
        let time = start.elapsed();
        running.kill();
        Ok(time)
    }

    /// An installation with a flow over the mailbox; `rest` follows its first callback.
    fn flow(&self, rest: &str) -> Flow {
        let flow = super::installation(self.place);
        let user = Dovecot::USER.replace('@', "%40");
        let port = self.server.imap_port();
        flow.credentials(&format!(
            "imap://{user}:{}@127.0.0.1:{port}\n",
            Dovecot::PASSWORD
        ));
        flow.add_flow(
            "flow/mail",
            &format!(
                "pollUrl: imap://{user}@127.0.0.1:{port}/INBOX\ndirectory: ${{HOME}}/mail\n\
                 callbacks:\n  - plugin: mail\n    starttls: off\n{rest}"
            ),
        );
        flow
    }

    fn run_flow(&self, flow: &Flow) -> Result<Measured> {
        measure(
            &mut flow.command(&["foreground", "flow/mail", "--once", "--log-level", "warn"]),
            &flow.path("log"),
        )
    }
}

fn is_root(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    metadata.uid() == 0
}

/// A directory and everything below it.
fn tree_of(directory: &Path) -> Vec<PathBuf> {
    let mut paths = vec![directory.to_owned()];
    let mut at = 0;
    while at < paths.len() {
        if let Ok(entries) = fs::read_dir(&paths[at]) {
            paths.extend(entries.flatten().map(|entry| entry.path()));
        }
        at += 1;
    }
    paths
}
