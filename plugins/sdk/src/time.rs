//! Times as messages write them: UTC, `YYYYMMDDThhmmss`, with a fraction where there is one.
//!
//! Only what deciding about messages needs: reading, age, and writing in another form. No time
//! zones, no leap seconds, no locale.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: i64 = 86_400;

/// A moment, UTC. Later is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Seconds since 1970.
    seconds: i64,
    nanos: u32,
}

impl Time {
    /// The time now, by the host's clock.
    pub fn now() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            nanos: since.subsec_nanos(),
        }
    }

    /// A moment so many seconds after 1970 began.
    pub const fn from_unix(seconds: i64) -> Self {
        Self { seconds, nanos: 0 }
    }

    /// Seconds since 1970 began.
    pub const fn unix(self) -> i64 {
        self.seconds
    }

    /// Reads what `pub_time` and `mtime` of a message hold; the `T` may be missing, as it is in
    /// older messages.
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits: String = whole.chars().filter(|c| *c != 'T').collect();
        if digits.len() != 14 || whole.len() > 15 || !all_digits(&digits) || !all_digits(fraction) {
            return None;
        }
        let number = |from: usize, to: usize| digits[from..to].parse::<i64>().ok();
        let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
        let (hour, minute, second) = (number(8, 10)?, number(10, 12)?, number(12, 14)?);
        if !(1..=12).contains(&month) || day < 1 || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let days = days_from_civil(year, month, day);
        // A day the month does not have comes back as another.
        if civil_from_days(days) != (year, month, day) {
            return None;
        }
        let nanos: String = fraction
            .chars()
            .chain("000000000".chars())
            .take(9)
            .collect();
        Some(Self {
            seconds: days * DAY + hour * 3600 + minute * 60 + second,
            nanos: nanos.parse().ok()?,
        })
    }

    /// How long ago this was at `now`; zero where it was not yet.
    pub fn age_at(self, now: Self) -> Duration {
        if self >= now {
            return Duration::ZERO;
        }
        let nanos = i128::from(now.seconds - self.seconds) * 1_000_000_000 + i128::from(now.nanos)
            - i128::from(self.nanos);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Writes it by a format of `strftime`: `%Y`, `%y`, `%m`, `%d`, `%H`, `%M`, `%S`, `%j` (day of
    /// the year), `%F` (`%Y-%m-%d`), `%T` (`%H:%M:%S`), `%s` (seconds since 1970), `%%`.
    ///
    /// # Errors
    /// The format asks for something else; the text says what.
    pub fn format(self, format: &str) -> Result<String, String> {
        let days = self.seconds.div_euclid(DAY);
        let rest = self.seconds.rem_euclid(DAY);
        let (year, month, day) = civil_from_days(days);
        let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
        let mut out = String::with_capacity(format.len() + 8);
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            let text = match chars.next() {
                Some('Y') => format!("{year:04}"),
                Some('y') => format!("{:02}", year.rem_euclid(100)),
                Some('m') => format!("{month:02}"),
                Some('d') => format!("{day:02}"),
                Some('H') => format!("{hour:02}"),
                Some('M') => format!("{minute:02}"),
                Some('S') => format!("{second:02}"),
                Some('j') => format!("{:03}", days - days_from_civil(year, 1, 1) + 1),
                Some('F') => format!("{year:04}-{month:02}-{day:02}"),
                Some('T') => format!("{hour:02}:{minute:02}:{second:02}"),
                Some('s') => self.seconds.to_string(),
                Some('%') => "%".to_owned(),
                Some(other) => return Err(format!("`%{other}` is no part of a time")),
                None => return Err("a `%` stands at the end".to_owned()),
            };
            out.push_str(&text);
        }
        Ok(out)
    }
}

fn all_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Days since 1970 of a date. Years are counted from March, so that the day that comes and goes is
/// the last one.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month = (month + 9) % 12;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Undoes [`days_from_civil`].
const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_messages_are_read() {
        for (text, seconds) in [
            ("19700101T000000", 0),
            ("20261122T015207.00129938126", 1_795_312_327),
            ("20261122015207.01", 1_795_312_327),
            ("20240229T235959", 1_709_251_199),
            ("19691231T235959", -1),
        ] {
            assert_eq!(Time::parse(text).map(Time::unix), Some(seconds), "{text}");
        }
        for text in [
            "",
            "20230229T000000",
            "20231301T000000",
            "2023-01-01T00:00:00",
            "20230101T2400000",
            "20230101T000000.x",
            "20230101TT00000",
            "20230101T240000",
            "２0230101T000000",
        ] {
            assert_eq!(Time::parse(text), None, "{text}");
        }
        let early = Time::parse("20230101T000000.45");
        let late = Time::parse("20230101T000000.5");
        assert!(early < late);
    }

    #[test]
    fn ages_do_not_go_below_zero() {
        let then = Time::parse("20230101T000000.75").unwrap();
        let now = Time::from_unix(then.unix() + 2);
        assert_eq!(then.age_at(now), Duration::from_millis(1250));
        assert_eq!(now.age_at(then), Duration::ZERO);
    }

    #[test]
    fn formats() {
        let time = Time::parse("20240305T070809").unwrap();
        for (format, expected) in [
            ("%Y%m%d%H%M%S", "20240305070809"),
            ("%F/%j", "2024-03-05/065"),
            ("%T", "07:08:09"),
            ("%y%%", "24%"),
            ("%s", "1709622489"),
            ("plain", "plain"),
        ] {
            assert_eq!(time.format(format).as_deref(), Ok(expected));
        }
        assert_eq!(time.format("%B").unwrap_err(), "`%B` is no part of a time");
        assert_eq!(time.format("x%").unwrap_err(), "a `%` stands at the end");
    }

    #[test]
    fn every_day_of_four_centuries_comes_back() {
        for days in -150_000..150_000 {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
    }
}
