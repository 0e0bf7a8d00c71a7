//! What is expected against what came out, value by value.
//!
//! Texts and numbers are equal if they read the same. `<any>` equals anything, and a text that
//! starts with `~` is a regular expression.

use flow_config::document::{Node, Value};
use serde_json::Value as Json;

/// Equals anything.
const ANY: &str = "<any>";

/// A place where what came out is not what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Of the file, counted from 1.
    pub line: usize,
    /// What it is about.
    pub what: String,
    /// What was expected; none: nothing.
    pub expected: Option<String>,
    /// What came out; none: nothing.
    pub actual: Option<String>,
}

impl Difference {
    pub(super) fn missing(line: usize, what: &str, expected: String) -> Self {
        Self {
            line,
            what: what.to_owned(),
            expected: Some(expected),
            actual: None,
        }
    }

    pub(super) fn extra(line: usize, what: &str, actual: String) -> Self {
        Self {
            line,
            what: what.to_owned(),
            expected: None,
            actual: Some(actual),
        }
    }
}

/// Whether an expected text says more than the one text it is.
pub(super) fn is_pattern(expected: &str) -> bool {
    expected == ANY || expected.starts_with('~')
}

/// Whether a text is as expected.
pub(super) fn text(expected: &str, actual: &str) -> bool {
    match expected.strip_prefix('~') {
        _ if expected == ANY => true,
        Some(regex) => {
            regex::Regex::new(regex.trim_start()).is_ok_and(|regex| regex.is_match(actual))
        }
        None => expected == actual,
    }
}

/// Compares, and adds what differs to `found`; `what` says where this is.
pub(super) fn node(expected: &Node, actual: &Json, what: &str, found: &mut Vec<Difference>) {
    let differs = |found: &mut Vec<Difference>| {
        found.push(Difference {
            line: expected.line,
            what: what.to_owned(),
            expected: Some(shown(expected)),
            actual: Some(told(actual)),
        });
    };
    match (&expected.value, actual) {
        (Value::Null, Json::Null) => {}
        (Value::Text { text: expected, .. }, _) if expected == ANY => {}
        (Value::Text { text: expected, .. }, actual) => match scalar(actual) {
            Some(actual) if text(expected, &actual) => {}
            _ => differs(found),
        },
        (Value::List(items), Json::Array(values)) => {
            for (index, item) in items.iter().enumerate() {
                let what = format!("{what}, number {}", index + 1);
                match values.get(index) {
                    Some(value) => node(item, value, &what, found),
                    None => found.push(Difference::missing(item.line, &what, shown(item))),
                }
            }
            for (index, value) in values.iter().enumerate().skip(items.len()) {
                let what = format!("{what}, number {}", index + 1);
                found.push(Difference::extra(expected.line, &what, told(value)));
            }
        }
        (Value::Map(fields), Json::Object(values))
            // Another verdict is one difference, not one missing and one too many.
            if fields.len() != 1 || values.len() != 1 || values.contains_key(&fields[0].key) =>
        {
            for field in fields {
                let what = format!("{what}, `{}`", field.key);
                match values.get(&field.key) {
                    Some(value) => node(&field.node, value, &what, found),
                    // Unset is what nothing means.
                    None if field.node.value == Value::Null => {}
                    None => found.push(Difference::missing(field.line, &what, shown(&field.node))),
                }
            }
            for (key, value) in values {
                if !fields.iter().any(|field| field.key == *key) {
                    let what = format!("{what}, `{key}`");
                    found.push(Difference::extra(expected.line, &what, told(value)));
                }
            }
        }
        _ => differs(found),
    }
}

fn scalar(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// What came out, in one line.
pub(super) fn told(value: &Json) -> String {
    match value {
        Json::Array(items) => {
            let items: Vec<_> = items.iter().map(told).collect();
            format!("[{}]", items.join(", "))
        }
        Json::Object(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|(key, value)| format!("{key}: {}", told(value)))
                .collect();
            match fields.len() {
                1 => fields.join(", "),
                _ => format!("{{{}}}", fields.join(", ")),
            }
        }
        Json::String(text) => quoted(text),
        other => other.to_string(),
    }
}

/// What was expected, in one line.
pub(super) fn shown(node: &Node) -> String {
    told(&super::given::json(node))
}

/// A text as YAML: bare where that reads the same.
pub(super) fn quoted(text: &str) -> String {
    let bare = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && !text.ends_with(' ')
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || " _./-".contains(c))
        && !["true", "false", "null", "yes", "no", "on", "off"].contains(&text);
    match bare {
        true => text.to_owned(),
        false => Json::from(text).to_string(),
    }
}
