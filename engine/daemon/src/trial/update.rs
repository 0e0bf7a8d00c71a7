//! Writing what came out into the file, in place of what was expected.
//!
//! Only the lines of an `expect` are replaced; comments elsewhere and everything else stay. A pattern
//! that what came out fits says more than the one answer, and stays as well.

use flow_config::document::{Node, Value};
use serde_json::Value as Json;

use super::compare::{self, quoted};

/// What one step should expect.
#[derive(Debug)]
pub(super) struct Update {
    /// The line of `expect:`, or of the call, where there is none yet.
    pub(super) line: usize,
    /// Where keys of the step start, counted from 1.
    pub(super) column: usize,
    /// Whether there is an `expect` to replace.
    pub(super) replaces: bool,
    pub(super) value: Json,
}

/// What came out, with the patterns of what was expected where they fit.
pub(super) fn keeping(expected: &Node, actual: Json) -> Json {
    match (&expected.value, actual) {
        (Value::Text { text, .. }, actual) if compare::is_pattern(text) => {
            let mut found = Vec::new();
            compare::node(expected, &actual, "", &mut found);
            match found.is_empty() {
                true => Json::String(text.clone()),
                false => actual,
            }
        }
        (Value::List(items), Json::Array(values)) => {
            let mut items = items.iter();
            let value = |value| match items.next() {
                Some(item) => keeping(item, value),
                None => value,
            };
            values.into_iter().map(value).collect()
        }
        (Value::Map(_), Json::Object(values)) => {
            let value = |(key, value): (String, Json)| {
                let value = match expected.get(&key) {
                    Some(node) => keeping(node, value),
                    None => value,
                };
                (key, value)
            };
            Json::Object(values.into_iter().map(value).collect())
        }
        (_, actual) => actual,
    }
}

/// The file with all of them made.
pub(super) fn update(text: &str, updates: &[Update]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    // From the end, so that the lines before stay where they are.
    for update in updates.iter().rev() {
        let start = update.line - 1;
        let end = end(&lines, start, update.column - 1);
        let indent = " ".repeat(update.column - 1);
        let mut new = Vec::new();
        field("expect", &update.value, &indent, &mut new);
        let from = if update.replaces { start } else { end };
        lines.splice(from..end, new);
    }
    let mut updated = lines.join("\n");
    if text.ends_with('\n') {
        updated.push('\n');
    }
    updated
}

/// The line after the value of the key at `start`, whose column is `column`, from 0.
fn end(lines: &[String], start: usize, column: usize) -> usize {
    let mut end = start + 1;
    for (index, line) in lines.iter().enumerate().skip(start + 1) {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        // A list may stand right below its key.
        let inside = indent > column || (indent == column && text.starts_with("- "));
        if !text.is_empty() && !inside {
            break;
        }
        // Empty lines behind the value belong to what follows.
        if !text.is_empty() {
            end = index + 1;
        }
    }
    end
}

fn field(key: &str, value: &Json, indent: &str, out: &mut Vec<String>) {
    match value {
        Json::Object(fields) if !fields.is_empty() => {
            out.push(format!("{indent}{key}:"));
            for (key, value) in fields {
                field(&quoted(key), value, &format!("{indent}  "), out);
            }
        }
        Json::Array(items) if !items.is_empty() => {
            out.push(format!("{indent}{key}:"));
            for value in items {
                item(value, &format!("{indent}  "), out);
            }
        }
        value => out.push(format!("{indent}{key}: {}", scalar(value))),
    }
}

fn item(value: &Json, indent: &str, out: &mut Vec<String>) {
    match value {
        Json::Object(fields) if !fields.is_empty() => {
            let first = out.len();
            for (key, value) in fields {
                field(&quoted(key), value, &format!("{indent}  "), out);
            }
            out[first].replace_range(indent.len()..indent.len() + 2, "- ");
        }
        value => out.push(format!("{indent}- {}", scalar(value))),
    }
}

fn scalar(value: &Json) -> String {
    match value {
        Json::String(text) => quoted(text),
        // Flow style of JSON is YAML, too.
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_expected_changes() {
        let text = "# a test\nsteps:\n  - after_accept:\n      - relPath: a # first\n    expect:\n      - keep\n\n  # another\n  - gather: 3\n";
        let updates = [
            Update {
                line: 5,
                column: 5,
                replaces: true,
                value: json!([{"reject": {"code": 404, "reason": "no: \"x\""}}, "keep"]),
            },
            Update {
                line: 9,
                column: 5,
                replaces: false,
                value: json!({"messages": []}),
            },
        ];
        assert_eq!(
            update(text, &updates),
            "# a test\nsteps:\n  - after_accept:\n      - relPath: a # first\n    expect:\n      - reject:\n          code: 404\n          reason: \"no: \\\"x\\\"\"\n      - keep\n\n  # another\n  - gather: 3\n    expect:\n      messages: []\n"
        );
    }
}
