//! What is consumed and posted: queue, bindings, exchanges, and the form of messages.

use std::collections::BTreeMap;

use super::values::Scalar;
use super::{Builder, dotted};
use crate::collect::{Collector, Span};
use crate::explain as code;
use crate::flow::{
    Argument, Binding, Declare, Input, Kind, Mqtt, Output, PostFormat, QueueType, SourceStamp,
    TlsRigour,
};
use crate::mask;
use crate::options::option;
use crate::suggest::closest;
use crate::units::{self, Wrong};
use crate::variables::{self, Variables};
use crate::yaml::{Entry, Value};
use crate::{Origin, SafeUrl};

/// The user of brokers that let anyone in.
const ANONYMOUS: &str = "anonymous";

impl Builder<'_> {
    pub(super) fn input(&mut self, batch: i64) -> Option<Input> {
        let prefix = dotted(&self.text("topicPrefix").unwrap_or_default());
        let broker = self.broker("broker");
        let user = user_of(&broker);
        let exchange = self.exchange(&broker, user.as_deref());
        let split = self.count("exchangeSplit");
        let subtopics = self.texts("subtopic");
        let topics = self.texts("topic");
        let queue = self.queue(user.as_deref());
        let expire = self.duration("expire");
        let prefetch = self.count_or("prefetch", batch.saturating_mul(2).min(65_535));
        let mqtt = is_mqtt(&broker);
        let bindings = if self.is_given("bindings") {
            self.bindings(exchange.as_deref(), &prefix)
        } else {
            self.unset("bindings", "none", Origin::Default);
            let patterns: Vec<String> = if topics.is_empty() {
                subtopics
                    .iter()
                    .map(|subtopic| joined(&prefix, subtopic))
                    .collect()
            } else {
                topics.iter().map(|topic| dotted(topic)).collect()
            };
            let name = if topics.is_empty() {
                "subtopic"
            } else {
                "topic"
            };
            if let Some((_, node)) = self.given.get(name) {
                let span = node.span;
                self.check_patterns(name, span, &patterns, mqtt);
            }
            exchange
                .iter()
                .flat_map(|exchange| {
                    patterns.iter().map(|topic| Binding {
                        exchange: exchange.clone(),
                        topic: topic.clone(),
                    })
                })
                .collect()
        };
        let input = Input {
            queue,
            bindings: spread(bindings, split),
            expire,
            message_ttl: self.ttl_of_queue(),
            prefetch: usize::try_from(prefetch).unwrap_or(usize::MAX),
            durable: self.flag("durable"),
            auto_delete: self.flag("auto_delete"),
            queue_type: match self.choice("queueType") {
                "classic" => Some(QueueType::Classic),
                "quorum" => Some(QueueType::Quorum),
                _ => None,
            },
            arguments: self.arguments(),
            declare: Declare {
                exchange: self.flag("exchangeDeclare"),
                queue: self.flag("queueDeclare"),
                bindings: self.flag("queueBind"),
            },
            tls: self.tls(),
            mqtt: Mqtt {
                qos: u8::try_from(self.count("qos")).unwrap_or(1),
                clean_session: self.flag("clean_session"),
                receive_maximum: self.limit_of("receiveMaximum"),
            },
            broker,
        };
        let here = option("broker").is_some_and(|option| option.is_for(self.name.kind));
        (here && !input.bindings.is_empty()).then_some(input)
    }

    /// `messageAgeMax` before its turn to be recorded.
    fn ttl_of_queue(&mut self) -> std::time::Duration {
        let ttl = self.duration("messageAgeMax");
        self.settings
            .retain(|setting| setting.name != "messageAgeMax");
        ttl
    }

    /// The exchange bound to; empty for none at all.
    fn exchange(&mut self, broker: &SafeUrl, user: Option<&str>) -> Option<String> {
        let written = self.text_of("exchange");
        match written.as_deref() {
            Some("none") if is_mqtt(broker) => Some(String::new()),
            Some("none") => {
                if let Some((_, node)) = self.given.get("exchange") {
                    let span = node.span;
                    self.out
                        .error(
                            code::BAD_VALUE,
                            span,
                            "`exchange` can't be `none` with this broker",
                        )
                        .label("only MQTT topics start without an exchange");
                }
                None
            }
            Some(name) => Some(name.to_owned()),
            None => {
                let anonymous = user == Some(ANONYMOUS);
                let default = user.filter(|_| self.is_given("broker")).map(|user| {
                    if anonymous {
                        "xpublic".to_owned()
                    } else {
                        format!("xs_{user}")
                    }
                })?;
                self.replace_setting("exchange", &default, Origin::Kind);
                Some(default)
            }
        }
    }

    fn queue(&mut self, user: Option<&str>) -> String {
        let share = self.text_or("queueShare", own_share(&self.variables));
        let base = format!(
            "q_{}.{}.{}",
            user.unwrap_or("embedded"),
            self.name.kind,
            self.name.name
        );
        let default = match user {
            Some(_) if !share.is_empty() => format!("{base}.{share}"),
            _ => base,
        };
        self.text_or("queueName", default)
    }

    /// The entries of `bindings`; what one leaves out is that of the flow.
    fn bindings(&mut self, exchange: Option<&str>, prefix: &str) -> Vec<Binding> {
        let Some((_, node)) = self.given.get("bindings").cloned() else {
            return Vec::new();
        };
        let Value::List(items) = &node.value else {
            let is = node.kind();
            self.out
                .error(
                    code::WRONG_TYPE,
                    node.span,
                    format!("`bindings` is a list, this is {is}"),
                )
                .label("write `- exchange: xs_news`, one binding in an entry");
            return Vec::new();
        };
        let mut bindings = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let Value::Map(entries) = &item.value else {
                let is = item.kind();
                self.out
                    .error(
                        code::WRONG_TYPE,
                        item.span,
                        format!("a binding is a mapping, this is {is}"),
                    )
                    .label("write `exchange: xs_news`");
                continue;
            };
            let at = format!("bindings[{index}]");
            bindings.extend(self.binding(&at, item.span, entries, exchange, prefix));
        }
        bindings
    }

    fn binding(
        &mut self,
        at: &str,
        place: Span,
        entries: &[Entry],
        exchange: Option<&str>,
        prefix: &str,
    ) -> Vec<Binding> {
        const KEYS: [&str; 4] = ["exchange", "topicPrefix", "subtopic", "topic"];
        let mut exchange = exchange.map(str::to_owned);
        let mut prefix = prefix.to_owned();
        let (mut subtopics, mut topics) = (None, None);
        for entry in entries {
            let name = format!("{at}.{}", entry.key);
            match entry.key.as_str() {
                "exchange" => {
                    if let Some(scalar) = self.named(&name, entry, "xs_news") {
                        exchange = Some(scalar.text.trim().to_owned());
                    }
                }
                "topicPrefix" => {
                    if let Some(scalar) = self.named(&name, entry, "v03") {
                        prefix = dotted(scalar.text.trim());
                    }
                }
                "subtopic" => subtopics = Some(self.texts_at(&name, &entry.value, "'#'")),
                "topic" => {
                    topics = Some((
                        entry.key_span,
                        self.texts_at(&name, &entry.value, "'v03.#'"),
                    ))
                }
                key => {
                    let close = closest(key, KEYS);
                    let message =
                        format!("`{}` is not an option of a binding", mask::quotable(key));
                    let draft = self
                        .out
                        .error(code::UNKNOWN_OPTION, entry.key_span, message);
                    if let Some(close) = close {
                        draft.label(format!("did you mean `{close}`?"));
                    }
                    draft
                        .hint("a binding has `exchange`, `topicPrefix`, and `subtopic` or `topic`");
                }
            }
        }
        if let (Some(_), Some((span, _))) = (&subtopics, &topics) {
            self.exclude(*span, "topic", "subtopic");
        }
        let Some(exchange) = exchange else {
            self.out
                .error(
                    code::MISSING_OPTION,
                    place,
                    "a binding needs the option `exchange`",
                )
                .label("add `exchange:`, here or to the flow");
            return Vec::new();
        };
        let exchange = if exchange == "none" {
            String::new()
        } else {
            exchange
        };
        let topics = match (topics, subtopics) {
            (Some((_, topics)), _) => topics.iter().map(|topic| dotted(topic)).collect(),
            (None, Some(subtopics)) => subtopics
                .iter()
                .map(|subtopic| joined(&prefix, subtopic))
                .collect(),
            (None, None) => vec![joined(&prefix, "#")],
        };
        topics
            .into_iter()
            .map(|topic| Binding {
                exchange: exchange.clone(),
                topic,
            })
            .collect()
    }

    /// A value inside an option, recorded under its full name.
    pub(super) fn named(&mut self, name: &str, entry: &Entry, example: &str) -> Option<Scalar> {
        let scalar = self.scalar(&entry.key, &entry.value, example)?;
        self.set(name, scalar.shown(), scalar.origin.clone());
        Some(scalar)
    }

    /// Patterns some broker would refuse, or read as something else.
    fn check_patterns(&mut self, name: &str, span: Span, patterns: &[String], mqtt: bool) {
        for pattern in patterns {
            let words: Vec<&str> = pattern.split('.').collect();
            let inner = words.iter().rev().skip(1).any(|word| *word == "#");
            let (message, label) = if words.contains(&"+") {
                (
                    format!("`+` in `{name}` matches nothing else"),
                    "write `*` for any one word",
                )
            } else if mqtt && inner {
                (
                    format!("`#` is not the last word of `{name}`"),
                    "MQTT brokers know it only there",
                )
            } else if words.iter().any(|word| word.is_empty()) {
                (
                    format!("`{name}` has an empty word"),
                    "two dots follow each other",
                )
            } else {
                continue;
            };
            self.out.error(code::BAD_VALUE, span, message).label(label);
        }
    }

    fn arguments(&mut self) -> BTreeMap<String, Argument> {
        let mut arguments = BTreeMap::new();
        let Some((_, node)) = self.given.get("amqp_queue_args").cloned() else {
            self.unset("amqp_queue_args", "none", Origin::Default);
            return arguments;
        };
        let entries = match &node.value {
            Value::Map(entries) => entries,
            Value::Null => return arguments,
            _ => {
                let is = node.kind();
                self.out
                    .error(
                        code::WRONG_TYPE,
                        node.span,
                        format!("`amqp_queue_args` is a mapping of names to values, this is {is}"),
                    )
                    .label("write `amqp_queue_args: {x-max-length: 100000}`");
                return arguments;
            }
        };
        for entry in entries {
            let instead = match entry.key.as_str() {
                "x-expires" => Some("expire"),
                "x-message-ttl" => Some("messageAgeMax"),
                "x-queue-type" => Some("queueType"),
                _ => None,
            };
            if let Some(instead) = instead {
                self.out
                    .error(
                        code::NOT_HERE,
                        entry.key_span,
                        format!("`{}` has an option of its own", entry.key),
                    )
                    .label(format!("it is `{instead}`"));
                continue;
            }
            let name = format!("amqp_queue_args.{}", entry.key);
            if let Some(scalar) = self.named(&name, entry, "100000") {
                arguments.insert(entry.key.clone(), argument(scalar.text.trim()));
            }
        }
        arguments
    }

    fn limit_of(&mut self, name: &'static str) -> Option<u16> {
        let (least, most) = option(name).map_or((0, i64::MAX), |option| option.range);
        let count = self.read(name, |text| units::count(text, least, most))?;
        u16::try_from(count).ok()
    }

    /// Read once for brokers and servers alike.
    pub(super) fn tls(&mut self) -> TlsRigour {
        self.settings.retain(|setting| setting.name != "tlsRigour");
        match self.choice("tlsRigour") {
            "strict" => TlsRigour::Strict,
            "lax" => TlsRigour::Lax,
            _ => TlsRigour::Normal,
        }
    }

    pub(super) fn output(&mut self) -> Option<Output> {
        let broker = self.broker("post_broker");
        let exchanges = self.post_exchanges(&broker);
        let (format, topic_prefix) = self.format();
        let topic = self.text("post_topic").map(|topic| dotted(&topic));
        let split = self.count("post_exchangeSplit");
        let output = Output {
            broker,
            exchange: String::new(),
            exchanges: Vec::new(),
            topic_prefix,
            topic,
            topic_copy: self.flag("topicCopy"),
            format,
            base_url: self.template("post_baseUrl"),
            base_dir: self.template("post_baseDir"),
            persistent: self.flag("persistent"),
            declare: self.again("exchangeDeclare"),
            durable: self.again("durable"),
            message_ttl: self.duration("post_messageAgeMax"),
            qos: self.again_count("qos"),
            max_inflight: self.limit_of("max_inflight_messages"),
            tls: self.tls(),
        };
        let exchanges = match (exchanges?, split) {
            (names, 0) => names,
            (names, split) => names
                .iter()
                .flat_map(|name| (0..split).map(move |part| format!("{name}{part:02}")))
                .collect(),
        };
        Some(Output {
            exchange: exchanges.first()?.clone(),
            exchanges,
            ..output
        })
    }

    /// A flag that was read for the input already; nothing is recorded twice.
    fn again(&mut self, name: &'static str) -> bool {
        self.settings.retain(|setting| setting.name != name);
        self.flag(name)
    }

    fn again_count(&mut self, name: &'static str) -> u8 {
        self.settings.retain(|setting| setting.name != name);
        u8::try_from(self.count(name)).unwrap_or(1)
    }

    /// The exchanges posted to; none: nothing is posted.
    fn post_exchanges(&mut self, broker: &SafeUrl) -> Option<Vec<String>> {
        let names: Vec<String> = self
            .texts("post_exchange")
            .iter()
            .map(|name| name.trim().to_owned())
            .collect();
        match names.as_slice() {
            [none] if none == "none" => is_mqtt(broker).then(|| vec![String::new()]),
            [] => {
                let user = user_of(broker).filter(|user| user != ANONYMOUS)?;
                let default = format!("xs_{user}");
                self.replace_setting("post_exchange", &default, Origin::Kind);
                Some(vec![default])
            }
            names if names.iter().any(String::is_empty) => {
                if let Some((_, node)) = self.given.get("post_exchange") {
                    let span = node.span;
                    self.out
                        .error(code::BAD_VALUE, span, "`post_exchange` is empty")
                        .label("remove it, or give it a value");
                }
                None
            }
            _ => Some(names),
        }
    }

    /// The form of messages and the first words of their topics, which go together.
    fn format(&mut self) -> (PostFormat, String) {
        let asked = self.choice("post_format");
        let written = self.text_of("post_topicPrefix").map(|text| dotted(&text));
        let consumed = match self.given.get("topicPrefix") {
            Some(_) => dotted(&self.value_of("topicPrefix")),
            None => "v03".to_owned(),
        };
        let format = match (asked, written.as_deref().unwrap_or(&consumed)) {
            ("v02", _) => PostFormat::V02,
            ("wis", _) => PostFormat::Wis,
            ("v03", _) => PostFormat::V03,
            (_, prefix) if prefix.starts_with("v02") => PostFormat::V02,
            _ => PostFormat::V03,
        };
        if asked.is_empty() {
            let name = if format == PostFormat::V02 {
                "v02"
            } else {
                "v03"
            };
            self.replace_setting("post_format", name, Origin::Default);
        }
        let prefix = written.unwrap_or_else(|| {
            let version = consumed.split('.').next().unwrap_or("");
            let prefix = match format {
                PostFormat::V02 if version != "v02" => "v02.post".to_owned(),
                PostFormat::V03 if version == "v02" => "v03".to_owned(),
                _ => consumed,
            };
            let shown = if prefix.is_empty() { "none" } else { &prefix };
            self.replace_setting("post_topicPrefix", shown, Origin::Default);
            prefix
        });
        (format, prefix)
    }

    /// Where `source` comes from; one of three options says so.
    pub(super) fn source(&mut self, input: Option<&Input>, output: Option<&Output>) -> SourceStamp {
        let text = self.text("source");
        let from_exchange = self.flag("sourceFromExchange");
        let from_message = self.flag("sourceFromMessage");
        let user = output
            .and_then(|output| user_of(&output.broker))
            .or_else(|| input.and_then(|input| user_of(&input.broker)))
            .filter(|user| user != ANONYMOUS);
        match (text, from_exchange, from_message, user) {
            (_, true, ..) => SourceStamp::FromExchange,
            (_, _, true, _) => SourceStamp::Keep,
            (Some(text), ..) => SourceStamp::Set(text),
            (None, _, _, Some(user)) => {
                self.replace_setting("source", &user, Origin::Default);
                SourceStamp::Fill(user)
            }
            (None, ..) => SourceStamp::Keep,
        }
    }

    /// Two options of which only one can be.
    pub(super) fn exclude(&mut self, span: Span, one: &str, other: &str) {
        self.out
            .error(
                code::CONFLICT,
                span,
                format!("`{one}` and `{other}` exclude each other"),
            )
            .label("keep one of the two");
    }

    /// Text as written, `none` included.
    fn text_of(&mut self, name: &'static str) -> Option<String> {
        self.read(name, |text| match text.trim() {
            "" => Err(Wrong::new(
                code::BAD_VALUE,
                "is empty",
                "remove it, or give it a value",
            )),
            text => Ok(text.to_owned()),
        })
    }
}

