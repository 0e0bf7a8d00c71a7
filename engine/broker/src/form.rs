//! The form of posts: their format, and their topic on a broker of another make.
//!
//! The loop names topics as the embedded broker has them, dotted. On AMQP and MQTT the same topic is
//! spelled otherwise, so it is taken apart into prefix and directories, and these are spelled anew from
//! the message: MQTT keeps dots in directory names, and each has its own escapes.
//!
//! A topic that is not made from the message was chosen by somebody and goes out as it is. On MQTT a
//! dotted one is below the exchange, where its queues look; one with slashes is a whole topic of MQTT.
//! The topics of wis are always chosen.

use flow_message::codec::{self, Context, Format, Wire};
use flow_message::{Message, Topic, Transport};
use flow_runtime::ports::Outgoing;

use crate::error::{Error, Kind};

/// What posts are written as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Form<'a> {
    pub(crate) format: Format,
    /// The first words of topics, where the loop's topics say nothing else.
    pub(crate) topic_prefix: &'a str,
    pub(crate) transport: Transport,
    pub(crate) exchange: &'a str,
}

impl Form<'_> {
    /// Writes a post.
    ///
    /// # Errors
    /// [`Kind::Unacceptable`]: this message can't be posted in this form, now or later.
    pub(crate) fn encode(&self, outgoing: &Outgoing) -> Result<Wire, Error> {
        let message = &outgoing.message;
        let given = outgoing.topic.as_str();
        let context = Context {
            transport: self.transport,
            topic_prefix: self.topic_prefix,
            exchange: self.exchange,
            topic: None,
        };
        let prefix = match self.format {
            Format::Wis => {
                let derived = Topic::of(self.topic_prefix, message);
                (*given == *derived.as_str()).then_some(self.topic_prefix)
            }
            Format::V03 | Format::V02 => prefix_of(given, message),
        };
        let wire = match prefix {
            Some(topic_prefix) => {
                let context = Context {
                    topic_prefix,
                    ..context
                };
                codec::encode(message, self.format, &context)
            }
            None => {
                let chosen = self.chosen(given);
                codec::encode(message, self.format, &context.with_topic(Some(&chosen)))
            }
        };
        let wire = wire.map_err(|error| self.refuse(message, &error.to_string()))?;
        if self.transport == Transport::Mqtt && wire.topic.as_str().is_empty() {
            return Err(self.refuse(message, "it has no topic, and MQTT has none without"));
        }
        Ok(wire)
    }

    /// A chosen topic as the broker spells it.
    fn chosen(&self, topic: &str) -> String {
        if self.transport == Transport::Amqp || topic.contains('/') {
            return topic.to_owned();
        }
        let words = std::iter::once(self.exchange).chain(topic.split('.'));
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        words.join("/")
    }

    pub(crate) fn refuse(&self, message: &Message, why: &str) -> Error {
        Error::new(
            Kind::Unacceptable,
            format!(
                "`{}` can't be posted to the exchange `{}` as {}: {why}; this message was not posted, \
                 and trying again does not help",
                message.rel_path, self.exchange, self.format
            ),
        )
    }
}

/// What stands before the directories of the message in its topic; none if they are not there.
fn prefix_of<'a>(dotted: &'a str, message: &Message) -> Option<&'a str> {
    let path = Topic::of("", message);
    let rest = dotted.strip_suffix(path.as_str())?;
    if rest.contains('/') {
        // No topic the loop derives has one.
        return None;
    }
    if path.as_str().is_empty() || rest.is_empty() {
        return Some(rest);
    }
    rest.strip_suffix('.')
}

