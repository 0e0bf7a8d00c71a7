//! Reading v03 in one pass, in two steps: what the JSON holds, then what it means.
//!
//! The first step sorts the members into the known fields and the rest and judges nothing, so that
//! a broken field is reported in the same order whatever the order on the wire, and JSON that is
//! broken further on is reported before it. Text is borrowed from the body until it is kept.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::DecodeError;
use crate::blocks::Blocks;
use crate::codec::error::{cut, kind, wrong};
use crate::codec::parts::Parts;
use crate::fields::{FileOp, Inline, InlineEncoding, Message};
use crate::identity::Identity;
use crate::time::Timestamp;

/// The members of a message as they were found.
#[derive(Default)]
pub(super) struct Raw<'de> {
    pub_time: Loose<'de>,
    base_url: Loose<'de>,
    rel_path: Loose<'de>,
    retrieve_path: Loose<'de>,
    source: Loose<'de>,
    identity: RawIdentity<'de>,
    mode: Loose<'de>,
    size: Loose<'de>,
    mtime: Loose<'de>,
    atime: Loose<'de>,
    content_type: Loose<'de>,
    file_op: Value,
    content: Value,
    blocks: Value,
    rename: Loose<'de>,
    extra: Map<String, Value>,
}

/// A value that is expected to be text.
#[derive(Default)]
enum Loose<'de> {
    /// Absent or JSON `null`, which mean the same.
    #[default]
    Absent,
    Text(Cow<'de, str>),
    Other(Value),
}

/// `identity` is in nearly every message, so that it has its own shape instead of a map.
#[derive(Default)]
enum RawIdentity<'de> {
    #[default]
    Absent,
    Object {
        method: Loose<'de>,
        value: Loose<'de>,
    },
    Other(&'static str),
}

/// Reads the members of an object; anything else is an error.
pub(super) fn raw<'de, D: Deserializer<'de>>(source: D) -> Result<Raw<'de>, D::Error> {
    source.deserialize_map(RawVisitor)
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw<'de>, A::Error> {
        let mut raw = Raw::default();
        while let Some(Key(key)) = map.next_key()? {
            match &*key {
                "pubTime" => raw.pub_time = map.next_value()?,
                "baseUrl" => raw.base_url = map.next_value()?,
                "relPath" => raw.rel_path = map.next_value()?,
                "retrievePath" => raw.retrieve_path = map.next_value()?,
                "source" => raw.source = map.next_value()?,
                "identity" => raw.identity = map.next_value()?,
                "mode" => raw.mode = map.next_value()?,
                "size" => raw.size = map.next_value()?,
                "mtime" => raw.mtime = map.next_value()?,
                "atime" => raw.atime = map.next_value()?,
                "contentType" => raw.content_type = map.next_value()?,
                "fileOp" => raw.file_op = map.next_value()?,
                "content" => raw.content = map.next_value()?,
                "blocks" => raw.blocks = map.next_value()?,
                "rename" => raw.rename = map.next_value()?,
                _ => {
                    let value = map.next_value()?;
                    raw.extra.insert(key.into_owned(), value);
                }
            }
        }
        Ok(raw)
    }
}

/// A member's name, borrowed where the body holds it without escapes.
struct Key<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_str(CowVisitor(PhantomData)).map(Key)
    }
}

struct CowVisitor<'de>(PhantomData<&'de str>);

impl<'de> Visitor<'de> for CowVisitor<'de> {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text))
    }
}

impl<'de> Deserialize<'de> for Loose<'de> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(LooseVisitor(PhantomData))
    }
}

struct LooseVisitor<'de>(PhantomData<&'de str>);

impl<'de> Visitor<'de> for LooseVisitor<'de> {
    type Value = Loose<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Loose::Absent)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Loose::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        self.visit_string(text.to_owned())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Self::Value, E> {
        Ok(Loose::Text(Cow::Owned(text)))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Loose::Other(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Loose::Other(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Loose::Other(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Loose::Other(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        Value::deserialize(SeqAccessDeserializer::new(seq)).map(Loose::Other)
    }

    // With `arbitrary_precision` a number comes as a map too, which `Value` knows how to read.
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Value::deserialize(MapAccessDeserializer::new(map)).map(Loose::Other)
    }
}

impl<'de> Deserialize<'de> for RawIdentity<'de> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(IdentityVisitor(PhantomData))
    }
}

struct IdentityVisitor<'de>(PhantomData<&'de str>);

