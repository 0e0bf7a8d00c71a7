//! Points in time as messages write them: `20261122T015207.00129938126`, UTC.

use std::fmt;
use std::str::FromStr;

/// A UTC point in time with the nanoseconds a message can carry.
///
/// Prints as `YYYYMMDDThhmmss` with a fraction of up to nine significant digits, omitted when zero.
/// More digits than nine are accepted on input and cut: no clock has them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(jiff::Timestamp);

/// The text is not a time of the form `YYYYMMDDThhmmss[.fraction]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time of the form `20261122T015207.5` (UTC)")]
pub struct ParseTimeError(String);

impl ParseTimeError {
    fn of(text: &str) -> Self {
        Self(crate::codec::cut(text))
    }
}

impl Timestamp {
    /// From seconds and nanoseconds since 1970-01-01 UTC; out of range is clamped.
    pub fn from_unix(seconds: i64, nanoseconds: i32) -> Self {
        jiff::Timestamp::new(seconds, nanoseconds)
            .unwrap_or(if seconds < 0 {
                jiff::Timestamp::MIN
            } else {
                jiff::Timestamp::MAX
            })
            .into()
    }

    /// Whole seconds since 1970-01-01 UTC, rounded down.
    pub fn as_second(self) -> i64 {
        self.floor_to(1_000_000_000)
    }

    /// Milliseconds since 1970-01-01 UTC, rounded down.
    pub fn as_millisecond(self) -> i64 {
        self.floor_to(1_000_000)
    }

    /// Both roundings go through here, so that a second never lies after its milliseconds.
    fn floor_to(self, nanoseconds: i128) -> i64 {
        i64::try_from(self.as_nanosecond().div_euclid(nanoseconds))
            .expect("the years 0 to 9999 in milliseconds fit an i64")
    }

    /// Nanoseconds since 1970-01-01 UTC.
    pub fn as_nanosecond(self) -> i128 {
        self.0.as_nanosecond()
    }

    /// The time this type wraps, for calendar arithmetic.
    pub fn as_jiff(self) -> jiff::Timestamp {
        self.0
    }

    /// As v02 writes it: the printed form without its `T`.
    pub fn to_v02(self) -> String {
        let mut text = self.to_string();
        text.remove(8);
        text
    }

    /// As RFC 3339 writes it: `2026-11-22T01:52:07.5Z`.
    pub fn to_rfc3339(self) -> String {
        let text = self.to_string();
        let (date, clock) = (&text[..8], &text[9..]);
        let (year, month, day) = (&date[..4], &date[4..6], &date[6..]);
        let (hour, minute, second) = (&clock[..2], &clock[2..4], &clock[4..]);
        format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z")
    }

    /// Reads RFC 3339, with any offset; without one, UTC is meant. The form of v03 is read too,
    /// since that is what sr3 writes into a `pubtime` it cuts wrongly.
    ///
    /// # Errors
    /// Any other text.
    pub fn parse_rfc3339(text: &str) -> Result<Self, ParseTimeError> {
        parse_rfc3339(text).ok_or_else(|| ParseTimeError::of(text))
    }

    /// The printed form and its length, without the detour over a formatter: every message on a
    /// wire or at the plugin boundary has one to three of these.
    pub(crate) fn digits(self) -> ([u8; 25], usize) {
        let civil = jiff::tz::Offset::UTC.to_datetime(self.0);
        let mut text = *b"00000000T000000.000000000";
        put(&mut text[..4], civil.year().unsigned_abs().into());
        put(&mut text[4..6], civil.month().unsigned_abs().into());
        put(&mut text[6..8], civil.day().unsigned_abs().into());
        put(&mut text[9..11], civil.hour().unsigned_abs().into());
        put(&mut text[11..13], civil.minute().unsigned_abs().into());
        put(&mut text[13..15], civil.second().unsigned_abs().into());
        let nanos = civil.subsec_nanosecond().unsigned_abs();
        let length = if nanos == 0 {
            15
        } else {
            put(&mut text[16..], nanos);
            let zeros = text.iter().rev().take_while(|digit| **digit == b'0');
            text.len() - zeros.count()
        };
        (text, length)
    }

    /// The time elapsed since `self` at `now`; zero if `self` lies in the future.
    pub fn age_at(self, now: Self) -> std::time::Duration {
        let nanos = (now.as_nanosecond() - self.as_nanosecond()).max(0);
        std::time::Duration::new(
            u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX),
            u32::try_from(nanos % 1_000_000_000).unwrap_or(0),
        )
    }
}

