//! The helper's protocol, and what an earlier connector did wrong with it.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use flow_testkit::{CommuniGateSetup, Verdict};

use crate::{HELPER, SOON, expect_each_once, gateway, queue_file, serve, whose};

#[test]
fn every_version_of_the_interface_is_answered() {
    for (interface, helper, answer) in [
        (1, "", Verdict::Passed(vec![])),
        (
            2,
            "",
            Verdict::Passed(vec!["X-Verdict-Of: 1".into(), "X-Size: 51".into()]),
        ),
        (
            3,
            "",
            Verdict::Passed(vec!["X-Verdict-Of: 1".into(), "X-Size: 51".into()]),
        ),
        (
            7,
            "interface_max: 3",
            Verdict::Passed(vec!["X-Verdict-Of: 1".into(), "X-Size: 51".into()]),
        ),
    ] {
        let flow = gateway("", helper);
        let setup = CommuniGateSetup {
            interface,
            ..Default::default()
        };
        let server = serve(&flow, HELPER, setup);
        server.mail("1", &queue_file(1, ""));
        let (_, found) = server.answer(SOON);
        assert_eq!(found, answer, "interface {interface}");
        let report = server.quit();
        assert_eq!(report.violations, [""; 0]);
        assert_eq!(
            (report.exit, report.stderr.as_str()),
            (Some(0), ""),
            "QUIT ends it"
        );
        assert_eq!(
            report.responses.last().map(|line| line.ends_with(" OK")),
            Some(true)
        );
    }
}

#[test]
fn other_commands_are_answered_and_talk_is_not() {
    let flow = gateway("", "");
    let mut command = flow.command(&["helper", HELPER]);
    let command = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("asked for");
    let mut out = BufReader::new(child.stdout.take().expect("asked for"));
    let mut hear = |stdin: &mut std::process::ChildStdin, said: &str| {
        stdin.write_all(said.as_bytes()).expect("it reads");
        let mut line = String::new();
        out.read_line(&mut line).expect("it writes");
        line.trim_end().to_owned()
    };
    assert_eq!(hear(&mut stdin, "1 INTF nonsense\n"), "1 INTF 4");
    assert_eq!(
        hear(&mut stdin, "* by the way\nnothing\n\n2 KEY abc\r\n"),
        "2 OK"
    );
    assert_eq!(hear(&mut stdin, "3 VRFY someone\n"), "3 FAILURE");
    assert_eq!(hear(&mut stdin, "4 FILE\n"), "4 FAILURE");
    drop(stdin);
    let ended = child.wait_with_output().expect("it ends");
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(ended.stderr, b"");
}

#[test]
fn every_word_of_the_scanner_reaches_the_server() {
    let flow = gateway("", "on_error: rejected");
    let server = serve(&flow, HELPER, CommuniGateSetup::default());
    let kept = |why: &str| Verdict::Kept(format!("the scanner said `{why}`"));
    let cases = [
        ("ok", Verdict::Passed(vec![])),
        ("discard 0 x", Verdict::Dropped),
        (
            "error 0 not \"here\"",
            Verdict::Bounced("not \"here\"".into()),
        ),
        ("rejected 0 later", Verdict::Kept("later".into())),
        ("failure", Verdict::Unfiltered),
        ("addheader 0 X-A: 1", Verdict::Passed(vec!["X-A: 1".into()])),
        // Words nobody knows, and none at all, never drop a mail.
        ("DISCARDED 0 x", kept("DISCARDED")),
        ("silent 0 x", kept("")),
        ("never", Verdict::Kept("this can't be scanned".into())),
        // Tried again until it works.
        (
            "temporary",
            Verdict::Passed(vec!["X-Verdict-Of: 10".into(), "X-Size: 62".into()]),
        ),
        (
            "crash",
            Verdict::Passed(vec!["X-Verdict-Of: 11".into(), "X-Size: 58".into()]),
        ),
    ];
    for (number, (test, _)) in cases.iter().enumerate() {
        server.mail(&format!("{}", number + 1), &queue_file(number + 1, test));
    }
    let answers = server.answers(cases.len(), SOON);
    for (number, (test, expected)) in cases.iter().enumerate() {
        assert_eq!(
            answers[&format!("Queue/{}.msg", number + 1)],
            *expected,
            "{test}"
        );
    }
    // However much the scanner has to say, a line has 4096 bytes.
    server.mail("long", &queue_file(99, "lines"));
    let (_, long) = server.answer(SOON);
    assert!(
        matches!(&long, Verdict::Passed(lines) if lines[0].ends_with("...(cut)")),
        "{long:?}"
    );
    let report = server.quit();
    assert_eq!(report.violations, [""; 0]);
    assert_eq!(report.starts, 1);
    assert_eq!(
        std::fs::read_dir(flow.path("scratch")).map_or(0, Iterator::count),
        0,
        "mails are not kept"
    );
}

