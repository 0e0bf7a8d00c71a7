//! Reads single values: time spans, sizes, numbers, flags and permission bits.
//!
//! Units are required, as a bare `30` has meant seconds, minutes and days in turn to those who
//! wrote it. `0` needs none.

use std::time::Duration;

use crate::explain::{self as code, Code};
use crate::mask::quotable;

/// Why a value can't be what it should be. The message goes on after "`option` ".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) label: Option<String>,
    pub(crate) hint: Option<String>,
}

impl Wrong {
    pub(crate) fn new(code: Code, message: impl Into<String>, label: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            label: Some(label.into()),
            hint: None,
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

const SPAN_UNITS: &str = "units are `ms`, `s`, `m`, `h`, `d` and `w`";
const SIZE_UNITS: &str = "units are `k`, `M`, `G`, `T` (thousands, with or without `B`), `KiB`, `MiB`, `GiB`, `TiB` (1024), and `B`";

/// What a person may have meant by a unit that is none.
const SPAN_WORDS: [(&str, &str); 22] = [
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("S", "s"),
    ("min", "m"),
    ("mins", "m"),
    ("minute", "m"),
    ("minutes", "m"),
    ("hr", "h"),
    ("hrs", "h"),
    ("hour", "h"),
    ("hours", "h"),
    ("H", "h"),
    ("day", "d"),
    ("days", "d"),
    ("D", "d"),
    ("week", "w"),
    ("weeks", "w"),
    ("W", "w"),
    ("msec", "ms"),
    ("millis", "ms"),
];

/// Reads `30s`, `5m`, `1h30m`, `1.5h`, `2d`, `1w`, `250ms`; `0`, `none` and `off` are zero.
pub(crate) fn duration(text: &str) -> Result<Duration, Wrong> {
    let text = text.trim();
    if matches!(text, "0" | "none" | "off") {
        return Ok(Duration::ZERO);
    }
    let not_one = || {
        Wrong::new(
            code::WRONG_TYPE,
            format!("is a time span, and `{}` is none", quotable(text)),
            "write a number with a unit: `30s`, `5m`, `1h30m` or `2d`",
        )
    };
    if text.starts_with('-') {
        return Err(Wrong::new(
            code::OUT_OF_RANGE,
            "can't be negative",
            "write `0` for none",
        ));
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, tail) = split_number(rest).ok_or_else(not_one)?;
        let unit_end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let unit = tail[..unit_end].trim();
        rest = tail[unit_end..].trim_start();
        let seconds = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            "w" => 604_800.0,
            "" => {
                return Err(Wrong::new(
                    code::MISSING_UNIT,
                    "needs a unit",
                    if total == Duration::ZERO && rest.is_empty() {
                        format!("write `{number}s`, `{number}m` or `{number}h`")
                    } else {
                        format!("`{number}` of what? {SPAN_UNITS}")
                    },
                ));
            }
            other if other.chars().all(char::is_alphabetic) => {
                let message = format!("has the unknown unit `{other}`");
                let label = match SPAN_WORDS.iter().find(|(word, _)| *word == other) {
                    Some((_, unit)) => format!("write `{number}{unit}`"),
                    None => SPAN_UNITS.to_owned(),
                };
                return Err(Wrong::new(code::WRONG_UNIT, message, label));
            }
            _ => return Err(not_one()),
        };
        let value: f64 = number.parse().map_err(|_| not_one())?;
        total = Duration::try_from_secs_f64(value * seconds)
            .ok()
            .and_then(|part| total.checked_add(part))
            .filter(|sum| sum.as_secs() <= LONGEST)
            .ok_or_else(|| {
                Wrong::new(
                    code::OUT_OF_RANGE,
                    "is longer than 100 years",
                    "write `0` for no limit",
                )
            })?;
    }
    if text.is_empty() {
        Err(not_one())
    } else {
        Ok(total)
    }
}

/// A hundred years: beyond any use, and safely added to any clock.
const LONGEST: u64 = 100 * 366 * 86_400;

