//! Messages as AMQP carries them: content type, headers, body.
//!
//! The one place that knows formats: a new one is a case in [`encode`] and a line in [`decode`].
//! Incoming messages say themselves what they are, so that one queue may hold several formats.

use std::collections::BTreeMap;

use flow_message::{Format, v03};
use flow_runtime::ports::Outgoing;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use ring::digest::{Context, SHA256};

/// What says that a message is ours, so that its `message-id` is a key.
const APPLICATION: &str = "flow";
/// Survives a restart of the broker, where the queue does.
const PERSISTENT: u8 = 2;
/// The longest text of names, topics and ids, in bytes.
const LONGEST: usize = 255;

/// A message as it goes out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Encoded {
    pub(super) content_type: &'static str,
    /// All text, as v02 has them.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

/// Writes a message in a format.
pub(super) fn encode(format: Format, outgoing: &Outgoing) -> Encoded {
    match format {
        Format::V03 => Encoded {
            content_type: v03::CONTENT_TYPE,
            headers: BTreeMap::new(),
            body: v03::encode(&outgoing.message),
        },
    }
}

/// Reads a message, whatever format it is in; the text says why it can't be read.
pub(super) fn decode(
    properties: &BasicProperties,
    _topic: &str,
    body: &[u8],
) -> Result<flow_message::Message, String> {
    let content_type = properties.content_type().as_ref().map(ShortString::as_str);
    let json = body
        .iter()
        .find(|byte| !byte.is_ascii_whitespace())
        .is_some_and(|first| *first == b'{');
    match content_type {
        Some(content_type) if content_type.starts_with(v03::CONTENT_TYPE) || json => {}
        None if json => {}
        Some(content_type) => {
            return Err(format!(
                "content of type `{content_type}` is no known format"
            ));
        }
        None => return Err("content without a type is no known format".to_owned()),
    }
    v03::decode(body).map_err(|error| error.to_string())
}

/// The properties of a message going out.
pub(super) fn properties(encoded: &Encoded, key: Option<&str>) -> BasicProperties {
    let mut properties = BasicProperties::default()
        .with_content_type(encoded.content_type.into())
        .with_delivery_mode(PERSISTENT)
        .with_app_id(APPLICATION.into());
    if let Some(Ok(key)) = key.map(ShortString::try_new) {
        properties = properties.with_message_id(key);
    }
    if !encoded.headers.is_empty() {
        let mut table = FieldTable::default();
        for (name, value) in &encoded.headers {
            if let Ok(name) = ShortString::try_new(name.as_str()) {
                table.insert(name, AMQPValue::LongString(value.as_str().into()));
            }
        }
        properties = properties.with_headers(table);
    }
    properties
}

/// A topic as AMQP can carry it: cut at 255 bytes, as sr3 does. Says whether it was cut.
pub(super) fn routing_key(topic: &str) -> (ShortString, bool) {
    let mut end = topic.len().min(LONGEST);
    while !topic.is_char_boundary(end) {
        end -= 1;
    }
    let key = ShortString::try_new(&topic[..end]).expect("255 bytes fit");
    (key, end < topic.len())
}

/// What names a message of `queue`, the same at every delivery.
///
/// AMQP has no such name. A message a flow posted carries its key as `message-id`, which is that of the
/// post, so that a post that was repeated after a crash is recognised as well. For all others it is a
/// digest of exchange, topic and body: two posts that are equal to the byte count as one message where
/// both are in hand, and notifications that announce two things differ at least in their time.
pub(super) fn key(
    queue: &str,
    properties: &BasicProperties,
    exchange: &str,
    topic: &str,
    body: &[u8],
) -> String {
    let ours = properties
        .app_id()
        .as_ref()
        .is_some_and(|id| id.as_str() == APPLICATION);
    if let (true, Some(id)) = (ours, properties.message_id()) {
        return format!("{queue}/id/{id}");
    }
    let mut context = Context::new(&SHA256);
    for part in [exchange.as_bytes(), topic.as_bytes()] {
        // Names have no zero byte in them.
        context.update(part);
        context.update(&[0]);
    }
    context.update(body);
    let digest = context.finish();
    let mut key = format!("{queue}/sha/");
    for byte in &digest.as_ref()[..16] {
        key.push_str(&format!("{byte:02x}"));
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_the_id_of_the_post_or_a_digest() {
        let plain = BasicProperties::default();
        let foreign = plain.clone().with_message_id("7".into());
        let ours = foreign.clone().with_app_id(APPLICATION.into());
        assert_eq!(key("q", &ours, "x", "a", b"body"), "q/id/7");
        let digest = key("q", &plain, "x", "a", b"body");
        assert_eq!(digest.len(), "q/sha/".len() + 32);
        assert_eq!(digest, key("q", &foreign, "x", "a", b"body"));
        for (exchange, topic, body) in [
            ("x", "a", b"bodY"),
            ("y", "a", b"body"),
            ("x", "b", b"body"),
        ] {
            assert_ne!(digest, key("q", &plain, exchange, topic, body));
        }
    }

    #[test]
    fn long_topics_are_cut_between_characters() {
        let (key, cut) = routing_key("v03.a");
        assert_eq!((key.as_str(), cut), ("v03.a", false));
        let long = format!("x{}", "é".repeat(200));
        let (key, cut) = routing_key(&long);
        assert!(cut);
        assert_eq!(key.as_str(), &long[..255]);
        let (key, _) = routing_key(&"é".repeat(200));
        assert_eq!(key.as_str().len(), 254);
    }

    #[test]
    fn what_can_not_be_read_says_why() {
        let json = BasicProperties::default().with_content_type("application/json".into());
        let text = BasicProperties::default().with_content_type("text/csv".into());
        let why = |properties: &BasicProperties, body: &[u8]| {
            decode(properties, "v03", body).expect_err("poison")
        };
        assert!(why(&json, b"{").contains("not a JSON object"));
        assert!(why(&json, b"{}").contains("pubTime"));
        assert_eq!(
            why(&text, b"a,b"),
            "content of type `text/csv` is no known format"
        );
        assert_eq!(
            why(&BasicProperties::default(), b""),
            "content without a type is no known format"
        );
    }
}
