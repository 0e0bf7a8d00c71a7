//! Mails through the scanner's plugin: how many in a second where the sandbox answers at once, and
//! how much later than the sandbox the verdict is there, with 50 scans outstanding of up to 2 s.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use flow_testkit::sandbox::{Delay, Plan};
use flow_testkit::{Flow, Sandbox, wait};
use flow_tests::queue;

use crate::Load;

const LIMIT: Duration = Duration::from_secs(140);
/// Scans of the second part.
const SLOW: usize = 300;

pub(crate) fn run(load: &Load) -> Result<()> {
    for _ in 0..load.runs {
        let (took, _) = measure(
            load.count,
            Delay::None,
            "concurrency: 4\n",
            "answers: held\n",
        )?;
        let rate = load.count as f64 / took.as_secs_f64();
        println!("{} mails, answered at once: {rate:.0} mails/s", load.count);
        let instances = "instances: 50\nbatch: 1\nprefetch: 1\n";
        let up_to = Delay::UpTo(Duration::from_secs(2));
        let (_, mut late) = measure(SLOW, up_to, instances, "answers: held\n")?;
        late.sort();
        let at = |part: usize| late[(late.len() - 1) * part / 100].as_millis();
        println!(
            "{SLOW} mails, verdicts after 0 to 2 s, 50 outstanding: added p50 {} ms, p99 {} ms, most {} ms",
            at(50),
            at(99),
            at(100)
        );
    }
    Ok(())
}

/// How long it took, and how long after the sandbox had each verdict its post was there.
fn measure(
    count: usize,
    delay: Delay,
    flow_lines: &str,
    plugin_lines: &str,
) -> Result<(Duration, Vec<Duration>)> {
    let sandbox = Sandbox::with(Plan {
        delay,
        ..Plan::default()
    });
    let flow = Flow::new_in(&crate::place());
    queue::declare(&flow, "xs_out");
    flow.credentials(&sandbox.credential());
    flow.add_flow(
        "subscribe/scan",
        &format!(
            "exchange: xs_in\ndownload: off\ncaFile: {}\n{flow_lines}callbacks:\n  - plugin: pt-sandbox\n    sandbox: {}\n    actions: announce\n    cache_ttl: 0s\n    {plugin_lines}post_exchange: xs_out\n",
            sandbox.ca_file().display(),
            sandbox.url()
        ),
    );
    flow.run(&["foreground", "subscribe/scan", "--once"])
        .expect(0);
    for number in 0..count {
        let mail = format!("Subject: {number}\r\n\r\n{}\r\n", "x".repeat(10_000));
        flow.write(&format!("in/{number:06}.eml"), mail.as_bytes());
    }
    flow.add_flow(
        "post/in",
        "path: ${HOME}/in\npost_baseDir: ${HOME}/in\npost_baseUrl: file:${HOME}/in\npost_exchange: xs_in\n",
    );
    flow.run(&["foreground", "post/in"]).expect(0);
    let running = flow.spawn(&["foreground", "subscribe/scan"]);
    let mut seen: HashMap<String, Instant> = HashMap::new();
    let began = Instant::now();
    while seen.len() < count {
        anyhow::ensure!(
            began.elapsed() < LIMIT,
            "{} of {count} are done: {}",
            seen.len(),
            running.stderr()
        );
        // Looking costs as much as there is: only where each moment counts.
        if delay == Delay::None && queue::count(&flow, "xs_out") < count {
            wait::pause(Duration::from_millis(5));
            continue;
        }
        let now = Instant::now();
        for message in queue::queued(&flow, "xs_out") {
            let id = message
                .extra
                .get("sandbox-scan-id")
                .and_then(|id| id.as_str());
            let id = id.context("a verdict names its scan")?.to_owned();
            seen.entry(id).or_insert(now);
        }
        wait::pause(Duration::from_millis(2));
    }
    running.terminate();
    let scans = sandbox.scans();
    let first = scans
        .iter()
        .map(|scan| scan.asked)
        .min()
        .context("there are scans")?;
    let last = seen.values().max().context("there are verdicts")?;
    let late = scans
        .iter()
        .filter_map(|scan| Some(seen.get(&scan.id)?.duration_since(scan.over)));
    Ok((last.duration_since(first), late.collect()))
}
