//! Names of mails in messages.
//!
//! A mail of IMAP is `<folder>/<uidvalidity>-<uid>.eml`, one of POP3 is `<name>.eml`. The same mail
//! gets the same name at every poll, after a restart and after the state was lost, and the name leads
//! back to the mail. No name contains `..`, a control character or white space, whatever the server
//! calls its folders.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// Where a mail of IMAP is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The folder, as people see its name.
    pub(crate) folder: String,
    pub(crate) validity: u32,
    pub(crate) uid: u32,
}

impl Place {
    pub(crate) fn rel_path(&self) -> String {
        let folder: Vec<String> = self.folder.split('/').map(encode_segment).collect();
        format!("{}/{}-{}.eml", folder.join("/"), self.validity, self.uid)
    }

    pub(crate) fn parse(rel_path: &str) -> Option<Self> {
        let (folder, name) = rel_path.trim_start_matches('/').rsplit_once('/')?;
        let (validity, uid) = name.strip_suffix(".eml")?.split_once('-')?;
        let folder: Vec<String> = folder
            .split('/')
            .map(|segment| {
                if segment == "%" {
                    String::new()
                } else {
                    crate::server::decode(segment)
                }
            })
            .collect();
        Some(Self {
            folder: folder.join("/"),
            validity: validity.parse().ok()?,
            uid: uid.parse().ok().filter(|&uid| uid > 0)?,
        })
    }
}

/// Reversible: `%` escapes what is unsafe in a path, a URL or a Windows name; an empty level, which
/// some servers have, is a lone `%`.
fn encode_segment(segment: &str) -> String {
    if segment.is_empty() {
        return "%".to_owned();
    }
    let mut out = String::with_capacity(segment.len());
    let dots = segment.bytes().all(|byte| byte == b'.');
    for c in segment.chars() {
        let unsafe_char = c.is_control()
            || c.is_whitespace()
            || "%\\?#:*\"<>|".contains(c)
            || is_bidi(c)
            || (dots && c == '.');
        if unsafe_char {
            let mut utf8 = [0; 4];
            for byte in c.encode_utf8(&mut utf8).bytes() {
                let _ = write!(out, "%{byte:02X}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// Characters that reorder what a person reads.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// The name of a POP3 mail from its UIDL; one that is no safe name is hashed.
pub(crate) fn from_uidl(uidl: &str) -> String {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.=+@,".contains(&byte);
    if !uidl.is_empty()
        && uidl.len() <= 70
        && !uidl.starts_with('.')
        && uidl.bytes().all(safe)
        && !uidl.starts_with("h-")
        && !uidl.starts_with("t-")
    {
        format!("{uidl}.eml")
    } else {
        format!("h-{}.eml", hex(&hash(&[uidl.as_bytes()])[..16]))
    }
}

/// The name of a POP3 mail without a UIDL, from its header.
pub(crate) fn from_header(header: &[u8]) -> String {
    format!("t-{}.eml", hex(&hash(&[header])[..16]))
}

/// The value of Message-ID in a header, unfolded.
pub(crate) fn message_id(header: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(header);
    let mut value: Option<String> = None;
    for line in text.lines() {
        match &mut value {
            Some(value) if line.starts_with([' ', '\t']) => value.push_str(line.trim()),
            Some(_) => break,
            None => {
                let field = line
                    .split_once(':')
                    .filter(|(name, _)| name.trim().eq_ignore_ascii_case("message-id"));
                value = field.map(|(_, id)| id.trim().to_owned());
            }
        }
    }
    value
        .map(|id| id.chars().filter(|c| !c.is_control()).take(998).collect())
        .filter(|id: &String| !id.is_empty())
}

/// What is remembered of a mail: its fields, eight bytes of their hash.
pub(crate) fn fingerprint(parts: &[&[u8]]) -> u64 {
    let hash = hash(parts);
    u64::from_be_bytes(hash[..8].try_into().expect("the hash has 32 bytes"))
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(folder: &str, expected: &str) {
        let place = Place {
            folder: folder.to_owned(),
            validity: 7,
            uid: 42,
        };
        assert_eq!(place.rel_path(), format!("{expected}/7-42.eml"));
        assert_eq!(Place::parse(&place.rel_path()), Some(place));
    }

    #[test]
    fn folders_become_safe_paths_and_come_back() {
        check("INBOX", "INBOX");
        check("Work/2024", "Work/2024");
        check("Входящие/Заявки", "Входящие/Заявки");
        check("Sent Items", "Sent%20Items");
        check("../../etc", "%2E%2E/%2E%2E/etc");
        check("a\\b:c%41", "a%5Cb%3Ac%2541");
        check("a//b", "a/%/b");
        check("\u{202E}gpj", "%E2%80%AEgpj");
    }

    #[test]
    fn other_names_are_no_places() {
        for name in [
            "7-42.eml",
            "INBOX/7-42.txt",
            "INBOX/7.eml",
            "INBOX/x-1.eml",
            "INBOX/7-0.eml",
            "INBOX/7-99999999999.eml",
            "",
        ] {
            assert_eq!(Place::parse(name), None, "{name}");
        }
    }

    #[test]
    fn uidls_are_names_where_they_are_safe() {
        assert_eq!(from_uidl("0000000a55e1"), "0000000a55e1.eml");
        assert_eq!(from_uidl("a@b.c"), "a@b.c.eml");
        for uidl in ["../x", "a/b", "", ".hidden", "a b", "h-1", &"x".repeat(71)] {
            let name = from_uidl(uidl);
            assert!(name.starts_with("h-") && name.len() == 38, "{name}");
            assert_eq!(name, from_uidl(uidl));
        }
        assert_ne!(from_uidl("a/b"), from_uidl("a/c"));
        assert_ne!(fingerprint(&[b"ab", b"c"]), fingerprint(&[b"a", b"bc"]));
    }
}
