//! The v02 format: a body of three words, `time baseUrl relPath`, and everything else in headers.
//!
//! Over AMQP the headers are the application headers, over MQTT the user properties. `sum` and
//! `parts` hold identity, size and most of `fileOp`; the other headers are fields under their name.
//! What a header says is read by the rules of v03, so that a wrong type is an error by name.
//!
//! Where sr3 3.3.1 differs, on purpose:
//! - a link's target travels in the header `link` (sr3 drops it, and its receivers then take the
//!   link for content); a link without one is still read, as content;
//! - a removed directory is `r` (sr3 writes `R`, which removes a file);
//! - `%20` and `%23` in `relPath` are undone, as they are what the writer made of blank and `#`;
//! - `to_clusters` is kept where it was sent (sr3 makes it `ALL` in any case);
//! - a directory that was renamed is a directory (sr3 invents a key `mkdir`);
//! - over MQTT the topic begins with the exchange, as that of every format (sr3 forgets it here, and
//!   its own subscribers look below it);
//! - headers are never sent beyond what a broker takes; sr3 says it drops them and sends them.

use serde_json::{Map, Value};

use super::error::{DecodeError, EncodeError, cut, kind};
use super::parts::Parts;
use super::sum::Sum;
use super::v03;
use super::wire::{Context, Incoming, MAX_SENT_HEADERS, Wire, headers_size};
use crate::fields::Message;
use crate::topic::Transport;

/// The MIME type of the body.
pub const CONTENT_TYPE: &str = "text/plain";

const NAME: &str = "v02";

/// Longest name of an AMQP header (a short string), and longest MQTT string.
const MAX_NAME: usize = 255;
const MAX_PROPERTY: usize = 65_535;

/// Writes `message` as body and headers.
///
/// # Errors
/// A path the body can't carry, or a header the transport can't.
pub fn encode(message: &Message, context: &Context<'_>) -> Result<Wire, EncodeError> {
    let body = format!(
        "{} {} {}",
        message.pub_time.to_v02(),
        word("baseUrl", &message.base_url, false)?,
        word("relPath", &message.rel_path, true)?
    );
    let mut headers = headers_of(message);
    for (name, value) in &mut headers {
        check(name, value, context.transport)?;
    }
    let size = headers_size(&headers);
    if size > MAX_SENT_HEADERS {
        return Err(EncodeError::TooLarge {
            size,
            limit: MAX_SENT_HEADERS,
        });
    }
    let (topic, topic_cut) = context.topic_of(message);
    Ok(Wire {
        content_type: CONTENT_TYPE,
        headers,
        body: body.into_bytes(),
        topic,
        topic_cut,
    })
}

/// `text` as one word of the body. sr3 escapes `#` in `relPath` alone.
fn word(field: &str, text: &str, path: bool) -> Result<String, EncodeError> {
    let refuse = |reason: &str| EncodeError::Field {
        format: NAME,
        field: field.into(),
        reason: reason.into(),
    };
    if text.is_empty() {
        return Err(refuse("it is empty, and the body is words between blanks"));
    }
    if text.ends_with(['\r', '\n']) {
        return Err(refuse("it ends in a line break, as a body may too"));
    }
    let text = text.replace(' ', "%20");
    Ok(if path { text.replace('#', "%23") } else { text })
}

fn unword(text: &str) -> String {
    text.replace("%20", " ").replace("%23", "#")
}

fn headers_of(message: &Message) -> Vec<(String, Value)> {
    let mut headers = Vec::new();
    let mut put = |name: &str, value: String| headers.push((name.to_owned(), Value::String(value)));
    if let Some(source) = &message.source {
        put("source", source.clone());
    }
    if let Some(mode) = message.mode {
        put("mode", format!("{mode:o}"));
    }
    for (name, time) in [("mtime", message.mtime), ("atime", message.atime)] {
        if let Some(time) = time {
            put(name, time.to_v02());
        }
    }
    for (name, text) in [
        ("contentType", &message.content_type),
        ("retrievePath", &message.retrieve_path),
        ("rename", &message.rename),
    ] {
        if let Some(text) = text {
            put(name, text.clone());
        }
    }
    let parts = match &message.blocks {
        Some(blocks) => Parts::of_blocks(blocks),
        None => message.size.map(Parts::whole),
    };
    // A header this version could not read leaves as it came, unless there is a better one.
    let kept = |name: &str| message.extra.get(name)?.as_str().map(str::to_owned);
    if let Some(parts) = parts.map(Parts::text).or_else(|| kept("parts")) {
        put("parts", parts);
    }
    let unknown = message.identity.is_none() && message.file_op.is_none();
    let sum = unknown.then(|| kept("sum")).flatten();
    put("sum", sum.unwrap_or_else(|| Sum::text(message)));
    if let Some(op) = &message.file_op {
        if let Some(rename) = &op.rename {
            put("oldname", rename.clone());
        }
        if let (Some(link), false, false) = (&op.link, op.remove, op.directory) {
            put("link", link.clone());
        }
    }
    for (name, value) in &message.extra {
        if !OWN.contains(&name.as_str()) && !v03::FIELDS.contains(&name.as_str()) {
            headers.push((name.clone(), value.clone()));
        }
    }
    headers
}

/// Headers that mean something to this format, so that an unknown field can't pose as them.
const OWN: [&str; 8] = [
    "sum",
    "parts",
    "link",
    "oldname",
    "topic",
    "content-type",
    "retPath",
    "integrity",
];

