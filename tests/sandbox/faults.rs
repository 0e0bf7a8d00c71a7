//! A sandbox that fails: nothing passes, nothing is lost, and everything is scanned in the end.

use std::time::Duration;

use flow_testkit::Sandbox;
use flow_testkit::sandbox::{Delay, Kind, Plan};
use flow_tests::queue;

use crate::{SCAN, SOON, Scene, until};

/// So many that every fault meets one.
const COUNT: usize = 12;

fn contents() -> Vec<(String, Vec<u8>)> {
    (0..COUNT)
        .map(|number| {
            let kind = if number % 3 == 0 { "malware" } else { "text" };
            (
                format!("{number:02}.bin"),
                format!("{kind} number {number}").into_bytes(),
            )
        })
        .collect()
}

/// Every kind of fault at one place of the protocol.
fn all_faults(plan: &mut Plan, path: &str) {
    for kind in [
        Kind::Status(500),
        Kind::Status(503),
        Kind::Busy(1),
        Kind::CutRequest,
        Kind::CutBefore,
        Kind::CutAnswer,
        Kind::Garbage("<html>busy</html>".into()),
        Kind::Garbage(r#"{"data":{},"errors":[{"type":"X","message":"y"}]}"#.into()),
        Kind::Garbage(r#"{"data":{"scan_id":"5f0b0000-0000-4000-8000-0000000000ff","result":{"scan_state":"FULL","verdict":"CLEAN"}},"errors":[]}"#.into()),
        Kind::Status(404),
        Kind::Slow(Duration::from_millis(50)),
    ] {
        plan.fault(path, kind);
    }
}

#[track_caller]
fn scans_in_the_end(plugin_lines: &str, paths: &[&str], delay: Delay) {
    let plan = Plan {
        delay,
        ..Plan::default()
    };
    let held = plugin_lines.contains("held");
    let scene = Scene::new(Sandbox::with(plan), "attempts: 40\n", plugin_lines);
    let files = contents();
    let files: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(name, content)| (name.as_str(), content.as_slice()))
        .collect();
    scene.announce(&files);
    scene.sandbox.plan(|plan| {
        for path in paths {
            all_faults(plan, path);
        }
        // Who asked for the answer of a scan it does not know yet has to believe what it is told.
        if held {
            plan.faults.retain(
                |fault| !matches!(&fault.kind, Kind::Garbage(text) if text.contains("CLEAN")),
            );
        }
    });
    scene.until_done();
    let bad: Vec<String> = (0..COUNT)
        .step_by(3)
        .map(|number| format!("{number:02}.bin"))
        .collect();
    assert_eq!(scene.quarantined(), bad);
    assert_eq!(scene.files("clean").len(), COUNT - bad.len());
    assert_eq!(scene.posted().len(), COUNT);
    scene.expect_own_verdicts();
    assert!(scene.sandbox.asked().iter().all(|asked| !asked.chunked));
}

#[test]
fn faults_of_uploads() {
    scans_in_the_end("", &["uploadScanFile"], Delay::None);
}

#[test]
fn faults_of_tasks() {
    scans_in_the_end("", &["createScanTask"], Delay::None);
}

#[test]
fn faults_of_questions() {
    scans_in_the_end(
        "max_in_flight: 4\n",
        &["checkTask"],
        Delay::UpTo(Duration::from_millis(200)),
    );
}

#[test]
fn faults_of_the_one_step_form() {
    scans_in_the_end("form: one_step\n", &["checkFile", "getStatus"], Delay::None);
}

#[test]
fn faults_of_held_answers() {
    let delay = Delay::UpTo(Duration::from_millis(50));
    scans_in_the_end(
        "answers: held\n",
        &["uploadScanFile", "createScanTask"],
        delay,
    );
}

#[test]
fn uploads_and_scans_that_are_forgotten_are_made_again() {
    let plan = Plan {
        delay: Delay::Always(SOON * 60),
        ..Plan::default()
    };
    let scene = Scene::new(Sandbox::with(plan), "", "hold: 0s\n");
    scene.announce(&[("a", b"one"), ("b", b"some malware")]);
    scene.turn();
    assert_eq!(scene.sandbox.scans().len(), 2);
    scene.sandbox.plan(|plan| plan.delay = Delay::None);
    scene.sandbox.forget();
    scene.until_done();
    assert_eq!(
        (scene.files("clean"), scene.quarantined()),
        (vec!["a".into()], vec!["b".into()])
    );
    assert_eq!(scene.sandbox.scans().len(), 4);
    scene.expect_own_verdicts();
    // Files that are gone before their scan is asked for: each upload is repeated once in a turn.
    scene.sandbox.plan(|plan| plan.ttl = Duration::ZERO);
    scene.announce(&[("c", b"three")]);
    scene.turn();
    assert!(
        scene.waiting().contains("forgets what it is given"),
        "{}",
        scene.waiting()
    );
    scene.sandbox.plan(|plan| plan.ttl = SOON);
    scene.until_done();
    assert_eq!(scene.files("clean"), ["a", "c"]);
}

#[test]
fn early_results_are_no_verdicts() {
    let plan = Plan {
        delay: Delay::Always(Duration::from_millis(300)),
        preflight: true,
        ..Plan::default()
    };
    let scene = Scene::new(Sandbox::with(plan), "", "allow_preflight: on\n");
    scene.announce(&[("bad", b"some malware")]);
    scene.until_done();
    assert_eq!(
        (scene.files("clean"), scene.quarantined()),
        (vec![], vec!["bad".into()])
    );
    assert!(scene.sandbox.count("checkTask") > 1);
}

#[test]
fn a_refused_key_pauses_the_flow_and_loses_nothing() {
    let scene = Scene::new(Sandbox::start(), "", "");
    scene.sandbox.plan(|plan| plan.key = "another".into());
    scene.announce(&[("a", b"one"), ("b", b"two")]);
    let mut running = scene.flow.spawn(&["foreground", SCAN]);
    let line = running.wait_for("refused the API key", SOON);
    assert!(!line.contains(Sandbox::KEY), "{line}");
    running.terminate();
    let said = running.finish(SOON).stderr;
    assert!(!said.contains(Sandbox::KEY), "{said}");
    assert!(scene.files("clean").is_empty());
    scene.sandbox.plan(|plan| plan.key = Sandbox::KEY.into());
    scene.until_done();
    assert_eq!(scene.files("clean"), ["a", "b"]);
}

#[test]
fn a_flow_without_a_key_does_not_start() {
    let scene = Scene::new(Sandbox::start(), "", "");
    scene.flow.credentials("");
    scene.announce(&[("a", b"one")]);
    let refused = scene.flow.run(&["foreground", SCAN, "--once"]);
    assert_ne!(refused.code, Some(0));
    assert!(
        refused.stderr.contains("credentials.conf"),
        "{}",
        refused.stderr
    );
    scene.flow.credentials(&scene.sandbox.credential());
    scene.until_done();
    assert_eq!(scene.files("clean"), ["a"]);
}

#[test]
fn an_expired_certificate_lets_nothing_pass() {
    let scene = Scene::new(Sandbox::expired(), "", "");
    scene.announce(&[("a", b"one")]);
    scene.turn();
    let waiting = scene.waiting();
    assert!(waiting.contains("expired"), "{waiting}");
    assert!(scene.files("clean").is_empty() && scene.sandbox.asked().is_empty());
}

#[test]
fn a_certificate_that_signed_itself_is_trusted_where_it_is_named() {
    let scene = Scene::new(Sandbox::self_signed(), "", "");
    scene.announce(&[("a", b"one")]);
    scene.until_done();
    assert_eq!(scene.files("clean"), ["a"]);
}

#[test]
fn a_pinned_certificate_is_all_that_counts() {
    // It has expired, and nobody here knows who signed it.
    let sandbox = Sandbox::expired();
    let url = sandbox.url();
    let wrong = "ab".repeat(32);
    let scene = Scene::new(sandbox, "", "");
    let write = |pins: &str| {
        scene.write_flow("", "");
        let path = scene.flow.config_dir().join(format!("{SCAN}.yaml"));
        let text = std::fs::read_to_string(&path).expect("it was written");
        let text = text
            .lines()
            .filter(|line| !line.starts_with("caFile"))
            .collect::<Vec<_>>()
            .join("\n")
            .replace(&url, &format!("{url}\n    tlsPin: {pins}"));
        std::fs::write(&path, text).expect("the home is writable");
    };
    write(&wrong);
    scene.announce(&[("a", b"one"), ("b", b"some malware")]);
    scene.turn();
    let waiting = scene.flow.run(&["retry", "list", SCAN, "--format", "json"]);
    let waiting = waiting.expect(0).stdout;
    let (_, found) = waiting
        .split_once("it has the SHA-256 ")
        .unwrap_or_else(|| panic!("{waiting}"));
    let right = &found[..64];
    assert!(
        found[64..].starts_with(&format!(", and `tlsPin` is {wrong}")),
        "{found}"
    );
    assert!(
        waiting.contains("write its SHA-256 as `tlsPin`"),
        "{waiting}"
    );
    assert!(scene.sandbox.asked().is_empty(), "not even the key is told");
    // What openssl prints, and while it changes, both.
    let pairs: Vec<&str> = (0..32).map(|at| &right[2 * at..2 * at + 2]).collect();
    write(&format!(
        "['{}', {wrong}]",
        pairs.join(":").to_ascii_uppercase()
    ));
    scene.until_done();
    assert_eq!(
        (scene.files("clean"), scene.quarantined()),
        (vec!["a".into()], vec!["b".into()])
    );
    scene.expect_own_verdicts();
    // What is no pin is said to be none, before anything starts.
    write("ab");
    let refused = scene.flow.run(&["check", SCAN]).expect(1).stdout;
    assert!(refused.contains("64 hexadecimal digits"), "{refused}");
}

#[test]
fn a_sandbox_that_is_away_is_waited_for() {
    let scene = Scene::new(Sandbox::start(), "", "");
    scene.sandbox.down();
    scene.announce(&[("a", b"one"), ("b", b"two"), ("c", b"some malware")]);
    scene.turn();
    assert!(scene.files("clean").is_empty());
    let waiting = scene.waiting();
    assert!(waiting.contains("content not scanned"), "{waiting}");
    scene.sandbox.up();
    scene.until_done();
    assert_eq!(
        (scene.files("clean"), scene.quarantined()),
        (vec!["a".into(), "b".into()], vec!["c".into()])
    );
}

#[test]
fn a_large_file_is_streamed_with_its_length() {
    const SIZE: usize = 50 << 20;
    let scene = Scene::new(Sandbox::start(), "", "");
    let content: Vec<u8> = (0..SIZE).map(|at| (at / 7) as u8).collect();
    scene.announce(&[("large.iso", &content)]);
    let running = scene.flow.spawn(&["foreground", SCAN]);
    until("the file", || queue::count(&scene.flow, "xs_out") == 1);
    let peak = running.peak_memory().expect("it runs");
    running.terminate();
    running.finish(SOON).expect(0);
    let asked = scene.sandbox.asked();
    let upload = asked
        .iter()
        .find(|asked| asked.path.ends_with("uploadScanFile"));
    let upload = upload.expect("it was uploaded");
    assert_eq!((upload.length, upload.chunked), (SIZE as u64, false));
    assert_eq!(
        std::fs::metadata(scene.flow.path("clean/large.iso"))
            .expect("it is there")
            .len(),
        SIZE as u64
    );
    // Far less than what holding it once on top of everything else would take.
    let empty = {
        let scene = Scene::new(Sandbox::start(), "", "");
        scene.announce(&[("small", b"x")]);
        let running = scene.flow.spawn(&["foreground", SCAN]);
        until("the file", || queue::count(&scene.flow, "xs_out") == 1);
        let peak = running.peak_memory().expect("it runs");
        running.terminate();
        running.finish(SOON).expect(0);
        peak
    };
    assert!(
        peak < empty + SIZE as u64 / 2,
        "{peak} bytes, and {empty} for a small file"
    );
}
