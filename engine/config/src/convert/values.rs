//! Reads values as sr3 does, which is not always as they look, and writes them our way.

/// What sr3 makes of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Read {
    /// As we write it.
    pub(super) text: String,
    /// What is odd about it: sr3 reads something else than what it looks like.
    pub(super) odd: Option<String>,
}

impl Read {
    fn plain(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            odd: None,
        }
    }

    fn odd(text: impl Into<String>, odd: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            odd: Some(odd.into()),
        }
    }
}

/// `none`, `off` and `false` in any case.
pub(super) fn is_none(text: &str) -> bool {
    ["none", "off", "false"].contains(&text.to_ascii_lowercase().as_str())
}

/// `true`, `yes`, `on` and `1` in any case.
pub(super) fn is_true(text: &str) -> bool {
    ["true", "yes", "on", "1"].contains(&text.to_ascii_lowercase().as_str())
}

/// A flag: what is not true is false.
pub(super) fn flag(text: &str) -> Read {
    if is_true(text) {
        return Read::plain("on");
    }
    let usual = is_none(text) || ["no", "0"].contains(&text.to_ascii_lowercase().as_str());
    if usual {
        Read::plain("off")
    } else {
        Read::odd("off", format!("sr3 takes `{text}` for off"))
    }
}

/// A time span in seconds; a number without a unit is seconds.
///
/// sr3 knows lower case `s`, `m`, `h`, `d`, `w`, and `M` and `y`; any other letter at the end is
/// dropped, so that `5D` is five seconds.
pub(super) fn duration(text: &str) -> Read {
    if is_none(text) || text == "0" {
        return Read::plain("none");
    }
    let Some(seconds) = seconds(text) else {
        return Read::odd("none", format!("sr3 can't read `{text}` and takes 0"));
    };
    if seconds < 0.0 {
        return Read::odd("none", format!("`{text}` is negative"));
    }
    let last = text.chars().last().unwrap_or('s');
    let readable =
        crate::units::duration(text).is_ok_and(|ours| (ours.as_secs_f64() - seconds).abs() < 0.001);
    if readable {
        return Read::plain(text);
    }
    let written = span(seconds);
    match last {
        'D' | 'H' | 'S' | 'W' => Read::odd(
            written.clone(),
            format!(
                "sr3 knows units in lower case only and reads `{text}` as {written}; `{}` may be meant",
                text.to_ascii_lowercase()
            ),
        ),
        'M' | 'y' => Read::plain(written),
        c if c.is_alphabetic() => Read::odd(
            written.clone(),
            format!("sr3 does not know the unit and reads `{text}` as {written}"),
        ),
        _ => Read::plain(written),
    }
}

/// As sr3 computes it; none: it can't.
pub(super) fn seconds(text: &str) -> Option<f64> {
    const DAY: f64 = 86_400.0;
    const MONTH: f64 = 30.7 * DAY;
    const YEAR: f64 = 365.25 * DAY;
    let last = text.chars().last()?;
    let factor = |unit: char| match unit {
        's' => Some(1.0),
        'm' => Some(60.0),
        'h' => Some(3_600.0),
        'd' => Some(DAY),
        'w' => Some(7.0 * DAY),
        'M' => Some(MONTH),
        'y' => Some(YEAR),
        _ => None,
    };
    // A second, larger unit may stand before the last.
    let larger = match last {
        's' => Some('m'),
        'm' => Some('h'),
        'h' => Some('d'),
        'd' if text.contains('y') => Some('y'),
        'd' if text.contains('M') => Some('M'),
        'd' => Some('w'),
        'w' | 'M' if text.contains('y') => Some('y'),
        'w' if text.contains('M') => Some('M'),
        _ => None,
    };
    let number = text
        .strip_suffix(|c: char| c.is_alphabetic())
        .unwrap_or(text);
    let scale = factor(last).unwrap_or(1.0);
    match larger.filter(|unit| number.contains(*unit)) {
        Some(unit) => {
            let (big, little) = number.split_once(unit)?;
            let big: f64 = big.parse().ok()?;
            let little: f64 = little.parse().ok()?;
            Some(big * factor(unit)? + little * scale)
        }
        None => number.parse::<f64>().ok().map(|number| number * scale),
    }
}

