//! `--trace`: the life of each message, step by step.
//!
//! Every step is printed when it happens, so that one that hangs shows where it hangs. Below a
//! step stand the fields of the message that changed since the step before.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use flow_message::{Message, v03};
use flow_runtime::ports::{Confirm, Event, Fate};
use serde_json::{Map, Value};

use crate::render::{bytes, elapsed, printable};

use super::lines::{carried, columns, name, reason, show};

/// Messages followed at once; beyond it, changes of further messages are not shown.
const FOLLOWED: usize = 10_000;
/// Before a change, on a line of its own.
const CHANGE: &str = "\n                 ";
/// Longest value shown whole.
const VALUE_CHARACTERS: usize = 60;

/// The messages in hand.
#[derive(Default)]
pub(super) struct Book {
    /// By relPath.
    lives: HashMap<String, Life>,
    /// What is stored is posted under its place: from there back to the relPath it had.
    places: HashMap<String, String>,
}

struct Life {
    born: Duration,
    fields: Map<String, Value>,
    /// Made from it; forgotten with it.
    children: Vec<String>,
    /// Where it is stored, without the leading `/`.
    place: Option<String>,
}

impl Book {
    /// What a trace shows for the event, at `now` since the run began, changes on lines of their
    /// own; none where the plain log says it all.
    pub(super) fn tell(&mut self, event: &Event<'_>, now: Duration) -> Option<String> {
        let (message, what, text) = match event {
            Event::Gathered { message, from } => (*message, "gathered", format!("by {from}")),
            Event::Accepted {
                message,
                rule,
                location,
            } => {
                let rule = match rule {
                    Some(rule) => format!("by `{}`", printable(rule)),
                    None => "no rule matches, acceptUnmatched".to_owned(),
                };
                let place = location
                    .map(|at| format!(" -> {}", show(&at.path())))
                    .unwrap_or_default();
                (*message, "accepted", rule + &place)
            }
            Event::Rejected {
                message,
                rejection,
                stage,
            } => (
                *message,
                "rejected",
                format!(
                    "in {stage}: {} ({})",
                    printable(&rejection.reason),
                    rejection.code
                ),
            ),
            Event::Judged {
                message,
                callback,
                entry_point,
                verdict,
                elapsed: time,
            } => (
                *message,
                "judged",
                format!(
                    "{callback} {entry_point}: {} in {}",
                    printable(verdict),
                    elapsed(*time)
                ),
            ),
            Event::Fetched {
                message,
                path,
                bytes: size,
                elapsed: time,
            }
            | Event::Sent {
                message,
                path,
                bytes: size,
                elapsed: time,
            } => (
                *message,
                carried(event),
                format!("{} in {} -> {}", bytes(*size), elapsed(*time), show(path)),
            ),
            Event::Derived {
                message,
                from,
                path,
                bytes: size,
            } => {
                let place = path
                    .map(|path| format!(" -> {}", show(path)))
                    .unwrap_or_default();
                (
                    *message,
                    "derived",
                    format!("from {}, {}{place}", name(from), bytes(*size)),
                )
            }
            Event::Posted {
                message,
                exchange,
                topic,
                confirm,
            } => {
                let again = if *confirm == Confirm::Duplicate {
                    ", was there already"
                } else {
                    ""
                };
                (
                    *message,
                    "posted",
                    format!("to {exchange} as {}{again}", printable(topic)),
                )
            }
            Event::Retrying {
                message,
                attempt,
                failure,
                due,
            } => (
                *message,
                "retrying",
                format!(
                    "attempt {attempt} failed, next at {}: {}",
                    super::log::time_of_day(due.as_jiff()),
                    reason(failure.brief())
                ),
            ),
            Event::Dead { message, reason } => (*message, "given up", self::reason(reason)),
            Event::Settled { message, fate } => (*message, "settled", self::fate(fate)),
            _ => return None,
        };
        let path = message.rel_path.trim_start_matches('/');
        let key = self
            .places
            .get(path)
            .cloned()
            .unwrap_or_else(|| message.rel_path.clone());
        let (age, mut changes) = self.follow(&key, message, now);
        match event {
            Event::Derived { from, path, .. } => self.derived(&key, &from.rel_path, *path),
            // What was made from a message ends with it. It is told of as it came, so that what was
            // set since would seem to be lost.
            Event::Settled { .. } => {
                self.forget(&key);
                changes.clear();
            }
            _ => {}
        }
        let mut text = format!(
            "{}  {text}  (+{})",
            columns(what, &name(message)),
            elapsed(age)
        );
        for change in changes {
            text.push_str(CHANGE);
            text.push_str(&change);
        }
        Some(text)
    }

    /// The message's age, and what changed in it since it was last seen.
    fn follow(&mut self, key: &str, message: &Message, now: Duration) -> (Duration, Vec<String>) {
        let Value::Object(fields) = v03::to_value(message) else {
            return (Duration::ZERO, Vec::new());
        };
        if let Some(life) = self.lives.get_mut(key) {
            let changes = changes(&life.fields, &fields);
            life.fields = fields;
            return (now.saturating_sub(life.born), changes);
        }
        let news = changes(&Map::new(), &fields);
        if self.lives.len() < FOLLOWED {
            let life = Life {
                born: now,
                fields,
                children: Vec::new(),
                place: None,
            };
            self.lives.insert(key.to_owned(), life);
        }
        (Duration::ZERO, news)
    }

