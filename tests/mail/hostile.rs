//! Mails that nobody wrote by accident, through the whole binary.
//!
//! Demanded of each: the run ends well, the mail itself is stored byte for byte, everything written
//! lies below the two directories the flow names, and what can be decoded is.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine;
use flow_testkit::Dovecot;
use flow_testkit::generate::sha256;
use flow_tests::{Access, MailFlow, Scene, queue, tree};

const HEAD: &str = "From: x@evil.example\r\nSubject: hostile\r\nMessage-ID: <1@evil.example>\r\nMIME-Version: 1.0\r\n";

/// An attachment in base64 under a `filename` parameter given as bytes.
fn attachment(filename: &[u8], content: &[u8]) -> Vec<u8> {
    let mut part =
        b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\
        Content-Disposition: attachment; filename=\""
            .to_vec();
    part.extend_from_slice(filename);
    part.extend(b"\"\r\n\r\n");
    part.extend(
        base64::engine::general_purpose::STANDARD
            .encode(content)
            .bytes(),
    );
    part.extend(b"\r\n");
    part
}

fn mixed(head: &str, parts: &[Vec<u8>]) -> Vec<u8> {
    let mut raw = format!("{head}Content-Type: multipart/mixed; boundary=b\r\n\r\n").into_bytes();
    for part in parts {
        raw.extend(b"--b\r\n");
        raw.extend_from_slice(part);
    }
    raw.extend(b"--b--\r\n");
    raw
}

/// Two hundred mails in one another, the innermost with an attachment.
fn nested(depth: usize) -> Vec<u8> {
    let mut raw = mixed(HEAD, &[attachment(b"deep.bin", b"the bottom")]);
    for level in 0..depth {
        let mut outer = format!(
            "From: x@evil.example\r\nSubject: level {level}\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/mixed; boundary=n{level}\r\n\r\n--n{level}\r\n\
             Content-Type: message/rfc822\r\n\r\n"
        )
        .into_bytes();
        outer.append(&mut raw);
        outer.extend(format!("\r\n--n{level}--\r\n").bytes());
        raw = outer;
    }
    raw
}

/// Runs the flow over one mail and returns what was decoded: file name → content's SHA-256.
#[track_caller]
fn decode(raw: &[u8]) -> BTreeMap<String, String> {
    let scene = Scene::new();
    scene.server.add_mail(Dovecot::USER, "INBOX", raw);
    scene.set(
        &MailFlow::new(Access::Imap)
            .everything()
            .mail_option("after: seen"),
    );
    let run = scene.once();
    assert!(
        scene.mailbox("INBOX")[0].seen(),
        "the mail is done with:\n{}",
        run.stderr
    );
    scene.expect_nothing_unfinished();

    let home = scene.flow.home();
    for file in tree::files(home) {
        let place = file.strip_prefix(home).expect("it was found there");
        let below = |name: &str| place.starts_with(name);
        assert!(
            below("mail") || below("parts") || below("config") || below("state"),
            "written outside of the flow's directories: {}",
            place.display()
        );
        for name in place.iter().map(|name| name.to_string_lossy()) {
            assert!(
                name.len() <= 255 && !name.contains(char::is_control),
                "unsafe name {name:?}"
            );
        }
    }
    let parts = tree::digests(&home.join("parts"));
    let posted = queue::queued(&scene.flow, "xs_files");
    assert_eq!(
        posted.len(),
        parts.len(),
        "what is stored is posted: {parts:?}"
    );
    let by_name: BTreeMap<String, String> = parts
        .iter()
        .map(|(path, digest)| {
            let name = Path::new(path)
                .file_name()
                .expect("files have names")
                .to_string_lossy()
                .into_owned();
            (name, digest.clone())
        })
        .collect();
    assert_eq!(
        by_name.len(),
        parts.len(),
        "names are unique within a mail: {parts:?}"
    );
    by_name
}

/// Expects exactly one decoded file with this content, and returns its name.
#[track_caller]
fn name_of(found: &BTreeMap<String, String>, content: &[u8]) -> String {
    let digest = sha256(content);
    let names: Vec<&String> = found
        .iter()
        .filter(|(_, one)| **one == digest)
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names.len(), 1, "one file with this content: {found:?}");
    names[0].clone()
}

#[test]
fn truncated_in_the_middle_of_an_attachment() {
    let whole = mixed(
        HEAD,
        &[
            attachment(b"first.bin", b"all of it"),
            attachment(b"second.bin", &[7; 3000]),
        ],
    );
    let found = decode(&whole[..whole.len() - 2000]);
    assert_eq!(name_of(&found, b"all of it"), "first.bin");
}

