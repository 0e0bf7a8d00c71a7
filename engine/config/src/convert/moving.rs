//! Options whose values are words of their own: `identity`, `inflight`, `nodupe_ttl`, `sleep`, and
//! the sets of events.

use super::components::Component;
use super::document::{Node, Value};
use super::lines::Line;
use super::report::Fate;
use super::values;
use super::walk::Walk;
use crate::mask;

/// What `fileEvents` is in sr3 where nothing is written.
pub(super) const EVENTS: [&str; 6] = ["create", "delete", "link", "mkdir", "modify", "rmdir"];
/// What `logEvents` is in sr3 where nothing is written.
pub(super) const LOG_EVENTS: [&str; 4] = [
    "after_accept",
    "after_post",
    "after_work",
    "on_housekeeping",
];

impl Walk {
    pub(super) fn identity(&mut self, line: &Line) {
        let Some(word) = self.word(line) else { return };
        let word = self.fill(line, &word, false);
        let letter = |method: &str| match method {
            "n" | "none" => "none",
            "s" | "sha512" => "sha512",
            "d" | "md5" => "md5",
            "r" | "random" => "random",
            _ => "",
        };
        let text = if let Some(method) = word.strip_prefix("z,").or(word.strip_prefix("cod,")) {
            match letter(method) {
                "none" => "none".to_owned(),
                "" => String::new(),
                method => format!("cod,{method}"),
            }
        } else if let Some(value) = word.strip_prefix("a,").or(word.strip_prefix("arbitrary,")) {
            format!("arbitrary,{value}")
        } else {
            letter(&word.to_ascii_lowercase()).to_owned()
        };
        if text.is_empty() {
            self.remark(
                line,
                Fate::Refused,
                format!(
                    "there is no such method as `{}` here; `sha512` is the default",
                    mask::quotable(&word)
                ),
            );
            return;
        }
        if text != word {
            self.remark(line, Fate::Kept, format!("`{word}` is `{text}`"));
        }
        self.put(line, "identity", Value::Text(text));
    }

    pub(super) fn inflight(&mut self, line: &Line) {
        let Some(word) = self.word(line) else { return };
        let text = self.fill(line, &word, true);
        let number = text.trim_end_matches(|c: char| c.is_alphabetic());
        if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) {
            let age = self.duration(line, &text);
            self.remark(
                line,
                Fate::Kept,
                format!("an age is `fileAgeMin: {age}` here"),
            );
            self.put(line, "fileAgeMin", Value::Text(age));
            return;
        }
        let text = if values::is_none(&text) {
            "none".to_owned()
        } else {
            text
        };
        self.put(line, "inflight", Value::Text(text));
    }

    pub(super) fn nodupe(&mut self, line: &Line) {
        let Some(word) = self.word(line) else { return };
        let word = self.fill(line, &word, false);
        self.options.insert("nodupe_ttl".into(), word.clone());
        if values::is_true(&word) && word != "1" {
            let c = matches!(self.was, Component::Cpost | Component::Cpump);
            let ttl = if c { "900s" } else { "300s" };
            self.remark(line, Fate::Kept, format!("`{word}` is {ttl}"));
            self.put(line, "nodupe_ttl", Value::text(ttl));
            return;
        }
        let ttl = self.duration(line, &word);
        let ttl = if ttl == "none" { "off".to_owned() } else { ttl };
        self.put(line, "nodupe_ttl", Value::Text(ttl));
    }

    pub(super) fn sleep(&mut self, line: &Line) {
        let Some(word) = self.word(line) else { return };
        let word = self.fill(line, &word, false);
        if word.starts_with('-') {
            match self.ours {
                Component::Post => {
                    self.remark(line, Fate::Dropped, "a `post` announces once and ends");
                }
                _ => self.remark(line, Fate::Refused, "a flow does not end by itself: `flow foreground` with its option to do one pass does"),
            }
            return;
        }
        if self.ours == Component::Post {
            self.remark(line, Fate::Dropped, "a `post` announces once and ends");
            return;
        }
        let sleep = self.duration(line, &word);
        if sleep == "none" {
            return;
        }
        self.put(line, "sleep", Value::Text(sleep));
    }

    pub(super) fn set_of(&mut self, line: &Line, key: &str, default: &[&str]) {
        let Some(word) = self.word(line) else { return };
        let word = self.fill(line, &word, false);
        let known = || match self.doc.entries.iter().find(|(name, _)| name == key) {
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
            Some((
                _,
                Node {
                    value: Value::Text(text),
                    ..
                },
            )) => vec![text.clone()],
            _ => default
                .iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>(),
        };
        if matches!(word.to_ascii_lowercase().as_str(), "all" | "+all") {
            self.doc.remove(key);
            if key == "logEvents" {
                self.remark(
                    line,
                    Fate::Dropped,
                    "everything that becomes of a message is logged here, at its level",
                );
            }
            return;
        }
        let mut members = if values::is_none(&word) {
            Vec::new()
        } else {
            match values::set(&word) {
                (Some('+'), more) => known().into_iter().chain(more).collect(),
                (Some(_), less) => known()
                    .into_iter()
                    .filter(|known| !less.contains(known))
                    .collect(),
                (None, members) => members,
            }
        };
        if key == "fileEvents" {
            let (good, bad): (Vec<_>, Vec<_>) = members
                .into_iter()
                .partition(|member| EVENTS.contains(&member.as_str()) || member == "rename");
            for bad in bad {
                self.remark(
                    line,
                    Fate::Dropped,
                    format!(
                        "there is no event `{}`, in sr3 neither",
                        mask::quotable(&bad)
                    ),
                );
            }
            members = good;
            // sr3 passes on renames whatever is asked for; here they are one of the events.
            if !members.is_empty() && !members.iter().any(|member| member == "rename") {
                members.push("rename".into());
            }
        }
        if key == "logEvents" {
            members = self.log_events(line, members);
        }
        let mut seen = Vec::new();
        members.retain(|member| {
            let fresh = !seen.contains(member);
            seen.push(member.clone());
            fresh
        });
        let value = if members.is_empty() {
            Value::text("none")
        } else {
            Value::texts(members)
        };
        self.put(line, key, value);
    }

    /// Entry points that are logged here too.
    fn log_events(&mut self, line: &Line, members: Vec<String>) -> Vec<String> {
        let choices = crate::options::option("logEvents").map_or(&[] as &[&str], |o| o.choices);
        let (kept, gone): (Vec<String>, Vec<String>) = members
            .into_iter()
            .map(|member| match member.as_str() {
                "post" => "after_post".to_owned(),
                _ => member,
            })
            .partition(|member| choices.is_empty() || choices.contains(&member.as_str()));
        for gone in gone {
            let text = format!("there is nothing to log at `{}`", mask::quotable(&gone));
            self.remark(line, Fate::Dropped, text);
        }
        kept
    }
}
