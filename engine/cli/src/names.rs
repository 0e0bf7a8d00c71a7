//! Flow names and patterns on the command line: `kind/name`, `poll/mail-*`.

use flow_config::{FlowName, NameError};

use crate::stop::Problem;

/// A name a flow can have.
///
/// # Errors
/// It has no kind, an unknown kind, or characters no file of ours has.
pub(crate) fn parse(name: &str) -> Result<FlowName, Problem> {
    typed(name)
        .parse()
        .map_err(|error: NameError| Problem::new("cli/bad-name", error.to_string()))
}

/// The name as people may type it: without `.yaml`.
pub(crate) fn typed(name: &str) -> &str {
    let name = name.strip_suffix(".yaml").unwrap_or(name);
    name.strip_prefix("./").unwrap_or(name)
}

/// The names a pattern selects: exact, or with `*` and `?`; a pattern without `/` is tried in
/// every kind.
pub(crate) fn select<'a>(pattern: &str, names: &'a [String]) -> Vec<&'a String> {
    let pattern = typed(pattern);
    names
        .iter()
        .filter(|name| {
            let subject = if pattern.contains('/') {
                name.as_str()
            } else {
                name.rsplit('/').next().unwrap_or(name)
            };
            matches(pattern.as_bytes(), subject.as_bytes())
        })
        .collect()
}

/// Whether a glob of `*` and `?` matches the whole text.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.first(), text.first()) {
        (None, None) => true,
        (Some(b'*'), _) => {
            matches(&pattern[1..], text)
                || (!text.is_empty() && text[0] != b'/' && matches(pattern, &text[1..]))
        }
        (Some(b'?'), Some(c)) if *c != b'/' => matches(&pattern[1..], &text[1..]),
        (Some(p), Some(c)) if p == c => matches(&pattern[1..], &text[1..]),
        _ => false,
    }
}

/// Names that look like the one given: what differs by few edits.
pub(crate) fn near<'a>(name: &str, all: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let limit = (name.chars().count() / 4).max(2);
    let mut near: Vec<(usize, &str)> = all
        .into_iter()
        .map(|other| (distance(name, other), other))
        .filter(|(d, _)| *d <= limit)
        .collect();
    near.sort();
    // What is one edit away is meant; what is three away as well only confuses.
    let nearest = near.first().map_or(0, |(distance, _)| *distance);
    near.retain(|(distance, _)| *distance == nearest);
    near.into_iter().take(3).map(|(_, other)| other).collect()
}

/// Levenshtein's distance; names are short.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, c) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, d) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(c != *d);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_typed() {
        assert_eq!(
            parse("./poll/mail-2.yaml").map(|name| name.to_string()),
            Ok("poll/mail-2".to_owned())
        );
        assert_eq!(
            parse("mail").map_err(|problem| problem.code),
            Err("cli/bad-name")
        );
    }

    #[test]
    fn patterns_select() {
        let names: Vec<String> = ["flow/mail", "poll/mail", "poll/mail-2"]
            .map(String::from)
            .to_vec();
        for (pattern, expected) in [
            ("poll/mail", 1),
            ("poll/mail.yaml", 1),
            ("poll/*", 2),
            ("mail", 2),
            ("mail*", 3),
            ("*/mail", 2),
            ("poll/mail-?", 1),
            ("*", 3),
            ("x", 0),
        ] {
            assert_eq!(select(pattern, &names).len(), expected, "{pattern}");
        }
    }

    #[test]
    fn near_names_are_found() {
        assert_eq!(
            near("pol/mail", ["poll/mail", "subscribe/mail"]),
            ["poll/mail"]
        );
        assert!(near("xyz", ["poll/mail"]).is_empty());
    }
}
