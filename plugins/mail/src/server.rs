//! Server URLs: `imaps://user@host:port/folder`.
//!
//! Reads what flows and messages write, and writes the one form messages carry: no password, no
//! default port, no path. Two URLs of the same account give the same text.

use flow_plugin::{Failure, Result};

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Imap,
    Pop,
}

/// An account on a server.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) protocol: Protocol,
    /// TLS from the first byte.
    pub(crate) tls: bool,
    /// Lower case; an IPv6 address without its brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: Option<String>,
    /// Only where the flow wrote one; it never leaves through [`Server::url`].
    pub(crate) password: Option<String>,
    /// The folder in the URL's path, decoded; empty if none.
    pub(crate) folder: String,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.url())
    }
}

impl Server {
    /// Reads a URL.
    ///
    /// # Errors
    /// `config`, without the URL's password in the text.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let (scheme, rest) = url
            .split_once("://")
            .ok_or_else(|| Failure::config("a mail URL looks like imaps://user@host/"))?;
        let (protocol, tls) = match scheme.to_ascii_lowercase().as_str() {
            "imap" => (Protocol::Imap, false),
            "imaps" => (Protocol::Imap, true),
            "pop" => (Protocol::Pop, false),
            "pops" => (Protocol::Pop, true),
            other => {
                return Err(Failure::config(format!(
                    "`{other}:` is no mail server; write imap, imaps, pop or pops"
                )));
            }
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (account, address) = match authority.rsplit_once('@') {
            Some((account, address)) => (Some(account), address),
            None => (None, authority),
        };
        let (host, port) = split_port(address)?;
        if host.is_empty() {
            return Err(Failure::config(format!("`{scheme}:` URL without a host")));
        }
        let (user, password) = match account {
            None => (None, None),
            Some(account) => match account.split_once(':') {
                Some((user, password)) => (Some(decode(user)), Some(decode(password))),
                None => (Some(decode(account)), None),
            },
        };
        Ok(Self {
            protocol,
            tls,
            host: host.to_ascii_lowercase(),
            port: port.unwrap_or(default_port(protocol, tls)),
            user: user.filter(|user| !user.is_empty()),
            password: password.filter(|password| !password.is_empty()),
            folder: decode(
                path.split(['?', '#'])
                    .next()
                    .unwrap_or_default()
                    .trim_matches('/'),
            ),
        })
    }

    /// The URL messages carry, and credentials are asked for.
    pub(crate) fn url(&self) -> String {
        let scheme = match (self.protocol, self.tls) {
            (Protocol::Imap, false) => "imap",
            (Protocol::Imap, true) => "imaps",
            (Protocol::Pop, false) => "pop",
            (Protocol::Pop, true) => "pops",
        };
        let user = self
            .user
            .as_deref()
            .map(|user| format!("{}@", encode(user)))
            .unwrap_or_default();
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        let port = if self.port == default_port(self.protocol, self.tls) {
            String::new()
        } else {
            format!(":{}", self.port)
        };
        format!("{scheme}://{user}{host}{port}/")
    }

    /// `user@host`, for people.
    pub(crate) fn account(&self) -> String {
        format!("{}@{}", self.user.as_deref().unwrap_or("?"), self.host)
    }

    /// Whether the connection can't leave this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self
                .host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }
}

fn default_port(protocol: Protocol, tls: bool) -> u16 {
    match (protocol, tls) {
        (Protocol::Imap, false) => 143,
        (Protocol::Imap, true) => 993,
        (Protocol::Pop, false) => 110,
        (Protocol::Pop, true) => 995,
    }
}

fn split_port(address: &str) -> Result<(&str, Option<u16>)> {
    let (host, port) = if let Some(rest) = address.strip_prefix('[') {
        let (host, rest) = rest
            .split_once(']')
            .ok_or_else(|| Failure::config("`[` without `]` in a mail URL"))?;
        (host, rest.strip_prefix(':'))
    } else {
        match address.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        }
    };
    let port = match port {
        None | Some("") => None,
        Some(port) => Some(
            port.parse()
                .map_err(|_| Failure::config(format!("`{port}` is no port")))?,
        ),
    };
    Ok((host, port))
}

/// Percent-decodes; what is not an escape, or not UTF-8 afterwards, stays as it is.
pub(crate) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten();
        if let Some(byte) = escape.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            out.push(byte);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

/// Percent-encodes everything but letters, digits and `-._~`.
fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: &str, port: u16, folder: &str) {
        let server = Server::parse(url).expect(url);
        assert_eq!(
            (server.url().as_str(), server.port, server.folder.as_str()),
            (expected, port, folder)
        );
    }

    #[test]
    fn every_spelling_of_an_account_gives_one_url() {
        check(
            "imaps://me%40example.com@Mail.Example.com/",
            "imaps://me%40example.com@mail.example.com/",
            993,
            "",
        );
        check(
            "imaps://me@example.com@mail.example.com:993",
            "imaps://me%40example.com@mail.example.com/",
            993,
            "",
        );
        check(
            "imap://me@localhost:1143/INBOX",
            "imap://me@localhost:1143/",
            1143,
            "INBOX",
        );
        check(
            "IMAP://localhost/Work/2024%20x/",
            "imap://localhost/",
            143,
            "Work/2024 x",
        );
        check("pops://me:pa%3Ass@[::1]:995/", "pops://me@[::1]/", 995, "");
        check("pop://me@[::1]:1100/?x", "pop://me@[::1]:1100/", 1100, "");
    }

    #[test]
    fn passwords_are_read_and_never_shown() {
        let server = Server::parse("imap://me:s%40cret@host/").expect("a URL");
        assert_eq!(server.password.as_deref(), Some("s@cret"));
        assert!(!format!("{server:?} {} {}", server.url(), server.account()).contains("cret"));
        let error = Server::parse("imap://me:s3cret@host:port/").expect_err("no port");
        assert!(!error.reason().contains("s3cret"), "{error:?}");
    }

    #[test]
    fn what_is_no_mail_url_is_refused() {
        for url in [
            "https://host/",
            "imap:host",
            "imap:///INBOX",
            "imap://host:99999/",
        ] {
            assert!(
                matches!(Server::parse(url), Err(Failure::Config(_))),
                "{url}"
            );
        }
    }

    #[test]
    fn loopback_is_known_by_name_and_number() {
        for (url, expected) in [
            ("imap://localhost/", true),
            ("imap://127.9.0.1/", true),
            ("imap://[::1]/", true),
            ("imap://localhost.example/", false),
        ] {
            assert_eq!(
                Server::parse(url).expect(url).is_loopback(),
                expected,
                "{url}"
            );
        }
    }
}
