//! `flow stop [FLOW…]`: flows finish what is in hand and end.

use flow_config::FlowName;
use flow_daemon::Engine;
use flow_daemon::background::protocol::{Became, Outcome, Request, Status};
use flow_daemon::background::{Lock, Started};

use super::GraceArg;
use crate::args::FormatArg;
use crate::context::Context;
use crate::stop::Exit;

/// Arguments of `flow stop`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
A flow finishes what is in hand and takes no more. One that takes longer than --grace (30 seconds) is \
dropped; that loses nothing, what was in hand is done again at the next start. Flows that run in a \
terminal (`flow foreground`) are left alone.

With no names all flows stop and the background process ends. A stopped flow stays stopped: `flow \
sanity` does not start it again.

With --format json, stdout is one array of {\"flow\", \"result\", \"text\"}. The result is `stopped`, \
`dropped` or `not-running`.

Examples:
  flow stop
  flow stop poll/mail
  flow stop --grace 5

Exit codes: 0 nothing of it runs any more, 1 some were dropped, 2 could not run.")]
pub(crate) struct Args {
    /// Which flows: `kind/name`, or a pattern; none means all, and the process
    #[arg(value_name = "FLOW")]
    flows: Vec<String>,
    #[command(flatten)]
    grace: GraceArg,
    #[command(flatten)]
    format: FormatArg,
}

/// Stops them.
///
/// # Errors
/// There is no such flow, or the process does not answer.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.engine()?;
    let json = args.format.is_json();
    let Some(mut client) = super::connect(&engine)? else {
        let names = super::select(context, &engine, &args.flows, &Status::default())?;
        forget(&engine, &names)?;
        let outcomes: Vec<Outcome> = names.into_iter().map(not_running).collect();
        if !json {
            super::nobody(context);
        }
        return super::show(context, &outcomes, json);
    };
    let grace_ms = args.grace.millis();
    let patience = args.grace.patience();
    if args.flows.is_empty() {
        let request = Request::End { grace_ms };
        let outcomes = super::ask(&engine, &mut client, request, patience)?;
        super::wait_for_the_end(&engine, patience)?;
        return super::show(context, &outcomes, json);
    }
    let running = super::status_of(&engine, &mut client)?;
    let flows = super::select(context, &engine, &args.flows, &running)?;
    let request = Request::Stop { flows, grace_ms };
    let outcomes = super::ask(&engine, &mut client, request, patience)?;
    super::show(context, &outcomes, json)
}

fn not_running(flow: String) -> Outcome {
    Outcome {
        flow,
        result: Became::NotRunning,
        text: String::new(),
    }
}

/// What ran when the process was killed should not run any more; no names means all.
fn forget(engine: &Engine, names: &[String]) -> anyhow::Result<()> {
    if !engine.started_file().exists() {
        return Ok(());
    }
    let lock = Lock::take(&engine.lock_file())?;
    let names: Vec<FlowName> = names.iter().filter_map(|name| name.parse().ok()).collect();
    let names = (!names.is_empty()).then_some(names.as_slice());
    Started::new(engine.started_file()).forget(&lock, names)?;
    Ok(())
}
