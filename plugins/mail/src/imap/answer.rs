//! Reading answers: tagged ends, and the items of FETCH.
//!
//! Servers may send anything untagged at any time, put literals anywhere and leave items out, so
//! nothing here expects more than the grammar promises.

use flow_plugin::{Failure, Result};

use crate::wire::show;

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    Ok,
    /// The server's text, code included.
    No(String),
    Bad(String),
}

/// The end of the command `tag`, if the line is it.
pub(crate) fn end_of(line: &[u8], tag: &str) -> Option<End> {
    let rest = line.strip_prefix(tag.as_bytes())?.strip_prefix(b" ")?;
    let at = rest
        .iter()
        .position(|&byte| byte == b' ')
        .unwrap_or(rest.len());
    let text = || show(&rest[at..]);
    Some(match rest[..at].to_ascii_uppercase().as_slice() {
        b"OK" => End::Ok,
        b"NO" => End::No(text()),
        _ => End::Bad(text()),
    })
}

/// What follows `* NAME `, if the untagged line has that name.
pub(crate) fn untagged<'a>(line: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let rest = line.strip_prefix(b"* ")?;
    let (head, tail) = rest.split_at_checked(name.len())?;
    if !head.eq_ignore_ascii_case(name.as_bytes()) {
        return None;
    }
    match tail.first() {
        None => Some(tail),
        Some(b' ') => Some(&tail[1..]),
        Some(_) => None,
    }
}

/// What follows `* n FETCH `, if the line is one.
pub(crate) fn fetch_of(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"* ")?;
    let at = rest
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .filter(|&at| at > 0)?;
    let (head, tail) = rest[at..].split_at_checked(7)?;
    head.eq_ignore_ascii_case(b" FETCH ").then_some(tail)
}

/// The length of the literal the line ends in.
pub(crate) fn literal_of(line: &[u8]) -> Option<u64> {
    let inner = line.strip_suffix(b"}")?;
    let at = inner.iter().rposition(|&byte| byte == b'{')?;
    std::str::from_utf8(&inner[at + 1..])
        .ok()?
        .trim_end_matches('+')
        .parse()
        .ok()
}

/// The code in square brackets a text starts with, upper case: `AUTHENTICATIONFAILED`.
pub(crate) fn code_of(text: &str) -> String {
    let code = text
        .trim_start()
        .strip_prefix('[')
        .and_then(|rest| rest.split([']', ' ']).next());
    code.unwrap_or_default().to_ascii_uppercase()
}

/// A NO or BAD to something that has nothing to do with passwords.
pub(crate) fn refusal(doing: &str, end: &End) -> Failure {
    let (word, text) = match end {
        End::Ok => ("OK", ""),
        End::No(text) => ("NO", text.as_str()),
        End::Bad(text) => ("BAD", text.as_str()),
    };
    let reason = format!("{doing}: the server said {word} {text}");
    match code_of(text).as_str() {
        "NONEXISTENT" | "NOPERM" | "CANNOT" | "BADCHARSET" => Failure::config(reason),
        _ => Failure::temporary(reason),
    }
}

/// The items of one FETCH answer, fed line by line.
///
/// Names are upper case, with what stands in their brackets: `BODY[]<0>`. Lists (flags, envelopes)
/// are passed over, their literals too.
#[derive(Debug, Default)]
pub(crate) struct Items {
    values: Vec<(String, Vec<u8>)>,
    depth: usize,
    name: Option<String>,
    finished: bool,
}

impl Items {
    /// Takes the next stretch of text, up to a line's end. Returns the length of the literal it
    /// ends in: the caller reads that many bytes, may hand them to [`Items::literal`], and goes on
    /// with the next line.
    pub(crate) fn text(&mut self, line: &[u8]) -> Result<Option<u64>> {
        let mut at = 0;
        while at < line.len() && !self.finished {
            match line[at] {
                b' ' => at += 1,
                b'(' => {
                    self.depth += 1;
                    at += 1;
                }
                b')' => {
                    self.depth = self.depth.checked_sub(1).ok_or_else(garbled)?;
                    if self.depth == 1 {
                        self.name = None;
                    }
                    self.finished = self.depth == 0;
                    at += 1;
                }
                b'"' => {
                    let (value, length) = quoted(&line[at..]).ok_or_else(garbled)?;
                    self.value(value);
                    at += length;
                }
                b'{' | b'~' if literal_of(&line[at..]).is_some() => {
                    return Ok(literal_of(&line[at..]));
                }
                _ => {
                    let wants_name = self.depth == 1 && self.name.is_none();
                    let length = atom(&line[at..], wants_name);
                    let atom = &line[at..at + length];
                    if wants_name {
                        self.name = Some(String::from_utf8_lossy(atom).to_ascii_uppercase());
                    } else if atom.eq_ignore_ascii_case(b"NIL") {
                        // There is no value: not even an empty one.
                        if self.depth == 1 {
                            self.name = None;
                        }
                    } else {
                        self.value(atom.to_vec());
                    }
                    at += length;
                }
            }
        }
        Ok(None)
    }

    /// The item the value to come belongs to; none inside a list.
    pub(crate) fn name(&self) -> Option<&str> {
        if self.depth == 1 {
            self.name.as_deref()
        } else {
            None
        }
    }

