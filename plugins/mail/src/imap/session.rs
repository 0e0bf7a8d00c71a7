//! One IMAP connection: from the dial to a selected folder.
//!
//! async-imap logs in and runs the short commands. What it would hold in memory as a whole (mails,
//! the answer to SEARCH) or can't interrupt (IDLE) is read from the wire here, with its tags: that
//! works because the wire gives it one line at a time, see [`crate::wire`].

use std::collections::HashSet;
use std::time::Duration;

use async_imap::Session;
use async_imap::error::Error;
use flow_plugin::{Failure, Result, block_on};

use super::answer::{End, Items, code_of, end_of, fetch_of, literal_of, refusal, untagged};
use super::opening::{Opening, after_status, log_in, words};
use crate::mutf7;
use crate::options::Settings;
use crate::sasl::{self};
use crate::server::Server;
use crate::wire::{Wire, closed, show};

/// How long a server may take to answer what costs it nothing. A process that outlived its server
/// still holds the connection and never says a word; the flow's `timeout` is for those who work.
const PROMPT: Duration = Duration::from_secs(10);

/// Literals that are not mails stay below this.
const MOST_LITERAL: u64 = 1024 * 1024;

/// A folder that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selected {
    pub(crate) folder: String,
    pub(crate) writable: bool,
    pub(crate) validity: u32,
    /// The UID the next mail gets, where the server says so.
    pub(crate) next: Option<u32>,
}

/// A connection that is logged in.
#[derive(Debug)]
pub(crate) struct Imap {
    session: Session<Wire>,
    pub(crate) server: Server,
    capabilities: HashSet<String>,
    selected: Option<Selected>,
    /// The tag of an IDLE that was ended without waiting for its answer.
    idling: Option<String>,
    /// Whether the server told of mail since the last search: it tells once, whoever listens.
    news: bool,
    line: Vec<u8>,
}

impl Imap {
    /// Dials and logs in.
    ///
    /// # Errors
    /// `auth` if the credentials are refused, `config` if TLS is not to be had, `temporary`
    /// otherwise.
    pub(crate) fn connect(server: &Server, settings: &Settings) -> Result<Self> {
        let mut server = server.clone();
        let login = sasl::login_for(&mut server, settings.auth)?;
        let mut opening = Opening::connect(&server)?;
        opening.greeting()?;
        let capabilities = opening.secure(&server, settings.starttls)?;
        let session = log_in(opening.wire, &server, &login, settings.auth, &capabilities)?;
        let mut imap = Self {
            session,
            server,
            capabilities,
            selected: None,
            idling: None,
            news: false,
            line: Vec::new(),
        };
        // Servers offer more once they know who asks.
        imap.capabilities = imap.ask_capabilities()?;
        Ok(imap)
    }

    pub(crate) fn can(&self, capability: &str) -> bool {
        self.capabilities.contains(capability)
    }

    pub(crate) fn is_dead(&mut self) -> bool {
        self.wire().is_dead()
    }

    pub(crate) fn wire(&mut self) -> &mut Wire {
        self.session.get_mut()
    }

    pub(crate) fn selected(&self) -> Option<&Selected> {
        self.selected.as_ref()
    }

    /// Opens a folder, unless it is open that way or better already.
    ///
    /// # Errors
    /// `config` if there is no such folder.
    pub(crate) fn open(&mut self, folder: &str, writable: bool) -> Result<Selected> {
        if let Some(selected) = self
            .selected
            .as_ref()
            .filter(|s| s.folder == folder && (s.writable || !writable))
        {
            return Ok(selected.clone());
        }
        self.reopen(folder, writable)
    }

    /// Opens a folder afresh.
    ///
    /// # Errors
    /// As [`Imap::open`].
    pub(crate) fn reopen(&mut self, folder: &str, writable: bool) -> Result<Selected> {
        self.settle_idle()?;
        self.selected = None;
        // How many mails there are is said on opening, and not again.
        self.news = true;
        let name = mutf7::encode(folder);
        let opened = block_on(async {
            if writable {
                self.session.select(&name).await
            } else {
                self.session.examine(&name).await
            }
        });
        let mailbox = self.checked(opened, &format!("opening folder `{folder}`"))?;
        let Some(validity) = mailbox.uid_validity else {
            return Err(Failure::config(format!(
                "folder `{folder}` has no UIDVALIDITY: its mails have no lasting names, so it can't be polled"
            )));
        };
        let selected = Selected {
            folder: folder.to_owned(),
            writable,
            validity,
            next: mailbox.uid_next,
        };
        self.selected = Some(selected.clone());
        Ok(selected)
    }

