//! Hostile mails: nothing in them may panic, grow memory or produce names that do harm.

mod common;

use std::fmt::Write as _;

use common::{Memory, decode, listing, run};
use mail_decode::{Decoder, Incomplete, Kind, Options, Sink};

/// Multiparts in multiparts, `depth` of them, a text innermost.
fn nested_multiparts(depth: usize) -> String {
    let mut mail = String::from("Subject: deep\n");
    for level in 0..depth {
        let _ = write!(
            mail,
            "Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n"
        );
    }
    mail.push_str("Content-Type: text/plain\n\ninnermost\n");
    for level in (0..depth).rev() {
        let _ = writeln!(mail, "--b{level}--");
    }
    mail
}

#[test]
fn multiparts_nested_200_deep() {
    let outcome = decode(nested_multiparts(200).as_bytes());
    assert_eq!(outcome.parts.len(), 1);
    assert_eq!(outcome.incomplete, None);
    let part = &outcome.parts[0];
    assert_eq!(part.rel_path, format!("in/7/part-1{}.eml", ".1".repeat(19)));
    assert!(
        part.headers
            .contains(&("undecoded", "max_depth".to_owned()))
    );
    // What was not taken apart can be, since it is a mail program's kind of file.
    let rest = decode(&part.content);
    let rest = decode(&rest.parts[0].content);
    assert_eq!(rest.parts.len(), 1);
    assert!(String::from_utf8_lossy(&part.content).contains("innermost"));
    // Within the limit the text itself comes out.
    let outcome = decode(nested_multiparts(20).as_bytes());
    assert_eq!(outcome.parts[0].content, b"innermost");
}

#[test]
fn mails_nested_200_deep() {
    let mut mail = String::from("Subject: innermost\n\nbody\n");
    for level in 0..200 {
        mail = format!("Subject: {level}\nContent-Type: message/rfc822\n\n{mail}");
    }
    let outcome = decode(mail.as_bytes());
    assert_eq!(outcome.parts.len(), 1, "{}", listing(&outcome));
    assert!(outcome.parts[0].rel_path.ends_with(".eml"));
    assert!(outcome.parts[0].content.ends_with(b"body\n"));
    assert!(
        outcome.parts[0]
            .headers
            .contains(&("undecoded", "max_depth".to_owned()))
    );
    let deep = Options {
        max_depth: 50,
        ..Options::default()
    };
    assert!(
        run(mail.as_bytes(), &deep, 1000).parts[0]
            .rel_path
            .ends_with(".eml")
    );
}

#[test]
fn parts_are_counted() {
    let mut mail = String::from("Content-Type: multipart/mixed; boundary=b\n\n");
    mail.push_str(&"--b\n\nx\n".repeat(5000));
    let outcome = decode(mail.as_bytes());
    // The multipart itself counts.
    assert_eq!(outcome.parts.len(), 999);
    assert_eq!(outcome.incomplete, Some(Incomplete::Parts));
    let text: String = "begin 644 a\n#0V%T\n`\nend\n".repeat(5000);
    let outcome = decode(format!("Subject: s\n\n{text}").as_bytes());
    assert_eq!(outcome.parts.len(), 1000);
    assert_eq!(outcome.incomplete, Some(Incomplete::Parts));
}

#[test]
fn headers_are_cut() {
    let options = Options {
        max_header: 2000,
        ..Options::default()
    };
    let mail = format!(
        "Subject: s\nX: {}\nTo: a@example.com\n\nbody\n",
        "x".repeat(1_000_000)
    );
    let outcome = run(mail.as_bytes(), &options, 1000);
    assert_eq!(outcome.incomplete, Some(Incomplete::Header));
    assert_eq!(outcome.parts[0].content, b"body\n");
    assert_eq!(outcome.mail, [("subject", "s".to_owned())]);
}

#[test]
fn a_header_full_of_open_words_takes_no_time() {
    for junk in [
        "=?",
        "=?utf-8?Q?",
        "=?utf-8?B?x",
        "\"",
        "(",
        "a;",
        "<",
        "=?a?q??=",
        "a*0=b;",
        ",",
    ] {
        let value = junk.repeat(250_000 / junk.len());
        let mail = format!("Subject: {value}\nFrom: {value}\nContent-Disposition: {value}\n\nx\n");
        let options = Options {
            max_header: 1_000_000,
            ..Options::default()
        };
        assert_eq!(
            run(mail.as_bytes(), &options, usize::MAX).parts.len(),
            1,
            "{junk}"
        );
    }
}