    /// The bytes of the literal `text` announced.
    pub(crate) fn literal(&mut self, bytes: Vec<u8>) {
        self.value(bytes);
    }

    /// The literal `text` announced went elsewhere, or nowhere: the item has no value here.
    pub(crate) fn passed_over(&mut self) {
        if self.depth == 1 {
            self.name = None;
        }
    }

    fn value(&mut self, bytes: Vec<u8>) {
        if self.depth == 1
            && let Some(name) = self.name.take()
        {
            self.values.push((name, bytes));
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        self.values
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_slice())
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        std::str::from_utf8(self.get(name)?).ok()?.parse().ok()
    }

    pub(crate) fn uid(&self) -> Option<u32> {
        self.number("UID").and_then(|uid| u32::try_from(uid).ok())
    }

    /// The value of the first item whose name starts so.
    pub(crate) fn starting(&self, prefix: &str) -> Option<&[u8]> {
        self.values
            .iter()
            .find(|(key, _)| key.starts_with(prefix))
            .map(|(_, value)| value.as_slice())
    }
}

fn garbled() -> Failure {
    Failure::temporary("the server's answer to FETCH can't be read: its brackets do not match")
}

/// A quoted string and how many bytes it takes.
fn quoted(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut value = Vec::new();
    let mut at = 1;
    loop {
        match text.get(at)? {
            b'"' => return Some((value, at + 1)),
            b'\\' => {
                value.push(*text.get(at + 1)?);
                at += 2;
            }
            &byte => {
                value.push(byte);
                at += 1;
            }
        }
    }
}

/// How long an atom is; a name goes on through its brackets.
fn atom(text: &[u8], name: bool) -> usize {
    let mut brackets = 0usize;
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            b'[' if name => brackets += 1,
            b']' if name => brackets = brackets.saturating_sub(1),
            b' ' | b'(' | b')' if brackets == 0 => return at.max(1),
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_in_any_order_with_lists_and_literals_between() {
        let mut items = Items::default();
        let first = br#"(FLAGS (\Seen $x) ENVELOPE ("a (b" NIL (("n" NIL {3}"#;
        assert_eq!(items.text(first), Ok(Some(3)));
        assert_eq!(items.name(), None);
        items.literal(b"x)y".to_vec());
        assert_eq!(
            items.text(br#" "h"))) BODY[HEADER.FIELDS (MESSAGE-ID)] {5}"#),
            Ok(Some(5))
        );
        assert_eq!(items.name(), Some("BODY[HEADER.FIELDS (MESSAGE-ID)]"));
        items.literal(b"hello".to_vec());
        assert_eq!(items.text(br#" internaldate "17-Jul-1996 02:44:25 -0700" uid 42 RFC822.SIZE 77 BODY[]<0> NIL)"#), Ok(None));
        assert_eq!(items.uid(), Some(42));
        assert_eq!(items.number("RFC822.SIZE"), Some(77));
        assert_eq!(
            items.get("INTERNALDATE"),
            Some(&b"17-Jul-1996 02:44:25 -0700"[..])
        );
        assert_eq!(items.starting("BODY[HEADER"), Some(&b"hello"[..]));
        assert_eq!(items.get("BODY[]<0>"), None);
        assert_eq!(items.get("FLAGS"), None);
        assert!(items.finished);
    }

    #[test]
    fn garbage_is_a_failure_and_not_a_panic() {
        for line in [
            &b"(UID"[..],
            b")",
            b"(\"open",
            b"((((",
            b"",
            b"(]])",
            b"({})",
            b"({99999999999999999999999}",
            b"(BODY[ 1)",
        ] {
            let mut items = Items::default();
            let _ = items.text(line);
            let _ = items.text(b")))");
        }
    }

    #[test]
    fn ends_and_codes_are_told_apart() {
        assert_eq!(end_of(b"A1 OK done", "A1"), Some(End::Ok));
        assert_eq!(end_of(b"A1 ok", "A1"), Some(End::Ok));
        assert_eq!(
            end_of(b"A1 NO [LIMIT] later\x07", "A1"),
            Some(End::No("[LIMIT] later".to_owned()))
        );
        assert_eq!(end_of(b"A12 OK done", "A1"), None);
        assert_eq!(end_of(b"* OK done", "A1"), None);
        assert_eq!(code_of("[AUTHENTICATIONFAILED] no"), "AUTHENTICATIONFAILED");
        assert_eq!(code_of("[limit x] no"), "LIMIT");
        assert_eq!(code_of("no [LIMIT]"), "");
        assert_eq!(literal_of(b"x {12}"), Some(12));
        assert_eq!(literal_of(b"x ~{12+}"), Some(12));
        assert_eq!(literal_of(b"x {12} "), None);
        assert_eq!(fetch_of(b"* 12 Fetch (UID 1)"), Some(&b"(UID 1)"[..]));
        assert_eq!(fetch_of(b"* FETCH (UID 1)"), None);
        assert_eq!(untagged(b"* search 1 2", "SEARCH"), Some(&b"1 2"[..]));
        assert_eq!(untagged(b"* SEARCH", "SEARCH"), Some(&b""[..]));
        assert_eq!(untagged(b"* SEARCHES 1", "SEARCH"), None);
    }
}
