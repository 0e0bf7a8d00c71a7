//! Who is on the other end: a server and a user there, and what opens the door.

use std::fmt;

use async_trait::async_trait;
use flow_config::{Credential, Credentials, SafeUrl};
use flow_message::Message;

use crate::{Error, RemotePath};

/// A server and the user there: what connections are kept for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Site {
    /// Lower case.
    pub scheme: String,
    /// Percent-decoded; empty if the URL names none.
    pub user: String,
    /// Empty for `file:`. An IPv6 address keeps its brackets.
    pub host: String,
    /// As written; none is the scheme's own.
    pub port: Option<u16>,
}

impl Site {
    /// The site of a URL, and the path there.
    ///
    /// # Errors
    /// The path is not safe.
    pub fn of(url: &SafeUrl) -> Result<(Self, RemotePath), Error> {
        let site = Self {
            scheme: url.scheme().to_owned(),
            user: url.user(),
            host: url.host().unwrap_or_default().to_ascii_lowercase(),
            port: url.port(),
        };
        Ok((site, RemotePath::of_url(url.expose().path())?))
    }

    /// Where the content of a message is: `retrievePath`, or else `relPath`, below `baseUrl`.
    ///
    /// # Errors
    /// `baseUrl` is no URL, or a path is not safe.
    pub fn of_message(message: &Message) -> Result<(Self, RemotePath), Error> {
        let (site, base) = Self::of_text(&message.base_url)?;
        let path = match &message.retrieve_path {
            Some(path) => base.join_verbatim(path)?,
            None => base.join(&message.rel_path)?,
        };
        Ok((site, path))
    }

    /// The site of a URL as messages write it: `file:` URLs are paths, without percent-encoding, as
    /// in sr3.
    fn of_text(url: &str) -> Result<(Self, RemotePath), Error> {
        let parsed = SafeUrl::parse(url)
            .map_err(|error| Error::permanent(format!("its `baseUrl` is no URL: {error}")))?;
        let (site, path) = Self::of(&parsed)?;
        match url.strip_prefix("file:") {
            None => Ok((site, path)),
            Some(rest) => {
                let path = match rest.strip_prefix("//") {
                    None => rest,
                    Some(rest) => &rest[rest.find('/').unwrap_or(rest.len())..],
                };
                Ok((site, RemotePath::default().join(path)?))
            }
        }
    }

    /// The site as a URL, to look credentials up with.
    ///
    /// # Errors
    /// The host makes no URL.
    pub fn url(&self) -> Result<SafeUrl, Error> {
        SafeUrl::parse(&self.to_string())
            .map_err(|error| Error::permanent(format!("`{self}` is no URL: {error}")))
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        if !self.user.is_empty() {
            let user = percent_encoding::utf8_percent_encode(
                &self.user,
                percent_encoding::NON_ALPHANUMERIC,
            );
            write!(f, "{user}@")?;
        }
        f.write_str(&self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str("/")
    }
}

/// Finds credentials.
#[async_trait]
pub trait Access: Send + Sync {
    /// The credential for a site; none where there is none. Asked once per connection, and again
    /// after the server refused: a token may have been renewed meanwhile.
    ///
    /// # Errors
    /// There should be one, but it can't be had now.
    async fn credential(&self, url: &SafeUrl) -> Result<Option<Credential>, Error>;

    /// Which line to add where, for when a site wants credentials and there are none.
    fn hint(&self, url: &SafeUrl) -> String;
}

/// Nobody has credentials for anything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Anonymous;

#[async_trait]
impl Access for Anonymous {
    async fn credential(&self, _url: &SafeUrl) -> Result<Option<Credential>, Error> {
        Ok(None)
    }

    fn hint(&self, _url: &SafeUrl) -> String {
        "there are none here".into()
    }
}

/// `credentials.conf` as it was read.
#[async_trait]
impl Access for Credentials {
    async fn credential(&self, url: &SafeUrl) -> Result<Option<Credential>, Error> {
        Ok(self.find(url).cloned())
    }

    fn hint(&self, url: &SafeUrl) -> String {
        let finding = self.missing(url);
        finding.hints.into_iter().next().unwrap_or(finding.message)
    }
}

#[cfg(test)]
mod tests {
    use flow_config::SafeUrl;
    use flow_message::{Message, Timestamp};

    use super::Site;

    #[test]
    fn a_message_names_a_site_and_a_path() {
        let mut message = Message::new(
            Timestamp::from_unix(0, 0),
            "http://me%40x@Host.example:8080/base//dir/",
            "/a/b c.txt",
        );
        let (site, path) = Site::of_message(&message).unwrap();
        assert_eq!(site.to_string(), "http://me%40x@host.example:8080/");
        assert_eq!((site.user.as_str(), site.port), ("me@x", Some(8080)));
        assert_eq!(path.as_str(), "base/dir/a/b c.txt");
        message.retrieve_path = Some("get?id=1".into());
        let (_, path) = Site::of_message(&message).unwrap();
        assert_eq!(path.verbatim().unwrap().below, "get?id=1");
        message.base_url = "nothing".into();
        assert!(Site::of_message(&message).is_err());
    }

    #[test]
    fn an_extra_slash_survives() {
        let url = SafeUrl::parse("sftp://h//data/x").unwrap();
        let (site, path) = Site::of(&url).unwrap();
        assert!(path.is_absolute());
        assert_eq!(site.url().unwrap().to_string(), "sftp://h/");
    }
}
