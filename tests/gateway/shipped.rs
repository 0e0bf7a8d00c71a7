//! The flows that are shipped, with the scanner that is shipped, against a sandbox of the test kit:
//! only addresses, directories and keys are set.

use std::collections::BTreeMap;
use std::time::Duration;

use flow_testkit::sandbox::{Delay, Plan};
use flow_testkit::{CommuniGate, CommuniGateSetup, Flow, Running, Sandbox, Verdict, wait};

use crate::broker::Broker;
use crate::{SOON, expect_late, queue_file, serve};

pub(crate) const ONE: &str = "flow/cgp-sandbox";
pub(crate) const HOST: &str = "flow/cgp-helper";
const POOL: &str = "subscribe/sandbox-scan";

/// Mails whose scans find each of what can be found.
const KINDS: [&str; 7] = [
    "text",
    "adware",
    "malware",
    "please say PARTIAL CLEAN",
    "please say FULL HARMLESS",
    "please say UNKNOWN UNKNOWN",
    "please say UNSCANNED -",
];

/// Adds a flow as it is shipped, and sets what has to be set.
#[track_caller]
fn add(flow: &Flow, name: &str, set: &[(&str, &str)]) {
    flow.run(&["add", &format!("{name}.yaml")]).expect(0);
    let path = flow.config_dir().join(format!("{name}.yaml"));
    let mut text = std::fs::read_to_string(&path).expect("it was added");
    for (from, to) in set {
        assert!(text.contains(from), "{name} has no `{from}`");
        text = text.replace(from, to);
    }
    std::fs::write(&path, text).expect("the home is writable");
}

/// What is set in every flow that scans.
fn scanning(sandbox: &Sandbox) -> Vec<(String, String)> {
    let ca_file = format!("caFile: {}", sandbox.ca_file().display());
    vec![
        ("https://sandbox.example.com".into(), sandbox.url()),
        ("# caFile: sandbox.pem".into(), ca_file),
    ]
}

fn all<'a>(first: &'a [(String, String)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let first = first.iter().map(|(from, to)| (from.as_str(), to.as_str()));
    first.chain(more.iter().copied()).collect()
}

/// The helper and the scanner in one process; `more` is set as well.
#[track_caller]
pub(crate) fn one_process(sandbox: &Sandbox, more: &[(&str, &str)]) -> Flow {
    let flow = Flow::new();
    flow.credentials(&sandbox.credential());
    let base = flow.path("cgp").display().to_string();
    let set = scanning(sandbox);
    let mut set = all(&set, more);
    set.push(("/var/CommuniGate", &base));
    add(&flow, ONE, &set);
    flow
}

/// A mail host and a machine that scans, with a broker between.
pub(crate) struct Site {
    pub(crate) broker: Broker,
    pub(crate) host: Flow,
    pub(crate) machine: Flow,
}

impl Site {
    pub(crate) fn new(sandbox: &Sandbox, more: &[(&str, &str)]) -> Self {
        let broker = Broker::start();
        let (whole, url) = (&broker.whole, &broker.url);
        let machine = Flow::new();
        machine.credentials(&format!("{whole}\n{}", sandbox.credential()));
        let set = scanning(sandbox);
        let broker_url = [("amqps://scanner@rabbitmq.example.com", url.as_str())];
        add(&machine, POOL, &all(&set, &broker_url));
        machine.run(&["declare", POOL]).expect(0);
        let host = Flow::new();
        host.credentials(&format!("{whole}\n"));
        let base = host.path("cgp").display().to_string();
        let fetched = format!("file:{base}");
        let mut set = vec![
            ("amqps://mail1@rabbitmq.example.com", url.as_str()),
            (
                "sftp://scanner@mail1.example.com/var/CommuniGate",
                fetched.as_str(),
            ),
            ("/var/CommuniGate", base.as_str()),
        ];
        set.extend(more);
        add(&host, HOST, &set);
        Self {
            broker,
            host,
            machine,
        }
    }

    pub(crate) fn scan(&self) -> Running {
        self.machine.spawn(&["foreground", POOL])
    }
}

/// What is in quarantine below the home of a flow.
pub(crate) fn quarantined(flow: &Flow) -> usize {
    std::fs::read_dir(flow.path("cgp/quarantine")).map_or(0, Iterator::count)
}

/// Whether nothing is left of what was scanned.
#[track_caller]
fn expect_nothing_left(flow: &Flow) {
    // What is being written lies in the nearest directory there is.
    let places = ["cgp", "cgp/scanning"].map(|place| std::fs::read_dir(flow.path(place)));
    let left: Vec<_> = places
        .into_iter()
        .flatten()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().contains(".eml"))
        .collect();
    assert!(left.is_empty(), "mails are kept: {left:?}");
}

