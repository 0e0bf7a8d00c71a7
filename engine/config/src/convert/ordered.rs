//! The options whose meaning hangs on other lines, or on more than a table can say.

use super::components::Component;
use super::document::Value;
use super::lines::Line;
use super::options::Type;
use super::report::Fate;
use super::walk::Walk;
use super::{moving, plugins, values};
use crate::mask;

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
            "queueShare" => {
                let from = self.remarks.len();
                self.plain(line, name, name, Type::Text);
                self.share_queue(line, from);
            }
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
            "fileEvents" => self.set_of(line, "fileEvents", &moving::EVENTS),
            "logEvents" => self.set_of(line, "logEvents", &moving::LOG_EVENTS),
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
            name if is_script(name) => self.script(line),
            _ => return false,
        }
        true
    }

    /// Keeps the place of an option that is worked out at the end.
    pub(super) fn keep_place(&mut self, key: &str) {
        let comments = self.take_comments();
        self.doc.set(key, Value::List(Vec::new()), comments);
    }

    pub(super) fn post_broker(&mut self, line: &Line, broker: super::brokers::Broker) {
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
    pub(super) fn named(&mut self, line: &Line, name: &str) {
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

    pub(super) fn topic_prefix(&mut self, line: &Line, name: &str) {
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

    pub(super) fn queue_name(&mut self, line: &Line) {
        let Some(word) = self.word(line) else {
            return;
        };
        // These stay as they are: the name is made when the flow starts.
        let kept = word
            .replace("${BROKER_USER}", "\u{1}")
            .replace("${PROGRAM}", "${COMPONENT}");
        let from = self.remarks.len();
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
        self.put(line, "queueName", Value::text(text.clone()));
        self.name_queue(line, word, text, from);
    }

    /// `pollUrl` and `sendTo`.
    pub(super) fn far_side(&mut self, line: &Line, name: &str) {
        let Some(rest) = self.rest(line) else { return };
        let text = self.fill(line, &rest, false);
        if text.starts_with('<') || text.contains("://<") {
            self.remark(line, Fate::Refused, "it is a place for a URL: write yours");
        }
        self.options.insert(name.to_ascii_lowercase(), text.clone());
        self.options.insert(name.to_owned(), text.clone());
        if name == "sendTo" && !matches!(self.ours, Component::Sender | Component::Flow) {
            self.keep_place("allow");
            return;
        }
        self.put(line, name, Value::Text(text));
    }

    pub(super) fn log_level(&mut self, line: &Line) {
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

    /// An entry point of the previous generation with its script.
    fn script(&mut self, line: &Line) {
        let Some(word) = self.word(line) else {
            self.remark(line, Fate::Dropped, "it names no script");
            return;
        };
        let word = self.fill(line, &word, false);
        let name = word.rsplit('/').next().unwrap_or(&word).to_owned();
        self.use_plugin(line, &name, plugins::script(&word), false);
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