/// Midnight of 0000-01-01: what four digits of a year can say at the least.
const EARLIEST: jiff::Timestamp = jiff::Timestamp::constant(-62_167_219_200, 0);

impl From<jiff::Timestamp> for Timestamp {
    /// A time before the year 0 has no written form and becomes the earliest that has one.
    fn from(time: jiff::Timestamp) -> Self {
        Self(time.max(EARLIEST))
    }
}

impl From<std::time::SystemTime> for Timestamp {
    fn from(time: std::time::SystemTime) -> Self {
        let out_of_range = if time < std::time::SystemTime::UNIX_EPOCH {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        };
        jiff::Timestamp::try_from(time)
            .unwrap_or(out_of_range)
            .into()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (text, length) = self.digits();
        f.write_str(std::str::from_utf8(&text[..length]).expect("digits are ASCII"))
    }
}

/// Writes `number` into all of `place`, decimal, with leading zeros.
fn put(place: &mut [u8], mut number: u32) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = ParseTimeError;

    /// Reads `YYYYMMDDThhmmss[.f…]`; the `T` may be missing, as in v02. A fraction below 0.0001 may
    /// end in an exponent, which is how sr3 3.3.1 writes one: it prints `8.46687e-05`, takes the
    /// first character for the zero before the point, and reads the rest, `.46687e-05`, as such.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text.as_bytes()).ok_or_else(|| ParseTimeError::of(text))
    }
}

fn parse(text: &[u8]) -> Option<Timestamp> {
    let (date, clock) = text.split_at_checked(8)?;
    let clock = clock.strip_prefix(b"T").unwrap_or(clock);
    let (clock, fraction) = clock.split_at_checked(6)?;
    let (fraction, exponent) = match fraction {
        [fraction @ .., b'e', b'-', tens, ones] => (fraction, digit(*tens)? * 10 + digit(*ones)?),
        fraction => (fraction, 0),
    };
    let fraction = match fraction.split_first() {
        None => &[],
        Some((b'.', digits)) => digits,
        Some(_) => return None,
    };
    let mut nanos = 0i32;
    for index in 0..9 {
        nanos = nanos * 10 + fraction.get(index).map_or(Some(0), |byte| digit(*byte))?;
    }
    // Digits beyond are cut, but nothing else may hide there.
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    nanos /= 10i32
        .checked_pow(exponent.unsigned_abs())
        .unwrap_or(i32::MAX);
    civil(
        [&date[..4], &date[4..6], &date[6..]],
        [&clock[..2], &clock[2..4], &clock[4..]],
        nanos,
    )
}

fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    if let Some(time) = parse(text.strip_suffix('Z').unwrap_or(text).as_bytes()) {
        return Some(time);
    }
    // The library would read a day as its midnight.
    if text.len() < "2026-11-22T01:52:07".len() {
        return None;
    }
    // No clock has more than nine digits of a second; the library refuses what it can't hold.
    let mut whole = text.to_owned();
    if let Some(point) = text.find('.') {
        let digits = text[point + 1..]
            .bytes()
            .take_while(u8::is_ascii_digit)
            .count();
        if digits > 9 {
            whole.replace_range(point + 10..point + 1 + digits, "");
        }
    }
    let zoned: Option<jiff::Timestamp> = whole.parse().ok();
    let time = zoned.or_else(|| {
        let civil: jiff::civil::DateTime = whole.parse().ok()?;
        jiff::tz::Offset::UTC.to_timestamp(civil).ok()
    })?;
    Some(time.into())
}

fn digit(byte: u8) -> Option<i32> {
    byte.is_ascii_digit().then(|| i32::from(byte - b'0'))
}

fn civil(date: [&[u8]; 3], clock: [&[u8]; 3], nanos: i32) -> Option<Timestamp> {
    let number = |digits: &[u8]| -> Option<i32> {
        digits
            .iter()
            .try_fold(0, |sum, byte| Some(sum * 10 + digit(*byte)?))
    };
    let small = |digits: &[u8]| -> Option<i8> { i8::try_from(number(digits)?).ok() };
    let civil = jiff::civil::DateTime::new(
        i16::try_from(number(date[0])?).ok()?,
        small(date[1])?,
        small(date[2])?,
        small(clock[0])?,
        small(clock[1])?,
        // A leap second has no place in Unix time; it is read as the second before.
        small(clock[2]).filter(|second| *second <= 60)?.min(59),
        nanos,
    )
    .ok()?;
    let time = jiff::tz::Offset::UTC.to_timestamp(civil).ok()?;
    Some(Timestamp(time))
}
