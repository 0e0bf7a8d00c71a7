//! What a callback may reach: what its manifest asks for, narrowed by what the flow allows.
//!
//! A flow allows the hosts of the URLs in its own options, and what `allow` lists. Names are
//! compared as written: a grant for a name is no grant for the address behind it.

use std::fmt;

use flow_config::{Allow, Grant, SafeUrl};

use crate::error::Error;

/// The grants of one callback.
#[derive(Debug, Clone, Default)]
pub(crate) struct Grants {
    connect: Option<Vec<Pattern>>,
    http: Option<Vec<Pattern>>,
    secrets: Option<Vec<Pattern>>,
}

/// A host, or all below a domain, and a port, or all.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    /// Lower case, without the brackets of an IPv6 address.
    host: String,
    /// `*.domain`: names below it, not itself.
    below: bool,
    port: Option<u16>,
}

impl Grants {
    /// What a plugin that asks for `asked` may reach in a flow.
    pub(crate) fn new(asked: &[Grant], own_urls: &[SafeUrl], allow: &Allow) -> Self {
        let own = || own_urls.iter().filter_map(Pattern::of_url);
        let wants = |grant| asked.contains(&grant);
        Self {
            connect: wants(Grant::Connect).then(|| {
                own()
                    .chain(allow.connect.iter().filter_map(|text| Pattern::parse(text)))
                    .collect()
            }),
            http: wants(Grant::Http).then(|| {
                own()
                    .chain(allow.http.iter().filter_map(|text| Pattern::parse(text)))
                    .collect()
            }),
            secrets: wants(Grant::Secrets).then(|| {
                let urls = allow
                    .secrets
                    .iter()
                    .filter_map(|text| SafeUrl::parse(text).ok());
                // A host the flow names for this plugin is one it may log in to. A wildcard names
                // nobody, so its credentials have to be named.
                let named = allow.connect.iter().chain(&allow.http);
                let named = named.filter_map(|text| Pattern::parse(text));
                own()
                    .chain(named.filter(|pattern| !pattern.below))
                    .chain(urls.filter_map(|url| Pattern::of_url(&url)))
                    .collect()
            }),
        }
    }

    /// Every place there is a grant for, once.
    pub(crate) fn places(&self) -> Vec<String> {
        let lists = [&self.connect, &self.http, &self.secrets];
        let patterns = lists.into_iter().flatten().flatten();
        let mut places: Vec<String> = patterns.map(ToString::to_string).collect();
        places.sort();
        places.dedup();
        places
    }

    /// Whether `plugin` may connect.
    pub(crate) fn connect(&self, plugin: &str, host: &str, port: u16) -> Result<(), Error> {
        reach(self.connect.as_deref(), CONNECT, plugin, host, port).map(drop)
    }

    /// Whether `plugin` may ask a host over HTTP; if so, whether somebody wrote that host down, rather
    /// than a wildcard it falls under.
    pub(crate) fn http(&self, plugin: &str, host: &str, port: u16) -> Result<bool, Error> {
        reach(self.http.as_deref(), HTTP, plugin, host, port)
    }

    /// Whether `plugin` may have the credentials for a URL.
    pub(crate) fn secret(&self, plugin: &str, url: &str) -> Result<(), Error> {
        let parsed = SafeUrl::parse(url).ok().filter(|url| url.host().is_some());
        let Some(parsed) = parsed else {
            return Err(Error::new(
                "plugin/secret-denied",
                format!(
                    "plugin `{plugin}` asked for credentials of something that is no URL with a host"
                ),
            ));
        };
        let shown = parsed.without_password();
        let denied = Error::new(
            "plugin/secret-denied",
            format!("plugin `{plugin}` may not have the credentials for `{shown}`"),
        );
        let Some(patterns) = &self.secrets else {
            return Err(denied
                .note("its manifest does not ask for `secrets`")
                .hint("this is for the plugin's author to correct: add `secrets` to `grants`"));
        };
        let host = plain(parsed.host().unwrap_or_default());
        let port = parsed.port();
        if patterns.iter().any(|pattern| pattern.serves(&host, port)) {
            return Ok(());
        }
        Err(denied
            .note("a flow gives its plugins the credentials for the hosts of its own URLs, of `allow.connect` and of `allow.http`")
            .note("if an option of the plugin names this URL, its author can spare flows that: make the option a `url`")
            .hint(format!("add `allow: {{ secrets: ['{shown}'] }}` to the flow if this plugin should have them")))
    }
}

