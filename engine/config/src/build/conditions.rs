//! What a rule asks of a message besides its URL.

use regex::Regex;

use super::Builder;
use super::lists::parts;
use super::values::{Scalar, one_of};
use crate::explain as code;
use crate::flow::{Conditions, FileEvent, SizeRange};
use crate::mask;
use crate::source::items;
use crate::suggest::closest;
use crate::units::{self, Wrong};
use crate::yaml::{Entry, Value};

/// What the mapping of a rule may hold.
const KEYS: [&str; 5] = ["url", "size", "contentType", "header", "fileEvents"];

/// What a rule matches.
pub(super) struct Matcher {
    /// Anchored, for the URL; matches everything if the rule names none.
    pub(super) regex: Regex,
    pub(super) conditions: Conditions,
    /// As a trace shows it.
    pub(super) text: String,
}

impl Builder<'_> {
    /// What `accept` or `reject` says: an expression for the URL, or a mapping.
    pub(super) fn matcher(&mut self, name: &str, verb: &Entry) -> Option<Matcher> {
        let Value::Map(entries) = &verb.value.value else {
            let (regex, scalar) =
                self.regex(&format!("{name}.{}", verb.key), &verb.key, &verb.value)?;
            return Some(Matcher {
                regex,
                conditions: Conditions::default(),
                text: scalar.text,
            });
        };
        let mut url = None;
        let mut conditions = Conditions::default();
        let mut said = Vec::new();
        let mut good = true;
        for entry in entries {
            let at = format!("{name}.{}.{}", verb.key, entry.key);
            let part = match entry.key.as_str() {
                "url" => self.regex(&at, "url", &entry.value).map(|(regex, scalar)| {
                    url = Some(regex);
                    scalar.text
                }),
                "contentType" => {
                    self.regex(&at, "contentType", &entry.value)
                        .map(|(regex, scalar)| {
                            conditions.content_type = Some(regex);
                            scalar.text
                        })
                }
                "size" => {
                    self.condition(&at, entry, "'>1MB'", size_range)
                        .map(|(range, scalar)| {
                            conditions.size = Some(range);
                            scalar.text
                        })
                }
                "fileEvents" => self.events(&at, entry).map(|(events, shown)| {
                    conditions.events = Some(events.into_iter().collect());
                    shown
                }),
                "header" => {
                    conditions.header = self.headers(&at, entry);
                    let names: Vec<&str> = conditions
                        .header
                        .iter()
                        .map(|(name, _)| name.as_str())
                        .collect();
                    (!names.is_empty()).then(|| names.join(" "))
                }
                key => {
                    self.unknown_condition(key, entry);
                    None
                }
            };
            match part {
                Some(part) => said.push(format!("{} {part}", entry.key)),
                None => good = false,
            }
        }
        if entries.is_empty() {
            self.out
                .error(
                    code::MISSING_OPTION,
                    verb.value.span,
                    "the rule matches nothing in particular",
                )
                .label("write what to match")
                .hint("for example `{size: '>1MB'}`; `'.*'` matches everything");
            return None;
        }
        let everything = || Regex::new("^(?:.*)").expect("it is an expression");
        good.then(|| Matcher {
            regex: url.unwrap_or_else(everything),
            conditions,
            text: said.join(", "),
        })
    }

    fn condition<T>(
        &mut self,
        at: &str,
        entry: &Entry,
        example: &str,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<(T, Scalar)> {
        let scalar = self.scalar(&entry.key, &entry.value, example)?;
        match parse(&scalar.text) {
            Ok(value) => {
                self.set(at, scalar.shown(), scalar.origin.clone());
                Some((value, scalar))
            }
            Err(wrong) => {
                self.wrong(&entry.key, &scalar, wrong);
                None
            }
        }
    }

    fn events(&mut self, at: &str, entry: &Entry) -> Option<(Vec<FileEvent>, String)> {
        let names = FileEvent::ALL.map(FileEvent::as_str);
        let mut events = Vec::new();
        let nodes = items(&entry.value);
        for node in nodes {
            let scalar = self.scalar("fileEvents", node, "delete")?;
            for part in parts(&scalar.text) {
                match one_of(part, names.into_iter()) {
                    Ok(word) => events.extend(
                        FileEvent::ALL
                            .into_iter()
                            .filter(|event| event.as_str() == word),
                    ),
                    Err(wrong) => {
                        self.wrong("fileEvents", &scalar, wrong);
                        return None;
                    }
                }
            }
        }
        let shown: Vec<&str> = events.iter().map(|event| event.as_str()).collect();
        let shown = shown.join(" ");
        let origin = self.origin(entry.value.span, &[]);
        self.set(at, shown.replace(' ', ", "), origin);
        Some((events, shown))
    }

    fn headers(&mut self, at: &str, entry: &Entry) -> Vec<(String, Regex)> {
        let Value::Map(fields) = &entry.value.value else {
            let is = entry.value.kind();
            self.out
                .error(
                    code::WRONG_TYPE,
                    entry.value.span,
                    format!("`header` is a mapping of fields to expressions, this is {is}"),
                )
                .label("write `header: {source: 'north|south'}`");
            return Vec::new();
        };
        let mut headers = Vec::new();
        for field in fields {
            let name = format!("{at}.{}", field.key);
            if let Some((regex, _)) = self.regex(&name, &field.key, &field.value) {
                headers.push((field.key.clone(), regex));
            }
        }
        headers
    }

    fn unknown_condition(&mut self, key: &str, entry: &Entry) {
        let close = closest(key, KEYS);
        let message = format!("`{}` is nothing a rule can match", mask::quotable(key));
        let draft = self
            .out
            .error(code::UNKNOWN_OPTION, entry.key_span, message);
        match close {
            Some(close) => draft.label(format!("did you mean `{close}`?")),
            None => draft.label("a field of the message goes into `header`"),
        };
        draft.hint("a rule matches `url`, `size`, `contentType`, `header` and `fileEvents`");
    }
}

