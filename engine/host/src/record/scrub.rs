//! Keeps credentials out of recordings.
//!
//! Every secret that is handed to a guest gets a stand-in, and whatever is recorded afterwards has
//! the stand-in where the secret was: as it is, percent-encoded, quoted, or inside base64. A replay
//! gives guests the stand-in, so that what they write then is what was recorded.
//!
//! What a guest computes from a secret (a digest) is recorded as it is: it is another at a replay.

use std::borrow::Cow;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, Engine};
use serde_json::Value;

/// Shorter ones stand in text by chance; they are left out where they are handed out only.
const SHORTEST: usize = 4;
/// Runs of characters that may be base64 are looked into from this length on.
const SHORTEST_RUN: usize = 8;

const ANY_PADDING: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const PLAIN: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, ANY_PADDING);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, ANY_PADDING);

/// The secrets of a recording and what stands for them.
#[derive(Debug, Default)]
pub(crate) struct Scrubber {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    secrets: Vec<(String, String)>,
    /// What is looked for, the longest first, and what stands there instead.
    forms: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Scrubber {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What stands for `secret` from now on; nothing stands for nothing.
    pub(crate) fn stand_in(&self, secret: &str) -> String {
        if secret.is_empty() {
            return String::new();
        }
        let mut known = self.known();
        if let Some((_, other)) = known.secrets.iter().find(|(known, _)| known == secret) {
            return other.clone();
        }
        let other = format!("redacted-{}", known.secrets.len() + 1);
        known.secrets.push((secret.to_owned(), other.clone()));
        if secret.len() >= SHORTEST {
            for form in forms(secret) {
                known.forms.push((form, other.clone().into_bytes()));
            }
            known
                .forms
                .sort_by_key(|(form, _)| std::cmp::Reverse(form.len()));
        }
        other
    }

    /// `data` without secrets.
    pub(crate) fn clean<'a>(&self, data: &'a [u8]) -> Cow<'a, [u8]> {
        let known = self.known();
        if known.forms.is_empty() {
            return Cow::Borrowed(data);
        }
        let mut data = Cow::Borrowed(data);
        for (form, other) in &known.forms {
            if let Some(clean) = replaced(&data, form, other) {
                data = Cow::Owned(clean);
            }
        }
        match inside_base64(&data, &known.forms) {
            Some(clean) => Cow::Owned(clean),
            None => data,
        }
    }

    /// The same for every text in `value`, names included.
    pub(crate) fn clean_value(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Cow::Owned(clean) = self.clean(text.as_bytes()) {
                    *text = String::from_utf8_lossy(&clean).into_owned();
                }
            }
            Value::Array(list) => list.iter_mut().for_each(|value| self.clean_value(value)),
            Value::Object(map) => map.values_mut().for_each(|value| self.clean_value(value)),
            _ => {}
        }
    }
}

/// The ways a secret is written.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let percent = |keep: &dyn Fn(u8) -> bool| -> String {
        let one = |byte: u8| match keep(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        };
        secret.bytes().map(one).collect()
    };
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encoded = percent(&unreserved);
    let strict = percent(&|byte| byte.is_ascii_alphanumeric());
    let quoted = secret.replace('\\', "\\\\").replace('"', "\\\"");
    let mut forms = vec![
        secret.to_owned(),
        encoded.replace("%20", "+"),
        encoded.to_ascii_lowercase(),
        encoded,
        strict,
        quoted,
    ];
    // Lower case of the escapes only would be right; of letters it would find what is no secret.
    if secret.bytes().any(|byte| byte.is_ascii_uppercase()) {
        forms.remove(2);
    }
    forms.sort();
    forms.dedup();
    forms.into_iter().map(String::into_bytes).collect()
}

fn replaced(data: &[u8], form: &[u8], other: &[u8]) -> Option<Vec<u8>> {
    let first = find(data, form)?;
    let mut clean = data[..first].to_vec();
    let mut rest = &data[first..];
    while let Some(at) = find(rest, form) {
        clean.extend_from_slice(&rest[..at]);
        clean.extend_from_slice(other);
        rest = &rest[at + form.len()..];
    }
    clean.extend_from_slice(rest);
    Some(clean)
}

