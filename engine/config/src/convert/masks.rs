//! Lines that take what stands above them: masks and bindings; and the plugins lines name.

use super::brokers::{self, Binding, Broker};
use super::document::Value;
use super::lines::Line;
use super::report::Fate;
use super::rules::Mask;
use super::walk::{Callback, Walk};
use super::{plugins, regexes};

impl Walk {
    /// `accept` and `reject`, which have what stands above them.
    pub(super) fn accept_or_reject(&mut self, line: &Line, accept: bool) {
        let Some(written) = line.words.get(1).cloned() else {
            self.remark(
                line,
                Fate::Dropped,
                "it has no expression; sr3 takes no notice of it",
            );
            return;
        };
        let written = if line.keyword() == "get" {
            from_the_name(&written)
        } else {
            written
        };
        let filled = self.fill(line, &written, false);
        let regex = match regexes::convert(&filled) {
            Ok(regex) => regex,
            Err(why) => {
                let column = line.keyword().chars().count() + 2;
                self.remark_at(line, Some(column), Fate::Refused, why);
                filled.clone()
            }
        };
        let mut placement = self.placement.clone();
        let mut keyword = self.keyword.clone();
        match line.words.get(2).map(String::as_str) {
            Some(word) if word.starts_with('#') => {
                let comment = line.words[2..].join(" ");
                self.comments.push(format!(" {}", comment.trim_start_matches('#').trim()));
            }
            Some(word) if is_keyword(word) => {
                if accept {
                    let word = self.fill(line, word, true);
                    (placement.filename, keyword) = self.filename(line, &word);
                }
                if line.words.len() > 3 {
                    self.remark(line, Fate::Refused, "arguments for plugins can't be written in a rule: write them among the options of the plugin");
                }
            }
            Some(_) => self.remark(line, Fate::Refused, "arguments for plugins can't be written in a rule: write them among the options of the plugin"),
            None => {}
        }
        if let Some(earlier) = self
            .masks
            .iter()
            .find(|earlier| regexes::matches_everything(&earlier.regex) || earlier.regex == regex)
        {
            let what = if regexes::matches_everything(&earlier.regex) {
                "everything is decided before it"
            } else {
                "the same expression stands above"
            };
            self.remark(line, Fate::Dropped, format!("it is never reached: {what}"));
            return;
        }
        let comments = self.take_comments();
        self.doc.set("filters", Value::List(Vec::new()), Vec::new());
        self.keywords.push(keyword.filter(|_| accept));
        self.masks.push(Mask {
            accept,
            regex,
            placement,
            comments,
        });
    }

    /// The template of a file name, or the keyword of sr3 that works it out.
    pub(super) fn filename(&mut self, line: &Line, word: &str) -> (Option<String>, Option<String>) {
        if word == "None" {
            return (None, None);
        }
        if let Some(script) = word.strip_prefix("DESTFNSCRIPT=") {
            self.callback(line, script);
            return (None, None);
        }
        if let Some(name) = word.strip_prefix("DESTFN=") {
            return (Some(name.to_owned()), None);
        }
        if is_keyword(word) || word == "TIME" || word.starts_with("TIME:") {
            return (None, Some(word.to_owned()));
        }
        (Some(word.to_owned()), None)
    }

    /// `subtopic` and `topic`, which bind with what stands above them.
    pub(super) fn bind(&mut self, line: &Line, complete: bool) {
        // Not `word`: a lone `#` is a topic.
        let Some(word) = line.words.get(1).cloned() else {
            self.remark(
                line,
                Fate::Dropped,
                "it has no value; sr3 takes no notice of it",
            );
            return;
        };
        let topic = self.fill(line, &word, false);
        if !self.has_use(line, "subtopic") {
            return;
        }
        let exchange = self.brokers.input_exchange();
        let broker = self.brokers.inputs.len().saturating_sub(1);
        let mqtt = self.brokers.inputs.last().is_some_and(|broker| broker.mqtt);
        let comments = self.take_comments();
        self.brokers.bindings.push(Binding {
            broker,
            exchange,
            prefix: self.brokers.prefix.clone(),
            topic: brokers::topic(&topic, mqtt),
            complete,
            comments,
        });
        self.doc
            .set("subtopic", Value::List(Vec::new()), Vec::new());
    }

    pub(super) fn broker(&mut self, line: &Line) -> Option<Broker> {
        let word = self.word(line)?;
        let text = self.fill(line, &word, false);
        Some(Broker::new(text))
    }

    /// A plugin by the name of a `callback` line.
    pub(super) fn callback(&mut self, line: &Line, written: &str) {
        self.use_plugin(line, written, plugins::find(written), false);
    }

    pub(super) fn use_plugin(
        &mut self,
        line: &Line,
        written: &str,
        to: Option<plugins::To>,
        first: bool,
    ) {
        let canonical = plugins::canonical(written);
        if self
            .callbacks
            .iter()
            .any(|callback| callback.canonical == canonical)
        {
            self.remark(
                line,
                Fate::Kept,
                "it is named twice, which is once in sr3 too",
            );
            return;
        }
        let name = match to {
            Some(plugins::To::BuiltIn(why)) => {
                self.remark(line, Fate::Dropped, why);
                return;
            }
            Some(plugins::To::Option(key, value)) => {
                self.remark(line, Fate::Kept, format!("it is `{key}: {value}` here"));
                self.put(line, key, Value::text(value));
                return;
            }
            Some(plugins::To::Nothing(what)) => {
                self.remark(line, Fate::Refused, what);
                plugins::own_name(written)
            }
            Some(plugins::To::Plugin { name, differs, .. }) => {
                match differs {
                    Some(differs) => self.remark(
                        line,
                        Fate::Changed,
                        format!("it is the plugin `{name}`; {differs}"),
                    ),
                    None => self.remark(line, Fate::Kept, format!("it is the plugin `{name}`")),
                }
                name.to_owned()
            }
            None => {
                let name = plugins::own_name(written);
                self.remark(line, Fate::Refused, plugins::write_one(&name));
                name
            }
        };
        let comments = self.take_comments();
        self.doc
            .set("callbacks", Value::List(Vec::new()), Vec::new());
        let callback = Callback {
            name,
            canonical,
            to,
            entries: Vec::new(),
            comments,
            line: line.clone(),
        };
        if first {
            self.callbacks.insert(0, callback);
        } else {
            self.callbacks.push(callback);
        }
    }
}

/// `get` of an old poll matches the name alone.
fn from_the_name(regex: &str) -> String {
    match regex.strip_prefix('^') {
        Some(rest) => format!(".*/{rest}"),
        None if regex.starts_with(".*") => regex.to_owned(),
        None => format!(".*{regex}"),
    }
}

/// Whether a word behind an expression says how to name files.
fn is_keyword(word: &str) -> bool {
    let head = word.split([':', '=']).next().unwrap_or_default();
    [
        "None",
        "DESTFN",
        "DESTFNSCRIPT",
        "HEADFN",
        "NONE",
        "NONESENDER",
        "SATNET",
        "SENDER",
        "WHATFN",
    ]
    .contains(&head)
}
