//! A mailbox on a real server, and a flow over it.

use std::fmt::Write as _;

use flow_testkit::generate::Generated;
use flow_testkit::{Dovecot, Finished, Flow, StoredMail};

use crate::{queue, tree};

/// A way to reach the mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// IMAP without TLS.
    Imap,
    /// IMAP that turns to TLS by STARTTLS.
    ImapStartTls,
    /// IMAP over TLS.
    Imaps,
    /// POP3 without TLS.
    Pop,
    /// POP3 that turns to TLS by STLS.
    PopStls,
    /// POP3 over TLS.
    Pops,
}

impl Access {
    /// The URL's scheme.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Imap | Self::ImapStartTls => "imap",
            Self::Imaps => "imaps",
            Self::Pop | Self::PopStls => "pop",
            Self::Pops => "pops",
        }
    }

    /// What the plugin's `starttls` has to be.
    fn starttls(self) -> &'static str {
        match self {
            Self::Imap | Self::Pop => "off",
            Self::ImapStartTls | Self::PopStls => "required",
            Self::Imaps | Self::Pops => "auto",
        }
    }
}

/// The text of a flow that does it all: poll, download, decode, post to `xs_files`.
///
/// Mails are stored in `${HOME}/mail`, what was in them in `${HOME}/parts`.
#[derive(Debug, Clone)]
pub struct MailFlow {
    access: Access,
    flow_options: Vec<String>,
    mail_options: Vec<String>,
    rules: String,
    trusted: bool,
}

impl MailFlow {
    /// A flow that keeps the generated attachments, flat, and nothing else.
    pub fn new(access: Access) -> Self {
        let rules =
            "      - accept: '.*\\.bin$'\n        directory: ${HOME}/parts\n      - reject: '.*'\n";
        Self {
            access,
            flow_options: Vec::new(),
            mail_options: Vec::new(),
            rules: rules.into(),
            trusted: true,
        }
    }

    /// Keeps everything found in a mail, in a directory per mail.
    #[must_use]
    pub fn everything(mut self) -> Self {
        self.rules = "      - accept: '.*'\n        directory: ${HOME}/parts\n        mirror: on\n"
            .to_owned();
        self
    }

    /// Adds a line to the flow's options.
    #[must_use]
    pub fn option(mut self, line: &str) -> Self {
        self.flow_options.push(line.to_owned());
        self
    }

    /// Adds a line to the options of plugin `mail`.
    #[must_use]
    pub fn mail_option(mut self, line: &str) -> Self {
        self.mail_options.push(line.to_owned());
        self
    }

    /// Leaves the server's certificate authority out.
    #[must_use]
    pub fn untrusted(mut self) -> Self {
        self.trusted = false;
        self
    }

    /// The YAML.
    pub fn text(&self, scene: &Scene) -> String {
        let mut text = format!("pollUrl: {}\nsleep: 60s\n", scene.url(self.access));
        if self.trusted {
            // Writing to a String can't fail, here and below.
            let _ = writeln!(text, "caFile: {}", scene.server.ca_file().display());
        }
        for line in &self.flow_options {
            let _ = writeln!(text, "{line}");
        }
        text.push_str("directory: ${HOME}/mail\ncallbacks:\n  - plugin: mail\n");
        let _ = writeln!(text, "    starttls: {}", self.access.starttls());
        for line in &self.mail_options {
            let _ = writeln!(text, "    {line}");
        }
        let _ = write!(
            text,
            "  - plugin: mail-decode\n    filters:\n{}post_exchange: xs_files\n",
            self.rules
        );
        text
    }
}

/// A running server with a mailbox, and a `flow` installation with its password.
#[derive(Debug)]
pub struct Scene {
    /// The server.
    pub server: Dovecot,
    /// The installation.
    pub flow: Flow,
}

impl Scene {
    /// The flow's name.
    pub const FLOW: &'static str = "flow/mail";

    /// An empty mailbox, the credentials for it, and a queue that keeps what goes to `xs_files`.
    ///
    /// # Panics
    /// When the server or the binary is missing.
    #[track_caller]
    pub fn new() -> Self {
        let scene = Self::without_queue();
        queue::declare(&scene.flow, "xs_files");
        scene
    }

