//! `flow cleanup NAME…`: what a flow left at its brokers and on this machine.

use std::fmt::Write;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use flow_config::{Flow, FlowName, Input};
use flow_daemon::{Engine, Shelf, Store};
use serde_json::{Value, json};

use crate::args::FormatArg;
use crate::context::Context;
use crate::render::count;
use crate::stop::{Exit, Problem};

/// Arguments of `flow cleanup`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Deletes the queues of flows with everything that waits in them, the exchanges they post to where \
nothing is bound to those any more and no other flow here uses them, and what the flows remember: \
failed messages, dead letters, what was seen, plugin state. Their files stay, and the next start begins \
from nothing. Flows have to be stopped.

--queue deletes a queue of the built-in broker that no flow here takes from any more, as one is left by \
a flow that was removed or renamed; `flow list queues` shows them.

It shows what would be lost, with counts, and asks. With --format json, stdout is one array as that of \
`flow declare`; `result` is `deleted`, `absent`, `kept` or `failed`, and with --dry-run `planned`, with \
the count in \"waiting\" (null where it is not known).

Examples:
  flow cleanup subscribe/news --dry-run
  flow cleanup 'subscribe/test-*' --yes
  flow cleanup --queue q_embedded.subscribe.old

Exit codes: 0 cleaned up, 1 not confirmed, or something could not be deleted, 2 could not run.")]
pub(crate) struct Args {
    /// Which flows: `kind/name`, or a pattern such as `poll/mail-*`
    #[arg(value_name = "FLOW", required_unless_present = "queue")]
    flows: Vec<String>,
    /// A queue of the built-in broker that no flow takes from any more
    #[arg(long, value_name = "QUEUE", conflicts_with = "flows")]
    queue: Option<String>,
    /// Say what would be deleted, delete nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    format: FormatArg,
}

/// Shows, asks, deletes.
///
/// # Errors
/// A flow has errors, runs or is not there, or nobody can be asked.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.engine()?;
    if let Some(queue) = &args.queue {
        return left_queue(&engine, queue, args, context);
    }
    let names = context.select(&engine, &args.flows)?;
    stopped(&engine, &names, "nothing was deleted")?;
    let mut flows = Vec::new();
    for name in &names {
        flows.push(context.read(&engine, &name.to_string(), &[])?);
    }
    let others = others(&engine, &names)?;
    let runtime = super::foreground::runtime()?;
    let mut plan = String::from("This deletes:\n");
    for flow in &flows {
        plan_of(&engine, flow, &runtime, &mut plan)?;
    }
    context.console.talk(&plan);
    if args.dry_run {
        if args.format.is_json() {
            let rows = flows
                .iter()
                .flat_map(|flow| planned(&engine, flow, &runtime));
            let rows: Vec<Value> = rows.collect();
            context
                .console
                .print(&serde_json::to_string_pretty(&rows)?)?;
        }
        return Ok(Exit::Done);
    }
    if !args.yes && !context.confirm("Delete?")? {
        return Ok(Exit::No);
    }
    // Looked at again: the question may have waited for long.
    stopped(&engine, &names, "nothing was deleted")?;
    let pieces = runtime.block_on(engine.undeclare(&flows, &others))?;
    for name in &names {
        for file in store_files(&engine, name) {
            delete(&file)?;
        }
    }
    super::declare::show(&pieces, args.format.is_json(), context)
}

/// Deletes a queue that belongs to no flow.
fn left_queue(
    engine: &Engine,
    queue: &str,
    args: &Args,
    context: &Context,
) -> anyhow::Result<Exit> {
    let owner = others(engine, &[])?.into_iter().find(|flow| {
        let input = flow.input.as_ref();
        input.is_some_and(|input| is_embedded(input) && input.queue == queue)
    });
    if let Some(owner) = owner {
        return Err(Problem::new(
            "cli/queue-in-use",
            format!("`{}` takes from `{queue}`", owner.name),
        )
        .note("nothing was deleted")
        .hint(format!("`flow cleanup {}` deletes it", owner.name))
        .into());
    }
    let runtime = super::foreground::runtime()?;
    let queues = runtime.block_on(engine.queues())?;
    let found = queues.into_iter().find(|found| found.name == queue);
    let waiting = found.as_ref().map(|found| found.ready + found.leased);
    let mut row = json!({
        "flow": null, "what": "queue", "name": queue, "broker": "embedded:", "bindings": [],
        "result": "absent", "reason": null, "waiting": waiting,
    });
    let Some(waiting) = waiting else {
        if args.format.is_json() {
            context
                .console
                .print(&serde_json::to_string_pretty(&[row])?)?;
        }
        context.console.talk(&format!(
            "there is no queue `{queue}` in the built-in broker; `flow list queues` shows those there are"
        ));
        return Ok(Exit::Done);
    };
    context.console.talk(&format!(
        "This deletes:\n  queue {queue} at embedded:, {} messages wait in it\n",
        count(waiting)
    ));
    if args.dry_run {
        row["result"] = json!("planned");
    } else {
        if !args.yes && !context.confirm("Delete?")? {
            return Ok(Exit::No);
        }
        if runtime.block_on(engine.delete_embedded_queue(queue))? {
            row["result"] = json!("deleted");
            context.console.talk(&format!("deleted {queue}"));
        }
    }
    if args.format.is_json() {
        context
            .console
            .print(&serde_json::to_string_pretty(&[row])?)?;
    }
    Ok(Exit::Done)
}

