//! The wis format: a WIS2 notification message, which is a GeoJSON feature.
//!
//! One link of the feature is the data: its `href` becomes `baseUrl` and `retrievePath`, its length
//! and type become `size` and `contentType`. `relPath` is the topic the message came under and the
//! file's name, because the feature names no path of its own. The other members of `properties` are
//! fields under their name; `geometry` and `id` keep their place beside them.
//!
//! Where sr3 3.3.1 differs, on purpose:
//! - the data's link is the first that is canonical, an update or a deletion (sr3: the first of all);
//!   a deletion is a removal, in both directions;
//! - further links come back when the message leaves as wis again;
//! - a digest travels as `integrity`, where the standard has it (sr3 leaves it out);
//! - base and path are joined by one slash, and what would break a URL in `relPath` is escaped;
//! - the `id` is kept, and one that is made is the same at every attempt, so that a repeat can be
//!   recognised.
//!
//! Content that is compressed inside the message is not unpacked here; it is left out, and the link
//! has it. Members the standard demands and a message can't know (`data_id`, `datetime`) are written
//! if they are among the fields, and not made up.

use serde_json::{Map, Value};

use super::error::{DecodeError, EncodeError, cut, kind, wrong};
use super::v03;
use super::wire::{Context, Wire};
use crate::fields::{Inline, InlineEncoding, Message};
use crate::identity::{hex, sha512};
use crate::time::Timestamp;
use crate::topic::{Topic, Transport};

/// What the message claims to conform to.
pub const CONFORMS_TO: &str = "http://wis.wmo.int/spec/wnm/1/conf/core";

const NAME: &str = "wis";

/// Fields that are not written to `properties`: they have another place, or none.
const ELSEWHERE: [&str; 13] = [
    "geometry",
    "id",
    "links",
    "topic",
    "subtopic",
    "to_clusters",
    "from_cluster",
    "filename",
    "sundew_extension",
    "pubtime",
    "integrity",
    "conformsTo",
    "version",
];

/// Methods the standard knows; `sha512` is written as v03 does, in base64.
const STANDARD_METHODS: [&str; 6] = [
    "sha256", "sha384", "sha512", "sha3-256", "sha3-384", "sha3-512",
];

/// Writes `message` as a feature.
///
/// # Errors
/// Neither context nor message has a topic, or `baseUrl` names no host.
pub fn encode(message: &Message, context: &Context<'_>) -> Result<Wire, EncodeError> {
    let (topic, topic_cut) = topic_of(message, context)?;
    if split_url(&message.base_url).is_none() {
        return Err(EncodeError::Field {
            format: NAME,
            field: "baseUrl".into(),
            reason: format!(
                "`{}` is no URL with a host, which a link has to be",
                cut(&message.base_url)
            ),
        });
    }
    let mut feature = Map::new();
    let mut put = |name: &str, value: Value| drop(feature.insert(name.to_owned(), value));
    put("id", id_of(message));
    put("type", "Feature".into());
    put("conformsTo", Value::Array(vec![CONFORMS_TO.into()]));
    put(
        "geometry",
        message.extra.get("geometry").cloned().unwrap_or_default(),
    );
    put("properties", Value::Object(properties_of(message)));
    put("links", Value::Array(links_of(message)));
    let body = serde_json::to_vec(&feature).expect("a map of plain values always serialises");
    Ok(Wire {
        content_type: v03::CONTENT_TYPE,
        headers: Vec::new(),
        body,
        topic,
        topic_cut,
    })
}

fn topic_of(message: &Message, context: &Context<'_>) -> Result<(Topic, bool), EncodeError> {
    let own = || message.extra.get("topic").and_then(Value::as_str);
    let topic = context.topic.or_else(own).unwrap_or_default();
    if topic.is_empty() {
        return Err(EncodeError::Topic(NAME));
    }
    // Topics of WIS2 are written with slashes; an exchange matches words between points.
    Ok(match context.transport {
        Transport::Amqp => Topic::given(Transport::Amqp, &topic.replace('/', ".")),
        Transport::Mqtt => Topic::given(Transport::Mqtt, topic),
    })
}

/// The id the message came with, or one made from all of it (RFC 9562 §5.8).
fn id_of(message: &Message) -> Value {
    if let Some(Value::String(id)) = message.extra.get("id") {
        return Value::String(id.clone());
    }
    let digest = sha512(&v03::encode(message));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex(&bytes);
    let groups = [
        &text[..8],
        &text[8..12],
        &text[12..16],
        &text[16..20],
        &text[20..],
    ];
    Value::String(groups.join("-"))
}

