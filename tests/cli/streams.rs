//! Streams, exit codes and what every command has in common.

use std::io::Read;
use std::process::Stdio;

use flow_testkit::Flow;

#[test]
fn help_is_data_and_ends_well() {
    let flow = Flow::new();
    for arguments in [
        &["--help"][..],
        &["-h"],
        &["--version"],
        &["foreground", "--help"],
    ] {
        let finished = flow.run(arguments).expect(0);
        assert!(
            !finished.stdout.is_empty() && finished.stderr.is_empty(),
            "{arguments:?}: {finished:?}"
        );
    }
}

#[test]
fn usage_errors_are_talk_and_end_with_2() {
    let flow = Flow::new();
    for arguments in [
        &["frobnicate"][..],
        &["foreground"],
        &["check", "--no-such-option"],
        &["list", "nonsense"],
    ] {
        let finished = flow.run(arguments).expect(2);
        assert!(
            finished.stdout.is_empty() && !finished.stderr.is_empty(),
            "{arguments:?}: {finished:?}"
        );
    }
}

#[test]
fn tables_are_json_when_asked() {
    let flow = Flow::new();
    flow.add_flow("flow/sink", "exchange: xs_files\n");
    for arguments in [
        &["list", "flows", "--format", "json"][..],
        &["list", "examples", "--format", "json"],
        &["list", "plugins", "--format", "json"],
        &["check", "--format", "json"],
        &["retry", "list", "--format", "json"],
    ] {
        let finished = flow.run(arguments).expect(0);
        let value: serde_json::Value = serde_json::from_str(&finished.stdout)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error} in {}", finished.stdout));
        assert!(value.is_array(), "{arguments:?}: {value}");
    }
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let flow = Flow::new();
    // A page of many lines, and a reader that leaves before the first.
    let mut child = flow
        .command(&["plugin", "show", "mail"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    drop(child.stdout.take());
    let mut talk = String::new();
    child
        .stderr
        .take()
        .expect("asked for")
        .read_to_string(&mut talk)
        .expect("UTF-8");
    child.wait().expect("it ends");
    assert_eq!(talk, "", "no panic, no error");
}

#[test]
fn explain_knows_every_code_that_check_prints() {
    let flow = Flow::new();
    flow.add_flow(
        "flow/bad",
        "sleep: 30\nno_such_option: 1\ncallbacks: [nothing]\n",
    );
    let checked = flow.run(&["check", "--format", "json"]).expect(1);
    let findings: serde_json::Value =
        serde_json::from_str(&checked.stdout).expect("JSON, as asked");
    let findings = findings.as_array().expect("one array");
    assert!(findings.len() >= 3, "{findings:?}");
    for finding in findings {
        let code = finding["code"].as_str().expect("every finding has a code");
        let page = flow.run(&["explain", code]).expect(0).stdout;
        assert!(page.lines().count() > 2, "{code}: {page}");
    }
    flow.run(&["explain", "no/such-code"]).expect(1);
}
