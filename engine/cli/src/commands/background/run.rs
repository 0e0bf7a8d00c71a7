//! `flow run`: all flows in this process, for containers.

use super::serve;
use crate::context::Context;
use crate::journal::Logs;
use crate::stop::Exit;

/// Arguments of `flow run`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
The form for containers and service managers: runs all flows that are not disabled, in this process, \
and writes what happens to stdout. SIGTERM and Ctrl-C let flows finish what is in hand, for at most \
30 seconds; a second one ends at once. SIGHUP reads the files of flows again, as `flow reload`.

`flow status`, `stop`, `reload` and the like work beside it. A flow that has errors keeps no other \
from starting; if none can start, it ends. FLOW_METRICS=127.0.0.1:9470 offers /metrics and /healthz.

Examples:
  flow run
  flow run --config-dir /etc/flow --state-dir /var/lib/flow --log-level warn

Exit codes: 0 stopped as asked, 2 could not run: no flow can start, or the background process runs \
already.")]
pub(crate) struct Args {}

/// Runs until it is told to stop.
///
/// # Errors
/// There is nothing to run, or something runs already.
pub(crate) fn run(_: &Args, context: &Context) -> anyhow::Result<Exit> {
    let offer = serve::offer(context)?;
    let level = context.level_asked_for();
    let console = context.console.clone();
    let (engine, logs) = context.engine_with(|_| Logs::stdout(console, level))?;
    let mut names = engine.flow_files()?;
    names.retain(|name| !engine.is_disabled(name));
    if names.is_empty() {
        return Err(super::start::no_flows(&engine.directories().config).into());
    }
    serve::serve(engine, logs, false, offer, Some(names))
}
