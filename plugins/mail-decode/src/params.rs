//! `Content-Type` and `Content-Disposition`: a value and parameters, RFC 2231 included.
//!
//! Lenient where mailers are careless: unquoted values with blanks, backslashes of Windows paths,
//! quotes that never close, continuations out of order, with gaps or with encoded words in them.

use crate::{charset, quoted, words};

/// More parameters than any mailer writes; those after it are not read.
const MOST: usize = 1000;

/// A parsed header of this form.
#[derive(Debug, Default)]
pub struct Params {
    /// The part before the first parameter, lower case.
    pub value: String,
    list: Vec<(String, Vec<u8>)>,
}

impl Params {
    /// Reads an unfolded header value. Never fails.
    #[must_use]
    pub fn parse(raw: &[u8]) -> Self {
        let mut rest = skip_comments(raw);
        let end = rest
            .iter()
            .position(|b| matches!(b, b';' | b'(' | b' ' | b'\t'))
            .unwrap_or(rest.len());
        let value = String::from_utf8_lossy(&rest[..end]).to_ascii_lowercase();
        rest = &rest[end..];
        let mut list = Vec::new();
        while list.len() < MOST {
            rest = skip_comments(rest);
            let Some(end) = rest.iter().position(|b| matches!(b, b'=' | b';')) else {
                break;
            };
            if rest[end] == b';' {
                rest = &rest[end + 1..];
                continue;
            }
            let name = String::from_utf8_lossy(rest[..end].trim_ascii()).to_ascii_lowercase();
            let (content, after) = content(rest[end + 1..].trim_ascii_start());
            rest = after;
            if !name.is_empty() {
                list.push((name, content));
            }
        }
        Self { value, list }
    }

    /// The first parameter of this very name, as bytes.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&[u8]> {
        self.list
            .iter()
            .find(|(n, v)| n == name && !v.is_empty())
            .map(|(_, v)| v.as_slice())
    }

    /// The parameter as text: `name*`, else its continuations, else the plain form.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        let text = self
            .extended(name)
            .or_else(|| self.continued(name))
            .or_else(|| self.raw(name).map(words::decode))?;
        (!text.trim().is_empty()).then_some(text)
    }

    fn extended(&self, name: &str) -> Option<String> {
        let key = format!("{name}*");
        let (label, text) = label(self.raw(&key)?);
        Some(charset::decode(&percent(text), label.as_deref()))
    }

    /// RFC 2231 §3 and §4.1: pieces numbered from 0, each encoded or not.
    fn continued(&self, name: &str) -> Option<String> {
        let mut pieces: Vec<(u32, bool, &[u8])> = Vec::new();
        for (key, content) in &self.list {
            let Some(section) = key.strip_prefix(name).and_then(|k| k.strip_prefix('*')) else {
                continue;
            };
            let (number, encoded) = match section.strip_suffix('*') {
                Some(number) => (number, true),
                None => (section, false),
            };
            if let Ok(number) = number.parse() {
                pieces.push((number, encoded, content));
            }
        }
        // A number given twice counts once, as its first. A gap is passed over: what is left of a
        // name is better than none.
        pieces.sort_by_key(|(number, _, _)| *number);
        pieces.dedup_by_key(|(number, _, _)| *number);
        let (_, first_encoded, first) = *pieces.first()?;
        let mut charset = None;
        let mut bytes = Vec::new();
        for (at, (_, encoded, content)) in pieces.iter().enumerate() {
            match (at, encoded) {
                (0, true) => {
                    let (found, text) = label(first);
                    charset = found;
                    bytes.extend(percent(text));
                }
                (_, true) => bytes.extend(percent(content)),
                (_, false) => bytes.extend_from_slice(content),
            }
        }
        if !first_encoded && charset.is_none() {
            return Some(words::decode(&bytes));
        }
        Some(charset::decode(&bytes, charset.as_deref()))
    }
}

/// Splits `charset'language'text`.
fn label(content: &[u8]) -> (Option<String>, &[u8]) {
    let mut quotes = memchr::memchr_iter(b'\'', content);
    match (quotes.next(), quotes.next()) {
        (Some(first), Some(second)) => {
            let label = String::from_utf8_lossy(&content[..first]).into_owned();
            (Some(label), &content[second + 1..])
        }
        _ => (None, content),
    }
}

