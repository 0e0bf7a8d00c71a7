//! Failed messages as people and programs read them.

use std::fmt::Write;

use flow_daemon::{Entry, Shelf};
use flow_message::{Timestamp, v03};
use serde_json::{Value, json};

use crate::context::Context;
use crate::render::{Align, Paint, Table, plural, printable, printable_lines, wait};
use crate::stop::Exit;

/// Ids are shown this long, or as long as it takes to tell them apart.
const ID_CHARACTERS: usize = 10;

/// Failed messages as a list.
pub(super) fn table(waiting: &[(String, Entry)], now: Timestamp) -> Table {
    let mut table = Table::new(&[
        ("ID", Align::Left),
        ("FLOW", Align::Left),
        ("MESSAGE", Align::Left),
        ("TRIES", Align::Right),
        ("WHEN", Align::Left),
        ("WHY", Align::Left),
    ]);
    let length = id_length(waiting);
    for (flow, entry) in waiting {
        let id: String = entry.key.chars().take(length).collect();
        let reason = entry.reason.lines().next().unwrap_or_default();
        table.row([
            &id,
            flow,
            path(entry),
            &entry.attempt.to_string(),
            &when(entry, now),
            reason,
        ]);
    }
    table
}

fn id_length(waiting: &[(String, Entry)]) -> usize {
    let longest = waiting
        .iter()
        .map(|(_, entry)| entry.key.chars().count())
        .max()
        .unwrap_or(0);
    (ID_CHARACTERS..longest)
        .find(|length| {
            let mut ids: Vec<(&str, String)> = waiting
                .iter()
                .map(|(flow, entry)| (flow.as_str(), entry.key.chars().take(*length).collect()))
                .collect();
            ids.sort_unstable();
            ids.windows(2).all(|pair| pair[0] != pair[1])
        })
        .unwrap_or(longest)
}

fn path(entry: &Entry) -> &str {
    entry
        .message
        .as_ref()
        .map_or("(can't be read)", |message| message.rel_path.as_str())
}

fn when(entry: &Entry, now: Timestamp) -> String {
    let left = now.age_at(entry.at);
    match entry.shelf {
        Shelf::Dead => format!("given up {} ago", wait(entry.at.age_at(now))),
        Shelf::Retry if left.is_zero() => "now".to_owned(),
        Shelf::Retry => format!("in {}", wait(left)),
    }
}

/// A failed message for programs.
pub(super) fn row(flow: &str, entry: &Entry) -> Value {
    json!({
        "flow": flow,
        "id": entry.key,
        "dead": entry.shelf == Shelf::Dead,
        "path": entry.message.as_ref().map(|message| &message.rel_path),
        "attempts": entry.attempt,
        "since": entry.born.as_jiff().to_string(),
        "at": entry.at.as_jiff().to_string(),
        "reason": entry.reason,
    })
}

/// A failed message, all of it.
pub(super) fn page(flow: &str, entry: &Entry, paint: Paint) -> String {
    let mut facts = Table::new(&[("", Align::Left), ("", Align::Left)]);
    let at = if entry.shelf == Shelf::Dead {
        "given up"
    } else {
        "next try"
    };
    facts.row(["id", &entry.key]);
    facts.row(["flow", flow]);
    facts.row(["tries", &entry.attempt.to_string()]);
    facts.row(["first seen", &entry.born.as_jiff().to_string()]);
    facts.row([at, &entry.at.as_jiff().to_string()]);
    if let Some(gatherer) = &entry.gatherer {
        facts.row(["found by", gatherer]);
    }
    let mut text = facts.render(paint);
    // Writing to a String can't fail.
    let _ = writeln!(
        text,
        "\n{}\n  {}",
        paint.bold("Why"),
        printable_lines(&entry.reason, "  ")
    );
    let _ = writeln!(text, "\n{}", paint.bold("Message"));
    match entry.message.as_ref().map(v03::to_value) {
        Some(Value::Object(fields)) => {
            for (field, value) in fields {
                let value = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                let _ = writeln!(text, "  {}: {}", printable(&field), printable(&value));
            }
        }
        _ => text.push_str("  it can't be read\n"),
    }
    text
}

/// Which messages these are, to the store.
pub(super) fn keys(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| entry.key.clone()).collect()
}

/// Says what a dry run would have done.
pub(super) fn would(context: &Context, what: &str, entries: &[Entry]) -> anyhow::Result<Exit> {
    context.console.talk(&format!(
        "would {what} {}:",
        plural(entries.len() as u64, "message")
    ));
    let paths: Vec<_> = entries.iter().map(|entry| printable(path(entry))).collect();
    context.console.print(&paths.join("\n"))?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use flow_message::Message;

    use super::*;

    fn entry(key: &str, shelf: Shelf) -> (String, Entry) {
        let born = Timestamp::from_unix(1_700_000_000, 0);
        let entry = Entry {
            shelf,
            key: key.to_owned(),
            message: Some(Message::new(
                born,
                "imaps://mail.example.com",
                format!("INBOX/{}.eml", &key[..2]),
            )),
            gatherer: Some("mail".into()),
            attempt: 3,
            born,
            at: Timestamp::from_unix(1_700_000_100, 0),
            reason: "plugin crashed [plugin/trap]\n  = note: unreachable\x1b[2J".into(),
        };
        ("flow/mail".to_owned(), entry)
    }

    #[test]
    fn lists_and_pages_read_as_pinned() {
        let now = Timestamp::from_unix(1_700_000_060, 0);
        let later = Timestamp::from_unix(1_700_007_300, 0);
        let waiting = [
            entry("aa0123456789-1", Shelf::Retry),
            entry("aa0123456789-2", Shelf::Retry),
        ];
        let mut unread = entry("bb0123456789", Shelf::Dead);
        unread.1.message = None;
        let text = format!(
            "{}\n{}\n{}\n{}",
            table(&waiting, now).render(Paint::off()),
            table(&[unread], later).render(Paint::off()),
            page("flow/mail", &waiting[0].1, Paint::off()),
            serde_json::to_string_pretty(&row("flow/mail", &waiting[0].1))
                .expect("values serialise"),
        );
        insta::assert_snapshot!(text);
    }
}
