//! A header block: the fields decoding needs, and what of them is told to others.
//!
//! Only the first field of a name counts, as mail programs show it. Values told to others are
//! UTF-8, on one line and capped, so that a thousand parts carrying them stay small.

use mail_parser::parsers::MessageStream;
use mail_parser::{Addr, Address, DateTime, HeaderValue};

use crate::words::{self, capped};

/// The fields that are looked at.
const WANTED: [&str; 10] = [
    "content-type",
    "content-disposition",
    "content-transfer-encoding",
    "content-id",
    "from",
    "to",
    "cc",
    "subject",
    "date",
    "message-id",
];

/// Longest value of a header told, bytes. Recipients may take twice that.
const VALUE: usize = 1024;

/// How much of a header is read for that: encoded, it is longer, but not without end.
const RAW: usize = 16 * 1024;

/// The fields of one entity, unfolded.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    values: Vec<(&'static str, Vec<u8>)>,
}

impl Fields {
    /// Reads a header block; lines that are no fields are passed over.
    pub(crate) fn parse(block: &[u8]) -> Self {
        let mut values: Vec<(&'static str, Vec<u8>)> = Vec::new();
        let mut continues = false;
        for line in block.split(|b| *b == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if matches!(line.first(), Some(b' ' | b'\t')) {
                if continues && let Some((_, value)) = values.last_mut() {
                    value.extend_from_slice(line);
                }
                continue;
            }
            continues = false;
            let Some(colon) = memchr::memchr(b':', line) else {
                continue;
            };
            let name = line[..colon].trim_ascii_end();
            let wanted = WANTED
                .iter()
                .find(|w| name.eq_ignore_ascii_case(w.as_bytes()));
            if let Some(wanted) = wanted
                && !values.iter().any(|(n, _)| n == wanted)
            {
                values.push((wanted, line[colon + 1..].to_vec()));
                continues = true;
            }
        }
        Self { values }
    }

    /// The value of a field, its blanks trimmed; an empty one counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        self.values
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, v)| v.trim_ascii())
            .filter(|v| !v.is_empty())
    }

    /// As much of a value as is needed to tell it.
    fn text(&self, name: &str) -> Option<&[u8]> {
        self.get(name).map(|value| &value[..value.len().min(RAW)])
    }

    /// The `Content-ID` without its brackets.
    pub(crate) fn content_id(&self) -> Option<String> {
        id(self.text("content-id")?)
    }

    /// What every part of a mail carries about it. What the mail lacks is left out.
    pub(crate) fn mail_headers(&self) -> Vec<(&'static str, String)> {
        let date = self.text("date").map(words::decode);
        let rfc3339 = date.as_deref().and_then(date_rfc3339);
        [
            ("from", self.addresses("from")),
            ("to", self.addresses("to")),
            ("cc", self.addresses("cc")),
            ("subject", self.text("subject").map(words::decode)),
            ("date", rfc3339),
            ("dateRaw", date),
            ("messageId", self.text("message-id").and_then(id)),
        ]
        .into_iter()
        .filter_map(|(name, value)| {
            let longest = if matches!(name, "to" | "cc") {
                2 * VALUE
            } else {
                VALUE
            };
            let value = capped(&value?, longest).into_owned();
            (!value.is_empty()).then_some((name, value))
        })
        .collect()
    }

    fn addresses(&self, name: &str) -> Option<String> {
        let mut value = words::normalise(self.text(name)?);
        value.push(b'\n');
        let text = match MessageStream::new(&value).parse_address() {
            HeaderValue::Address(Address::List(list)) => list_text(&list),
            HeaderValue::Address(Address::Group(groups)) => groups
                .iter()
                .map(|group| match &group.name {
                    Some(name) => format!("{}: {};", phrase(name), list_text(&group.addresses)),
                    None => list_text(&group.addresses),
                })
                .filter(|text| !text.is_empty())
                .collect::<Vec<_>>()
                .join(", "),
            // Nothing like an address; what is there is still worth showing.
            _ => words::decode(self.text(name)?),
        };
        Some(words::printable(&text))
    }
}

