//! The server of the test kit and a helper its authors know nothing of: what the one says the other
//! understands. So a helper that gets along with this server should with others.

use flow_testkit::{CommuniGate, CommuniGateSetup, RspamdHelper, Verdict};

use crate::{SOON, queue_file};

/// What rspamd would say of a request: what the mail asks for.
fn rspamd(request: &str) -> String {
    let asked = |name: &str| {
        let mut lines = request.lines();
        let found = lines.find_map(|line| line.strip_prefix(name));
        found.unwrap_or_default().trim().to_owned()
    };
    // The envelope is told in header lines, and the mail begins where it begins.
    let envelope = [
        "From: <sender@example.org>",
        "Rcpt: <a@example.com>",
        "IP: 203.0.113.7",
    ];
    let lower = request.to_ascii_lowercase();
    let whole = envelope
        .iter()
        .all(|line| lower.contains(&line.to_ascii_lowercase()))
        && request.contains("\n\nX-Number:");
    let action = if whole {
        asked("X-Test:")
    } else {
        "reject".into()
    };
    format!(
        r#"{{"action":"{action}","message-id":"{0}","score":1,"required_score":5,"symbols":{{}},
           "milter":{{"add_headers":{{"X-Of":{{"value":"{0} \"x\""}}}}}}}}"#,
        asked("X-Number:")
    )
}

#[test]
fn a_helper_by_others_gets_along_with_the_server() {
    let helper = RspamdHelper::start(rspamd);
    let home = tempfile::tempdir().expect("a directory");
    let setup = CommuniGateSetup {
        // Of lines that come at the same time it sees only the first, until the next one comes.
        outstanding: 1,
        interface: 3,
        ..CommuniGateSetup::default()
    };
    let server = CommuniGate::start(home.path(), setup, move || helper.command());
    let tests = ["no action", "reject", "add header", "soft reject"];
    for number in 0..40 {
        server.mail(&number.to_string(), &queue_file(number, tests[number % 4]));
    }
    let answers = server.answers(40, SOON);
    for (file, verdict) in &answers {
        let number = file.trim_start_matches("Queue/").trim_end_matches(".msg");
        let of = format!("X-Of: {number} \"x\"");
        let expected = match number.parse::<usize>().expect("a number") % 4 {
            0 => Verdict::Passed(vec![of]),
            1 => Verdict::Dropped,
            2 => Verdict::Passed(vec![of, "X-Spam: yes".into()]),
            // It leaves the quotes out there, which this server is strict about.
            _ => Verdict::Unfiltered,
        };
        assert_eq!(*verdict, expected, "{file}");
    }
    server.offer("Queue/none.msg");
    assert_eq!(server.answer(SOON).1, Verdict::Unfiltered);
    let report = server.quit();
    assert_eq!((report.starts, report.exit), (1, Some(0)));
    assert_eq!(report.stderr, "");
    assert_eq!(report.violations.len(), 10, "{:?}", report.violations);
    for violation in &report.violations {
        assert!(
            violation.starts_with("no string: `") && violation.contains(" REJECTED Try again"),
            "{violation}"
        );
    }
    assert!(
        report.said[0].contains("has been started"),
        "{:?}",
        report.said
    );
    let quit = report.responses.last();
    assert!(quit.is_some_and(|line| line.ends_with(" OK")), "{quit:?}");
}
