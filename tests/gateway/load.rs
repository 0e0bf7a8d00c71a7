//! Many mails at the same time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use flow_testkit::sandbox::{Delay, Plan};
use flow_testkit::{CommuniGate, CommuniGateSetup, Flow, Sandbox, Verdict};

use crate::shipped::{HOST, ONE, Site, one_process};
use crate::{HELPER, SOON, expect_each_once, gateway, queue_file, serve, whose};

/// The next of a row of numbers that look like chance.
fn next(seed: &mut u64) -> u64 {
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

/// How many mails are sent.
fn count() -> usize {
    let given = std::env::var("FLOW_GATEWAY_MAILS").ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(300)
}

/// What was added to the time of the verdicts, the median and the 99th of a hundred, and how long all took.
type Added = (Duration, Duration, Duration);

/// Sends mails with verdicts that take up to `longest` milliseconds.
fn added(count: usize, longest: u64) -> Added {
    let flow = gateway("instances: 64\nconcurrency: 8", "");
    let server = serve(&flow, HELPER, CommuniGateSetup::default());
    // Instances are made, and the compiler is done.
    for number in 0..64 {
        server.mail(
            &format!("warm-{number}"),
            &queue_file(number, "addheader 300"),
        );
    }
    server.answers(64, SOON);
    let mut seed = 7;
    let delays: Vec<u64> = (0..count)
        .map(|_| {
            if longest == 0 {
                0
            } else {
                next(&mut seed) % longest
            }
        })
        .collect();
    for (number, delay) in delays.iter().enumerate() {
        std::fs::write(
            flow.path(&format!("cgp/Queue/{number}.msg")),
            queue_file(number, &format!("addheader {delay}")),
        )
        .expect("the disk takes it");
    }
    let start = Instant::now();
    for number in 0..count {
        server.offer(&format!("Queue/{number}.msg"));
    }
    for _ in 0..count {
        let (file, verdict) = server.answer(SOON);
        assert_eq!(file, format!("Queue/{}.msg", whose(&verdict)));
    }
    let all = start.elapsed();
    let report = server.quit();
    expect_each_once(&report);
    assert_eq!((report.starts, report.exit), (1, Some(0)));
    let mut added: Vec<Duration> = report
        .latencies
        .iter()
        .filter_map(|(file, took)| {
            let number: usize = file
                .strip_prefix("Queue/")?
                .strip_suffix(".msg")?
                .parse()
                .ok()?;
            Some(took.saturating_sub(Duration::from_millis(delays[number])))
        })
        .collect();
    added.sort_unstable();
    (added[added.len() / 2], added[added.len() * 99 / 100], all)
}

/// Measures and says so; the median of what was added, and how many mails a second had their verdict.
#[expect(clippy::print_stdout, reason = "it says what it measured")]
fn measured(what: &str, measure: impl FnOnce(usize) -> Added) -> (Duration, f64) {
    let count = count();
    let (median, most, all) = measure(count);
    let rate = count as f64 / all.as_secs_f64();
    println!(
        "{count} mails{what}: added {median:?} in the middle, {most:?} for 99 of 100; {all:?}, {rate:.0} mails/s"
    );
    (median, rate)
}

/// The promise, less than 100 ms, is for a release build with the machine to itself.
fn expect_little(what: &str, measure: impl FnOnce(usize) -> Added) {
    let (median, _) = measured(what, measure);
    assert!(median < SOON, "{median:?}");
}

fn expect_a_rate(what: &str, measure: impl FnOnce(usize) -> Added) {
    let (_, rate) = measured(what, measure);
    assert!(rate > 1.0, "{rate}");
}

#[test]
fn each_of_many_is_answered_once_and_soon() {
    expect_little(", verdicts in up to 2 s", |count| added(count, 2_000));
}

#[test]
fn verdicts_at_once() {
    expect_a_rate(", verdicts at once", |count| added(count, 0));
}

/// As [`added`], through the flow that is shipped and a sandbox whose scans take up to `longest`.
fn added_by_the_shipped_flow(count: usize, longest: Duration) -> Added {
    let sandbox = Sandbox::start();
    let flow = one_process(&sandbox, &[]);
    let server = serve(&flow, ONE, CommuniGateSetup::default());
    added_by(&sandbox, &flow, server, count, longest)
}

/// The same through the flows for a pool: a helper and a machine that scans, with RabbitMQ between.
fn added_by_the_shipped_pool(count: usize, longest: Duration) -> Added {
    let sandbox = Sandbox::start();
    let site = Site::new(&sandbox, &[]);
    let running = site.scan();
    let server = serve(&site.host, HOST, CommuniGateSetup::default());
    let added = added_by(&sandbox, &site.host, server, count, longest);
    drop(running);
    added
}

fn added_by(
    sandbox: &Sandbox,
    flow: &Flow,
    server: CommuniGate,
    count: usize,
    longest: Duration,
) -> Added {
    for number in 0..100 {
        server.mail(
            &format!("warm-{number}"),
            &queue_file(100_000 + number, "adware"),
        );
    }
    server.answers(100, SOON);
    sandbox.plan(|plan: &mut Plan| {
        plan.delay = match longest.is_zero() {
            true => Delay::None,
            false => Delay::UpTo(longest),
        };
    });
    for number in 0..count {
        flow.write(
            &format!("cgp/Queue/{number}.msg"),
            &queue_file(number, "adware"),
        );
    }
    let start = Instant::now();
    for number in 0..count {
        server.offer(&format!("Queue/{number}.msg"));
    }
    let mut ids = HashMap::new();
    for _ in 0..count {
        let (file, verdict) = server.answer(SOON);
        let Verdict::Passed(lines) = verdict else {
            panic!("{file}: {verdict:?}");
        };
        let id = lines[2]
            .strip_prefix("X-Sandbox-Scan-Id: ")
            .expect("its id");
        ids.insert(id.to_owned(), file);
    }
    let all = start.elapsed();
    assert_eq!(ids.len(), count, "each has a scan of its own");
    let report = server.quit();
    assert_eq!((report.violations, report.starts), (vec![], 1));
    let latencies: HashMap<String, Duration> = report.latencies.into_iter().collect();
    let mut added = Vec::new();
    for scan in sandbox.scans() {
        let Some(file) = ids.get(&scan.id) else {
            continue;
        };
        let head = String::from_utf8_lossy(&scan.sample.head).into_owned();
        let number = file.trim_start_matches("Queue/").trim_end_matches(".msg");
        assert!(
            head.contains(&format!("X-Number: {number}\r\n")),
            "{file} has the verdict of another"
        );
        added.push(latencies[file].saturating_sub(scan.over - scan.asked));
    }
    added.sort_unstable();
    (added[added.len() / 2], added[added.len() * 99 / 100], all)
}

#[test]
fn the_shipped_flow_adds_little() {
    expect_little(", scans of up to 2 s", |count| {
        added_by_the_shipped_flow(count, Duration::from_secs(2))
    });
}

#[test]
fn the_shipped_flow_with_verdicts_at_once() {
    expect_a_rate(", scans at once", |count| {
        added_by_the_shipped_flow(count, Duration::ZERO)
    });
}

#[test]
fn the_shipped_pool_adds_little() {
    expect_little(" to a pool, scans of up to 2 s", |count| {
        added_by_the_shipped_pool(count, Duration::from_secs(2))
    });
}

#[test]
fn the_shipped_pool_with_verdicts_at_once() {
    expect_a_rate(" to a pool, scans at once", |count| {
        added_by_the_shipped_pool(count, Duration::ZERO)
    });
}
