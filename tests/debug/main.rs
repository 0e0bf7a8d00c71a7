//! `flow foreground` as a debugger: stepping, recordings and replays, reload, crashes.

mod mail;
mod reload;
mod step;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use flow_testkit::Flow;
use flow_tests::queue;

/// A guest of `tests/guests`, built once for all tests.
fn guest(name: &str) -> Vec<u8> {
    static GUESTS: OnceLock<PathBuf> = OnceLock::new();
    let directory = GUESTS.get_or_init(|| {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
        let guests =
            flow_xtask::build_example_guests(&workspace, &target, flow_xtask::Profile::Dev)
                .expect("the guests build");
        let (_, one) = guests.first().expect("there are guests");
        one.parent().expect("a file has a parent").to_owned()
    });
    std::fs::read(directory.join(format!("{name}.wasm"))).expect("the guest was built")
}

/// The guest `trap`, built anew with another name for the header it sets.
fn other_trap() -> Vec<u8> {
    let mut bytes = guest("trap");
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
    flow.write("config/plugins/trap.wasm", &guest("trap"));
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
    let base = flow.path("data").display().to_string();
    for name in names {
        flow.write(&format!("data/{name}"), name.as_bytes());
        let path = flow.path(&format!("data/{name}")).display().to_string();
        let arguments = [
            "post",
            "--exchange",
            "xs_in",
            "--base-url",
            "http://h/",
            "--base-dir",
            &base,
            &path,
        ];
        flow.run(&arguments).expect(0);
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
