//! Queue files as they should not be.

use flow_testkit::{CommuniGateSetup, Verdict};

use crate::{HELPER, SOON, gateway, queue_file, serve, serve_limited};

#[test]
fn bad_queue_files_are_answered_and_hold_nobody_up() {
    let flow = gateway("", "on_error: rejected");
    let server = serve(&flow, HELPER, CommuniGateSetup::default());
    // Deleted by an administrator meanwhile: nothing to filter, and nothing wrong.
    server.offer("Queue/gone.msg");
    assert_eq!(server.answer(SOON).1, Verdict::Passed(vec![]));
    for (name, content) in [
        ("empty", &b""[..]),
        ("endless", b"P I x <a@b>\nR W x <c@d>\n"),
        ("plain", b"Subject: a mail without envelope\n\nbody\n"),
    ] {
        server.mail(name, content);
        let (file, verdict) = server.answer(SOON);
        assert!(
            matches!(&verdict, Verdict::Kept(why) if why.contains("is no queue file")),
            "{file}: {verdict:?}"
        );
    }
    for path in ["../../etc/passwd", "/etc/../passwd", "Queue", "."] {
        server.offer(path);
        let verdict = server.answer(SOON).1;
        assert!(matches!(verdict, Verdict::Kept(_)), "{path}: {verdict:?}");
    }
    let report = server.quit();
    assert_eq!((report.violations, report.starts), (vec![], 1));
}

#[test]
fn mails_are_scanned_whole_whatever_their_envelope_and_line_ends() {
    let flow = gateway("", "");
    let server = serve(&flow, HELPER, CommuniGateSetup::default());
    let mail = "X-Number: 5\nX-Test: addheader\n\nSubject: \u{e9}\r\nline\n\n\nend";
    let size = mail.len() + mail.matches('\n').count() - mail.matches("\r\n").count();
    for (name, recipients, end) in [
        ("none", 0, "\n"),
        ("one", 1, "\r\n"),
        ("many", 200, "\n"),
        ("mixed", 7, "\r\n"),
    ] {
        let mut file = format!("P I x <>{end}O T\n");
        for number in 0..recipients {
            file.push_str(&format!("R W x <r{number}@example.com>{end}"));
        }
        file.push_str(end);
        file.push_str(mail);
        server.mail(name, file.as_bytes());
        let expected = Verdict::Passed(vec!["X-Verdict-Of: 5".into(), format!("X-Size: {size}")]);
        assert_eq!(server.answer(SOON).1, expected, "{name}");
    }
    // Bytes of no charset, and names with blanks.
    let mut file = queue_file(6, "addheader");
    file.extend([0xff, 0, b'\n', 0x80]);
    server.mail("8 bit;x", &file);
    assert!(
        matches!(server.answer(SOON).1, Verdict::Passed(lines) if lines[0] == "X-Verdict-Of: 6")
    );
    assert_eq!(server.close().violations, [""; 0]);
}

#[test]
fn a_mail_of_50_mib() {
    let flow = gateway("", "");
    let server = serve(&flow, HELPER, CommuniGateSetup::default());
    let mut file = queue_file(1, "addheader");
    let line = [b"x".repeat(76), b"\r\n".to_vec()].concat();
    while file.len() < 50 << 20 {
        file.extend(&line);
    }
    server.mail("large", &file);
    let Verdict::Passed(lines) = server.answer(SOON).1 else {
        panic!("it is passed on");
    };
    let size: usize = lines[1]
        .trim_start_matches("X-Size: ")
        .parse()
        .expect("a number");
    assert!(size > 49 << 20, "{size}");
    assert_eq!(server.close().violations, [""; 0]);
}

#[test]
fn a_full_disk_costs_no_mail() {
    // No file may become larger than 8 MiB: a small mail can be put together, a large one can't.
    let flow = gateway("", "deadline: 3s\non_timeout: rejected");
    let server = serve_limited(&flow, HELPER, CommuniGateSetup::default(), 8 << 20);
    let mut large = queue_file(1, "ok");
    large.extend(b"a line of a large mail\n".repeat(500_000));
    server.mail("large", &large);
    let verdict = server.answer(SOON).1;
    assert_eq!(verdict, Verdict::Kept("no verdict in time".into()));
    server.mail("small", &queue_file(2, "ok"));
    assert_eq!(server.answer(SOON).1, Verdict::Passed(vec![]));
    let report = server.close();
    assert_eq!((report.violations, report.starts), (vec![], 1));
}
