//! `flow dump`: everything somebody asks for who is to help, as one JSON document.

use std::fs;
use std::path::Path;

use flow_config::FlowName;
use flow_daemon::background::overview;
use flow_daemon::{Engine, Shelf};
use serde_json::{Value, json};

use crate::catalogue;
use crate::context::Context;
use crate::stop::Exit;

/// Arguments of `flow dump`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Prints one JSON document with what an engineer asks for first: the version, the machine, where things \
are and how large, what runs, and of each flow every option with its value and its origin, what its \
store holds, and what is wrong with its file; then the queues of the built-in broker, and the plugins. \
Passwords are masked, and credentials.conf is not in it; read it through all the same before giving it \
away, as it names hosts, users and directories. No broker and no server is asked.

The document is for people and for reports of errors; its shape may change from version to version.

Examples:
  flow dump > flow-dump.json
  flow dump 'poll/*' | jq '.flows[].findings'

Exit codes: 0 printed, 2 could not.")]
pub(crate) struct Args {
    /// Which flows: `kind/name`, or a pattern such as `poll/mail-*`; none means all
    #[arg(value_name = "FLOW")]
    flows: Vec<String>,
}

/// Prints the document.
///
/// # Errors
/// A name selects nothing, or stdout can't be written. What can't be read otherwise is an error text
/// in the document.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.engine()?;
    let names = context.select_or_all(&engine, &args.flows)?;
    let flows: Vec<Value> = names
        .iter()
        .map(|name| flow(context, &engine, name))
        .collect();
    let document = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "time": jiff::Timestamp::now().to_string(),
        "machine": {
            "os": std::env::consts::OS,
            "architecture": std::env::consts::ARCH,
            "processors": std::thread::available_parallelism().map_or(0, usize::from),
        },
        "directories": directories(&engine),
        "status": status(&engine),
        "flows": flows,
        "queues": queues(&engine),
        "plugins": plugins(&engine),
    });
    context
        .console
        .print(&serde_json::to_string_pretty(&document)?)?;
    Ok(Exit::Done)
}

fn or_error(result: anyhow::Result<Value>) -> Value {
    match result {
        Ok(value) => value,
        Err(error) => json!({ "error": format!("{error:#}") }),
    }
}

fn status(engine: &Engine) -> Value {
    let read = || -> anyhow::Result<Value> {
        let status = super::background::running(engine)?;
        Ok(serde_json::to_value(overview(engine, status)?)?)
    };
    or_error(read())
}

fn directories(engine: &Engine) -> Value {
    let directories = engine.directories();
    let of = |path: &Path| {
        let (files, bytes) = size(path);
        json!({ "path": path, "files": files, "bytes": bytes })
    };
    json!({
        "config": of(&directories.config),
        "state": of(&directories.state),
        "cache": of(&directories.cache),
    })
}

/// Files below a directory, and their bytes; links are not followed.
fn size(directory: &Path) -> (u64, u64) {
    let mut found = (0, 0);
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(data) if data.is_dir() => open.push(entry.path()),
                Ok(data) => found = (found.0 + 1, found.1 + data.len()),
                Err(_) => {}
            }
        }
    }
    found
}

fn flow(context: &Context, engine: &Engine, name: &FlowName) -> Value {
    let options: Value = match engine.read(name, &[]) {
        Ok((flow, _)) => flow
            .settings
            .iter()
            .map(|setting| {
                json!({
                    "option": setting.name,
                    "value": setting.value,
                    "origin": setting.origin.to_string(),
                })
            })
            .collect(),
        Err(_) => Value::Null,
    };
    let findings = match context.report(engine, name, &[]) {
        Ok(report) => report.findings().iter().map(ToString::to_string).collect(),
        Err(error) => vec![format!("{error:#}")],
    };
    json!({
        "flow": name.to_string(),
        "running": engine.is_running(name),
        "disabled": engine.is_disabled(name),
        "findings": findings,
        "store": store(engine, name),
        "options": options,
    })
}

fn store(engine: &Engine, name: &FlowName) -> Value {
    let file = engine.store_file(name);
    if !file.exists() {
        return Value::Null;
    }
    let counted = || -> anyhow::Result<Value> {
        let store = engine.store(name)?;
        let bytes = fs::metadata(&file).map_or(0, |data| data.len());
        Ok(json!({
            "file": file,
            "bytes": bytes,
            "retry": store.count(Shelf::Retry)?,
            "dead": store.count(Shelf::Dead)?,
        }))
    };
    or_error(counted())
}

fn queues(engine: &Engine) -> Value {
    let read = || -> anyhow::Result<Value> {
        let queues = super::foreground::runtime()?.block_on(engine.queues())?;
        let row = |queue: &flow_daemon::QueueStatus| {
            let bindings: Vec<String> = queue
                .bindings
                .iter()
                .map(|binding| format!("{} {}", binding.exchange, binding.pattern))
                .collect();
            json!({
                "name": queue.name,
                "ready": queue.ready,
                "leased": queue.leased,
                "consumers": queue.consumers,
                "oldest_seconds": queue.oldest.map(|age| age.as_secs()),
                "bindings": bindings,
            })
        };
        Ok(queues.iter().map(row).collect())
    };
    or_error(read())
}

/// By name only: loading them all would compile them all.
fn plugins(engine: &Engine) -> Value {
    let shipped: Vec<&str> = catalogue::plugins().iter().map(|(name, _)| *name).collect();
    let directory = engine.directories().config.join("plugins");
    let mut own: Vec<String> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    own.sort();
    json!({ "shipped": shipped, "own": own })
}
