//! When the server's own names change: a mailbox that starts over with a new UIDVALIDITY.

use flow_testkit::Dovecot;
use flow_testkit::generate::{Generated, mails};
use flow_tests::{Access, MailFlow, Scene};

#[test]
fn a_new_uidvalidity_loses_no_mail_and_announces_none_twice() {
    let mut scene = Scene::new();
    let mut sent: Vec<Generated> = mails(6, 6_000, 31).collect();
    scene.deliver(&sent);
    scene.set(&MailFlow::new(Access::Imap));
    scene.once();
    scene.expect_parts(&sent);

    // As after a restore from backup: all UIDs are new, and two mails came in between. The server
    // is restarted so that nothing remembers the old index.
    scene
        .server
        .set_uid_validity(Dovecot::USER, "INBOX", 4_000_000_000);
    scene.server.restart();
    let more: Vec<Generated> = mails(2, 6_000, 32).collect();
    scene.deliver(&more);
    scene.once();
    sent.extend(more);
    scene.expect_parts(&sent);
    scene.once();
    scene.expect_parts(&sent);
}
