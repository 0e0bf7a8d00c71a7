//! The messages that are exchanged with the real sr3, as we write them; shared by the test and by
//! the example that prints them for `sr3/make.py`.

use flow_message::codec::encode;
use flow_message::{Context, Format, Message, Transport, v03};
use serde_json::{Map, Value, json};

/// The topic of wis messages, which derives none.
pub(crate) const WIS_TOPIC: &str = "origin/a/wis2/ca-eccc-msc/data/core/weather";

/// The messages by name, as sr3 and we start from them.
pub(crate) fn messages() -> Vec<(String, Message)> {
    let all: Map<String, Value> =
        serde_json::from_str(include_str!("../sr3/messages.json")).expect("JSON");
    let read = |value| v03::from_value(value).expect("a message");
    all.into_iter()
        .map(|(name, value)| (name, read(value)))
        .collect()
}

pub(crate) fn context(format: Format, transport: Transport) -> Context<'static> {
    let context = match transport {
        Transport::Amqp => Context::amqp(format.topic_prefix()),
        Transport::Mqtt => Context::mqtt("xpublic", format.topic_prefix()),
    };
    context.with_topic((format == Format::Wis).then_some(WIS_TOPIC))
}

/// Every message in every format on both transports, as JSON.
pub(crate) fn ours() -> Value {
    let mut wires = Vec::new();
    for (name, message) in messages() {
        for format in Format::ALL {
            for transport in [Transport::Amqp, Transport::Mqtt] {
                let wire = encode(&message, format, &context(format, transport)).expect(&name);
                let headers: Map<String, Value> = wire.headers.into_iter().collect();
                wires.push(json!({
                    "name": name,
                    "format": format.name(),
                    "transport": format!("{transport:?}").to_lowercase(),
                    "content_type": wire.content_type,
                    "topic": wire.topic.as_str(),
                    "headers": headers,
                    "body": String::from_utf8(wire.body).expect("UTF-8"),
                }));
            }
        }
    }
    Value::Array(wires)
}
