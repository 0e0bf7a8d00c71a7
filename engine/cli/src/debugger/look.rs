//! What is shown of a message at a stop.

use std::fmt::Write;

use flow_message::v03;
use flow_runtime::ports::Stop;

use crate::render::{bytes, printable};

/// Where it is stopped, and at what.
pub(super) fn headline(stop: &Stop<'_>) -> String {
    let mut line = format!("stopped before {}", stop.stage);
    if let Some(callback) = stop.callback {
        let _ = write!(line, " of {callback}");
    }
    if let Some(item) = stop.item {
        let path = printable(&item.message.rel_path);
        let _ = write!(line, ": {path}  ({})", printable(&item.message.base_url));
        if item.attempt > 0 {
            let _ = write!(line, ", attempt {}", item.attempt + 1);
        }
        if let Some(location) = &item.location {
            let place = location.path();
            let _ = write!(line, " -> {}", printable(&place.to_string_lossy()));
        }
    }
    if let Some(note) = &stop.note {
        let _ = write!(line, "\n  it ends: {}", printable(note));
    }
    line
}

/// The message, as on the wire.
pub(super) fn message(stop: &Stop<'_>) -> String {
    let Some(item) = stop.item else {
        return "there is no message yet".into();
    };
    let text = serde_json::to_string_pretty(&v03::to_value(&item.message));
    let text = text.unwrap_or_default();
    let lines: Vec<_> = text.lines().map(printable).collect();
    lines.join("\n")
}

/// Its fields, one per line.
pub(super) fn headers(stop: &Stop<'_>) -> String {
    let Some(item) = stop.item else {
        return "there is no message yet".into();
    };
    let mut text = String::new();
    if let serde_json::Value::Object(fields) = v03::to_value(&item.message) {
        for (name, value) in fields {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            let _ = writeln!(text, "  {}: {}", printable(&name), printable(&value));
        }
    }
    text
}

/// The beginning of its content: text, or else bytes.
pub(super) fn content(stop: &Stop<'_>, most: usize) -> String {
    let (Some(item), Some(content)) = (stop.item, &stop.content) else {
        return "there is no content here".into();
    };
    let read = content.open(item.id).and_then(|(mut reader, size)| {
        let mut head = Vec::new();
        while head.len() < most {
            let data = reader.read(most - head.len())?;
            if data.is_empty() {
                break;
            }
            head.extend(data);
        }
        Ok((head, size))
    });
    let (head, size) = match read {
        Ok(read) => read,
        Err(failure) => return printable(&failure.to_string()).into_owned(),
    };
    let mut text = format!("{}:", bytes(size));
    match std::str::from_utf8(&head) {
        Ok(lines) => {
            for line in lines.lines() {
                let _ = write!(text, "\n  {}", printable(line));
            }
        }
        Err(_) => {
            for row in head.chunks(32) {
                text.push_str("\n  ");
                for byte in row {
                    let _ = write!(text, "{byte:02x} ");
                }
                let shown = row.iter().map(|byte| match byte {
                    0x20..=0x7e => char::from(*byte),
                    _ => '.',
                });
                text.extend(shown);
            }
        }
    }
    text
}
