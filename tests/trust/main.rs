//! What an operator sees of a stranger's plugin: what it may do, that it is the file it was, what it
//! uses, and that the flow goes on when it misbehaves.
//!
//! The guests are those of `tests/guests`, built by the first test to need them.

#[path = "../guest.rs"]
mod guest;
mod signed;

use std::path::PathBuf;
use std::time::Duration;

use flow_testkit::{Flow, wait};
use flow_tests::{background, queue};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(60);

/// An installation with a guest as its plugin, whose background process ends with the test.
struct Scene {
    flow: Flow,
    file: PathBuf,
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(pid) = background::pid(&self.flow) {
            background::kill(pid);
        }
    }
}

impl Scene {
    #[track_caller]
    fn new(guest: &str) -> Self {
        let flow = Flow::new();
        let file = guest::install(&flow, guest);
        Self { flow, file }
    }

    /// Adds a watch of `${HOME}/in` whose plugin is the guest, with further lines of its entry.
    fn watch(&self, guest: &str, more: &str) {
        std::fs::create_dir_all(self.flow.path("in")).expect("the home is writable");
        let text = format!(
            "path: ${{HOME}}/in\npost_exchange: xs_out\ncallbacks:\n  - plugin: {guest}\n{more}"
        );
        self.flow.add_flow("watch/a", &text);
    }

    /// The fingerprint `flow plugin show` prints.
    #[track_caller]
    fn sha256(&self, guest: &str) -> String {
        let shown = self
            .flow
            .run(&["plugin", "show", guest, "--format", "json"]);
        let shown: Value = serde_json::from_str(&shown.expect(0).stdout).expect("it is JSON");
        shown["sha256"].as_str().expect("a text").to_owned()
    }
}

#[test]
fn a_pinned_plugin_runs_and_a_swapped_one_does_not() {
    let scene = Scene::new("trap");
    let pin = scene.sha256("trap");
    scene.watch("trap", &format!("    sha256: {pin}\n"));
    let checked = scene.flow.run(&["check", "watch/a"]).expect(0);
    let twelve = &pin[..12];
    assert!(
        checked.stderr.contains(&format!(
            "watch/a: plugin `trap` (sha256 {twelve}…) asks for nothing beyond its messages"
        )),
        "{}",
        checked.stderr
    );
    // Another file of the same name: not even what it describes is looked at.
    std::fs::write(&scene.file, "anything").expect("the home is writable");
    let refused = scene.flow.run(&["check", "watch/a"]).expect(1);
    assert!(
        refused.stdout.contains(
            "error[config/plugin-changed]: plugin `trap` is not the file this flow asks for"
        ) && refused.stdout.contains(&format!(
            "the one in {} has the sha256 ",
            scene.file.display()
        )) && !refused.stdout.contains("plugin-unusable"),
        "{}",
        refused.stdout
    );
    let explained = scene
        .flow
        .run(&["explain", "config/plugin-changed"])
        .expect(0);
    assert!(
        explained.stdout.contains("flow plugin show"),
        "{}",
        explained.stdout
    );
    let refused = scene
        .flow
        .run(&["foreground", "watch/a", "--once"])
        .expect(2);
    assert!(
        refused.stderr.contains("config/plugin-changed"),
        "{}",
        refused.stderr
    );
}

#[test]
fn what_a_plugin_asks_for_and_gets_is_said_before_it_runs() {
    let scene = Scene::new("dial");
    let text = "post_exchange: xs_out\nallow:\n  connect: ['mail.example.com:993']\ncallbacks:\n  - plugin: dial\n    host: mail.example.com\n";
    scene.flow.add_flow("flow/a", text);
    let checked = scene.flow.run(&["check"]).expect(0);
    assert!(
        checked
            .stderr
            .contains("asks for connect; this flow allows mail.example.com:993"),
        "{}",
        checked.stderr
    );
}

#[test]
fn that_a_plugin_asks_by_wasi_http_is_said_wherever_its_grants_are() {
    let scene = Scene::new("web");
    let flow = &scene.flow;
    let shown = flow.run(&["plugin", "show", "web"]).expect(0).stdout;
    assert!(
        shown.contains("asks for      http (by wasi:http)\n"),
        "{shown}"
    );
    assert!(shown.contains("imports       wasi:http\n"), "{shown}");
    let json = flow.run(&["plugin", "show", "web", "--format", "json"]);
    let json: Value = serde_json::from_str(&json.expect(0).stdout).expect("it is JSON");
    assert_eq!(json["imports"], serde_json::json!(["wasi:http"]));
    assert_eq!(json["grants"], serde_json::json!(["http"]));
    let file = flow.config_dir().join("plugins/web.wasm");
    let file = file.display().to_string();
    let added = flow.run(&["plugin", "add", &file, "--force"]).expect(0);
    assert!(
        added
            .stderr
            .contains("    http: ['api.example.org:443']   # for its requests by wasi:http too\n"),
        "{}",
        added.stderr
    );
    let text = "post_exchange: xs_out\nallow:\n  http: ['api.example.com:443']\ncallbacks:\n  - plugin: web\n";
    flow.add_flow("flow/a", text);
    let checked = flow.run(&["check"]).expect(0).stderr;
    assert!(
        checked.contains("asks for http (by wasi:http); this flow allows api.example.com:443"),
        "{checked}"
    );
}

