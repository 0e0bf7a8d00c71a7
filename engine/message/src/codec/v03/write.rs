//! Writing v03: straight into bytes for the wire, or as a JSON value for those who look inside.
//!
//! Both write the same fields in the same order; a test holds them together.

use serde::Serialize;
use serde_json::{Map, Value};

use super::FIELDS;
use crate::fields::{FileOp, InlineEncoding, Message};
use crate::time::Timestamp;

/// Writes `message` at the end of `out`.
pub(super) fn message(out: &mut Vec<u8>, message: &Message) {
    let mut object = Object::open(out);
    object.time("pubTime", Some(message.pub_time));
    object.text("baseUrl", Some(&message.base_url));
    object.text("relPath", Some(&message.rel_path));
    object.text("retrievePath", message.retrieve_path.as_deref());
    object.text("source", message.source.as_deref());
    if let Some(identity) = &message.identity {
        let mut inner = object.object("identity");
        inner.text("method", Some(&identity.method));
        inner.text("value", Some(&identity.value));
        inner.close();
    }
    if let Some(mode) = message.mode {
        object.text("mode", Some(&format!("{mode:o}")));
    }
    if let Some(size) = message.size {
        object.value("size", &size);
    }
    object.time("mtime", message.mtime);
    object.time("atime", message.atime);
    object.text("contentType", message.content_type.as_deref());
    if let Some(op) = &message.file_op {
        let mut inner = object.object("fileOp");
        inner.text("link", op.link.as_deref());
        inner.text("hlink", op.hlink.as_deref());
        inner.text("rename", op.rename.as_deref());
        inner.text("remove", op.remove.then_some(""));
        inner.text("directory", op.directory.then_some(""));
        for (key, value) in unknown_of(op) {
            inner.member(key, value);
        }
        inner.close();
    }
    if let Some(content) = &message.content {
        let mut inner = object.object("content");
        inner.text("encoding", Some(encoding(content.encoding)));
        inner.text("value", Some(&content.value));
        inner.close();
    }
    if let Some(blocks) = &message.blocks {
        object.value("blocks", &blocks.value);
    }
    object.text("rename", message.rename.as_deref());
    for (key, value) in &message.extra {
        if !shadows_a_field(key, message) {
            object.member(key, value);
        }
    }
    object.close();
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
            let mut map = Map::new();
            map.insert("encoding".into(), encoding(content.encoding).into());
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
    for (key, value) in unknown_of(op) {
        map.insert(key.clone(), value.clone());
    }
    Value::Object(map)
}

fn unknown_of(op: &FileOp) -> impl Iterator<Item = (&String, &Value)> {
    let known = ["link", "hlink", "rename", "remove", "directory"];
    op.extra
        .iter()
        .filter(move |(key, _)| !known.contains(&key.as_str()))
}

fn encoding(encoding: InlineEncoding) -> &'static str {
    match encoding {
        InlineEncoding::Utf8 => "utf-8",
        InlineEncoding::Base64 => "base64",
        InlineEncoding::Iso8859_1 => "iso-8859-1",
    }
}

/// Whether a key in `extra` would be read back as one of the named fields.
///
/// Named fields win: whoever edits a message can't replace its `relPath` through `extra`. The old
/// spellings are only read where today's is absent, so beside it they are ordinary unknown fields;
/// `parts` is always read, so it is never one.
fn shadows_a_field(key: &str, message: &Message) -> bool {
    match key {
        "retPath" => message.retrieve_path.is_none(),
        "integrity" => message.identity.is_none(),
        "parts" => true,
        key => FIELDS.contains(&key),
    }
}

/// A JSON object being written.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Object<'a> {
    fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    fn close(self) {
        self.out.push(b'}');
    }

    fn key(&mut self, key: &str) {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        string(self.out, key);
        self.out.push(b':');
    }

    /// A member of any kind whose name somebody else chose.
    fn member(&mut self, key: &str, value: &Value) {
        match value {
            Value::String(text) => self.text(key, Some(text)),
            value => self.value(key, value),
        }
    }

    fn text(&mut self, key: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.key(key);
            string(self.out, text);
        }
    }

    fn time(&mut self, key: &str, time: Option<Timestamp>) {
        if let Some(time) = time {
            self.key(key);
            let (text, length) = time.digits();
            self.out.push(b'"');
            self.out.extend_from_slice(&text[..length]);
            self.out.push(b'"');
        }
    }

    fn value(&mut self, key: &str, value: &impl Serialize) {
        self.key(key);
        serialize(self.out, value);
    }

    fn object(&mut self, key: &str) -> Object<'_> {
        self.key(key);
        Object::open(self.out)
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    // Nearly every string of a message needs no escape, and copying it whole is what makes the
    // difference to serde_json here. Looked at to its end, so that many bytes are at a time.
    let special = |byte: u8| (byte < 0x20) | (byte == b'"') | (byte == b'\\');
    if !text
        .bytes()
        .fold(false, |found, byte| found | special(byte))
    {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        serialize(out, &text);
    }
}

fn serialize(out: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(out, value).expect("plain values always serialise into memory");
}
