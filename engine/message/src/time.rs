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
        // Written by hand: every message crosses the plugin boundary with one or two of these.
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

    /// Reads `YYYYMMDDThhmmss[.f…]`; the `T` may be missing, as in v02.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| ParseTimeError(text.chars().take(64).collect()))
    }
}

fn parse(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, fraction),
        None => (text, ""),
    };
    let (date, clock) = match whole.split_once('T') {
        Some(parts) => parts,
        None => (whole.get(..8)?, whole.get(8..)?),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    // Digits are one byte each, so that the slices below can't cut a character.
    if date.len() != 8 || clock.len() != 6 || !digits(date) || !digits(clock) || !digits(fraction) {
        return None;
    }
    let number = |text: &str| -> Option<i8> { text.parse().ok() };
    let year: i16 = date.get(..4)?.parse().ok()?;
    let mut nanos = 0i32;
    for index in 0..9 {
        let digit = fraction
            .as_bytes()
            .get(index)
            .map_or(0, |b| i32::from(b - b'0'));
        nanos = nanos * 10 + digit;
    }
    let civil = jiff::civil::DateTime::new(
        year,
        number(date.get(4..6)?)?,
        number(date.get(6..8)?)?,
        number(clock.get(..2)?)?,
        number(clock.get(2..4)?)?,
        // A leap second has no place in Unix time; it is read as the second before.
        number(clock.get(4..6)?)?.min(59),
        nanos,
    )
    .ok()?;
    let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(Timestamp(zoned.timestamp()))
}
