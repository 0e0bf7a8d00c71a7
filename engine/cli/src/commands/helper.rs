//! `flow helper NAME`: one flow as the helper of the program that runs this.

use std::sync::Arc;
use std::time::Duration;

use flow_daemon::Drain;
use flow_daemon::background::{Journal as _, Weight};
use flow_runtime::ports::Observer;

use crate::args::{LogLevel, SetArg};
use crate::context::Context;
use crate::journal::Logs;
use crate::observer::Foreground;
use crate::stop::Exit;

/// Arguments of `flow helper`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Each line on stdin goes to the plugin of the flow that has the entry point `line`; what plugins write \
to their peer goes to stdout, a whole line at a time, and nothing else does. What happens is written \
to the flow's log (`flow log FLOW`), or to stderr with --stderr.

What a line brings into the flow is kept in its store before it is worked on, and is worked on at \
once. When stdin ends, or on SIGTERM, no more is read; pending answers are still written, and the \
program ends. What was left over is worked on at the next start; its answers go to nobody.

A flow runs once on a machine: while `flow start` runs it, it can't be a helper. To serve several \
programs from the background, let it listen at a socket: `listen: unix:/run/NAME.sock`.

Examples:
  flow helper flow/scan
  printf '1 FILE /tmp/a\\n' | flow helper flow/scan --stderr

Exit codes: 0 stopped as asked, or stdin has ended, 2 could not run.")]
pub(crate) struct Args {
    /// Which flow: `kind/name`
    #[arg(value_name = "FLOW")]
    flow: String,
    /// Say on stderr what happens, not in the flow's log
    #[arg(long)]
    stderr: bool,
    #[command(flatten)]
    set: SetArg,
}

/// Runs until stdin ends or it is told to stop.
///
/// # Errors
/// The flow has errors, takes no lines, is running already, or can't go on.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let (engine, logs) = if args.stderr {
        (context.engine()?, None)
    } else {
        let level = context.level_asked_for();
        let (engine, logs) = context.engine_with(|engine| Logs::files(engine, level))?;
        (engine, Some(logs))
    };
    let flow = context.load(&engine, &args.flow, &args.set.set)?;
    let name = flow.name.clone();
    let observer: Arc<dyn Observer> = match &logs {
        Some(logs) => logs.observer(&flow),
        None => {
            let level = context
                .level_asked_for()
                .unwrap_or_else(|| LogLevel::of_flow(flow.log.level));
            Arc::new(Foreground::new(
                context.console.clone(),
                &flow,
                level,
                false,
            ))
        }
    };
    let runtime = super::foreground::runtime()?;
    let result = runtime.block_on(async {
        let drain = Drain::new();
        // Only where something may be said.
        let console = args.stderr.then(|| context.console.clone());
        let signals = tokio::spawn(crate::signals::watch_with(drain.clone(), console)?);
        let result = engine.help(flow, observer, drain, tokio::io::stdout).await;
        signals.abort();
        anyhow::Ok(result)
    });
    // A thread may wait for a line that never comes.
    runtime.shutdown_timeout(Duration::ZERO);
    match result? {
        Ok(_) => Ok(Exit::Done),
        Err(error) => {
            if let Some(logs) = logs {
                logs.note(Some(&name), Weight::Error, &error.to_string());
            }
            Err(error.into())
        }
    }
}
