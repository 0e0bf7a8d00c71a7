//! Sizes, times and counts as people read them.

use std::time::Duration;

/// Bytes: `0 B`, `48.3 KiB`, `1.2 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A time span: `0.4ms`, `12ms`, `1.24s`, `2m05s`, `3h20m`.
pub(crate) fn elapsed(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds >= 3600 {
        return format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60);
    }
    if seconds >= 60 {
        return format!("{}m{:02}s", seconds / 60, seconds % 60);
    }
    let millis = time.as_secs_f64() * 1000.0;
    if millis < 9.95 {
        format!("{millis:.1}ms")
    } else if millis < 999.5 {
        format!("{millis:.0}ms")
    } else {
        format!("{:.2}s", time.as_secs_f64())
    }
}

/// A time to wait, to the second: `40s`, `2m05s`, `3h20m`.
pub(crate) fn wait(time: Duration) -> String {
    if time.as_secs() >= 60 {
        elapsed(time)
    } else {
        format!("{}s", time.as_secs_f64().ceil())
    }
}

/// A number with thin groups: `12 345`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && digits.len() > 4 {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// `1 message`, `12 345 messages`.
pub(crate) fn plural(number: u64, noun: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {noun}{s}", count(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_times_and_counts() {
        for (size, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (49_459, "48.3 KiB"),
            (1_048_575, "1.0 MiB"),
            (200 << 20, "200.0 MiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(bytes(size), text);
        }
        for (micros, text) in [
            (0, "0.0ms"),
            (412, "0.4ms"),
            (9_960, "10ms"),
            (12_000, "12ms"),
            (999_700, "1.00s"),
            (1_240_000, "1.24s"),
            (125_000_000, "2m05s"),
            (12_000_000_000, "3h20m"),
        ] {
            assert_eq!(elapsed(Duration::from_micros(micros)), text);
        }
        assert_eq!(wait(Duration::from_millis(39_100)), "40s");
        assert_eq!(wait(Duration::from_secs(61)), "1m01s");
        assert_eq!(count(9999), "9999");
        assert_eq!(count(1_234_567), "1 234 567");
        assert_eq!(plural(1, "mail"), "1 mail");
    }
}
