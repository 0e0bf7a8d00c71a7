//! Where a broker is and who we are there: what a URL such as `amqps://feed@host/vhost` says.
//!
//! As sr3 reads them: no vhost, or an empty one, is `/`; no user is `anonymous` with the password
//! `anonymous`. Prints without the password.

use std::fmt;

use flow_config::{SafeUrl, Secret};
use percent_encoding::percent_decode_str;

use crate::error::{Error, Kind};

/// A broker's address, understood.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) tls: bool,
    /// Without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: Secret,
    pub(crate) vhost: String,
}

impl Address {
    pub(crate) fn of(url: &SafeUrl) -> Result<Self, Error> {
        let bad = |what: &str| {
            Error::new(
                Kind::Address,
                format!(
                    "the broker's URL `{url}` {what}; nothing was done; write it as \
                     `amqps://user@host:port/vhost`, with the password in credentials.conf"
                ),
            )
        };
        let (tls, default_port) = match url.scheme() {
            "amqp" => (false, 5672),
            "amqps" => (true, 5671),
            _ => return Err(bad("does not begin with `amqp://` or `amqps://`")),
        };
        let host = url.host().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| bad("names no host"))?;
        let exposed = url.expose();
        if exposed.query().is_some() || exposed.fragment().is_some() {
            return Err(bad("has a `?` or `#`, which means nothing here"));
        }
        let vhost = decode(exposed.path().strip_prefix('/').unwrap_or_default())
            .ok_or_else(|| bad("has a vhost that is no UTF-8"))?;
        let (user, password) = match (url.user(), exposed.password()) {
            (user, None) if user.is_empty() => ("anonymous".to_owned(), "anonymous".to_owned()),
            (user, password) => {
                let password = decode(password.unwrap_or_default());
                (
                    user,
                    password.ok_or_else(|| bad("has a password that is no UTF-8"))?,
                )
            }
        };
        Ok(Self {
            tls,
            host: host
                .trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned(),
            port: url.port().unwrap_or(default_port),
            user,
            password: Secret::new(password),
            vhost: if vhost.is_empty() {
                "/".to_owned()
            } else {
                vhost
            },
        })
    }
}

fn decode(text: &str) -> Option<String> {
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tls,
            host,
            port,
            user,
            vhost,
            ..
        } = self;
        let scheme = if *tls { "amqps" } else { "amqp" };
        let (open, close) = if host.contains(':') {
            ("[", "]")
        } else {
            ("", "")
        };
        let vhost = if vhost == "/" { "" } else { vhost };
        write!(f, "{scheme}://{user}@{open}{host}{close}:{port}/{vhost}")
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> Address {
        Address::of(&SafeUrl::parse(url).expect("a URL")).expect("an address")
    }

    #[test]
    fn urls_are_read_as_sr3_reads_them() {
        for (url, shown, vhost, password) in [
            ("amqp://h", "amqp://anonymous@h:5672/", "/", "anonymous"),
            ("amqp://u:p@h/", "amqp://u@h:5672/", "/", "p"),
            ("amqp://u:p@h/%2F", "amqp://u@h:5672/", "/", "p"),
            ("amqps://u:p%40%23@h/x", "amqps://u@h:5671/x", "x", "p@#"),
            ("amqp://u:p@h:1/a%2Fb", "amqp://u@h:1/a/b", "a/b", "p"),
            ("amqp://u@127.0.0.1", "amqp://u@127.0.0.1:5672/", "/", ""),
            ("amqp://u@[::1]:9/x", "amqp://u@[::1]:9/x", "x", ""),
        ] {
            let address = address(url);
            assert_eq!(address.to_string(), shown);
            assert_eq!(address.vhost, vhost);
            assert_eq!(address.password.expose(), password);
        }
        assert_eq!(address("amqp://u@[::1]:9/x").host, "::1");
    }

    #[test]
    fn what_can_not_be_an_address_is_said_without_the_password() {
        for url in ["mqtt://u:hidden@h", "amqp://u:hidden@h?heartbeat=3"] {
            let error = Address::of(&SafeUrl::parse(url).expect("a URL")).expect_err("no address");
            assert_eq!(error.kind(), Kind::Address);
            assert!(!error.to_string().contains("hidden"), "{error}");
        }
    }
}
