//! Lines that hold a name and a value of their own: `declare`, `set`, `header`, `amqp_queue_args`.

use super::document::{Node, Value};
use super::lines::Line;
use super::report::Fate;
use super::walk::{Stranger, Walk};
use super::{names, plugins};

impl Walk {
    pub(super) fn queue_arguments(&mut self, line: &Line) {
        let Some(text) = self.rest(line) else { return };
        let text = self.fill(line, &text, false);
        let Some((name, value)) = text.split_once('=') else {
            self.remark(
                line,
                Fate::Dropped,
                "it has no `=`; sr3 takes no notice of it",
            );
            return;
        };
        let entry = (
            name.trim().to_owned(),
            Node::from(Value::text(value.trim())),
        );
        let mut entries = match self
            .doc
            .entries
            .iter()
            .find(|(key, _)| key == "amqp_queue_args")
        {
            Some((
                _,
                Node {
                    value: Value::Map(entries),
                    ..
                },
            )) => entries.clone(),
            _ => Vec::new(),
        };
        // The last one counts, as in sr3.
        entries.retain(|(known, _)| *known != entry.0);
        entries.push(entry);
        self.put(line, "amqp_queue_args", Value::Map(entries));
    }

    pub(super) fn setting(&mut self, line: &Line) {
        let (Some(path), value) = (line.words.get(1), line.words.get(2..).unwrap_or_default())
        else {
            self.remark(line, Fate::Dropped, "it sets nothing");
            return;
        };
        let (of, name) = path.rsplit_once('.').unwrap_or(("", path));
        if matches!(name, "logLevel" | "loglevel" | "ll") {
            self.comments.clear();
            self.remark(
                line,
                Fate::Dropped,
                "a plugin logs at the level of its flow",
            );
            return;
        }
        let value = self.fill(line, &value.join(" "), false);
        let stranger = Stranger {
            line: Line {
                comments: self.take_comments(),
                ..line.clone()
            },
            name: name.to_owned(),
            value,
            of: Some(plugins::canonical(of)),
        };
        self.strangers.push(stranger);
    }

    pub(super) fn declare(&mut self, line: &Line) {
        let what = line.words.get(1).map_or("", String::as_str).to_owned();
        if names::ENV.contains(&what.as_str()) {
            let Some((name, value)) = line.words.get(2).and_then(|word| word.split_once('='))
            else {
                self.remark(
                    line,
                    Fate::Dropped,
                    "it is no `NAME=value`; sr3 takes no notice of it",
                );
                return;
            };
            let (name, value) = (name.to_owned(), value.to_owned());
            let value = self.fill(line, &value, true);
            self.remark(
                line,
                Fate::Kept,
                format!("its value stands wherever `${{{name}}}` is used"),
            );
            self.env.insert(name, value);
            return;
        }
        match what.as_str() {
            "option" | "o" => {
                let rest = line.words[2.min(line.words.len())..].to_vec();
                if rest.len() > 1 {
                    let inner = Line {
                        rest: rest[1..].join(" "),
                        words: rest,
                        comments: Vec::new(),
                        ..line.clone()
                    };
                    self.setting_of_flow(&inner);
                } else {
                    self.remark(
                        line,
                        Fate::Dropped,
                        "options are declared by the plugin they are for",
                    );
                }
            }
            "source" | "subscriber" | "subscribe" | "feeder" | "admin" | "user" => {
                self.comments.clear();
                self.remark(
                    line,
                    Fate::Dropped,
                    "users of a broker stand in users.yaml, which `flow declare --users` reads",
                );
            }
            "exchange" => {
                self.comments.clear();
                self.remark(line, Fate::Dropped, "a flow declares the exchanges it uses");
            }
            _ => self.remark(line, Fate::Dropped, "sr3 takes no notice of it"),
        }
    }

    pub(super) fn setting_of_flow(&mut self, line: &Line) {
        let value = self.fill(line, &line.rest, false);
        self.strangers.push(Stranger {
            name: line.keyword().to_owned(),
            value,
            of: None,
            line: line.clone(),
        });
    }

    pub(super) fn header(&mut self, line: &Line) {
        let Some(word) = self.word(line) else { return };
        let Some((name, value)) = word.split_once('=') else {
            self.remark(
                line,
                Fate::Dropped,
                "it has no `=`; sr3 takes no notice of it",
            );
            return;
        };
        let value = self.fill(line, value, true);
        let mut entries = match self.doc.entries.iter().find(|(key, _)| key == "header") {
            Some((
                _,
                Node {
                    value: Value::Map(entries),
                    ..
                },
            )) => entries.clone(),
            _ => Vec::new(),
        };
        let comments = self.take_comments();
        let node = Node {
            comments,
            value: Value::Text(value),
        };
        match entries.iter_mut().find(|(key, _)| key == name) {
            Some((_, known)) => *known = node,
            None => entries.push((name.to_owned(), node)),
        }
        self.put(line, "header", Value::Map(entries));
    }
}
