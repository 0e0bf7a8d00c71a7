//! The v03 format: one JSON object, fields named as in `sr_post(7)`.
//!
//! Reading is tolerant where sr3 and its ancestors differ (`integrity` for `identity`, `retPath`
//! for `retrievePath`, `parts` for `size` and `blocks`, a size written as a string); writing always
//! uses today's spelling.
//!
//! Unknown fields of the message and of `fileOp` survive to the digit: numbers are kept as text
//! (`arbitrary_precision`; only an exponent gets its sign written out). `blocks` is kept whole.
//! Unknown keys inside `identity` and `content` are not kept.
//!
//! The body is read and written in one pass, without a tree of values between: every message of
//! every flow comes through here, and the embedded broker and the retry store keep this format.

mod read;
mod write;

use serde_json::Value;

use super::error::DecodeError;
use crate::fields::Message;

pub use write::to_value;

/// The MIME type of the body.
pub const CONTENT_TYPE: &str = "application/json";

/// Every field [`Message`] has a name for.
pub(crate) const FIELDS: [&str; 15] = [
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

/// Writes `message` as JSON.
pub fn encode(message: &Message) -> Vec<u8> {
    let inline = message.content.as_ref().map_or(0, |c| c.value.len());
    let text =
        |(key, value): (&String, &Value)| key.len() + value.as_str().map_or(16, str::len) + 8;
    let extra: usize = message.extra.iter().map(text).sum();
    // The fixed fields take about 400 bytes; ordinary messages grow no more.
    let mut out =
        Vec::with_capacity(448 + message.base_url.len() + message.rel_path.len() + inline + extra);
    write::message(&mut out, message);
    out
}

/// Reads a v03 body.
///
/// # Errors
/// A message that is not a JSON object, lacks a mandatory field, or has a field of the wrong type.
/// Retrying never helps.
pub fn decode(body: &[u8]) -> Result<Message, DecodeError> {
    // Looked through once as a whole: string by string costs a tenth of the time more.
    let body = std::str::from_utf8(body).map_err(|error| {
        DecodeError::Syntax(format!("not UTF-8 from byte {}", error.valid_up_to()))
    })?;
    let mut json = serde_json::Deserializer::from_str(body);
    match read::raw(&mut json).and_then(|raw| json.end().map(|()| raw)) {
        Ok(raw) => read::finish(raw),
        // The visitor stops at what is no object without looking at the rest; whether the rest is
        // JSON at all decides what the error says.
        Err(error) => match serde_json::from_str::<Value>(body) {
            Ok(value) if !value.is_object() => Err(no_object()),
            Ok(_) => Err(DecodeError::Syntax(error.to_string())),
            Err(error) => Err(DecodeError::Syntax(error.to_string())),
        },
    }
}

/// As [`decode`], from a JSON value already read.
///
/// # Errors
/// As [`decode`].
pub fn from_value(value: Value) -> Result<Message, DecodeError> {
    if !value.is_object() {
        return Err(no_object());
    }
    let raw = read::raw(value).map_err(|error| DecodeError::Syntax(error.to_string()))?;
    read::finish(raw)
}

fn no_object() -> DecodeError {
    DecodeError::Syntax("the body is a JSON value, but not an object".into())
}
