//! Mistakes in files: found by `check`, all at once, and nothing starts on one.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use flow_testkit::{Finished, Flow};

use super::said;

const GOOD: &str = "\
pollUrl: imaps://me%40example.com@imap.example.com/INBOX
sleep: 60s
callbacks:
  - plugin: mail
    after: keep
directory: ${HOME}/mail
";
const CREDENTIALS: &str = "imaps://me%40example.com:secret@imap.example.com\n";

/// A flow with `line` after the good ones, and credentials for it.
fn with_line(line: &str) -> Flow {
    let flow = Flow::new();
    flow.credentials(CREDENTIALS);
    flow.add_flow("flow/mail", &format!("{GOOD}{line}\n"));
    flow
}

/// What `check` says, after making sure that `foreground` refuses to start for the same reason.
#[track_caller]
fn check(flow: &Flow) -> Finished {
    let checked = flow.run(&["check"]).expect(1);
    let started = flow.run(&["foreground", "flow/mail", "--once"]).expect(2);
    for code in checked
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("error["))
    {
        let code = code.split(']').next().unwrap_or_default();
        assert!(
            started.stderr.contains(code),
            "`foreground` says the same: {}",
            started.stderr
        );
    }
    assert!(!flow.path("mail").exists(), "nothing started");
    checked
}

#[test]
fn the_good_flow_is_good() {
    let flow = with_line("");
    let checked = flow.run(&["check"]).expect(0);
    insta::assert_snapshot!(said(&flow, &checked));
}

#[test]
fn unknown_option() {
    let flow = with_line("directry: ${HOME}/elsewhere");
    insta::assert_snapshot!(said(&flow, &check(&flow)));
}

#[test]
fn users_of_brokers_are_checked_with_everything() {
    let flow = with_line("");
    let users = "broker: amqp://admin@localhost/\nusers:\n  feed: feder\n";
    flow.write("config/users.yaml", users.as_bytes());
    let checked = flow.run(&["check"]).expect(1);
    let declared = flow.run(&["declare", "--users"]).expect(2);
    assert!(checked.stdout.contains("users.yaml:3:9"), "{checked:?}");
    assert!(
        declared.stderr.contains(checked.stdout.trim_end()),
        "both say the same: {declared:?}"
    );
    assert!(
        checked
            .stderr
            .contains("1 flow and users.yaml checked, 1 error in 1"),
        "{checked:?}"
    );
    // Asked for a flow, it looks at that alone.
    flow.run(&["check", "flow/mail"]).expect(0);
    let rows = flow.run(&["check", "--format", "json"]).expect(1).stdout;
    assert!(rows.contains("\"flow\": null"), "{rows}");
    flow.write(
        "config/users.yaml",
        users.replace("feder", "feeder").as_bytes(),
    );
    let checked = flow.run(&["check"]).expect(0);
    assert!(
        checked.stderr.contains("1 flow and users.yaml checked"),
        "{checked:?}"
    );
}

#[test]
fn a_cleanup_says_what_it_is_that_other_flows_are_in_the_way_of() {
    let flow = Flow::new();
    flow.add_flow("flow/good", "exchange: xs_a\n");
    flow.add_flow("flow/bad", "exchnge: xs_a\n");
    let refused = flow.run(&["cleanup", "flow/good", "--yes"]).expect(2);
    assert!(
        refused
            .stderr
            .starts_with("error: nobody knows what `flow/bad` uses: nothing was deleted\n"),
        "{refused:?}"
    );
    assert!(refused.stderr.contains("flow/bad.yaml:1:1"), "{refused:?}");
}

#[test]
fn unknown_option_of_a_plugin() {
    let flow = Flow::new();
    flow.credentials(CREDENTIALS);
    flow.add_flow(
        "flow/mail",
        &GOOD.replace("    after: keep", "    aftr: keep"),
    );
    insta::assert_snapshot!(said(&flow, &check(&flow)));
}

#[test]
fn missing_and_wrong_units() {
    let flow = with_line("timeout: 30\nhousekeeping: 5 bananas");
    insta::assert_snapshot!(said(&flow, &check(&flow)));
}

#[test]
fn a_choice_that_is_none() {
    let flow = Flow::new();
    flow.credentials(CREDENTIALS);
    flow.add_flow("flow/mail", &GOOD.replace("after: keep", "after: burn"));
    insta::assert_snapshot!(said(&flow, &check(&flow)));
}

#[test]
fn no_yaml_at_all() {
    let flow = with_line("filters: [");
    insta::assert_snapshot!(said(&flow, &check(&flow)));
}

#[test]
fn missing_plugin() {
    let flow = Flow::new();
    flow.credentials(CREDENTIALS);
    flow.add_flow(
        "flow/mail",
        &GOOD
            .replace("plugin: mail", "plugin: mial")
            .replace("    after: keep\n", ""),
    );
    insta::assert_snapshot!(said(&flow, &check(&flow)));
}

#[test]
fn missing_credentials() {
    let flow = with_line("");
    flow.credentials("imaps://someone%40else.example:secret@imap.example.com\n");
    insta::assert_snapshot!(said(&flow, &check(&flow)));
}

#[test]
fn no_credentials_file() {
    let flow = Flow::new();
    flow.add_flow("flow/mail", GOOD);
    insta::assert_snapshot!(said(&flow, &check(&flow)));
}

#[test]
fn world_readable_credentials() {
    let flow = with_line("");
    let path = flow.config_dir().join("credentials.conf");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("the file is ours");
    insta::assert_snapshot!(said(&flow, &check(&flow)));
}

#[test]
fn everything_at_once() {
    let flow = Flow::new();
    flow.add_flow(
        "flow/mail",
        "pollUrl: imaps://me%40example.com@imap.example.com/INBOX\nsleep: 60\nbatch: ten\nmirror: maybe\n\
         callbacks:\n  - plugin: mail\n    folders: INBOX\n    colour: red\nfilters:\n  - accept: '(.pdf$'\n",
    );
    insta::assert_snapshot!(said(&flow, &check(&flow)));
}

#[test]
fn unknown_flow() {
    let flow = with_line("");
    let finished = flow.run(&["foreground", "flow/mial", "--once"]).expect(2);
    insta::assert_snapshot!(said(&flow, &finished));
}
