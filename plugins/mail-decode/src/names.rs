//! File names that are safe on any file system, from names a stranger chose.
//!
//! Invariants of a safe name: one path element, not empty, at most 255 bytes, NFC, no control or
//! direction-changing characters, no leading dot, no trailing dot or blank, not a device name of
//! Windows. Within one directory names are unique, upper and lower case counted as the same.
//! The same names given in the same order come out the same.

use std::collections::BTreeMap;

use unicode_normalization::UnicodeNormalization;

/// What a file system holds; bytes, not characters.
const LONGEST: usize = 255;
/// A longer tail after the last dot is no extension.
const EXTENSION: usize = 32;

/// Makes a name safe, or says that nothing of it is left.
#[must_use]
pub fn safe(name: &str) -> Option<String> {
    // The last element that is a name: a whole path may have been given, of either kind.
    let name = name
        .split(['/', '\\'])
        .rev()
        .map(clean)
        .find(|n| !n.is_empty())?;
    let stem = name.split('.').next().unwrap_or(&name).trim_end();
    let name = if is_device(stem) {
        format!("_{name}")
    } else {
        name
    };
    Some(shorten(&name, ""))
}

fn clean(element: &str) -> String {
    let kept: String = element.nfc().filter(|c| !is_unsafe(*c)).collect();
    trim(&kept).to_owned()
}

fn trim(name: &str) -> &str {
    name.trim_start_matches(|c: char| c == '.' || c.is_whitespace())
        .trim_end_matches(|c: char| c == '.' || c.is_whitespace())
}

/// Control characters, and those that make a name read as another one.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '/' | '\\'
                | '\u{61c}'
                | '\u{200b}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'
                | '\u{2066}'..='\u{2069}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
        )
}

fn is_device(stem: &str) -> bool {
    let stem = stem.to_uppercase();
    if matches!(
        stem.as_str(),
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" | "CLOCK$"
    ) {
        return true;
    }
    let Some(number) = stem
        .strip_prefix("COM")
        .or_else(|| stem.strip_prefix("LPT"))
    else {
        return false;
    };
    matches!(
        number,
        "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³"
    )
}

/// Stem and extension, the dot with the extension.
fn split(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= EXTENSION => name.split_at(dot),
        _ => (name, ""),
    }
}

/// Puts `mark` before the extension and cuts the stem so that the whole fits.
fn shorten(name: &str, mark: &str) -> String {
    let (stem, extension) = split(name);
    let room = LONGEST - extension.len() - mark.len();
    let cut = crate::words::capped(stem, room);
    let stem = if cut.len() < stem.len() || !mark.is_empty() {
        cut.trim_end_matches(|c: char| c == '.' || c.is_whitespace())
    } else {
        &cut
    };
    format!("{stem}{mark}{extension}")
}

/// The names given out in one directory.
#[derive(Debug, Default)]
pub struct Names {
    /// By the name in lower case, the number of the last duplicate tried.
    taken: BTreeMap<String, usize>,
}

impl Names {
    /// Returns `name`, which has to be safe, or `name~1`, `name~2`… before its extension.
    pub fn unique(&mut self, name: &str) -> String {
        let key = name.to_lowercase();
        let Some(mut count) = self.taken.get(&key).copied() else {
            self.taken.insert(key, 0);
            return name.to_owned();
        };
        loop {
            count += 1;
            let candidate = shorten(name, &format!("~{count}"));
            let candidate_key = candidate.to_lowercase();
            if !self.taken.contains_key(&candidate_key) {
                self.taken.insert(key, count);
                self.taken.insert(candidate_key, 0);
                return candidate;
            }
        }
    }
}

