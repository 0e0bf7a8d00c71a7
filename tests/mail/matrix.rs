//! Every way to reach a mailbox, the same demands on each.

use std::fs;

use flow_testkit::generate::{Generated, mails};
use flow_tests::{Access, MailFlow, Scene};

/// Whether the run downloaded or posted anything.
fn did_something(stderr: &str) -> bool {
    ["fetched", "derived", "posted"]
        .iter()
        .any(|event| stderr.contains(&format!("  {event} ")))
}

#[track_caller]
fn check(access: Access) {
    let scene = Scene::new();
    scene.set(&MailFlow::new(access));
    // An empty mailbox is no error, and leaves nothing.
    scene.once();
    scene.expect_parts(&[]);

    let mut sent: Vec<Generated> = mails(12, 20_000, 11).collect();
    scene.deliver(&sent);
    let run = scene.once();
    assert!(
        did_something(&run.stderr),
        "the log tells what happened:\n{}",
        run.stderr
    );
    scene.expect_parts(&sent);

    // Polling again announces nothing.
    let run = scene.once();
    assert!(
        !did_something(&run.stderr),
        "nothing is new:\n{}",
        run.stderr
    );
    scene.expect_parts(&sent);

    // Nothing is announced twice after the flow's own memory is lost: names are the server's.
    fs::remove_dir_all(scene.flow.state_dir().join("flows")).expect("the flow's state is there");
    scene.once();
    scene.expect_parts(&sent);

    // One more mail brings its parts and no others.
    let more: Vec<Generated> = mails(1, 20_000, 12).collect();
    scene.deliver(&more);
    let run = scene.once();
    let fetched = run
        .stderr
        .lines()
        .filter(|line| line.contains("  fetched "))
        .count();
    assert_eq!(fetched, 1, "one mail is new:\n{}", run.stderr);
    sent.extend(more);
    scene.expect_parts(&sent);
    // A POP3 client can't fetch without a trace: the server itself marks what RETR sent.
    if !matches!(access, Access::Pop | Access::PopStls | Access::Pops) {
        assert!(
            scene.mailbox("INBOX").iter().all(|mail| !mail.seen()),
            "polling leaves no trace"
        );
    }
}

#[test]
fn imap() {
    check(Access::Imap);
}

#[test]
fn imap_with_starttls() {
    check(Access::ImapStartTls);
}

#[test]
fn imaps() {
    check(Access::Imaps);
}

#[test]
fn pop() {
    check(Access::Pop);
}

#[test]
fn pop_with_stls() {
    check(Access::PopStls);
}

#[test]
fn pops() {
    check(Access::Pops);
}