/// Whether every mail has the verdict that follows from what its scan found, and from no other's.
#[track_caller]
pub(crate) fn expect_own(sandbox: &Sandbox, answers: &BTreeMap<String, Verdict>) {
    let scans = sandbox.scans();
    for (file, verdict) in answers {
        let number: usize = file
            .strip_prefix("Queue/")
            .and_then(|file| file.strip_suffix(".msg"))
            .and_then(|number| number.parse().ok())
            .expect("mails are called by numbers");
        let kind = KINDS[number % KINDS.len()];
        match (kind, verdict) {
            ("text", Verdict::Passed(lines)) => assert_eq!(*lines, [""; 0], "{file}"),
            ("adware", Verdict::Passed(lines)) => {
                let [verdict, threat, id] = lines.as_slice() else {
                    panic!("{file}: {lines:?}");
                };
                assert_eq!(verdict, "X-Sandbox-Verdict: unwanted");
                let id = id.strip_prefix("X-Sandbox-Scan-Id: ").expect("its id");
                let scan = scans.iter().find(|scan| scan.id == id).expect("a scan");
                let head = String::from_utf8_lossy(&scan.sample.head);
                assert!(
                    head.contains(&format!("X-Number: {number}\r\n")),
                    "{file}: {head}"
                );
                assert!(
                    threat.ends_with(&scan.sample.sha256[..12]),
                    "{file}: {threat}"
                );
            }
            ("malware", Verdict::Dropped) => {}
            (_, Verdict::Kept(why)) if kind.starts_with("please") => {
                assert!(why.starts_with("the sandbox says"), "{file}: {why}");
            }
            _ => panic!("{file} is {kind}: {verdict:?}"),
        }
    }
}

/// Whether a mail stays in the queue because it is none.
#[track_caller]
fn expect_no_queue_file(verdict: &Verdict) {
    let kept = matches!(verdict, Verdict::Kept(why) if why.contains("is no queue file"));
    assert!(kept, "{verdict:?}");
}

/// Puts mails of every kind into the queue.
pub(crate) fn mails(server: &CommuniGate, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let kind = KINDS[number % KINDS.len()];
        server.mail(&number.to_string(), &queue_file(number, kind));
    }
}

#[test]
fn one_process_does_what_follows_from_each_verdict() {
    let sandbox = Sandbox::start();
    let flow = one_process(&sandbox, &[]);
    let server = serve(&flow, ONE, CommuniGateSetup::default());
    mails(&server, 0..28);
    let answers = server.answers(28, SOON);
    assert_eq!(answers.len(), 28);
    expect_own(&sandbox, &answers);
    server.mail("none", b"Subject: not from the queue\n\nmalware\n");
    expect_no_queue_file(&server.answer(SOON).1);
    assert_eq!(quarantined(&flow), 4);
    expect_nothing_left(&flow);
    let report = server.quit();
    assert_eq!(report.violations, [""; 0]);
    assert_eq!((report.starts, report.exit), (1, Some(0)));
}

#[test]
fn every_action_on_what_is_dangerous() {
    for (action, copies) in [
        ("addheader", 0),
        ("error", 0),
        ("rejected", 0),
        ("failure", 0),
        ("ok", 0),
        ("discard", 1),
    ] {
        let sandbox = Sandbox::start();
        let set = format!("on_dangerous: {action}");
        let more = [
            ("on_dangerous: discard", set.as_str()),
            ("instances: 50", "instances: 2"),
        ];
        let flow = one_process(&sandbox, &more);
        let server = serve(&flow, ONE, CommuniGateSetup::default());
        server.mail("1", &queue_file(1, "malware"));
        let (_, verdict) = server.answer(SOON);
        let is_it = |why: &String| why.contains("dangerous: Trojan.Test.");
        let fits = match (action, &verdict) {
            ("addheader", Verdict::Passed(lines)) => lines[0] == "X-Sandbox-Verdict: dangerous",
            ("error", Verdict::Bounced(why)) | ("rejected", Verdict::Kept(why)) => is_it(why),
            ("failure", Verdict::Unfiltered) | ("discard", Verdict::Dropped) => true,
            ("ok", Verdict::Passed(lines)) => lines.is_empty(),
            _ => false,
        };
        assert!(fits, "{action}: {verdict:?}");
        assert_eq!(quarantined(&flow), copies, "{action}");
        assert_eq!(server.close().violations, [""; 0]);
    }
}

#[test]
fn a_sandbox_that_is_away_is_answered_for_at_the_deadline() {
    let sandbox = Sandbox::start();
    let flow = one_process(&sandbox, &[("deadline: 9m", "deadline: 3s")]);
    let server = serve(&flow, ONE, CommuniGateSetup::default());
    mails(&server, 0..1);
    expect_own(&sandbox, &server.answers(1, SOON));
    sandbox.down();
    mails(&server, 1..8);
    expect_late(&server.answers(7, SOON));
    sandbox.up();
    // The server asks again.
    for number in 1..8 {
        server.offer(&format!("Queue/{number}.msg"));
    }
    let answers = server.answers(7, SOON);
    expect_own(&sandbox, &answers);
    let report = server.close();
    assert_eq!((report.violations, report.starts), (vec![], 1));
}

