//! v03 read the plain way, by its definition, from a JSON value: what the decoder is compared with.

use flow_message::{
    BlockMethod, Blocks, DecodeError, FileOp, Identity, Inline, InlineEncoding, Message, Timestamp,
};
use serde_json::{Map, Value, json};

/// As `v03::decode`. Errors are compared by their kind and field, and syntax by being wrong at all.
pub(crate) fn decode(body: &[u8]) -> Result<Message, String> {
    let value: Value = serde_json::from_slice(body).map_err(|_| "syntax".to_owned())?;
    let Value::Object(mut map) = value else {
        return Err("syntax".to_owned());
    };
    let map = &mut map;
    let pub_time = time(map, "pubTime")?.ok_or("missing pubTime")?;
    let base_url = text(map, "baseUrl")?.ok_or("missing baseUrl")?;
    let rel_path = text(map, "relPath")?.ok_or("missing relPath")?;
    let mut message = Message::new(pub_time, base_url, rel_path);
    message.retrieve_path = text(map, "retrievePath")?;
    if message.retrieve_path.is_none() {
        message.retrieve_path = text(map, "retPath")?;
    }
    message.identity = identity(map, "identity")?;
    if message.identity.is_none() {
        message.identity = identity(map, "integrity")?;
    }
    message.size = match take(map, "size") {
        None => None,
        Some(Value::String(text)) => Some(text.parse().map_err(|_| "field size")?),
        Some(value) => Some(value.as_u64().ok_or("field size")?),
    };
    message.mode = match text(map, "mode")? {
        None => None,
        Some(text) => match u32::from_str_radix(&text, 8) {
            Ok(mode) if mode <= 0o7777 => Some(mode),
            _ => return Err("field mode".into()),
        },
    };
    message.mtime = time(map, "mtime")?;
    message.atime = time(map, "atime")?;
    message.content_type = text(map, "contentType")?;
    if let Some(mut op) = object(map, "fileOp")? {
        let mut member = |name: &str| {
            let field = format!("fileOp.{name}");
            text(&mut op, name).map_err(|_| format!("field {field}"))
        };
        message.file_op = Some(FileOp {
            link: member("link")?,
            hlink: member("hlink")?,
            rename: member("rename")?,
            remove: op.shift_remove("remove").is_some(),
            directory: op.shift_remove("directory").is_some(),
            extra: op,
        });
    }
    if let Some(mut content) = object(map, "content")? {
        let encoding = text(&mut content, "encoding").map_err(|_| "field content.encoding")?;
        let encoding = match encoding.as_deref() {
            None | Some("utf-8" | "text") => InlineEncoding::Utf8,
            Some("base64" | "binary") => InlineEncoding::Base64,
            Some("iso-8859-1") => InlineEncoding::Iso8859_1,
            Some(_) => return Err("field content".into()),
        };
        let value = text(&mut content, "value").map_err(|_| "field content.value")?;
        let value = value.ok_or("field content")?;
        message.content = Some(Inline { encoding, value });
    }
    message.blocks = object(map, "blocks")?.map(|value| Blocks { value });
    message.rename = text(map, "rename")?;
    message.source = text(map, "source")?;
    parts(map, &mut message)?;
    message.extra = std::mem::take(map);
    Ok(message)
}

/// The kind and field of an error, as this module names them.
pub(crate) fn kind(error: &DecodeError) -> String {
    match error {
        DecodeError::Missing(field) => format!("missing {field}"),
        // A part of an identity is named by itself here, and by the whole there.
        DecodeError::Field { field, .. } => match *field {
            "identity.method" => "field identity".into(),
            "integrity.method" => "field integrity".into(),
            field => format!("field {field}"),
        },
        _ => "syntax".to_owned(),
    }
}

fn take(map: &mut Map<String, Value>, field: &str) -> Option<Value> {
    map.shift_remove(field).filter(|value| !value.is_null())
}

fn text(map: &mut Map<String, Value>, field: &str) -> Result<Option<String>, String> {
    match take(map, field) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("field {field}")),
    }
}

fn time(map: &mut Map<String, Value>, field: &str) -> Result<Option<Timestamp>, String> {
    text(map, field)?
        .map(|text| text.parse().map_err(|_| format!("field {field}")))
        .transpose()
}

fn object(map: &mut Map<String, Value>, field: &str) -> Result<Option<Map<String, Value>>, String> {
    match take(map, field) {
        None => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(format!("field {field}")),
    }
}

fn identity(map: &mut Map<String, Value>, field: &str) -> Result<Option<Identity>, String> {
    let Some(mut object) = object(map, field)? else {
        return Ok(None);
    };
    let wrong = || format!("field {field}");
    let method = text(&mut object, "method").map_err(|_| wrong())?;
    let value = match take(&mut object, "value") {
        Some(Value::String(value)) => value,
        Some(Value::Number(number)) => number.to_string(),
        _ => return Err(wrong()),
    };
    Ok(Some(Identity {
        method: method.ok_or_else(wrong)?,
        value,
    }))
}

fn parts(map: &mut Map<String, Value>, message: &mut Message) -> Result<(), String> {
    let Some(text) = text(map, "parts")? else {
        return Ok(());
    };
    let words: Vec<&str> = text.split(',').map(str::trim).collect();
    let [style, numbers @ ..] = words.as_slice() else {
        return Err("field parts".into());
    };
    let numbers: Result<Vec<u64>, _> = numbers.iter().map(|word| word.parse()).collect();
    let [size, count, remainder, number] = *numbers.unwrap_or_default() else {
        return Err("field parts".into());
    };
    let method = match *style {
        "1" => {
            message.size = message.size.or(Some(size));
            return Ok(());
        }
        "i" => BlockMethod::Inplace,
        "p" => BlockMethod::Partitioned,
        _ => return Err("field parts".into()),
    };
    if message.blocks.is_none() {
        let value = json!({
            "method": method.name(), "size": size, "count": count, "remainder": remainder,
            "number": number,
        });
        let value = value.as_object().expect("an object").clone();
        message.blocks = Some(Blocks { value });
    }
    Ok(())
}
