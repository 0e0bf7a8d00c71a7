//! Takes files apart into lines, with the comments above each and what they include in their place.
//!
//! A line of sr3 is words separated by blanks, without quotes. A comment is a line of its own. A
//! line can't be continued in the next.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::input::{Input, Known};
use super::names;
use super::report::{Fate, Remark};
use crate::mask;

/// A line that is neither blank nor a comment.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// Which of [`Lines::files`].
    pub(super) file: usize,
    /// Counted from 1.
    pub(super) number: usize,
    pub(super) words: Vec<String>,
    /// The text from the second word on, as it was written.
    pub(super) rest: String,
    /// The lines of comment above it, without `#`; empty ones for blank lines.
    pub(super) comments: Vec<String>,
}

impl Line {
    /// The first word.
    pub(super) fn keyword(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }
}

/// A configuration with everything it includes.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) files: Vec<PathBuf>,
    pub(super) lines: Vec<Line>,
    /// The comment at the very top, if a blank line parts it from the first option.
    pub(super) head: Vec<String>,
    /// The comment at the very end.
    pub(super) tail: Vec<String>,
    pub(super) remarks: Vec<Remark>,
}

/// Deeper is a circle.
const DEEPEST: usize = 16;

impl Lines {
    pub(super) fn read(input: &Input<'_>, known: &Known) -> Self {
        let mut reader = Reader {
            known,
            env: BTreeMap::new(),
            into: Self::default(),
            open: Vec::new(),
        };
        // The configuration is the first file by number, whatever is read before it.
        reader.into.files.push(input.path.to_owned());
        for (path, text) in &known.before {
            reader.into.files.push(path.clone());
            let index = reader.into.files.len() - 1;
            reader.file(index, path, text);
            // What stands below the last option of a file for all flows is about none of them.
            reader.into.tail.clear();
        }
        reader.file(0, input.path, input.text);
        reader.into
    }
}

struct Reader<'a> {
    known: &'a Known,
    /// `declare env` so far, as an include may be named by it.
    env: BTreeMap<String, String>,
    into: Lines,
    open: Vec<PathBuf>,
}

impl Reader<'_> {
    fn file(&mut self, index: usize, path: &Path, text: &str) {
        self.open.push(path.to_owned());
        let mut comments: Vec<String> = Vec::new();
        let mut first = index == 0;
        for (at, raw) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let trimmed = raw.trim();
            if let Some(comment) = trimmed.strip_prefix('#') {
                // Not empty: that is a blank line.
                let comment = match comment.trim_end() {
                    "" => " ",
                    comment => comment,
                };
                comments.push(mask::masked_url(comment));
                continue;
            }
            if trimmed.is_empty() {
                if first && !comments.is_empty() {
                    self.into.head.append(&mut comments);
                    first = false;
                } else if comments.last().is_none_or(|last| !last.is_empty()) {
                    comments.push(String::new());
                }
                continue;
            }
            first = false;
            let words: Vec<String> = trimmed.split_whitespace().map(str::to_owned).collect();
            let rest = trimmed[words[0].len()..].trim().to_owned();
            let line = Line {
                file: index,
                number: at + 1,
                words,
                rest,
                comments: std::mem::take(&mut comments),
            };
            self.line(line, path);
        }
        while comments.last().is_some_and(String::is_empty) {
            comments.pop();
        }
        self.into.tail.append(&mut comments);
        self.open.pop();
    }

    fn line(&mut self, mut line: Line, path: &Path) {
        let keyword = names::today(line.keyword());
        if keyword == "declare"
            && line
                .words
                .get(1)
                .is_some_and(|word| names::ENV.contains(&word.as_str()))
            && let Some((name, value)) = line.words.get(2).and_then(|word| word.split_once('='))
        {
            self.env.insert(name.to_owned(), value.to_owned());
        }
        if !matches!(keyword, "include" | "config") {
            self.into.lines.push(line);
            return;
        }
        let Some(written) = line.words.get(1).cloned() else {
            self.remark(
                &line,
                Fate::Dropped,
                "names no file; sr3 takes no notice of it",
            );
            return;
        };
        let mut name = written.clone();
        for (variable, value) in &self.env {
            name = name.replace(&format!("${{{variable}}}"), value);
        }
        let found = match &self.known.include {
            _ if name.contains("://") => None,
            Some(include) => include.find(&name, path),
            None => None,
        };
        let Some((found, text)) = found else {
            if let Some(component) = packaged(&name) {
                line.words = vec!["flowMain".into(), component.into()];
                line.rest = component.into();
                self.into.lines.push(line);
                return;
            }
            let text = format!(
                "there is no file `{}`, so what it sets is missing; copy its lines into the flow",
                mask::quotable(&written)
            );
            self.remark(&line, Fate::Refused, &text);
            return;
        };
        if self.open.contains(&found) || self.open.len() >= DEEPEST {
            self.remark(&line, Fate::Refused, "the file includes itself");
            return;
        }
        let text_of = format!(
            "the lines of {} are put in its place, as what they do depends on the lines before",
            found.display()
        );
        self.remark(&line, Fate::Kept, &text_of);
        let index = match self.into.files.iter().position(|file| *file == found) {
            Some(index) => index,
            None => {
                self.into.files.push(found.clone());
                self.into.files.len() - 1
            }
        };
        let before = self.into.lines.len();
        let tail = std::mem::take(&mut self.into.tail);
        self.file(index, &found, &text);
        self.into.tail = tail;
        // Its own comment goes to the first line it brings.
        match self.into.lines.get_mut(before) {
            Some(first) => {
                line.comments.append(&mut first.comments);
                first.comments = line.comments;
            }
            None => self.into.tail.extend(line.comments),
        }
    }

    fn remark(&mut self, line: &Line, fate: Fate, text: &str) {
        self.into.remarks.push(Remark {
            file: self.into.files[line.file].clone(),
            line: Some(line.number),
            column: None,
            fate,
            option: line.keyword().to_owned(),
            text: text.to_owned(),
        });
    }
}

/// sr3 ships files to include that make a `flow` one of its components.
fn packaged(name: &str) -> Option<&'static str> {
    let stem = name.strip_suffix(".inc")?;
    let stem = stem.strip_prefix("flow/").unwrap_or(stem);
    [
        "poll",
        "post",
        "report",
        "sarra",
        "sender",
        "shovel",
        "subscribe",
        "watch",
        "winnow",
    ]
    .into_iter()
    .find(|component| *component == stem)
}
