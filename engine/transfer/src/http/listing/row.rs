//! One row of an HTML listing: its links, and what the words around them say.

use std::borrow::Cow;
use std::sync::LazyLock;

use flow_message::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use regex::{Captures, Regex};

/// A link in a row.
pub(super) struct Link<'a> {
    /// As written, entities and all.
    pub(super) href: &'a str,
    /// Where `<a` starts.
    pub(super) start: usize,
    /// Behind `</a>`, or behind `<a …>` where that is missing.
    pub(super) end: usize,
}

/// What is said of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Facts {
    pub(super) mtime: Option<Timestamp>,
    pub(super) size: Option<u64>,
}

static ANCHOR: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?i)<a\s(?:[^>]*?\s)?href\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+))[^>]*>"#)
        .expect("the pattern is constant")
});

static TAG: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?s)<[^>]*>").expect("the pattern is constant"));

/// `<time datetime="…">`, as Caddy writes it.
static DATETIME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?i)\sdatetime\s*=\s*["']([^"']+)["']"#).expect("the pattern is constant")
});

/// A date, a time, and perhaps a size: `22-Nov-2026 01:52`, `2026-11-22 01:52:06`,
/// `2026-Nov-22 01:52:06`, `11/22/2026 1:52 AM`.
static STAMP: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?xi)
        (?: (?<d1>\d{1,2})-(?<m1>[a-z]{3})-(?<y1>\d{4})
          | (?<y2>\d{4})-(?<m2>\d{2}|[a-z]{3})-(?<d2>\d{2})
          | (?<m3>\d{1,2})/(?<d3>\d{1,2})/(?<y3>\d{4}) )
        [\sT]+ (?<hour>\d{1,2}):(?<minute>\d{2})(?::(?<second>\d{2}))?
        (?: \s* (?<half>[ap]m) )?
        (?: \s+ (?<size>\d[\d.,]*) (?: \s* (?<unit>[a-z]\w*) )? )?",
    )
    .expect("the pattern is constant")
});

/// The links of a row, in order.
pub(super) fn links(row: &str) -> impl Iterator<Item = Link<'_>> {
    ANCHOR.captures_iter(row).filter_map(|found| {
        let whole = found.get(0)?;
        let href = found.get(1).or(found.get(2)).or(found.get(3))?;
        Some(Link {
            href: href.as_str(),
            start: whole.start(),
            end: end_of(row, whole.end()),
        })
    })
}

/// Where a link ends whose words start at `from`: behind `</a>`, or before the next `<a`.
fn end_of(row: &str, from: usize) -> usize {
    for (at, _) in row[from..].match_indices('<') {
        let tag = &row.as_bytes()[from + at..];
        let is =
            |name: &[u8]| tag.len() >= name.len() && tag[..name.len()].eq_ignore_ascii_case(name);
        if is(b"</a") {
            let close = tag.iter().position(|byte| *byte == b'>');
            return from + at + close.map_or(tag.len(), |close| close + 1);
        }
        if is(b"<a ") || is(b"<a\t") || is(b"<a\n") {
            return from + at;
        }
    }
    from
}

/// What the words around a link say of what it points to. A size counts if it is exact: digits and
/// no unit but bytes.
pub(super) fn facts(around: &[&str], timezone: &TimeZone) -> Facts {
    let html = around.join(" ");
    let words = TAG.replace_all(&html, " ");
    let words = unescape(&words);
    let stamp = STAMP.captures(&words);
    let exact = DATETIME
        .captures(&html)
        .and_then(|found| found[1].parse::<jiff::Timestamp>().ok());
    let mtime = match (&stamp, exact) {
        (_, Some(exact)) => Some(exact),
        (Some(stamp), None) => time(stamp, timezone),
        (None, None) => None,
    };
    let size = stamp.and_then(|stamp| {
        let unit = stamp.name("unit").map_or("", |unit| unit.as_str());
        let bytes = matches!(unit.to_ascii_lowercase().as_str(), "" | "b" | "bytes");
        stamp.name("size").filter(|_| bytes)?.as_str().parse().ok()
    });
    Facts {
        mtime: mtime.map(Timestamp::from),
        size,
    }
}

