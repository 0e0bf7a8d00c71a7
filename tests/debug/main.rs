//! `flow foreground` as a debugger: stepping, recordings and replays, reload, crashes.

#[path = "../guest.rs"]
mod guest;
mod mail;
mod reload;
mod step;

use flow_testkit::Flow;
use flow_tests::queue;

/// The guest `trap`, built anew with another name for the header it sets.
fn other_trap() -> Vec<u8> {
    let mut bytes = guest::component("trap");
    let mut at = 0;
    let mut found = 0;
    while let Some(next) = bytes[at..].windows(5).position(|text| text == b"calls") {
        at += next;
        bytes[at..at + 5].copy_from_slice(b"count");
        found += 1;
    }
    assert!(found > 0, "the guest names its header");
    bytes
}

/// A shovel from `xs_in` to `xs_out` with the guest `trap`, and files announced to it.
fn shovel(names: &[&str]) -> Flow {
    let flow = Flow::new();
    guest::install(&flow, "trap");
    flow.add_flow(
        "shovel/x",
        "exchange: xs_in\npost_exchange: xs_out\nsleep: 1s\ncallbacks:\n  - plugin: trap\n",
    );
    queue::declare(&flow, "xs_out");
    flow.run(&["declare", "shovel/x"]).expect(0);
    announce(&flow, names);
    flow
}

fn announce(flow: &Flow, names: &[&str]) {
    let base = flow.path("data");
    for name in names {
        flow.write(&format!("data/{name}"), name.as_bytes());
        queue::announce(flow, "xs_in", &base, &base.join(name));
    }
}

/// What was posted to `xs_out`: path and the headers, sorted by path.
fn posted(flow: &Flow) -> Vec<(String, serde_json::Map<String, serde_json::Value>)> {
    let queued = queue::queued(flow, "xs_out").into_iter();
    let mut posted: Vec<_> = queued
        .map(|message| (message.rel_path, message.extra))
        .collect();
    posted.sort_by(|a, b| a.0.cmp(&b.0));
    posted
}

fn text(flow: &Flow, name: &str) -> String {
    std::fs::read_to_string(flow.path(name)).expect("the file is there")
}
