//! Guesses the charset of bytes that carry no usable label.
//!
//! UTF-8 is certain enough to be decided by validity alone. Between the Cyrillic charsets every
//! byte string is valid, so letters are weighed by how common they are in Russian, and upper case
//! after lower case, which is what one of them looks like read as another, counts against.
//! A guess is a guess: the caller reports it.

use encoding_rs::{Encoding, IBM866, ISO_2022_JP, KOI8_R, WINDOWS_1251, WINDOWS_1252};

/// Whether `bytes` are UTF-8. Unless `whole`, a character may be cut off at the end.
pub(crate) fn is_utf8(bytes: &[u8], whole: bool) -> bool {
    match std::str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => !whole && error.error_len().is_none(),
    }
}

/// Whether nearly all multi-byte sequences are valid UTF-8, as in labelled text with some damage.
pub(crate) fn is_mostly_utf8(bytes: &[u8]) -> bool {
    let mut valid = 0_usize;
    let mut invalid = 0_usize;
    for chunk in bytes.utf8_chunks() {
        valid += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        invalid += usize::from(!chunk.invalid().is_empty());
    }
    valid >= 8 * invalid
}

/// The most likely charset of bytes that are not UTF-8.
pub(crate) fn guess(bytes: &[u8], whole: bool) -> &'static Encoding {
    if is_iso_2022_jp(bytes) {
        return ISO_2022_JP;
    }
    if is_utf8(bytes, whole) {
        return encoding_rs::UTF_8;
    }
    if looks_western(bytes) {
        return WINDOWS_1252;
    }
    // In a draw the first wins.
    let mut best = WINDOWS_1251;
    let mut best_score = score(bytes, WINDOWS_1251);
    for encoding in [KOI8_R, IBM866] {
        let score = score(bytes, encoding);
        if score > best_score {
            (best, best_score) = (encoding, score);
        }
    }
    best
}

fn is_iso_2022_jp(bytes: &[u8]) -> bool {
    bytes.is_ascii()
        && memchr::memmem::find_iter(bytes, b"\x1b$")
            .any(|at| matches!(bytes.get(at + 2), Some(b'@' | b'B')))
}

/// Accented letters stand alone among ASCII ones; Cyrillic ones stand together.
fn looks_western(bytes: &[u8]) -> bool {
    let mut high = 0_usize;
    let mut alone = 0_usize;
    for (at, byte) in bytes.iter().enumerate() {
        if byte.is_ascii() {
            continue;
        }
        high += 1;
        let before = at.checked_sub(1).map_or(b' ', |i| bytes[i]);
        let after = bytes.get(at + 1).copied().unwrap_or(b' ');
        if before.is_ascii()
            && after.is_ascii()
            && (before.is_ascii_alphabetic() || after.is_ascii_alphabetic())
        {
            alone += 1;
        }
    }
    alone * 2 > high
}

fn score(bytes: &[u8], encoding: &'static Encoding) -> i64 {
    let (text, _) = encoding.decode_without_bom_handling(bytes);
    let mut score = 0;
    let mut after_lower = false;
    for c in text.chars() {
        let lower = c.to_lowercase().next().unwrap_or(c);
        score += match lower {
            '\0'..='\x7f'
            | '«'
            | '»'
            | '№'
            | '—'
            | '–'
            | '“'
            | '”'
            | '„'
            | '…'
            | '°'
            | '\u{a0}' => 0,
            _ => frequency(lower).unwrap_or(-80),
        };
        if after_lower && lower != c {
            score -= 60;
        }
        after_lower = lower == c && frequency(c).is_some();
    }
    score
}

/// Occurrences per thousand letters of Russian text; Ukrainian and Belarusian letters are added.
fn frequency(c: char) -> Option<i64> {
    Some(match c {
        'о' => 110,
        'е' => 85,
        'а' => 80,
        'и' => 74,
        'н' => 67,
        'т' => 63,
        'с' => 55,
        'р' => 47,
        'в' => 45,
        'л' => 44,
        'к' => 35,
        'м' => 32,
        'д' => 30,
        'п' => 28,
        'у' => 26,
        'я' => 20,
        'ы' => 19,
        'ь' | 'г' => 17,
        'з' | 'б' => 16,
        'ч' => 14,
        'й' => 12,
        'х' => 10,
        'ж' => 9,
        'ш' => 7,
        'ю' => 6,
        'ц' => 5,
        'щ' | 'і' => 4,
        'э' | 'ф' | 'ї' | 'є' => 3,
        'ъ' | 'ё' | 'ґ' | 'ў' => 1,
        _ => return None,
    })
}

/// The charset an HTML text declares in its first bytes.
pub(crate) fn meta(head: &[u8]) -> Option<&'static Encoding> {
    let lower = head.to_ascii_lowercase();
    let at = memchr::memmem::find(&lower, b"charset")? + b"charset".len();
    let value = lower[at..]
        .iter()
        .copied()
        .skip_while(|b| matches!(b, b' ' | b'=' | b'"' | b'\'' | b'\t'))
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        .take(40)
        .collect::<Vec<u8>>();
    match crate::charset::resolve(std::str::from_utf8(&value).ok()?) {
        // A text that is read as ASCII this far cannot be UTF-16.
        crate::charset::Charset::Known(encoding) if encoding.is_ascii_compatible() => {
            Some(encoding)
        }
        _ => None,
    }
}
