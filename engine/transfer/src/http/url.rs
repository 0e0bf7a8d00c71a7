//! URLs, headers and dates of HTTP, as text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flow_config::Credential;
use flow_message::Timestamp;
use reqwest::Url;
use reqwest::header::HeaderValue;

use crate::{Error, RemotePath, Site};

/// Makes URLs of paths.
pub(super) struct Encoder {
    /// By byte: written as it is.
    plain: [bool; 128],
}

/// What can't stand in a URL, or would change what it means: a `#`, or a `\`, which URL parsers
/// read as `/`.
const NOT_VERBATIM: &str = " \"<>\\^`{|}#";

impl Encoder {
    /// Characters of `safe` (`httpsSafeQuote`) are left alone, beside letters, digits and `-._~`.
    pub(super) fn new(safe: &str) -> Self {
        let mut plain = [false; 128];
        for (byte, plain) in (0u8..).zip(&mut plain) {
            *plain = byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
        }
        for byte in safe.bytes().filter(|byte| byte.is_ascii_graphic()) {
            // These would end the path.
            plain[usize::from(byte)] |= !b"?#%\\".contains(&byte);
        }
        Self { plain }
    }

    /// The URL of a file. Double slashes are collapsed; a path that is wanted
    /// [verbatim](RemotePath::verbatim) keeps its escapes and its query.
    pub(super) fn url(&self, site: &Site, path: &RemotePath) -> Result<Url, Error> {
        let mut text = root(site);
        match path.verbatim() {
            None => self.encode(path.as_str(), &mut text),
            Some(verbatim) => {
                if !verbatim.base.is_empty() {
                    self.encode(&verbatim.base, &mut text);
                    text.push('/');
                }
                as_written(&verbatim.below, &mut text);
            }
        }
        parse(site, &text)
    }

    /// The URL of a directory, with the slash at its end that saves a redirect.
    pub(super) fn directory(&self, site: &Site, path: &RemotePath) -> Result<Url, Error> {
        let mut text = root(site);
        self.encode(path.as_str(), &mut text);
        if !text.ends_with('/') {
            text.push('/');
        }
        parse(site, &text)
    }

    fn encode(&self, path: &str, into: &mut String) {
        for byte in path.bytes() {
            if byte < 128 && self.plain[usize::from(byte)] {
                into.push(char::from(byte));
            } else {
                escape(byte, into);
            }
        }
    }
}

fn root(site: &Site) -> String {
    let mut text = format!("{}://{}", site.scheme, site.host);
    if let Some(port) = site.port {
        text.push_str(&format!(":{port}"));
    }
    text.push('/');
    text
}

fn parse(site: &Site, text: &str) -> Result<Url, Error> {
    Url::parse(text).map_err(|error| Error::permanent(format!("`{site}` makes no URL: {error}")))
}

fn as_written(path: &str, into: &mut String) {
    let mut in_query = false;
    let mut last = '/';
    for c in path.chars() {
        in_query |= c == '?';
        if c == '/' && last == '/' && !in_query {
            continue;
        }
        last = c;
        if c.is_ascii() && !c.is_ascii_control() && !NOT_VERBATIM.contains(c) {
            into.push(c);
        } else {
            let mut buffer = [0; 4];
            for byte in c.encode_utf8(&mut buffer).bytes() {
                escape(byte, into);
            }
        }
    }
}

fn escape(byte: u8, into: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    into.push('%');
    into.push(char::from(DIGITS[usize::from(byte >> 4)]));
    into.push(char::from(DIGITS[usize::from(byte & 15)]));
}

/// What a credential says in `Authorization`; none where it says nothing.
pub(super) fn authorization(credential: &Credential) -> Option<Result<HeaderValue, Error>> {
    let token = credential
        .option("bearer_token")
        .or_else(|| credential.option("bt"));
    let text = match (token, &credential.password) {
        (Some(token), _) => format!("Bearer {}", token.expose()),
        (None, None) if credential.user.is_empty() => return None,
        (None, password) => {
            let password = password.as_ref().map(|p| p.expose()).unwrap_or_default();
            let pair = format!("{}:{password}", credential.user);
            format!("Basic {}", STANDARD.encode(pair))
        }
    };
    Some(match HeaderValue::from_str(&text) {
        Ok(mut value) => {
            value.set_sensitive(true);
            Ok(value)
        }
        Err(_) => Err(Error::config(format!(
            "the credentials of `{}` have characters no header can carry",
            credential.url
        ))),
    })
}

