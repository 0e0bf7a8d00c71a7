//! What guests say: levels, lines, limits.

use flow_host::FlowPlugins;
use std::sync::Arc;

use flow_runtime::ports::{CallbackFactory, Failure};

use crate::support::{Front, Log, World, callback, catalogue, desk, flow, judged};

#[tokio::test]
async fn lines_carry_where_they_come_from() {
    let log = Log::capture();
    let mut chatty = callback(&flow("chatty", &[])).await;
    judged(&mut chatty, &["levels"]).await.expect("an answer");
    assert_eq!(
        log.of_plugins(),
        [
            "ERROR plugin: an error",
            "WARN plugin: a warning",
            "INFO plugin: an information",
            "INFO plugin: first",
            "INFO plugin: second",
            "WARN plugin: on stderr",
            // Without a line end: said when the call ends.
            "WARN plugin: third, in parts",
        ]
    );
    let text = log.text();
    // Whoever writes the log indents it; nothing else of it can colour a terminal.
    assert!(
        text.contains("plugin: an error\nin two lines \\u{1b}[31m flow="),
        "{text}"
    );
    let warning = text
        .lines()
        .find(|line| line.contains("a warning"))
        .expect("it is there");
    for field in [
        "flow=\"poll/test\"",
        "plugin=\"chatty\"",
        "instance=0",
        "entry_point=\"after_accept\"",
    ] {
        assert!(warning.contains(field), "{field} in {warning}");
    }
}

#[tokio::test]
async fn who_talks_too_much_is_cut_short() {
    let log = Log::capture();
    let mut chatty = callback(&flow("chatty", &[])).await;
    judged(&mut chatty, &["long"]).await.expect("an answer");
    judged(&mut chatty, &["many"]).await.expect("an answer");
    let lines = log.of_plugins();
    assert!(
        lines[0].ends_with("… (91808 bytes cut)"),
        "{}",
        &lines[0][lines[0].len() - 60..]
    );
    assert!(
        (400..5000).contains(&lines.len()),
        "{} lines of 100000",
        lines.len()
    );
    assert!(
        lines
            .iter()
            .any(|line| line.ends_with("lines of this plugin were left out: it logs too much")),
        "it is said"
    );
}

#[tokio::test]
async fn numbers_and_progress_arrive() {
    let world = World::default();
    let events = world.events.clone();
    let plugins = FlowPlugins::new(catalogue(), &flow("chatty", &[]), &world.surroundings())
        .expect("the plugin loads");
    let mut chatty = plugins.create(0, 0).await.expect("an instance");
    judged(&mut chatty, &["levels"]).await.expect("an answer");
    judged(&mut chatty, &["levels"]).await.expect("an answer");
    let numbers: Vec<_> = plugins.metrics().snapshot().into_iter().collect();
    assert_eq!(
        numbers,
        [
            ("plugin_calls".to_owned(), 4.0),
            ("plugin_depth".to_owned(), 1.5)
        ]
    );
    assert_eq!(
        events.lock().expect("not poisoned")[0],
        r#"Progress { what: "talking", done: 1, total: 10, unit: "lines" }"#
    );
}

#[tokio::test]
async fn every_call_has_its_name() {
    let log = Log::capture();
    let mut judge = callback(&flow("judge", &[])).await;
    judge.stop().await;
    assert_eq!(
        log.text(),
        "",
        "what does not run has nothing to say goodbye to"
    );
    judge.start().await.expect("it starts");
    judge.stop().await;
    let text = log.text();
    let line = text
        .lines()
        .find(|line| line.contains("stopped"))
        .expect("it says so");
    assert!(line.contains("entry_point=\"stop\""), "{line}");
}

#[tokio::test]
async fn a_line_that_nobody_reads_is_refused() {
    let mut helper = callback(&flow("helper", &[])).await;
    let refused = helper
        .line(1, "ping", desk(Arc::new(Front::default())))
        .await;
    assert_eq!(
        refused,
        Err(Failure::Permanent(
            "plugin `helper` wrote a line, but nobody reads lines of this flow [plugin/no-peer]\n  \
             = hint: a program reads them that runs `flow helper`, or is connected to `listen: unix:…`"
                .into()
        ))
    );
}
