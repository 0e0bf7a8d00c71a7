//! The options whose meaning hangs on other lines, or on more than a table can say.

use super::components::Component;
use super::document::{Node, Value};
use super::lines::Line;
use super::options::Type;
use super::report::Fate;
use super::walk::{Stranger, Walk};
use super::{names, plugins, regexes, values};
use crate::mask;

/// What `fileEvents` is in sr3 where nothing is written.
const EVENTS: [&str; 6] = ["create", "delete", "link", "mkdir", "modify", "rmdir"];
/// What `logEvents` is in sr3 where nothing is written.
const LOG_EVENTS: [&str; 4] = [
    "after_accept",
    "after_post",
    "after_work",
    "on_housekeeping",
];

impl Walk {
    /// Whether `name` is one of these; it is dealt with then.
    pub(super) fn ordered(&mut self, line: &Line, name: &str) -> bool {
        match name {
            "accept" | "get" => self.accept_or_reject(line, true),
            "reject" => self.accept_or_reject(line, false),
            "directory" | "mirror" | "strip" | "flatten" | "filename" => self.place(line, name),
            "broker" => {
                if let Some(broker) = self.broker(line)
                    && self.has_use(line, "broker")
                {
                    if self.brokers.inputs.last() != Some(&broker) {
                        self.brokers.inputs.push(broker);
                    }
                    self.keep_place("broker");
                }
            }
            "post_broker" => {
                if let Some(broker) = self.broker(line) {
                    self.post_broker(line, broker);
                }
            }
            "exchange" => self.named(line, "exchange"),
            "exchangeSuffix" => self.named(line, "exchangeSuffix"),
            "post_exchange" => self.named(line, "post_exchange"),
            "post_exchangeSuffix" => self.named(line, "post_exchangeSuffix"),
            "topicPrefix" | "post_topicPrefix" => self.topic_prefix(line, name),
            "subtopic" => self.bind(line, false),
            "topic" => self.bind(line, true),
            "queueName" => self.queue_name(line),
            "amqp_queue_args" => self.queue_arguments(line),
            "callback" | "callback_prepend" => match self.word(line) {
                Some(word) => {
                    let word = self.fill(line, &word, false);
                    let to = plugins::find(&word);
                    self.use_plugin(line, &word, to, name == "callback_prepend");
                }
                None => self.remark(line, Fate::Dropped, "it names no plugin"),
            },
            "set" => self.setting(line),
            "declare" => self.declare(line),
            "header" => self.header(line),
            "identity" => self.identity(line),
            "inflight" => self.inflight(line),
            "nodupe_ttl" => self.nodupe(line),
            "nodupe_basis" => {
                self.plain(line, name, "nodupe_basis", Type::Text);
            }
            "sleep" => self.sleep(line),
            "fileEvents" => self.set_of(line, "fileEvents", &EVENTS),
            "logEvents" => self.set_of(line, "logEvents", &LOG_EVENTS),
            "flowMain" => match self.word(line) {
                Some(main) if main.parse::<Component>().is_ok() => {
                    self.remark(
                        line,
                        Fate::Kept,
                        format!("the flow is a `{}` here", self.ours),
                    );
                }
                Some(main) => self.remark(
                    line,
                    Fate::Refused,
                    format!(
                        "`{}` is a class of Python, which can't be loaded",
                        mask::quotable(&main)
                    ),
                ),
                None => {}
            },
            "no_download" => {
                let on = line.words.get(1).is_none_or(|word| values::is_true(word));
                self.remark(line, Fate::Kept, "it is `download`, the other way round");
                self.put(line, "download", Value::text(if on { "off" } else { "on" }));
                self.options.insert("download".into(), String::new());
            }
            "discard" => {
                self.remark(line, Fate::Kept, "it is `delete_destination` here");
                self.plain(line, name, "delete_destination", Type::Flag);
            }
            "attempts" => {
                self.comments.clear();
                self.remark(
                    line,
                    Fate::Dropped,
                    "sr3 tries so often before it tries again later, without end; here every try counts, and `attempts` is when to give up",
                );
            }
            "retryCountMax" => {
                let count = self
                    .word(line)
                    .and_then(|word| values::number(&word))
                    .unwrap_or(0);
                let attempts = if count <= 0 { 0 } else { count + 1 };
                self.remark(
                    line,
                    Fate::Kept,
                    format!("it is `attempts: {attempts}` here, the first one included"),
                );
                self.put(line, "attempts", Value::text(attempts.to_string()));
            }
            "kbytes_ps" => {
                let word = self.word(line).unwrap_or_default();
                let factor = if word.ends_with(|c: char| c.is_alphabetic()) {
                    1
                } else {
                    1024
                };
                let bytes = values::number(&word).unwrap_or(0) * factor;
                self.remark(
                    line,
                    Fate::Kept,
                    format!("it is `byteRateMax: {}` here", values::size(bytes)),
                );
                self.put(line, "byteRateMax", Value::Text(values::size(bytes)));
            }
            "documentRoot" | "post_documentRoot" => {
                let ours = if name == "documentRoot" {
                    "baseDir"
                } else {
                    "post_baseDir"
                };
                self.remark(line, Fate::Kept, format!("it is `{ours}` here"));
                self.plain(line, ours, ours, Type::Template);
            }
            "debug" => {
                let on = line.words.get(1).is_none_or(|word| values::is_true(word));
                if on {
                    self.remark(line, Fate::Kept, "it is `logLevel: debug` here");
                    self.put(line, "logLevel", Value::text("debug"));
                } else {
                    self.remark(line, Fate::Dropped, "it is off here too");
                }
            }
            "logLevel" => self.log_level(line),
            "pollUrl" | "sendTo" => self.far_side(line, name),
            "instances"
                if matches!(
                    self.ours,
                    Component::Poll | Component::Post | Component::Watch
                ) =>
            {
                self.remark(
                    line,
                    Fate::Dropped,
                    "what one finds need not be found by several",
                );
            }
            "topicCopy" => {
                self.remark(
                    line,
                    Fate::Changed,
                    "it works here; in sr3 3.3 it has no effect",
                );
                self.plain(line, name, name, Type::Flag);
            }
            name if is_script(name) => self.script(line, name),
            _ => return false,
        }
        true
    }

