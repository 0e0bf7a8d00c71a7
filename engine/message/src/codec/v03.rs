//! The v03 format: one JSON object, fields named as in `sr_post(7)`.
//!
//! Reading is tolerant where sr3 and its ancestors differ (`integrity` for `identity`, `retPath`
//! for `retrievePath`, a size written as a string); writing always uses today's spelling.
//!
//! Unknown fields of the message and of `fileOp` survive to the digit: numbers are kept as text
//! (`arbitrary_precision`; only an exponent gets its sign written out). Unknown keys inside `identity` and `content` are not kept.

use serde_json::{Map, Value};

use super::DecodeError;
use crate::fields::{Blocks, FileOp, Identity, Inline, InlineEncoding, Message};
use crate::time::Timestamp;

/// The MIME type of the body.
pub const CONTENT_TYPE: &str = "application/json";

/// Writes `message` as JSON.
pub fn encode(message: &Message) -> Vec<u8> {
    serde_json::to_vec(&to_value(message)).expect("a map of plain values always serialises")
}

/// `message` as a JSON object, named fields first, then the unknown ones in their order.
pub fn to_value(message: &Message) -> Value {
    let mut map = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            map.insert(key.to_owned(), value);
        }
    };
    let text = |value: &Option<String>| value.clone().map(Value::String);
    let time = |value: Option<Timestamp>| value.map(|time| Value::String(time.to_string()));
    put("pubTime", time(Some(message.pub_time)));
    put("baseUrl", Some(Value::String(message.base_url.clone())));
    put("relPath", Some(Value::String(message.rel_path.clone())));
    put("retrievePath", text(&message.retrieve_path));
    put("source", text(&message.source));
    put(
        "identity",
        message.identity.as_ref().map(|identity| {
            let mut map = Map::new();
            map.insert("method".into(), identity.method.clone().into());
            map.insert("value".into(), identity.value.clone().into());
            Value::Object(map)
        }),
    );
    put(
        "mode",
        message.mode.map(|mode| Value::String(format!("{mode:o}"))),
    );
    put("size", message.size.map(Value::from));
    put("mtime", time(message.mtime));
    put("atime", time(message.atime));
    put("contentType", text(&message.content_type));
    put("fileOp", message.file_op.as_ref().map(file_op_to_value));
    put(
        "content",
        message.content.as_ref().map(|content| {
            let encoding = match content.encoding {
                InlineEncoding::Utf8 => "utf-8",
                InlineEncoding::Base64 => "base64",
                InlineEncoding::Iso8859_1 => "iso-8859-1",
            };
            let mut map = Map::new();
            map.insert("encoding".into(), encoding.into());
            map.insert("value".into(), content.value.clone().into());
            Value::Object(map)
        }),
    );
    put(
        "blocks",
        message
            .blocks
            .as_ref()
            .map(|blocks| Value::Object(blocks.value.clone())),
    );
    put("rename", text(&message.rename));
    for (key, value) in &message.extra {
        if !shadows_a_field(key, message) {
            map.insert(key.clone(), value.clone());
        }
    }
    Value::Object(map)
}

/// Whether a key in `extra` would be read back as one of the named fields.
///
/// Named fields win: whoever edits a message can't replace its `relPath` through `extra`. The old
/// spellings are only read where today's is absent, so beside it they are ordinary unknown fields.
fn shadows_a_field(key: &str, message: &Message) -> bool {
    match key {
        "retPath" => message.retrieve_path.is_none(),
        "integrity" => message.identity.is_none(),
        key => FIELDS.contains(&key),
    }
}

/// Every field [`Message`] has a name for.
const FIELDS: [&str; 15] = [
    "pubTime",
    "baseUrl",
    "relPath",
    "retrievePath",
    "source",
    "identity",
    "mode",
    "size",
    "mtime",
    "atime",
    "contentType",
    "fileOp",
    "content",
    "blocks",
    "rename",
];

fn file_op_to_value(op: &FileOp) -> Value {
    let mut map = Map::new();
    for (key, value) in [
        ("link", &op.link),
        ("hlink", &op.hlink),
        ("rename", &op.rename),
    ] {
        if let Some(value) = value {
            map.insert(key.to_owned(), value.clone().into());
        }
    }
    for (key, set) in [("remove", op.remove), ("directory", op.directory)] {
        if set {
            map.insert(key.to_owned(), "".into());
        }
    }
    for (key, value) in &op.extra {
        if !["link", "hlink", "rename", "remove", "directory"].contains(&key.as_str()) {
            map.insert(key.clone(), value.clone());
        }
    }
    Value::Object(map)
}

/// Reads a v03 body.
///
/// # Errors
/// A message that is not a JSON object, lacks a mandatory field, or has a field of the wrong type.
/// Retrying never helps.
pub fn decode(body: &[u8]) -> Result<Message, DecodeError> {
    let value: Value =
        serde_json::from_slice(body).map_err(|error| DecodeError::Syntax(error.to_string()))?;
    from_value(value)
}

