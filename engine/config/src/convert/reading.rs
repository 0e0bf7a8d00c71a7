//! Reads the value of a line, by what sr3 takes it for.

use super::document::{Node, Value};
use super::lines::Line;
use super::options::Type;
use super::report::Fate;
use super::values;
use super::walk::Walk;
use crate::{Secret, mask};

impl Walk {
    /// The second word; what follows it is no part of the value.
    pub(super) fn word(&mut self, line: &Line) -> Option<String> {
        let word = line.words.get(1)?.clone();
        if word.starts_with('#') {
            self.comments
                .push(format!(" {}", line.rest.trim_start_matches('#').trim()));
            return None;
        }
        if line.words.len() > 2 {
            let more = line.words[2..].join(" ");
            if let Some(comment) = more.strip_prefix('#') {
                self.comments
                    .push(mask::masked_url(&format!(" {}", comment.trim())));
            } else {
                self.remark(
                    line,
                    Fate::Kept,
                    format!(
                        "sr3 reads `{}` and no more of the line",
                        mask::quotable(&word)
                    ),
                );
            }
        }
        Some(word)
    }

    /// The rest of the line.
    pub(super) fn rest(&mut self, line: &Line) -> Option<String> {
        if line.rest.is_empty() {
            return None;
        }
        if line.rest.starts_with('#') {
            return self.word(line);
        }
        let Some(at) = line.rest.find(" #") else {
            // sr3 joins the words with one blank.
            return Some(line.words[1..].join(" "));
        };
        let (value, comment) = line.rest.split_at(at);
        self.comments.push(mask::masked_url(&format!(
            " {}",
            comment.trim_start().trim_start_matches('#').trim()
        )));
        self.remark(
            line,
            Fate::Changed,
            "what follows the `#` is a comment here; sr3 takes it for part of the value",
        );
        Some(value.trim().to_owned())
    }

    /// An option that means the same wherever it stands.
    pub(super) fn plain(&mut self, line: &Line, name: &str, ours: &str, of: Type) {
        let Some(value) = self.typed(line, name, ours, of) else {
            return;
        };
        if let Value::Text(text) | Value::Quoted(text) = &value {
            self.options.insert(name.to_owned(), text.clone());
        }
        self.put(line, ours, value);
    }

    pub(super) fn typed(&mut self, line: &Line, name: &str, ours: &str, of: Type) -> Option<Value> {
        let written = match of {
            Type::Text | Type::Template | Type::List | Type::Templates => self.rest(line),
            _ => self.word(line),
        };
        let late = matches!(of, Type::Template | Type::Templates);
        let Some(written) = written else {
            if of == Type::Flag {
                return Some(Value::text("on"));
            }
            self.remark(
                line,
                Fate::Dropped,
                "it has no value; sr3 takes no notice of it",
            );
            return None;
        };
        let text = self.fill(line, &written, late);
        if text.contains("${")
            && !matches!(
                of,
                Type::Text | Type::Template | Type::List | Type::Templates | Type::Flag
            )
        {
            if matches!(of, Type::Duration | Type::Size) {
                self.remark(
                    line,
                    Fate::Changed,
                    "what the variable stands for has to have a unit",
                );
            }
            return Some(Value::text(text));
        }
        let read = match of {
            Type::Flag => {
                let read = values::flag(&text);
                if let Some(odd) = read.odd {
                    self.remark(line, Fate::Changed, odd);
                }
                read.text
            }
            Type::Duration => self.duration(line, &text),
            Type::Count | Type::Size => {
                let Some(number) = values::number(&text) else {
                    self.remark(
                        line,
                        Fate::Refused,
                        format!("`{}` is no number; sr3 takes 0", mask::quotable(&text)),
                    );
                    return None;
                };
                if number < 0 {
                    self.remark(line, Fate::Changed, "it can't be negative; it is left out");
                    return None;
                }
                if of == Type::Size {
                    let size = values::size(number);
                    if size != text && number != 0 {
                        self.remark(line, Fate::Kept, format!("`{text}` is {size}"));
                    }
                    size
                } else {
                    self.in_range(line, ours, number)
                }
            }
            Type::Number => text,
            Type::Mode => match values::mode(&text) {
                Some(mode) if mode == "000" => {
                    self.remark(
                        line,
                        Fate::Kept,
                        "0 leaves it to the system, as nothing does here",
                    );
                    return None;
                }
                Some(mode) => mode,
                None => {
                    self.remark(
                        line,
                        Fate::Refused,
                        "permission bits are octal digits, in sr3 too",
                    );
                    return None;
                }
            },
            Type::Commas => {
                let (_, members) = values::set(&text);
                return Some(self.list(ours, members));
            }
            Type::List | Type::Templates => return Some(self.list(ours, vec![text])),
            Type::Text | Type::Template => {
                if values::is_none(&text) {
                    self.options.remove(name);
                    self.doc.remove(ours);
                    return None;
                }
                text
            }
        };
        Some(Value::Text(read))
    }

    /// A list with `more` at its end.
    pub(super) fn list(&self, key: &str, more: Vec<String>) -> Value {
        let mut all: Vec<String> = match self.doc.entries.iter().find(|(name, _)| name == key) {
            Some((
                _,
                Node {
                    value: Value::Text(text),
                    ..
                },
            )) => vec![text.clone()],
            Some((
                _,
                Node {
                    value: Value::List(nodes),
                    ..
                },
            )) => nodes
                .iter()
                .filter_map(|node| match &node.value {
                    Value::Text(text) => Some(text.clone()),
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        };
        all.extend(more);
        Value::texts(all)
    }

    pub(super) fn duration(&mut self, line: &Line, text: &str) -> String {
        let read = values::duration(text);
        match read.odd {
            Some(odd) => self.remark(line, Fate::Changed, odd),
            None if read.text != text && text != "0" && !values::is_none(text) => {
                self.remark(line, Fate::Kept, format!("`{text}` is {}", read.text));
            }
            None => {}
        }
        read.text
    }

    pub(super) fn in_range(&mut self, line: &Line, ours: &str, number: i64) -> String {
        let (least, most) =
            crate::options::option(ours).map_or((0, i64::MAX), |option| option.range);
        let within = number.clamp(least, most);
        if within != number {
            self.remark(
                line,
                Fate::Changed,
                format!("{number} is {within}, which is the limit"),
            );
        }
        within.to_string()
    }

    /// A URL without its password, which goes to the credentials.
    pub(super) fn without_password(&mut self, line: &Line, text: &str) -> String {
        let Some(range) = mask::url_password(text) else {
            return text.to_owned();
        };
        let start = text[..range.start].rfind("://").map_or(0, |at| at);
        let scheme = text[..start]
            .rfind(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')))
            .map_or(0, |at| at + 1);
        let end = text[range.end..]
            .find(['/', '?', ' '])
            .map_or(text.len(), |at| range.end + at);
        let credential = format!("{}/", &text[scheme..end]);
        if !self
            .credentials
            .iter()
            .any(|known| known.expose() == credential)
        {
            self.credentials.push(Secret::new(credential));
        }
        self.remark(
            line,
            Fate::Kept,
            "the password is not in the flow: its line for credentials.conf is apart",
        );
        let rest = format!("{}{}", &text[..range.start - 1], &text[range.end..]);
        // There may be another URL behind it.
        self.without_password(line, &rest)
    }
}
