//! The flow as it runs for days: push, a server that goes away, an orderly end.

use std::time::{Duration, Instant};

use flow_testkit::generate::{Generated, mails};
use flow_testkit::wait;
use flow_tests::{Access, MailFlow, Scene, queue, tree};

const SOON: Duration = Duration::from_secs(60);

/// Waits until so many parts were posted.
#[track_caller]
fn posted(scene: &Scene, count: usize, limit: Duration) {
    let all = || (queue::queued(&scene.flow, "xs_files").len() >= count).then_some(());
    wait::until("the parts to be posted", limit, all);
}

fn count(mails: &[Generated]) -> usize {
    mails.iter().map(|mail| mail.parts.len()).sum()
}

#[test]
fn new_mail_is_pushed_within_two_seconds() {
    let scene = Scene::new();
    let mut sent: Vec<Generated> = mails(1, 6_000, 41).collect();
    scene.deliver(&sent);
    scene.set(&MailFlow::new(Access::Imaps));
    let running = scene
        .flow
        .spawn(&["foreground", Scene::FLOW, "--set", "sleep=10m"]);
    posted(&scene, count(&sent), SOON);

    // Whatever it is doing just then; `sleep` alone would take ten minutes.
    for seed in 42..45 {
        let new: Vec<Generated> = mails(1, 6_000, seed).collect();
        let start = Instant::now();
        scene.deliver(&new);
        sent.extend(new);
        posted(&scene, count(&sent), Duration::from_secs(2));
        assert!(start.elapsed() < Duration::from_secs(2));
    }
    running.terminate();
    running.finish(Duration::from_secs(15)).expect(0);
    scene.expect_parts(&sent);
}

#[test]
fn sigterm_finishes_what_is_in_hand_and_stops() {
    let scene = Scene::new();
    let sent: Vec<Generated> = mails(300, 20_000, 51).collect();
    scene.deliver(&sent);
    scene.set(
        &MailFlow::new(Access::Imap)
            .mail_option("after: seen")
            .option("batch: 25"),
    );
    let running = scene.flow.spawn(&["foreground", Scene::FLOW]);
    posted(&scene, 1, SOON);
    running.terminate();
    running.finish(Duration::from_secs(30)).expect(0);

    // What was done was done whole: posted, on disk, settled at the server.
    let done = queue::names(&scene.flow, "xs_files");
    let on_disk: Vec<String> = tree::digests(&scene.flow.path("parts"))
        .into_keys()
        .collect();
    assert_eq!(done, on_disk);
    let seen = scene
        .mailbox("INBOX")
        .iter()
        .filter(|mail| mail.seen())
        .count();
    let whole = sent
        .iter()
        .filter(|mail| mail.parts.iter().all(|part| done.contains(&part.name)))
        .count();
    assert_eq!(seen, whole, "each mail is posted and seen, or neither");
    assert!(seen > 0);

    scene.once();
    scene.expect_parts(&sent);
    assert!(scene.mailbox("INBOX").iter().all(|mail| mail.seen()));
}

#[test]
fn a_server_that_goes_away_and_comes_back_loses_nothing() {
    let mut scene = Scene::new();
    let mut sent: Vec<Generated> = mails(2, 6_000, 61).collect();
    scene.deliver(&sent);
    scene.set(&MailFlow::new(Access::Imap));
    let running = scene
        .flow
        .spawn(&["foreground", Scene::FLOW, "--set", "sleep=1s"]);
    posted(&scene, count(&sent), SOON);
    scene.server.kill();
    let more: Vec<Generated> = mails(2, 6_000, 62).collect();
    scene.deliver(&more);
    sent.extend(more);
    scene.server.restart();
    posted(&scene, count(&sent), SOON);
    running.terminate();
    running.finish(Duration::from_secs(15)).expect(0);
    scene.expect_parts(&sent);
}

#[test]
fn only_one_process_runs_a_flow() {
    let scene = Scene::new();
    scene.set(&MailFlow::new(Access::Imap));
    let sent: Vec<Generated> = mails(1, 2_000, 71).collect();
    scene.deliver(&sent);
    let running = scene.flow.spawn(&["foreground", Scene::FLOW]);
    posted(&scene, count(&sent), SOON);
    let second = scene
        .flow
        .run(&["foreground", Scene::FLOW, "--once"])
        .expect(2);
    assert!(
        second.stderr.contains("running already") || second.stderr.contains("already running"),
        "{}",
        second.stderr
    );
    running.interrupt();
    running.finish(Duration::from_secs(15)).expect(0);
}