#[test]
fn nested_two_hundred_deep() {
    let found = decode(&nested(200));
    assert!(
        !found.is_empty(),
        "something of it is decoded, at least the first levels"
    );
}

#[test]
fn nested_as_deep_as_people_do() {
    assert_eq!(name_of(&decode(&nested(4)), b"the bottom"), "deep.bin");
}

#[test]
fn paths_for_names() {
    let found = decode(&mixed(
        HEAD,
        &[
            attachment(b"../../etc/passwd", b"one"),
            attachment(b"/etc/shadow", b"two"),
            attachment(b"..\\\\..\\\\boot.ini", b"three"),
            attachment(b"..", b"four"),
        ],
    ));
    assert_eq!(name_of(&found, b"one"), "passwd");
    assert_eq!(name_of(&found, b"two"), "shadow");
    assert_eq!(name_of(&found, b"three"), "boot.ini");
    assert_ne!(name_of(&found, b"four"), "..");
}

#[test]
fn empty_names_and_nul() {
    let found = decode(&mixed(
        HEAD,
        &[
            attachment(b"", b"one"),
            attachment(b"a\0b.bin", b"two"),
            attachment(b" ", b"three"),
        ],
    ));
    for content in [&b"one"[..], b"two", b"three"] {
        assert!(!name_of(&found, content).is_empty());
    }
}

#[test]
fn names_of_three_hundred_characters() {
    let ascii = format!("{}.pdf", "x".repeat(300));
    let cyrillic = format!("{}.pdf", "ж".repeat(300));
    let found = decode(&mixed(
        HEAD,
        &[
            attachment(ascii.as_bytes(), b"one"),
            attachment(cyrillic.as_bytes(), b"two"),
        ],
    ));
    for content in [&b"one"[..], b"two"] {
        let name = name_of(&found, content);
        assert!(name.len() <= 255 && name.ends_with(".pdf"), "{name}");
    }
}

#[test]
fn one_name_many_times() {
    let contents: Vec<Vec<u8>> = (0..5).map(|number| vec![b'a' + number; 10]).collect();
    let parts: Vec<Vec<u8>> = contents
        .iter()
        .map(|content| attachment(b"same.bin", content))
        .collect();
    let found = decode(&mixed(HEAD, &parts));
    assert_eq!(name_of(&found, &contents[0]), "same.bin");
    for content in &contents {
        assert!(name_of(&found, content).ends_with(".bin"));
    }
}

#[test]
fn no_subject_no_message_id() {
    let found = decode(&mixed(
        "From: x@evil.example\r\n",
        &[attachment(b"a.bin", b"content")],
    ));
    assert_eq!(name_of(&found, b"content"), "a.bin");
}

#[test]
fn nothing_at_all() {
    // A header without a body, a body without a header, and hardly anything.
    for raw in [
        &b"Subject: only a header\r\n"[..],
        b"\r\nonly a body\r\n",
        b"\r\n",
        b"\xff\xfe\x00\x01",
    ] {
        decode(raw);
    }
}

#[test]
fn the_samples_decode_whole() {
    let scene = Scene::new();
    for sample in flow_testkit::samples::all() {
        scene.server.add_mail(Dovecot::USER, "INBOX", &sample.raw);
    }
    scene.set(&MailFlow::new(Access::Imap).everything());
    scene.once();
    let found = tree::digests(&scene.flow.path("parts"));
    for sample in flow_testkit::samples::all() {
        for file in &sample.files {
            let digest = sha256(&file.content);
            let path = found
                .iter()
                .find(|(_, one)| **one == digest)
                .map(|(path, _)| path.as_str());
            let path = path.unwrap_or_else(|| panic!("{}: {} is missing", sample.about, file.name));
            let (stem, extension) = file
                .name
                .rsplit_once('.')
                .expect("sample names have an extension");
            let name = path.rsplit('/').next().unwrap_or(path);
            assert!(
                name.starts_with(stem) && name.ends_with(extension),
                "{}: {name}",
                sample.about
            );
        }
    }
    // Texts in every character set arrive as UTF-8.
    let texts: Vec<String> = tree::files(&scene.flow.path("parts"))
        .iter()
        .filter_map(|path| std::fs::read(path).ok())
        .filter_map(|content| String::from_utf8(content).ok())
        .collect();
    for wanted in [
        "Отчёт и смета во вложении",
        "от ООО «Ромашка» — оплачен = закрыт",
        "議事録をお送りします",
    ] {
        assert!(
            texts.iter().any(|text| text.contains(wanted)),
            "`{wanted}` is in no decoded file"
        );
    }
}
