//! What must hold for any bytes, one function for each decoder: the targets of the fuzzer in
//! `tests/fuzz`, and of the mutations that every test run makes. Each panics where something does
//! not hold.
//!
//! How the bytes are cut: `v02` takes lines `name: value`, an empty line, and the body; `wis` takes
//! the topic as its first line; the others take the body alone.

use flow_message::codec::{decode, detect, encode, header};
use flow_message::{Context, Format, Incoming, Message, Timestamp, Topic, Transport, v03};
use serde_json::Value;

use super::reference;

/// A target by its name.
pub(crate) type Target = fn(&[u8]);

/// Every target, by the name of its corpus.
pub(crate) const TARGETS: [(&str, Target); 5] = [
    ("v03", v03),
    ("v02", v02),
    ("wis", wis),
    ("any", any),
    ("text", text),
];

/// The one-pass decoder does what the plain one does, and what was read leaves and comes back.
pub(crate) fn v03(data: &[u8]) {
    let read = v03::decode(data);
    let plain = reference::decode(data);
    match (&read, &plain) {
        (Ok(message), Ok(expected)) => {
            assert_eq!(message, expected);
            assert!(
                message.extra.keys().eq(expected.extra.keys()),
                "the order is kept"
            );
        }
        (Err(error), Err(expected)) => assert_eq!(reference::kind(error), *expected, "{error}"),
        other => panic!("only one of them could be read: {other:?}"),
    }
    if let Ok(message) = read {
        use_typed_views(&message);
        let wire = v03::encode(&message);
        let value = serde_json::to_vec(&v03::to_value(&message)).expect("plain values");
        assert_eq!(wire, value, "both writers write the same");
        assert_eq!(v03::decode(&wire).as_ref(), Ok(&message));
    }
}

/// After one round through v02 nothing changes any more.
pub(crate) fn v02(data: &[u8]) {
    let mut headers = Vec::new();
    let mut rest = data;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = &rest[..end];
        rest = &rest[end + 1..];
        if line.is_empty() {
            break;
        }
        let colon = line
            .iter()
            .position(|byte| *byte == b':')
            .unwrap_or(line.len());
        let name = String::from_utf8_lossy(&line[..colon]);
        let value = line.get(colon + 1..).unwrap_or_default();
        match header(name.trim(), value.trim_ascii()) {
            // As AMQP has it: tables and numbers beside text.
            Ok((name, Value::String(text))) if text.starts_with('=') => {
                headers.push((name, serde_json::from_str(&text[1..]).unwrap_or_default()));
            }
            Ok(header) => headers.push(header),
            Err(_) => {}
        }
    }
    let incoming = Incoming {
        content_type: Some("text/plain"),
        headers: &headers,
        body: rest,
        topic: None,
    };
    if let Ok(message) = decode(&incoming, Some(Format::V02)) {
        for context in [Context::amqp("v02.post"), Context::mqtt("x", "v02.post")] {
            settles(&message, Format::V02, &context);
        }
    }
}

/// After one round through wis nothing changes any more.
pub(crate) fn wis(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let topic = String::from_utf8_lossy(&data[..end]);
    let incoming = Incoming {
        content_type: Some("application/json"),
        headers: &[],
        body: &data[end..],
        topic: Some(&topic),
    };
    if let Ok(message) = decode(&incoming, Some(Format::Wis)) {
        let context = Context::mqtt("", "").with_topic(Some(&topic));
        settles(&message, Format::Wis, &context);
    }
}

/// The format is found out, and whatever is read can be written as v03.
pub(crate) fn any(data: &[u8]) {
    for content_type in [None, Some("application/json"), Some("text/plain")] {
        let incoming = Incoming {
            content_type,
            headers: &[],
            body: data,
            topic: Some("v02.post.a"),
        };
        let format = detect(&incoming);
        let read = decode(&incoming, None);
        if let Ok(message) = &read {
            use_typed_views(message);
            assert_eq!(v03::decode(&v03::encode(message)).as_ref(), Ok(message));
            assert_eq!(decode(&incoming, Some(format)).as_ref(), Ok(message));
        }
    }
}

/// Times and topics of any text.
pub(crate) fn text(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let times = [text.parse::<Timestamp>(), Timestamp::parse_rfc3339(&text)];
    for time in times.into_iter().flatten() {
        for written in [time.to_string(), time.to_v02()] {
            assert_eq!(written.parse(), Ok(time));
        }
        assert_eq!(Timestamp::parse_rfc3339(&time.to_rfc3339()), Ok(time));
    }
    let message = Message::new(Timestamp::from_unix(0, 0), "file:", &*text);
    for (transport, patterns, limit) in [
        (Transport::Amqp, &['#', '*'][..], 255),
        (Transport::Mqtt, &['#', '+', '\0'][..], 65_535),
    ] {
        for (topic, cut) in [
            Topic::derive(transport, "x", "v03", &message),
            Topic::given(transport, &text),
        ] {
            assert!(!topic.as_str().contains(patterns), "{topic}");
            assert!(topic.as_str().len() <= limit);
            assert!(!cut || topic.as_str().len() > limit - 4);
            let _ = transport.unescape(topic.as_str());
        }
        let (topic, cut) = Topic::given(transport, &text);
        if !cut && !text.contains('%') {
            assert_eq!(transport.unescape(topic.as_str()), text);
        }
    }
}

fn settles(message: &Message, format: Format, context: &Context<'_>) {
    use_typed_views(message);
    // What a transport can't carry is refused, which is an answer too.
    let Ok(wire) = encode(message, format, context) else {
        return;
    };
    let once = decode(&wire.incoming(), Some(format)).expect("what was written is read");
    let context = match format {
        Format::Wis => context.with_topic(Some(wire.topic.as_str())),
        _ => *context,
    };
    let wire = encode(&once, format, &context).expect("what was read once is written");
    let twice = decode(&wire.incoming(), None).expect("what was written is read");
    assert_eq!(once, twice);
}

/// The views that look into what was kept as it came.
fn use_typed_views(message: &Message) {
    if let Some(blocks) = &message.blocks {
        let _ = blocks.layout();
    }
    if let Some(content) = &message.content {
        let _ = content.bytes();
    }
    if let Some(identity) = &message.identity {
        let _ = identity.digest();
    }
    let _ = (message.url(), message.file_name().len());
}
