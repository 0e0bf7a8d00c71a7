//! What a callback costs: `flow` with the same callback in each language, beside sr3 with its own in
//! Python; then what an instance takes (`instance`).
//!
//! The callback is what `flow plugin new --entry after_accept` writes: it looks at the name of each
//! message, and sets a header. What is compared with is sr3's callback *path*: what becomes of a
//! message in a shovel of sr3 that has such a callback, in sr3's own loop (`Flow.run`): gathered from
//! RabbitMQ, filtered, put into a worklist that `after_accept` goes through, and whatever it let pass
//! posted and acknowledged. A Python loop over a list would be no such thing, as sr3 has none without
//! the rest. What the callback alone adds is the difference to the row of the same program without
//! one. Batches are of 100 messages in all.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use flow_testkit::Flow;

use crate::Load;
use crate::broker::{Broker, log};
use crate::compare::{Subject, compare, subject};
use crate::instance;
use crate::measure::measure;
use crate::shovel::declare_queue;
use crate::sr3::Sr3;

/// The same in sr3.
const CHECK: &str = "\
import logging
from sarracenia.flowcb import FlowCB

logger = logging.getLogger(__name__)


class Check(FlowCB):
    def after_accept(self, worklist):
        keep = []
        for msg in worklist.incoming:
            if msg['relPath'].endswith('.tmp'):
                msg.setReport(404, 'ends in .tmp')
                worklist.rejected.append(msg)
            else:
                msg['checked_by'] = 'check'
                keep.append(msg)
        worklist.incoming = keep
";

/// Messages from nowhere, so many as `MESSAGES` says, for sr3's loop without a broker.
const SOURCE: &str = "\
import os

import sarracenia
from sarracenia.flowcb import FlowCB


class Source(FlowCB):
    def __init__(self, options):
        super().__init__(options)
        self.left = int(os.environ['MESSAGES'])

    def gather(self, most):
        made = []
        for number in range(min(self.left, most)):
            msg = sarracenia.Message()
            msg['_format'] = 'v03'
            msg['_deleteOnPost'] = {'_format', 'exchange', 'subtopic', 'local_offset'}
            msg['pubTime'] = '20260101T000000.0'
            msg['baseUrl'] = 'https://example.org/'
            msg['relPath'] = f'data/a/{self.left - number}.txt'
            msg['subtopic'] = ['data', 'a']
            msg['exchange'] = 'xs'
            msg['local_offset'] = 0
            made.append(msg)
        self.left -= len(made)
        return (True, made)
";

/// Messages of the shorter run without a broker.
const ALONE: u32 = 20_000;

/// Runs it and prints its tables.
pub(crate) fn run(load: &Load) -> Result<()> {
    let work = tempfile::tempdir()?;
    let mut components = Vec::new();
    for language in ["rust", "python", "js"] {
        components.push(build(work.path(), language)?);
    }
    let broker = Broker::start()?;
    broker.declare("to", "xs_to")?;
    let sr3 = Sr3::installed(&broker)?;
    if let Some(sr3) = &sr3 {
        prepare(&broker, sr3)?;
    }
    broker.declare("unused", "xs_flow")?;
    let peer = |name, configuration: &'static str| {
        let (sr3, broker) = (sr3.as_ref(), &broker);
        subject(name, move || {
            let Some(sr3) = sr3 else { return Ok(None) };
            let count = load.count / 5;
            broker.fill(&format!("xs_{configuration}"), count)?;
            broker.purge("unused")?;
            let command = sr3.command(&["foreground", &format!("shovel/{configuration}")]);
            broker.moved("to", count, command).map(Some)
        })
    };
    let mut subjects = vec![
        peer("sr3 shovel with a callback", "check"),
        peer("sr3 shovel", "plain"),
        ours(&broker, load, "flow shovel", None),
    ];
    let names = [
        "flow shovel, Rust callback",
        "flow shovel, Python callback",
        "flow shovel, JavaScript callback",
    ];
    for (name, component) in names.into_iter().zip(&components) {
        subjects.push(ours(&broker, load, name, Some(component)));
    }
    compare(load, "messages", subjects)?;
    if let Some(sr3) = &sr3 {
        alone(sr3)?;
    }
    let languages = ["Rust", "Python", "JavaScript"].into_iter();
    let components: Vec<_> = languages
        .zip(components.iter().map(PathBuf::as_path))
        .collect();
    instance::run(&components)
}