fn properties_of(message: &Message) -> Map<String, Value> {
    // The rest of the fields are spelled as v03 spells them.
    let Value::Object(mut fields) = v03::to_value(message) else {
        return Map::new();
    };
    for name in v03::FIELDS {
        if !["fileOp", "blocks", "rename", "source"].contains(&name) {
            fields.shift_remove(name);
        }
    }
    fields.retain(|name, _| !ELSEWHERE.contains(&name.as_str()));
    let mut properties = Map::new();
    properties.insert("pubtime".into(), message.pub_time.to_rfc3339().into());
    if let Some(identity) = &message.identity
        && STANDARD_METHODS.contains(&identity.method.as_str())
    {
        let mut integrity = Map::new();
        integrity.insert("method".into(), identity.method.clone().into());
        integrity.insert("value".into(), identity.value.clone().into());
        properties.insert("integrity".into(), Value::Object(integrity));
    }
    if let Some(content) = message.content.as_ref().and_then(content_of) {
        properties.insert("content".into(), content);
    }
    properties.append(&mut fields);
    properties
}

/// Inline content as the standard has it; `None` where the value is not what its encoding says.
fn content_of(inline: &Inline) -> Option<Value> {
    let bytes = inline.bytes().ok()?;
    let size = bytes.len();
    let (encoding, value) = match inline.encoding {
        InlineEncoding::Utf8 => ("utf-8", inline.value.clone()),
        InlineEncoding::Base64 => ("base64", inline.value.clone()),
        // No encoding of the standard: as text if it is text, else as base64.
        InlineEncoding::Iso8859_1 => {
            let other = Inline::of(&bytes);
            match other.encoding {
                InlineEncoding::Utf8 => ("utf-8", other.value),
                _ => ("base64", other.value),
            }
        }
    };
    let mut content = Map::new();
    content.insert("encoding".into(), encoding.into());
    content.insert("value".into(), value.into());
    content.insert("size".into(), size.into());
    Some(Value::Object(content))
}

fn links_of(message: &Message) -> Vec<Value> {
    let mut links = match message.extra.get("links") {
        Some(Value::Array(links)) => links.clone(),
        _ => Vec::new(),
    };
    let at = match data_link(&links) {
        Some((at, _)) => at,
        None => {
            links.insert(0, Value::Object(Map::new()));
            0
        }
    };
    if let Some(Value::Object(link)) = links.get_mut(at) {
        let removed = message.file_op.as_ref().is_some_and(|op| op.remove);
        if removed {
            link.insert("rel".into(), "deletion".into());
        } else if link.get("rel").is_none_or(|rel| rel == "deletion") {
            link.insert("rel".into(), "canonical".into());
        }
        link.insert("href".into(), href(message).into());
        let known = [
            ("length", message.size.map(Value::from)),
            ("type", message.content_type.clone().map(Value::String)),
        ];
        for (name, value) in known {
            match value {
                Some(value) => link.insert(name.into(), value),
                None => link.shift_remove(name),
            };
        }
    }
    links
}

/// The URL of the data.
fn href(message: &Message) -> String {
    let base = message.base_url.trim_end_matches('/');
    // What a producer says to retrieve is a piece of a URL already.
    if let Some(path) = &message.retrieve_path {
        return format!("{base}/{}", path.trim_start_matches('/'));
    }
    let mut url = format!("{base}/");
    for c in message.rel_path.trim_start_matches('/').chars() {
        match c {
            '#' | '?' | '"' | '<' | '>' | ' ' | '\\' | '^' | '`' | '{' | '|' | '}' => {
                url.push_str(&format!("%{:02X}", u32::from(c)));
            }
            c if c.is_ascii_control() => url.push_str(&format!("%{:02X}", u32::from(c))),
            c => url.push(c),
        }
    }
    url
}

/// Reads a feature that came under `topic`.
///
/// # Errors
/// What is no feature, has no time or no link to its data, or a field v03 would refuse; and a
/// missing topic, because `relPath` is made of it.
pub fn decode(body: &[u8], topic: Option<&str>) -> Result<Message, DecodeError> {
    let value: Value =
        serde_json::from_slice(body).map_err(|error| DecodeError::Syntax(error.to_string()))?;
    match value {
        Value::Object(feature) => from_object(feature, topic),
        other => Err(DecodeError::Syntax(format!("the body is {}", kind(&other)))),
    }
}

/// The feature, if the body is one: sr3's two marks, and no time outside of `properties`.
pub(super) fn recognise(body: &[u8]) -> Option<Map<String, Value>> {
    let Ok(Value::Object(object)) = serde_json::from_slice(body) else {
        return None;
    };
    let claims = |list: &Value| {
        list.get(0)?
            .as_str()
            .map(|text| text.contains("wis.wmo.int"))
    };
    let marked = object
        .get("version")
        .is_some_and(|version| version == "v04")
        || object.get("conformsTo").and_then(claims) == Some(true);
    (marked && !object.contains_key("pubTime")).then_some(object)
}

