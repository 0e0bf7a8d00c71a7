//! Pieces of mails: parts, transfer encodings, and the two Russian character sets.
//!
//! Written here rather than taken from a mail library, so that the decoder under test is not
//! checked against its own idea of MIME.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

/// Base64 in lines of 76.
pub(super) fn base64_lines(data: &[u8]) -> String {
    let text = BASE64.encode(data);
    let mut lines = String::with_capacity(text.len() + text.len() / 38 + 2);
    for chunk in text.as_bytes().chunks(76) {
        lines.extend(chunk.iter().map(|&byte| char::from(byte)));
        lines.push_str("\r\n");
    }
    lines
}

/// Quoted-printable, soft breaks included.
pub(super) fn quoted_printable(data: &[u8]) -> String {
    let mut out = String::new();
    let mut column = 0;
    for &byte in data {
        if byte == b'\n' {
            out.push_str("\r\n");
            column = 0;
            continue;
        }
        let text = match byte {
            b'=' | 0..=31 | 127..=255 => format!("={byte:02X}"),
            _ => char::from(byte).to_string(),
        };
        if column + text.len() > 75 {
            out.push_str("=\r\n");
            column = 0;
        }
        column += text.len();
        out.push_str(&text);
    }
    out
}

/// An RFC 2047 encoded word (B).
pub(super) fn encoded_word(charset: &str, bytes: &[u8]) -> String {
    format!("=?{charset}?B?{}?=", BASE64.encode(bytes))
}

/// Percent-encodes every byte but letters and digits, as RFC 2231 values are.
pub(super) fn percent(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|&byte| {
            if byte.is_ascii_alphanumeric() || byte == b'.' {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

/// An attachment in base64. `name` is the whole `filename` parameter, `filename="x"` or RFC 2231.
pub(super) fn attachment(content_type: &str, name: &str, content: &[u8]) -> Vec<u8> {
    let mut part = format!(
        "Content-Type: {content_type}\r\nContent-Transfer-Encoding: base64\r\n\
         Content-Disposition: attachment; {name}\r\n\r\n"
    )
    .into_bytes();
    part.extend(base64_lines(content).bytes());
    part
}

/// A plain text part in UTF-8.
pub(super) fn text(body: &str) -> Vec<u8> {
    let body = body.replace('\n', "\r\n");
    format!("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{body}\r\n")
        .into_bytes()
}

/// A multipart entity: its Content-Type header, then its parts.
pub(super) fn multipart(kind: &str, boundary: &str, parts: &[Vec<u8>]) -> Vec<u8> {
    let mut entity =
        format!("Content-Type: multipart/{kind}; boundary=\"{boundary}\"\r\n\r\n").into_bytes();
    for part in parts {
        entity.extend(format!("--{boundary}\r\n").bytes());
        entity.extend_from_slice(part);
        if !part.ends_with(b"\r\n") {
            entity.extend(b"\r\n");
        }
    }
    entity.extend(format!("--{boundary}--\r\n").bytes());
    entity
}

/// A whole mail: the usual headers, then an entity that starts with its own.
pub(super) fn mail(from: &str, subject: &str, number: u32, entity: &[u8]) -> Vec<u8> {
    let day = number % 28 + 1;
    let mut raw = format!(
        "From: {from}\r\nTo: Registry <registry@example.com>\r\nSubject: {subject}\r\n\
         Date: {day:02} Oct 2026 09:{number:02}:00 +0000\r\nMessage-ID: <sample-{number}@mail.example>\r\n\
         MIME-Version: 1.0\r\n"
    )
    .into_bytes();
    raw.extend_from_slice(entity);
    raw
}

/// KOI8-R; characters it lacks become `?`.
pub(super) fn koi8_r(text: &str) -> Vec<u8> {
    const LOWER: &str = "юабцдефгхийклмнопярстужвьызшэщчъ";
    text.chars()
        .map(|c| match c {
            'ё' => 0xA3,
            'Ё' => 0xB3,
            c if c.is_ascii() => byte(c),
            c => {
                let lower = c.to_lowercase().next().unwrap_or(c);
                match LOWER.chars().position(|known| known == lower) {
                    Some(at) => {
                        (if lower == c { 0xC0 } else { 0xE0 }) + u8::try_from(at).unwrap_or(0)
                    }
                    None => b'?',
                }
            }
        })
        .collect()
}

/// windows-1251; characters it lacks become `?`.
pub(super) fn windows_1251(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| match c {
            'А'..='я' => 0xC0 + u8::try_from(u32::from(c) - u32::from('А')).unwrap_or(0),
            'Ё' => 0xA8,
            'ё' => 0xB8,
            '«' => 0xAB,
            '»' => 0xBB,
            '—' => 0x97,
            '№' => 0xB9,
            c if c.is_ascii() => byte(c),
            _ => b'?',
        })
        .collect()
}

fn byte(c: char) -> u8 {
    u8::try_from(u32::from(c)).unwrap_or(b'?')
}

/// A one-page PDF that says `line`, with a correct cross-reference table.
pub(super) fn pdf_file(line: &str) -> Vec<u8> {
    let stream = format!("BT /F1 18 Tf 72 720 Td ({line}) Tj ET");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R \
         /Resources << /Font << /F1 5 0 R >> >> >>"
            .to_owned(),
        format!(
            "<< /Length {} >>\nstream\n{stream}\nendstream",
            stream.len()
        ),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let mut file = "%PDF-1.4\n".to_owned();
    let mut table = "0000000000 65535 f \n".to_owned();
    for (number, object) in (1..).zip(&objects) {
        table.push_str(&format!("{:010} 00000 n \n", file.len()));
        file.push_str(&format!("{number} 0 obj\n{object}\nendobj\n"));
    }
    let start = file.len();
    let count = objects.len() + 1;
    file.push_str(&format!(
        "xref\n0 {count}\n{table}trailer\n<< /Size {count} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n"
    ));
    file.into_bytes()
}

/// A one-pixel PNG.
pub(super) const PIXEL: [u8; 70] = [
    0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A, 0x00, 0x00, 0x00, 0x0D, 0x49, 0x48, 0x44, 0x52,
    0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x06, 0x00, 0x00, 0x00, 0x1F, 0x15, 0xC4,
    0x89, 0x00, 0x00, 0x00, 0x0D, 0x49, 0x44, 0x41, 0x54, 0x78, 0x9C, 0x63, 0xF8, 0xDF, 0xC0, 0xF0,
    0x1F, 0x00, 0x06, 0x80, 0x02, 0x7F, 0x10, 0x4C, 0x1B, 0xE1, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45,
    0x4E, 0x44, 0xAE, 0x42, 0x60, 0x82,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn character_sets_match_their_tables() {
        let text = "Отчёт за март и смета";
        let expected = [
            0xEF, 0xD4, 0xDE, 0xA3, 0xD4, 0x20, 0xDA, 0xC1, 0x20, 0xCD, 0xC1, 0xD2, 0xD4, 0x20,
            0xC9, 0x20, 0xD3, 0xCD, 0xC5, 0xD4, 0xC1,
        ];
        assert_eq!(koi8_r(text), expected);
        assert_eq!(
            windows_1251("Яя ё«№»—"),
            [0xDF, 0xFF, 0x20, 0xB8, 0xAB, 0xB9, 0xBB, 0x97]
        );
    }

    #[test]
    fn quoted_printable_keeps_lines_short() {
        let text = quoted_printable(&[0xE0; 100]);
        assert!(text.lines().all(|line| line.len() <= 76), "{text}");
        assert_eq!(text.replace("=\r\n", ""), "=E0".repeat(100));
    }
}