fn list_text(list: &[Addr<'_>]) -> String {
    let mut out = String::new();
    for address in list {
        if out.len() > 2 * VALUE {
            break;
        }
        if !out.is_empty() {
            out.push_str(", ");
        }
        match (&address.name, &address.address) {
            (Some(name), Some(address)) => {
                out.push_str(&format!("{} <{address}>", phrase(name)));
            }
            (Some(name), None) => out.push_str(&phrase(name)),
            (None, Some(address)) => out.push_str(address),
            (None, None) => {}
        }
    }
    out
}

/// Quotes a name that would otherwise read as more than a name.
fn phrase(name: &str) -> String {
    let name = words::printable(name);
    if name.contains(['<', '>', '(', ')', '[', ']', ':', ';', '@', '\\', ',', '"']) {
        format!("\"{}\"", name.replace('\\', r"\\").replace('"', "\\\""))
    } else {
        name
    }
}

fn id(raw: &[u8]) -> Option<String> {
    let text = words::decode(raw);
    let inner = match (text.find('<'), text.rfind('>')) {
        (Some(open), Some(close)) if open < close => &text[open + 1..close],
        _ => text.trim_start_matches('<').trim_end_matches('>'),
    };
    let inner = inner.trim();
    (!inner.is_empty()).then(|| capped(inner, VALUE).into_owned())
}

/// The date in RFC 3339, if it can be read at all: two-digit years, missing zones, `GMT+3` and
/// wrong weekdays can.
fn date_rfc3339(raw: &str) -> Option<String> {
    let mut text = raw.split('(').next().unwrap_or(raw).trim().to_owned();
    // `GMT+3`, `UTC+0300` and `+03:00`, which RFC 5322 does not know.
    if let Some(sign) = text.rfind(['+', '-'])
        && let Some(zone) = offset(&text[sign + 1..])
        && sign > 0
    {
        let head = text[..sign].trim_end_matches(|c: char| c.is_ascii_alphabetic());
        text = format!("{} {}{zone}", head.trim_end(), &text[sign..=sign]);
    }
    // A time without a zone is taken as UTC.
    if text
        .rsplit(' ')
        .next()
        .is_some_and(|last| last.contains(':'))
    {
        text.push_str(" +0000");
    }
    text.push('\n');
    let date = DateTime::parse_rfc822(&text)?;
    let plausible = (1..=12).contains(&date.month)
        && (1..=31).contains(&date.day)
        && (1900..=2200).contains(&date.year)
        && date.hour < 24
        && date.minute < 60
        && date.second <= 60
        && date.tz_hour < 24
        && date.tz_minute < 60;
    plausible.then(|| date.to_rfc3339())
}

/// The four digits of a zone written `3`, `03`, `0300` or `03:00`.
fn offset(text: &str) -> Option<String> {
    let text = text.trim();
    let (hours, minutes) = match text.split_once(':') {
        Some(pair) => pair,
        None if text.len() == 4 && text.is_ascii() => text.split_at(2),
        None => (text, "00"),
    };
    let digits = |s: &str| (1..=2).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_digit());
    (digits(hours) && digits(minutes)).then(|| format!("{hours:0>2}{minutes:0>2}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(block: &str, name: &str) -> Option<String> {
        Fields::parse(block.as_bytes())
            .mail_headers()
            .into_iter()
            .find(|(n, _)| *n == name)
            .map(|(_, v)| v)
    }

    fn check(block: &str, name: &str, expected: Option<&str>) {
        assert_eq!(header(block, name).as_deref(), expected, "{block}");
    }

    #[test]
    fn addresses() {
        check("From: a@b.c", "from", Some("a@b.c"));
        check("From: Ann <a@b.c>\r\n", "from", Some("Ann <a@b.c>"));
        check(
            "From: \"Doe, J\" <a@b.c>",
            "from",
            Some("\"Doe, J\" <a@b.c>"),
        );
        check(
            "From: =?utf-8?B?0JjQstCw0L0=?= <a@b.c>",
            "from",
            Some("Иван <a@b.c>"),
        );
        check(
            "From: =?utf-8?Q?x=40bank.ru_=3Cx=40bank.ru=3E?= <evil@b.c>",
            "from",
            Some("\"x@bank.ru <x@bank.ru>\" <evil@b.c>"),
        );
        check(
            "To: a@b.c,\r\n\tBob <b@b.c>",
            "to",
            Some("a@b.c, Bob <b@b.c>"),
        );
        check(
            "To: undisclosed-recipients:;",
            "to",
            Some("undisclosed-recipients: ;"),
        );
        check("To:", "to", None);
        check("X: y", "from", None);
    }

    #[test]
    fn half_characters_in_addresses() {
        check(
            "From: =?utf-8?B?0Jg=?= =?utf-8?B?0A==?= =?utf-8?B?sg==?= <a@b.c>",
            "from",
            Some("Ив <a@b.c>"),
        );
    }

    #[test]
    fn dates() {
        for (raw, expected) in [
            (
                "Mon, 2 Jan 2006 15:04:05 +0300",
                Some("2006-01-02T15:04:05+03:00"),
            ),
            (
                "Fri, 2 Jan 2006 15:04:05 -0700 (MST)",
                Some("2006-01-02T15:04:05-07:00"),
            ),
            ("2 Jan 06 15:04:05 GMT", Some("2006-01-02T15:04:05Z")),
            ("2 Jan 2006 15:04:05", Some("2006-01-02T15:04:05Z")),
            (
                "2 Jan 2006 15:04:05 GMT+3",
                Some("2006-01-02T15:04:05+03:00"),
            ),
            (
                "2 Jan 2006 15:04:05 +03:00",
                Some("2006-01-02T15:04:05+03:00"),
            ),
            ("2 Jan 2006 15:04:05 UT", Some("2006-01-02T15:04:05Z")),
            ("yesterday", None),
            ("99 Foo 2006", None),
        ] {
            check(&format!("Date: {raw}"), "date", expected);
            check(&format!("Date: {raw}"), "dateRaw", Some(raw));
        }
    }

    #[test]
    fn ids_lose_their_brackets() {
        check("Message-ID: <a@b>", "messageId", Some("a@b"));
        check("Message-Id:\r\n <a@b>", "messageId", Some("a@b"));
        check("MESSAGE-ID : a@b", "messageId", Some("a@b"));
        check("Message-ID: <>", "messageId", None);
    }

    #[test]
    fn values_are_capped() {
        assert_eq!(
            header(&format!("Subject: {}", "я".repeat(5000)), "subject")
                .unwrap()
                .len(),
            1024
        );
        let many = format!("To: {}", "a@example.com, ".repeat(5000));
        assert!(header(&many, "to").unwrap().len() <= 2048);
    }
}