#[test]
fn lines_without_end() {
    for head in [
        "Subject: s\n\n",
        "Content-Type: multipart/mixed; boundary=b\n\n--b\n\n",
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Transfer-Encoding: quoted-printable\n\n",
        "Content-Type: text/plain; format=flowed\n\n",
        "Content-Type: multipart/mixed; boundary=b\n\n--b\n",
        "",
    ] {
        for fill in ["x", " ", "-", "--", "=", "\r", "\n--", ">", "\0"] {
            let mail = format!("{head}{}", fill.repeat(300_000 / fill.len()));
            let whole = run(mail.as_bytes(), &Options::default(), usize::MAX);
            let pieces = run(mail.as_bytes(), &Options::default(), 1021);
            assert_eq!(listing(&whole), listing(&pieces), "{head:?} {fill:?}");
        }
    }
}

/// Counts what it is given and keeps nothing.
#[derive(Default)]
struct Counting {
    bytes: usize,
    largest: usize,
}

impl Sink for Counting {
    type Writer = ();
    type Content = ();
    type Error = ();

    fn open(&mut self, _: &str, _: &str) -> Result<Option<()>, ()> {
        Ok(Some(()))
    }

    fn write(&mut self, (): &mut (), data: &[u8]) -> Result<(), ()> {
        self.bytes += data.len();
        self.largest = self.largest.max(data.len());
        Ok(())
    }

    fn finish(&mut self, (): ()) -> Result<(), ()> {
        Ok(())
    }
}

#[test]
fn a_large_attachment_passes_in_small_pieces() {
    let options = Options::default();
    let mut sink = Counting::default();
    let mut decoder = Decoder::new("m", &options, &mut sink);
    decoder
        .feed(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n")
        .unwrap();
    let line = format!("{}\r\n", "QUJD".repeat(19)).repeat(800);
    for _ in 0..300 {
        decoder.feed(line.as_bytes()).unwrap();
    }
    decoder.feed(b"\r\n--b--\r\n").unwrap();
    assert_eq!(decoder.finish().unwrap().parts.len(), 1);
    assert_eq!(sink.bytes, 300 * 800 * 57);
    assert!(sink.largest <= 64 * 1024);
}

#[test]
fn unwanted_kinds_are_left_out_and_names_stay() {
    let mail = b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nhi\n--b\nContent-Disposition: attachment; filename=a\n\n1\n\
        --b\nContent-Disposition: inline; filename=a\n\n2\n--b\nContent-Type: message/rfc822\n\nSubject: n\n\nx\n--b--\n";
    let all = Options {
        nested: false,
        ..Options::default()
    };
    let paths = |options: &Options| -> Vec<String> {
        run(mail, options, usize::MAX)
            .parts
            .into_iter()
            .map(|p| p.rel_path)
            .collect()
    };
    assert_eq!(
        paths(&all),
        ["in/7/body.txt", "in/7/a", "in/7/a~1", "in/7/part-4.eml"]
    );
    for (kind, expected) in [
        (Kind::Body, "in/7/body.txt"),
        (Kind::Attachment, "in/7/a"),
        (Kind::Inline, "in/7/a~1"),
        (Kind::Message, "in/7/part-4.eml"),
    ] {
        let one = Options {
            bodies: kind == Kind::Body,
            attachments: kind == Kind::Attachment,
            inline: kind == Kind::Inline,
            messages: kind == Kind::Message,
            ..all.clone()
        };
        assert_eq!(paths(&one), [expected]);
    }
}

#[test]
fn an_unwanted_body_may_hold_wanted_files() {
    let mut sink = Memory {
        wanted: |name| name.ends_with(".gif"),
        ..Memory::default()
    };
    let options = Options::default();
    let mail = b"Subject: s\n\nsee\nbegin 644 a.gif\n#0V%T\n`\nend\n";
    let Ok(outcome) = mail_decode::decode::decode(&mail[..], "m", &options, &mut sink) else {
        panic!("memory can be read and written");
    };
    assert_eq!(outcome.parts.len(), 1);
    assert_eq!(outcome.parts[0].content, b"Cat");
    assert_eq!(outcome.found, 2);
}