/// Whether a queue is one of the built-in broker.
pub(super) fn is_embedded(input: &Input) -> bool {
    input.broker.without_password().starts_with("embedded:")
}

/// What would be deleted of a flow, for programs.
fn planned(engine: &Engine, flow: &Flow, runtime: &tokio::runtime::Runtime) -> Vec<Value> {
    let row = |what: &str, name: &str, broker: &str, waiting: Option<u64>| {
        json!({
            "flow": flow.name.to_string(), "what": what, "name": name, "broker": broker,
            "bindings": [], "result": "planned", "reason": null, "waiting": waiting,
        })
    };
    let mut rows = Vec::new();
    if let Some(input) = &flow.input {
        let waiting = runtime.block_on(engine.waiting(flow)).ok().flatten();
        let broker = input.broker.without_password();
        rows.push(row("queue", &input.queue, &broker, waiting));
    }
    if let Some(output) = flow.output.as_ref().filter(|output| output.declare) {
        let broker = output.broker.without_password();
        let exchanges = output
            .exchanges
            .iter()
            .filter(|_| broker.starts_with("amqp"));
        rows.extend(exchanges.map(|exchange| row("exchange", exchange, &broker, None)));
    }
    rows
}

/// Refuses flows that run.
///
/// # Errors
/// One of them runs.
pub(super) fn stopped(engine: &Engine, names: &[FlowName], meaning: &str) -> anyhow::Result<()> {
    match names.iter().find(|name| engine.is_running(name)) {
        None => Ok(()),
        Some(name) => Err(Problem::new("run/running", format!("`{name}` is running"))
            .note(meaning)
            .hint(format!("`flow stop {name}` stops it"))
            .into()),
    }
}

/// The flows that stay. One that can't be read may use anything.
pub(super) fn others(engine: &Engine, names: &[FlowName]) -> anyhow::Result<Vec<Flow>> {
    let mut others = Vec::new();
    for name in engine.flow_files()? {
        if names.contains(&name) {
            continue;
        }
        let (flow, _) = engine
            .read(&name, &[])
            .with_context(|| format!("nobody knows what `{name}` uses: nothing was deleted"))?;
        others.push(flow);
    }
    Ok(others)
}

fn plan_of(
    engine: &Engine,
    flow: &Flow,
    runtime: &tokio::runtime::Runtime,
    plan: &mut String,
) -> anyhow::Result<()> {
    // Writing to a String can't fail.
    let _ = writeln!(plan, "  {}", flow.name);
    if let Some(input) = &flow.input {
        let waiting = match runtime.block_on(engine.waiting(flow)) {
            Ok(Some(waiting)) => format!("{} messages wait in it", count(waiting)),
            Ok(None) => "what waits in it is not known, if it is there".to_owned(),
            Err(error) => format!("what waits in it is not known: {error}"),
        };
        let broker = input.broker.without_password();
        let _ = writeln!(plan, "    queue {} at {broker} ({waiting})", input.queue);
    }
    if let Some(output) = flow.output.as_ref().filter(|output| output.declare) {
        let broker = output.broker.without_password();
        if broker.starts_with("amqp") {
            let exchanges = output.exchanges.join(", ");
            let _ = writeln!(
                plan,
                "    exchange {exchanges} at {broker}, if nobody uses it"
            );
        }
    }
    let file = engine.store_file(&flow.name);
    if file.exists() {
        let store = engine.store(&flow.name)?;
        let of = |shelf| store.count(shelf).map_err(flow_daemon::Error::from);
        let (retry, dead) = (of(Shelf::Retry)?, of(Shelf::Dead)?);
        let _ = writeln!(
            plan,
            "    what it remembers: {} messages in retry, {} dead letters, what was seen\n      {}",
            count(retry),
            count(dead),
            file.display()
        );
    }
    Ok(())
}

/// The files of a flow's store that are there.
pub(super) fn store_files(engine: &Engine, name: &FlowName) -> Vec<PathBuf> {
    let files = Store::files(&engine.store_file(name)).into_iter();
    files.filter(|path| path.exists()).collect()
}

/// Deletes a file, if it is still there.
///
/// # Errors
/// It can't be deleted.
pub(super) fn delete(file: &Path) -> anyhow::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("can't delete {}", file.display()))
        }
        _ => Ok(()),
    }
}
