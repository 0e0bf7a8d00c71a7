//! The table of what a format can't carry, as code: what a message is after it went through one.

use flow_message::codec::encode;
use flow_message::{BlockMethod, Blocks, FileOp, Format, Identity, Inline, Message, Transport};
use serde_json::{Map, Value, json};

pub(crate) fn carried(message: &Message, format: Format, transport: Transport) -> Message {
    match format {
        Format::V03 => message.clone(),
        Format::V02 => v02(message, transport),
        Format::Wis => wis(message, transport),
    }
}

fn v02(message: &Message, transport: Transport) -> Message {
    let plain = |text: &str| text.replace("%20", " ").replace("%23", "#");
    let mut back = message.clone();
    back.base_url = plain(&message.base_url);
    back.rel_path = plain(&message.rel_path);
    back.content = None;
    back.file_op = message.file_op.as_ref().and_then(|op| {
        let kept = FileOp {
            link: op.link.clone().filter(|_| !op.remove && !op.directory),
            rename: op.rename.clone(),
            remove: op.remove,
            directory: op.directory,
            ..FileOp::default()
        };
        (kept != FileOp::default()).then_some(kept)
    });
    let plain_content = back
        .file_op
        .as_ref()
        .is_none_or(|op| op.link.is_none() && !op.remove && !op.directory);
    back.identity = message
        .identity
        .as_ref()
        .filter(|_| plain_content)
        .and_then(|identity| {
            let digest = || identity.digest().filter(|digest| !digest.is_empty());
            match identity.method.as_str() {
                "md5" | "sha512" => Some(Identity::of_digest(&*identity.method, &digest()?)),
                "random" | "arbitrary" => Some(identity.clone()),
                "cod" => ["md5", "sha512", "random", "arbitrary", "md5name", "cod"]
                    .contains(&identity.value.as_str())
                    .then(|| identity.clone()),
                _ => None,
            }
        });
    if let Some(blocks) = &message.blocks {
        back.size = None;
        back.blocks = blocks.layout().ok().map(|layout| {
            let number = layout.number.unwrap_or(0);
            let inside = layout.method == BlockMethod::Inplace;
            let listed = layout.manifest.get(&number).map(|block| block.size);
            let value = json!({
                "method": if inside { "inplace" } else { "partitioned" },
                "size": layout.size,
                "count": layout.count.unwrap_or(layout.manifest.len() as u64),
                "remainder": listed.or(layout.remainder).unwrap_or(0),
                "number": number,
            });
            Blocks {
                value: value.as_object().expect("an object").clone(),
            }
        });
    }
    if transport == Transport::Mqtt {
        for value in back.extra.values_mut().filter(|value| !value.is_string()) {
            *value = Value::String(value.to_string());
        }
    }
    back.extra
        .entry("to_clusters")
        .or_insert_with(|| "ALL".into());
    back
}

/// Expects messages whose paths need no escape in a URL.
fn wis(message: &Message, transport: Transport) -> Message {
    let topic = crate::vectors::WIS_TOPIC;
    let topic = match transport {
        Transport::Amqp => topic.replace('/', "."),
        Transport::Mqtt => topic.to_owned(),
    };
    let path = message.retrieve_path.as_ref().unwrap_or(&message.rel_path);
    let base = message.base_url.trim_end_matches('/');
    let href = format!("{base}/{}", path.trim_start_matches('/'));
    let host = href.find("://").expect("a URL") + 3;
    let rest = href[host..].find('/').expect("a path") + host;
    let name = path
        .split('?')
        .next()
        .and_then(|path| path.rsplit('/').next());
    let name = name.filter(|name| !name.is_empty());

    let mut back = Message::new(
        message.pub_time,
        &href[..rest],
        name.map_or(topic.clone(), |name| format!("{topic}/{name}")),
    );
    back.retrieve_path = Some(href[rest..].to_owned());
    back.size = message.size;
    back.content_type = message.content_type.clone();
    back.file_op = message.file_op.clone();
    back.blocks = message.blocks.clone();
    back.rename = message.rename.clone();
    back.source = message.source.clone();
    back.identity = message
        .identity
        .clone()
        .filter(|identity| identity.method.starts_with("sha"));
    back.content = message.content.as_ref().and_then(|content| {
        let bytes = content.bytes().ok()?;
        Some(match content.encoding {
            flow_message::InlineEncoding::Iso8859_1 => Inline::of(&bytes),
            _ => content.clone(),
        })
    });
    let lost = [
        "to_clusters",
        "from_cluster",
        "filename",
        "sundew_extension",
    ];
    back.extra = message.extra.clone();
    back.extra.retain(|key, _| !lost.contains(&key.as_str()));
    let id = wis_id(message);
    back.extra.entry("id").or_insert(id);
    back
}

/// The id is made by the codec; that it stays the same is tested elsewhere.
fn wis_id(message: &Message) -> Value {
    let context = crate::vectors::context(Format::Wis, Transport::Mqtt);
    let wire = encode(message, Format::Wis, &context).expect("written");
    let body: Map<String, Value> = serde_json::from_slice(&wire.body).expect("JSON");
    body["id"].clone()
}