    fn derived(&mut self, key: &str, from: &str, path: Option<&Path>) {
        let place = path.map(|path| path.to_string_lossy().trim_start_matches('/').to_owned());
        // Without a parent nothing would ever forget it.
        let Some(parent) = self.lives.get_mut(from) else {
            return;
        };
        parent.children.push(key.to_owned());
        if let (Some(place), Some(life)) = (place, self.lives.get_mut(key)) {
            self.places.insert(place.clone(), key.to_owned());
            life.place = Some(place);
        }
    }

    fn forget(&mut self, key: &str) {
        let mut doomed = vec![key.to_owned()];
        while let Some(key) = doomed.pop() {
            let Some(life) = self.lives.remove(&key) else {
                continue;
            };
            doomed.extend(life.children);
            if let Some(place) = life.place {
                self.places.remove(&place);
            }
        }
    }
}

fn fate(fate: &Fate) -> String {
    match fate {
        Fate::Posted => "posted".to_owned(),
        Fate::Rejected(rejection) => format!("rejected: {}", printable(&rejection.reason)),
        Fate::Retrying(_) => "in retry".to_owned(),
        Fate::Dead(_) => "given up".to_owned(),
    }
}

/// `size: 100 -> 200`, `subject: hello` (new), `mtime: 2026… -> (removed)`.
fn changes(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<String> {
    let mut lines = Vec::new();
    for (field, value) in after {
        match before.get(field) {
            Some(old) if old == value => {}
            Some(old) => lines.push(format!(
                "{}: {} -> {}",
                printable(field),
                short(old),
                short(value)
            )),
            // The path stands in the line above.
            None if field == "relPath" => {}
            None => lines.push(format!("{}: {}", printable(field), short(value))),
        }
    }
    for field in before.keys().filter(|field| !after.contains_key(*field)) {
        lines.push(format!(
            "{}: {} -> (removed)",
            printable(field),
            short(&before[field])
        ));
    }
    lines
}

fn short(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Object(map) if map.contains_key("method") && map.len() == 2 => {
            let part = |name: &str| map.get(name).and_then(Value::as_str).unwrap_or_default();
            format!("{} {}", part("method"), part("value"))
        }
        other => other.to_string(),
    };
    let text = printable(&text);
    if text.chars().count() <= VALUE_CHARACTERS {
        return text.into_owned();
    }
    let start: String = text.chars().take(VALUE_CHARACTERS - 1).collect();
    format!("{start}…")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use flow_message::{Identity, Timestamp, Topic};
    use flow_runtime::ports::Location;

    use super::*;

    #[test]
    fn a_life_is_told_step_by_step_with_what_changed() {
        let mut book = Book::default();
        let time = Timestamp::from_unix(1_700_000_000, 0);
        let mut mail = Message::new(time, "imaps://mail.example.com", "INBOX/5-12.eml");
        mail.extra.insert("subject".into(), "Invoice\x1b[2J".into());
        let location = Location {
            directory: PathBuf::from("/mail"),
            filename: "5-12.eml".into(),
        };
        let mut text = Vec::new();
        let mut at = |millis, event: &Event<'_>| {
            text.extend(book.tell(event, Duration::from_millis(millis)));
        };

        at(
            100,
            &Event::Gathered {
                message: &mail,
                from: "mail",
            },
        );
        at(
            101,
            &Event::Accepted {
                message: &mail,
                rule: Some("accept .*"),
                location: Some(&location),
            },
        );
        let mut fetched = mail.clone();
        fetched.size = Some(49_459);
        fetched.identity = Some(Identity {
            method: "sha512".into(),
            value: "A".repeat(88),
        });
        let path = Path::new("/mail/5-12.eml");
        let took = Duration::from_millis(3);
        fetched.extra.remove("subject");
        at(
            104,
            &Event::Fetched {
                message: &fetched,
                path,
                bytes: 49_459,
                elapsed: took,
            },
        );
        at(
            106,
            &Event::Judged {
                message: &fetched,
                callback: "mail-decode",
                entry_point: "after_work",
                verdict: "replace by 1",
                elapsed: took,
            },
        );
        let part = Message::new(time, "file:", "INBOX/5-12.eml/a.pdf");
        let topic = Topic::of("v03", &part);
        at(
            107,
            &Event::Derived {
                message: &part,
                from: &fetched,
                path: Some(Path::new("/mail/a.pdf")),
                bytes: 12,
            },
        );
        let mut stored = part.clone();
        stored.rel_path = "mail/a.pdf".into();
        let posted = Event::Posted {
            message: &stored,
            exchange: "xs_files",
            topic: topic.as_str(),
            confirm: Confirm::Posted,
        };
        at(108, &posted);
        at(
            110,
            &Event::Settled {
                message: &mail,
                fate: &Fate::Posted,
            },
        );
        at(110, &Event::Started);
        assert!(
            book.lives.is_empty() && book.places.is_empty(),
            "a settled message is forgotten, with what came of it"
        );
        insta::assert_snapshot!(text.join("\n"));
    }
}
