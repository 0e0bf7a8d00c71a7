//! The management API of RabbitMQ: users and what they may do, which AMQP has no words for.
//!
//! Only for `flow declare --users`: no flow needs it, and none asks it anything. What is there is
//! looked at first, and only what differs is written, so doing it again changes nothing. Nobody is
//! deleted. Of a user's tags only `administrator` is set and taken away; others are somebody's wish.
//!
//! # Invariants
//! - A password goes to the broker it is for and is printed nowhere; whether it is the one the broker
//!   has is found out here, from the hash.
//! - Redirects are not followed: what is asked holds passwords.

mod rights;

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flow_config::{Role, SafeUrl, Secret};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Method, StatusCode, Url};
use serde_json::{Value, json};

use crate::amqp::Address;
use crate::error::{Error, Kind};

pub use rights::Rights;

/// The tag of those who may make users.
const ADMINISTRATOR: &str = "administrator";

/// How to talk to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How long any one answer may take.
    pub timeout: Duration,
    /// Certificate authorities to trust beside those of the machine, PEM.
    pub ca_file: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            ca_file: None,
        }
    }
}

/// A user as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Who.
    pub name: String,
    /// None: the one the broker has, if it has the user.
    pub password: Option<Secret>,
    /// What for.
    pub role: Role,
}

/// What there is to do for a user, or was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says of one thing whether it differs"
)]
pub struct Change {
    /// The user was not there.
    pub made: bool,
    /// The password was another.
    pub password: bool,
    /// The tag `administrator` was missing, or was there and should not be.
    pub tags: bool,
    /// It was allowed something else in the vhost.
    pub rights: bool,
}

