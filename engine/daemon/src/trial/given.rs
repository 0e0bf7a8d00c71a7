//! What goes in: messages in short form, and the content that goes with them.

use std::path::{Path, PathBuf};

use flow_config::document::{Node, Value};
use flow_message::{Timestamp, v03};
use flow_runtime::ports::{Fate, Item, Location, Outcome, Rejection};
use serde_json::{Map, Value as Json};

use super::case::{Read, bytes, known, need, text, wrong};

/// Keys of a message in a trial that are none of the message itself.
const OURS: [&str; 6] = ["key", "attempt", "content", "directory", "filename", "fate"];

/// A message in hand.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) item: Item,
    pub(super) content: Option<Vec<u8>>,
    pub(super) fate: Fate,
}

impl Given {
    pub(super) fn outcome(&self) -> Outcome {
        Outcome {
            item: self.item.clone(),
            fate: self.fate.clone(),
        }
    }
}

/// The messages of a step; files are looked for in `directory`.
pub(super) fn messages(
    node: &Node,
    clock: Timestamp,
    directory: Option<&Path>,
) -> Read<Vec<Given>> {
    let Value::List(items) = &node.value else {
        return wrong(
            node.line,
            "this is a list of messages, e.g. `- relPath: a/b.txt`",
        );
    };
    let numbered = (1..).zip(items);
    numbered
        .map(|(id, node)| message(id, node, clock, directory))
        .collect()
}

fn message(id: u64, node: &Node, clock: Timestamp, directory: Option<&Path>) -> Read<Given> {
    let mut fields = Map::new();
    fields.insert("pubTime".into(), clock.to_string().into());
    fields.insert("baseUrl".into(), "https://example.org/".into());
    if node.get("relPath").is_none() {
        return wrong(node.line, "a message has a `relPath`");
    }
    for field in node.fields() {
        // Content that travels in the message is an object as in the message itself.
        let inline = field.key == "content" && field.node.get("encoding").is_some();
        if inline || !OURS.contains(&field.key.as_str()) {
            fields.insert(field.key.clone(), json(&field.node));
        }
    }
    let message = v03::from_value(Json::Object(fields))
        .or_else(|error| wrong(node.line, format!("this is no message: {error}")))?;
    let content = match node.get("content") {
        Some(node) if node.get("encoding").is_none() => Some(content(node, directory)?),
        _ => None,
    };
    let file_name = message.file_name().to_owned();
    let own = |key: &str| node.get(key).map(|node| text(node, key)).transpose();
    let location = Location {
        directory: own("directory")?.map_or_else(|| PathBuf::from("/data"), PathBuf::from),
        filename: own("filename")?.map_or(file_name, str::to_owned),
    };
    let attempt = match own("attempt")? {
        None => 0,
        Some(number) => match number.parse() {
            Ok(number) => number,
            Err(_) => return wrong(node.line, format!("`{number}` is no number of attempts")),
        },
    };
    let item = Item {
        id,
        key: own("key")?.map_or_else(|| format!("key-{id}"), str::to_owned),
        attempt,
        message: message.into(),
        location: Some(location),
        other: None,
    };
    let fate = node.get("fate").map_or(Ok(Fate::Posted), fate)?;
    Ok(Given {
        item,
        content,
        fate,
    })
}

/// `text`, `base64: …` or `file: …`, below the folder of the trial.
fn content(node: &Node, directory: Option<&Path>) -> Read<Vec<u8>> {
    let Some(file) = node.get("file") else {
        return bytes(node, "content");
    };
    known(node, &["file"], "content")?;
    let path = directory.unwrap_or(Path::new("")).join(text(file, "file")?);
    std::fs::read(&path).or_else(|error| {
        wrong(
            file.line,
            format!("{} can't be read: {error}", path.display()),
        )
    })
}

fn fate(node: &Node) -> Read<Fate> {
    if let Some(name) = node.text() {
        return match name {
            "posted" => Ok(Fate::Posted),
            other => wrong(
                node.line,
                format!(
                    "`{other}` is no fate; it is `posted`, or `rejected`, `retrying` or `dead` with a reason"
                ),
            ),
        };
    }
    let [field] = node.fields() else {
        return wrong(
            node.line,
            "a fate is one of `posted`, `rejected`, `retrying`, `dead`",
        );
    };
    match field.key.as_str() {
        "rejected" => {
            let code = need(&field.node, "code")?;
            let reason = text(need(&field.node, "reason")?, "reason")?.to_owned();
            match text(code, "code")?.parse() {
                Ok(code) => Ok(Fate::Rejected(Rejection { code, reason })),
                Err(_) => wrong(code.line, "a code is a number"),
            }
        }
        "retrying" => Ok(Fate::Retrying(text(&field.node, "retrying")?.to_owned())),
        "dead" => Ok(Fate::Dead(text(&field.node, "dead")?.to_owned())),
        other => wrong(
            field.line,
            format!("`{other}` is no fate; it is `posted`, `rejected`, `retrying` or `dead`"),
        ),
    }
}

/// A value as a message would have it: numbers and flags where they are written bare.
pub(super) fn json(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Text { text, quoted: true } => text.as_str().into(),
        Value::Text { text, .. } => match text.as_str() {
            "true" => true.into(),
            "false" => false.into(),
            text => text.parse::<i64>().map_or_else(|_| text.into(), Json::from),
        },
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(fields) => fields
            .iter()
            .map(|field| (field.key.clone(), json(&field.node)))
            .collect::<Map<_, _>>()
            .into(),
    }
}
