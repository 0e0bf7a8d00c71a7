//! What answers of stores have in common: their text, and how a refusal is told.

use flow_message::Timestamp;
use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode, Url};

use crate::http::failure::{self, retry_after};
use crate::{Error, Kind};

/// A request that was not answered with a success.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) error: Error,
    /// Of the answer, if there was one.
    pub(crate) status: Option<u16>,
    /// The server's word for it.
    pub(crate) code: Option<String>,
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        refused.error
    }
}

/// Without an answer.
impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self {
            error,
            status: None,
            code: None,
        }
    }
}

/// An answer that is no success, to be told.
pub(crate) struct Answer<'a> {
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) text: &'a str,
    /// What it is about, as people see it.
    pub(crate) what: &'a str,
    /// Whether the request was.
    pub(crate) signed: bool,
}

impl Answer<'_> {
    /// How a refusal begins: what, the status, and the server's word for it or the usual words.
    pub(crate) fn reason(&self, code: Option<&str>) -> String {
        let mut reason = format!("{}: the server says {}", self.what, self.status.as_u16());
        if let Some(words) = code.or(self.status.canonical_reason()) {
            reason.push_str(&format!(" {words}"));
        }
        reason
    }

    /// How a refusal ends that is about who asks.
    pub(crate) fn denied(&self) -> &'static str {
        match self.signed {
            true => "; the credentials in credentials.conf were refused",
            false => "; there are no credentials for it in credentials.conf",
        }
    }

    /// It will be all right later, perhaps when the server says.
    pub(crate) fn temporary(&self) -> Kind {
        let now = Timestamp::from(jiff::Timestamp::now());
        Kind::Temporary {
            retry_after: retry_after(self.headers, now),
        }
    }

    pub(crate) fn refused(&self, kind: Kind, reason: String, code: Option<String>) -> Refused {
        Refused {
            error: Error::new(kind, reason),
            status: Some(self.status.as_u16()),
            code,
        }
    }
}

/// An answer that is text of at most `max` bytes, from `site`; `url` is named where it breaks.
pub(crate) async fn text(
    mut response: Response,
    max: usize,
    site: &str,
    url: &Url,
) -> Result<String, Error> {
    let mut bytes = Vec::new();
    while let Some(data) = response
        .chunk()
        .await
        .map_err(|error| failure::of_body(&error, url))?
    {
        if bytes.len() + data.len() > max {
            return Err(Error::permanent(format!(
                "`{site}`: the server's answer is longer than any should be"
            )));
        }
        bytes.extend_from_slice(&data);
    }
    String::from_utf8(bytes)
        .map_err(|_| Error::permanent(format!("`{site}`: the server's answer is no text")))
}

/// Longest text of a server that is shown.
const SHOWN_MAX: usize = 200;

/// The text of the first element `name`, for people: errors are small and flat.
pub(crate) fn tag(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (value, _) = rest.split_once(&format!("</{name}>"))?;
    let mut plain = value.to_owned();
    for (escaped, c) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&amp;", "&"),
    ] {
        plain = plain.replace(escaped, c);
    }
    let plain = plain.chars().filter(|c| !c.is_control());
    Some(plain.take(SHOWN_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::tag;

    #[test]
    fn no_more_is_shown_than_people_read() {
        let long = format!("<Message>{}</Message>", "x".repeat(1000));
        assert_eq!(tag(&long, "Message").unwrap().len(), 200);
    }
}
