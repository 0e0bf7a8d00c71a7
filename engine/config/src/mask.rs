//! Finds what must not be shown in a line of text.
//!
//! Used on every line and value that goes into a finding, so it errs on the side of hiding: what
//! looks like the password of a URL, or like the value of a key named after a secret, is `****`.
//! A variable (`${…}`) is opaque: its `:-` is no password's colon.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// What is shown instead.
pub(crate) const MASK: &str = "****";

/// The byte ranges of passwords in URLs within `text`, in order, not overlapping.
///
/// A password runs from the first `:` after `scheme://` to the last `@` that can still belong to
/// the URL, whatever is between: a raw `/`, `@` or blank in it makes the URL wrong, not public.
pub(crate) fn password_ranges(text: &str) -> Vec<Range<usize>> {
    let opaque = without_variables(text);
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for (at, _) in opaque.match_indices("://") {
        let start = at + 3;
        if ranges.last().is_some_and(|last| start < last.end) {
            continue;
        }
        let rest = &opaque[start..];
        let rest = &rest[..end_of_url(&opaque[..at], rest)];
        let Some(last_at) = rest.rfind('@') else {
            continue;
        };
        if let Some(colon) = rest[..last_at].find(':')
            && colon + 1 < last_at
        {
            ranges.push(start + colon + 1..start + last_at);
        }
    }
    ranges
}

/// The password of the one URL that `text` is, judged strictly: only what a URL parser would take
/// as the password, so that an `@` in a path is no finding.
pub(crate) fn url_password(text: &str) -> Option<Range<usize>> {
    let opaque = without_variables(text);
    let mut from = 0;
    while let Some(found) = opaque[from..].find("://") {
        let start = from + found + 3;
        let rest = &opaque[start..];
        let authority = &rest[..rest.find(['/', '?', '#', ' ', '\n']).unwrap_or(rest.len())];
        if let Some(last_at) = authority.rfind('@')
            && let Some(colon) = authority[..last_at].find(':')
            && colon + 1 < last_at
        {
            return Some(start + colon + 1..start + last_at);
        }
        from = start;
    }
    None
}

/// `text` with every variable replaced by as many `_`.
///
/// Not one that holds a `://`: what looks like a variable may be a `${` nobody closed, with half of
/// the line behind it, and a default may be a URL itself.
fn without_variables(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let mut open = Vec::new();
    for at in 0..bytes.len() {
        if text.as_bytes()[at..].starts_with(b"${") {
            open.push(at);
        } else if text.as_bytes()[at] == b'}'
            && let Some(start) = open.pop()
            && !text[start..at].contains("://")
        {
            bytes[start..=at].fill(b'_');
        }
    }
    String::from_utf8(bytes).expect("whole characters between `$` and `}` became ASCII")
}

fn end_of_url(before: &str, rest: &str) -> usize {
    let scheme = before
        .rfind(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')))
        .map_or("", |at| &before[at..]);
    let quote = scheme.chars().next().filter(|c| matches!(c, '"' | '\''));
    let ends = [
        quote.and_then(|quote| rest.find(quote)),
        rest.find(" #"),
        rest.find(", "),
    ];
    ends.into_iter().flatten().min().unwrap_or(rest.len())
}

/// `key: value` and `key=value` where the key is named after a secret.
static SECRET_KEY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r#"(?i)["']?\b([\w-]*(?:passw|passphrase|pwd|secret|token|api_?key|apikey|private_?key)[\w-]*)["']?\s*[:=]\s*([^\s,}\]][^,}\]]*)"#,
    )
    .expect("the pattern is a constant and compiles")
});

/// Whether an option of this name is taken for a secret when nobody says what it is.
pub(crate) fn sounds_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name != "secrets"
        && [
            "passw",
            "passphrase",
            "pwd",
            "secret",
            "token",
            "apikey",
            "api_key",
            "private_key",
            "privatekey",
        ]
        .iter()
        .any(|word| name.contains(word))
}

/// The byte ranges of all that must not be shown in a line, in order, not overlapping.
pub(crate) fn secret_ranges(line: &str, hidden: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut ranges = password_ranges(line);
    ranges.extend(hidden.iter().cloned());
    for found in SECRET_KEY.captures_iter(line) {
        if let (Some(key), Some(value)) = (found.get(1), found.get(2))
            && sounds_secret(key.as_str())
        {
            ranges.push(value.start()..value.start() + value.as_str().trim_end().len());
        }
    }
    ranges.retain(|range| range.start < range.end);
    ranges.sort_by_key(|range| (range.start, range.end));
    let mut merged: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// `text` with passwords of URLs masked and not too long, to quote in a message.
pub(crate) fn quotable(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut masked = replace(text, &password_ranges(text));
    if masked.chars().count() > LONGEST {
        masked = masked.chars().take(LONGEST).collect::<String>() + "…";
    }
    masked
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// `text` with passwords of URLs masked, for `flow show`.
pub(crate) fn masked_url(text: &str) -> String {
    replace(text, &password_ranges(text))
}

/// `text` with `ranges` replaced by the mask.
pub(crate) fn replace(text: &str, ranges: &[Range<usize>]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for range in ranges {
        out.push_str(&text[at..range.start]);
        out.push_str(MASK);
        at = range.end;
    }
    out.push_str(&text[at..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str) -> String {
        replace(text, &secret_ranges(text, &[]))
    }

    #[test]
    fn passwords_are_masked_however_they_are_written() {
        for (text, expected) in [
            ("https://me:geheim@host/", "https://me:****@host/"),
            (
                "pollUrl: https://me:a@b/c d@host/  # note @x",
                "pollUrl: https://me:****@host/  # note @x",
            ),
            (
                "[https://a:b@c, 'sftp://d:e f@g']",
                "[https://a:****@c, 'sftp://d:****@g']",
            ),
            ("https://host:8080/path", "https://host:8080/path"),
            ("https://host/~me@home", "https://host/~me@home"),
            (
                "https://${U:-me%40example.com}@host/",
                "https://${U:-me%40example.com}@host/",
            ),
            (
                "https://${U:-me}:${PW}@host/",
                "https://${U:-me}:****@host/",
            ),
            ("https://:x@host", "https://:****@host"),
            (
                "${URL:-https://me:pw@host/}",
                "${URL:-https://me:****@host/}",
            ),
            ("${A:-https://${U:-x}@host/}", "${A:-https://${U:-x}@host/}"),
            ("${ x ftp://u:pw@h/${%Y} }", "${ x ftp://u:****@h/${%Y} }"),
            ("api_key: abc def", "api_key: ****"),
            ("{token: abc, after: keep}", "{token: ****, after: keep}"),
            ("secrets: [https://me@host/]", "secrets: [https://me@host/]"),
            ("é://ü:ö@ä", "é://ü:****@ä"),
        ] {
            assert_eq!(masked(text), expected);
        }
    }

    #[test]
    fn only_what_a_parser_takes_as_password_is_one() {
        assert_eq!(url_password("https://me:pw@host/"), Some(11..13));
        assert_eq!(url_password("https://host:80/me@home"), None);
        assert_eq!(url_password("https://${U:-x}@host"), None);
        assert_eq!(url_password("a http://x/ http://u:p@h"), Some(21..22));
    }
}
