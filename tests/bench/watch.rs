//! Watching a large tree: from closing a file to its message, and how fast it is looked through.

use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use flow_testkit::Flow;

use crate::broker::Broker;
use crate::measure::Service;
use crate::shovel::tell;
use crate::{Load, place};

/// Files of the latency.
const FILES: usize = 500;
/// How long an idle watch is looked at.
const IDLE: Duration = Duration::from_secs(10);

/// Runs it and prints its tables.
pub(crate) fn run(load: &Load) -> Result<()> {
    let broker = Broker::start()?;
    broker.declare("posts", "xs_watch")?;
    let directory = tempfile::tempdir_in(place())?;
    let tree = directory.path().join("tree");
    crate::post::fill(&tree, load.count, 10)?;
    println!("\n{} files:\n", load.count);
    println!("| start | files/s | seconds | CPU, s | peak, MiB |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    for number in 0..load.runs {
        let flow = installation(&broker, &tree, "post_on_start: on\nidentity: none\n");
        broker.purge("posts")?;
        let waiting = broker.wait("posts", load.count)?;
        let (_directory, log) = crate::broker::log()?;
        let (started, since) = (Instant::now(), SystemTime::now());
        let service = Service::start(
            &mut flow.command(&["foreground", "watch/bench", "--log-level", "warn"]),
            &log,
        )?;
        waiting.end(since)?;
        line(
            "all announced, no digest, AMQP",
            load.count,
            started,
            &service,
        );

        let flow = Flow::new_in(&place());
        flow.add_flow(
            "watch/bench",
            &format!(
                "path: {tree}\npost_exchange: xs_b\npost_baseUrl: file:/\npost_baseDir: /\n",
                tree = tree.display()
            ),
        );
        flow_tests::queue::declare(&flow, "xs_b");
        let started = Instant::now();
        let mut running = flow.spawn(&["foreground", "watch/bench", "--log-level", "debug"]);
        running.wait_for("gathering", Duration::from_secs(60));
        // What is made before a directory was read counts as having been there.
        let markers = tree.join(format!("markers-{number}"));
        std::fs::create_dir(&markers)?;
        let mut made = 0;
        while flow_tests::queue::count(&flow, "xs_b") == 0 {
            made += 1;
            std::fs::write(markers.join(made.to_string()), "new")?;
            flow_testkit::wait::pause(Duration::from_millis(2));
        }
        let seconds = started.elapsed().as_secs_f64();
        println!(
            "| nothing announced, to the first message of a new file | {:.0} | {seconds:.2} | | {:.0} |",
            load.count as f64 / seconds,
            running.peak_memory().unwrap_or_default() as f64 / 1_048_576.0
        );
        running.kill();
        std::fs::remove_dir_all(markers)?;
    }
    latency(&broker, &tree)
}

fn installation(broker: &Broker, tree: &std::path::Path, rest: &str) -> Flow {
    let flow = broker.installation();
    flow.add_flow(
        "watch/bench",
        &format!(
            "path: {tree}\npost_broker: {url}\npost_exchange: xs_watch\npost_baseUrl: file:/\n\
             post_baseDir: /\n{rest}",
            tree = tree.display(),
            url = broker.url()
        ),
    );
    flow
}

fn line(name: &str, count: usize, started: Instant, service: &Service) {
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "| {name} | {:.0} | {seconds:.2} | {:.2} | {:.0} |",
        count as f64 / seconds,
        service.cpu().as_secs_f64(),
        service.peak() as f64 / 1_048_576.0
    );
}

fn latency(broker: &Broker, tree: &std::path::Path) -> Result<()> {
    let flow = installation(broker, tree, "");
    broker.purge("posts")?;
    let (_directory, log) = crate::broker::log()?;
    let service = Service::start(
        &mut flow.command(&["foreground", "watch/bench", "--log-level", "warn"]),
        &log,
    )?;
    let below = tree.join("0000");
    let below = below.to_string_lossy();
    println!("\n| from close to the consumer | p50, ms | p99, ms | worst, ms |");
    println!("| --- | ---: | ---: | ---: |");
    // The first ones only show that it runs.
    broker.files(&below, "posts", 1)?;
    tell("flow watch", &broker.files(&below, "posts", FILES)?);
    let before = service.cpu();
    flow_testkit::wait::pause(IDLE);
    let idle = service.cpu().saturating_sub(before);
    println!(
        "\nIdle for {IDLE:?}: {} ms of CPU, peak {:.0} MiB.",
        idle.as_millis(),
        service.peak() as f64 / 1_048_576.0
    );
    Ok(())
}