    /// Keeps the place of an option that is worked out at the end.
    fn keep_place(&mut self, key: &str) {
        let comments = self.take_comments();
        self.doc.set(key, Value::List(Vec::new()), comments);
    }

    fn place(&mut self, line: &Line, name: &str) {
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

    fn strip(&mut self, line: &Line, text: &str) -> Option<String> {
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

    fn post_broker(&mut self, line: &Line, broker: super::brokers::Broker) {
        if let Some(first) = self.brokers.outputs.first()
            && *first != broker
        {
            let text = format!(
                "a flow posts to one broker: write a `shovel` that takes what this one posts, and posts it to `{}`",
                mask::masked_url(&broker.url)
            );
            self.remark(line, Fate::Refused, text);
            return;
        }
        if self.brokers.outputs.is_empty() {
            self.brokers.outputs.push(broker);
        }
        self.keep_place("post_broker");
    }

    /// Names that exchanges are made of.
    fn named(&mut self, line: &Line, name: &str) {
        let Some(word) = self.word(line) else {
            self.remark(
                line,
                Fate::Dropped,
                "it has no value; sr3 takes no notice of it",
            );
            return;
        };
        let text = self.fill(line, &word, false);
        let set = Some(text.clone()).filter(|text| !values::is_none(text));
        match name {
            "exchange" if self.ours == Component::Poll => {
                let fate = if self.scan.vip {
                    Fate::Changed
                } else {
                    Fate::Dropped
                };
                self.comments.clear();
                self.remark(
                    line,
                    fate,
                    "a poll takes from no queue here, also where `vip` leaves it idle",
                );
                return;
            }
            "exchange" if !self.has_use(line, "exchange") => return,
            "exchange" => {
                let mqtt = self.brokers.inputs.last().is_some_and(|broker| broker.mqtt);
                self.brokers.exchange = match set {
                    None if mqtt => Some("none".into()),
                    set => set,
                };
                self.options.insert("exchange".into(), text);
            }
            "exchangeSuffix" if !self.has_use(line, "exchange") => return,
            "exchangeSuffix" => self.brokers.suffix = set,
            "post_exchange" => self.brokers.post_exchange = set,
            _ => self.brokers.post_suffix = set,
        }
        let key = if name.starts_with("post_") {
            "post_exchange"
        } else {
            "exchange"
        };
        self.keep_place(key);
    }

    fn topic_prefix(&mut self, line: &Line, name: &str) {
        let Some(word) = self.word(line) else {
            return;
        };
        let text = self.fill(line, &word, false);
        let text = if values::is_none(&text) {
            "none".to_owned()
        } else if text.contains('/') {
            text.trim_matches('/').replace('/', ".")
        } else {
            text
        };
        if name == "post_topicPrefix" {
            let format = text.split('.').next().unwrap_or_default().to_owned();
            if matches!(format.as_str(), "v02") && !self.options.contains_key("post_format") {
                self.remark(
                    line,
                    Fate::Kept,
                    "the format posted stays v03, as in sr3; `post_format` is what changes it",
                );
            }
            self.put(line, "post_topicPrefix", Value::Text(text));
            return;
        }
        self.options.insert("topicprefix".into(), text.clone());
        self.brokers.prefix = text;
        self.keep_place("topicPrefix");
    }

    fn queue_name(&mut self, line: &Line) {
        let Some(word) = self.word(line) else {
            return;
        };
        // These stay as they are: the name is made when the flow starts.
        let kept = word
            .replace("${BROKER_USER}", "\u{1}")
            .replace("${PROGRAM}", "${COMPONENT}");
        let text = self
            .fill(line, &kept, false)
            .replace('\u{1}', "${BROKER_USER}");
        if !self.brokers.bindings.is_empty() {
            self.remark(
                line,
                Fate::Changed,
                "sr3 takes it for the lines below only; here it is the queue of the flow",
            );
        }
        self.put(line, "queueName", Value::Text(text));
    }

    fn queue_arguments(&mut self, line: &Line) {
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
        entries.push(entry);
        self.put(line, "amqp_queue_args", Value::Map(entries));
    }

    fn setting(&mut self, line: &Line) {
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

    fn declare(&mut self, line: &Line) {
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
            let value = self.without_password(line, &value);
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
                    "users of the broker are managed at the broker",
                );
            }
            "exchange" => {
                self.comments.clear();
                self.remark(line, Fate::Dropped, "a flow declares the exchanges it uses");
            }
            _ => self.remark(line, Fate::Dropped, "sr3 takes no notice of it"),
        }
    }

