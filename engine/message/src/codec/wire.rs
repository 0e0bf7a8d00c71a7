//! The form of a message between a codec and a broker, in both directions, and its limits.

use serde_json::Value;

use super::error::{DecodeError, cut};
use crate::fields::Message;
use crate::topic::{Topic, Transport};

/// Bytes of a body that are read. Content is inlined up to some kilobytes; this leaves room for a
/// manifest of many blocks.
pub const MAX_BODY: usize = 16 << 20;

/// JSON values of a body that are read: each takes some 60 bytes of memory for as little as two on
/// the wire.
pub const MAX_VALUES: usize = 200_000;

/// Bytes of names and values of headers that are read.
pub const MAX_HEADERS: usize = 1 << 20;

/// Bytes of names and values of headers that are sent. AMQP puts all headers of a message into one
/// frame, and RabbitMQ's frames have 128 KiB; the rest is left for properties and lengths.
pub const MAX_SENT_HEADERS: usize = 120_000;

/// A message as a broker carries it.
#[derive(Debug, Clone, PartialEq)]
pub struct Wire {
    /// MIME type of the body.
    pub content_type: &'static str,
    /// AMQP application headers, or MQTT user properties; only v02 has any. Over MQTT every value
    /// is a string.
    pub headers: Vec<(String, Value)>,
    /// The body.
    pub body: Vec<u8>,
    /// Routing key or topic, escaped as the transport needs it.
    pub topic: Topic,
    /// The topic was too long for the transport and lost its end: worth a warning, as bindings to
    /// deep directories miss this message.
    pub topic_cut: bool,
}

impl Wire {
    /// The headers as MQTT takes them. Values are strings already where the context was MQTT.
    pub fn user_properties(&self) -> impl Iterator<Item = (&str, String)> {
        self.headers.iter().map(|(name, value)| {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            (name.as_str(), text)
        })
    }

    /// This message as a subscriber on the same transport gets it.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming {
            content_type: Some(self.content_type),
            headers: &self.headers,
            body: &self.body,
            topic: Some(self.topic.as_str()),
        }
    }
}

/// What a broker delivered.
#[derive(Debug, Clone, Copy, Default)]
pub struct Incoming<'a> {
    /// The MIME type, if the sender gave one.
    pub content_type: Option<&'a str>,
    /// AMQP application headers or MQTT user properties; where a name comes twice, the last counts.
    /// Make values of raw bytes with [`header`].
    pub headers: &'a [(String, Value)],
    /// The body.
    pub body: &'a [u8],
    /// Routing key or topic as received. Only wis needs it.
    pub topic: Option<&'a str>,
}

/// A header whose value came as bytes, as AMQP's long strings do.
///
/// # Errors
/// Bytes that are not UTF-8.
pub fn header(name: &str, value: &[u8]) -> Result<(String, Value), DecodeError> {
    match std::str::from_utf8(value) {
        Ok(text) => Ok((name.to_owned(), Value::String(text.to_owned()))),
        Err(error) => Err(DecodeError::Header {
            name: cut(name),
            reason: format!("not UTF-8 from byte {}", error.valid_up_to()),
        }),
    }
}

impl Incoming<'_> {
    /// Whether this can only be v02.
    pub(super) fn is_text(&self) -> bool {
        let first = self.body.iter().find(|byte| !byte.is_ascii_whitespace());
        if first == Some(&b'{') {
            return false;
        }
        let json = self.content_type.is_some_and(|kind| {
            let essence = kind.split(';').next().unwrap_or_default().trim();
            essence.eq_ignore_ascii_case(super::v03::CONTENT_TYPE)
        });
        // The prefix outweighs the type: v02 publishers did not always set the latter.
        let prefixed = |topic: &str| topic.starts_with("v02.") || topic.contains("/v02/");
        !json || self.topic.is_some_and(prefixed)
    }

    /// Refuses what is too large to be read.
    pub(super) fn check(&self) -> Result<(), DecodeError> {
        let too_large = |what, unit, size, limit| {
            Err(DecodeError::TooLarge {
                what,
                unit,
                size,
                limit,
            })
        };
        if self.body.len() > MAX_BODY {
            return too_large("bodies", "bytes", self.body.len(), MAX_BODY);
        }
        // A value takes two bytes at the least, so that most bodies need not be looked at.
        if self.body.len() / 2 > MAX_VALUES {
            let values = values(self.body);
            if values > MAX_VALUES {
                return too_large("bodies", "JSON values", values, MAX_VALUES);
            }
        }
        let size = headers_size(self.headers);
        if size > MAX_HEADERS {
            return too_large("headers", "bytes", size, MAX_HEADERS);
        }
        Ok(())
    }
}

/// At least as many values as `body` holds if it is JSON: what separates values, outside of strings.
fn values(body: &[u8]) -> usize {
    let (mut count, mut quoted, mut escaped) = (1, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' | b'[' | b'{' if !quoted => count += 1,
            _ => {}
        }
    }
    count
}

/// Bytes of all names and values.
pub(super) fn headers_size(headers: &[(String, Value)]) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.len() + weight(value))
        .sum()
}

fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 1,
        // Up to the digits of a number the sender chose.
        Value::Number(number) => number.as_str().len(),
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(|value| 1 + weight(value)).sum(),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| key.len() + 1 + weight(value))
            .sum(),
    }
}

/// What a message is written for: the parts of its topic that are no part of the message.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Whose topics are written.
    pub transport: Transport,
    /// The first words of the topic, separated by `.` or `/`; see
    /// [`Format::topic_prefix`](super::Format::topic_prefix).
    pub topic_prefix: &'a str,
    /// The exchange: the first level of an MQTT topic, and no part of the others.
    pub exchange: &'a str,
    /// The whole topic, when a flow sets one instead of deriving it (`topic`, `topicCopy`).
    pub topic: Option<&'a str>,
}

impl<'a> Context<'a> {
    /// For an AMQP 0-9-1 exchange.
    pub fn amqp(topic_prefix: &'a str) -> Self {
        Self {
            transport: Transport::Amqp,
            topic_prefix,
            exchange: "",
            topic: None,
        }
    }

    /// For an MQTT broker.
    pub fn mqtt(exchange: &'a str, topic_prefix: &'a str) -> Self {
        Self {
            transport: Transport::Mqtt,
            topic_prefix,
            exchange,
            topic: None,
        }
    }

    /// The same with a topic that is used instead of a derived one.
    #[must_use]
    pub fn with_topic(mut self, topic: Option<&'a str>) -> Self {
        self.topic = topic;
        self
    }

    /// The topic of `message`, and whether it had to be cut.
    pub(super) fn topic_of(&self, message: &Message) -> (Topic, bool) {
        match self.topic {
            Some(topic) => Topic::given(self.transport, topic),
            None => Topic::derive(self.transport, self.exchange, self.topic_prefix, message),
        }
    }
}