fn find(data: &[u8], form: &[u8]) -> Option<usize> {
    let first = *form.first()?;
    let mut from = 0;
    while let Some(at) = data[from..].iter().position(|byte| *byte == first) {
        let at = from + at;
        if data[at..].starts_with(form) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

/// Looks into what may be base64, wherever in a run of its characters it begins.
fn inside_base64(data: &[u8], forms: &[(Vec<u8>, Vec<u8>)]) -> Option<Vec<u8>> {
    let of_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte);
    let mut clean: Option<Vec<u8>> = None;
    let mut done = 0;
    let mut at = 0;
    while at < data.len() {
        let length = data[at..].iter().take_while(|byte| of_base64(byte)).count();
        let padding = data[at + length..]
            .iter()
            .take(2)
            .take_while(|byte| **byte == b'=')
            .count();
        let end = at + length + padding;
        if length >= SHORTEST_RUN
            && let Some(run) = clean_run(&data[at..end], forms)
        {
            let clean = clean.get_or_insert_default();
            clean.extend_from_slice(&data[done..at]);
            clean.extend_from_slice(&run);
            done = end;
        }
        at = end.max(at + 1);
    }
    let mut clean = clean?;
    clean.extend_from_slice(&data[done..]);
    Some(clean)
}

fn clean_run(run: &[u8], forms: &[(Vec<u8>, Vec<u8>)]) -> Option<Vec<u8>> {
    let engine: &GeneralPurpose = match run.iter().any(|byte| b"-_".contains(byte)) {
        true => &URL_SAFE,
        false => &PLAIN,
    };
    let padded = run.ends_with(b"=");
    (0..4.min(run.len())).find_map(|start| {
        let mut end = run.len();
        // One character alone is no byte.
        if !padded && (end - start) % 4 == 1 {
            end -= 1;
        }
        let decoded = engine.decode(&run[start..end]).ok()?;
        let mut found = false;
        let mut cleaned = decoded;
        for (form, other) in forms {
            if let Some(clean) = replaced(&cleaned, form, other) {
                cleaned = clean;
                found = true;
            }
        }
        if !found {
            return None;
        }
        let mut text = engine.encode(cleaned);
        // What fills its last group may have been padded, had it been longer.
        if !padded && !(end - start).is_multiple_of(4) {
            text.truncate(text.trim_end_matches('=').len());
        }
        // What is cut at its end may have become longer; a replay writes the same.
        Some([&run[..start], text.as_bytes(), &run[end..]].concat())
    })
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn scrubber() -> Scrubber {
        let scrubber = Scrubber::default();
        assert_eq!(scrubber.stand_in("pa\"ss w/ord"), "redacted-1");
        assert_eq!(scrubber.stand_in("pa\"ss w/ord"), "redacted-1");
        assert_eq!(scrubber.stand_in("abc"), "redacted-2");
        assert_eq!(scrubber.stand_in(""), "");
        scrubber
    }

    #[track_caller]
    fn expect(given: &str, expected: &str) {
        let clean = scrubber().clean(given.as_bytes()).into_owned();
        assert_eq!(String::from_utf8_lossy(&clean), expected);
    }

    #[test]
    fn a_secret_is_found_however_it_is_written() {
        expect("abc stays, it is too short", "abc stays, it is too short");
        expect("a pa\"ss w/ord b", "a redacted-1 b");
        expect("LOGIN me \"pa\\\"ss w/ord\"", "LOGIN me \"redacted-1\"");
        expect("me:pa%22ss%20w%2Ford@x", "me:redacted-1@x");
        expect("q=pa%22ss+w%2Ford", "q=redacted-1");
    }

    #[test]
    fn base64_has_what_a_guest_with_the_stand_in_would_write() {
        for before in ["\0me\0", "\0me2\0", "\0mee3\0", "me:"] {
            let written = |password: &str| STANDARD.encode(format!("{before}{password}"));
            expect(
                &format!("AUTHENTICATE PLAIN {}\r\n", written("pa\"ss w/ord")),
                &format!("AUTHENTICATE PLAIN {}\r\n", written("redacted-1")),
            );
        }
        let other = format!("x {} y", STANDARD.encode("nothing to see here"));
        expect(&other, &other);
    }

    #[test]
    fn texts_deep_in_a_value_are_found() {
        let mut value = serde_json::json!({ "a": ["x pa\"ss w/ord"], "n": 1 });
        scrubber().clean_value(&mut value);
        assert_eq!(value, serde_json::json!({ "a": ["x redacted-1"], "n": 1 }));
    }
}