/// `none` is no reason to post with an empty queue name: the user of a broker that has users.
fn user_of(broker: &SafeUrl) -> Option<String> {
    if broker.scheme() == "embedded" {
        return None;
    }
    let user = broker.user();
    Some(if user.is_empty() {
        ANONYMOUS.to_owned()
    } else {
        user
    })
}

/// Whether a broker speaks MQTT.
pub(super) fn is_mqtt(broker: &SafeUrl) -> bool {
    broker.scheme().starts_with("mqtt")
}

/// Whether a broker speaks AMQP.
pub(super) fn is_amqp(broker: &SafeUrl) -> bool {
    broker.scheme().starts_with("amqp")
}

fn joined(prefix: &str, subtopic: &str) -> String {
    let subtopic = dotted(subtopic);
    match (prefix, subtopic.as_str()) {
        ("", _) => subtopic,
        (prefix, "") => prefix.to_owned(),
        (prefix, subtopic) => format!("{prefix}.{subtopic}"),
    }
}

/// Binds to the parts of exchanges that are split.
fn spread(bindings: Vec<Binding>, split: i64) -> Vec<Binding> {
    if split == 0 {
        return bindings;
    }
    bindings
        .iter()
        .flat_map(|binding| {
            (0..split).map(|part| Binding {
                exchange: format!("{}{part:02}", binding.exchange),
                topic: binding.topic.clone(),
            })
        })
        .collect()
}

