//! Two answers, and where they differ.

use serde_json::{Map, Value};

/// Differences told of one call.
pub(super) const MOST: usize = 40;
/// Characters of a value that are shown.
const SHOWN: usize = 120;

/// Tells where `now` differs from `then`; `names` are those of the messages in the call.
pub(super) fn answers(then: &Value, now: &Value, names: &[String], found: &mut Vec<String>) {
    let (then, now) = (without_frames(then), without_frames(now));
    if then == now {
        return;
    }
    let list = |value: &Value| value.get("ok").and_then(Value::as_array).cloned();
    if let (Some(then), Some(now)) = (list(&then), list(&now))
        && then.len() == now.len()
        && then.len() == names.len()
    {
        for ((then, now), name) in then.iter().zip(&now).zip(names) {
            differ(&format!("`{name}`"), then, now, found);
        }
        return;
    }
    match (then.get("ok"), now.get("ok")) {
        (Some(then), Some(now)) => differ("the answer", then, now, found),
        _ => found.push(format!("the answer: {}, now {}", words(&then), words(&now))),
    }
}

/// Of a crash only what happened: functions have other names in another build.
fn without_frames(answer: &Value) -> Value {
    let text = answer
        .get("fails")
        .and_then(|fails| fails.get("plugin"))
        .and_then(Value::as_str);
    match text {
        Some(text) => {
            let first = text.lines().next().unwrap_or_default();
            serde_json::json!({ "fails": { "plugin": first } })
        }
        None => answer.clone(),
    }
}

/// Tells where `now` differs from `then`, which are at `place`.
pub(super) fn differ(place: &str, then: &Value, now: &Value, found: &mut Vec<String>) {
    if then == now || found.len() >= MOST {
        return;
    }
    match (then, now) {
        (Value::Object(then), Value::Object(now)) => {
            for name in names(then, now) {
                let at = format!("{place} {name}");
                match (then.get(name), now.get(name)) {
                    (Some(then), Some(now)) => differ(&at, then, now, found),
                    (Some(then), None) => found.push(format!("{at}: {}, now gone", show(then))),
                    (None, Some(now)) => found.push(format!("{at}: new, {}", show(now))),
                    (None, None) => {}
                }
            }
        }
        (Value::Array(then), Value::Array(now)) => {
            if then.len() != now.len() {
                found.push(format!(
                    "{place}: {} entries, now {}",
                    then.len(),
                    now.len()
                ));
            }
            for (index, (then, now)) in then.iter().zip(now).enumerate() {
                differ(&format!("{place} [{index}]"), then, now, found);
            }
        }
        _ => found.push(format!("{place}: {}, now {}", show(then), show(now))),
    }
}

fn names<'a>(then: &'a Map<String, Value>, now: &'a Map<String, Value>) -> Vec<&'a String> {
    let new = now.keys().filter(|name| !then.contains_key(*name));
    then.keys().chain(new).collect()
}

/// An answer in a few words.
pub(super) fn words(answer: &Value) -> String {
    if let Some(fails) = answer.get("fails") {
        let (kind, why) = match fails.as_object().and_then(|fails| fails.iter().next()) {
            Some((kind, why)) => (kind.as_str(), show(why)),
            None => ("failed", String::new()),
        };
        return format!("failed ({kind}): {why}");
    }
    let Some(ok) = answer.get("ok") else {
        return "nothing".into();
    };
    match ok {
        Value::Array(verdicts) => counted(verdicts),
        Value::Object(response) if response.contains_key("status") => {
            format!("status {}", response["status"])
        }
        Value::Object(gathered) => {
            let count = gathered
                .get("messages")
                .and_then(Value::as_array)
                .map_or(0, Vec::len);
            let more = gathered.get("more").and_then(Value::as_bool);
            let more = if more == Some(true) { ", and more" } else { "" };
            format!("{count} messages{more}")
        }
        Value::Null => "done".into(),
        other => show(other),
    }
}

/// `3 keep, 1 reject`.
fn counted(verdicts: &[Value]) -> String {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for verdict in verdicts {
        let name = match verdict {
            Value::String(name) => name.clone(),
            Value::Object(map) => map.keys().next().cloned().unwrap_or_default(),
            _ => "?".into(),
        };
        match counts.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => counts.push((name, 1)),
        }
    }
    let words: Vec<String> = counts
        .into_iter()
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    match words.is_empty() {
        true => "nothing".into(),
        false => words.join(", "),
    }
}

/// A value on one line, of bearable length.
pub(super) fn show(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Object(map) if map.len() == 1 && map.contains_key("text") => map["text"]
            .as_str()
            .unwrap_or_default()
            .escape_debug()
            .to_string(),
        other => other.to_string(),
    };
    short(&text)
}

/// Text on one line, of bearable length.
pub(super) fn short(text: &str) -> String {
    let line: String = text.lines().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= SHOWN {
        return line;
    }
    let start: String = line.chars().take(SHOWN - 1).collect();
    format!("{start}…")
}

/// Where two texts of bytes part, and what stands there.
pub(super) fn bytes(what: &str, then: &[u8], now: &[u8]) -> Option<String> {
    if then == now {
        return None;
    }
    let common = then.iter().zip(now).take_while(|(a, b)| a == b).count();
    // From the beginning of that line.
    let start = then[..common]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let line = |data: &[u8]| {
        let rest = data.get(start..).unwrap_or_default();
        let end = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap_or(rest.len());
        match rest.is_empty() {
            true => "nothing".to_owned(),
            false => format!("`{}`", short(&rest[..end].escape_ascii().to_string())),
        }
    };
    Some(format!(
        "{what}: from byte {common} {}, now {}",
        line(then),
        line(now)
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_told_where_they_are() {
        let mut found = Vec::new();
        let then = json!({ "ok": ["keep", { "update": { "header a": "1", "relPath": "x" } }] });
        let now = json!({ "ok": ["keep", { "update": { "header a": "2", "header b": "3" } }] });
        let names = ["p".to_owned(), "q".to_owned()];
        answers(&then, &now, &names, &mut found);
        assert_eq!(
            found,
            [
                "`q` update header a: 1, now 2",
                "`q` update relPath: x, now gone",
                "`q` update header b: new, 3",
            ]
        );
        found.clear();
        let crash = |frame: &str| json!({ "fails": { "plugin": format!("crashed\n  {frame}") } });
        answers(&crash("f"), &crash("g"), &names, &mut found);
        assert_eq!(found, [""; 0]);
        answers(&then, &crash("f"), &names, &mut found);
        assert_eq!(
            found,
            ["the answer: 1 keep, 1 update, now failed (plugin): crashed"]
        );
    }

    #[test]
    fn bytes_are_shown_from_the_line_they_part_in() {
        let told = bytes(
            "wrote to x:1",
            b"A LOGIN\r\nB SELECT a\r\n",
            b"A LOGIN\r\nB SELECT b\r\n",
        );
        assert_eq!(
            told.as_deref(),
            Some("wrote to x:1: from byte 18 `B SELECT a\\r`, now `B SELECT b\\r`")
        );
        assert_eq!(bytes("x", b"a", b"a"), None);
    }
}