/// Makes a header fit for the transport, or says why it can't be.
fn check(name: &str, value: &mut Value, transport: Transport) -> Result<(), EncodeError> {
    let refuse = |reason: String| {
        Err(EncodeError::Field {
            format: NAME,
            field: cut(name),
            reason,
        })
    };
    match transport {
        Transport::Amqp if name.len() > MAX_NAME => refuse(format!(
            "its name has {} bytes, and AMQP takes {MAX_NAME}",
            name.len()
        )),
        Transport::Amqp => Ok(()),
        Transport::Mqtt => {
            if !value.is_string() {
                *value = Value::String(value.to_string());
            }
            let text = value.as_str().unwrap_or_default();
            let longest = name.len().max(text.len());
            if longest > MAX_PROPERTY {
                return refuse(format!(
                    "it has {longest} bytes, and MQTT takes {MAX_PROPERTY}"
                ));
            }
            // MQTT 5 §1.5.4: a receiver closes the connection on it.
            if name.contains('\0') || text.contains('\0') {
                return refuse("it holds a NUL, on which an MQTT broker hangs up".into());
            }
            Ok(())
        }
    }
}

/// Reads body and headers.
///
/// # Errors
/// As [`v03::decode`], and a body that is not three words. A `sum` or `parts` that makes no sense is
/// no error: the message is good without, and both are kept with the unknown fields.
pub fn decode(incoming: &Incoming<'_>) -> Result<Message, DecodeError> {
    let text = std::str::from_utf8(incoming.body).map_err(|error| {
        DecodeError::Body(format!("not UTF-8 from byte {}", error.valid_up_to()))
    })?;
    let mut words = text
        .trim_end_matches(['\r', '\n'])
        .split(' ')
        .filter(|word| !word.is_empty());
    let (Some(time), Some(base), Some(path)) = (words.next(), words.next(), words.next()) else {
        return Err(DecodeError::Body(format!("`{}`", cut(text))));
    };
    let mut fields = Map::new();
    for (name, value) in incoming.headers {
        // Not headers of the message: sr3 adds them itself from the topic and the MQTT properties.
        if name != "topic" && name != "content-type" {
            fields.insert(name.clone(), value.clone());
        }
    }
    for name in ["sum", "parts", "oldname", "link"] {
        if let Some(value) = fields.get(name).filter(|value| !value.is_string()) {
            return Err(DecodeError::Header {
                name: name.into(),
                reason: format!("expected a string, found {}", kind(value)),
            });
        }
    }
    for (field, value) in [
        ("pubTime", time.to_owned()),
        ("baseUrl", unword(base)),
        ("relPath", unword(path.trim_end_matches(['\r', '\n']))),
    ] {
        fields.insert(field.into(), Value::String(value));
    }
    // v02 sends by cluster; v03 does not, and sr3 opens what it reads to everyone.
    fields
        .entry("to_clusters")
        .or_insert_with(|| Value::String("ALL".into()));
    // Taken out in any case: v03 refuses what it can't read here.
    let parts = take_text(&mut fields, "parts");
    let op = operation(&mut fields);
    if !op.is_empty() {
        fields.insert("fileOp".into(), Value::Object(op));
    }
    let mut message = v03::from_value(Value::Object(fields))?;
    match parts.map(|text| (Parts::parse(&text), text)) {
        Some((Ok(parts), _)) => parts.apply(&mut message),
        Some((Err(_), text)) => drop(message.extra.insert("parts".into(), text.into())),
        None => {}
    }
    Ok(message)
}

/// Takes `sum`, `oldname` and `link` out of the headers: returns the `fileOp` they make, and leaves
/// the identity among the fields.
fn operation(fields: &mut Map<String, Value>) -> Map<String, Value> {
    let mut op = Map::new();
    if let Some(old) = take_text(fields, "oldname") {
        op.insert("rename".into(), old.into());
    }
    let sum = fields
        .get("sum")
        .and_then(Value::as_str)
        .and_then(Sum::parse);
    let mut flag = |name: &str| drop(op.insert(name.into(), "".into()));
    match &sum {
        Some(Sum::Removed) => flag("remove"),
        Some(Sum::Directory) => flag("directory"),
        Some(Sum::RemovedDirectory) => {
            flag("remove");
            flag("directory");
        }
        Some(Sum::Link | Sum::Content(_)) | None => {
            if let Some(target) = take_text(fields, "link") {
                op.insert("link".into(), target.into());
            }
        }
    }
    let links = op.contains_key("link");
    match sum {
        // A link whose target nobody sent can only be fetched as what it points to.
        Some(Sum::Link) if !links => {}
        None => {}
        Some(sum) => {
            fields.shift_remove("sum");
            if let (Sum::Content(Some(identity)), false) = (sum, links) {
                let mut object = Map::new();
                object.insert("method".into(), identity.method.into());
                object.insert("value".into(), identity.value.into());
                fields.insert("identity".into(), Value::Object(object));
            }
        }
    }
    op
}

/// Takes a header that is text.
fn take_text(fields: &mut Map<String, Value>, name: &str) -> Option<String> {
    match fields.get(name) {
        Some(Value::String(text)) => {
            let text = text.clone();
            fields.shift_remove(name);
            Some(text)
        }
        _ => None,
    }
}