/// Reads `10MiB`, `10MB`, `10k`, `500B`; `0` and `none` are zero.
pub(crate) fn size(text: &str) -> Result<u64, Wrong> {
    let text = text.trim();
    if matches!(text, "0" | "none" | "off") {
        return Ok(0);
    }
    let not_one = || {
        Wrong::new(
            code::WRONG_TYPE,
            format!("is a size, and `{}` is none", quotable(text)),
            "write a number with a unit: `10k`, `64MiB` or `2GB`",
        )
    };
    if text.starts_with('-') {
        return Err(Wrong::new(
            code::OUT_OF_RANGE,
            "can't be negative",
            "write `0` for none",
        ));
    }
    let (number, unit) = split_number(text).ok_or_else(not_one)?;
    let unit = unit.trim();
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "t" | "tb" => 1_000_000_000_000,
        "ki" | "kib" => 1 << 10,
        "mi" | "mib" => 1 << 20,
        "gi" | "gib" => 1 << 30,
        "ti" | "tib" => 1 << 40,
        "" => {
            return Err(Wrong::new(
                code::MISSING_UNIT,
                "needs a unit",
                format!("write `{number}B`, `{number}k` or `{number}MiB`"),
            ));
        }
        other if other.chars().all(char::is_alphabetic) => {
            return Err(Wrong::new(
                code::WRONG_UNIT,
                format!("has the unknown unit `{unit}`"),
                SIZE_UNITS,
            ));
        }
        _ => return Err(not_one()),
    };
    let too_large = || Wrong::new(code::OUT_OF_RANGE, "is too large", "no disk holds this");
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor).ok_or_else(too_large);
    }
    let value = number.parse::<f64>().map_err(|_| not_one())? * factor as f64;
    // Below 2^53 a float holds every whole number of bytes.
    if value < 9_007_199_254_740_992.0 {
        Ok(value.round() as u64)
    } else {
        Err(too_large())
    }
}

/// A number, with or without decimals, and what follows it.
fn split_number(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let good = number.starts_with(|c: char| c.is_ascii_digit())
        && number.ends_with(|c: char| c.is_ascii_digit())
        && number.bytes().filter(|b| *b == b'.').count() <= 1;
    good.then_some((number, rest))
}

/// Reads a whole number of at least `least`.
pub(crate) fn count(text: &str, least: i64, most: i64) -> Result<i64, Wrong> {
    let number: i64 = text.trim().parse().map_err(|_| {
        Wrong::new(
            code::WRONG_TYPE,
            format!("is a whole number, and `{}` is none", quotable(text)),
            "write digits only, such as `100`",
        )
    })?;
    if number < least {
        return Err(Wrong::new(
            code::OUT_OF_RANGE,
            format!("has to be at least {least}"),
            format!("write `{least}` or more"),
        ));
    }
    if number > most {
        return Err(Wrong::new(
            code::OUT_OF_RANGE,
            format!("can't be more than {most}"),
            format!("write `{most}` or less"),
        ));
    }
    Ok(number)
}

/// Reads a rate in a second; `none` is none.
pub(crate) fn rate(text: &str) -> Result<Option<f64>, Wrong> {
    let text = text.trim();
    if matches!(text, "0" | "none" | "off") {
        return Ok(None);
    }
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(Some(rate)),
        Ok(rate) if rate.is_finite() => Err(Wrong::new(
            code::OUT_OF_RANGE,
            "has to be more than 0",
            "write `none` for no limit",
        )),
        _ => Err(Wrong::new(
            code::WRONG_TYPE,
            format!("is a number in a second, and `{}` is none", quotable(text)),
            "write a number such as `50` or `0.5`",
        )),
    }
}

/// Reads a time of the day, `06:15`, in minutes since midnight.
pub(crate) fn time_of_day(text: &str) -> Result<u16, Wrong> {
    let part = |text: &str, most: u16| {
        let digits = text.len() <= 2 && text.bytes().all(|b| b.is_ascii_digit());
        let number: u16 = text.parse().ok().filter(|_| digits)?;
        (number <= most).then_some(number)
    };
    text.split_once(':')
        .and_then(|(hour, minute)| Some(part(hour, 23)? * 60 + part(minute, 59)?))
        .ok_or_else(|| {
            Wrong::new(
                code::WRONG_TYPE,
                format!("is a time of the day, and `{}` is none", quotable(text)),
                "write hour and minute in quotes: `'06:15'`",
            )
        })
}

/// Reads `on`, `off` and their kin.
pub(crate) fn flag(text: &str) -> Result<bool, Wrong> {
    match text.trim().to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" => Ok(true),
        "off" | "false" | "no" => Ok(false),
        _ => Err(Wrong::new(
            code::WRONG_TYPE,
            format!("is on or off, and `{}` is neither", quotable(text)),
            "write `on` or `off`",
        )),
    }
}

