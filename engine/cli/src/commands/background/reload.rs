//! `flow reload [FLOW…]`: read files again, restart what changed.

use flow_daemon::background::protocol::Request;

use super::GraceArg;
use crate::args::FormatArg;
use crate::context::Context;
use crate::stop::Exit;

/// Arguments of `flow reload`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Reads the files of flows again, what they include, credentials.conf and plugins. A flow that changed \
is restarted, one that did not goes on undisturbed; one that has errors now goes on as it was, and \
one whose file is gone stops. Flows that had failed are tried again. After `flow start` with no \
names, flows that are new are started.

SIGHUP to the background process does the same.

With --format json, stdout is one array of {\"flow\", \"result\", \"text\"}. The result is \
`unchanged`, `restarted`, `started`, `kept` (it has errors now, and goes on as it was), `removed`, \
`waiting` or `failed`.

Examples:
  flow reload
  flow reload poll/mail

Exit codes: 0 all run as their files say, 1 some do not, or nothing runs, 2 could not run.")]
pub(crate) struct Args {
    /// Which flows: `kind/name`, or a pattern; none means all that run
    #[arg(value_name = "FLOW")]
    flows: Vec<String>,
    #[command(flatten)]
    grace: GraceArg,
    #[command(flatten)]
    format: FormatArg,
}

/// Reloads them.
///
/// # Errors
/// There is no such flow, or the process does not answer.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.engine()?;
    let Some(mut client) = super::connect(&engine)? else {
        super::nobody(context);
        return Ok(Exit::No);
    };
    let running = super::status_of(&engine, &mut client)?;
    super::same_configuration(&engine, &running)?;
    let flows = if args.flows.is_empty() {
        Vec::new()
    } else {
        super::select(context, &engine, &args.flows, &running)?
    };
    let request = Request::Reload {
        flows,
        grace_ms: args.grace.millis(),
    };
    let outcomes = super::ask(&engine, &mut client, request, args.grace.patience())?;
    super::show(context, &outcomes, args.format.is_json())
}
