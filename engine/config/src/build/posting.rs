//! What is posted: exchanges, the form of messages, and where `source` comes from.

use super::brokers::{ANONYMOUS, is_mqtt, user_of};
use super::{Builder, Shared, dotted};
use crate::explain as code;
use crate::flow::{Input, Output, PostFormat, SourceStamp};
use crate::options::option;
use crate::units;
use crate::{Origin, SafeUrl};

impl Builder<'_> {
    /// A limit that has no default.
    pub(super) fn limit_of(&mut self, name: &'static str) -> Option<u16> {
        let (least, most) = option(name).map_or((0, i64::MAX), |option| option.range);
        let count = self.read(name, |text| units::count(text, least, most))?;
        u16::try_from(count).ok()
    }

    pub(super) fn output(&mut self, shared: &Shared) -> Option<Output> {
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
            declare: shared.declare_exchange,
            durable: shared.durable,
            message_ttl: self.duration("post_messageAgeMax"),
            failed: self.flag("post_failed"),
            qos: shared.qos,
            max_inflight: self.limit_of("max_inflight_messages"),
            tls: shared.tls,
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
}
