//! What the plugins of a flow used, as a person reads it.

use std::time::Duration;

use flow_daemon::figures::{Entry, Plugin};

use crate::render::{Align, Paint, Table, bytes, count, elapsed, plural, printable};

/// A table of the calls, and a line of the rest for each plugin; nothing where no plugin ran.
pub(super) fn text(plugins: &[Plugin], paint: Paint) -> String {
    if plugins.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[
        ("PLUGIN", Align::Left),
        ("ENTRY", Align::Left),
        ("CALLS", Align::Right),
        ("FAILED", Align::Right),
        ("TRAPS", Align::Right),
        ("DEADLINES", Align::Right),
        ("MESSAGES", Align::Right),
        ("TIME", Align::Right),
        ("MEAN", Align::Right),
        ("LONGEST", Align::Right),
        ("COMPUTED", Align::Right),
    ]);
    for plugin in plugins {
        for entry in &plugin.entries {
            row(&mut table, &plugin.plugin, entry);
        }
    }
    let rest: String = plugins.iter().map(line).collect();
    format!("\n{}{rest}", table.render(paint))
}

fn row(table: &mut Table, plugin: &str, entry: &Entry) {
    let dash = |number: u64| match number {
        0 => "-".to_owned(),
        number => count(number),
    };
    let mean = entry.time / entry.calls.max(1) as f64;
    table.row([
        &*printable(plugin),
        &entry.entry,
        &count(entry.calls),
        &dash(entry.failures),
        &dash(entry.traps),
        &dash(entry.deadlines),
        &dash(entry.messages),
        &time(entry.time),
        &time(mean),
        &time(entry.longest),
        &time(entry.computing),
    ]);
}

/// What is not of one entry point.
fn line(plugin: &Plugin) -> String {
    let mut line = format!(
        "{}: {} of memory at most",
        printable(&plugin.plugin),
        bytes(plugin.memory_peak)
    );
    if plugin.requests > 0 {
        line.push_str(&format!(", {}", plural(plugin.requests, "request")));
    }
    if plugin.bytes_in + plugin.bytes_out > 0 {
        let (came, went) = (bytes(plugin.bytes_in), bytes(plugin.bytes_out));
        line.push_str(&format!(", {came} received, {went} sent"));
    }
    if plugin.lines_dropped > 0 {
        let lines = plural(plugin.lines_dropped, "log line");
        line.push_str(&format!(", {lines} left out"));
    }
    line.push('\n');
    line
}

fn time(seconds: f64) -> String {
    elapsed(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_as_a_person_sees_them() {
        assert_eq!(text(&[], Paint::off()), "");
        let entry = |entry: &str, calls, traps| Entry {
            entry: entry.into(),
            calls,
            traps,
            messages: calls * 10,
            time: calls as f64 * 0.25,
            longest: 1.5,
            computing: 0.004,
            ..Entry::default()
        };
        let mail = Plugin {
            plugin: "mail".into(),
            memory_peak: 3 << 20,
            requests: 3,
            bytes_in: 5000,
            bytes_out: 100,
            entries: vec![entry("gather", 12, 0), entry("download", 4, 1)],
            ..Plugin::default()
        };
        let chatty = Plugin {
            plugin: "chatty".into(),
            lines_dropped: 99_500,
            ..Plugin::default()
        };
        insta::assert_snapshot!(text(&[mail, chatty], Paint::off()));
    }
}