impl<'de> IdentityVisitor<'de> {
    fn found<E>(what: &'static str) -> Result<RawIdentity<'de>, E> {
        Ok(RawIdentity::Other(what))
    }
}

impl<'de> Visitor<'de> for IdentityVisitor<'de> {
    type Value = RawIdentity<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(RawIdentity::Absent)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        Self::found("a string")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Self::found("a boolean")
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Self::found("a number")
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Self::found("a number")
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Self::found("a number")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        // Read as a value, not skipped, so that its depth is limited as everywhere else.
        Value::deserialize(SeqAccessDeserializer::new(seq))?;
        Self::found("a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut method, mut value) = (Loose::Absent, Loose::Absent);
        while let Some(Key(key)) = map.next_key()? {
            match &*key {
                "method" => method = map.next_value()?,
                "value" => value = map.next_value()?,
                NUMBER => {
                    map.next_value::<Value>()?;
                    return Self::found("a number");
                }
                _ => drop(map.next_value::<Value>()?),
            }
        }
        Ok(RawIdentity::Object { method, value })
    }
}

/// The key by which serde_json marks a number whose digits it kept. Were it to change, a number in
/// place of `identity` would be refused with another text, and a test would say so.
const NUMBER: &str = "$serde_json::private::Number";

/// Makes the message, or says which field is wrong.
pub(super) fn finish(raw: Raw<'_>) -> Result<Message, DecodeError> {
    let mut extra = raw.extra;
    let pub_time = time(raw.pub_time, "pubTime")?.ok_or(DecodeError::Missing("pubTime"))?;
    let base_url = text(raw.base_url, "baseUrl")?.ok_or(DecodeError::Missing("baseUrl"))?;
    let rel_path = text(raw.rel_path, "relPath")?.ok_or(DecodeError::Missing("relPath"))?;
    let retrieve_path = match text(raw.retrieve_path, "retrievePath")? {
        Some(path) => Some(path),
        None => text(old(&mut extra, "retPath").into(), "retPath")?,
    };
    let identity = match identity(raw.identity, &IDENTITY)? {
        Some(identity) => Some(identity),
        // The name `identity` had in early v03.
        None => {
            let value = old(&mut extra, "integrity");
            let raw = RawIdentity::deserialize(value)
                .map_err(|error| wrong("integrity", cut(&error.to_string())))?;
            identity(raw, &INTEGRITY)?
        }
    };
    let mut message = Message::new(pub_time, base_url, rel_path);
    message.retrieve_path = retrieve_path;
    message.identity = identity;
    message.size = size(raw.size)?;
    message.mode = mode(raw.mode)?;
    message.mtime = time(raw.mtime, "mtime")?;
    message.atime = time(raw.atime, "atime")?;
    message.content_type = text(raw.content_type, "contentType")?;
    message.file_op = file_op(raw.file_op)?;
    message.content = content(raw.content)?;
    message.blocks = object(raw.blocks, "blocks")?.map(|value| Blocks { value });
    message.rename = text(raw.rename, "rename")?;
    message.source = text(raw.source, "source")?;
    // An early sr3 left this header of v02 in the body.
    if let Some(parts) = text(old(&mut extra, "parts").into(), "parts")? {
        Parts::parse(&parts)
            .map_err(|reason| wrong("parts", reason))?
            .apply(&mut message);
    }
    message.extra = extra;
    Ok(message)
}

/// Takes an old spelling out of the unknown fields.
fn old(extra: &mut Map<String, Value>, key: &str) -> Value {
    if extra.is_empty() {
        return Value::Null;
    }
    // `shift_remove` keeps the order of what remains, which `extra` promises.
    extra.shift_remove(key).unwrap_or_default()
}

impl From<Value> for Loose<'_> {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Loose::Absent,
            Value::String(text) => Loose::Text(Cow::Owned(text)),
            other => Loose::Other(other),
        }
    }
}

fn no_text(field: &'static str, found: &Value) -> DecodeError {
    wrong(field, format!("expected a string, found {}", kind(found)))
}

fn text(value: Loose<'_>, field: &'static str) -> Result<Option<String>, DecodeError> {
    match value {
        Loose::Absent => Ok(None),
        Loose::Text(text) => Ok(Some(text.into_owned())),
        Loose::Other(other) => Err(no_text(field, &other)),
    }
}

fn time(value: Loose<'_>, field: &'static str) -> Result<Option<Timestamp>, DecodeError> {
    match value {
        Loose::Absent => Ok(None),
        Loose::Text(text) => text
            .parse()
            .map(Some)
            .map_err(|error: crate::ParseTimeError| wrong(field, error.to_string())),
        Loose::Other(other) => Err(no_text(field, &other)),
    }
}