    fn setting_of_flow(&mut self, line: &Line) {
        let value = self.fill(line, &line.rest, false);
        self.strangers.push(Stranger {
            name: line.keyword().to_owned(),
            value,
            of: None,
            line: line.clone(),
        });
    }

    fn header(&mut self, line: &Line) {
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

    fn identity(&mut self, line: &Line) {
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

    fn inflight(&mut self, line: &Line) {
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

    fn nodupe(&mut self, line: &Line) {
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

    fn sleep(&mut self, line: &Line) {
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

    fn set_of(&mut self, line: &Line, key: &str, default: &[&str]) {
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
        let mut seen = Vec::new();
        members.retain(|member| {
            let fresh = !seen.contains(member);
            seen.push(member.clone());
            fresh
        });
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
        let value = if members.is_empty() {
            Value::text("none")
        } else {
            Value::texts(members)
        };
        self.put(line, key, value);
    }

    fn log_level(&mut self, line: &Line) {
        let Some(word) = self.word(line) else { return };
        let level = match word.to_ascii_lowercase().as_str() {
            "notset" => "trace",
            "critical" | "none" => "none",
            "warn" => "warning",
            "debug" => "debug",
            "info" => "info",
            "warning" => "warning",
            "error" => "error",
            _ => {
                self.remark(line, Fate::Dropped, "there is no such level");
                return;
            }
        };
        self.put(line, "logLevel", Value::text(level));
    }

    /// `pollUrl` and `sendTo`.
    fn far_side(&mut self, line: &Line, name: &str) {
        let Some(rest) = self.rest(line) else { return };
        let text = self.fill(line, &rest, false);
        if text.starts_with('<') || text.contains("://<") {
            self.remark(line, Fate::Refused, "it is a place for a URL: write yours");
        }
        let url = self.without_password(line, &text);
        self.options.insert(name.to_ascii_lowercase(), url.clone());
        self.options.insert(name.to_owned(), url.clone());
        if name == "sendTo" && !matches!(self.ours, Component::Sender | Component::Flow) {
            self.keep_place("allow");
            return;
        }
        self.put(line, name, Value::Text(url));
    }

    /// An entry point of the previous generation with its script.
    fn script(&mut self, line: &Line, name: &str) {
        let Some(word) = self.word(line) else {
            self.remark(line, Fate::Dropped, "it names no script");
            return;
        };
        let to = plugins::script(&word);
        let written = match &to {
            Some(_) => word.clone(),
            None => word.rsplit('/').next().unwrap_or(&word).to_owned(),
        };
        let _ = name;
        self.use_plugin(line, &written, to, false);
    }
}

/// The entry points of the previous generation.
fn is_script(name: &str) -> bool {
    matches!(name, "plugin" | "destfn_script" | "poll_without_vip")
        || name.strip_prefix("do_").is_some_and(|rest| {
            matches!(
                rest,
                "data" | "download" | "get" | "poll" | "put" | "send" | "task"
            )
        })
        || name.strip_prefix("on_").is_some_and(|rest| {
            matches!(
                rest,
                "data"
                    | "file"
                    | "heartbeat"
                    | "housekeeping"
                    | "html_page"
                    | "line"
                    | "message"
                    | "part"
                    | "post"
                    | "report"
                    | "start"
                    | "stop"
                    | "watch"
            )
        })
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
