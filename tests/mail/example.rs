//! `examples/mail-to-files` as its README says to run it, against a server of our own.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use flow_testkit::generate::sha256;
use flow_testkit::{Dovecot, samples};
use flow_tests::{Scene, queue, tree};

const FLOW: &str = "flow/mail-to-files";

/// The directory below `${HOME}/mail` the rules of the example choose for a file of a sample.
fn directory(name: &str) -> Option<&'static str> {
    let (stem, ending) = name.rsplit_once('.')?;
    match ending {
        "pdf" if stem.starts_with("invoice") => Some("invoices"),
        "csv" | "xls" | "xlsx" => Some("tables"),
        "png" | "jpg" | "jpeg" | "gif" => Some("pictures"),
        "pdf" => Some("documents"),
        _ => None,
    }
}

/// The scene with the example in it, and the samples in the mailbox.
fn scene() -> Scene {
    let mut scene = Scene::without_queue();
    queue::declare(&scene.flow, "xs_sorted");
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/mail-to-files");
    let text = fs::read_to_string(example.join(format!("{FLOW}.yaml"))).expect("it is there");
    scene.flow.add_flow(FLOW, &text);
    let server = format!("127.0.0.1:{}", scene.server.imaps_port());
    scene.flow.env("MAIL_USER", &Scene::user_in_url());
    scene.flow.env("MAIL_SERVER", &server);
    for sample in samples::all() {
        scene.server.add_mail(Dovecot::USER, "INBOX", &sample.raw);
    }
    scene
}

/// What is stored: the directory of each file, with the digest of its content.
fn stored(scene: &Scene) -> BTreeSet<(String, String)> {
    let found = tree::digests(&scene.flow.path("mail")).into_iter();
    let found = found.filter(|(path, _)| !path.starts_with("incoming/"));
    found
        .map(|(path, digest)| {
            let first = path.split('/').next().unwrap_or_default();
            (first.to_owned(), digest)
        })
        .collect()
}

#[test]
fn the_example_sorts_attachments_by_its_rules() {
    let scene = scene();
    let files = samples::all().into_iter().flat_map(|sample| sample.files);
    let expected: BTreeSet<(String, String)> = files
        .filter_map(|file| Some((directory(file.name)?.to_owned(), sha256(&file.content))))
        .collect();
    let kinds: BTreeSet<&str> = expected.iter().map(|(kind, _)| kind.as_str()).collect();
    assert!(kinds.len() >= 3, "the samples cover the rules: {kinds:?}");

    // The server's certificate is our own; a real one needs no such option.
    let authority = format!("caFile={}", scene.server.ca_file().display());
    scene.flow.run(&["check", FLOW]).expect(0);
    // The second time there is nothing new.
    for _ in 0..2 {
        let run = ["foreground", FLOW, "--once", "--trace", "--set", &authority];
        scene.flow.run(&run).expect(0);
        assert_eq!(stored(&scene), expected);
        let posted = queue::queued(&scene.flow, "xs_sorted");
        assert_eq!(posted.len(), expected.len(), "a message per file");
        for message in posted {
            let header = message
                .extra
                .get("sortedBy")
                .and_then(|value| value.as_str());
            assert_eq!(header, Some("mail-to-files"));
        }
    }
    let mails = scene.mailbox("INBOX");
    assert!(mails.iter().all(|mail| !mail.seen()), "`after: keep`");
}