/// As [`decode`], from a JSON value already read.
///
/// # Errors
/// As [`decode`].
pub fn from_value(value: Value) -> Result<Message, DecodeError> {
    let Value::Object(mut map) = value else {
        return Err(DecodeError::Syntax(
            "the body is a JSON value, but not an object".into(),
        ));
    };
    let pub_time = time(&mut map, "pubTime")?.ok_or(DecodeError::Missing("pubTime"))?;
    let base_url = text(&mut map, "baseUrl")?.ok_or(DecodeError::Missing("baseUrl"))?;
    let rel_path = text(&mut map, "relPath")?.ok_or(DecodeError::Missing("relPath"))?;
    let retrieve_path = match text(&mut map, "retrievePath")? {
        Some(path) => Some(path),
        None => text(&mut map, "retPath")?,
    };
    let identity = match identity_of(&mut map, "identity")? {
        Some(identity) => Some(identity),
        // The name `identity` had in early v03.
        None => identity_of(&mut map, "integrity")?,
    };
    Ok(Message {
        pub_time,
        base_url,
        rel_path,
        retrieve_path,
        identity,
        size: size(&mut map)?,
        mode: mode(&mut map)?,
        mtime: time(&mut map, "mtime")?,
        atime: time(&mut map, "atime")?,
        content_type: text(&mut map, "contentType")?,
        file_op: file_op(&mut map)?,
        content: content(&mut map)?,
        blocks: object(&mut map, "blocks")?.map(|value| Blocks { value }),
        rename: text(&mut map, "rename")?,
        source: text(&mut map, "source")?,
        extra: map,
    })
}

fn wrong(field: &'static str, reason: impl Into<String>) -> DecodeError {
    DecodeError::Field {
        field,
        reason: reason.into(),
    }
}

/// Takes a field out of the map; JSON `null` counts as absent.
fn take(map: &mut Map<String, Value>, field: &str) -> Option<Value> {
    // `shift_remove` keeps the order of what remains, which `extra` promises.
    map.shift_remove(field).filter(|value| !value.is_null())
}

fn text(map: &mut Map<String, Value>, field: &'static str) -> Result<Option<String>, DecodeError> {
    match take(map, field) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(wrong(
            field,
            format!("expected a string, found {}", kind(&other)),
        )),
    }
}

fn time(
    map: &mut Map<String, Value>,
    field: &'static str,
) -> Result<Option<Timestamp>, DecodeError> {
    text(map, field)?
        .map(|text| {
            text.parse()
                .map_err(|error: crate::ParseTimeError| wrong(field, error.to_string()))
        })
        .transpose()
}

fn object(
    map: &mut Map<String, Value>,
    field: &'static str,
) -> Result<Option<Map<String, Value>>, DecodeError> {
    match take(map, field) {
        None => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(other) => Err(wrong(
            field,
            format!("expected an object, found {}", kind(&other)),
        )),
    }
}

fn identity_of(
    map: &mut Map<String, Value>,
    field: &'static str,
) -> Result<Option<Identity>, DecodeError> {
    let Some(mut object) = object(map, field)? else {
        return Ok(None);
    };
    let method = text(&mut object, "method")?.ok_or_else(|| wrong(field, "`method` is missing"))?;
    let value = match take(&mut object, "value") {
        Some(Value::String(value)) => value,
        // A random identity is written as a number by some producers.
        Some(Value::Number(number)) => number.to_string(),
        Some(other) => {
            return Err(wrong(
                field,
                format!("`value`: expected a string, found {}", kind(&other)),
            ));
        }
        None => return Err(wrong(field, "`value` is missing")),
    };
    Ok(Some(Identity { method, value }))
}

fn size(map: &mut Map<String, Value>) -> Result<Option<u64>, DecodeError> {
    match take(map, "size") {
        None => Ok(None),
        Some(Value::Number(number)) => number
            .as_u64()
            .map(Some)
            .ok_or_else(|| wrong("size", format!("`{number}` is not a count of bytes"))),
        Some(Value::String(text)) => text
            .parse()
            .map(Some)
            .map_err(|_| wrong("size", format!("`{text}` is not a count of bytes"))),
        Some(other) => Err(wrong(
            "size",
            format!("expected a number, found {}", kind(&other)),
        )),
    }
}

fn mode(map: &mut Map<String, Value>) -> Result<Option<u32>, DecodeError> {
    text(map, "mode")?
        .map(|text| {
            u32::from_str_radix(&text, 8)
                .ok()
                .filter(|mode| *mode <= 0o7777)
                .ok_or_else(|| {
                    wrong(
                        "mode",
                        format!("`{text}` is not an octal mode such as `644`"),
                    )
                })
        })
        .transpose()
}

fn file_op(map: &mut Map<String, Value>) -> Result<Option<FileOp>, DecodeError> {
    let Some(mut object) = object(map, "fileOp")? else {
        return Ok(None);
    };
    Ok(Some(FileOp {
        link: text(&mut object, "link")?,
        hlink: text(&mut object, "hlink")?,
        rename: text(&mut object, "rename")?,
        remove: object.shift_remove("remove").is_some(),
        directory: object.shift_remove("directory").is_some(),
        extra: object,
    }))
}

fn content(map: &mut Map<String, Value>) -> Result<Option<Inline>, DecodeError> {
    let Some(mut object) = object(map, "content")? else {
        return Ok(None);
    };
    let encoding = match text(&mut object, "encoding")?.as_deref() {
        Some("utf-8" | "text") | None => InlineEncoding::Utf8,
        Some("base64" | "binary") => InlineEncoding::Base64,
        Some("iso-8859-1") => InlineEncoding::Iso8859_1,
        Some(other) => return Err(wrong("content", format!("unknown encoding `{other}`"))),
    };
    let value =
        text(&mut object, "value")?.ok_or_else(|| wrong("content", "`value` is missing"))?;
    Ok(Some(Inline { encoding, value }))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