/// Says once that topics are cut.
pub(crate) fn tell_cut(told: &mut bool, wire: &Wire, exchange: &str) {
    if wire.topic_cut && !*told {
        *told = true;
        let length = wire.topic.as_str().len();
        tracing::error!(
            exchange,
            topic = wire.topic.as_str(),
            "A topic is longer than {length} bytes and is cut there: queues bound to what is cut off do \
             not get these messages. Shorten the directories."
        );
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use flow_message::Timestamp;
    use serde_json::json;

    use super::*;

    fn outgoing(topic: &str, path: &str) -> Outgoing {
        Outgoing {
            message: Message::new(Timestamp::from_unix(1, 0), "https://example.org/", path).into(),
            topic: Topic::from(topic.to_owned()),
            key: None,
        }
    }

    fn form(transport: Transport, exchange: &str, format: Format) -> Form<'_> {
        Form {
            format,
            topic_prefix: format.topic_prefix(),
            transport,
            exchange,
        }
    }

    #[test]
    fn a_topic_on_mqtt_has_the_directories_of_the_path_as_levels() {
        for (exchange, dotted, path, expected) in [
            ("x", "v03.a.b", "a/b/f", "x/v03/a/b"),
            ("x", "v03", "f", "x/v03"),
            ("x", "v02.post.a", "/a/f", "x/v02/post/a"),
            ("x", "v03.v1.2.c", "v1.2/c/f", "x/v03/v1.2/c"),
            ("x", "v02.post.v1.2.c", "v1.2/c/f", "x/v02/post/v1.2/c"),
            ("x", "v03.a+b", "a+b/f", "x/v03/a%2Bb"),
            ("x", "v03.%23.%2A", "#/*/f", "x/v03/%23/*"),
            ("", "origin.a.wis2", "a/f", "origin/a/wis2"),
            ("x", "chosen.by.hand", "a/b/f", "x/chosen/by/hand"),
            ("x", "origin/v1.2/wis2", "a/b/f", "origin/v1.2/wis2"),
            ("x", "whole/a", "a/f", "whole/a"),
            ("x", "xa", "a/f", "x/xa"),
        ] {
            for format in [Format::V03, Format::V02] {
                let wire = form(Transport::Mqtt, exchange, format).encode(&outgoing(dotted, path));
                assert_eq!(wire.unwrap().topic.as_str(), expected, "{dotted} {path}");
            }
        }
        let nothing = form(Transport::Mqtt, "", Format::V03).encode(&outgoing("", "f"));
        assert_eq!(nothing.unwrap_err().kind(), Kind::Unacceptable);
    }

    #[test]
    fn a_topic_on_amqp_is_spelled_as_python_spells_it() {
        for (dotted, path, expected) in [
            ("v03.a.b", "a/b/f", "v03.a.b"),
            ("v02.post", "f", "v02.post"),
            ("v03.v1.2", "v1.2/f", "v03.v1.2"),
            ("v03.%23.%2A", "#/*/f", "v03.%23.%22"),
            ("chosen.by.hand", "a/b/f", "chosen.by.hand"),
            ("", "f", ""),
        ] {
            let wire = form(Transport::Amqp, "x", Format::V03).encode(&outgoing(dotted, path));
            assert_eq!(wire.unwrap().topic.as_str(), expected, "{dotted} {path}");
        }
    }

    #[test]
    fn the_topics_of_wis_are_chosen() {
        let mqtt = form(Transport::Mqtt, "", Format::Wis);
        let amqp = form(Transport::Amqp, "x", Format::Wis);
        let chosen = outgoing("origin.a.wis2", "wis2/f");
        assert_eq!(
            mqtt.encode(&chosen).unwrap().topic.as_str(),
            "origin/a/wis2"
        );
        assert_eq!(
            amqp.encode(&chosen).unwrap().topic.as_str(),
            "origin.a.wis2"
        );
        let mut derived = outgoing("a", "a/f");
        let refused = mqtt.encode(&derived).unwrap_err();
        assert_eq!(refused.kind(), Kind::Unacceptable);
        assert!(refused.to_string().contains("as wis: "), "{refused}");
        Arc::make_mut(&mut derived.message)
            .extra
            .insert("topic".into(), json!("cache/a"));
        assert_eq!(mqtt.encode(&derived).unwrap().topic.as_str(), "cache/a");
        assert_eq!(amqp.encode(&derived).unwrap().topic.as_str(), "cache.a");
    }
}
