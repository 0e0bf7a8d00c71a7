//! What crosses the callback boundary, as JSON and back.
//!
//! Messages are written as on the wire (v03). Bytes are `{"text": …}` where they are UTF-8 and
//! `{"base64": …}` otherwise, so that a person can read a recording.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flow_config::{OptionValue, Secret};
use flow_message::{Identity, v03};
use flow_runtime::ports::{
    Edit, Failure, Fate, Gathered, HttpRequest, HttpResponse, Item, Location, NewMessage, Outcome,
    Rejection, Verdict, Worked,
};
use serde_json::{Map, Value, json};

use crate::outside::Failed;

/// Bytes.
pub(crate) fn bytes(data: &[u8]) -> Value {
    match std::str::from_utf8(data) {
        Ok(text) => json!({ "text": text }),
        Err(_) => json!({ "base64": STANDARD.encode(data) }),
    }
}

/// The bytes of [`bytes`].
pub(crate) fn read_bytes(value: &Value) -> Option<Vec<u8>> {
    if let Some(text) = value.get("text") {
        return text.as_str().map(|text| text.as_bytes().to_vec());
    }
    STANDARD.decode(value.get("base64")?.as_str()?).ok()
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn item(item: &Item) -> Value {
    let mut value = json!({
        "id": item.id,
        "key": item.key,
        "attempt": item.attempt,
        "message": v03::to_value(&item.message),
    });
    for (name, place) in [("location", &item.location), ("other", &item.other)] {
        if let Some(place) = place {
            value[name] = location(place);
        }
    }
    value
}

fn location(location: &Location) -> Value {
    json!({ "directory": location.directory.to_string_lossy(), "filename": location.filename })
}

pub(crate) fn read_item(value: &Value) -> Option<Item> {
    let place = |name: &str| {
        let place = value.get(name)?;
        Some(Location {
            directory: place.get("directory")?.as_str()?.into(),
            filename: place.get("filename")?.as_str()?.to_owned(),
        })
    };
    Some(Item {
        id: value.get("id")?.as_u64()?,
        key: text(value, "key")?,
        attempt: u32::try_from(value.get("attempt")?.as_u64()?).ok()?,
        message: v03::from_value(value.get("message")?.clone()).ok()?.into(),
        location: place("location"),
        other: place("other"),
    })
}

pub(crate) fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name)?.as_str().map(str::to_owned)
}

pub(crate) fn failure(failure: &Failure) -> Value {
    match failure {
        Failure::Temporary {
            reason,
            retry_after,
        } => {
            json!({ "temporary": reason, "retryAfterMs": retry_after.map(millis) })
        }
        Failure::Permanent(reason) => json!({ "permanent": reason }),
        Failure::Auth(reason) => json!({ "auth": reason }),
        Failure::Config(reason) => json!({ "config": reason }),
        Failure::Plugin(reason) => json!({ "plugin": reason }),
    }
}

pub(crate) fn failed(failed: &Failed) -> Value {
    match failed {
        Failed::Interrupted => json!({ "interrupted": true }),
        Failed::Failure(failure) => self::failure(failure),
    }
}

pub(crate) fn read_failed(value: &Value) -> Option<Failed> {
    if value.get("interrupted").is_some() {
        return Some(Failed::Interrupted);
    }
    let of = |name: &str| text(value, name);
    let failure = if let Some(reason) = of("temporary") {
        let after = value.get("retryAfterMs").and_then(Value::as_u64);
        Failure::Temporary {
            reason,
            retry_after: after.map(Duration::from_millis),
        }
    } else if let Some(reason) = of("permanent") {
        Failure::Permanent(reason)
    } else if let Some(reason) = of("auth") {
        Failure::Auth(reason)
    } else if let Some(reason) = of("config") {
        Failure::Config(reason)
    } else {
        Failure::Plugin(of("plugin")?)
    };
    Some(Failed::Failure(failure))
}

pub(crate) fn outcome(outcome: &Outcome) -> Value {
    let fate = match &outcome.fate {
        Fate::Posted => json!("posted"),
        Fate::Rejected(rejection) => json!({ "rejected": self::rejection(rejection) }),
        Fate::Retrying(reason) => json!({ "retrying": reason }),
        Fate::Dead(reason) => json!({ "dead": reason }),
    };
    json!({ "item": item(&outcome.item), "fate": fate })
}

pub(crate) fn read_outcome(value: &Value) -> Option<Outcome> {
    let told = value.get("fate")?;
    let fate = if told == "posted" {
        Fate::Posted
    } else if let Some(rejected) = told.get("rejected") {
        Fate::Rejected(Rejection {
            code: u16::try_from(rejected.get("code")?.as_u64()?).ok()?,
            reason: text(rejected, "reason")?,
        })
    } else if let Some(reason) = text(told, "retrying") {
        Fate::Retrying(reason)
    } else {
        Fate::Dead(text(told, "dead")?)
    };
    Some(Outcome {
        item: read_item(value.get("item")?)?,
        fate,
    })
}

fn rejection(rejection: &Rejection) -> Value {
    json!({ "code": rejection.code, "reason": rejection.reason })
}

fn identity(identity: Option<&Identity>) -> Value {
    identity.map_or(
        Value::Null,
        |identity| json!({ "method": identity.method, "value": identity.value }),
    )
}

