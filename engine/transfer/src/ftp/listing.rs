//! Lines of listings: the one made for programs (MLSD), and those made for people (LIST, as Unix and
//! as Windows write it).

use std::sync::LazyLock;

use flow_message::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use regex::{Captures, Regex};

use crate::{About, Entry, EntryKind};

/// `-rw-r--r-- 1 me us 12 Nov 22 01:52 name`; group, access-control mark and year may vary.
static UNIX: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?x)^(?<kind>[-dlbcpsD])(?<mode>[-rwxsStTlL]{9})[.+@]?\s*
        (?:\d+\s+)?(?:\S+\s+){1,3}?(?<size>\d+)\s+
        (?: (?<month>[A-Za-z]{3})\s+(?<day>\d{1,2})\s+(?:(?<clock>\d{1,2}:\d{2})|(?<year>\d{4}))
          | (?<iso>\d{4}-\d{2}-\d{2})\s+(?<time>\d{2}:\d{2}(?::\d{2})?)
          | \S+\s+\S+\s+(?:\d{1,2}:\d{2}|\d{4}) )
        \x20(?<name>.+)$",
    )
    .expect("the pattern is constant")
});

/// `11-22-26  01:52AM       <DIR>          name`, `2026-11-22 ...`.
static WINDOWS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?xi)^(?<month>\d{2})-(?<day>\d{2})-(?<year>\d{4}|\d{2})\s+
        (?<hour>\d{1,2}):(?<minute>\d{2})(?:\s?(?<half>[ap]m))?\s+
        (?:(?<dir><\w+>)|(?<size>[\d,.]+))\s+(?<name>.+)$",
    )
    .expect("the pattern is constant")
});

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

/// One line of `LIST`; none for what is no entry (`total 12`, `.`, nonsense). Times are in `zone`; a
/// time without a year is in the last twelve months before `now`.
pub(super) fn line(line: &str, zone: &TimeZone, now: Timestamp) -> Option<Entry> {
    let entry = match UNIX.captures(line) {
        Some(found) => unix(&found, zone, now),
        None => windows(&WINDOWS.captures(line)?, zone)?,
    };
    (!matches!(entry.name.as_str(), "." | "..")).then_some(entry)
}

fn unix(found: &Captures<'_>, zone: &TimeZone, now: Timestamp) -> Entry {
    let kind = match &found["kind"] {
        "-" => EntryKind::File,
        "d" => EntryKind::Directory,
        "l" => EntryKind::Link,
        _ => EntryKind::Other,
    };
    let (name, target) = match found["name"].split_once(" -> ") {
        Some((name, target)) if kind == EntryKind::Link => (name, Some(target.to_owned())),
        _ => (&found["name"], None),
    };
    Entry {
        name: name.to_owned(),
        kind,
        size: found["size"]
            .parse()
            .ok()
            .filter(|_| kind == EntryKind::File),
        mtime: unix_time(found, zone, now),
        mode: Some(mode(&found["mode"])),
        target,
    }
}

fn unix_time(found: &Captures<'_>, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
    if let (Some(date), Some(time)) = (found.name("iso"), found.name("time")) {
        let time = format!("{}T{}", date.as_str(), time.as_str());
        return instant(time.parse().ok()?, zone);
    }
    let month = found.name("month")?.as_str().to_ascii_lowercase();
    let month = MONTHS.iter().position(|known| *known == month)?;
    let month = i8::try_from(month + 1).ok()?;
    let day = found["day"].parse().ok()?;
    let at = |year: i16, time: Time| {
        let date = Date::new(year, month, day).ok()?;
        instant(DateTime::from_parts(date, time), zone)
    };
    if let Some(year) = found.name("year") {
        return at(year.as_str().parse().ok()?, Time::midnight());
    }
    let (hour, minute) = found.name("clock")?.as_str().split_once(':')?;
    let time = Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()?;
    let year = now.as_jiff().to_zoned(zone.clone()).year();
    // Clocks and zones differ by up to a day; what is further ahead is of last year. So is a
    // 29 February this year does not have.
    match at(year, time) {
        Some(made) if made.as_second() <= now.as_second() + 86_400 => Some(made),
        _ => at(year - 1, time),
    }
}

