//! Stands in for a scanner: the mail itself says what is to be said of it, and how long that takes.
//!
//! `X-Test: ACTION DELAY TEXT`, where the delay is in milliseconds. What is said names the mail by its
//! `X-Number`, so that a verdict can be told from another's.
use guests::*;
struct Scanner;
guests::describe!(Scanner, manifest("verdict"));

fn read(id: u64) -> Result<(String, u64), Failure> {
    let content = content::open(id)?;
    let size = content.size();
    let first = content.read(4096)?;
    Ok((String::from_utf8_lossy(&first).into_owned(), size))
}

fn field<'a>(mail: &'a str, name: &str) -> &'a str {
    let mut lines = mail.lines();
    lines
        .find_map(|line| line.strip_prefix(name))
        .unwrap_or_default()
        .trim()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a scanner is waited for in the host"
)]
fn scan(message: &Message) -> Result<Vec<Edit>, Failure> {
    // There is nothing to scan, and somebody has said why.
    if message
        .headers
        .iter()
        .any(|header| header.name == "sandbox-state")
    {
        return Ok(Vec::new());
    }
    let (mail, size) = read(message.id)?;
    let number = field(&mail, "X-Number:");
    let mut said = field(&mail, "X-Test:").splitn(3, ' ');
    let action = said.next().unwrap_or_default();
    let delay = said.next().and_then(|text| text.parse().ok()).unwrap_or(0);
    let text = said.next().unwrap_or_default();
    std::thread::sleep(std::time::Duration::from_millis(delay));
    let fail = |text: &str| TemporaryFailure {
        reason: text.into(),
        retry_after_ms: Some(100),
    };
    let text = match action {
        "temporary" if message.attempt < 2 => return Err(Failure::Temporary(fail("busy"))),
        "away" => return Err(Failure::Temporary(fail("the scanner is away"))),
        "never" => return Err(Failure::Permanent("this can't be scanned".into())),
        "crash" if message.attempt == 0 => panic!("the scanner fell over"),
        "lines" => "X-Long: ".to_owned() + &"\"\\".repeat(6_000),
        _ if text.is_empty() => format!("X-Verdict-Of: {number}\nX-Size: {size}"),
        _ => text.to_owned(),
    };
    let action = match action {
        "" | "temporary" | "crash" | "lines" => "addheader",
        action => action,
    };
    let edit =
        |name: &str, value: &str| Edit::Header((name.into(), Some(Value::Text(value.into()))));
    let mut edits = vec![
        edit("sandbox-state", "full"),
        edit("sandbox-action-text", &text),
    ];
    if action != "silent" {
        edits.push(edit("sandbox-action", action));
    }
    Ok(edits)
}

impl guests::after_work::Guest for Scanner {
    fn after_work(batch: Vec<Message>) -> Result<Vec<Verdict>, Failure> {
        let each = batch
            .iter()
            .map(|message| scan(message).map_or_else(Verdict::Fail, Verdict::Update));
        Ok(each.collect())
    }
}
guests::export!(Scanner: describe, after_work);
