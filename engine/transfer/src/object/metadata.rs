//! What a message knows of its content and an object can't say: in its metadata, as sr3 writes it.
//!
//! One entry, `sarracenia_v3`, is JSON: `{"identity": {"method": …, "value": …}, "mtime": …}`. Both
//! are always there, perhaps as null, because sr3 reads them without asking.

use flow_message::{Identity, Timestamp};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::header;
use crate::{About, Error};

/// Longest entry that is written. All metadata of an object together is 2 KiB at most.
const MAX: usize = 1_800;

/// What the entry of an object says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Noted {
    pub(super) identity: Option<Identity>,
    pub(super) mtime: Option<Timestamp>,
}

/// Reads the entry from the header `name`; what makes no sense is none.
pub(super) fn read(headers: &HeaderMap, name: &str) -> Noted {
    let entry: Option<Value> = headers
        .get(name)
        .and_then(|value| serde_json::from_slice(value.as_bytes()).ok());
    let Some(entry) = entry else {
        return Noted::default();
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let identity = &entry["identity"];
    let method = text(&identity["method"]).filter(|method| !method.is_empty());
    Noted {
        identity: method
            .zip(text(&identity["value"]))
            .map(|(method, value)| Identity { method, value }),
        mtime: entry["mtime"].as_str().and_then(|time| time.parse().ok()),
    }
}

/// The entry for what is known; none where nothing is.
fn write(about: &About) -> Option<String> {
    let identity = about.identity.as_ref();
    if identity.is_none() && about.mtime.is_none() {
        return None;
    }
    let mtime = about.mtime.map(|time| time.to_string());
    let identity =
        identity.map(|identity| json!({ "method": identity.method, "value": identity.value }));
    let entry = ascii(&json!({ "identity": identity, "mtime": mtime }));
    if entry.len() <= MAX {
        return Some(entry);
    }
    // An identity of some other length than a digest's.
    mtime.map(|mtime| ascii(&json!({ "identity": null, "mtime": mtime })))
}

/// What goes along with an upload: its type in the header `kind`, the entry in the header `noted`.
pub(crate) fn headers(
    about: &About,
    kind: HeaderName,
    noted: &'static str,
) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    let known = about.content_type.as_deref();
    if let Some(value) = known.and_then(|value| HeaderValue::from_str(value).ok()) {
        headers.insert(kind, value);
    }
    if let Some(entry) = write(about) {
        headers.insert(noted, header(&entry)?);
    }
    Ok(headers)
}

/// JSON for a header: nothing but visible ASCII. Blanks are escaped too, because signatures are made
/// of headers with single ones.
fn ascii(value: &Value) -> String {
    let mut text = String::new();
    for c in value.to_string().chars() {
        if c.is_ascii_graphic() {
            text.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use flow_message::{Identity, Timestamp};
    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

    use super::{MAX, Noted, read, write};
    use crate::About;

    const HEADER: &str = "x-amz-meta-sarracenia_v3";

    fn about(value: &str) -> About {
        About {
            identity: Some(Identity {
                method: "arbitrary".into(),
                value: value.into(),
            }),
            mtime: Some(Timestamp::from_unix(1_577_934_245, 500_000_000)),
            ..About::default()
        }
    }

    fn again(text: &str) -> Noted {
        let value = HeaderValue::from_str(text).unwrap();
        read(
            &HeaderMap::from_iter([(HeaderName::from_static(HEADER), value)]),
            HEADER,
        )
    }

    #[test]
    fn what_is_written_is_read_again() {
        for value in ["abc=", "two  words", "gr\u{fc}n \u{1f340} \"x\""] {
            let about = about(value);
            let written = write(&about).unwrap();
            assert!(written.bytes().all(|b| b.is_ascii_graphic()), "{written}");
            let noted = again(&written);
            assert_eq!((noted.identity, noted.mtime), (about.identity, about.mtime));
        }
        assert_eq!(
            write(&about("abc=")).unwrap(),
            "{\"identity\":{\"method\":\"arbitrary\",\"value\":\"abc=\"},\
             \"mtime\":\"20200102T030405.5\"}"
        );
        assert_eq!(write(&About::default()), None);
    }

    #[test]
    fn it_fits_into_what_an_object_may_carry() {
        let written = write(&about(&"x".repeat(MAX))).unwrap();
        assert_eq!(
            written,
            "{\"identity\":null,\"mtime\":\"20200102T030405.5\"}"
        );
        assert_eq!(again(&written).identity, None);
    }

    #[test]
    fn nonsense_says_nothing() {
        for text in ["{}", "[1]", "{", "{\"identity\":3,\"mtime\":\"soon\"}"] {
            assert_eq!(again(text), Noted::default());
        }
        assert_eq!(read(&HeaderMap::new(), HEADER), Noted::default());
    }
}