    /// As [`new`](Self::new), before anything was posted or declared.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    #[track_caller]
    pub fn without_queue() -> Self {
        let scene = Self {
            server: Dovecot::start(),
            flow: Flow::new(),
        };
        let mut credentials = String::new();
        for scheme in ["imap", "imaps", "pop", "pops"] {
            let (user, port) = (Self::user_in_url(), scene.server.port(scheme));
            let _ = writeln!(
                credentials,
                "{scheme}://{user}:{}@127.0.0.1:{port}",
                Dovecot::PASSWORD
            );
        }
        scene.flow.credentials(&credentials);
        scene
    }

    /// The user, as URLs write it.
    pub fn user_in_url() -> String {
        Dovecot::USER.replace('@', "%40")
    }

    /// The mailbox's URL, without a password.
    pub fn url(&self, access: Access) -> String {
        let folder = if access.scheme().starts_with("imap") {
            "INBOX"
        } else {
            ""
        };
        let scheme = access.scheme();
        format!(
            "{scheme}://{}@127.0.0.1:{}/{folder}",
            Self::user_in_url(),
            self.server.port(scheme)
        )
    }

    /// Writes the flow.
    pub fn set(&self, flow: &MailFlow) {
        self.flow.add_flow(Self::FLOW, &flow.text(self));
    }

    /// Puts mails into the INBOX.
    pub fn deliver<'a>(&self, mails: impl IntoIterator<Item = &'a Generated>) {
        for mail in mails {
            self.server.add_mail(Dovecot::USER, "INBOX", &mail.raw);
        }
    }

    /// What is in a folder.
    pub fn mailbox(&self, folder: &str) -> Vec<StoredMail> {
        self.server.mails(Dovecot::USER, folder)
    }

    /// Runs the flow until there is nothing more to do, and expects that to work.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn once(&self) -> Finished {
        self.flow
            .run(&["foreground", Self::FLOW, "--once"])
            .expect(0)
    }

    /// Expects no unfinished file where the flow stores things.
    ///
    /// # Panics
    /// When there is one.
    #[track_caller]
    pub fn expect_nothing_unfinished(&self) {
        let unfinished: Vec<_> = ["mail", "parts"]
            .iter()
            .flat_map(|one| tree::unfinished(&self.flow.path(one)))
            .collect();
        assert!(unfinished.is_empty(), "left unfinished: {unfinished:?}");
    }

    /// Expects every part of `mails`, and nothing else, on disk with the right bytes and posted
    /// exactly once.
    ///
    /// # Panics
    /// When it is not so.
    #[track_caller]
    pub fn expect_parts(&self, mails: &[Generated]) {
        let expected = tree::expected(mails);
        let parts = self.flow.path("parts");
        self.expect_nothing_unfinished();
        let found = tree::digests(&parts);
        let missing: Vec<_> = expected
            .keys()
            .filter(|name| !found.contains_key(*name))
            .collect();
        let invented: Vec<_> = found
            .keys()
            .filter(|name| !expected.contains_key(*name))
            .collect();
        assert!(
            missing.is_empty() && invented.is_empty(),
            "{} of {} parts are missing ({missing:?}), {} are not of these mails ({invented:?})",
            missing.len(),
            expected.len(),
            invented.len()
        );
        for (name, digest) in &expected {
            assert_eq!(
                &found[name], digest,
                "{name} has other bytes than were sent"
            );
        }
        let wanted: Vec<String> = expected.into_keys().collect();
        assert_eq!(
            queue::names(&self.flow, "xs_files"),
            wanted,
            "each part is posted exactly once"
        );
        let sizes: std::collections::BTreeMap<_, _> = mails
            .iter()
            .flat_map(|mail| &mail.parts)
            .map(|part| (part.name.as_str(), part.size))
            .collect();
        for message in queue::queued(&self.flow, "xs_files") {
            assert_eq!(
                message.size,
                sizes.get(message.file_name()).copied(),
                "{}",
                message.rel_path
            );
        }
    }
}

impl Default for Scene {
    fn default() -> Self {
        Self::new()
    }
}
