//! `kill -9` in the middle: scans are resumed or asked for again, never lost, never another's.

#![expect(clippy::print_stdout, reason = "a round says what it proved")]

use std::time::{Duration, SystemTime};

use flow_testkit::Sandbox;
use flow_testkit::generate::Random;
use flow_testkit::sandbox::{Delay, Plan};
use flow_testkit::wait;

use crate::{SCAN, Scene, until};

const COUNT: usize = 30;
/// More than any round needs.
const MOST: usize = 300;

fn seed() -> u64 {
    if let Ok(seed) = std::env::var("FLOW_TEST_SEED") {
        return seed.parse().expect("FLOW_TEST_SEED is a number");
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    u64::from(now.expect("the clock is past 1970").subsec_nanos())
}

#[test]
fn a_scan_put_aside_is_resumed_after_a_restart() {
    let plan = Plan {
        delay: Delay::Always(Duration::from_secs(3600)),
        ..Plan::default()
    };
    let scene = Scene::new(Sandbox::with(plan), "", "hold: 0s\n");
    scene.announce(&[("a", b"some malware"), ("b", b"text")]);
    let running = scene.flow.spawn(&["foreground", SCAN]);
    // Put aside, and looked at again.
    until("questions", || scene.sandbox.count("checkTask") > 4);
    running.kill();
    let scans = scene.sandbox.scans().len();
    scene.sandbox.plan(|plan| plan.delay = Delay::None);
    // What the sandbox began before is still under way; it is told to be over.
    scene.sandbox.finish();
    scene.until_done();
    assert_eq!(
        scene.sandbox.scans().len(),
        scans,
        "nothing is asked for again"
    );
    assert_eq!(scene.quarantined(), ["a"]);
    assert_eq!(scene.files("clean"), ["b"]);
    scene.expect_own_verdicts();
}

#[track_caller]
fn round(name: &str, plugin_lines: &str, flow_lines: &str) {
    let seed = seed();
    println!("{name}: FLOW_TEST_SEED={seed}");
    let mut random = Random::new(seed);
    let plan = Plan {
        delay: Delay::UpTo(Duration::from_millis(400)),
        ..Plan::default()
    };
    let scene = Scene::new(Sandbox::with(plan), flow_lines, plugin_lines);
    let files: Vec<(String, Vec<u8>)> = (0..COUNT)
        .map(|number| {
            let kind = if number % 3 == 0 { "malware" } else { "text" };
            (
                format!("{number:02}"),
                format!("{kind} number {number}").into_bytes(),
            )
        })
        .collect();
    let files: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(name, content)| (name.as_str(), content.as_slice()))
        .collect();
    scene.announce(&files);
    let mut kills = 0;
    while scene.posted().len() < COUNT {
        assert!(
            kills < MOST,
            "after {kills} kills {} of {COUNT} are done",
            scene.posted().len()
        );
        let running = scene.flow.spawn(&["foreground", SCAN]);
        let range = 300 + 50 * kills;
        wait::pause(Duration::from_millis(random.below(range) as u64));
        // Now and then the sandbox goes as well, in the middle of what it is asked.
        if kills % 4 == 3 {
            scene.sandbox.down();
            scene.sandbox.up();
        }
        running.kill();
        kills += 1;
        scene.flow.run(&["retry", "requeue", SCAN, "--all"]);
    }
    scene.until_done();
    let bad: Vec<String> = (0..COUNT)
        .step_by(3)
        .map(|number| format!("{number:02}"))
        .collect();
    assert_eq!(scene.quarantined(), bad);
    assert_eq!(scene.files("clean").len(), COUNT - bad.len());
    assert_eq!(scene.posted().len(), COUNT);
    scene.expect_own_verdicts();
    println!(
        "{name}: {COUNT} files, {kills} kills, {} scans",
        scene.sandbox.scans().len()
    );
}

#[test]
fn killed_at_random_while_scans_are_put_aside() {
    round(
        "aside",
        "hold: 0s\ncache_ttl: 0s\nmax_in_flight: 20\n",
        "batch: 10\n",
    );
}

#[test]
fn killed_at_random_while_many_instances_wait_for_answers() {
    round(
        "held",
        "answers: held\ncache_ttl: 0s\n",
        "instances: 10\nbatch: 1\nprefetch: 1\n",
    );
}
