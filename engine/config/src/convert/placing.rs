//! Where files go: `directory`, `mirror`, `strip`, `flatten`, `filename`, which hold for the masks
//! below them.

use super::components::Component;
use super::document::Value;
use super::lines::Line;
use super::options::Type;
use super::report::Fate;
use super::walk::Walk;
use super::{regexes, values};

impl Walk {
    pub(super) fn place(&mut self, line: &Line, name: &str) {
        if name == "directory" && self.ours == Component::Poll {
            if self.scan.has_path {
                self.comments.clear();
                self.remark(
                    line,
                    Fate::Dropped,
                    "a poll asks for `path`, and stores nothing",
                );
                return;
            }
            self.remark(line, Fate::Kept, "in a poll it is `path`");
            self.plain(line, "path", "path", Type::Templates);
            return;
        }
        let written = match name {
            "mirror" => self.word(line).or(Some("on".into())),
            "strip" | "flatten" => self.word(line),
            _ => self.rest(line),
        };
        let Some(written) = written else {
            self.remark(
                line,
                Fate::Dropped,
                "it has no value; sr3 takes no notice of it",
            );
            return;
        };
        let text = self.fill(line, &written, true);
        let unset = values::is_none(&text) && text != "NONE";
        let option = match name {
            "directory" => {
                self.placement.directory = (!unset).then(|| trimmed(&text));
                self.options.insert("directory".into(), text);
                "directory"
            }
            "mirror" => {
                let read = values::flag(&text);
                if let Some(odd) = read.odd {
                    self.remark(line, Fate::Changed, odd);
                }
                self.placement.mirror = read.text == "on";
                "mirror"
            }
            "strip" => {
                self.placement.strip = self.strip(line, &text);
                "strip"
            }
            "flatten" => {
                self.placement.flatten = Some(text).filter(|text| text != "/" && !unset);
                "flatten"
            }
            _ => {
                (self.placement.filename, self.keyword) = if unset {
                    (None, None)
                } else {
                    self.filename(line, &text)
                };
                "filename"
            }
        };
        let comments = self.take_comments();
        self.placed.push((option, comments, self.masks.len()));
        self.doc.set(option, Value::List(Vec::new()), Vec::new());
    }

    pub(super) fn strip(&mut self, line: &Line, text: &str) -> Option<String> {
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return Some(text.to_owned()).filter(|text| text != "0");
        }
        // sr3 takes a first slash for the mark of an expression.
        let text = text.strip_prefix('/').unwrap_or(text);
        match regexes::convert(text) {
            Ok(regex) => Some(regex),
            Err(why) => {
                self.remark(line, Fate::Refused, why);
                Some(text.to_owned())
            }
        }
    }
}

/// Without the slash at its end.
fn trimmed(directory: &str) -> String {
    let trimmed = directory.trim_end_matches('/');
    if trimmed.is_empty() {
        "/".to_owned()
    } else {
        trimmed.to_owned()
    }
}
