//! From an empty folder to a running flow.

use std::time::Duration;

use flow_testkit::{Flow, Running};
use flow_tests::queue;

use super::workshop;

/// Compiling the kit from nothing, on a machine that does much else.
const BUILD: Duration = Duration::from_secs(900);

pub(crate) fn build(flow: &Flow, arguments: &[&str]) -> flow_testkit::Finished {
    let building: Running = flow.spawn(arguments);
    building.finish(BUILD)
}

#[test]
fn a_plugin_goes_from_an_empty_folder_into_a_flow() {
    let flow = workshop();
    let made = flow
        .run(&[
            "plugin",
            "new",
            "geofence",
            "--entry",
            "after_accept,settled",
        ])
        .expect(0);
    assert!(
        made.stderr
            .contains("made geofence, a plugin in Rust with after_accept, settled"),
        "{}",
        made.stderr
    );
    let text = flow.run(&["plugin", "test", "geofence"]).expect(2).stderr;
    assert!(text.contains("plugin/not-built"), "{text}");

    let built = build(&flow, &["plugin", "build", "geofence"]).expect(0);
    assert!(
        built.stdout.starts_with("geofence 0.1.0 - "),
        "{}",
        built.stdout
    );
    assert!(
        built.stdout.contains("suffix: text [default: .tmp]"),
        "{}",
        built.stdout
    );
    let tried = flow.run(&["plugin", "test", "geofence"]).expect(0);
    assert_eq!(
        tried.stdout,
        "ok      geofence/tests/after_accept.yaml, 1 step\nok      geofence/tests/settled.yaml, 1 step\n"
    );
    assert_eq!(tried.stderr, "2 tests passed, 2 steps\n");

    a_test_that_fails_shows_where(&flow);
    what_came_out_can_be_written_down(&flow);
    sources_with_errors_keep_the_old_plugin(&flow);
    it_runs_in_a_flow(&flow);
}

/// The file with something else expected.
fn a_test_that_fails_shows_where(flow: &Flow) {
    let file = "geofence/tests/after_accept.yaml";
    let text = std::fs::read_to_string(flow.path(file)).expect("it was made");
    let wrong = text.replace("ends in .part", "it is a part");
    flow.write(file, wrong.as_bytes());
    let failed = flow.run(&["plugin", "test", "geofence"]).expect(1);
    let line = 1 + text
        .lines()
        .position(|line| line.contains("- reject"))
        .expect("it is expected");
    let expected = format!(
        "FAILED  {file}\n  {file}:{line}: after_accept, number 2, `reject`, `reason`\n      - it is a part\n      + ends in .part\n"
    );
    assert!(failed.stdout.starts_with(&expected), "{}", failed.stdout);
    assert_eq!(failed.stderr, "1 test passed, 1 failed\n");
    let rows: serde_json::Value = {
        let json = flow
            .run(&["plugin", "test", "geofence", "--format", "json"])
            .expect(1);
        serde_json::from_str(&json.stdout).expect("it is JSON")
    };
    assert_eq!(rows[0]["differences"][0]["line"], line);
    assert_eq!(rows[1]["passed"], true);
}

fn what_came_out_can_be_written_down(flow: &Flow) {
    let file = "geofence/tests/after_accept.yaml";
    let updated = flow
        .run(&["plugin", "test", "geofence", "--update"])
        .expect(0);
    assert!(
        updated.stdout.contains(&format!("updated {file}")),
        "{}",
        updated.stdout
    );
    let text = std::fs::read_to_string(flow.path(file)).expect("it is there");
    assert!(text.starts_with("# What ends in `suffix`"), "{text}");
    assert!(text.contains("reason: ends in .part"), "{text}");
    flow.run(&["plugin", "test", "geofence"]).expect(0);
}

fn sources_with_errors_keep_the_old_plugin(flow: &Flow) {
    let source = "geofence/src/lib.rs";
    let text = std::fs::read_to_string(flow.path(source)).expect("it was made");
    flow.write(
        source,
        text.replace("fn after_accept", "fn after_acept").as_bytes(),
    );
    let failed = build(flow, &["plugin", "build", "geofence"])
        .expect(2)
        .stderr;
    assert!(failed.contains("did you mean `after_accept`?"), "{failed}");
    assert!(failed.contains("error[plugin/build]"), "{failed}");

    // Of options with a mistake nothing else is told.
    let at = text.find("#[option(").expect("the template has one");
    let wrong = format!(
        "{}#[option(kinds = 1)]{}",
        &text[..at],
        &text[at + text[at..].find(']').expect("it ends") + 1..]
    );
    flow.write(source, wrong.as_bytes());
    let failed = build(flow, &["plugin", "build", "geofence"])
        .expect(2)
        .stderr;
    assert!(
        failed.contains("an option says `default`, `example`"),
        "{failed}"
    );
    assert!(!failed.contains("E0277"), "{failed}");
    flow.write(source, text.as_bytes());
    flow.run(&["plugin", "test", "geofence"]).expect(0);
}

fn it_runs_in_a_flow(flow: &Flow) {
    let added = flow
        .run(&["plugin", "add", "geofence/geofence.wasm"])
        .expect(0);
    assert!(
        added.stderr.contains("it asks for nothing"),
        "{}",
        added.stderr
    );
    let again = flow
        .run(&["plugin", "add", "geofence/geofence.wasm"])
        .expect(2)
        .stderr;
    assert!(
        again.contains("there is a plugin `geofence` already"),
        "{again}"
    );
    flow.run(&["plugin", "add", "geofence/geofence.wasm", "--force"])
        .expect(0);
    let listed = flow.run(&["plugin", "list"]).expect(0).stdout;
    assert!(listed.contains("geofence"), "{listed}");

    add_example(flow, "geofence");
    queue::declare(flow, "xs_out");
    // Makes the flow's queue.
    flow.run(&["foreground", "flow/geofence", "--once"])
        .expect(0);
    for name in ["data/good.txt", "data/half.tmp"] {
        flow.write(name, b"x");
    }
    let data = flow.path("data");
    queue::announce(flow, "xs_in", &data, &data);
    flow.run(&["foreground", "flow/geofence", "--once"])
        .expect(0);
    let out = queue::queued(flow, "xs_out");
    let names: Vec<_> = out
        .iter()
        .map(|message| message.rel_path.as_str())
        .collect();
    assert!(
        names.contains(&"good.txt") && !names.contains(&"half.tmp"),
        "{names:?}"
    );
    assert!(
        out.iter()
            .all(|message| message.extra["checked_by"] == "geofence")
    );

    let used = flow.run(&["plugin", "remove", "geofence"]).expect(2).stderr;
    assert!(
        used.contains("error[plugin/in-use]: `geofence` is used by `flow/geofence`"),
        "{used}"
    );
    flow.run(&["plugin", "remove", "geofence", "--force"])
        .expect(0);
    let gone = flow.run(&["check", "flow/geofence"]).expect(1);
    assert!(
        format!("{}{}", gone.stdout, gone.stderr).contains("geofence"),
        "{}",
        gone.stdout
    );
}

/// Adds the flow a project has as its example.
pub(crate) fn add_example(flow: &Flow, name: &str) {
    let file = flow.path(&format!("{name}/example/flow/{name}.yaml"));
    let example = std::fs::read(file).expect("it was made");
    flow.write(&format!("config/flow/{name}.yaml"), &example);
}
