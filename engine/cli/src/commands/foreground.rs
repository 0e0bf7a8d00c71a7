//! `flow foreground NAME`: one flow in this terminal, and what happens in it.

use std::sync::Arc;

use anyhow::Context as _;
use flow_daemon::{Drain, RunOptions};

use crate::args::{LogLevel, SetArg};
use crate::context::Context;
use crate::observer::{self, Foreground};
use crate::stop::Exit;

/// Arguments of `flow foreground`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Runs the flow through the same code the background runs it, and says on stderr what happens: one \
line per event, progress of long work on a terminal. Ctrl-C or SIGTERM finishes what is in hand and \
stops; a second one stops at once. Either way nothing is lost: what was not finished is done again \
at the next start.

At --log-level debug it ends with what each plugin used.

--trace adds every step of every message: which rule accepted it, what each plugin decided, how long \
it took, which fields changed. Which events have a line, and from which level on, is `logEvents` \
and `logLevel` of the flow; --log-level goes before. Rejected messages have one unless the flow says \
otherwise (`logReject`, `logDuplicates`). --dry-run shows the steps up to the filters and stops there.

Examples:
  flow foreground flow/mail --once              until nothing is left to do
  flow foreground flow/mail --once --trace
  flow foreground flow/mail --dry-run --once    look only
  flow foreground flow/mail --set sleep=5s --log-level debug

Exit codes: 0 stopped as asked, 1 with --once: some messages failed (see `flow retry list`), \
2 could not run.")]
pub(crate) struct Args {
    /// Which flow: `kind/name`
    #[arg(value_name = "FLOW")]
    flow: String,
    /// Stop when there is nothing more to do
    #[arg(long)]
    once: bool,
    /// Print the life of each message, step by step
    #[arg(long)]
    trace: bool,
    /// Only look: fetch and post nothing, change nothing at the origin
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    set: SetArg,
}

/// Runs until it is done or told to stop.
///
/// # Errors
/// The flow has errors, is running already, or can't go on.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let console = &context.console;
    let engine = context.engine()?;
    let flow = context.load(&engine, &args.flow, &args.set.set)?;
    let level = context
        .level_asked_for()
        .unwrap_or_else(|| LogLevel::of_flow(flow.log.level));
    if context.level_asked_for().is_none() {
        observer::say_more(level);
    }
    // Of a dry run nothing remains but what it says.
    let trace = args.trace || args.dry_run;
    let observer = Foreground::new(console.clone(), &flow, level, trace);
    let observer = Arc::new(observer);
    let options = RunOptions {
        once: args.once,
        dry_run: args.dry_run,
    };
    let runtime = runtime()?;
    let result = runtime.block_on(async {
        let drain = Drain::new();
        let signals = tokio::spawn(crate::signals::watch(drain.clone(), console.clone())?);
        let result = engine.run(flow, options, observer.clone(), drain).await;
        signals.abort();
        anyhow::Ok(result)
    });
    let mut totals = observer.finish();
    // A dry run has no passes to add up, but knows what it saw.
    totals.counts = result??;
    console.talk(&totals.summary());
    if args.once && totals.has_failures() {
        console.talk(&format!(
            "some messages did not get through: `flow retry list {}`",
            args.flow
        ));
        return Ok(Exit::No);
    }
    Ok(Exit::Done)
}

/// The threads everything runs on.
///
/// # Errors
/// The system gives no threads.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("can't start threads")
}