/// `>1MB`, `>=1MB`, `<10k`, `<=10k`, `10k..1MB`.
fn size_range(text: &str) -> Result<SizeRange, Wrong> {
    let text = text.trim();
    let all = SizeRange {
        least: 0,
        most: u64::MAX,
    };
    let empty = || {
        Wrong::new(
            code::OUT_OF_RANGE,
            "holds no size",
            "the first is the smaller one",
        )
    };
    let range = if let Some(rest) = text.strip_prefix(">=") {
        SizeRange {
            least: units::size(rest)?,
            ..all
        }
    } else if let Some(rest) = text.strip_prefix('>') {
        SizeRange {
            least: units::size(rest)?.saturating_add(1),
            ..all
        }
    } else if let Some(rest) = text.strip_prefix("<=") {
        SizeRange {
            most: units::size(rest)?,
            ..all
        }
    } else if let Some(rest) = text.strip_prefix('<') {
        SizeRange {
            most: units::size(rest)?.checked_sub(1).ok_or_else(empty)?,
            ..all
        }
    } else if let Some((least, most)) = text.split_once("..") {
        SizeRange {
            least: units::size(least)?,
            most: units::size(most)?,
        }
    } else {
        return Err(Wrong::new(
            code::WRONG_TYPE,
            format!(
                "is a range of sizes, and `{}` is none",
                mask::quotable(text)
            ),
            "write `'>1MB'`, `'<=10k'` or `'10k..1MB'`",
        ));
    };
    if range.least > range.most {
        return Err(empty());
    }
    Ok(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (text, least, most) in [
            (">1k", 1001, u64::MAX),
            (">=1k", 1000, u64::MAX),
            ("< 1k", 0, 999),
            ("<=1KiB", 0, 1024),
            ("1k..2k", 1000, 2000),
            ("0..0", 0, 0),
        ] {
            assert_eq!(size_range(text), Ok(SizeRange { least, most }), "{text}");
        }
        for (text, code) in [
            ("1k", code::WRONG_TYPE),
            ("", code::WRONG_TYPE),
            (">1", code::MISSING_UNIT),
            ("2k..1k", code::OUT_OF_RANGE),
            ("<0", code::OUT_OF_RANGE),
            (">", code::WRONG_TYPE),
        ] {
            assert_eq!(size_range(text).expect_err(text).code, code, "{text}");
        }
    }
}
