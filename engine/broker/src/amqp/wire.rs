//! Messages as AMQP carries them: content type, headers, body.
//!
//! Formats are the business of `flow_message::codec`; this is the way there and back. Incoming messages
//! say themselves what they are, so that one queue may hold several formats.
//!
//! A header of AMQP has one of many types. All have a place here but numbers that are none; what is
//! refused makes the one message unreadable, with the header's name.

use std::time::Duration;

use flow_message::Message;
use flow_message::codec::{self, Incoming, Wire};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use ring::digest::{Context, SHA256};
use serde_json::{Map, Number, Value};

/// What says that a message is ours, so that its `message-id` is a key.
const APPLICATION: &str = "flow";
/// Survives a restart of the broker, where the queue does.
const PERSISTENT: u8 = 2;
/// Does not.
const TRANSIENT: u8 = 1;
/// How deep tables and lists in a header may be nested. What is nested some hundred deep ends the whole
/// process, since the client library reads and writes it on the stack; no message of ours does that.
const DEEPEST: usize = 32;

/// Reads a message, whatever format it is in; the text says why it can't be read.
pub(super) fn decode(
    properties: &BasicProperties,
    topic: &str,
    body: &[u8],
) -> Result<Message, String> {
    let mut headers = Vec::new();
    if let Some(table) = properties.headers() {
        for (name, value) in table.inner() {
            let value = from_amqp(name.as_str(), value, 0)?;
            headers.push((name.as_str().to_owned(), value));
        }
    }
    let incoming = Incoming {
        content_type: properties.content_type().as_ref().map(ShortString::as_str),
        headers: &headers,
        body,
        topic: Some(topic),
    };
    codec::decode(&incoming, None).map_err(|error| error.to_string())
}

/// A header that was received.
fn from_amqp(name: &str, value: &AMQPValue, depth: usize) -> Result<Value, String> {
    let refuse = |why: &str| Err(format!("header `{}`: {why}", name.escape_debug()));
    if depth > DEEPEST {
        return refuse("its lists and tables are nested too deep");
    }
    let bytes = |bytes: &[u8]| match codec::header(name, bytes) {
        Ok((_, value)) => Ok(value),
        Err(error) => Err(error.to_string()),
    };
    let float = |float: f64| match Number::from_f64(float) {
        Some(number) => Ok(Value::Number(number)),
        None => refuse("it is not a finite number"),
    };
    match value {
        AMQPValue::Boolean(value) => Ok(Value::Bool(*value)),
        AMQPValue::ShortShortInt(value) => Ok(Value::from(*value)),
        AMQPValue::ShortShortUInt(value) => Ok(Value::from(*value)),
        AMQPValue::ShortInt(value) => Ok(Value::from(*value)),
        AMQPValue::ShortUInt(value) => Ok(Value::from(*value)),
        AMQPValue::LongInt(value) => Ok(Value::from(*value)),
        AMQPValue::LongUInt(value) => Ok(Value::from(*value)),
        AMQPValue::LongLongInt(value) => Ok(Value::from(*value)),
        // Seconds.
        AMQPValue::Timestamp(value) => Ok(Value::from(*value)),
        AMQPValue::Float(value) => float(f64::from(*value)),
        AMQPValue::Double(value) => float(*value),
        AMQPValue::DecimalValue(value) => {
            float(f64::from(value.value) / 10_f64.powi(i32::from(value.scale)))
        }
        AMQPValue::ShortString(text) => bytes(text.as_str().as_bytes()),
        AMQPValue::LongString(text) => bytes(text.as_bytes()),
        AMQPValue::ByteArray(array) => bytes(array.as_slice()),
        AMQPValue::Void => Ok(Value::Null),
        AMQPValue::FieldArray(array) => array
            .as_slice()
            .iter()
            .map(|value| from_amqp(name, value, depth + 1))
            .collect::<Result<Vec<_>, _>>()
            .map(Value::Array),
        AMQPValue::FieldTable(table) => table
            .inner()
            .iter()
            .map(|(key, value)| {
                let value = from_amqp(name, value, depth + 1)?;
                Ok((key.as_str().to_owned(), value))
            })
            .collect::<Result<Map<_, _>, _>>()
            .map(Value::Object),
    }
}

