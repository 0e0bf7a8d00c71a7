//! What becomes of mails at the server, once they are safe.

use flow_testkit::generate::{Generated, mails};
use flow_testkit::{Flow, StoredMail};
use flow_tests::{Access, MailFlow, Scene};

fn run(access: Access, options: &[&str]) -> (Scene, Vec<Generated>) {
    let scene = Scene::new();
    let sent: Vec<Generated> = mails(8, 6_000, 21).collect();
    scene.deliver(&sent);
    let flow = options
        .iter()
        .fold(MailFlow::new(access), |flow, line| flow.mail_option(line));
    scene.set(&flow);
    scene.once();
    scene.expect_parts(&sent);
    (scene, sent)
}

fn raw(mails: &[StoredMail]) -> Vec<&[u8]> {
    mails.iter().map(|mail| mail.raw.as_slice()).collect()
}

fn sent_raw(mails: &[Generated]) -> Vec<&[u8]> {
    mails.iter().map(|mail| mail.raw.as_slice()).collect()
}

#[test]
fn keep_leaves_every_mail_as_it_was() {
    let (scene, sent) = run(Access::Imap, &["after: keep"]);
    let mailbox = scene.mailbox("INBOX");
    assert_eq!(raw(&mailbox), sent_raw(&sent));
    assert!(mailbox.iter().all(|mail| mail.flags.is_empty()));
}

#[test]
fn seen_marks_them_and_no_more() {
    let (scene, sent) = run(Access::Imaps, &["after: seen"]);
    let mailbox = scene.mailbox("INBOX");
    assert_eq!(raw(&mailbox), sent_raw(&sent));
    assert!(
        mailbox.iter().all(|mail| mail.flags == "S"),
        "{:?}",
        flags(&mailbox)
    );
}

#[test]
fn move_makes_the_folder_and_moves_them_whole() {
    let (scene, sent) = run(Access::Imap, &["after: move", "move_to: Processed"]);
    assert!(scene.mailbox("INBOX").is_empty());
    let mut moved = scene.mailbox("Processed");
    moved.sort_by_key(|mail| sent.iter().position(|sent| sent.raw == mail.raw));
    assert_eq!(raw(&moved), sent_raw(&sent));
    // The next run finds an empty INBOX and says nothing of what moved.
    scene.once();
    scene.expect_parts(&sent);
    assert_eq!(scene.mailbox("Processed").len(), sent.len());
}

#[test]
fn delete_removes_them() {
    let (scene, _) = run(Access::Imap, &["after: delete"]);
    assert!(scene.mailbox("INBOX").is_empty());
}

#[test]
fn delete_over_pop3_removes_them() {
    let (scene, _) = run(Access::Pops, &["after: delete"]);
    assert!(scene.mailbox("INBOX").is_empty());
}

#[test]
fn a_dry_run_touches_nothing() {
    let scene = Scene::new();
    let sent: Vec<Generated> = mails(3, 6_000, 22).collect();
    scene.deliver(&sent);
    scene.set(&MailFlow::new(Access::Imap).mail_option("after: delete"));
    scene
        .flow
        .run(&["foreground", Scene::FLOW, "--once", "--dry-run"])
        .expect(0);
    scene.expect_parts(&[]);
    assert_eq!(raw(&scene.mailbox("INBOX")), sent_raw(&sent));
    assert!(!stored_mail(&scene.flow));
    // And the run after it finds everything still to do.
    scene.once();
    scene.expect_parts(&sent);
    assert!(scene.mailbox("INBOX").is_empty());
}

fn stored_mail(flow: &Flow) -> bool {
    !flow_tests::tree::files(&flow.path("mail")).is_empty()
}

fn flags(mails: &[StoredMail]) -> Vec<&str> {
    mails.iter().map(|mail| mail.flags.as_str()).collect()
}
