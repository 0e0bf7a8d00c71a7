//! Signatures of requests with the key of an account ("Shared Key").
//!
//! Signed are the method, some headers by their place, all headers named `x-ms-…`, the path, and the
//! query with its values decoded. The key itself never leaves.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{
    CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderMap, HeaderName,
    IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, RANGE,
};
use reqwest::{Method, Url};
use ring::hmac;

/// What signs the requests to one account.
pub(super) struct Key {
    account: String,
    key: hmac::Key,
}

/// Headers that are signed by their place, in this order.
const PLACES: [HeaderName; 11] = [
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    HeaderName::from_static("content-md5"),
    CONTENT_TYPE,
    DATE,
    IF_MODIFIED_SINCE,
    IF_MATCH,
    IF_NONE_MATCH,
    IF_UNMODIFIED_SINCE,
    RANGE,
];

impl Key {
    /// None: `secret` is no key.
    pub(super) fn new(account: &str, secret: &str) -> Option<Self> {
        let secret = STANDARD.decode(secret.trim()).ok()?;
        (!secret.is_empty() && !account.is_empty()).then(|| Self {
            account: account.to_owned(),
            key: hmac::Key::new(hmac::HMAC_SHA256, &secret),
        })
    }

    /// The value of `Authorization` for a request.
    pub(super) fn authorization(&self, method: &Method, url: &Url, headers: &HeaderMap) -> String {
        let text = to_sign(&self.account, method, url, headers);
        let signature = STANDARD.encode(hmac::sign(&self.key, text.as_bytes()));
        format!("SharedKey {}:{signature}", self.account)
    }
}

fn to_sign(account: &str, method: &Method, url: &Url, headers: &HeaderMap) -> String {
    let value = |name: &HeaderName| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().trim()
    };
    let mut text = format!("{method}\n");
    for name in &PLACES {
        // Nothing is said of a length of nothing.
        let value = match value(name) {
            "0" if *name == CONTENT_LENGTH => "",
            value => value,
        };
        text.push_str(value);
        text.push('\n');
    }
    let mut own: Vec<&HeaderName> = headers.keys().collect();
    own.retain(|name| name.as_str().starts_with("x-ms-"));
    own.sort_by_key(|name| name.as_str());
    for name in own {
        text.push_str(&format!("{name}:{}\n", value(name)));
    }
    text.push_str(&format!("/{account}{}", url.path()));
    let mut query: Vec<(String, String)> = url
        .query_pairs()
        .map(|(name, value)| (name.to_lowercase(), value.into_owned()))
        .collect();
    query.sort();
    for (name, value) in query {
        text.push_str(&format!("\n{name}:{value}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn what_is_signed_has_its_order() {
        let headers = [
            ("x-ms-version", "2021-08-06"),
            ("x-ms-date", "Sun, 22 Nov 2026 01:52:07 GMT"),
            ("if-match", "\"0x1\""),
            ("content-length", "0"),
            ("content-type", "text/plain"),
        ];
        let headers: HeaderMap = headers
            .into_iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect();
        let url = Url::parse("https://h/c/a%20b?restype=container&comp=list&prefix=a%2Fb").unwrap();
        assert_eq!(
            to_sign("acc", &Method::GET, &url, &headers),
            "GET\n\n\n\n\ntext/plain\n\n\n\"0x1\"\n\n\n\nx-ms-date:Sun, 22 Nov 2026 01:52:07 \
             GMT\nx-ms-version:2021-08-06\n/acc/c/a%20b\ncomp:list\nprefix:a/b\nrestype:container"
        );
    }

    #[test]
    fn a_key_is_base64() {
        assert!(Key::new("a", "a2V5").is_some());
        for (account, secret) in [("a", "no key!"), ("a", ""), ("", "a2V5")] {
            assert!(Key::new(account, secret).is_none(), "{secret}");
        }
    }
}