pub(super) fn from_object(
    mut feature: Map<String, Value>,
    topic: Option<&str>,
) -> Result<Message, DecodeError> {
    let mut fields = match feature.shift_remove("properties") {
        Some(Value::Object(properties)) => properties,
        None | Some(Value::Null) => return Err(DecodeError::Missing("properties")),
        Some(other) => {
            let reason = format!("expected an object, found {}", kind(&other));
            return Err(wrong("properties", reason));
        }
    };
    let time = pub_time(fields.shift_remove("pubtime"))?;
    let links = match feature.shift_remove("links") {
        Some(Value::Array(links)) => links,
        None | Some(Value::Null) => return Err(DecodeError::Missing("links")),
        Some(other) => {
            let reason = format!("expected a list, found {}", kind(&other));
            return Err(wrong("links", reason));
        }
    };
    let Some((_, link)) = data_link(&links) else {
        return Err(wrong("links", "none of them is an object"));
    };
    let href = match link.get("href") {
        Some(Value::String(href)) => href,
        Some(other) => {
            let reason = format!("expected a string, found {}", kind(other));
            return Err(wrong("links.href", reason));
        }
        None => return Err(DecodeError::Missing("links.href")),
    };
    let Some((base, rest)) = split_url(href) else {
        let reason = format!("`{}` is no URL with a host", cut(href));
        return Err(wrong("links.href", reason));
    };
    let topic = topic.filter(|topic| !topic.is_empty());
    let topic = topic.ok_or(DecodeError::Missing("topic"))?;

    let deleted = link.get("rel").is_some_and(|rel| rel == "deletion");
    let mut set = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    set("pubTime", time.to_string().into());
    set("baseUrl", base.into());
    set("relPath", rel_path(topic, rest).into());
    set("retrievePath", rest.into());
    for (member, field) in [("length", "size"), ("type", "contentType")] {
        if let Some(value) = link.get(member) {
            set(field, value.clone());
        }
    }
    // Kept only where the message does not say it all, since a reader of v03 has no use for them.
    if links.len() > 1 || link.iter().any(|member| !is_plain(member)) {
        set("links", Value::Array(links));
    }
    for name in ["geometry", "id"] {
        if let Some(value) = feature.shift_remove(name).filter(|value| !value.is_null()) {
            set(name, value);
        }
    }
    drop_packed_content(&mut fields);
    let mut message = v03::from_value(Value::Object(fields))?;
    if deleted {
        message.file_op.get_or_insert_default().remove = true;
    }
    Ok(message)
}

fn pub_time(value: Option<Value>) -> Result<Timestamp, DecodeError> {
    match value {
        Some(Value::String(text)) => Timestamp::parse_rfc3339(&text).map_err(|_| {
            let reason = format!(
                "`{}` is not a time such as `2026-11-22T01:52:07Z`",
                cut(&text)
            );
            wrong("properties.pubtime", reason)
        }),
        None | Some(Value::Null) => Err(DecodeError::Missing("properties.pubtime")),
        Some(other) => {
            let reason = format!("expected a string, found {}", kind(&other));
            Err(wrong("properties.pubtime", reason))
        }
    }
}

/// The link to the data and its place.
fn data_link(links: &[Value]) -> Option<(usize, &Map<String, Value>)> {
    let objects = || {
        links
            .iter()
            .enumerate()
            .filter_map(|(at, link)| Some((at, link.as_object()?)))
    };
    let named = objects().find(|(_, link)| {
        let rel = link.get("rel").and_then(Value::as_str);
        rel.is_some_and(|rel| ["canonical", "update", "deletion"].contains(&rel))
    });
    named.or_else(|| objects().next())
}

/// Whether a member of the data's link is one that is made anew from the message.
fn is_plain((name, value): (&String, &Value)) -> bool {
    match name.as_str() {
        "href" | "length" | "type" => true,
        "rel" => value == "canonical" || value == "deletion",
        _ => false,
    }
}

/// `http://host` and the rest; the rest may be empty.
fn split_url(url: &str) -> Option<(&str, &str)> {
    let (scheme, after) = url.split_once("://")?;
    let good = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    if scheme.is_empty() || !scheme.chars().all(good) {
        return None;
    }
    let host = after.find(['/', '?', '#']).unwrap_or(after.len());
    (host > 0).then(|| url.split_at(scheme.len() + 3 + host))
}

/// Topic and file name.
fn rel_path(topic: &str, rest: &str) -> String {
    let path = rest.split(['?', '#', ';']).next().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    if name.is_empty() {
        return topic.to_owned();
    }
    format!("{}/{name}", topic.trim_end_matches('/'))
}

/// Leaves out content in an encoding that no other format has.
fn drop_packed_content(fields: &mut Map<String, Value>) {
    let encoding = fields
        .get("content")
        .and_then(|content| content.get("encoding"));
    if encoding.is_some_and(|encoding| encoding == "gzip") {
        fields.shift_remove("content");
    }
}