/// A new project of this language, built: its component.
fn build(work: &Path, language: &str) -> Result<PathBuf> {
    let flow = Flow::new_in(&crate::place());
    let name = format!("check-{language}");
    let project = work.join(&name);
    let run = |arguments: &[&str]| -> Result<()> {
        // Not the harness' environment: toolchains look for what is theirs.
        let status = Command::new(flow.binary())
            .args(arguments)
            .current_dir(work)
            .status()?;
        ensure!(status.success(), "flow {arguments:?} failed");
        Ok(())
    };
    run(&[
        "plugin",
        "new",
        &name,
        "--lang",
        language,
        "--entry",
        "after_accept",
    ])?;
    let folder = project
        .to_str()
        .context("the temporary directory is text")?;
    run(&["plugin", "build", folder])?;
    Ok(project.join(format!("{name}.wasm")))
}

/// What sr3's loop takes without a broker, its callback with it and without: the longer run less the
/// shorter, so that starting does not count.
fn alone(sr3: &Sr3) -> Result<()> {
    sr3.write("plugins/source.py", SOURCE)?;
    println!("\n| sr3's loop, no broker | CPU, us each |");
    println!("| --- | ---: |");
    for (name, more) in [("with the callback", "callback check\n"), ("without", "")] {
        let text = format!("callback source\n{more}batch 100\nsleep -1\nlogLevel warning\n");
        sr3.configure("flow/alone", &text)?;
        let cpu = |count: u32| -> Result<f64> {
            let (_kept, log) = log()?;
            let mut command = sr3.command(&["foreground", "flow/alone"]);
            command.env("MESSAGES", count.to_string());
            Ok(measure(&mut command, &log)?.cpu.as_secs_f64())
        };
        let cost = (cpu(4 * ALONE)? - cpu(ALONE)?) / f64::from(3 * ALONE);
        println!("| {name} | {:.1} |", cost * 1e6);
    }
    Ok(())
}

fn prepare(broker: &Broker, sr3: &Sr3) -> Result<()> {
    let url = broker.url();
    sr3.write("plugins/check.py", CHECK)?;
    for (name, more) in [("plain", ""), ("check", "callback check\n")] {
        broker.declare("unused", &format!("xs_{name}"))?;
        sr3.configure(
            &format!("shovel/{name}"),
            &format!(
                "broker {url}\nexchange xs_{name}\ntopicPrefix v03\nprefetch 1000\nqueueName q_sr3_{name}\n\
                 subtopic #\npost_broker {url}\npost_exchange xs_to\nbatch 100\nsleep 0.01\n\
                 logLevel warning\n{more}"
            ),
        )?;
        let declared = sr3
            .command(&["declare", &format!("shovel/{name}")])
            .output()?;
        ensure!(declared.status.success(), "sr3 cannot declare its queue");
    }
    Ok(())
}

fn ours<'a>(
    broker: &'a Broker,
    load: &'a Load,
    name: &'a str,
    component: Option<&'a Path>,
) -> Subject<'a> {
    subject(name, move || {
        let flow = broker.installation();
        let url = broker.url();
        let mut text = format!(
            "broker: {url}\nexchange: xs_flow\nqueueName: q_flow_bench\nbatch: 100\n\
             post_broker: {url}\npost_exchange: xs_to\n"
        );
        if let Some(component) = component {
            let plugin = instance::install(&flow, component)?;
            text.push_str(&format!("callbacks:\n  - plugin: {plugin}\n"));
        }
        flow.add_flow("shovel/bench", &text);
        // Compiles it too, which is not measured.
        flow.run(&["check", "shovel/bench"]).expect(0);
        declare_queue(&flow, "shovel/bench")?;
        broker.fill("xs_flow", load.count)?;
        broker.purge("unused")?;
        let command = flow.command(&["foreground", "shovel/bench", "--log-level", "warn"]);
        broker.moved("to", load.count, command).map(Some)
    })
}
