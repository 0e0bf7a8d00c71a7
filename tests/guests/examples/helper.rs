//! Serves lines: `N text` is answered with `N OK text` once its message has settled.
use guests::settled::{Fate, Outcome};
use guests::*;
struct Helper;
guests::describe!(Helper, manifest("helper"));
fn text_header(name: &str, value: impl Into<String>) -> Header {
    Header {
        name: name.into(),
        value: Value::Text(value.into()),
    }
}
impl guests::line::Guest for Helper {
    fn line(peer: u64, text: String) -> Result<(), Failure> {
        if text == "ping" {
            return lines::write(peer, "pong");
        }
        if text == "trap" {
            panic!("the helper fell over");
        }
        let Some((number, rest)) = text.split_once(' ') else {
            return lines::write(peer, &format!("* what is `{text}`?"));
        };
        let mut message = new_message(&format!("{peer}/{number}"));
        message.headers = vec![
            text_header("peer", peer.to_string()),
            text_header("number", number),
            text_header("text", rest),
        ];
        submit::submit(&[message])
    }
    fn closed(_peer: u64) -> Result<(), Failure> {
        Ok(())
    }
}
fn header_of<'a>(outcome: &'a Outcome, name: &str) -> &'a str {
    let mut headers = outcome.message.headers.iter();
    match headers.find(|header| header.name == name) {
        Some(Header {
            value: Value::Text(text),
            ..
        }) => text,
        _ => "",
    }
}
impl guests::settled::Guest for Helper {
    fn settled(outcomes: Vec<Outcome>) -> Result<(), Failure> {
        for outcome in &outcomes {
            let number = header_of(outcome, "number");
            let answer = match &outcome.fate {
                Fate::Posted => format!("{number} OK {}", header_of(outcome, "text")),
                Fate::Rejected(rejection) => format!("{number} NO {}", rejection.reason),
                Fate::Retrying(_) => continue,
                Fate::Dead(reason) => format!("{number} FAILED {reason}"),
            };
            let peer = header_of(outcome, "peer").parse().unwrap_or_default();
            // Of a helper that is gone nobody waits for an answer.
            let _ = lines::write(peer, &answer);
        }
        Ok(())
    }
}
guests::export!(Helper: describe, line, settled);
