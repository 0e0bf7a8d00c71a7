//! What answers and broken connections mean.

use std::error::Error as _;
use std::time::Duration;

use flow_message::Timestamp;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode, Url};

use super::url::http_date;
use crate::{Error, Kind, tls};

/// A URL without what may be secret in it: user, password, query.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

/// A request that got no answer.
pub(crate) fn of_request(error: &reqwest::Error, url: &Url) -> Error {
    let url = shown(url);
    if let Some(why) = error.source().and_then(tls::explain) {
        return Error::temporary(format!("no safe connection for `{url}`: {why}"));
    }
    let why = root(error);
    if error.is_builder() {
        Error::permanent(format!("`{url}` can't be asked for: {why}"))
    } else if error.is_connect() {
        Error::temporary(format!("no connection for `{url}`: {why}"))
    } else {
        Error::broken(format!("no answer for `{url}`: {why}"))
    }
}

/// A body that ended early.
pub(crate) fn of_body(error: &reqwest::Error, url: &Url) -> Error {
    Error::broken(format!(
        "the connection broke in the middle of `{}`: {}",
        shown(url),
        root(error)
    ))
}

/// The innermost cause: the outer ones repeat the URL, query included.
fn root(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    while let Some(deeper) = cause.and_then(std::error::Error::source) {
        cause = Some(deeper);
    }
    cause.map_or_else(|| "no reason given".to_owned(), ToString::to_string)
}

const UNSATISFIABLE: &str = "has no such range";

/// Whether the server refused the range that was asked for.
pub(super) fn is_unsatisfiable(error: &Error) -> bool {
    error.kind() == Kind::Permanent && error.to_string().ends_with(UNSATISFIABLE)
}

/// Tells successes from failures. `authorized` says whether credentials are known for the site.
pub(super) fn check(response: &Response, authorized: bool) -> Result<(), Error> {
    let status = response.status();
    if status == StatusCode::OK
        || status == StatusCode::PARTIAL_CONTENT
        || status == StatusCode::NON_AUTHORITATIVE_INFORMATION
    {
        return Ok(());
    }
    let url = shown(response.url());
    let retry_after = retry_after(response.headers(), Timestamp::from(jiff::Timestamp::now()));
    Err(of_status(status, &url, authorized, retry_after))
}

fn of_status(
    status: StatusCode,
    url: &str,
    authorized: bool,
    retry_after: Option<Duration>,
) -> Error {
    let reason = match status.canonical_reason() {
        Some(words) => format!("`{url}`: the server says {} {words}", status.as_u16()),
        None => format!("`{url}`: the server says {}", status.as_u16()),
    };
    match status.as_u16() {
        404 | 410 => Error::not_found(reason),
        401 | 403 if authorized => Error::auth(format!(
            "{reason}; the credentials in credentials.conf were refused"
        )),
        401 | 403 => Error::auth(format!(
            "{reason}; there are no credentials for it in credentials.conf"
        )),
        407 => Error::auth(format!("{reason}; the proxy wants credentials")),
        416 => Error::permanent(format!("`{url}` {UNSATISFIABLE}")),
        408 | 421 | 423 | 425 | 429 | 500..=599 => {
            Error::new(Kind::Temporary { retry_after }, reason)
        }
        _ => Error::permanent(reason),
    }
}

/// `Retry-After`, in seconds or as a date.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    // A date in the past asks for no delay.
    let until = http_date(text)?;
    Some(now.age_at(until))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use flow_message::Timestamp;
    use reqwest::StatusCode;
    use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};

    use super::{is_unsatisfiable, of_status, retry_after, shown};
    use crate::Kind;

    #[test]
    fn statuses_mean_what_can_be_done() {
        let kind =
            |status: u16| of_status(StatusCode::from_u16(status).unwrap(), "u", true, None).kind();
        let temporary = Kind::Temporary { retry_after: None };
        for (status, expected) in [
            (404, Kind::NotFound),
            (410, Kind::NotFound),
            (401, Kind::Auth),
            (403, Kind::Auth),
            (407, Kind::Auth),
            (429, temporary),
            (500, temporary),
            (503, temporary),
            (599, temporary),
            (400, Kind::Permanent),
            (204, Kind::Permanent),
            (416, Kind::Permanent),
        ] {
            assert_eq!(kind(status), expected, "{status}");
        }
        let error = of_status(StatusCode::RANGE_NOT_SATISFIABLE, "u", true, None);
        assert!(is_unsatisfiable(&error));
        let error = of_status(StatusCode::UNAUTHORIZED, "http://h/", false, None);
        assert_eq!(
            error.to_string(),
            "`http://h/`: the server says 401 Unauthorized; there are no credentials for it in \
             credentials.conf"
        );
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = Timestamp::from_unix(1_000_000_000, 0);
        let after = |text: &'static str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
            retry_after(&headers, now)
        };
        assert_eq!(after("120"), Some(Duration::from_secs(120)));
        assert_eq!(
            after("Sun, 09 Sep 2001 01:47:40 GMT"),
            Some(Duration::from_secs(60))
        );
        assert_eq!(after("Sun, 09 Sep 2001 01:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(after("soon"), None);
    }

    #[test]
    fn secrets_in_urls_are_not_shown() {
        let url = "http://me:pw@h:81/a?token=x#y".parse().unwrap();
        assert_eq!(shown(&url), "http://h:81/a");
    }
}
