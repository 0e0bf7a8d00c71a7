//! Content that travels inside a message: the JSON of its header `content`.

use std::fmt::Write as _;

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// `{"encoding": …, "value": …}`: text where the bytes are text, base64 otherwise.
pub(crate) fn json(content: &[u8]) -> String {
    match std::str::from_utf8(content) {
        Ok(text) => format!(r#"{{"encoding":"utf-8","value":{}}}"#, quoted(text)),
        Err(_) => format!(r#"{{"encoding":"base64","value":"{}"}}"#, base64(content)),
    }
}

fn quoted(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            // Writing to a `String` can't fail.
            c if c < ' ' => drop(write!(json, "\\u{:04x}", c as u32)),
            c => json.push(c),
        }
    }
    json.push('"');
    json
}

fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let three = [0, 1, 2].map(|at| u32::from(chunk.get(at).copied().unwrap_or(0)));
        let bits = three[0] << 16 | three[1] << 8 | three[2];
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= chunk.len() {
                digit as char
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::json;

    #[test]
    fn text_is_text_and_bytes_are_base64() {
        assert_eq!(
            json("a\"\\\n\u{1}é".as_bytes()),
            r#"{"encoding":"utf-8","value":"a\"\\\n\u0001é"}"#
        );
        let base64 = |bytes: &[u8]| json(&[bytes, b"\xff"].concat());
        assert_eq!(base64(b""), r#"{"encoding":"base64","value":"/w=="}"#);
        assert_eq!(base64(b"a"), r#"{"encoding":"base64","value":"Yf8="}"#);
        assert_eq!(base64(b"ab"), r#"{"encoding":"base64","value":"YWL/"}"#);
        assert_eq!(
            base64(b"abc"),
            r#"{"encoding":"base64","value":"YWJj/w=="}"#
        );
    }
}