fn edits(edits: &[Edit]) -> Value {
    let mut map = Map::new();
    for edit in edits {
        let (name, value) = match edit {
            Edit::PubTime(time) => ("pubTime".to_owned(), json!(time.to_string())),
            Edit::BaseUrl(url) => ("baseUrl".into(), json!(url)),
            Edit::RelPath(path) => ("relPath".into(), json!(path)),
            Edit::RetrievePath(path) => ("retrievePath".into(), json!(path)),
            Edit::Size(size) => ("size".into(), json!(size)),
            Edit::Mtime(time) => ("mtime".into(), json!(time.map(|time| time.to_string()))),
            Edit::ContentType(kind) => ("contentType".into(), json!(kind)),
            Edit::Identity(value) => ("identity".into(), identity(value.as_ref())),
            Edit::Directory(directory) => ("directory".into(), json!(directory)),
            Edit::Filename(name) => ("filename".into(), json!(name)),
            Edit::Header(name, value) => (
                format!("header {name}"),
                value.clone().unwrap_or(Value::Null),
            ),
        };
        map.insert(name, value);
    }
    Value::Object(map)
}

/// What was written under a content handle, by handle.
pub(crate) type Written = BTreeMap<u64, Value>;

fn made(made: &[NewMessage], written: &Written) -> Value {
    let one = |made: &NewMessage| {
        let mut value = json!({ "message": v03::to_value(&made.message) });
        if let Some(handle) = made.content {
            value["content"] = written.get(&handle).cloned().unwrap_or(json!("unknown"));
        }
        value
    };
    made.iter().map(one).collect()
}

pub(crate) fn verdict(verdict: &Verdict, written: &Written) -> Value {
    match verdict {
        Verdict::Keep => json!("keep"),
        Verdict::Update(changes) => json!({ "update": edits(changes) }),
        Verdict::Reject(reason) => json!({ "reject": rejection(reason) }),
        Verdict::Fail(why) => json!({ "fail": failure(why) }),
        Verdict::Replace(messages) => json!({ "replace": made(messages, written) }),
        Verdict::Add(messages) => json!({ "add": made(messages, written) }),
        Verdict::Wait { after, reason } => {
            json!({ "wait": { "afterMs": millis(*after), "reason": reason } })
        }
    }
}

pub(crate) fn worked(worked: &Worked) -> Value {
    match worked {
        Worked::Done(changes) => json!({ "done": edits(changes) }),
        Worked::Reject(reason) => json!({ "reject": rejection(reason) }),
        Worked::Fail(why) => json!({ "fail": failure(why) }),
    }
}

/// What became of posts.
pub(crate) fn posts(posts: &[Result<(), Failure>]) -> Value {
    let one = |post: &Result<(), Failure>| match post {
        Ok(()) => json!("posted"),
        Err(why) => json!({ "fail": failure(why) }),
    };
    posts.iter().map(one).collect()
}

/// A request made of the flow, with what is left of its body.
pub(crate) fn request(request: &HttpRequest, body: &[u8]) -> Value {
    json!({
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "headers": request.headers,
        "body": bytes(body),
        "peer": request.peer,
    })
}

pub(crate) fn read_request(value: &Value) -> Option<HttpRequest> {
    Some(HttpRequest {
        method: text(value, "method")?,
        path: text(value, "path")?,
        query: text(value, "query")?,
        headers: read_headers(value),
        body: read_bytes(value.get("body")?)?,
        peer: text(value, "peer")?,
    })
}

/// The answer to one, with what is left of its body.
pub(crate) fn response(response: &HttpResponse, body: &[u8]) -> Value {
    json!({ "status": response.status, "headers": response.headers, "body": bytes(body) })
}

/// The headers of a request or response, in order.
pub(crate) fn read_headers(value: &Value) -> Vec<(String, String)> {
    let headers = value.get("headers").and_then(Value::as_array);
    let pair = |pair: &Value| {
        let part = |index: usize| Some(pair.get(index)?.as_str()?.to_owned());
        Some((part(0)?, part(1)?))
    };
    headers.into_iter().flatten().filter_map(pair).collect()
}

/// The password in what `Authorization: Basic` says.
pub(crate) fn basic_password(told: &str) -> Option<String> {
    let decoded = STANDARD.decode(told.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    text.split_once(':')
        .map(|(_, password)| password.to_owned())
}

pub(crate) fn gathered(gathered: &Gathered) -> Value {
    let messages: Vec<Value> = gathered.messages.iter().map(v03::to_value).collect();
    json!({ "messages": messages, "more": gathered.more })
}

pub(crate) fn option(value: &OptionValue) -> Value {
    match value {
        OptionValue::Flag(flag) => json!({ "flag": flag }),
        OptionValue::Count(count) => json!({ "count": count }),
        OptionValue::Size(size) => json!({ "size": size }),
        OptionValue::Duration(time) => json!({ "durationMs": millis(*time) }),
        OptionValue::Text(text) => json!({ "text": text }),
        OptionValue::Secret(secret) => json!({ "secret": secret.expose() }),
        OptionValue::List(list) => json!({ "list": list }),
    }
}

pub(crate) fn read_option(value: &Value) -> Option<OptionValue> {
    let (kind, value) = value.as_object()?.iter().next()?;
    Some(match kind.as_str() {
        "flag" => OptionValue::Flag(value.as_bool()?),
        "count" => OptionValue::Count(value.as_i64()?),
        "size" => OptionValue::Size(value.as_u64()?),
        "durationMs" => OptionValue::Duration(Duration::from_millis(value.as_u64()?)),
        "text" => OptionValue::Text(value.as_str()?.to_owned()),
        "secret" => OptionValue::Secret(Secret::new(value.as_str()?)),
        "list" => OptionValue::List(texts(value)?),
        _ => return None,
    })
}

/// A list of strings.
pub(crate) fn texts(value: &Value) -> Option<Vec<String>> {
    let list = value.as_array()?.iter();
    list.map(|text| text.as_str().map(str::to_owned)).collect()
}
