//! `users.yaml`: who may use a broker and what for, as `flow declare --users` makes it so.
//!
//! ```yaml
//! broker: amqps://admin@broker.example.org/     # somebody who may make users; the vhost counts
//! management: https://broker.example.org:15671/ # where its management API is; this is the default
//! users:
//!   feed: feeder
//!   alice: source
//!   bob: subscriber
//! ```
//!
//! A list of such mappings is for several brokers. Passwords are in `credentials.conf`, those of the
//! users as well. What a role may do is the broker's business (`flow-broker`), not told here.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::collect::{Collector, Span};
use crate::explain as code;
use crate::report::{Finding, Report};
use crate::source::{Unreadable, check_secrets, read};
use crate::suggest::closest;
use crate::yaml::{self, Entry, Node, Value};
use crate::{SafeUrl, Source};

/// The file's name, in the configuration directory.
pub const USERS_FILE: &str = "users.yaml";

/// The users of one broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerUsers {
    /// The broker, its vhost, and who makes the users.
    pub broker: SafeUrl,
    /// Where the management API is; none: on the broker's host, at the port it has by default.
    pub management: Option<SafeUrl>,
    /// Certificate authorities to trust beside those of the machine, PEM.
    pub ca_file: Option<PathBuf>,
    /// In the order they are written.
    pub users: Vec<(String, Role)>,
}

impl BrokerUsers {
    /// The URL of a user at the broker, to look up the password with.
    ///
    /// # Errors
    /// The name makes no URL.
    pub fn url_of(&self, user: &str) -> Result<SafeUrl, url::ParseError> {
        let mut url = self.broker.expose().clone();
        let named = url.set_username(user);
        if named.is_err() {
            return Err(url::ParseError::EmptyHost);
        }
        let _ = url.set_password(None);
        SafeUrl::parse(url.as_str())
    }
}

/// What a user is for; the roles of sr3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Everything, users as well.
    Admin,
    /// Everything in the vhost: whose flows run the pump.
    Feeder,
    /// Posts to exchanges of its own, and takes what is public.
    Source,
    /// Takes what is public.
    Subscriber,
}

