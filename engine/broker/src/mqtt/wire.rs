//! Messages as MQTT carries them: content type, user properties, body.
//!
//! Formats are the business of `flow_message::codec`; this is the way there and back.

use bytes::Bytes;
use flow_message::Message;
use flow_message::codec::{self, Incoming, Wire};
use serde_json::Value;

use super::packet::Publish;

/// A message that was written, as a packet.
pub(super) fn publish(wire: Wire) -> Publish {
    let headers = wire
        .user_properties()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    Publish {
        topic: wire.topic.as_str().to_owned(),
        content_type: Some(wire.content_type.to_owned()),
        headers,
        text: std::str::from_utf8(&wire.body).is_ok(),
        payload: Bytes::from(wire.body),
        ..Publish::default()
    }
}

/// The message in a packet, whatever format it is in, or why there is none.
pub(super) fn decode(packet: Publish) -> Result<Message, String> {
    let headers: Vec<(String, Value)> = packet
        .headers
        .into_iter()
        .map(|(name, value)| (name, Value::String(value)))
        .collect();
    let incoming = Incoming {
        content_type: packet.content_type.as_deref(),
        headers: &headers,
        body: &packet.payload,
        topic: Some(&packet.topic),
    };
    codec::decode(&incoming, None).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use flow_message::{Context, Format, Timestamp};

    use super::*;

    #[test]
    fn fields_of_v02_are_user_properties() {
        let mut message = Message::new(Timestamp::from_unix(1, 0), "https://example.org/", "a/f");
        message.size = Some(17);
        message.extra.insert("number".into(), 7.into());
        message.extra.insert("to_clusters".into(), "ALL".into());
        let context = Context::mqtt("x", "v02.post");
        let packet = publish(codec::encode(&message, Format::V02, &context).unwrap());
        assert_eq!(packet.topic, "x/v02/post/a");
        assert_eq!(packet.content_type.as_deref(), Some("text/plain"));
        assert!(packet.text);
        let property = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        for expected in [
            property("parts", "1,17,1,0,0"),
            property("number", "7"),
            property("sum", "n,8fa14cdd754f91cc6554c9e71929cce7"),
        ] {
            assert!(packet.headers.contains(&expected), "{:?}", packet.headers);
        }
        // Over MQTT every field that v02 does not know is text.
        message.extra.insert("number".into(), "7".into());
        assert_eq!(decode(packet.clone()), Ok(message));
        // And what is none is said to be none, by name.
        for (name, value) in [("size", "much"), ("mode", "rw-")] {
            let mut poison = packet.clone();
            poison.headers.push(property(name, value));
            let said = decode(poison).unwrap_err();
            assert!(said.contains(&format!("`{name}`")), "{said}");
        }
        let poison = Publish {
            payload: Bytes::from_static(b"20261122015207.5 https://example.org/"),
            ..packet
        };
        assert!(decode(poison).unwrap_err().contains("not a v02 body"));
    }
}
