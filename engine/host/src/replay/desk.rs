//! Takes what calls from outside the loop submit, and lines, and compares both with the recording.

use async_trait::async_trait;
use flow_message::{Message, v03};
use flow_runtime::ports::{Failure, Lines, Submit};
use serde_json::{Value, json};

use super::compare;
use super::player::{Player, fails, missing, plain};

/// What is said of an event that did not happen now.
pub(super) fn left(event: &Value) -> Option<String> {
    if let Some(messages) = event.get("submit") {
        return Some(format!("did not submit {} now", named(messages)));
    }
    let peer = event.get("lineTo")?;
    let text = compare::show(&event["text"]);
    Some(format!(
        "did not write the line `{text}` to peer {peer} now"
    ))
}

/// Messages by their paths.
fn named(messages: &Value) -> String {
    let messages = messages.as_array().into_iter().flatten();
    let paths: Vec<&str> = messages
        .filter_map(|message| message.get("relPath")?.as_str())
        .collect();
    match paths.is_empty() {
        true => "nothing".into(),
        false => compare::short(&format!("`{}`", paths.join("`, `"))),
    }
}

#[async_trait]
impl Submit for Player {
    async fn submit(&self, messages: Vec<Message>) -> Result<(), Failure> {
        let now: Value = messages.iter().map(v03::to_value).collect();
        let name = named(&now);
        let mut script = self.script();
        script.asked.push(format!("submit {name}"));
        let found = script.take(|event| event.get("submit").is_some());
        let Some(found) = found else {
            let what = format!("submitted {name}");
            script.differs(format!("{what}, which it did not in the recording"));
            return Err(missing(&what));
        };
        let mut differences = Vec::new();
        compare::differ("submitted", &found["submit"], &now, &mut differences);
        for difference in differences {
            script.differs(difference);
        }
        fails(&found).map_or(Ok(()), |failed| Err(plain(failed)))
    }
}

#[async_trait]
impl Lines for Player {
    async fn write(&self, peer: u64, text: &str) -> Result<(), Failure> {
        let mut script = self.script();
        let to = format!("peer {peer}");
        script.asked.push(format!("write a line to {to}"));
        let found = script.take(|event| event.get("lineTo").and_then(Value::as_u64) == Some(peer));
        let Some(found) = found else {
            let what = format!("wrote the line `{}` to {to}", compare::short(text));
            script.differs(format!("{what}, which it did not in the recording"));
            return Err(missing(&what));
        };
        let mut differences = Vec::new();
        let place = format!("line to {to}");
        compare::differ(&place, &found["text"], &json!(text), &mut differences);
        for difference in differences {
            script.differs(difference);
        }
        fails(&found).map_or(Ok(()), |failed| Err(plain(failed)))
    }
}