impl Role {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Admin, Self::Feeder, Self::Source, Self::Subscriber];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Feeder => "feeder",
            Self::Source => "source",
            Self::Subscriber => "subscriber",
        }
    }

    /// As sr3 writes it, in any of its words.
    pub fn of_sr3(word: &str) -> Option<Self> {
        match word {
            "manager" => Some(Self::Feeder),
            "subscribe" => Some(Self::Subscriber),
            word => Self::ALL.into_iter().find(|role| role.as_str() == word),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Source {
    /// What `users.yaml` says; nothing where there is no such file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn users(&self) -> Result<Vec<BrokerUsers>, Report> {
        let path = self.config_dir.join(USERS_FILE);
        match read(&path) {
            Ok(text) => parse_users(&path, &text),
            Err(Unreadable::Missing) => Ok(Vec::new()),
            Err(Unreadable::Because(reason)) => {
                let message = format!("the users of brokers can't be read: {reason}");
                Err(Finding::about(code::UNREADABLE, USERS_FILE.to_owned(), message).into())
            }
        }
    }
}

/// Reads a text that would be the content of `path`.
fn parse_users(path: &Path, text: &str) -> Result<Vec<BrokerUsers>, Report> {
    let mut out = Collector::default();
    let file = out.add(USERS_FILE, text);
    let base = path.parent().unwrap_or(Path::new(""));
    let mut brokers = Vec::new();
    if let Ok(Some(root)) = yaml::parse(&mut out, file) {
        check_secrets(&mut out, None, &root);
        let single = std::slice::from_ref(&root);
        let nodes = match &root.value {
            Value::List(nodes) => nodes.as_slice(),
            Value::Null => &[],
            _ => single,
        };
        for node in nodes {
            brokers.extend(broker(&mut out, node, base));
        }
    }
    let failed = out.has_errors();
    match (failed, out.finish()) {
        (true, report) => Err(report),
        (false, _) => Ok(brokers),
    }
}

const KEYS: [&str; 4] = ["broker", "management", "caFile", "users"];

fn broker(out: &mut Collector, node: &Node, base: &Path) -> Option<BrokerUsers> {
    let Value::Map(entries) = &node.value else {
        let message = format!(
            "the users of a broker are a mapping, this is {}",
            node.kind()
        );
        out.error(code::NOT_A_MAPPING, node.span, message)
            .hint("write `broker: amqps://admin@host/`, and below `users:` a role for each name");
        return None;
    };
    for entry in entries {
        if !KEYS.contains(&entry.key.as_str()) {
            let message = format!("there is no option `{}` in {USERS_FILE}", entry.key);
            let draft = out.error(code::UNKNOWN_OPTION, entry.key_span, message);
            match closest(&entry.key, KEYS) {
                Some(near) => draft.hint(format!("did you mean `{near}`?")),
                None => draft.hint(format!("there are `{}`", KEYS.join("`, `"))),
            };
        }
    }
    let find = |key: &str| entries.iter().find(|entry| entry.key == key);
    let broker = find("broker").and_then(|entry| {
        let url = url(out, entry, &["amqp", "amqps"])?;
        if url.user().is_empty() {
            out.error(code::BAD_URL, entry.value.span, "`broker` names no user")
                .label("write who may make users: `amqps://admin@host/`");
            return None;
        }
        Some(url)
    });
    let management = find("management").and_then(|entry| url(out, entry, &["http", "https"]));
    let ca_file = find("caFile").and_then(|entry| text(out, entry).map(|text| base.join(text)));
    let named = find("users").map(|entry| users(out, entry));
    for key in ["broker", "users"] {
        if find(key).is_none() {
            let message = format!("`{key}` is missing");
            let start = Span {
                end: node.span.start,
                ..node.span
            };
            out.error(code::MISSING_OPTION, start, message);
        }
    }
    let (broker, users) = (broker?, named??);
    let own = broker.user();
    let mut own_role = users.iter().filter(|(name, _)| *name == own);
    if own_role.any(|(_, role)| *role != Role::Admin)
        && let Some(entry) = find("users")
    {
        let message = format!("`{own}` makes the users, and would take that right from itself");
        out.error(code::CONFLICT, entry.value.span, message)
            .hint(format!("write `{own}: admin`, or leave it out"));
    }
    Some(BrokerUsers {
        broker,
        management,
        ca_file,
        users,
    })
}

fn users(out: &mut Collector, entry: &Entry) -> Option<Vec<(String, Role)>> {
    let Value::Map(entries) = &entry.value.value else {
        let is = entry.value.kind();
        let message = format!("`users` is a mapping of names to roles, this is {is}");
        out.error(code::WRONG_TYPE, entry.value.span, message)
            .label("write `alice: source`");
        return None;
    };
    let mut users = Vec::new();
    for entry in entries {
        let Some(word) = text(out, entry) else {
            continue;
        };
        if entry.key.is_empty() || entry.key.contains(char::is_control) {
            out.error(code::BAD_VALUE, entry.key_span, "this is no name of a user");
            continue;
        }
        match Role::ALL.into_iter().find(|role| role.as_str() == word) {
            Some(role) => users.push((entry.key.clone(), role)),
            None => {
                let message = format!("`{word}` is no role");
                let draft = out.error(code::BAD_CHOICE, entry.value.span, message);
                let near = match Role::of_sr3(&word) {
                    Some(role) => Some(role.as_str()),
                    None => closest(&word, Role::ALL.map(Role::as_str)),
                };
                match near {
                    Some(near) => draft.hint(format!("did you mean `{near}`?")),
                    None => draft.hint("there are `admin`, `feeder`, `source` and `subscriber`"),
                };
            }
        }
    }
    Some(users)
}

fn text(out: &mut Collector, entry: &Entry) -> Option<String> {
    match &entry.value.value {
        Value::Scalar(text, _) => Some(text.clone()),
        _ => {
            let message = format!(
                "`{}` is a single value, this is {}",
                entry.key,
                entry.value.kind()
            );
            out.error(code::WRONG_TYPE, entry.value.span, message);
            None
        }
    }
}

fn url(out: &mut Collector, entry: &Entry, schemes: &[&str]) -> Option<SafeUrl> {
    let text = text(out, entry)?;
    let wanted = format!("`{}:` or `{}:`", schemes[0], schemes[1]);
    match SafeUrl::parse(&text) {
        Ok(url)
            if schemes.contains(&url.scheme())
                && url.host().is_some_and(|host| !host.is_empty()) =>
        {
            Some(url)
        }
        Ok(_) => {
            let message = format!("`{}` is a URL with {wanted} and a host", entry.key);
            out.error(code::BAD_URL, entry.value.span, message);
            None
        }
        Err(error) => {
            let message = format!("`{}` is no URL: {error}", entry.key);
            out.error(code::BAD_URL, entry.value.span, message);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<BrokerUsers>, Vec<String>> {
        parse_users(Path::new("/config/users.yaml"), text).map_err(|report| {
            let lines = report.findings().iter();
            lines
                .map(|finding| format!("{} {}", finding.location(), finding.message))
                .collect()
        })
    }

    #[test]
    fn users_have_a_broker_and_a_role() {
        let one = "broker: amqps://root@h:5671/v\nmanagement: https://h:15999/base\ncaFile: ca.pem\n\
                   users:\n  feed: feeder\n  '007': source\n";
        let [broker] = &read(one).expect("good")[..] else {
            panic!("one broker")
        };
        assert_eq!(
            broker.users,
            [
                ("feed".to_owned(), Role::Feeder),
                ("007".to_owned(), Role::Source)
            ]
        );
        assert_eq!(broker.ca_file.as_deref(), Some(Path::new("/config/ca.pem")));
        assert_eq!(
            broker.url_of("a@b").expect("a URL").to_string(),
            "amqps://a%40b@h:5671/v"
        );
        let two =
            "- broker: amqp://a@h/\n  users: {x: admin}\n- broker: amqp://b@i/\n  users: {}\n";
        assert_eq!(read(two).expect("good").len(), 2);
        assert!(read("").expect("good").is_empty());
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let text = "broker: amqp://h/\nusres: {}\nmanagement: amqp://h/\nusers:\n  a: manager\n  b: king\n";
        assert_eq!(
            read(text).expect_err("errors"),
            [
                "users.yaml:1:9 `broker` names no user",
                "users.yaml:2:1 there is no option `usres` in users.yaml",
                "users.yaml:3:13 `management` is a URL with `http:` or `https:` and a host",
                "users.yaml:5:6 `manager` is no role",
                "users.yaml:6:6 `king` is no role",
            ]
        );
        assert_eq!(
            read("users: {a: source}\n").expect_err("errors"),
            ["users.yaml:1:1 `broker` is missing"]
        );
        let own = "broker: amqp://root@h/\nusers: {root: feeder}\n";
        assert_eq!(
            read(own).expect_err("errors"),
            ["users.yaml:2:8 `root` makes the users, and would take that right from itself"]
        );
        let secret = "broker: amqp://root:geheim@h/\nusers: {a: source}\n";
        let report = parse_users(Path::new("users.yaml"), secret).expect_err("a password");
        assert!(!report.render(false).contains("geheim"));
    }
}
