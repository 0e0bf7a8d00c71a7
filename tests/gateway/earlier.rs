//! What an earlier connector did wrong, one test for each of its eight faults.
//!
//! | Fault | Test |
//! | --- | --- |
//! | 1: `INTF` answered for one version only | `protocol::every_version_of_the_interface_is_answered` |
//! | 2: the gateway away, a helper that never answers again | [`fault_2_a_broker_that_is_gone_leaves_a_helper_that_answers`] |
//! | 3: two requests, a crash between them | [`fault_3_a_crash_between_upload_and_scan_loses_no_mail`] |
//! | 4: numbers used again after a restart | `protocol::a_restarted_helper_gives_no_mail_the_verdict_of_another` |
//! | 5: one scan at a time, and what was under way is left behind | [`fault_5_scans_overlap_and_a_crash_leaves_none_behind`] |
//! | 6: what is not clean is dropped | `protocol::every_word_of_the_scanner_reaches_the_server` |
//! | 7: mails without a subject | `mails::mails_are_scanned_whole_whatever_their_envelope_and_line_ends` |
//! | 8: nobody checks who answers, lines are mixed | [`fault_8_a_sandbox_nobody_vouches_for_is_told_nothing`], [`fault_8_long_answers_at_the_same_time_are_whole_lines`] |

use std::collections::HashMap;
use std::time::Duration;

use flow_testkit::sandbox::{Delay, Kind, Plan};
use flow_testkit::{CommuniGateSetup, Sandbox, Verdict, wait};

use crate::shipped::{HOST, ONE, Site, expect_own, mails, one_process, quarantined};
use crate::{HELPER, SOON, expect_late, gateway, queue_file, serve, serve_with_disk};

/// Waits until something holds.
#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !holds() {
        assert!(start.elapsed() < SOON, "{what}: not within {SOON:?}");
        wait::pause(Duration::from_millis(10));
    }
}

#[test]
fn fault_2_a_broker_that_is_gone_leaves_a_helper_that_answers() {
    let sandbox = Sandbox::start();
    let mut site = Site::new(&sandbox, &[("deadline: 9m", "deadline: 3s")]);
    let server = serve(&site.host, HOST, CommuniGateSetup::default());
    // Nobody has scanned anything yet; the helper is at work.
    mails(&server, 0..1);
    let late = Verdict::Kept("no verdict in time".into());
    assert_eq!(server.answer(SOON).1, late);
    site.broker.server.kill();
    mails(&server, 1..8);
    expect_late(&server.answers(7, SOON));
    server.say("KEY still there");
    site.broker.server.restart();
    let running = site.scan();
    // The server asks again until somebody has scanned them.
    let mut answers = std::collections::BTreeMap::new();
    until("verdicts", || {
        server.offer("Queue/1.msg");
        let (file, verdict) = server.answer(SOON);
        let scanned = verdict != late;
        if scanned {
            answers.insert(file, verdict);
        }
        scanned
    });
    expect_own(&sandbox, &answers);
    let report = server.close();
    assert_eq!((report.violations, report.starts), (vec![], 1));
    assert!(
        report.responses.iter().any(|line| line.ends_with(" OK")),
        "{:?}",
        report.responses
    );
    drop(running);
}

#[test]
fn fault_3_a_crash_between_upload_and_scan_loses_no_mail() {
    let sandbox = Sandbox::start();
    sandbox.plan(|plan| {
        plan.faults("createScanTask", 7, Kind::Slow(Duration::from_secs(600)));
    });
    let flow = one_process(&sandbox, &[]);
    let server = serve(&flow, ONE, CommuniGateSetup::default());
    mails(&server, 0..7);
    until("uploads", || sandbox.count("uploadScanFile") == 7);
    sandbox.plan(|plan| plan.faults.clear());
    server.kill_helper();
    let answers = server.answers(7, SOON);
    assert_eq!(answers.len(), 7);
    expect_own(&sandbox, &answers);
    // And nobody asked about a scan there was none of.
    assert!(sandbox.asked().iter().all(|asked| asked.status == 200));
    let report = server.close();
    assert_eq!((report.violations, report.starts), (vec![], 2));
}