/// A header to send. A number that AMQP has no type for goes as the text of its digits.
fn to_amqp(value: &Value, depth: usize) -> Result<AMQPValue, String> {
    if depth > DEEPEST {
        return Err("a header's lists and tables are nested too deep".to_owned());
    }
    Ok(match value {
        Value::Null => AMQPValue::Void,
        Value::Bool(value) => AMQPValue::Boolean(*value),
        Value::Number(number) => {
            let exact = |float: &f64| {
                let same = Number::from_f64(*float);
                same.is_some_and(|same| same.to_string() == number.to_string())
            };
            match (number.as_i64(), number.as_f64().filter(exact)) {
                (Some(number), _) => AMQPValue::LongLongInt(number),
                (None, Some(float)) => AMQPValue::Double(float),
                (None, None) => AMQPValue::LongString(number.to_string().into()),
            }
        }
        Value::String(text) => AMQPValue::LongString(text.as_str().into()),
        Value::Array(values) => {
            let values = values.iter().map(|value| to_amqp(value, depth + 1));
            AMQPValue::FieldArray(values.collect::<Result<Vec<_>, _>>()?.into())
        }
        Value::Object(map) => {
            let mut table = FieldTable::default();
            for (key, value) in map {
                table.insert(short(key)?, to_amqp(value, depth + 1)?);
            }
            AMQPValue::FieldTable(table)
        }
    })
}

/// A name, topic or id, as far as AMQP can carry it.
pub(super) fn short(text: &str) -> Result<ShortString, String> {
    ShortString::try_new(text).map_err(|_| {
        format!(
            "`{}…` has {} bytes, and AMQP takes 255",
            text.chars().take(32).collect::<String>().escape_debug(),
            text.len()
        )
    })
}

/// The properties of a message going out; the text says why it can't have them.
pub(super) fn properties(wire: &Wire, key: Option<&str>) -> Result<BasicProperties, String> {
    let mut properties = BasicProperties::default()
        .with_content_type(wire.content_type.into())
        .with_delivery_mode(PERSISTENT)
        .with_app_id(APPLICATION.into());
    if let Some(Ok(key)) = key.map(ShortString::try_new) {
        properties = properties.with_message_id(key);
    }
    if !wire.headers.is_empty() {
        let mut table = FieldTable::default();
        for (name, value) in &wire.headers {
            table.insert(short(name)?, to_amqp(value, 0)?);
        }
        properties = properties.with_headers(table);
    }
    Ok(properties)
}

