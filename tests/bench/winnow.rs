//! Suppressing duplicates over RabbitMQ: `flow` beside sr3, all messages distinct.
//!
//! What a million of them take in memory and on disk is measured by the example `loop_throughput` of
//! `flow-runtime`.

use anyhow::{Result, ensure};

use crate::Load;
use crate::broker::Broker;
use crate::compare::{compare, subject};
use crate::shovel::declare_queue;
use crate::sr3::Sr3;

/// Runs it and prints its table.
pub(crate) fn run(load: &Load) -> Result<()> {
    let broker = Broker::start()?;
    broker.declare("to", "xs_to")?;
    let url = broker.url();
    let sr3 = Sr3::installed(&broker)?;
    if let Some(sr3) = &sr3 {
        broker.declare("unused", "xs_sr3")?;
        sr3.configure(
            "winnow/bench",
            &format!(
                "broker {url}\nexchange xs_sr3\ntopicPrefix v03\nprefetch 1000\nqueueName q_flow_sr3\nsubtopic #\n\
                 post_broker {url}\npost_exchange xs_to\nbatch 1000\nsleep 0.01\n\
                 nodupe_ttl 3600\nlogLevel warning\n"
            ),
        )?;
        ensure!(
            sr3.command(&["declare", "winnow/bench"])
                .output()?
                .status
                .success(),
            "sr3 cannot declare its queue"
        );
    }
    broker.declare("unused", "xs_flow")?;
    compare(
        load,
        "messages",
        vec![
            subject("sr3 winnow, tuned", || {
                let Some(sr3) = &sr3 else { return Ok(None) };
                sr3.forget()?;
                let count = load.count / 5;
                broker.fill("xs_sr3", count)?;
                broker.purge("unused")?;
                let command = sr3.command(&["foreground", "winnow/bench"]);
                broker.moved("to", count, command).map(Some)
            }),
            subject("flow winnow", || {
                let flow = broker.installation();
                flow.add_flow(
                    "winnow/bench",
                    &format!(
                        "broker: {url}\nexchange: xs_flow\nqueueName: q_flow_bench\n\
                         post_broker: {url}\npost_exchange: xs_to\nnodupe_ttl: 1h\n"
                    ),
                );
                declare_queue(&flow, "winnow/bench")?;
                broker.fill("xs_flow", load.count)?;
                broker.purge("unused")?;
                let command = flow.command(&["foreground", "winnow/bench", "--log-level", "warn"]);
                broker.moved("to", load.count, command).map(Some)
            }),
        ],
    )
}