fn percent(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'%', [high, low, after @ ..]) if quoted::hex_pair(*high, *low).is_some() => {
                out.extend(quoted::hex_pair(*high, *low));
                rest = after;
            }
            _ => out.push(byte),
        }
    }
    out
}

/// Skips blanks and `(comments)`.
fn skip_comments(mut text: &[u8]) -> &[u8] {
    loop {
        text = text.trim_ascii_start();
        if text.first() != Some(&b'(') {
            return text;
        }
        let mut depth = 0_usize;
        let mut end = text.len();
        for (at, byte) in text.iter().enumerate() {
            match byte {
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                end = at + 1;
                break;
            }
        }
        text = &text[end..];
    }
}

/// Reads a parameter's content; returns what follows it.
fn content(text: &[u8]) -> (Vec<u8>, &[u8]) {
    if let Some(inner) = text.strip_prefix(b"\"") {
        let mut out = Vec::new();
        let mut at = 0;
        while at < inner.len() {
            match (inner[at], inner.get(at + 1)) {
                (b'"', _) => return (out, &inner[at + 1..]),
                // Other backslashes are those of a path, which nobody escapes.
                (b'\\', Some(next @ (b'"' | b'\\'))) => {
                    out.push(*next);
                    at += 2;
                }
                (byte, _) => {
                    out.push(byte);
                    at += 1;
                }
            }
        }
        return (out, &[]);
    }
    let end = memchr::memchr(b';', text).unwrap_or(text.len());
    (text[..end].trim_ascii().to_vec(), &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, name: &str, expected: Option<&str>) {
        assert_eq!(
            Params::parse(raw.as_bytes()).get(name).as_deref(),
            expected,
            "{raw}"
        );
    }

    #[test]
    fn plain_forms() {
        check("a/b; name=x", "name", Some("x"));
        check("a/b; Name=\"x y; z\"; q=1", "name", Some("x y; z"));
        check("a/b; name=\"x y; z\"; q=1", "q", Some("1"));
        check(
            "a/b; name=my file (1).pdf; x=1",
            "name",
            Some("my file (1).pdf"),
        );
        check("a/b (c; (d)) ; name=x", "name", Some("x"));
        check("a/b name=x", "name", Some("x"));
        check("a/b;;; name = x", "name", Some("x"));
        check("a/b; name=\"never closed", "name", Some("never closed"));
        check(r#"a/b; name="C:\dir\a.txt""#, "name", Some(r"C:\dir\a.txt"));
        check(
            r#"a/b; name="say \"hi\".txt""#,
            "name",
            Some("say \"hi\".txt"),
        );
        check("a/b; name=\"\"", "name", None);
        check("a/b; name", "name", None);
        check("", "name", None);
    }

    #[test]
    fn extended_forms() {
        check(
            "a; filename*=utf-8'ru'%D0%9F.txt",
            "filename",
            Some("П.txt"),
        );
        check(
            "a; filename*=koi8-r''%F0.txt; filename=x",
            "filename",
            Some("П.txt"),
        );
        check(
            "a; filename=x; filename*=utf-8''%D0%9F",
            "filename",
            Some("П"),
        );
        check("a; filename*=%D0%9F", "filename", Some("П"));
        check(
            "a; filename*0*=koi8-r''%F0; filename*1=.txt",
            "filename",
            Some("П.txt"),
        );
        check("a; filename*1=b; filename*0=a", "filename", Some("ab"));
        check("a; filename*0=a; filename*2=c", "filename", Some("ac"));
        check("a; filename*1=b; filename*2=c", "filename", Some("bc"));
        check(
            "a; filename*0*=utf-8''%D0; filename*1*=%9F",
            "filename",
            Some("П"),
        );
        check(
            "a; filename*0=\"=?utf-8?B?0J\"; filename*1=\"8=?=\"",
            "filename",
            Some("П"),
        );
        check("a; filename*0=a; filename*0=b", "filename", Some("a"));
        check(
            "a; filename*10=k; filename*9=j; filename*0=a",
            "filename",
            Some("ajk"),
        );
        check("a; filename*=utf-8''50%", "filename", Some("50%"));
    }

    #[test]
    fn value_is_lower_case() {
        assert_eq!(Params::parse(b" Text/HTML ; x=y").value, "text/html");
        assert_eq!(Params::parse(b"text/plain(c)").value, "text/plain");
    }
}