/// A value as AMQP types it.
fn argument(text: &str) -> Argument {
    if let Ok(count) = text.parse() {
        return Argument::Count(count);
    }
    match units::flag(text) {
        Ok(flag) => Argument::Flag(flag),
        Err(_) => Argument::Text(text.to_owned()),
    }
}

/// Who shares the queue by default: a user of a machine.
fn own_share(variables: &Variables<'_>) -> String {
    let of = |name: &str| variables.env.get(name).cloned().unwrap_or_default();
    let host = match variables.hostname {
        "" => of("HOSTNAME"),
        host => host.to_owned(),
    };
    let user = match of("USER") {
        user if user.is_empty() => of("LOGNAME"),
        user => user,
    };
    [user, host]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("_")
}

/// Variables that other options of the flow give: `${BROKER_USER}`, `${POST_BROKER_USER}`,
/// `${QUEUESHARE}`, `${BD}` and `${PBD}`. What can't be told has no variable, and no finding here:
/// the option itself gets it.
pub(super) fn own_variables(
    variables: Variables<'_>,
    entries: &[Entry],
) -> BTreeMap<String, String> {
    let text = |name: &str| {
        let entry = entries.iter().rev().find(|entry| entry.key == name)?;
        let Value::Scalar(text, _) = &entry.value.value else {
            return None;
        };
        let mut aside = Collector::default();
        let file = aside.add("", text.as_str());
        let span = Span::new(file, 0..text.len());
        variables::expand(&mut aside, &variables, name, span, text, false)?.constant()
    };
    let user = |name: &str| user_of(&SafeUrl::parse(text(name)?.trim()).ok()?);
    let share = text("queueShare").unwrap_or_else(|| own_share(&variables));
    [
        ("BROKER_USER", user("broker")),
        ("POST_BROKER_USER", user("post_broker")),
        ("QUEUESHARE", Some(share).filter(|share| !share.is_empty())),
        ("BD", text("baseDir")),
        ("PBD", text("post_baseDir")),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
    .collect()
}

/// Whether a kind of flow can do without an exchange to consume.
pub(super) fn needs_exchange(kind: Kind) -> bool {
    kind.consumes()
}