    /// The folders that match a pattern, as people see their names.
    ///
    /// # Errors
    /// `temporary`.
    pub(crate) fn list(&mut self, pattern: &str) -> Result<Vec<String>> {
        use futures_util::TryStreamExt as _;
        self.settle_idle()?;
        // async-imap quotes folders, but not patterns.
        let pattern = quote(pattern);
        let listed = block_on(async {
            let names = self.session.list(Some(""), Some(&pattern)).await?;
            names.try_collect::<Vec<_>>().await
        });
        let names = self.checked(listed, "listing folders")?;
        let selectable = names.iter().filter(|name| {
            let attributes = format!("{:?}", name.attributes()).to_ascii_lowercase();
            !attributes.contains("noselect") && !attributes.contains("nonexistent")
        });
        Ok(selectable.map(|name| mutf7::decode(name.name())).collect())
    }

    /// Runs a command whose untagged answers do not matter.
    ///
    /// # Errors
    /// `temporary` where the connection fails; a NO is a result.
    pub(crate) fn run(&mut self, command: &str) -> Result<End> {
        let tag = self.start(command)?;
        self.answers(&tag, |_| Ok(()))
    }

    /// Sends a command and returns its tag.
    ///
    /// # Errors
    /// `temporary` where the connection fails.
    pub(crate) fn start(&mut self, command: &str) -> Result<String> {
        self.settle_idle()?;
        let started = block_on(self.session.run_command(command));
        Ok(self.checked(started, "sending a command")?.0)
    }