#[test]
fn a_plugin_that_crashes_is_counted_and_the_flow_goes_on() {
    let mut scene = Scene::new("trap");
    queue::declare(&scene.flow, "xs_out");
    scene.watch("trap", "");
    scene.flow.env("FLOW_METRICS", "127.0.0.1:0");
    scene.flow.run(&["start", "watch/a"]).expect(0);
    // A file that was there when the watch began to look is none it announces: so there are more.
    let mut number = 0;
    let mut put = |name: &str| {
        number += 1;
        scene.flow.write(&format!("in/{number}-{name}"), b"x");
    };
    let entry = wait::until("a crash to be counted", SOON, || {
        put("boom");
        let used = used(&scene.flow)?;
        (used["traps"].as_u64()? > 0).then_some(used)
    });
    assert!(entry["calls"].as_u64() >= Some(1), "{entry}");
    // It goes on.
    wait::until("a message to pass", SOON, || {
        put("fine");
        let used = used(&scene.flow)?;
        (used["calls"].as_u64()? > used["traps"].as_u64()?).then_some(())
    });
    // All that a callback costs, as programs read it.
    let entry = used(&scene.flow).expect("it was called");
    for name in ["calls", "traps", "messages", "time", "longest", "computing"] {
        assert!(entry[name].as_f64() > Some(0.0), "{name} in {entry}");
    }
    for name in ["failures", "deadlines"] {
        assert_eq!(entry[name], 0, "{name} in {entry}");
    }
    let whole = plugin(&scene.flow).expect("it was called");
    assert!(whole["memory_peak"].as_u64() > Some(0), "{whole}");
    for name in ["requests", "bytes_in", "bytes_out", "lines_dropped"] {
        assert_eq!(whole[name], 0, "{name} in {whole}");
    }
    let status = scene.flow.run(&["status", "watch/a"]);
    let table = &status.stdout;
    assert!(
        table.contains("PLUGIN  ENTRY")
            && table.contains("after_accept")
            && table.contains("of memory at most"),
        "{table}"
    );
    let metrics = background::ask(&scene.flow, "/metrics");
    let all = "{flow=\"watch/a\",plugin=\"trap\"";
    for line in [
        format!("flow_plugin_calls_total{all},entry=\"start\"}} "),
        format!("flow_plugin_calls_total{all},entry=\"after_accept\"}} "),
        format!("flow_plugin_traps_total{all},entry=\"after_accept\"}} "),
        format!("flow_plugin_failures_total{all},entry=\"after_accept\"}} 0"),
        format!("flow_plugin_deadlines_total{all},entry=\"after_accept\"}} 0"),
        format!("flow_plugin_messages_total{all},entry=\"after_accept\"}} "),
        format!("flow_plugin_call_seconds_total{all},entry=\"after_accept\"}} "),
        format!("flow_plugin_computing_seconds_total{all},entry=\"after_accept\"}} "),
        format!("flow_plugin_longest_call_seconds{all},entry=\"after_accept\"}} "),
        format!("flow_plugin_memory_peak_bytes{all}}} "),
        format!("flow_plugin_requests_total{all}}} 0"),
        format!("flow_plugin_received_bytes_total{all}}} 0"),
        format!("flow_plugin_sent_bytes_total{all}}} 0"),
    ] {
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
    let own = background::log(&scene.flow, "watch/a");
    let introduced = own.matches("asks for nothing beyond its messages").count();
    assert_eq!(introduced, 1, "{own}");
}

/// What `after_accept` of the plugin of `watch/a` used, once it was called.
fn used(flow: &Flow) -> Option<Value> {
    let plugin = plugin(flow)?;
    let mut entries = plugin["entries"].as_array()?.iter();
    entries
        .find(|entry| entry["entry"] == "after_accept")
        .cloned()
}

/// What the plugin of `watch/a` used.
fn plugin(flow: &Flow) -> Option<Value> {
    let status = flow.run(&["status", "--format", "json"]);
    let status: Value = serde_json::from_str(&status.stdout).expect("it is JSON");
    let mut flows = status["flows"].as_array()?.iter();
    let own = flows.find(|flow| flow["flow"] == "watch/a")?;
    own["figures"]["plugins"].get(0).cloned()
}