fn time(stamp: &Captures<'_>, timezone: &TimeZone) -> Option<jiff::Timestamp> {
    let text = |names: [&str; 3]| {
        names
            .iter()
            .find_map(|name| stamp.name(name))
            .map(|found| found.as_str())
    };
    let number = |names: [&str; 3]| text(names)?.parse::<i8>().ok();
    let year: i16 = text(["y1", "y2", "y3"])?.parse().ok()?;
    let month = match text(["m1", "m2", "m3"])? {
        word if word.starts_with(|c: char| c.is_ascii_alphabetic()) => month(word)?,
        digits => digits.parse().ok()?,
    };
    let day = number(["d1", "d2", "d3"])?;
    let mut hour = number(["hour", "hour", "hour"])?;
    if let Some(half) = stamp.name("half") {
        hour %= 12;
        if half.as_str().eq_ignore_ascii_case("pm") {
            hour += 12;
        }
    }
    let minute = number(["minute", "minute", "minute"])?;
    let second = number(["second", "second", "second"]).unwrap_or(0);
    let civil = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    Some(civil.to_zoned(timezone.clone()).ok()?.timestamp())
}

fn month(word: &str) -> Option<i8> {
    const MONTHS: [&str; 12] = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ];
    let found = MONTHS.iter().position(|m| m.eq_ignore_ascii_case(word))?;
    i8::try_from(found + 1).ok()
}

/// Undoes the entities listings use.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        plain.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = rest.bytes().take(12).position(|byte| byte == b';');
        match end.and_then(|end| Some((entity(&rest[1..end])?, end))) {
            Some((c, end)) => {
                plain.push(c);
                rest = &rest[end + 1..];
            }
            None => {
                plain.push('&');
                rest = &rest[1..];
            }
        }
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

fn entity(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        name => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)?
        }
    })
}

#[cfg(test)]
mod tests {
    use jiff::tz::{Offset, TimeZone};

    use super::{facts, unescape};

    fn check(words: &str, mtime: Option<&str>, size: Option<u64>) {
        let found = facts(&[words], &TimeZone::UTC);
        let time = found.mtime.map(|time| time.to_string());
        assert_eq!((time.as_deref(), found.size), (mtime, size), "{words}");
    }

    #[test]
    fn times_and_sizes_as_servers_write_them() {
        check(
            "  22-Nov-2026 01:52       17",
            Some("20261122T015200"),
            Some(17),
        );
        check("22-Nov-2026 01:52:06 -", Some("20261122T015206"), None);
        check("2026-11-22 01:52  1.2K", Some("20261122T015200"), None);
        check("2026-11-22 01:52  12K", Some("20261122T015200"), None);
        check(
            "<td>2026-11-22 01:52  </td><td> 17 </td>",
            Some("20261122T015200"),
            Some(17),
        );
        check(
            "2026-Nov-22 01:52:06</td><td>0.1K",
            Some("20261122T015206"),
            None,
        );
        check(
            "11/22/2026  1:52 AM           17 ",
            Some("20261122T015200"),
            Some(17),
        );
        check(
            "1/2/2026 12:00 PM &lt;dir&gt; ",
            Some("20260102T120000"),
            None,
        );
        check("1/2/2026 12:00 AM ", Some("20260102T000000"), None);
        check(
            r#"17 B <time datetime="2026-11-22T03:52:06+02:00">11/22/2026 03:52:06 AM</time>"#,
            Some("20261122T015206"),
            None,
        );
        check("31-Feb-2026 10:00 5", None, Some(5));
        check("nothing", None, None);
    }

    #[test]
    fn times_are_read_in_the_zone_of_the_server() {
        let zone = TimeZone::fixed(Offset::constant(-5));
        let found = facts(&["22-Nov-2026 01:52 -"], &zone);
        assert_eq!(found.mtime.unwrap().to_string(), "20261122T065200");
    }

    #[test]
    fn entities() {
        assert_eq!(
            unescape("a&amp;b&#39;&#x2F;&lt;&;&nope;&"),
            "a&b'/<&;&nope;&"
        );
    }
}
