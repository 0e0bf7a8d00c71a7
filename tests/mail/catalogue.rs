//! The shipped examples, used as a newcomer would: `flow add`, edit two lines, run.

use std::collections::BTreeSet;
use std::fs;

use flow_testkit::generate::sha256;
use flow_testkit::{Dovecot, samples};
use flow_tests::{Access, Scene, queue, tree};

const ACCOUNT: &str = "imaps://me%40example.com@imap.example.com/INBOX";

/// Does what the comments of the example ask for, in place of an editor.
fn edit(scene: &Scene, flow: &str) {
    let path = scene.flow.config_dir().join(format!("{flow}.yaml"));
    let text = fs::read_to_string(&path).expect("`flow add` wrote it");
    let edited = text
        .lines()
        .map(|line| match line.split_once("# EDIT") {
            Some((line, _)) => {
                let port = scene.server.imaps_port();
                line.replace(ACCOUNT, &scene.url(Access::Imaps))
                    .replace("imap.example.com:993", &format!("127.0.0.1:{port}"))
            }
            None => line.to_owned(),
        })
        .collect::<Vec<_>>()
        .join("\n");
    assert_ne!(edited, text.trim_end(), "{flow} says what to edit");
    // The server's certificate is our own; a real one needs no such line.
    let authority = format!("\ncaFile: {}\n", scene.server.ca_file().display());
    fs::write(&path, edited + &authority).expect("the configuration is writable");
}

fn deliver_samples(scene: &Scene) -> (BTreeSet<String>, usize) {
    let mut digests = BTreeSet::new();
    for sample in samples::all() {
        scene.server.add_mail(Dovecot::USER, "INBOX", &sample.raw);
        digests.extend(sample.files.iter().map(|file| sha256(&file.content)));
    }
    let count = digests.len();
    (digests, count)
}

/// Every file of the samples, and nothing else, is in the inbox of the day and posted once.
#[track_caller]
fn expect_samples(scene: &Scene, digests: &BTreeSet<String>, count: usize) {
    let mut found = tree::digests(&scene.flow.path("inbox"));
    // The mails themselves may lie there too; here it is about what was in them.
    found.retain(|path, _| !path.ends_with(".eml"));
    assert_eq!(found.len(), count, "{:?}", found.keys());
    assert_eq!(&found.into_values().collect::<BTreeSet<_>>(), digests);
    assert_eq!(queue::queued(&scene.flow, "xs_files").len(), count);
}

#[test]
fn one_flow_does_it_all() {
    let scene = Scene::new();
    let credentials =
        fs::read(scene.flow.config_dir().join("credentials.conf")).expect("written before");
    scene.flow.run(&["add", "flow/mail.yaml"]).expect(0);
    let after = fs::read(scene.flow.config_dir().join("credentials.conf")).expect("still there");
    assert_eq!(credentials, after, "`flow add` leaves passwords alone");
    edit(&scene, "flow/mail");
    scene.flow.run(&["check"]).expect(0);
    let (digests, count) = deliver_samples(&scene);
    scene.once();
    expect_samples(&scene, &digests, count);
}

#[test]
fn two_flows_over_the_embedded_broker() {
    let scene = Scene::new();
    scene
        .flow
        .run(&["add", "poll/mail.yaml", "subscribe/mail.yaml"])
        .expect(0);
    edit(&scene, "poll/mail");
    edit(&scene, "subscribe/mail");
    scene.flow.run(&["check"]).expect(0);
    // The queue has to be there before anything is posted to its exchange.
    scene
        .flow
        .run(&["foreground", "subscribe/mail", "--once"])
        .expect(0);
    let (digests, count) = deliver_samples(&scene);
    for _ in 0..2 {
        scene
            .flow
            .run(&["foreground", "poll/mail", "--once"])
            .expect(0);
        assert!(
            scene.mailbox("INBOX").iter().all(|mail| !mail.seen()),
            "a poll leaves no trace"
        );
        scene
            .flow
            .run(&["foreground", "subscribe/mail", "--once"])
            .expect(0);
        // The second time, nothing is new.
        expect_samples(&scene, &digests, count);
    }
    assert!(
        queue::queued(&scene.flow, "xs_mail").is_empty(),
        "every mail is done with"
    );
}

#[test]
fn without_a_file_for_passwords_one_is_made_and_kept_private() {
    use std::os::unix::fs::PermissionsExt;
    let flow = flow_testkit::Flow::new();
    let added = flow.run(&["add", "poll/mail.yaml"]).expect(0);
    let path = flow.config_dir().join("credentials.conf");
    let mode = fs::metadata(&path)
        .expect("it is made")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(
        added.stdout.is_empty(),
        "talk goes to stderr: {}",
        added.stdout
    );
    assert!(
        added.stderr.contains("flow foreground poll/mail"),
        "{}",
        added.stderr
    );
}
