//! Encoded words in headers (RFC 2047), read the way mail really uses them.
//!
//! Neighbouring words of one charset are joined as bytes before they are decoded, since mailers
//! cut characters in half; words inside quoted strings and file names count; so do language tags
//! (RFC 2231 §5), blanks inside words and unknown charsets. Raw 8-bit bytes are guessed at, once
//! for the whole header.

use std::borrow::Cow;

use crate::{base64, charset, guess, quoted};

struct Word<'a> {
    charset: &'a str,
    bytes: Vec<u8>,
}

enum Token<'a> {
    Raw(&'a [u8]),
    /// Text of one or more words.
    Words(String),
}

/// Decodes a header value to UTF-8: words, raw 8-bit, no control characters.
#[must_use]
pub fn decode(value: &[u8]) -> String {
    let encoding = raw_encoding(value);
    let mut out = String::new();
    tokens(value, |token| match token {
        Token::Raw(raw) => out.push_str(&encoding.decode_without_bom_handling(raw).0),
        Token::Words(text) => out.push_str(&text),
    });
    printable(&out)
}

/// The same header with every word in UTF-8 and whole, and raw bytes in UTF-8, for a parser that
/// decodes word by word.
#[must_use]
pub fn normalise(value: &[u8]) -> Vec<u8> {
    let encoding = raw_encoding(value);
    let mut out = Vec::with_capacity(value.len());
    let mut after_word = false;
    tokens(value, |token| match token {
        Token::Raw(raw) => {
            out.extend_from_slice(encoding.decode_without_bom_handling(raw).0.as_bytes());
            after_word = false;
        }
        Token::Words(text) => {
            if after_word {
                out.push(b' ');
            }
            out.extend_from_slice(b"=?utf-8?B?");
            out.extend_from_slice(base64::encode(printable(&text).as_bytes()).as_bytes());
            out.extend_from_slice(b"?=");
            after_word = true;
        }
    });
    out
}

fn raw_encoding(value: &[u8]) -> &'static encoding_rs::Encoding {
    guess::guess(value, true)
}

fn tokens<'a>(value: &'a [u8], mut emit: impl FnMut(Token<'a>)) {
    // Words collected so far that may be joined with the next one.
    let mut pending: Option<Word<'a>> = None;
    let mut raw_from = 0;
    let mut at = 0;
    while let Some(found) = memchr::memmem::find(&value[at..], b"=?") {
        let start = at + found;
        let Some((word, length)) = word(&value[start..]) else {
            at = start + 2;
            continue;
        };
        let raw = &value[raw_from..start];
        at = start + length;
        raw_from = at;
        match pending.take() {
            Some(mut before) if raw.trim_ascii().is_empty() => {
                if before.charset.eq_ignore_ascii_case(word.charset) {
                    before.bytes.extend_from_slice(&word.bytes);
                    pending = Some(before);
                } else {
                    emit(before.into_token());
                    pending = Some(word);
                }
            }
            before => {
                if let Some(before) = before {
                    emit(before.into_token());
                }
                if !raw.is_empty() {
                    emit(Token::Raw(raw));
                }
                pending = Some(word);
            }
        }
    }
    if let Some(before) = pending {
        emit(before.into_token());
    }
    if raw_from < value.len() {
        emit(Token::Raw(&value[raw_from..]));
    }
}

impl<'a> Word<'a> {
    fn into_token(self) -> Token<'a> {
        Token::Words(charset::decode(&self.bytes, Some(self.charset)))
    }
}

/// Reads the word `value` starts with; returns its length as well.
fn word(value: &[u8]) -> Option<(Word<'_>, usize)> {
    let inner = value.strip_prefix(b"=?")?;
    // Labels are short; without a bound a header full of `=?` would be searched over and over.
    let label = memchr::memchr(b'?', &inner[..inner.len().min(80)])?;
    let charset = std::str::from_utf8(&inner[..label]).ok()?;
    if charset.is_empty() || charset.contains(|c: char| c.is_ascii_whitespace() || c == '=') {
        return None;
    }
    let charset = charset.split('*').next().unwrap_or(charset);
    let [kind, b'?', payload @ ..] = &inner[label + 1..] else {
        return None;
    };
    let end = payload_end(payload)?;
    let text = &payload[..end];
    let bytes = match kind {
        b'b' | b'B' => base64::decode(text),
        b'q' | b'Q' => decode_q(text),
        _ => return None,
    };
    Some((Word { charset, bytes }, 2 + label + 3 + end + 2))
}

/// Finds the closing `?=`. Another word starting first means this one was never closed.
fn payload_end(payload: &[u8]) -> Option<usize> {
    for at in memchr::memchr_iter(b'?', payload) {
        if payload.get(at + 1) == Some(&b'=') {
            return Some(at);
        }
        if at > 0 && payload[at - 1] == b'=' {
            return None;
        }
    }
    None
}

fn decode_q(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        out.push(match (byte, tail) {
            (b'_', _) => b' ',
            (b'=', [high, low, after @ ..]) => match quoted::hex_pair(*high, *low) {
                Some(value) => {
                    rest = after;
                    value
                }
                None => byte,
            },
            _ => byte,
        });
    }
    out
}

/// Turns control characters into blanks: a word may hold a line break, a header value may not.
#[must_use]
pub fn printable(text: &str) -> String {
    text.trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Cuts at a character boundary.
#[must_use]
pub fn capped(text: &str, bytes: usize) -> Cow<'_, str> {
    if text.len() <= bytes {
        return Cow::Borrowed(text);
    }
    let end = (0..=bytes)
        .rev()
        .find(|i| text.is_char_boundary(*i))
        .unwrap_or(0);
    Cow::Owned(text[..end].to_owned())
}
