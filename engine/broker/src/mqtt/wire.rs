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