/// `90s`, `250ms`; whole days and hours as such.
pub(super) fn span(seconds: f64) -> String {
    let millis = (seconds * 1000.0).round();
    if millis % 1000.0 != 0.0 {
        return format!("{millis}ms");
    }
    let whole = seconds.round();
    for (unit, size) in [("w", 604_800.0), ("d", 86_400.0), ("h", 3_600.0)] {
        if whole >= size && whole % size == 0.0 {
            return format!("{}{unit}", whole / size);
        }
    }
    format!("{whole}s")
}

/// A number with `k`, `m`, `g`, `t`, decimal unless `b` or `i` follows; none: no number.
pub(super) fn number(text: &str) -> Option<i64> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let binary = text.ends_with(['b', 'B', 'i', 'I']);
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let value: f64 = text[..end].parse().ok()?;
    let base: f64 = if binary { 1024.0 } else { 1000.0 };
    let power = match text[end..].to_ascii_lowercase().chars().next() {
        None | Some('b') => 0,
        Some('k') => 1,
        Some('m') => 2,
        Some('g') => 3,
        Some('t') => 4,
        Some(_) => return None,
    };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "sizes in configurations are far below 2^52"
    )]
    let value = (value * base.powi(power)) as i64;
    Some(if negative { -value } else { value })
}

/// A size with the largest unit that leaves it whole.
pub(super) fn size(bytes: i64) -> String {
    const UNITS: [(&str, i64); 8] = [
        ("TiB", 1 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
        ("TB", 1_000_000_000_000),
        ("GB", 1_000_000_000),
        ("MB", 1_000_000),
        ("kB", 1_000),
    ];
    if bytes == 0 {
        return "0".into();
    }
    match UNITS.iter().find(|(_, size)| bytes % size == 0) {
        Some((unit, size)) => format!("{}{unit}", bytes / size),
        None => format!("{bytes}B"),
    }
}

/// Octal permission bits; none: sr3 refuses it too.
pub(super) fn mode(text: &str) -> Option<String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    u32::from_str_radix(digits, 8)
        .ok()
        .map(|mode| format!("{mode:03o}"))
}

/// The members of a set, and the sign before them.
pub(super) fn set(text: &str) -> (Option<char>, Vec<String>) {
    let sign = text.chars().next().filter(|c| matches!(c, '+' | '-'));
    let members = text
        .trim_start_matches(['+', '-'])
        .split([',', '|'])
        .map(str::trim)
        .filter(|member| !member.is_empty())
        .map(str::to_owned)
        .collect();
    (sign, members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_sr3_reads_them() {
        for (text, expected, odd) in [
            ("300", "300s", false),
            ("3600", "1h", false),
            ("0.1", "100ms", false),
            ("10m", "10m", false),
            ("1h30m", "1h30m", false),
            ("1d12h", "1d12h", false),
            ("1.5h", "1.5h", false),
            ("2w", "2w", false),
            ("none", "none", false),
            ("0", "none", false),
            ("1M", "2652480s", false),
            ("1y", "8766h", false),
            ("5D", "5s", true),
            ("2H", "2s", true),
            ("soon", "none", true),
            ("1h30", "none", true),
            ("-5m", "none", true),
        ] {
            let read = duration(text);
            assert_eq!(
                (read.text.as_str(), read.odd.is_some()),
                (expected, odd),
                "{text}"
            );
        }
    }

    #[test]
    fn numbers_sizes_modes_and_sets() {
        for (text, expected) in [
            ("1k", Some(1000)),
            ("1kb", Some(1024)),
            ("1ki", Some(1024)),
            ("1Mb", Some(1_048_576)),
            ("1.5k", Some(1500)),
            ("25", Some(25)),
            ("-1", Some(-1)),
            ("x", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
        for (bytes, expected) in [
            (1_048_576, "1MiB"),
            (4096, "4KiB"),
            (1000, "1kB"),
            (50, "50B"),
            (0, "0"),
        ] {
            assert_eq!(size(bytes), expected);
        }
        assert_eq!(mode("0755").as_deref(), Some("755"));
        assert_eq!(mode("u+rw"), None);
        assert_eq!(
            set("+a,b|c"),
            (Some('+'), vec!["a".into(), "b".into(), "c".into()])
        );
        assert_eq!(flag("True"), Read::plain("on"));
        assert!(flag("maybe").odd.is_some());
    }
}