/// `rwxr-x--T` as bits.
fn mode(text: &str) -> u32 {
    let mut bits = 0;
    for (at, mark) in text.bytes().enumerate() {
        let bit = 0o400 >> at;
        bits |= match mark {
            b'-' | b'S' | b'T' | b'l' | b'L' => 0,
            _ => bit,
        };
        bits |= match (at, mark) {
            (2, b's' | b'S') => 0o4000,
            (5, b's' | b'S') => 0o2000,
            (8, b't' | b'T') => 0o1000,
            _ => 0,
        };
    }
    bits
}

fn windows(found: &Captures<'_>, zone: &TimeZone) -> Option<Entry> {
    let year: i16 = found["year"].parse().ok()?;
    let year = match year {
        0..70 => 2000 + year,
        70..100 => 1900 + year,
        year => year,
    };
    let hour: i8 = found["hour"].parse().ok()?;
    let hour = match found.name("half").map(|half| half.as_str().as_bytes()[0]) {
        Some(b'p' | b'P') if hour < 12 => hour + 12,
        Some(b'a' | b'A') if hour == 12 => 0,
        _ => hour,
    };
    let time = DateTime::new(
        year,
        found["month"].parse().ok()?,
        found["day"].parse().ok()?,
        hour,
        found["minute"].parse().ok()?,
        0,
        0,
    );
    let kind = match found.name("dir") {
        Some(_) => EntryKind::Directory,
        None => EntryKind::File,
    };
    Some(Entry {
        name: found["name"].to_owned(),
        kind,
        size: found
            .name("size")
            .and_then(|size| size.as_str().replace([',', '.'], "").parse().ok()),
        mtime: time.ok().and_then(|time| instant(time, zone)),
        ..Entry::default()
    })
}

fn instant(time: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    let zoned = time.to_zoned(zone.clone()).ok()?;
    Some(Timestamp::from(zoned.timestamp()))
}

/// One line of `MLSD`; none for the directory itself, the one above, and nonsense.
pub(super) fn machine(line: &str) -> Option<Entry> {
    let (facts, name) = line.split_once(' ')?;
    let (about, target, own) = facts_of(facts);
    if !own || matches!(name, "" | "." | "..") {
        return None;
    }
    Some(Entry {
        name: name.to_owned(),
        kind: about.kind,
        size: about.size,
        mtime: about.mtime,
        mode: about.mode,
        target,
    })
}

/// The facts in the reply to `MLST`: the line that starts with a blank.
pub(super) fn facts(reply: &str) -> Option<About> {
    let line = reply.lines().find(|line| line.starts_with(' '))?;
    let (facts, _) = line.trim_start().split_once(' ')?;
    Some(facts_of(facts).0)
}

/// Facts, the target of a link, and whether it is about the entry itself.
fn facts_of(facts: &str) -> (About, Option<String>, bool) {
    let (mut about, mut target, mut own) = (About::default(), None, true);
    for fact in facts.split(';') {
        let Some((name, value)) = fact.split_once('=') else {
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "type" => {
                let kind = value.to_ascii_lowercase();
                own = !matches!(kind.as_str(), "cdir" | "pdir");
                about.kind = match kind.as_str() {
                    "file" => EntryKind::File,
                    "dir" | "cdir" | "pdir" => EntryKind::Directory,
                    kind if kind.starts_with("os.unix=slink")
                        || kind.starts_with("os.unix=symlink") =>
                    {
                        target = value.split_once(':').map(|(_, to)| to.to_owned());
                        EntryKind::Link
                    }
                    _ => EntryKind::Other,
                };
            }
            "size" => about.size = value.parse().ok(),
            "modify" => about.mtime = time(value),
            "unix.mode" => {
                about.mode = u32::from_str_radix(value, 8).ok().map(|mode| mode & 0o7777);
            }
            _ => {}
        }
    }
    about.size = about.size.filter(|_| about.kind == EntryKind::File);
    (about, target, own)
}

/// `YYYYMMDDHHMMSS`, perhaps with a fraction, in UTC.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.len() != 14 || !whole.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, to: usize| whole[from..to].parse::<i8>().ok();
    let digits: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    let time = DateTime::new(
        whole[..4].parse().ok()?,
        part(4, 6)?,
        part(6, 8)?,
        part(8, 10)?,
        part(10, 12)?,
        part(12, 14)?.min(59),
        digits.parse().ok()?,
    );
    instant(time.ok()?, &TimeZone::UTC)
}

/// A time for `MFMT`: whole seconds, in UTC.
pub(super) fn stamp(time: Timestamp) -> String {
    time.as_jiff().strftime("%Y%m%d%H%M%S").to_string()
}

#[cfg(test)]
mod tests;
