//! Servers that refuse, are not there, or are not who they say: what the log says, and that the
//! advice in it works.

use std::net::TcpListener;

use flow_testkit::generate::{Generated, mails};
use flow_testkit::{Dovecot, Finished};
use flow_tests::{Access, MailFlow, Scene};

use super::said;

/// Runs the flow, which must not end well.
#[track_caller]
fn fails(scene: &Scene) -> Finished {
    let finished = scene.flow.run(&["foreground", Scene::FLOW, "--once"]);
    assert!(matches!(finished.code, Some(1 | 2)), "{finished:?}");
    finished
}

#[test]
fn wrong_password() {
    let scene = Scene::new();
    let port = scene.server.imap_port();
    let user = Scene::user_in_url();
    scene
        .flow
        .credentials(&format!("imap://{user}:wrong@127.0.0.1:{port}\n"));
    scene.set(&MailFlow::new(Access::Imap));
    insta::assert_snapshot!(said(&scene.flow, &fails(&scene)));
}

#[test]
fn wrong_password_over_pop3() {
    let scene = Scene::new();
    let port = scene.server.pop_port();
    let user = Scene::user_in_url();
    scene
        .flow
        .credentials(&format!("pop://{user}:wrong@127.0.0.1:{port}\n"));
    scene.set(&MailFlow::new(Access::Pop));
    insta::assert_snapshot!(said(&scene.flow, &fails(&scene)));
}

#[test]
fn unknown_host() {
    let scene = Scene::new();
    // RFC 2606: never a host, wherever the test runs.
    scene.flow.credentials("imaps://me:secret@mail.invalid\n");
    let url = scene.url(Access::Imaps);
    let text = MailFlow::new(Access::Imaps)
        .text(&scene)
        .replace(&url, "imaps://me@mail.invalid/INBOX");
    scene.flow.add_flow(Scene::FLOW, &text);
    let mut text = said(&scene.flow, &fails(&scene));
    // The system's words depend on whether it could ask a name server at all.
    for words in [
        "Name or service not known",
        "Temporary failure in name resolution",
    ] {
        text = text.replace(words, "[NO SUCH NAME]");
    }
    insta::assert_snapshot!(text);
}

#[test]
fn refused_connection() {
    let scene = Scene::new();
    // A port that was free a moment ago, and that nobody listens on.
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    drop(listener);
    scene
        .flow
        .credentials(&format!("imap://me:secret@127.0.0.1:{port}\n"));
    let url = scene.url(Access::Imap);
    let text = MailFlow::new(Access::Imap).text(&scene);
    scene.flow.add_flow(
        Scene::FLOW,
        &text.replace(&url, &format!("imap://me@127.0.0.1:{port}/INBOX")),
    );
    insta::assert_snapshot!(said(&scene.flow, &fails(&scene)));
}

#[test]
fn bad_certificate_and_the_option_that_mends_it() {
    let scene = Scene::new();
    let sent: Vec<Generated> = mails(2, 3_000, 301).collect();
    scene.deliver(&sent);
    scene.set(&MailFlow::new(Access::Imaps).untrusted());
    let finished = fails(&scene);
    assert!(
        finished.stderr.contains("caFile"),
        "the message names the option: {}",
        finished.stderr
    );
    insta::assert_snapshot!(said(&scene.flow, &finished));
    scene.expect_parts(&[]);

    scene.set(&MailFlow::new(Access::Imaps));
    scene.once();
    scene.expect_parts(&sent);
}

#[test]
fn bad_certificate_after_starttls() {
    let scene = Scene::new();
    scene.set(&MailFlow::new(Access::ImapStartTls).untrusted());
    insta::assert_snapshot!(said(&scene.flow, &fails(&scene)));
}

#[test]
fn missing_folder() {
    let scene = Scene::new();
    let text = MailFlow::new(Access::Imap)
        .text(&scene)
        .replace("/INBOX", "/Nowhere");
    scene.flow.add_flow(Scene::FLOW, &text);
    insta::assert_snapshot!(said(&scene.flow, &fails(&scene)));
}

#[test]
fn a_mailbox_is_served_as_soon_as_the_password_is_right() {
    let scene = Scene::new();
    let sent: Vec<Generated> = mails(1, 3_000, 302).collect();
    scene.deliver(&sent);
    let port = scene.server.imap_port();
    let user = Scene::user_in_url();
    scene
        .flow
        .credentials(&format!("imap://{user}:wrong@127.0.0.1:{port}\n"));
    scene.set(&MailFlow::new(Access::Imap));
    fails(&scene);
    scene.flow.credentials(&format!(
        "imap://{user}:{}@127.0.0.1:{port}\n",
        Dovecot::PASSWORD
    ));
    scene.once();
    scene.expect_parts(&sent);
}