#[test]
fn one_process_is_killed_and_no_mail_is_lost_or_gets_the_verdict_of_another() {
    let sandbox = Sandbox::with(Plan {
        delay: Delay::UpTo(Duration::from_millis(600)),
        ..Plan::default()
    });
    let flow = one_process(&sandbox, &[]);
    let setup = CommuniGateSetup {
        outstanding: 12,
        ..Default::default()
    };
    let server = serve(&flow, ONE, setup);
    let count = 70;
    mails(&server, 0..count);
    let mut answers = server.answers(8, SOON);
    for round in 0..3_u64 {
        wait::pause(Duration::from_millis(40 + round * 190));
        if round == 1 {
            sandbox.down();
            sandbox.up();
        }
        server.kill_helper();
        answers.extend(server.answers(6, SOON));
    }
    answers.extend(server.answers(count - 8 - 18, SOON));
    assert_eq!(answers.len(), count);
    expect_own(&sandbox, &answers);
    let report = server.close();
    assert_eq!(report.violations, [""; 0]);
    assert_eq!((report.starts, report.timeouts), (4, 0));
    // A copy has the name of the connection it came by: one that was killed may leave one more.
    assert!(quarantined(&flow) >= count / KINDS.len());
}

#[test]
fn the_pool_does_what_follows_from_each_verdict() {
    let sandbox = Sandbox::start();
    let site = Site::new(&sandbox, &[]);
    let running = site.scan();
    let server = serve(&site.host, HOST, CommuniGateSetup::default());
    mails(&server, 0..28);
    // Too large to travel along.
    let mut large = queue_file(31, KINDS[31 % KINDS.len()]);
    large.extend(b"a line of a large mail\n".repeat(80_000));
    server.mail("31", &large);
    let answers = server.answers(29, SOON);
    assert_eq!(answers.len(), 29);
    expect_own(&sandbox, &answers);
    // Told back by the machine that was to scan it, at once.
    server.mail("none", b"Subject: not from the queue\n\nmalware\n");
    expect_no_queue_file(&server.answer(SOON).1);
    assert_eq!(quarantined(&site.machine), 4);
    let report = server.quit();
    assert_eq!(report.violations, [""; 0]);
    assert_eq!((report.starts, report.exit), (1, Some(0)));
    running.terminate();
    running.finish(SOON).expect(0);
    expect_nothing_left(&site.machine);
}

#[test]
fn the_pool_is_killed_part_by_part_and_no_mail_is_lost() {
    let sandbox = Sandbox::with(Plan {
        delay: Delay::UpTo(Duration::from_millis(400)),
        ..Plan::default()
    });
    let mut site = Site::new(&sandbox, &[]);
    let mut running = site.scan();
    let setup = CommuniGateSetup {
        outstanding: 20,
        ..Default::default()
    };
    let server = serve(&site.host, HOST, setup);
    let count = 84;
    mails(&server, 0..count);
    let mut answers = server.answers(8, SOON);
    running.kill();
    running = site.scan();
    answers.extend(server.answers(8, SOON));
    server.kill_helper();
    answers.extend(server.answers(8, SOON));
    sandbox.down();
    wait::pause(Duration::from_millis(300));
    sandbox.up();
    answers.extend(server.answers(8, SOON * 2));
    site.broker.server.kill();
    wait::pause(Duration::from_millis(300));
    site.broker.server.restart();
    answers.extend(server.answers(count - 32, SOON * 2));
    assert_eq!(answers.len(), count);
    expect_own(&sandbox, &answers);
    let report = server.close();
    assert_eq!(report.violations, [""; 0]);
    assert_eq!((report.starts, report.timeouts), (2, 0));
    drop(running);
}

#[test]
fn a_pool_that_is_away_is_answered_for_at_the_deadline() {
    let sandbox = Sandbox::start();
    let site = Site::new(&sandbox, &[("deadline: 9m", "deadline: 3s")]);
    let server = serve(&site.host, HOST, CommuniGateSetup::default());
    mails(&server, 0..7);
    expect_late(&server.answers(7, SOON));
    // It comes too late for those, and in time for others.
    let running = site.scan();
    mails(&server, 7..14);
    let answers = server.answers(7, SOON);
    assert!(
        answers
            .keys()
            .all(|file| !(0..7).any(|old| *file == format!("Queue/{old}.msg")))
    );
    let report = server.close();
    assert_eq!((report.violations, report.starts), (vec![], 1));
    drop(running);
}
