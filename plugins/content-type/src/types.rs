//! Types by name and by content, and patterns of types.

use std::collections::HashMap;

/// What says nothing.
const NOTHING: [&str; 3] = [
    "application/octet-stream",
    "binary/octet-stream",
    "application/unknown",
];

/// Suffixes of weather data that general tables lack or have otherwise.
const WEATHER: [(&str, &str); 8] = [
    ("bufr", "application/bufr"),
    ("grb", "application/grib"),
    ("grb2", "application/grib"),
    ("grib", "application/grib"),
    ("grib2", "application/grib"),
    ("h5", "application/x-hdf5"),
    ("nc", "application/netcdf"),
    ("hdf5", "application/x-hdf5"),
];

/// A type as it is compared: lower case, without parameters; none where it says nothing.
pub(crate) fn essence(text: &str) -> Option<String> {
    let essence = text.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    (essence.contains('/') && !NOTHING.contains(&essence.as_str())).then_some(essence)
}

/// The type of a name, by `own` suffixes first.
pub(crate) fn by_name(name: &str, own: &HashMap<String, String>) -> Option<String> {
    let suffix = name.rsplit_once('.')?.1.to_ascii_lowercase();
    if let Some(found) = own.get(&suffix) {
        return Some(found.clone());
    }
    if let Some((_, found)) = WEATHER.iter().find(|(known, _)| *known == suffix) {
        return Some((*found).to_owned());
    }
    mime_guess::from_ext(&suffix).first_raw().and_then(essence)
}

/// The type of content that begins so.
pub(crate) fn by_content(start: &[u8]) -> Option<String> {
    let known = |text: &str| Some(text.to_owned());
    match start {
        [b'G', b'R', b'I', b'B', _, _, _, 1 | 2, ..] => known("application/grib"),
        [b'B', b'U', b'F', b'R', ..] => known("application/bufr"),
        [b'C', b'D', b'F', 1 | 2 | 5, ..] => known("application/netcdf"),
        [0x89, b'H', b'D', b'F', b'\r', b'\n', 0x1a, b'\n', ..] => known("application/x-hdf5"),
        _ => infer::get(start).and_then(|found| essence(found.mime_type())),
    }
}

/// Reads `SUFFIX = TYPE`.
pub(crate) fn own(text: &str) -> Result<(String, String), String> {
    let (suffix, kind) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` is not written `SUFFIX = TYPE`"))?;
    let suffix = suffix.trim().trim_start_matches('.').to_ascii_lowercase();
    let kind = essence(kind).ok_or_else(|| format!("`{}` is no type", kind.trim()))?;
    if suffix.is_empty() {
        return Err(format!("`{text}` names no suffix"));
    }
    Ok((suffix, kind))
}

/// A type, or all that begin the same: `image/*`, `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(String);

impl Pattern {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim().to_ascii_lowercase();
        let fixed = text.strip_suffix('*').unwrap_or(&text);
        if fixed.contains('*') || (text != "*" && !text.contains('/')) {
            return Err(format!(
                "`{text}` is no type; write `image/png`, `image/*` or `*`"
            ));
        }
        Ok(Self(text))
    }

    pub(crate) fn matches(&self, kind: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(start) => kind.starts_with(start),
            None => kind == self.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let mine = HashMap::from([own(".WX = Text/X-Weather; charset=x").unwrap()]);
        for (name, expected) in [
            ("a.pdf", Some("application/pdf")),
            ("a.PNG", Some("image/png")),
            ("a.grib2", Some("application/grib")),
            ("a.wx", Some("text/x-weather")),
            ("a.bin", None),
            ("a.unheard-of", None),
            ("plain", None),
            ("a.", None),
        ] {
            assert_eq!(by_name(name, &mine).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn content() {
        for (start, expected) in [
            (&b"%PDF-1.7\n"[..], Some("application/pdf")),
            (b"\x89PNG\r\n\x1a\n....", Some("image/png")),
            (b"GRIB\0\0\x01\x02........", Some("application/grib")),
            (b"BUFR\0\0\0\x04", Some("application/bufr")),
            (b"CDF\x01....", Some("application/netcdf")),
            (
                b"MZ\x90\0\x03\0\0\0",
                Some("application/vnd.microsoft.portable-executable"),
            ),
            (b"SACN31 CWAO 011200\r\r\n", None),
            (b"", None),
        ] {
            assert_eq!(by_content(start).as_deref(), expected, "{start:?}");
        }
    }

    #[test]
    fn patterns() {
        let matches = |pattern: &str, kind| Pattern::parse(pattern).unwrap().matches(kind);
        assert!(matches("image/*", "image/png"));
        assert!(matches("Image/PNG", "image/png"));
        assert!(matches("*", "image/png"));
        assert!(!matches("image/*", "text/plain"));
        assert!(!matches("image/png", "image/png2"));
        for wrong in ["png", "", "*/png", "image"] {
            assert!(Pattern::parse(wrong).is_err(), "{wrong}");
        }
        assert!(own("a").is_err() && own("=a/b").is_err() && own("a=b").is_err());
    }

    #[test]
    fn what_says_nothing_counts_as_nothing() {
        assert_eq!(
            essence("Text/Plain; charset=utf-8").as_deref(),
            Some("text/plain")
        );
        assert_eq!(essence("application/octet-stream"), None);
        assert_eq!(essence("nonsense"), None);
    }
}