#[test]
fn verdicts_come_in_their_own_order() {
    // One scan at a time, or in batches, would take as long as all of them.
    let flow = gateway("instances: 16", "");
    let server = serve(&flow, HELPER, CommuniGateSetup::default());
    let slow = server.mail("slow", &queue_file(0, "addheader 8000"));
    let start = Instant::now();
    for number in 1..=14 {
        server.mail(&number.to_string(), &queue_file(number, "addheader 10"));
    }
    for _ in 1..=14 {
        let (file, verdict) = server.answer(SOON);
        assert_eq!(file, format!("Queue/{}.msg", whose(&verdict)));
    }
    let quick = start.elapsed();
    assert!(
        quick < Duration::from_secs(7),
        "they waited for the slow one: {quick:?}"
    );
    assert_eq!(server.answer(SOON).0, slow);
    assert_eq!(server.close().violations, [""; 0]);
}

#[test]
fn a_restarted_helper_gives_no_mail_the_verdict_of_another() {
    let flow = gateway("", "");
    let server = serve(&flow, HELPER, CommuniGateSetup::default());
    // The numbers of both runs begin anew, and other mails come in between.
    for number in 1..=8 {
        server.mail(&number.to_string(), &queue_file(number, "addheader 3000"));
    }
    server.mail("first", &queue_file(9, "ok"));
    server.kill_helper();
    for number in 11..=30 {
        server.mail(&number.to_string(), &queue_file(number, "addheader 5"));
    }
    let answers = server.answers(8 + 1 + 20, SOON);
    for (file, verdict) in answers {
        if file != "Queue/first.msg" {
            assert_eq!(file, format!("Queue/{}.msg", whose(&verdict)));
        }
    }
    let report = server.close();
    expect_each_once(&report);
    assert_eq!(report.starts, 2);
}

#[test]
fn a_scanner_that_is_away_is_answered_for_at_the_deadline() {
    for (policy, expected) in [
        ("rejected", Verdict::Kept("no verdict in time".into())),
        ("failure", Verdict::Unfiltered),
        (
            "addheader",
            Verdict::Passed(vec!["X-Sandbox-Verdict: not scanned".into()]),
        ),
    ] {
        // However often it is tried, the deadline comes first.
        let flow = gateway(
            "attempts: 0",
            &format!("deadline: 2s\non_timeout: {policy}"),
        );
        let setup = CommuniGateSetup {
            timeout: Duration::from_secs(50),
            ..Default::default()
        };
        let server = serve(&flow, HELPER, setup);
        // One is tried again and again, one hangs for longer than anybody waits.
        let away = server.mail("away", &queue_file(1, "away"));
        let hangs = server.mail("hangs", &queue_file(2, "addheader 6000"));
        let answers = server.answers(2, SOON);
        assert_eq!((&answers[&away], &answers[&hangs]), (&expected, &expected));
        // And it goes on.
        server.mail("next", &queue_file(3, "ok"));
        assert_eq!(server.answer(SOON).1, Verdict::Passed(vec![]));
        let report = server.close();
        assert_eq!((report.violations, report.starts), (vec![], 1));
    }
}

#[test]
fn more_than_may_be_in_flight_is_answered_at_once() {
    let flow = gateway("", "max_in_flight: 4\non_timeout: failure");
    let server = serve(&flow, HELPER, CommuniGateSetup::default());
    for number in 1..=12 {
        server.mail(&number.to_string(), &queue_file(number, "addheader 4000"));
    }
    let answers = server.answers(12, SOON);
    let refused = answers
        .values()
        .filter(|verdict| **verdict == Verdict::Unfiltered)
        .count();
    // Lines are taken at the same time, so a few more may be let in.
    assert!((4..=8).contains(&refused), "{answers:?}");
    assert_eq!(server.close().violations, [""; 0]);
}