impl Change {
    /// Whether there is nothing to do.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// The management API of one broker, as somebody who may make users.
#[derive(Debug)]
pub struct Management {
    client: Client,
    /// Ends in a slash; without user and password.
    base: Url,
    user: String,
    password: Secret,
    vhost: String,
}

impl Management {
    /// The API of the broker at `url`, which holds the password of who asks: at `api`, or where it is
    /// by default. Connects to nothing yet.
    ///
    /// # Errors
    /// [`Kind::Address`] for a URL, [`Kind::Untrusted`] for a `caFile` that can't be used.
    pub fn new(url: &SafeUrl, api: Option<&SafeUrl>, options: &Options) -> Result<Self, Error> {
        let address = Address::of(url)?;
        let base = match api {
            Some(api) => api.expose().as_str().to_owned(),
            None => {
                let (scheme, port) = match address.tls {
                    true => ("https", 15671),
                    false => ("http", 15672),
                };
                format!("{scheme}://{}:{port}/", url.host().unwrap_or_default())
            }
        };
        let base = with_slash(&base).ok_or_else(|| {
            Error::new(Kind::Address, "the URL of the management API can't be used")
        })?;
        let roots = flow_trust::roots(options.ca_file.as_deref()).map_err(|why| {
            let file = options.ca_file.as_deref().unwrap_or("".as_ref());
            Error::new(
                Kind::Untrusted,
                format!("`caFile` {}: {why}; nothing was done", file.display()),
            )
        })?;
        let client = Client::builder()
            .tls_backend_preconfigured(flow_trust::client_config(roots))
            .user_agent(concat!("flow/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .timeout(options.timeout)
            .no_proxy()
            .build()
            .map_err(|error| {
                Error::new(
                    Kind::Internal,
                    format!("no HTTP client can be made: {error}"),
                )
            })?;
        Ok(Self {
            client,
            base,
            user: address.user,
            password: address.password,
            vhost: address.vhost,
        })
    }

    /// Finds out whether it is there, and whether who asks may make users.
    ///
    /// # Errors
    /// [`Kind::Unreachable`], [`Kind::Login`], [`Kind::Denied`], and [`Kind::Unsupported`] where
    /// something else answers.
    pub async fn check(&self) -> Result<(), Error> {
        let (status, found) = self.ask(Method::GET, &["whoami"], None).await?;
        if status != StatusCode::OK || !found["name"].is_string() {
            return Err(self.strange(status));
        }
        if !tags(&found).contains(&ADMINISTRATOR.to_owned()) {
            return Err(self.no_administrator());
        }
        Ok(())
    }

    /// Makes a user what it should be; with `dry` only says what there is to do.
    ///
    /// # Errors
    /// As [`check`](Self::check), and [`Kind::Missing`] for a user to be made without a password.
    pub async fn user(&self, wanted: &User, dry: bool) -> Result<Change, Error> {
        let found = self.get(&["users", &wanted.name]).await?;
        let rights = Rights::of(wanted.role, &wanted.name);
        let allowed = match &found {
            Some(_) => {
                self.get(&["permissions", &self.vhost, &wanted.name])
                    .await?
            }
            None => None,
        };
        let change = change(wanted, &rights, found.as_ref(), allowed.as_ref());
        if change.made && wanted.password.is_none() {
            return Err(Error::new(
                Kind::Missing,
                format!(
                    "there is no user `{}` at the broker, and no password to make it with; it was \
                     not made",
                    wanted.name
                ),
            ));
        }
        if dry {
            return Ok(change);
        }
        if change.made || change.password || change.tags {
            let body = user_body(wanted, found.as_ref());
            self.put(&["users", &wanted.name], &body).await?;
        }
        if change.rights {
            let body = json!({
                "configure": rights.configure, "write": rights.write, "read": rights.read,
            });
            self.put(&["permissions", &self.vhost, &wanted.name], &body)
                .await?;
        }
        Ok(change)
    }

    /// None where there is nothing.
    async fn get(&self, path: &[&str]) -> Result<Option<Value>, Error> {
        match self.ask(Method::GET, path, None).await? {
            (StatusCode::OK, found) => Ok(Some(found)),
            (StatusCode::NOT_FOUND, _) => Ok(None),
            (status, _) => Err(self.strange(status)),
        }
    }

    async fn put(&self, path: &[&str], body: &Value) -> Result<(), Error> {
        match self.ask(Method::PUT, path, Some(body)).await? {
            (status, _) if status.is_success() => Ok(()),
            (status, said) => {
                let reason = said["reason"].as_str().unwrap_or_default();
                let message = format!(
                    "the management API at {} refused it: {status} {reason}",
                    self.base
                );
                Err(Error::new(Kind::Unacceptable, message.trim_end()))
            }
        }
    }

    /// A refusal of who asks is an error; any other answer is the caller's.
    async fn ask(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value), Error> {
        let mut url = self.base.as_str().to_owned();
        url.push_str("api");
        for part in path {
            url.push('/');
            url.extend(utf8_percent_encode(part, NON_ALPHANUMERIC));
        }
        let mut request = self
            .client
            .request(method, url)
            .basic_auth(&self.user, Some(self.password.expose()));
        if let Some(body) = body {
            request = request
                .header(CONTENT_TYPE, "application/json")
                .body(body.to_string());
        }
        let answer = request.send().await.map_err(|error| self.away(&error))?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(|error| self.away(&error))?;
        let said: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if matches!(status.as_u16(), 401 | 403) {
            let reason = said["reason"].as_str().unwrap_or_default();
            // It does not tell those it knows but does not serve from those it does not know by
            // anything else.
            let known = reason.contains("not authorised")
                || reason.contains("not authorized")
                || reason.contains("Not ");
            return Err(match known {
                true => self.no_administrator(),
                false => Error::new(
                    Kind::Login,
                    format!(
                        "the management API at {} refused `{}` or its password; nothing was done; \
                         check the line in credentials.conf",
                        self.base, self.user
                    ),
                ),
            });
        }
        Ok((status, said))
    }

    fn no_administrator(&self) -> Error {
        let Self { base, user, .. } = self;
        Error::new(
            Kind::Denied,
            format!(
                "`{user}` may not make users at {base}; nothing was done; \
                 `rabbitmqctl set_user_tags {user} {ADMINISTRATOR}` at the broker allows it"
            ),
        )
    }

    fn away(&self, error: &reqwest::Error) -> Error {
        let mut reason = String::new();
        let mut source: Option<&dyn std::error::Error> = Some(error);
        while let Some(error) = source {
            // The outermost only repeats the URL; the innermost says what happened.
            reason = error.to_string();
            source = error.source();
        }
        Error::new(
            Kind::Unreachable,
            format!(
                "the management API can't be reached at {}: {reason}; it is a plugin of RabbitMQ \
                 (`rabbitmq-plugins enable rabbitmq_management`), and where it is elsewhere \
                 `management` in users.yaml says so",
                self.base
            ),
        )
    }

    fn strange(&self, status: StatusCode) -> Error {
        Error::new(
            Kind::Unsupported,
            format!(
                "what answers at {} ({status}) is not the management API of RabbitMQ; nothing was \
                 done; `management` in users.yaml says where it is",
                self.base
            ),
        )
    }
}

/// A URL that others are appended to, and that can be shown.
fn with_slash(text: &str) -> Option<Url> {
    let mut url = Url::parse(text).ok()?;
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    url.set_query(None);
    url.set_fragment(None);
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Some(url)
}

/// Tags are a list, and were a text up to RabbitMQ 3.8.
fn tags(user: &Value) -> Vec<String> {
    match &user["tags"] {
        Value::String(text) => text.split(',').map(|tag| tag.trim().to_owned()).collect(),
        Value::Array(tags) => tags
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    }
}

fn change(
    wanted: &User,
    rights: &Rights,
    found: Option<&Value>,
    allowed: Option<&Value>,
) -> Change {
    let Some(found) = found else {
        return Change {
            made: true,
            rights: true,
            ..Change::default()
        };
    };
    let is_administrator = tags(found).iter().any(|tag| tag == ADMINISTRATOR);
    let same_password = wanted
        .password
        .as_ref()
        .is_none_or(|password| rights::has_password(found, password));
    Change {
        made: false,
        password: !same_password,
        tags: is_administrator != (wanted.role == Role::Admin),
        rights: !allowed.is_some_and(|allowed| rights.are(allowed)),
    }
}

/// What is written of a user: there, a password left out is one taken away.
fn user_body(wanted: &User, found: Option<&Value>) -> Value {
    let mut tags: Vec<String> = found.map(tags).unwrap_or_default();
    tags.retain(|tag| tag != ADMINISTRATOR && !tag.is_empty());
    if wanted.role == Role::Admin {
        tags.push(ADMINISTRATOR.to_owned());
    }
    let tags = tags.join(",");
    match (&wanted.password, found) {
        (Some(password), _) => json!({"password": password.expose(), "tags": tags}),
        (None, Some(found)) => json!({
            "password_hash": found["password_hash"],
            "hashing_algorithm": found["hashing_algorithm"],
            "tags": tags,
        }),
        (None, None) => json!({"tags": tags}),
    }
}

/// Base64, as the API has it.
fn decoded(value: &Value) -> Option<Vec<u8>> {
    STANDARD.decode(value.as_str()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn management(url: &str, api: Option<&str>) -> Management {
        let url = SafeUrl::parse(url).expect("a URL");
        let api = api.map(|api| SafeUrl::parse(api).expect("a URL"));
        Management::new(&url, api.as_ref(), &Options::default()).expect("usable")
    }

    #[test]
    fn it_is_where_the_broker_is_or_where_it_is_said_to_be() {
        for (url, api, expected) in [
            ("amqp://a:b@h:9/v", None, "http://h:15672/"),
            ("amqps://a:b@[::1]/", None, "https://[::1]:15671/"),
            ("amqp://a:b@h/", Some("https://me:pw@m/x"), "https://m/x/"),
        ] {
            assert_eq!(management(url, api).base.as_str(), expected);
        }
        let shown = format!("{:?}", management("amqp://a:geheim@h/", None));
        assert!(!shown.contains("geheim"), "{shown}");
    }

    #[test]
    fn only_the_tag_of_administrators_is_ours() {
        let source = User {
            name: "a".into(),
            password: None,
            role: Role::Source,
        };
        let found = json!({
            "tags": ["monitoring", "administrator"], "password_hash": "x", "hashing_algorithm": "y",
        });
        assert_eq!(
            user_body(&source, Some(&found)),
            json!({"password_hash": "x", "hashing_algorithm": "y", "tags": "monitoring"})
        );
        let rights = Rights::of(Role::Source, "a");
        let todo = change(&source, &rights, Some(&found), None);
        assert_eq!(
            todo,
            Change {
                tags: true,
                rights: true,
                ..Change::default()
            }
        );
        let old = json!({"tags": "administrator,monitoring"});
        assert_eq!(tags(&old), ["administrator", "monitoring"]);
    }
}
