//! Writes YAML as a person would: block style, comments above what they are about, quotes only
//! where they are needed.

use std::fmt::Write as _;

/// A value with the comments that stand above it, each without its `#`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) comments: Vec<String>,
    pub(super) value: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// Plain where that reads back the same.
    Text(String),
    /// Always in quotes: expressions are easier to read so, and to change without surprises.
    Quoted(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Value {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A single text as such, several as a list.
    pub(super) fn texts(mut texts: Vec<String>) -> Self {
        if texts.len() == 1 {
            return Self::Text(texts.remove(0));
        }
        Self::List(
            texts
                .into_iter()
                .map(|text| Node::from(Self::Text(text)))
                .collect(),
        )
    }
}

impl From<Value> for Node {
    fn from(value: Value) -> Self {
        Self {
            comments: Vec::new(),
            value,
        }
    }
}

/// The options of a flow, in the order they are written.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// Above everything.
    pub(super) head: Vec<String>,
    pub(super) entries: Vec<(String, Node)>,
    /// Below everything.
    pub(super) tail: Vec<String>,
}

impl Document {
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _)| name == key)
    }

    /// Sets `key`: where it is already, or at the end.
    pub(super) fn set(&mut self, key: &str, value: Value, comments: Vec<String>) {
        match self.entries.iter_mut().find(|(name, _)| name == key) {
            Some((_, node)) => {
                node.value = value;
                node.comments.extend(comments);
            }
            None => self
                .entries
                .push((key.to_owned(), Node { comments, value })),
        }
    }

    /// Sets `key`, behind `after` if that is there.
    pub(super) fn set_after(&mut self, after: &str, key: &str, value: Value) {
        if self.has(key) {
            self.set(key, value, Vec::new());
            return;
        }
        let at = self
            .entries
            .iter()
            .position(|(name, _)| name == after)
            .map_or(self.entries.len(), |at| at + 1);
        self.entries.insert(at, (key.to_owned(), value.into()));
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.entries.retain(|(name, _)| name != key);
    }

    pub(super) fn write(&self) -> String {
        let mut out = String::new();
        comments(&mut out, 0, &self.head);
        if !self.head.is_empty() && !self.entries.is_empty() {
            out.push('\n');
        }
        for (index, (key, node)) in self.entries.iter().enumerate() {
            let block = matches!(node.value, Value::List(_) | Value::Map(_));
            let apart = !node.comments.is_empty() || block;
            if index > 0 && apart && !out.ends_with("\n\n") {
                out.push('\n');
            }
            comments(&mut out, 0, &node.comments);
            entry(&mut out, 0, key, &node.value);
            if block && index + 1 < self.entries.len() {
                out.push('\n');
            }
        }
        if !self.tail.is_empty() {
            if !out.is_empty() && !out.ends_with("\n\n") {
                out.push('\n');
            }
            comments(&mut out, 0, &self.tail);
        }
        out
    }
}

fn comments(out: &mut String, indent: usize, comments: &[String]) {
    for comment in comments {
        // An empty comment is a blank line of the original.
        if comment.is_empty() {
            // Not right below the key of a list.
            if !out.is_empty() && !out.ends_with("\n\n") && !out.ends_with(":\n") {
                out.push('\n');
            }
            continue;
        }
        let _ = writeln!(out, "{:indent$}#{}", "", comment.trim_end());
    }
}

fn entry(out: &mut String, indent: usize, key: &str, value: &Value) {
    let _ = write!(out, "{:indent$}{}:", "", scalar(key));
    match value {
        Value::Text(text) => {
            let _ = writeln!(out, " {}", scalar(text));
        }
        Value::Quoted(text) => {
            let _ = writeln!(out, " {}", quoted(text));
        }
        Value::List(nodes) if nodes.is_empty() => out.push_str(" []\n"),
        Value::Map(entries) if entries.is_empty() => out.push_str(" {}\n"),
        Value::List(nodes) => {
            out.push('\n');
            for node in nodes {
                comments(out, indent + 2, &node.comments);
                item(out, indent + 2, &node.value);
            }
        }
        Value::Map(entries) => {
            out.push('\n');
            for (key, node) in entries {
                comments(out, indent + 2, &node.comments);
                entry(out, indent + 2, key, &node.value);
            }
        }
    }
}

fn item(out: &mut String, indent: usize, value: &Value) {
    match value {
        Value::Text(text) => {
            let _ = writeln!(out, "{:indent$}- {}", "", scalar(text));
        }
        Value::Quoted(text) => {
            let _ = writeln!(out, "{:indent$}- {}", "", quoted(text));
        }
        Value::Map(entries) => {
            let mut inner = String::new();
            for (key, node) in entries {
                comments(&mut inner, indent + 2, &node.comments);
                entry(&mut inner, indent + 2, key, &node.value);
            }
            let _ = write!(out, "{:indent$}- {}", "", inner.trim_start());
        }
        // No option is a list of lists; written so, it is at least right.
        Value::List(nodes) => {
            let items: Vec<String> = nodes
                .iter()
                .map(|node| match &node.value {
                    Value::Text(text) | Value::Quoted(text) => quoted(text),
                    _ => quoted(""),
                })
                .collect();
            let _ = writeln!(out, "{:indent$}- [{}]", "", items.join(", "));
        }
    }
}

/// Plain if that reads back as the same text.
fn scalar(text: &str) -> String {
    if is_plain(text) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

fn is_plain(text: &str) -> bool {
    let Some(first) = text.chars().next() else {
        return false;
    };
    // What YAML reads as something else than text, and what starts a construct of its own.
    const WORDS: [&str; 2] = ["~", "null"];
    let starts =
        first.is_ascii_alphanumeric() || matches!(first, '/' | '$' | '.' | '~' | '_' | '+');
    starts
        && text.trim() == text
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
        && !text.contains(": ")
        && !text.ends_with(':')
        && !text.contains(" #")
        && !text.starts_with("...")
        && !text.chars().any(char::is_control)
}

fn quoted(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_put_only_where_needed() {
        for (text, expected) in [
            ("/tmp/x", "/tmp/x"),
            ("${HOME}/x y", "${HOME}/x y"),
            ("on", "on"),
            ("amqps://me@host/", "amqps://me@host/"),
            ("embedded:", "'embedded:'"),
            ("", "''"),
            ("~", "'~'"),
            ("*.x.#", "'*.x.#'"),
            ("#", "'#'"),
            ("a # b", "'a # b'"),
            ("it's: x", "'it''s: x'"),
            ("a\tb\"", "\"a\\tb\\\"\""),
            ("null", "'null'"),
            ("- x", "'- x'"),
        ] {
            assert_eq!(scalar(text), expected, "{text}");
        }
    }
}