/// The extension a content type calls for, with its dot.
#[must_use]
pub fn extension(content_type: &str) -> &'static str {
    match content_type {
        "text/plain"
        | "message/delivery-status"
        | "message/disposition-notification"
        | "text/rfc822-headers"
        | "message/feedback-report" => ".txt",
        "text/html" | "application/xhtml+xml" => ".html",
        "text/calendar" | "application/ics" => ".ics",
        "text/csv" => ".csv",
        "text/markdown" => ".md",
        "text/enriched" | "text/richtext" => ".rtx",
        "text/rtf" | "application/rtf" => ".rtf",
        "text/vcard" | "text/x-vcard" | "text/directory" => ".vcf",
        "text/xml" | "application/xml" => ".xml",
        "application/json" => ".json",
        "application/pdf" => ".pdf",
        "application/zip" | "application/x-zip-compressed" => ".zip",
        "application/gzip" | "application/x-gzip" => ".gz",
        "application/msword" => ".doc",
        "application/vnd.ms-excel" => ".xls",
        "application/vnd.ms-powerpoint" => ".ppt",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => ".docx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => ".xlsx",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation" => ".pptx",
        "application/vnd.oasis.opendocument.text" => ".odt",
        "application/vnd.oasis.opendocument.spreadsheet" => ".ods",
        "application/pkcs7-mime" | "application/x-pkcs7-mime" => ".p7m",
        "application/pkcs7-signature" | "application/x-pkcs7-signature" => ".p7s",
        "application/pgp-signature" => ".asc",
        "application/ms-tnef" | "application/vnd.ms-tnef" => ".dat",
        "image/jpeg" | "image/jpg" | "image/pjpeg" => ".jpg",
        "image/png" => ".png",
        "image/gif" => ".gif",
        "image/bmp" => ".bmp",
        "image/tiff" => ".tif",
        "image/webp" => ".webp",
        "image/svg+xml" => ".svg",
        "image/heic" => ".heic",
        "audio/mpeg" => ".mp3",
        "audio/wav" | "audio/x-wav" => ".wav",
        "audio/ogg" => ".ogg",
        "video/mp4" => ".mp4",
        "message/rfc822"
        | "message/global"
        | "message/news"
        | "message/partial"
        | "message/external-body" => ".eml",
        _ => ".bin",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: Option<&str>) {
        assert_eq!(safe(name).as_deref(), expected, "{name:?}");
    }

    #[test]
    fn keeps_ordinary_names() {
        for name in [
            "a.pdf",
            "Счёт №5 (1).xlsx",
            "a.tar.gz",
            "~x",
            "no extension",
            "日本.txt",
        ] {
            check(name, Some(name));
        }
    }

    #[test]
    fn strips_what_is_dangerous() {
        check("../../etc/passwd", Some("passwd"));
        check(r"C:\Users\me\a.doc", Some("a.doc"));
        check(r"..\..\boot.ini", Some("boot.ini"));
        check("a/..", Some("a"));
        check("a/", Some("a"));
        check("..", None);
        check(".", None);
        check("", None);
        check(" . ", None);
        check("\0\u{1}", None);
        check(".bashrc", Some("bashrc"));
        check("...a", Some("a"));
        check("a\0b\r\n.txt", Some("ab.txt"));
        check("photo\u{202e}gpj.exe", Some("photogpj.exe"));
        check("a.txt. .", Some("a.txt"));
        check("CON", Some("_CON"));
        check("nul.txt", Some("_nul.txt"));
        check("com1.tar.gz", Some("_com1.tar.gz"));
        check("COM¹", Some("_COM¹"));
        check("console.txt", Some("console.txt"));
        check("com10", Some("com10"));
        check("aux .txt", Some("_aux .txt"));
        check("/", None);
    }

    #[test]
    fn composes_to_nfc() {
        check("и\u{306}.txt", Some("й.txt"));
    }

    #[test]
    fn cuts_to_255_bytes_and_keeps_the_extension() {
        let name = safe(&format!("{}.pdf", "я".repeat(300))).unwrap();
        assert!(
            name.len() <= 255 && name.len() >= 253 && name.ends_with("я.pdf"),
            "{name}"
        );
        assert_eq!(safe(&"x".repeat(300)).unwrap().len(), 255);
        let tail = safe(&format!("a.{}", "x".repeat(300))).unwrap();
        assert_eq!(tail.len(), 255);
    }

    #[test]
    fn duplicates_are_numbered_before_the_extension() {
        let mut names = Names::default();
        let given: Vec<String> = [
            "a.txt", "a.txt", "A.TXT", "a~1.txt", "b", "b", "x.tar.gz", "x.tar.gz",
        ]
        .iter()
        .map(|n| names.unique(n))
        .collect();
        assert_eq!(
            given,
            [
                "a.txt",
                "a~1.txt",
                "A~2.TXT",
                "a~1~1.txt",
                "b",
                "b~1",
                "x.tar.gz",
                "x.tar~1.gz"
            ]
        );
        let long = format!("{}.pdf", "x".repeat(251));
        assert_eq!(names.unique(&long).len(), 255);
        let second = names.unique(&long);
        assert!(
            second.len() == 255 && second.ends_with("x~1.pdf"),
            "{second}"
        );
    }
}
