//! From the dial to the login: greeting, capabilities, STARTTLS, credentials.
//!
//! A password goes out over TLS, or to this machine, or where the flow says so in words; what a server
//! offered before TLS is forgotten.

use std::collections::HashSet;

use async_imap::error::Error;
use async_imap::{Authenticator, Client, Session};
use flow_plugin::{Failure, Result, block_on};

use super::answer::{End, code_of, end_of, refusal, untagged};
use crate::options::{Auth, StartTls};
use crate::sasl::{self, Login};
use crate::server::Server;
use crate::wire::{Wire, show};

/// A connection before the login.
pub(super) struct Opening {
    pub(super) wire: Wire,
    line: Vec<u8>,
    capabilities: Option<HashSet<String>>,
    tags: u32,
}

impl Opening {
    pub(super) fn connect(server: &Server) -> Result<Self> {
        Ok(Self {
            wire: Wire::connect(server)?,
            line: Vec::new(),
            capabilities: None,
            tags: 0,
        })
    }

    pub(super) fn greeting(&mut self) -> Result<()> {
        self.wire.read_line(&mut self.line)?;
        if let Some(text) = untagged(&self.line, "OK") {
            self.capabilities = bracketed(text);
            return Ok(());
        }
        if let Some(text) = untagged(&self.line, "BYE") {
            return Err(Failure::temporary(format!(
                "the server turned the connection away: {}",
                show(text)
            )));
        }
        if untagged(&self.line, "PREAUTH").is_some() {
            return Err(Failure::config(
                "the server takes every connection as logged in already (PREAUTH), which leaves no way to say whose mail is wanted",
            ));
        }
        Err(Failure::config(format!(
            "this is no IMAP server: it greets with `{}`; check host, port and scheme",
            show(&self.line)
        )))
    }

    /// Goes to TLS where that is due, and returns what the server offers.
    pub(super) fn secure(
        &mut self,
        server: &Server,
        starttls: StartTls,
    ) -> Result<HashSet<String>> {
        let capabilities = self.capabilities()?;
        if server.tls || starttls == StartTls::Off {
            return Ok(capabilities);
        }
        if capabilities.contains("STARTTLS") {
            let end = self.command("STARTTLS", |_| ())?;
            if end != End::Ok {
                return Err(refusal("STARTTLS", &end));
            }
            self.wire.start_tls()?;
            // What was offered before may have been written by someone in between.
            self.capabilities = None;
            return self.capabilities();
        }
        match starttls {
            StartTls::Required => Err(sasl::no_starttls(server)),
            _ if !server.is_loopback() => Err(sasl::clear_text(server)),
            _ => Ok(capabilities),
        }
    }

    fn capabilities(&mut self) -> Result<HashSet<String>> {
        if let Some(capabilities) = &self.capabilities {
            return Ok(capabilities.clone());
        }
        let mut found = HashSet::new();
        self.command("CAPABILITY", |line| {
            found.extend(untagged(line, "CAPABILITY").into_iter().flat_map(words))
        })?;
        self.capabilities = Some(found.clone());
        Ok(found)
    }

    fn command(&mut self, command: &str, mut see: impl FnMut(&[u8])) -> Result<End> {
        self.tags += 1;
        let tag = format!("o{}", self.tags);
        self.wire.send(format!("{tag} {command}\r\n").as_bytes())?;
        loop {
            self.wire.read_line(&mut self.line)?;
            if let Some(text) = untagged(&self.line, "BYE") {
                return Err(Failure::temporary(format!(
                    "the server closed the connection: {}",
                    show(text)
                )));
            }
            match end_of(&self.line, &tag) {
                Some(end) => return Ok(end),
                None => see(&self.line),
            }
        }
    }
}

