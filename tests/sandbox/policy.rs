//! Verdicts and what follows from them.

use std::fs;

use flow_testkit::Sandbox;
use flow_testkit::sandbox::{Delay, Plan};

use crate::{Scene, text};

const FILES: [(&str, &[u8]); 7] = [
    ("clean.txt", b"hello"),
    ("adware.exe", b"some adware"),
    ("bad.exe", b"some malware"),
    ("partial.zip", b"please say PARTIAL CLEAN"),
    ("strange.bin", b"please say FULL HARMLESS"),
    ("unknown.bin", b"please say UNKNOWN CLEAN"),
    ("unscanned.bin", b"please say UNSCANNED -"),
];

#[test]
fn what_is_clean_goes_on_what_is_dangerous_is_put_away_and_doubt_waits() {
    let scene = Scene::new(Sandbox::start(), "attempts: 2\n", "");
    scene.announce(&FILES);
    scene.turn();
    assert_eq!(scene.files("clean"), ["adware.exe", "clean.txt"]);
    assert_eq!(scene.quarantined(), ["bad.exe"]);
    let waiting = scene.waiting();
    for name in ["partial.zip", "strange.bin", "unknown.bin", "unscanned.bin"] {
        assert!(waiting.contains(name), "{waiting}");
    }
    let posted = scene.posted();
    let names: Vec<_> = posted.keys().map(String::as_str).collect();
    assert_eq!(names, ["adware.exe", "bad.exe", "clean.txt"]);
    let of = |name: &str, header: &str| text(&posted[name], header);
    assert_eq!(of("clean.txt", "sandbox-state"), "full");
    assert_eq!(of("clean.txt", "sandbox-verdict"), "clean");
    assert_eq!(of("clean.txt", "sandbox-action"), "ok");
    let added = of("adware.exe", "sandbox-action-text");
    assert!(
        added.starts_with("X-Sandbox-Verdict: unwanted\nX-Sandbox-Threat: Adware.Test.")
            && added.contains("\nX-Sandbox-Scan-Id: 5f0b"),
        "{added}"
    );
    assert!(of("bad.exe", "sandbox-threat").starts_with("Trojan.Test."));
    assert!(posted["bad.exe"].rel_path.contains("/quarantine/"));
    scene.expect_own_verdicts();
    let copy = scene
        .flow
        .path("quarantine")
        .join(&scene.files("quarantine")[0]);
    assert_eq!(fs::read(copy).expect("it is there"), b"some malware");
    // Doubt that stays is a dead letter after the tries there are, and neither passes nor is lost.
    scene.until_done();
    let dead = scene
        .flow
        .run(&["retry", "list", "--dead", crate::SCAN])
        .expect(0)
        .stdout;
    assert!(
        dead.contains("partial.zip") && dead.contains("unscanned.bin"),
        "{dead}"
    );
    assert_eq!(scene.files("clean"), ["adware.exe", "clean.txt"]);
    // The last question about what is strange says which word it was.
    assert!(
        dead.contains("HARMLESS") || dead.contains("strange.bin"),
        "{dead}"
    );
}

#[test]
fn whoever_answers_is_told_what_to_do() {
    let scene = Scene::new(
        Sandbox::start(),
        "",
        "actions: announce\non_unwanted: error\non_doubt: failure\non_unscanned: rejected\n",
    );
    scene.announce(&FILES);
    assert_eq!(scene.until_done(), 1);
    let posted = flow_tests::queue::queued(&scene.flow, "xs_out");
    let mut actions: Vec<(String, String)> = posted
        .iter()
        .filter(|message| text(message, "sandbox-quarantined").is_empty())
        .map(|message| {
            (
                message.file_name().to_owned(),
                text(message, "sandbox-action"),
            )
        })
        .collect();
    actions.sort();
    let actions: Vec<(&str, &str)> = actions
        .iter()
        .map(|(name, action)| (name.as_str(), action.as_str()))
        .collect();
    assert_eq!(
        actions,
        [
            ("adware.exe", "error"),
            ("bad.exe", "discard"),
            ("clean.txt", "ok"),
            ("partial.zip", "failure"),
            ("strange.bin", "failure"),
            ("unknown.bin", "failure"),
            ("unscanned.bin", "rejected"),
        ]
    );
    assert_eq!(scene.quarantined(), ["bad.exe"]);
    assert!(!scene.files("clean").contains(&"bad.exe".to_owned()));
}

#[test]
fn dropping_what_nobody_found_dangerous_is_refused_by_the_check() {
    let scene = Scene::new(Sandbox::start(), "", "");
    scene.write_flow("", "on_unknown: discard\n");
    let refused = scene.flow.run(&["foreground", crate::SCAN, "--once"]);
    assert_ne!(refused.code, Some(0));
    assert!(
        refused
            .stderr
            .contains("`on_unknown: discard` would drop what nobody found dangerous"),
        "{}",
        refused.stderr
    );
}

#[test]
fn the_same_content_is_scanned_once() {
    let scene = Scene::new(Sandbox::start(), "", "");
    scene.announce(&[("one", b"the same")]);
    scene.turn();
    scene.announce(&[("two", b"the same"), ("three", b"another")]);
    scene.turn();
    assert_eq!(scene.files("clean"), ["one", "three", "two"]);
    assert_eq!(scene.sandbox.scans().len(), 2);
    let posted = scene.posted();
    assert_eq!(
        text(&posted["one"], "sandbox-scan-id"),
        text(&posted["two"], "sandbox-scan-id")
    );
}

#[test]
fn what_can_not_be_put_into_quarantine_is_not_dropped() {
    let scene = Scene::new(Sandbox::start(), "", "");
    // No directory can be made where a file is, whoever asks.
    scene.flow.write("quarantine", b"in the way");
    scene.announce(&[("bad.exe", b"some malware"), ("clean.txt", b"hello")]);
    scene.turn();
    assert_eq!(scene.files("clean"), ["clean.txt"]);
    let waiting = scene.waiting();
    assert!(
        waiting.contains("bad.exe") && waiting.contains("not put into quarantine"),
        "{waiting}"
    );
    fs::remove_file(scene.flow.path("quarantine")).expect("it is there");
    scene.until_done();
    assert_eq!(scene.quarantined(), ["bad.exe"]);
    assert_eq!(scene.files("clean"), ["clean.txt"]);
}

#[test]
fn waiting_for_a_verdict_has_an_end() {
    let delay = Delay::Always(std::time::Duration::from_secs(3600));
    let plan = Plan {
        delay,
        ..Plan::default()
    };
    let scene = Scene::new(
        Sandbox::with(plan),
        "",
        "hold: 0s\ngive_up: 1s\non_timeout: failure\n",
    );
    scene.announce(&[("slow.txt", b"hello")]);
    scene.until_done();
    let posted = scene.posted();
    assert_eq!(text(&posted["slow.txt"], "sandbox-state"), "error");
    assert_eq!(text(&posted["slow.txt"], "sandbox-verdict"), "unknown");
    assert_eq!(text(&posted["slow.txt"], "sandbox-action"), "failure");
}
