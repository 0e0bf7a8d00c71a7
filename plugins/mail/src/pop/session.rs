//! One POP3 session: from the dial to QUIT.
//!
//! A maildrop is locked while a session is open, and message numbers mean nothing outside it, so
//! mails are told by names made from their UIDL (RFC 1939 §7) or, without, from their header.

use std::collections::HashMap;
use std::time::Duration;

use flow_plugin::{Failure, Result};

use super::unstuff::Unstuff;
use crate::imap::answer::code_of;
use crate::names::{from_header, from_uidl, message_id};
use crate::options::{Auth, Settings, StartTls};
use crate::sasl::{self, Login};
use crate::server::Server;
use crate::wire::{Wire, show};

/// A header longer than this is no header.
const MOST_HEADER: usize = 256 * 1024;

/// A mail in the maildrop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) number: u32,
    pub(crate) name: String,
    /// As the server counts, which is near the truth.
    pub(crate) size: Option<u64>,
    /// Known only where the header had to be read.
    pub(crate) message_id: Option<String>,
}

/// An open session.
#[derive(Debug)]
pub(crate) struct Pop {
    wire: Wire,
    pub(crate) server: Server,
    capabilities: HashMap<String, String>,
    listing: Option<Vec<Entry>>,
    line: Vec<u8>,
}

impl Pop {
    /// Dials and logs in.
    ///
    /// # Errors
    /// `auth` if the credentials are refused, `config` if TLS is not to be had, `temporary`
    /// otherwise, a locked maildrop included.
    pub(crate) fn connect(server: &Server, settings: &Settings) -> Result<Self> {
        let mut server = server.clone();
        let login = sasl::login_for(&mut server, settings.auth)?;
        let wire = Wire::connect(&server)?;
        let mut pop = Self {
            wire,
            server,
            capabilities: HashMap::new(),
            listing: None,
            line: Vec::new(),
        };
        pop.wire.read_line(&mut pop.line)?;
        if let Err(text) = pop.status() {
            return Err(pop.refusal("connecting", &text));
        }
        pop.ask_capabilities()?;
        pop.secure(settings.starttls)?;
        pop.log_in(&login, settings.auth)?;
        Ok(pop)
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.wire.is_dead()
    }

    fn can(&self, capability: &str) -> bool {
        self.capabilities.contains_key(capability)
    }

    /// Says something and returns the text after `+OK`, or the text after `-ERR` as the error.
    fn ask(&mut self, command: &str) -> Result<std::result::Result<String, String>> {
        self.wire.send(format!("{command}\r\n").as_bytes())?;
        self.wire.read_line(&mut self.line)?;
        Ok(self.status())
    }

    fn status(&self) -> std::result::Result<String, String> {
        match self.line.strip_prefix(b"+OK") {
            Some(text) => Ok(show(text)),
            None => Err(show(self.line.strip_prefix(b"-ERR").unwrap_or(&self.line))),
        }
    }

    /// Reads a multi-line answer.
    fn read_content(&mut self, mut take: impl FnMut(&[u8])) -> Result<()> {
        let mut unstuff = Unstuff::default();
        loop {
            let chunk = self.wire.fill()?;
            let (used, ended) = unstuff.feed(chunk, &mut take);
            self.wire.consume(used);
            if ended {
                return Ok(());
            }
        }
    }