pub(super) fn log_in(
    wire: Wire,
    server: &Server,
    login: &Login,
    auth: Auth,
    capabilities: &HashSet<String>,
) -> Result<Session<Wire>> {
    let client = Client::new(wire);
    let (token, done) = match login {
        Login::Token { user, token } => {
            let said =
                block_on(client.authenticate("XOAUTH2", Saying(Some(sasl::xoauth2(user, token)))));
            (true, said)
        }
        Login::Password { user, password } => {
            // LOGIN has no way to say letters outside ASCII.
            let plain = auth == Auth::Plain
                || (auth == Auth::Auto
                    && capabilities.contains("AUTH=PLAIN")
                    && (capabilities.contains("LOGINDISABLED")
                        || !user.is_ascii()
                        || !password.is_ascii()));
            let said = if plain {
                block_on(client.authenticate("PLAIN", Saying(Some(sasl::plain(user, password)))))
            } else if capabilities.contains("LOGINDISABLED") {
                return Err(Failure::config(format!(
                    "{} takes no password this way (LOGINDISABLED); use imaps:, `starttls: required` or `auth: xoauth2`",
                    server.host
                )));
            } else {
                block_on(client.login(user, password))
            };
            (false, said)
        }
    };
    done.map_err(|(error, mut client)| {
        let last = client.get_mut().last_line();
        login_failure(&error, server, token, &last)
    })
}

/// Says its text once, and nothing to what is asked after that: XOAUTH2 explains a refusal in a
/// challenge, and waits for an empty answer before it ends.
struct Saying(Option<String>);

impl Authenticator for Saying {
    type Response = String;

    fn process(&mut self, _challenge: &[u8]) -> String {
        self.0.take().unwrap_or_default()
    }
}

fn login_failure(error: &Error, server: &Server, token: bool, last: &str) -> Failure {
    let text = after_status(last);
    match error {
        Error::No(_) => match code_of(&text).as_str() {
            "UNAVAILABLE" | "INUSE" | "THROTTLED" | "LIMIT" | "OVERQUOTA" | "SERVERBUG"
            | "CONTACTADMIN" => Failure::temporary(format!(
                "logging in as {}: the server said NO {text}",
                server.account()
            )),
            "PRIVACYREQUIRED" => Failure::config(format!(
                "{} wants TLS before a password: {text}; use imaps: or `starttls: required`",
                server.host
            )),
            _ => sasl::refused(server, token, &text),
        },
        // Exchange says BAD to a mailbox that is throttled or not opened to the application.
        Error::Bad(_) if text.contains("not connected") => {
            Failure::temporary(format!("logging in as {}: {text}", server.account()))
        }
        Error::Bad(_) => Failure::config(format!(
            "{} does not understand this way to log in: {text}; see the option `auth`",
            server.host
        )),
        Error::Validate(_) => Failure::config(format!(
            "the user or password of {} holds a line end",
            server.account()
        )),
        Error::Io(_) | Error::ConnectionLost => {
            let said = if last.is_empty() {
                String::new()
            } else {
                format!("; it last said: {text}")
            };
            Failure::temporary(format!(
                "logging in as {}: the connection broke{said}",
                server.account()
            ))
        }
        _ => Failure::temporary(format!(
            "logging in as {}: the server's answer can't be read",
            server.account()
        )),
    }
}

/// The text of a tagged line: `A1 NO [CODE] text` without its first two words.
pub(super) fn after_status(line: &str) -> String {
    line.splitn(3, ' ').nth(2).unwrap_or(line).to_owned()
}

pub(super) fn words(text: &[u8]) -> impl Iterator<Item = String> + '_ {
    text.split(|&byte| byte == b' ')
        .filter(|word| !word.is_empty())
        .map(|word| String::from_utf8_lossy(word).to_ascii_uppercase())
}

/// The capabilities in `[CAPABILITY …]`.
fn bracketed(text: &[u8]) -> Option<HashSet<String>> {
    let text = String::from_utf8_lossy(text).to_ascii_uppercase();
    let (list, _) = text
        .trim_start()
        .strip_prefix("[CAPABILITY ")?
        .split_once(']')?;
    Some(list.split_whitespace().map(str::to_owned).collect())
}
