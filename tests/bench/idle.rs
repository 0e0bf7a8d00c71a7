//! Flows that have nothing to do, in one background process: what starting, stopping, looking and
//! waiting takes. Half of them watch a directory each, half subscribe to what those announce.
//!
//! The kernel gives a user 128 inotify instances unless `fs.inotify.max_user_instances` says
//! otherwise; watches beyond that would fail, so the others poll a directory instead.

use std::process::Output;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use flow_testkit::{Flow, wait};
use flow_tests::background;

use crate::{Load, place};

/// Sizes of the table.
const USUAL: [usize; 2] = [20, 1_000];
/// How long they are looked at while nothing happens.
const IDLE: Duration = Duration::from_secs(10);
/// How long they may take until all run.
const PATIENCE: Duration = Duration::from_secs(60);
/// Watches at most, where the kernel does not allow more; other programs of the user have some too.
const INSTANCES: usize = 100;
/// Questions for `flow status`, of which the one in the middle counts.
const QUESTIONS: usize = 5;
/// What `/proc` counts computing in.
const TICK_MS: u64 = 10;

/// Runs it and prints its table. `--count 0` stands for the usual sizes.
pub(crate) fn run(load: &Load) -> Result<()> {
    println!(
        "\n| flows | started, s | status, ms | RSS, MiB | its own, MiB | threads | open files | CPU in {} s, ms | stopped, s |",
        IDLE.as_secs()
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let counts = match load.count {
        0 => USUAL.to_vec(),
        count => vec![count],
    };
    for count in counts {
        for _ in 0..load.runs {
            measured(count)?;
        }
    }
    Ok(())
}

fn measured(count: usize) -> Result<()> {
    let flow = Flow::new_in(&place());
    configure(&flow, count)?;
    let installed = Installed(flow);
    let flow = &installed.0;
    let (output, started) = timed(flow, "start")?;
    said(&output)?;
    let pid = background::pid(flow).context("there is a background process")?;
    let since = Instant::now();
    while running(flow)? < count {
        ensure!(
            since.elapsed() < PATIENCE,
            "not all {count} flows run: see `flow status`"
        );
        wait::pause(Duration::from_millis(50));
    }
    let mut looks = Vec::new();
    for _ in 0..QUESTIONS {
        looks.push(timed(flow, "status")?.1);
    }
    looks.sort_unstable();
    let before = computing(pid)?;
    wait::pause(IDLE);
    let idle = computing(pid)? - before;
    let (all, own, threads) = (
        field(pid, "VmRSS:")?,
        field(pid, "RssAnon:")?,
        field(pid, "Threads:")?,
    );
    let files = std::fs::read_dir(format!("/proc/{pid}/fd"))?.count();
    let (output, stopped) = timed(flow, "stop")?;
    said(&output)?;
    println!(
        "| {count} | {:.2} | {:.0} | {:.0} | {:.0} | {threads} | {files} | {idle} | {:.2} |",
        started.as_secs_f64(),
        looks[looks.len() / 2].as_secs_f64() * 1e3,
        all as f64 / 1024.0,
        own as f64 / 1024.0,
        stopped.as_secs_f64(),
    );
    Ok(())
}

fn configure(flow: &Flow, count: usize) -> Result<()> {
    let limit = std::fs::read_to_string("/proc/sys/fs/inotify/max_user_instances")?;
    let limit: usize = limit.trim().parse()?;
    let watches = if count / 2 + INSTANCES < limit {
        count
    } else {
        INSTANCES.min(limit / 2)
    };
    for number in 0..count.div_ceil(2) {
        let name = format!("n{number:04}");
        let directory = flow.path(&name);
        std::fs::create_dir_all(&directory)?;
        let place = format!("path: {}\npost_exchange: xs_{name}\n", directory.display());
        if number < watches {
            flow.add_flow(&format!("watch/{name}"), &place);
        } else {
            flow.add_flow(
                &format!("poll/{name}"),
                &format!("pollUrl: file:///\n{place}"),
            );
        }
        if number < count / 2 {
            flow.add_flow(
                &format!("subscribe/{name}"),
                &format!("exchange: xs_{name}\ndirectory: ${{HOME}}/got/{name}\n"),
            );
        }
    }
    Ok(())
}

/// Its background process does not outlive it.
struct Installed(Flow);

impl Drop for Installed {
    fn drop(&mut self) {
        if let Some(pid) = background::pid(&self.0) {
            background::kill(pid);
        }
    }
}

fn timed(flow: &Flow, command: &str) -> Result<(Output, Duration)> {
    let mut command = flow.command(&[command]);
    let start = Instant::now();
    let output = command.output()?;
    Ok((output, start.elapsed()))
}

fn said(output: &Output) -> Result<()> {
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn running(flow: &Flow) -> Result<usize> {
    let output = flow.command(&["status", "--format", "json"]).output()?;
    let status: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let flows = status["flows"].as_array().context("a list of flows")?;
    let running = flows.iter().filter(|flow| flow["state"] == "running");
    Ok(running.count())
}

/// Milliseconds of computing so far.
fn computing(pid: i32) -> Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = stat.rsplit_once(')').context("a name in brackets")?;
    let fields = rest.split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(ticks * TICK_MS)
}

/// A number of `/proc/PID/status`; memory is in KiB.
fn field(pid: i32, name: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.context("the kernel says it")?.parse()?)
}