/// Reads permission bits such as `644`, always octal.
pub(crate) fn mode(text: &str) -> Result<u32, Wrong> {
    let digits = text.trim().trim_start_matches("0o");
    let mode = digits
        .bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| u32::from_str_radix(digits, 8));
    match mode {
        Some(Ok(mode)) if (1..=0o7777).contains(&mode) => Ok(mode),
        _ => Err(Wrong::new(
            code::WRONG_TYPE,
            format!(
                "is permission bits in octal, and `{}` is not",
                quotable(text)
            ),
            "write three octal digits, such as `644`",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        for (text, millis) in [
            ("0", 0),
            ("none", 0),
            ("off", 0),
            ("30s", 30_000),
            ("5m", 300_000),
            ("250ms", 250),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("2d", 172_800_000),
            ("1w", 604_800_000),
            ("1d12h", 129_600_000),
            (" 30 s ", 30_000),
            ("1h 30m", 5_400_000),
            ("0.1s", 100),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for (text, code, label) in [
            ("30", code::MISSING_UNIT, "write `30s`, `30m` or `30h`"),
            (
                "1h30",
                code::MISSING_UNIT,
                "`30` of what? units are `ms`, `s`, `m`, `h`, `d` and `w`",
            ),
            ("5D", code::WRONG_UNIT, "write `5d`"),
            ("5 minutes", code::WRONG_UNIT, "write `5m`"),
            (
                "2M",
                code::WRONG_UNIT,
                "units are `ms`, `s`, `m`, `h`, `d` and `w`",
            ),
            (
                "1y",
                code::WRONG_UNIT,
                "units are `ms`, `s`, `m`, `h`, `d` and `w`",
            ),
            ("-5m", code::OUT_OF_RANGE, "write `0` for none"),
            (
                "9999999999999w",
                code::OUT_OF_RANGE,
                "write `0` for no limit",
            ),
            (
                "soon",
                code::WRONG_TYPE,
                "write a number with a unit: `30s`, `5m`, `1h30m` or `2d`",
            ),
            (
                "",
                code::WRONG_TYPE,
                "write a number with a unit: `30s`, `5m`, `1h30m` or `2d`",
            ),
            (
                "1..5h",
                code::WRONG_TYPE,
                "write a number with a unit: `30s`, `5m`, `1h30m` or `2d`",
            ),
            (
                "5m!",
                code::WRONG_TYPE,
                "write a number with a unit: `30s`, `5m`, `1h30m` or `2d`",
            ),
        ] {
            let wrong = duration(text).expect_err(text);
            assert_eq!(
                (wrong.code, wrong.label.as_deref()),
                (code, Some(label)),
                "{text}"
            );
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("500B", 500),
            ("10k", 10_000),
            ("10K", 10_000),
            ("10kB", 10_000),
            ("10MB", 10_000_000),
            ("10MiB", 10 << 20),
            ("1.5Ki", 1536),
            ("2G", 2_000_000_000),
            ("1TiB", 1 << 40),
            ("64 MiB", 64 << 20),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for (text, code) in [
            ("30", code::MISSING_UNIT),
            ("10Mbit", code::WRONG_UNIT),
            ("-1k", code::OUT_OF_RANGE),
            ("99999999999T", code::OUT_OF_RANGE),
            ("big", code::WRONG_TYPE),
            ("", code::WRONG_TYPE),
            ("1.2.3k", code::WRONG_TYPE),
            ("9.9T9", code::WRONG_TYPE),
        ] {
            assert_eq!(size(text).expect_err(text).code, code, "{text}");
        }
    }

    #[test]
    fn rates_and_times_of_the_day() {
        assert_eq!(
            (rate("50"), rate("0.5"), rate("none"), rate("0")),
            (Ok(Some(50.0)), Ok(Some(0.5)), Ok(None), Ok(None))
        );
        for (text, code) in [
            ("-1", code::OUT_OF_RANGE),
            ("50/s", code::WRONG_TYPE),
            ("inf", code::WRONG_TYPE),
            ("NaN", code::WRONG_TYPE),
            ("", code::WRONG_TYPE),
        ] {
            assert_eq!(rate(text).expect_err(text).code, code, "{text}");
        }
        assert_eq!(
            (
                time_of_day("06:15"),
                time_of_day("0:00"),
                time_of_day("23:59")
            ),
            (Ok(375), Ok(0), Ok(1439))
        );
        for text in ["24:00", "12:60", "12", "-1:00", "+1:00", "1:2:3", "", ":"] {
            assert_eq!(
                time_of_day(text).expect_err(text).code,
                code::WRONG_TYPE,
                "{text}"
            );
        }
    }

    #[test]
    fn numbers_flags_and_modes() {
        assert_eq!(count("12", 1, 100), Ok(12));
        assert_eq!(
            count("0", 1, 100).expect_err("small").code,
            code::OUT_OF_RANGE
        );
        assert_eq!(
            count("101", 1, 100).expect_err("large").code,
            code::OUT_OF_RANGE
        );
        assert_eq!(
            count("1k", 1, 100).expect_err("text").code,
            code::WRONG_TYPE
        );
        assert_eq!(
            (flag("on"), flag("No"), flag("TRUE")),
            (Ok(true), Ok(false), Ok(true))
        );
        assert_eq!(flag("maybe").expect_err("neither").code, code::WRONG_TYPE);
        assert_eq!(
            (mode("644"), mode("0755"), mode("0o600")),
            (Ok(0o644), Ok(0o755), Ok(0o600))
        );
        for text in ["u+rw", "9", "77777", "", "-1", "0"] {
            assert_eq!(mode(text).expect_err(text).code, code::WRONG_TYPE, "{text}");
        }
    }
}