/// A way to reach hosts: the grant and the list under `allow`, and what to call it.
type Way = (&'static str, &'static str);
const CONNECT: Way = ("connect", "connect to");
const HTTP: Way = ("http", "ask");

/// Whether `plugin` may reach an address; if so, whether it is named and not only matched.
fn reach(
    patterns: Option<&[Pattern]>,
    (list, verb): Way,
    plugin: &str,
    host: &str,
    port: u16,
) -> Result<bool, Error> {
    let address = Address(host, port);
    let denied = Error::new(
        "plugin/capability-denied",
        format!("plugin `{plugin}` may not {verb} `{address}`"),
    );
    let Some(patterns) = patterns else {
        return Err(denied
            .note(format!("its manifest does not ask for `{list}`"))
            .hint(format!(
                "this is for the plugin's author to correct: add `{list}` to `grants`"
            )));
    };
    let mut found = patterns
        .iter()
        .filter(|pattern| pattern.allows(host, port))
        .peekable();
    if found.peek().is_some() {
        return Ok(found.any(|pattern| !pattern.below));
    }
    let mut error = denied;
    if !patterns.is_empty() {
        let allowed: Vec<_> = patterns
            .iter()
            .map(|pattern| format!("`{pattern}`"))
            .collect();
        error = error.note(format!("this flow allows {}", allowed.join(", ")));
    }
    Err(error.hint(format!(
        "add `allow: {{ {list}: ['{address}'] }}` to the flow, or correct the URL in its options"
    )))
}

impl Pattern {
    /// `host:port`, `host:*`, `*.domain:port`; an IPv6 address in brackets. Checked by then.
    fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let port = if port == "*" {
            None
        } else {
            Some(port.parse().ok()?)
        };
        let (host, below) = match host.strip_prefix("*.") {
            Some(domain) => (domain, true),
            None => (host, false),
        };
        Some(Self {
            host: plain(host),
            below,
            port,
        })
    }

    /// The host of a URL, with its port if it names one.
    fn of_url(url: &SafeUrl) -> Option<Self> {
        let host = url.host().filter(|host| !host.is_empty())?;
        Some(Self {
            host: plain(host),
            below: false,
            port: url.port(),
        })
    }

    fn names(&self, host: &str) -> bool {
        if self.below {
            host.strip_suffix(&self.host)
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        } else {
            host == self.host
        }
    }

    /// Whether a URL is for what this names. The port says which service of a host is meant; the
    /// one a scheme implies is known to the plugin only, so a URL without a port fits any.
    fn serves(&self, host: &str, port: Option<u16>) -> bool {
        let same_port = match (self.port, port) {
            (Some(own), Some(port)) => own == port,
            _ => true,
        };
        same_port && self.names(host)
    }

    fn allows(&self, host: &str, port: u16) -> bool {
        self.port.is_none_or(|allowed| allowed == port) && self.names(&plain(host))
    }
}

/// A host as it is compared: lower case, no brackets, no trailing dot.
fn plain(host: &str) -> String {
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .trim_end_matches('.')
        .to_ascii_lowercase()
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.below {
            f.write_str("*.")?;
        }
        let brackets = self.host.contains(':');
        match (brackets, self.port) {
            (false, Some(port)) => write!(f, "{}:{port}", self.host),
            (false, None) => write!(f, "{}:*", self.host),
            (true, Some(port)) => write!(f, "[{}]:{port}", self.host),
            (true, None) => write!(f, "[{}]:*", self.host),
        }
    }
}

/// `host:port` as it is written in `allow.connect`.
pub(crate) struct Address<'a>(pub(crate) &'a str, pub(crate) u16);