#[test]
fn fault_5_scans_overlap_and_a_crash_leaves_none_behind() {
    let plan = Plan {
        delay: Delay::Always(Duration::from_secs(3600)),
        ..Plan::default()
    };
    let sandbox = Sandbox::with(plan);
    let site = Site::new(&sandbox, &[]);
    let running = site.scan();
    let server = serve(&site.host, HOST, CommuniGateSetup::default());
    mails(&server, 0..21);
    // None is over, and all are under way: they do not wait for each other.
    until("scans", || sandbox.scans().len() == 21);
    running.kill();
    sandbox.plan(|plan| plan.delay = Delay::None);
    let running = site.scan();
    let answers = server.answers(21, SOON);
    assert_eq!(answers.len(), 21);
    expect_own(&sandbox, &answers);
    let mut scanned: HashMap<String, usize> = HashMap::new();
    for scan in sandbox.scans() {
        *scanned.entry(scan.sample.sha256).or_default() += 1;
    }
    assert!(scanned.values().all(|times| *times <= 2), "{scanned:?}");
    assert_eq!(quarantined(&site.machine), 3);
    assert_eq!(server.close().violations, [""; 0]);
    drop(running);
}

#[test]
fn fault_8_a_sandbox_nobody_vouches_for_is_told_nothing() {
    let sandbox = Sandbox::start();
    let other = Sandbox::start();
    let trusted = format!("caFile: {}", other.ca_file().display());
    let given = format!("caFile: {}", sandbox.ca_file().display());
    let set = [
        ("deadline: 9m", "deadline: 3s"),
        (given.as_str(), trusted.as_str()),
    ];
    let flow = one_process(&sandbox, &set);
    let server = serve(&flow, ONE, CommuniGateSetup::default());
    mails(&server, 0..7);
    expect_late(&server.answers(7, SOON));
    assert!(
        sandbox.asked().is_empty(),
        "not even the key: {:?}",
        sandbox.asked()
    );
    assert_eq!(server.close().violations, [""; 0]);
}

#[test]
fn fault_8_long_answers_at_the_same_time_are_whole_lines() {
    let flow = gateway("instances: 16", "");
    let server = serve(&flow, HELPER, CommuniGateSetup::default());
    for number in 0..120 {
        server.mail(&number.to_string(), &queue_file(number, "lines"));
    }
    for (file, verdict) in server.answers(120, SOON) {
        let whole = matches!(&verdict, Verdict::Passed(lines) if lines[0].len() > 1_000 && lines[0].ends_with("...(cut)"));
        assert!(whole, "{file}: {verdict:?}");
    }
    let report = server.quit();
    assert_eq!((report.violations, report.starts), (vec![], 1));
}

#[test]
fn what_can_not_be_put_into_quarantine_is_kept() {
    let sandbox = Sandbox::start();
    let flow = one_process(&sandbox, &[("deadline: 9m", "deadline: 3s")]);
    // No directory can be made where a file is, whoever asks.
    flow.write("cgp/quarantine", b"in the way");
    let server = serve(&flow, ONE, CommuniGateSetup::default());
    mails(&server, 0..3);
    let answers = server.answers(3, SOON);
    assert_eq!(answers["Queue/0.msg"], Verdict::Passed(vec![]));
    assert!(
        matches!(&answers["Queue/2.msg"], Verdict::Kept(_)),
        "{answers:?}"
    );
    assert_eq!(server.close().violations, [""; 0]);
}

#[test]
fn a_quarantine_whose_disk_is_full_loses_no_mail() {
    let sandbox = Sandbox::start();
    let flow = one_process(&sandbox, &[("deadline: 9m", "deadline: 3s")]);
    // Room for a copy of a small mail, and not for one of a large.
    let disk = ("cgp/quarantine", 256 << 10);
    let server = serve_with_disk(&flow, ONE, CommuniGateSetup::default(), disk);
    let mut large = queue_file(2, "malware");
    large.extend(b"a line of a large mail\n".repeat(50_000));
    server.mail("2", &large);
    expect_late(&server.answers(1, SOON));
    // It was not for want of a verdict.
    assert!(sandbox.count("uploadScanFile") > 0);
    mails(&server, 9..10);
    let (file, verdict) = server.answer(SOON);
    assert_eq!((file.as_str(), verdict), ("Queue/9.msg", Verdict::Dropped));
    let report = server.close();
    assert_eq!((report.violations, report.starts), (vec![], 1));
}