fn object(value: Value, field: &'static str) -> Result<Option<Map<String, Value>>, DecodeError> {
    match value {
        Value::Null => Ok(None),
        Value::Object(object) => Ok(Some(object)),
        other => Err(wrong(
            field,
            format!("expected an object, found {}", kind(&other)),
        )),
    }
}

/// The names an identity and its parts have in errors.
struct IdentityNames {
    whole: &'static str,
    method: &'static str,
}

const IDENTITY: IdentityNames = IdentityNames {
    whole: "identity",
    method: "identity.method",
};

const INTEGRITY: IdentityNames = IdentityNames {
    whole: "integrity",
    method: "integrity.method",
};

fn identity(raw: RawIdentity<'_>, names: &IdentityNames) -> Result<Option<Identity>, DecodeError> {
    let (method, value) = match raw {
        RawIdentity::Absent => return Ok(None),
        RawIdentity::Object { method, value } => (method, value),
        RawIdentity::Other(kind) => {
            return Err(wrong(
                names.whole,
                format!("expected an object, found {kind}"),
            ));
        }
    };
    let method =
        text(method, names.method)?.ok_or_else(|| wrong(names.whole, "`method` is missing"))?;
    let value = match value {
        Loose::Text(value) => value.into_owned(),
        // A random identity is written as a number by some producers.
        Loose::Other(Value::Number(number)) => number.to_string(),
        Loose::Other(other) => {
            return Err(wrong(
                names.whole,
                format!("`value`: expected a string, found {}", kind(&other)),
            ));
        }
        Loose::Absent => return Err(wrong(names.whole, "`value` is missing")),
    };
    Ok(Some(Identity { method, value }))
}

fn size(value: Loose<'_>) -> Result<Option<u64>, DecodeError> {
    let no_size = |text: &str| wrong("size", format!("`{}` is not a count of bytes", cut(text)));
    match value {
        Loose::Absent => Ok(None),
        Loose::Other(Value::Number(number)) => match number.as_u64() {
            Some(size) => Ok(Some(size)),
            None => Err(no_size(&number.to_string())),
        },
        Loose::Text(text) => text.parse().map(Some).map_err(|_| no_size(&text)),
        Loose::Other(other) => Err(wrong(
            "size",
            format!("expected a number, found {}", kind(&other)),
        )),
    }
}

fn mode(value: Loose<'_>) -> Result<Option<u32>, DecodeError> {
    let text = match value {
        Loose::Absent => return Ok(None),
        Loose::Text(text) => text,
        Loose::Other(other) => return Err(no_text("mode", &other)),
    };
    u32::from_str_radix(&text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .map(Some)
        .ok_or_else(|| {
            let reason = format!("`{}` is not an octal mode such as `644`", cut(&text));
            wrong("mode", reason)
        })
}

fn file_op(value: Value) -> Result<Option<FileOp>, DecodeError> {
    let Some(mut object) = object(value, "fileOp")? else {
        return Ok(None);
    };
    let mut member = |key: &str, field| text(old(&mut object, key).into(), field);
    Ok(Some(FileOp {
        link: member("link", "fileOp.link")?,
        hlink: member("hlink", "fileOp.hlink")?,
        rename: member("rename", "fileOp.rename")?,
        remove: object.shift_remove("remove").is_some(),
        directory: object.shift_remove("directory").is_some(),
        extra: object,
    }))
}

fn content(value: Value) -> Result<Option<Inline>, DecodeError> {
    let Some(mut object) = object(value, "content")? else {
        return Ok(None);
    };
    let encoding = text(old(&mut object, "encoding").into(), "content.encoding")?;
    let encoding = match encoding.as_deref() {
        // `text` and `binary` are what the option is set to, and reach the wire from some plugins.
        Some("utf-8" | "text") | None => InlineEncoding::Utf8,
        Some("base64" | "binary") => InlineEncoding::Base64,
        Some("iso-8859-1") => InlineEncoding::Iso8859_1,
        Some(other) => {
            let reason = format!("unknown encoding `{}`", cut(other));
            return Err(wrong("content", reason));
        }
    };
    let value = text(old(&mut object, "value").into(), "content.value")?
        .ok_or_else(|| wrong("content", "`value` is missing"))?;
    Ok(Some(Inline { encoding, value }))
}