    /// Reads on to the end of a command, showing each untagged line; literals are passed over.
    ///
    /// # Errors
    /// `temporary` where the connection fails, or what `see` says.
    pub(crate) fn answers(
        &mut self,
        tag: &str,
        mut see: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<End> {
        loop {
            self.next_line()?;
            if let Some(end) = end_of(&self.line, tag) {
                return Ok(end);
            }
            see(&self.line)?;
            self.skip_literals()?;
        }
    }

    /// Reads the next line, which the caller finds with [`Imap::line`].
    ///
    /// # Errors
    /// `temporary` where the connection fails, BYE included.
    pub(crate) fn next_line(&mut self) -> Result<()> {
        self.next_text()?;
        self.news |= tells_of_mail(&self.line);
        match untagged(&self.line, "BYE") {
            Some(text) => Err(Failure::temporary(format!(
                "the server closed the connection: {}",
                show(text)
            ))),
            None => Ok(()),
        }
    }

    /// Reads on in an answer that went through a literal: no BYE can stand there.
    ///
    /// # Errors
    /// `temporary` where the connection fails.
    pub(crate) fn next_text(&mut self) -> Result<()> {
        let mut line = std::mem::take(&mut self.line);
        let read = self.wire().read_line(&mut line);
        self.line = line;
        read
    }

    pub(crate) fn line(&self) -> &[u8] {
        &self.line
    }

    /// Passes over the literals of the line just read.
    ///
    /// # Errors
    /// `temporary` where the connection fails.
    pub(crate) fn skip_literals(&mut self) -> Result<()> {
        let mut line = std::mem::take(&mut self.line);
        let mut skip = || -> Result<()> {
            while let Some(length) = literal_of(&line) {
                self.session.get_mut().read_bytes(length, |_| ())?;
                self.session.get_mut().read_line(&mut line)?;
            }
            Ok(())
        };
        let skipped = skip();
        self.line = line;
        skipped
    }

    /// Runs a FETCH whose items are small, showing each answer.
    ///
    /// # Errors
    /// `temporary` where the connection fails.
    pub(crate) fn fetch_items(
        &mut self,
        command: &str,
        mut see: impl FnMut(&Items),
    ) -> Result<End> {
        let tag = self.start(command)?;
        loop {
            self.next_line()?;
            if let Some(end) = end_of(&self.line, &tag) {
                return Ok(end);
            }
            let Some(text) = fetch_of(&self.line) else {
                self.skip_literals()?;
                continue;
            };
            let mut items = Items::default();
            let mut literal = items.text(text)?;
            while let Some(length) = literal {
                if length > MOST_LITERAL {
                    return Err(Failure::temporary(format!(
                        "the server answers with {length} bytes where a header was asked for"
                    )));
                }
                let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
                self.wire()
                    .read_bytes(length, |chunk| bytes.extend_from_slice(chunk))?;
                items.literal(bytes);
                self.next_text()?;
                literal = items.text(&self.line)?;
            }
            see(&items);
        }
    }

    /// Whether mail may have come since this was last asked.
    pub(crate) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// Lets the server say what changed since it was last asked.
    ///
    /// # Errors
    /// `temporary` where the connection fails.
    pub(crate) fn noop(&mut self) -> Result<()> {
        self.settle_idle()?;
        self.promptly(|imap| imap.run("NOOP")).map(|_| ())
    }

    /// Creates a folder; one that is there already is fine.
    ///
    /// # Errors
    /// As the server refuses.
    pub(crate) fn create_folder(&mut self, folder: &str) -> Result<()> {
        let end = self.run(&format!("CREATE {}", quote(folder)))?;
        match &end {
            End::Ok => Ok(()),
            End::No(text) if code_of(text) == "ALREADYEXISTS" => Ok(()),
            _ => Err(refusal(&format!("making folder `{folder}`"), &end)),
        }
    }

    /// Says goodbye, as far as the server still listens.
    pub(crate) fn log_out(mut self) {
        if !self.is_dead() && self.settle_idle().is_ok() {
            let _ = block_on(self.session.logout());
        }
    }

    /// Notes that IDLE was ended; its answer is read before the next command.
    pub(crate) fn leave_idle(&mut self, tag: String) -> Result<()> {
        self.idling = Some(tag);
        self.wire().send(b"DONE\r\n")
    }

    /// Reads the answer of an IDLE that was ended.
    pub(crate) fn settle_idle(&mut self) -> Result<()> {
        match self.idling.take() {
            Some(tag) => self
                .promptly(|imap| imap.answers(&tag, |_| Ok(())))
                .map(|_| ()),
            None => Ok(()),
        }
    }

    fn promptly<T>(&mut self, call: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.wire().set_timeout(Some(PROMPT));
        let answer = call(self);
        self.wire().set_timeout(None);
        answer
    }

    fn ask_capabilities(&mut self) -> Result<HashSet<String>> {
        let tag = self.start("CAPABILITY")?;
        let mut found = HashSet::new();
        self.answers(&tag, |line| {
            found.extend(untagged(line, "CAPABILITY").into_iter().flat_map(words));
            Ok(())
        })?;
        Ok(found)
    }

    fn checked<T>(&mut self, result: std::result::Result<T, Error>, doing: &str) -> Result<T> {
        result.map_err(|error| {
            let last = self.wire().last_line();
            match error {
                Error::No(_) => refusal(doing, &End::No(after_status(&last))),
                Error::Bad(_) => refusal(doing, &End::Bad(after_status(&last))),
                other => transport(other, &last).context(doing),
            }
        })
    }
}

/// What async-imap could not do for reasons of the connection.
fn transport(error: Error, last: &str) -> Failure {
    match error {
        Error::Io(error) => {
            let failure = Failure::from(error);
            // The library quotes what it could not parse, which may be mail.
            match failure {
                Failure::Temporary(t) if t.reason.len() > 200 => {
                    Failure::temporary("the server's answer can't be read")
                }
                other => other,
            }
        }
        Error::ConnectionLost if last.to_ascii_uppercase().starts_with("* BYE") => {
            Failure::temporary(format!(
                "the server closed the connection: {}",
                last[5..].trim()
            ))
        }
        Error::ConnectionLost => closed(),
        other => Failure::temporary(show(other.to_string().as_bytes())),
    }
}

/// `* 5 EXISTS`; `+ idling` and `* OK Still here` are no news.
pub(crate) fn tells_of_mail(line: &[u8]) -> bool {
    line.starts_with(b"* ")
        && line.len() > 7
        && line[line.len() - 7..].eq_ignore_ascii_case(b" EXISTS")
}

/// A folder name as a quoted string.
pub(crate) fn quote(folder: &str) -> String {
    format!(
        "\"{}\"",
        mutf7::encode(folder)
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
    )
}