impl fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(host, port) = self;
        if host.contains(':') && !host.starts_with('[') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(urls: &[&str], connect: &[&str], secrets: &[&str]) -> Grants {
        let urls: Vec<_> = urls
            .iter()
            .map(|url| SafeUrl::parse(url).expect("a URL"))
            .collect();
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let allow = Allow {
            connect: own(connect),
            secrets: own(secrets),
            ..Allow::default()
        };
        Grants::new(&[Grant::Connect, Grant::Secrets], &urls, &allow)
    }

    #[test]
    fn hosts_of_own_urls_and_patterns_are_allowed() {
        let grants = grants(
            &[
                "imaps://me@IMAP.example.com/INBOX",
                "sftp://files.example.org:2222/out",
                "x://[::1]:9/",
            ],
            &[
                "db.example.net:5432",
                "any.example.net:*",
                "*.cdn.example.net:443",
                "[2001:db8::1]:25",
            ],
            &[],
        );
        for (host, port, expected) in [
            ("imap.example.com", 993, true),
            ("imap.example.com", 143, true),
            ("Imap.Example.COM.", 993, true),
            ("files.example.org", 2222, true),
            ("files.example.org", 22, false),
            ("db.example.net", 5432, true),
            ("db.example.net", 5433, false),
            ("any.example.net", 1, true),
            ("a.cdn.example.net", 443, true),
            ("a.b.cdn.example.net", 443, true),
            ("cdn.example.net", 443, false),
            ("evilcdn.example.net", 443, false),
            (".cdn.example.net", 443, false),
            ("a.cdn.example.net", 80, false),
            ("::1", 9, true),
            ("[::1]", 9, true),
            ("2001:db8::1", 25, true),
            ("example.com", 993, false),
            ("imap.example.com.evil.net", 993, false),
        ] {
            assert_eq!(
                grants.connect("p", host, port).is_ok(),
                expected,
                "{host}:{port}"
            );
        }
    }

    #[test]
    fn a_denial_names_what_to_write() {
        let denied = grants(&[], &["files.example.org:22"], &[]).connect(
            "partner-fetch",
            "files.example.org",
            2222,
        );
        assert_eq!(
            denied.expect_err("not allowed").to_string(),
            "plugin `partner-fetch` may not connect to `files.example.org:2222` [plugin/capability-denied]\n  \
             = note: this flow allows `files.example.org:22`\n  \
             = hint: add `allow: { connect: ['files.example.org:2222'] }` to the flow, or correct the URL in its options"
        );
        let denied = Grants::default()
            .connect("p", "::1", 25)
            .expect_err("not asked for");
        assert_eq!(
            denied.to_string(),
            "plugin `p` may not connect to `[::1]:25` [plugin/capability-denied]\n  \
             = note: its manifest does not ask for `connect`\n  \
             = hint: this is for the plugin's author to correct: add `connect` to `grants`"
        );
    }

    #[test]
    fn secrets_follow_the_hosts_of_urls() {
        let grants = grants(
            &["imaps://me@imap.example.com/"],
            &["smtp.example.com:25"],
            &["smtps://smtp.example.com/"],
        );
        assert!(
            grants
                .secret("p", "imaps://me@imap.example.com/INBOX")
                .is_ok()
        );
        assert!(
            grants
                .secret("p", "smtps://me:pass@smtp.example.com:465")
                .is_ok()
        );
        assert!(grants.secret("p", "mailto:x").is_err());
        assert_eq!(
            grants
                .secret("p", "amqps://root:hunter2@broker.example.com/")
                .expect_err("not allowed")
                .to_string(),
            "plugin `p` may not have the credentials for `amqps://root@broker.example.com/` [plugin/secret-denied]\n  \
             = note: a flow gives its plugins the credentials for the hosts of its own URLs, of `allow.connect` and of `allow.http`\n  \
             = note: if an option of the plugin names this URL, its author can spare flows that: make the option a `url`\n  \
             = hint: add `allow: { secrets: ['amqps://root@broker.example.com/'] }` to the flow if this plugin should have them"
        );
    }

    #[test]
    fn a_host_named_in_connect_brings_its_credentials_and_a_wildcard_does_not() {
        let named = grants(&[], &["imap.example.com:993", "*.example.net:993"], &[]);
        assert!(named.secret("p", "imaps://me@imap.example.com/").is_ok());
        assert!(named.secret("p", "imaps://me@a.example.net/").is_err());
        assert!(named.secret("p", "imaps://me@example.com/").is_err());
    }

    #[test]
    fn a_port_names_one_service_of_a_host() {
        let grants = grants(
            &[
                "imap://me@own.example.com:1143/",
                "pop://me@all.example.com/",
            ],
            &["h.example.com:993", "any.example.com:*"],
            &["smtp://h.example.com:25/"],
        );
        for (url, expected) in [
            ("imaps://me@h.example.com:993/", true),
            ("imaps://me@H.example.com/", true),
            ("smtp://me@h.example.com:25/", true),
            ("amqps://admin@h.example.com:5671/", false),
            ("imap://me@own.example.com:1143/", true),
            ("imap://me@own.example.com/", true),
            ("amqp://admin@own.example.com:5672/", false),
            ("pop://me@all.example.com:1110/", true),
            ("pop://me@any.example.com:1110/", true),
        ] {
            assert_eq!(grants.secret("p", url).is_ok(), expected, "{url}");
        }
    }
}