/// How long a message stays: over a restart of the broker, and in a queue at most for `ttl`, if that
/// is not zero.
pub(super) fn staying(
    properties: BasicProperties,
    persistent: bool,
    ttl: Duration,
) -> BasicProperties {
    let properties = match persistent {
        true => properties,
        false => properties.with_delivery_mode(TRANSIENT),
    };
    match ttl {
        Duration::ZERO => properties,
        // Whole milliseconds, as a text.
        ttl => properties.with_expiration(ttl.as_millis().max(1).to_string().into()),
    }
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
        return [queue, "/id/", id.as_str()].concat();
    }
    let mut context = Context::new(&SHA256);
    for part in [exchange.as_bytes(), topic.as_bytes()] {
        // Names have no zero byte in them.
        context.update(part);
        context.update(&[0]);
    }
    context.update(body);
    let digest = context.finish();
    let mut key = String::with_capacity(queue.len() + "/sha/".len() + 32);
    key.push_str(queue);
    key.push_str("/sha/");
    for byte in &digest.as_ref()[..16] {
        for half in [byte >> 4, byte & 15] {
            key.push(char::from(b"0123456789abcdef"[usize::from(half)]));
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use lapin::types::DecimalValue;
    use serde_json::json;

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
    fn what_can_not_be_read_says_why() {
        let json = BasicProperties::default().with_content_type("application/json".into());
        let text = BasicProperties::default().with_content_type("text/csv".into());
        let why = |properties: &BasicProperties, body: &[u8]| {
            decode(properties, "v03", body).expect_err("poison")
        };
        assert!(why(&json, b"{").contains("not a JSON object"));
        assert!(why(&json, b"{}").contains("pubTime"));
        assert!(why(&text, b"a,b").contains("not a v02 body"));
        assert!(why(&BasicProperties::default(), b"").contains("not a v02 body"));
    }

    const V02: &[u8] = b"20261122015207.5 https://example.org/ a/b/f";

    fn read(name: &str, value: AMQPValue) -> Result<Message, String> {
        let mut table = FieldTable::default();
        table.insert(name.into(), value);
        let properties = BasicProperties::default()
            .with_content_type("text/plain".into())
            .with_headers(table);
        decode(&properties, "v02.post.a.b", V02)
    }

    #[test]
    fn headers_of_all_types_are_read() {
        let text = |text: &str| AMQPValue::LongString(text.into());
        let mut table = FieldTable::default();
        table.insert("k".into(), AMQPValue::LongInt(-1));
        for (value, expected) in [
            (text("a"), json!("a")),
            (AMQPValue::ShortString("é".into()), json!("é")),
            (AMQPValue::ByteArray(b"b".as_slice().into()), json!("b")),
            (AMQPValue::Boolean(true), json!(true)),
            (AMQPValue::ShortShortInt(-8), json!(-8)),
            (AMQPValue::ShortShortUInt(200), json!(200)),
            (AMQPValue::ShortInt(-9), json!(-9)),
            (AMQPValue::ShortUInt(60_000), json!(60_000)),
            (AMQPValue::LongInt(7), json!(7)),
            (AMQPValue::LongUInt(u32::MAX), json!(u32::MAX)),
            (AMQPValue::LongLongInt(i64::MIN), json!(i64::MIN)),
            (AMQPValue::Timestamp(1_795_337_130), json!(1_795_337_130)),
            (AMQPValue::Float(0.5), json!(0.5)),
            (AMQPValue::Double(-0.25), json!(-0.25)),
            (
                AMQPValue::DecimalValue(DecimalValue {
                    scale: 2,
                    value: 125,
                }),
                json!(1.25),
            ),
            (AMQPValue::FieldTable(table.clone()), json!({"k": -1})),
            (
                AMQPValue::FieldArray(vec![text("x"), AMQPValue::Void].into()),
                json!(["x", null]),
            ),
        ] {
            let message = read("anything", value.clone()).expect("a message");
            assert_eq!(message.extra["anything"], expected, "{value:?}");
            // And what leaves again is what came.
            let again = from_amqp("", &to_amqp(&expected, 0).expect("a header"), 0);
            assert_eq!(again, Ok(expected));
        }
    }

    #[test]
    fn headers_that_can_not_be_read_are_named() {
        let text = |bytes: &[u8]| AMQPValue::LongString(bytes.to_vec().into());
        let mut deep = AMQPValue::Void;
        for _ in 0..10_000 {
            deep = AMQPValue::FieldArray(vec![deep].into());
        }
        for (name, value, why) in [
            ("odd", text(b"a\xff"), "not UTF-8"),
            (
                "odd",
                AMQPValue::ByteArray(b"\xff".as_slice().into()),
                "not UTF-8",
            ),
            ("odd", AMQPValue::Double(f64::NAN), "not a finite number"),
            (
                "odd",
                AMQPValue::Float(f32::INFINITY),
                "not a finite number",
            ),
            ("odd", deep, "nested too deep"),
            ("sum", AMQPValue::LongInt(7), "expected a string"),
            ("parts", AMQPValue::Boolean(true), "expected a string"),
            ("link", AMQPValue::Timestamp(1), "expected a string"),
        ] {
            let said = read(name, value).expect_err(name);
            assert!(
                said.contains(&format!("`{name}`")) && said.contains(why),
                "{said}"
            );
        }
    }

    #[test]
    fn numbers_amqp_has_no_type_for_go_as_text() {
        assert_eq!(to_amqp(&json!(1), 0), Ok(AMQPValue::LongLongInt(1)));
        assert_eq!(to_amqp(&json!(1.5), 0), Ok(AMQPValue::Double(1.5)));
        let text = AMQPValue::LongString("18446744073709551615".into());
        assert_eq!(to_amqp(&json!(u64::MAX), 0), Ok(text));
        let long = "k".repeat(256);
        let said = to_amqp(&json!({ long: 1 }), 0).expect_err("a long key");
        assert!(said.contains("256 bytes"), "{said}");
        let deep = (0..40).fold(json!(1), |deep, _| json!([deep]));
        let said = to_amqp(&deep, 0).expect_err("deep");
        assert!(said.contains("nested too deep"), "{said}");
    }
}