    fn read_text(&mut self) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        self.read_content(|bytes| text.extend_from_slice(bytes))?;
        Ok(text)
    }

    fn ask_capabilities(&mut self) -> Result<()> {
        self.capabilities.clear();
        if self.ask("CAPA")?.is_ok() {
            let text = String::from_utf8_lossy(&self.read_text()?).to_ascii_uppercase();
            self.capabilities = text
                .lines()
                .map(|line| line.split_once(' ').unwrap_or((line, "")))
                .map(|(name, rest)| (name.to_owned(), rest.to_owned()))
                .collect();
        }
        Ok(())
    }

    fn secure(&mut self, starttls: StartTls) -> Result<()> {
        if self.server.tls || starttls == StartTls::Off {
            return Ok(());
        }
        if self.can("STLS") {
            if let Err(text) = self.ask("STLS")? {
                return Err(self.refusal("STLS", &text));
            }
            self.wire.start_tls()?;
            // What was offered before may have been written by someone in between.
            return self.ask_capabilities();
        }
        match starttls {
            StartTls::Required => Err(sasl::no_starttls(&self.server)),
            _ if !self.server.is_loopback() => Err(sasl::clear_text(&self.server)),
            _ => Ok(()),
        }
    }

    fn log_in(&mut self, login: &Login, auth: Auth) -> Result<()> {
        let (token, said) = match login {
            Login::Token { user, token } => (
                true,
                self.authenticate("XOAUTH2", &sasl::xoauth2(user, token))?,
            ),
            Login::Password { user, password } if auth == Auth::Plain => (
                false,
                self.authenticate("PLAIN", &sasl::plain(user, password))?,
            ),
            Login::Password { user, password } => {
                if [user, password]
                    .iter()
                    .any(|text| text.contains(char::is_control))
                {
                    return Err(Failure::config(format!(
                        "the user or password of {} holds control characters",
                        self.server.account()
                    )));
                }
                let said = match self.ask(&format!("USER {user}"))? {
                    Ok(_) => self.ask(&format!("PASS {password}"))?,
                    refused => refused,
                };
                (false, said)
            }
        };
        match said {
            Ok(_) => Ok(()),
            Err(text) if is_busy(&text) => Err(self.refusal("logging in", &text)),
            Err(text) => Err(sasl::refused(&self.server, token, &text)),
        }
    }

    /// In two lines, as Exchange wants it. A refusal may be explained in a challenge first, which
    /// waits for an empty answer.
    fn authenticate(
        &mut self,
        mechanism: &str,
        response: &str,
    ) -> Result<std::result::Result<String, String>> {
        self.wire.send(format!("AUTH {mechanism}\r\n").as_bytes())?;
        self.wire.read_line(&mut self.line)?;
        if !self.line.starts_with(b"+ ") && self.line != b"+" {
            return Ok(self.status());
        }
        let mut answer = self.ask(&sasl::base64(response))?;
        if self.line.starts_with(b"+ ") || self.line == b"+" {
            answer = self.ask("")?;
        }
        Ok(answer)
    }

    /// Every mail there is, in the server's order.
    ///
    /// # Errors
    /// `config` if the server has nothing to tell mails by.
    pub(crate) fn listing(&mut self) -> Result<&[Entry]> {
        if self.listing.is_none() {
            let listing = self.list()?;
            self.listing = Some(listing);
        }
        Ok(self.listing.as_deref().unwrap_or_default())
    }

    fn list(&mut self) -> Result<Vec<Entry>> {
        if let Err(text) = self.ask("LIST")? {
            return Err(self.refusal("listing mails", &text));
        }
        let sizes: Vec<(u32, u64)> = pairs(&self.read_text()?)
            .filter_map(|(number, size)| Some((number, size.parse().ok()?)))
            .collect();
        if self.ask("UIDL")?.is_ok() {
            let sizes: HashMap<u32, u64> = sizes.into_iter().collect();
            let text = self.read_text()?;
            let mut entries: Vec<Entry> = Vec::new();
            for (number, uidl) in pairs(&text) {
                entries.push(Entry {
                    number,
                    name: from_uidl(uidl),
                    size: sizes.get(&number).copied(),
                    message_id: None,
                });
            }
            return Ok(entries);
        }
        let mut entries = Vec::new();
        for (number, size) in sizes {
            if let Err(text) = self.ask(&format!("TOP {number} 0"))? {
                return Err(Failure::config(format!(
                    "{} offers neither UIDL nor TOP, so its mails can't be told apart from one poll to the next: {text}",
                    self.server.host
                )));
            }
            let mut header = Vec::new();
            self.read_content(|bytes| {
                if header.len() < MOST_HEADER {
                    header.extend_from_slice(bytes);
                }
            })?;
            entries.push(Entry {
                number,
                name: from_header(&header),
                size: Some(size),
                message_id: message_id(&header),
            });
        }
        Ok(entries)
    }

    /// Fetches one mail.
    ///
    /// # Errors
    /// `temporary`; the connection may be usable after it.
    pub(crate) fn retrieve(&mut self, take: impl FnMut(&[u8])) -> Result<()> {
        self.wire.read_line(&mut self.line)?;
        match self.status() {
            Ok(_) => self.read_content(take),
            Err(text) => Err(self.refusal("fetching a mail", &text)),
        }
    }

    /// Asks for mails: all at once where the server takes that, else the caller asks one by one.
    pub(crate) fn request(&mut self, numbers: &[u32]) -> Result<()> {
        let commands: String = numbers
            .iter()
            .map(|number| format!("RETR {number}\r\n"))
            .collect();
        self.wire.send(commands.as_bytes())
    }

    /// How many mails may be asked for before the first has come.
    pub(crate) fn depth(&self) -> usize {
        if self.can("PIPELINING") { 32 } else { 1 }
    }

    /// Marks a mail; it goes at [`Pop::quit`].
    pub(crate) fn delete(&mut self, number: u32) -> Result<()> {
        match self.ask(&format!("DELE {number}"))? {
            Ok(_) => Ok(()),
            Err(text) => Err(self.refusal("deleting a mail", &text)),
        }
    }

    /// Ends the session; what was marked is deleted now, and only now.
    ///
    /// # Errors
    /// Nothing, or not everything, was deleted.
    pub(crate) fn quit(mut self) -> Result<()> {
        match self.ask("QUIT")? {
            Ok(_) => Ok(()),
            Err(text) => Err(self.refusal("ending the session", &text)),
        }
    }

    fn refusal(&self, doing: &str, text: &str) -> Failure {
        let reason = format!("{doing}: {} said -ERR {text}", self.server.host);
        match code_of(text).as_str() {
            "LOGIN-DELAY" => {
                let delay = self
                    .capabilities
                    .get("LOGIN-DELAY")
                    .and_then(|rest| rest.split(' ').next()?.parse().ok());
                match delay {
                    Some(seconds) => Failure::retry_after(reason, Duration::from_secs(seconds)),
                    None => Failure::temporary(reason),
                }
            }
            "SYS/PERM" => Failure::config(reason),
            "AUTH" => sasl::refused(&self.server, false, text),
            _ => Failure::temporary(reason),
        }
    }
}

/// Whether a refused login is about the maildrop and not the password; servers without codes (RFC
/// 2449) say so in words.
fn is_busy(text: &str) -> bool {
    let code = code_of(text);
    let words = text.to_ascii_lowercase();
    let says = [
        "lock",
        "in use",
        "busy",
        "try again",
        "temporar",
        "too many",
    ];
    matches!(
        code.as_str(),
        "IN-USE" | "LOGIN-DELAY" | "SYS/TEMP" | "SYS/PERM"
    ) || (code.is_empty() && says.iter().any(|word| words.contains(word)))
}

/// Lines of a number and a text.
fn pairs(text: &[u8]) -> impl Iterator<Item = (u32, &str)> {
    text.split(|&byte| byte == b'\n').filter_map(|line| {
        let (number, rest) = std::str::from_utf8(line).ok()?.trim().split_once(' ')?;
        Some((number.parse().ok()?, rest.trim().split(' ').next()?))
    })
}
