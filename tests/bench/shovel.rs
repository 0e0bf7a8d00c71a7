//! From queue to exchange over RabbitMQ: `flow` beside the bare client library and sr3; then one
//! message at a time; then from queue to queue of the embedded broker.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use flow_testkit::Flow;

use crate::broker::{Broker, Latency};
use crate::compare::{Run, compare, subject};
use crate::measure::{Service, measure};
use crate::sr3::Sr3;
use crate::{Load, place};

/// Messages of the latency.
const SINGLES: usize = 200;

/// Runs it and prints its tables.
pub(crate) fn run(load: &Load) -> Result<()> {
    let broker = Broker::start()?;
    broker.declare("to", "xs_to")?;
    let flow = broker.installation();
    let url = broker.url();
    flow.add_flow(
        "shovel/bench",
        &format!(
            "broker: {url}\nexchange: xs_flow\nqueueName: q_flow_bench\n\
             post_broker: {url}\npost_exchange: xs_to\n"
        ),
    );
    broker.declare("from_echo", "xs_echo")?;
    broker.declare("unused", "xs_flow")?;
    let start = || flow.command(&["foreground", "shovel/bench", "--log-level", "warn"]);
    declare_queue(&flow, "shovel/bench")?;
    let sr3 = Sr3::installed(&broker)?;
    if let Some(sr3) = &sr3 {
        broker.declare("unused", "xs_sr3")?;
        sr3.configure(
            "shovel/bench",
            &format!(
                "broker {url}\nexchange xs_sr3\ntopicPrefix v03\nprefetch 1000\nqueueName q_flow_sr3\nsubtopic #\n\
                 post_broker {url}\npost_exchange xs_to\nbatch 1000\nsleep 0.01\n\
                 logLevel warning\n"
            ),
        )?;
        ensure!(
            sr3.command(&["declare", "shovel/bench"])
                .output()?
                .status
                .success(),
            "sr3 cannot declare its queue"
        );
    }
    compare(
        load,
        "messages",
        vec![
            subject("bare echo", || {
                broker.fill("xs_echo", load.count)?;
                let command = broker.echo("from_echo", "xs_to");
                broker.moved("to", load.count, command).map(Some)
            }),
            subject("flow shovel", || {
                broker.fill("xs_flow", load.count)?;
                broker.purge("unused")?;
                broker.moved("to", load.count, start()).map(Some)
            }),
            subject("sr3 shovel, tuned", || {
                let Some(sr3) = &sr3 else { return Ok(None) };
                let count = load.count / 5;
                broker.fill("xs_sr3", count)?;
                broker.purge("unused")?;
                let command = sr3.command(&["foreground", "shovel/bench"]);
                broker.moved("to", count, command).map(Some)
            }),
        ],
    )?;
    println!("\n| one message at a time | p50, ms | p99, ms | worst, ms |");
    println!("| --- | ---: | ---: | ---: |");
    let echo = broker.echo("from_echo", "xs_to");
    tell("bare echo", &broker.single("xs_echo", "to", SINGLES, echo)?);
    tell(
        "flow shovel",
        &broker.single("xs_flow", "to", SINGLES, start())?,
    );
    if let Some(sr3) = &sr3
        && !load.skips.iter().any(|skip| skip == "sr3 shovel, tuned")
    {
        let command = sr3.command(&["foreground", "shovel/bench"]);
        let latency = broker.single("xs_sr3", "to", SINGLES / 4, command)?;
        tell("sr3 shovel, tuned", &latency);
    }
    embedded(load, &broker)
}

/// A line of a table of latencies.
pub(crate) fn tell(name: &str, latency: &Latency) {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "| {name} | {:.1} | {:.1} | {:.1} |",
        ms(latency.half),
        ms(latency.most),
        ms(latency.worst)
    );
}

/// Runs a flow over nothing, so that its queue is there.
pub(crate) fn declare_queue(flow: &Flow, name: &str) -> Result<()> {
    let output = flow.command(&["foreground", name, "--once"]).output()?;
    ensure!(
        output.status.success(),
        "{name} does not run: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// From RabbitMQ to the embedded broker, which fills it, and on inside it.
fn embedded(load: &Load, broker: &Broker) -> Result<()> {
    let once = || -> Result<Run> {
        let flow = Flow::new_in(&place());
        flow.credentials(&format!("{}\n", broker.secret_url()));
        let url = broker.url();
        flow.add_flow(
            "shovel/in",
            &format!("broker: {url}\nexchange: xs_in\nqueueName: q_flow_in\npost_exchange: xs_a\n"),
        );
        flow.add_flow("shovel/on", "exchange: xs_a\npost_exchange: xs_b\n");
        broker.declare("unused", "xs_in")?;
        declare_queue(&flow, "shovel/in")?;
        declare_queue(&flow, "shovel/on")?;
        flow_tests::queue::declare(&flow, "xs_b");
        broker.fill("xs_in", load.count)?;
        broker.purge("unused")?;
        let (_directory, log) = crate::broker::log()?;
        let filling = Service::start(
            &mut flow.command(&["foreground", "shovel/in", "--log-level", "warn"]),
            &log,
        )?;
        while flow_tests::queue::count(&flow, "xs_a") < load.count {
            flow_testkit::wait::pause(Duration::from_millis(50));
        }
        drop(filling);
        let run = |name| {
            let mut command = flow.command(&["foreground", name, "--once", "--log-level", "warn"]);
            measure(&mut command, &log)
        };
        let mut measured = run("shovel/on")?;
        let started = Instant::now();
        let idle = run("shovel/on")?;
        let start_up = started.elapsed();
        // What every run takes that moves nothing.
        measured.time = measured.time.saturating_sub(start_up);
        measured.cpu = measured.cpu.saturating_sub(idle.cpu);
        let there = flow_tests::queue::count(&flow, "xs_b");
        ensure!(there == load.count, "{there} of {} arrived", load.count);
        Ok(measured.of(load.count))
    };
    compare(
        load,
        "messages",
        vec![subject("flow shovel, embedded to embedded", || {
            once().map(Some)
        })],
    )?;
    Ok(())
}