/// `bytes 0-9/100`: where it starts, and of how much.
pub(super) fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, whole) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.trim().parse().ok()?, whole.trim().parse().ok()))
}

/// `Sun, 22 Nov 2026 01:52:07 GMT`.
pub(crate) fn http_date(text: &str) -> Option<Timestamp> {
    let zoned = jiff::fmt::rfc2822::parse(text.trim()).ok()?;
    Some(zoned.timestamp().into())
}

/// As [`http_date`] reads it, in whole seconds.
pub(crate) fn as_http_date(time: Timestamp) -> Option<String> {
    let whole = jiff::Timestamp::from_second(time.as_second()).ok()?;
    jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&whole)
        .ok()
}

#[cfg(test)]
mod tests {
    use flow_config::{Credentials, SafeUrl};
    use flow_message::{Message, Timestamp};

    use super::{Encoder, as_http_date, authorization, content_range, http_date};
    use crate::Site;

    fn url(base: &str, rel_path: &str, retrieve_path: Option<&str>) -> Result<String, String> {
        let mut message = Message::new(Timestamp::from_unix(0, 0), base, rel_path);
        message.retrieve_path = retrieve_path.map(str::to_owned);
        let (site, path) = Site::of_message(&message).map_err(|error| error.to_string())?;
        let url = Encoder::new("/+").url(&site, &path);
        url.map(String::from).map_err(|error| error.to_string())
    }

    #[test]
    fn paths_are_encoded_but_for_what_is_safe() {
        for (base, path, expected) in [
            ("http://h", "a/b.txt", "http://h/a/b.txt"),
            ("http://h:8080//x//", "/a//b", "http://h:8080/x/a/b"),
            ("http://me@h/", "a+b c", "http://h/a+b%20c"),
            ("http://h/", "50%25?#&=", "http://h/50%2525%3F%23%26%3D"),
            ("http://h/", "ü\\x", "http://h/%C3%BC%5Cx"),
            ("http://h/a%20b/", "c", "http://h/a%20b/c"),
            ("http://[::1]:80/", "c", "http://[::1]/c"),
            ("https://h/", "~a_b-c.d", "https://h/~a_b-c.d"),
        ] {
            assert_eq!(url(base, path, None).as_deref(), Ok(expected));
        }
        assert!(url("http://h/", "a/../b", None).is_err());
    }

    #[test]
    fn a_retrieve_path_is_taken_as_written() {
        for (given, expected) in [
            (
                "get?id=7&u=http://x//y",
                "http://h/api/get?id=7&u=http://x//y",
            ),
            ("/a%20b//c d", "http://h/api/a%20b/c%20d"),
            ("a#b", "http://h/api/a%23b"),
            ("a\\..\\..\\b", "http://h/api/a%5C..%5C..%5Cb"),
        ] {
            assert_eq!(
                url("http://h/api/", "x", Some(given)).as_deref(),
                Ok(expected)
            );
        }
        for hostile in ["../x", "a/%2e%2E/x", "a\nb"] {
            assert!(url("http://h/api/", "x", Some(hostile)).is_err());
        }
    }

    #[test]
    fn credentials_become_a_header() {
        let header = |line: &str| {
            let credentials = Credentials::parse("c".as_ref(), line).unwrap();
            let url = SafeUrl::parse("https://h/").unwrap();
            authorization(credentials.find(&url).unwrap())
                .map(|value| value.unwrap().to_str().unwrap().to_owned())
        };
        assert_eq!(
            header("https://me:p%23w@h/").as_deref(),
            Some("Basic bWU6cCN3")
        );
        assert_eq!(
            header("https://me@h/ bearer_token=abc").as_deref(),
            Some("Bearer abc")
        );
        assert_eq!(header("https://h/ bt=abc").as_deref(), Some("Bearer abc"));
        assert_eq!(header("https://h/"), None);
    }

    #[test]
    fn headers_are_read() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, None)));
        assert_eq!(content_range("bytes */10"), None);
        let time = http_date("Sun, 22 Nov 2026 01:52:07 GMT").unwrap();
        assert_eq!(time.to_string(), "20261122T015207");
        assert_eq!(
            as_http_date(time).as_deref(),
            Some("Sun, 22 Nov 2026 01:52:07 GMT")
        );
        assert_eq!(http_date("soon"), None);
    }
}
