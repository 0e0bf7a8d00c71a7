//! One small mail per pitfall, and what has to come out of it: `fixtures/<name>.eml` beside
//! `fixtures/<name>.txt`. Add a case by adding files; `UPDATE_EXPECT=1 cargo test` writes listings,
//! which are then to be read.
//!
//! Each mail is decoded in several cuts, with the line ends it is stored with and with the others.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{listing, run};
use mail_decode::Options;

fn mails() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut mails: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "eml"))
        .collect();
    mails.sort();
    assert!(mails.len() > 40, "the fixtures are gone");
    mails
}

fn with_crlf(mail: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut before = 0;
    for &byte in mail {
        if byte == b'\n' && before != b'\r' {
            out.push(b'\r');
        }
        out.push(byte);
        before = byte;
    }
    out
}

fn without_ends(listing: &str) -> String {
    let lines: Vec<&str> = listing
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    lines.join("\n").replace("\\r", "")
}

#[test]
fn every_fixture_gives_its_listing() {
    let options = Options::default();
    let mut wrong = Vec::new();
    for path in mails() {
        let mail = fs::read(&path).unwrap();
        let expect = path.with_extension("txt");
        let found = listing(&run(&mail, &options, usize::MAX));
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&expect, &found).unwrap();
        }
        let expected = fs::read_to_string(&expect).unwrap_or_default();
        if found != expected {
            wrong.push(format!(
                "{}:\n{found}\nexpected:\n{expected}",
                path.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn cuts_and_line_ends_make_no_difference() {
    let options = Options::default();
    for path in mails() {
        let lf = fs::read(&path).unwrap();
        let crlf = with_crlf(&lf);
        let expected = listing(&run(&lf, &options, usize::MAX));
        let expected_crlf = listing(&run(&crlf, &options, usize::MAX));
        for size in [1, 2, 3, 5, 7, 61, 1000] {
            let name = path.display();
            assert_eq!(
                listing(&run(&lf, &options, size)),
                expected,
                "{name} by {size}"
            );
            assert_eq!(
                listing(&run(&crlf, &options, size)),
                expected_crlf,
                "{name} by {size}"
            );
        }
        // Parts kept byte for byte keep their line ends; all else is the same.
        assert_eq!(
            without_ends(&expected_crlf),
            without_ends(&expected),
            "{}",
            path.display()
        );
    }
}
