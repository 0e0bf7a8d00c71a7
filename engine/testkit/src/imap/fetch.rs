//! FETCH: reading the list of items, and answering it for one mail.

use std::fmt::Write as _;

use super::command::Token;
use super::store::Mail;

/// One thing asked of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Uid,
    Flags,
    Size,
    InternalDate,
    /// Part of the text, under the name the answer carries.
    Body {
        name: String,
        section: Section,
        partial: Option<(usize, usize)>,
        peek: bool,
    },
}

/// Which part of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Section {
    Whole,
    Header,
    Text,
    Fields { names: Vec<String>, listed: bool },
}

/// Reads the items of a FETCH, macros expanded.
pub(super) fn items(tokens: &[Token]) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    for token in tokens {
        match token {
            Token::Open | Token::Close => {}
            Token::Text(_) => return Err("FETCH items are atoms".into()),
            Token::Atom(word) => match word.to_ascii_uppercase().as_str() {
                "FAST" => items.extend([Item::Flags, Item::InternalDate, Item::Size]),
                "UID" => items.push(Item::Uid),
                "FLAGS" => items.push(Item::Flags),
                "RFC822.SIZE" => items.push(Item::Size),
                "INTERNALDATE" => items.push(Item::InternalDate),
                "RFC822" => items.push(whole(word, Section::Whole, false)),
                "RFC822.HEADER" => items.push(whole(word, Section::Header, true)),
                "RFC822.TEXT" => items.push(whole(word, Section::Text, false)),
                upper => items.push(body(word, upper)?),
            },
        }
    }
    if items.is_empty() {
        Err("FETCH needs items".into())
    } else {
        Ok(items)
    }
}

fn whole(name: &str, section: Section, peek: bool) -> Item {
    Item::Body {
        name: name.to_ascii_uppercase(),
        section,
        partial: None,
        peek,
    }
}

/// Reads `BODY[…]<off.len>` and `BODY.PEEK[…]<off.len>`.
fn body(word: &str, upper: &str) -> Result<Item, String> {
    let unknown = || format!("this server has no FETCH item `{word}`");
    let (peek, rest) = match upper.strip_prefix("BODY.PEEK[") {
        Some(rest) => (true, rest),
        None => (false, upper.strip_prefix("BODY[").ok_or_else(unknown)?),
    };
    let (section_text, after) = rest.split_once(']').ok_or_else(unknown)?;
    let section = match section_text {
        "" => Section::Whole,
        "HEADER" => Section::Header,
        "TEXT" => Section::Text,
        fields => {
            let fields = fields.strip_prefix("HEADER.FIELDS").ok_or_else(unknown)?;
            let (listed, names) = match fields.strip_prefix(".NOT") {
                Some(names) => (false, names),
                None => (true, fields),
            };
            let names = names
                .trim()
                .strip_prefix('(')
                .and_then(|names| names.strip_suffix(')'));
            let names = names.ok_or_else(unknown)?.split_ascii_whitespace();
            Section::Fields {
                names: names
                    .map(|name| name.trim_matches('"').to_owned())
                    .collect(),
                listed,
            }
        }
    };
    let partial = match after.strip_prefix('<') {
        None => None,
        Some(range) => {
            let (offset, length) = range
                .strip_suffix('>')
                .and_then(|range| range.split_once('.'))
                .ok_or_else(unknown)?;
            Some((
                offset.parse().map_err(|_| unknown())?,
                length.parse().map_err(|_| unknown())?,
            ))
        }
    };
    let mut name = format!("BODY[{section_text}]");
    if let Some((offset, _)) = partial {
        let _ = write!(name, "<{offset}>");
    }
    Ok(Item::Body {
        name,
        section,
        partial,
        peek,
    })
}

/// Whether answering marks the mail as seen.
pub(super) fn marks_seen(items: &[Item]) -> bool {
    items
        .iter()
        .any(|item| matches!(item, Item::Body { peek: false, .. }))
}

/// Appends the whole `* n FETCH (…)` line to `out`.
pub(super) fn answer(number: usize, mail: &Mail, items: &[Item], out: &mut Vec<u8>) {
    out.extend(format!("* {number} FETCH (").bytes());
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        match item {
            Item::Uid => out.extend(format!("UID {}", mail.uid).bytes()),
            Item::Flags => out.extend(flags(mail).bytes()),
            Item::Size => out.extend(format!("RFC822.SIZE {}", mail.raw.len()).bytes()),
            Item::InternalDate => {
                let time = mail.arrived.to_zoned(jiff::tz::TimeZone::UTC);
                out.extend(
                    format!(
                        "INTERNALDATE \"{}\"",
                        time.strftime("%d-%b-%Y %H:%M:%S +0000")
                    )
                    .bytes(),
                );
            }
            Item::Body {
                name,
                section,
                partial,
                ..
            } => {
                let content = content(&mail.raw, section);
                let mut bytes = content.as_ref();
                if let Some((offset, length)) = *partial {
                    let from = offset.min(bytes.len());
                    bytes = &bytes[from..from.saturating_add(length).min(bytes.len())];
                }
                out.extend(format!("{name} {{{}}}\r\n", bytes.len()).bytes());
                out.extend_from_slice(bytes);
            }
        }
    }
    out.extend(b")\r\n");
}

/// `FLAGS (…)` of a mail.
pub(super) fn flags(mail: &Mail) -> String {
    let flags: Vec<&str> = mail.flags.iter().map(String::as_str).collect();
    format!("FLAGS ({})", flags.join(" "))
}

fn content<'a>(raw: &'a [u8], section: &Section) -> std::borrow::Cow<'a, [u8]> {
    let header_end = raw
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .map_or(raw.len(), |at| at + 4);
    match section {
        Section::Whole => raw.into(),
        Section::Header => raw[..header_end].into(),
        Section::Text => raw[header_end..].into(),
        Section::Fields { names, listed } => {
            let mut kept = Vec::new();
            let mut keep = false;
            for line in raw[..header_end].split_inclusive(|&byte| byte == b'\n') {
                if line == b"\r\n" {
                    break;
                }
                // A folded line goes with the one before.
                if !line.starts_with(b" ") && !line.starts_with(b"\t") {
                    let name = line.split(|&byte| byte == b':').next().unwrap_or(line);
                    keep = names
                        .iter()
                        .any(|wanted| name.eq_ignore_ascii_case(wanted.as_bytes()))
                        == *listed;
                }
                if keep {
                    kept.extend_from_slice(line);
                }
            }
            kept.extend(b"\r\n");
            kept.into()
        }
    }
}
