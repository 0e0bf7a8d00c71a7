//! Rounds over 500 mails, one per way a flow can be set up.

#![expect(clippy::print_stdout, reason = "a round says what it proved")]

use std::time::{Duration, SystemTime};

use flow_testkit::generate::{Generated, Random, mails};
use flow_testkit::wait;
use flow_tests::{Access, MailFlow, Scene, queue};

const MAILS: usize = 500;
const AVERAGE: usize = 6_000;
/// More kills than any round needs; a round that needs them makes no progress.
pub(crate) const MOST_KILLS: usize = 400;

pub(crate) fn seed() -> u64 {
    if let Ok(seed) = std::env::var("FLOW_TEST_SEED") {
        return seed.parse().expect("FLOW_TEST_SEED is a number");
    }
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("the clock is past 1970");
    u64::from(now.subsec_nanos()) ^ now.as_secs()
}

/// Runs `flows` with `--once`, in turn, killing each at a random instant, until one whole turn ends
/// by itself. Returns the number of kills.
fn kill_until_done(scene: &Scene, flows: &[&str], random: &mut Random) -> usize {
    let mut kills = 0;
    loop {
        let mut whole = true;
        for flow in flows {
            let running = scene.flow.spawn(&["foreground", flow, "--once"]);
            // From before its first line to well into the work. The range grows, so that a slow
            // machine gets there too.
            let range = 150 + 25 * kills;
            wait::pause(Duration::from_millis(random.below(range) as u64));
            let ended = running.kill();
            if ended.signal.is_some() {
                kills += 1;
                whole = false;
            } else {
                ended.expect(0);
            }
        }
        if whole {
            return kills;
        }
        assert!(
            kills < MOST_KILLS,
            "after {kills} kills the work is still not done"
        );
    }
}

#[track_caller]
fn check(name: &str, scene: &Scene, flows: &[&str], sent: &[Generated]) {
    let seed = seed();
    println!("{name}: FLOW_TEST_SEED={seed}");
    let kills = kill_until_done(scene, flows, &mut Random::new(seed));
    // The run that was not killed has cleaned up after those that were.
    scene.expect_nothing_unfinished();
    scene.expect_parts(sent);
    // And there is nothing left to do.
    for flow in flows {
        scene.flow.run(&["foreground", flow, "--once"]).expect(0);
    }
    scene.expect_parts(sent);
    let parts: usize = sent.iter().map(|mail| mail.parts.len()).sum();
    println!(
        "{name}: {} mails, {parts} parts, {kills} kills: every part once, every post once",
        sent.len()
    );
    assert!(
        kills >= 5,
        "only {kills} kills hit: this round proves little"
    );
}

fn mailbox(seed: u64) -> (Scene, Vec<Generated>) {
    let scene = Scene::new();
    let sent: Vec<Generated> = mails(MAILS, AVERAGE, seed).collect();
    scene.deliver(&sent);
    (scene, sent)
}

#[test]
fn all_in_one_flow_keeping_the_mails() {
    let (scene, sent) = mailbox(101);
    scene.set(&MailFlow::new(Access::Imap).option("batch: 10"));
    check("keep", &scene, &[Scene::FLOW], &sent);
    assert_eq!(scene.mailbox("INBOX").len(), sent.len());
}

#[test]
fn all_in_one_flow_moving_the_mails() {
    let (scene, sent) = mailbox(102);
    let flow = MailFlow::new(Access::Imaps).option("batch: 10");
    scene.set(
        &flow
            .mail_option("after: move")
            .mail_option("move_to: Processed"),
    );
    check("move", &scene, &[Scene::FLOW], &sent);
    assert!(scene.mailbox("INBOX").is_empty());
    // Moved once each: not lost, not copied twice.
    let mut moved: Vec<Vec<u8>> = scene
        .mailbox("Processed")
        .into_iter()
        .map(|mail| mail.raw)
        .collect();
    let mut wanted: Vec<Vec<u8>> = sent.iter().map(|mail| mail.raw.clone()).collect();
    moved.sort();
    wanted.sort();
    assert_eq!(moved.len(), wanted.len());
    assert!(moved == wanted, "every mail is in Processed, byte for byte");
}

#[test]
fn all_in_one_flow_deleting_over_pop3() {
    let (scene, sent) = mailbox(103);
    scene.set(
        &MailFlow::new(Access::Pop)
            .option("batch: 10")
            .mail_option("after: delete"),
    );
    check("pop3, delete", &scene, &[Scene::FLOW], &sent);
    assert!(scene.mailbox("INBOX").is_empty());
}

#[test]
fn two_flows_over_the_embedded_broker() {
    let (scene, sent) = mailbox(104);
    let url = scene.url(Access::Imap);
    let port = scene.server.imap_port();
    scene.flow.add_flow(
        "poll/mail",
        &format!(
            "pollUrl: {url}\nbatch: 10\ncallbacks:\n  - plugin: mail\n    starttls: off\npost_exchange: xs_mail\n"
        ),
    );
    scene.flow.add_flow(
        "subscribe/mail",
        &format!(
            "exchange: xs_mail\nbatch: 10\nallow:\n  connect: ['127.0.0.1:{port}']\n\
             directory: ${{HOME}}/mail\ncallbacks:\n  - plugin: mail\n    starttls: off\n    after: seen\n\
             \x20 - plugin: mail-decode\n    filters:\n      - accept: '.*\\.bin$'\n        directory: ${{HOME}}/parts\n\
             \x20     - reject: '.*'\npost_exchange: xs_files\n"
        ),
    );
    // The queue has to be there before anything is posted to its exchange.
    scene
        .flow
        .run(&["foreground", "subscribe/mail", "--once"])
        .expect(0);
    check(
        "poll and subscribe",
        &scene,
        &["poll/mail", "subscribe/mail"],
        &sent,
    );
    assert!(
        queue::queued(&scene.flow, "xs_mail").is_empty(),
        "every mail is done with"
    );
    assert!(scene.mailbox("INBOX").iter().all(|mail| mail.seen()));
}
