//! `flow restart [FLOW…]`: stop and start.

use flow_daemon::background::protocol::{Became, Outcome, Request, Status};
use flow_daemon::background::{self, Started, Trouble, Wanted};
use flow_daemon::health::State;

use super::GraceArg;
use crate::args::FormatArg;
use crate::context::Context;
use crate::stop::Exit;

/// Arguments of `flow restart`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With names, these flows stop and start again with what their files say now; one whose file has \
errors goes on as it was. With no names the background process ends and a new one starts what ran: \
that is how a new version of flow, or another environment, takes over. Where nothing runs, it is \
`flow start`.

With --format json, stdout is as with `flow start`, where the result may also be `restarted` or \
`kept` (it has errors now, and goes on as it was).

Examples:
  flow restart
  flow restart poll/mail

Exit codes: 0 they run, 1 some could not start, 2 could not run.")]
pub(crate) struct Args {
    /// Which flows: `kind/name`, or a pattern; none means all that run, and the process
    #[arg(value_name = "FLOW")]
    flows: Vec<String>,
    #[command(flatten)]
    grace: GraceArg,
    #[command(flatten)]
    format: FormatArg,
}

/// Stops and starts them.
///
/// # Errors
/// There is no such flow, or the process does not answer.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.engine()?;
    let json = args.format.is_json();
    let grace_ms = args.grace.millis();
    let patience = args.grace.patience();
    if !args.flows.is_empty() {
        let running = super::running(&engine)?;
        let flows = super::select(context, &engine, &args.flows, &running)?;
        let mut client = super::connect_or_start(context, &engine)?;
        let request = Request::Restart { flows, grace_ms };
        let outcomes = super::ask(&engine, &mut client, request, patience)?;
        return super::show(context, &outcomes, json);
    }
    let wanted = match super::connect(&engine)? {
        Some(mut client) => {
            let listed = Started::new(engine.started_file()).read();
            let wanted = match super::running(&engine) {
                Ok(running) => {
                    let request = Request::End { grace_ms };
                    super::ask(&engine, &mut client, request, patience)?;
                    ran(&running, listed.all)
                }
                // One of another version understands a signal at least.
                Err(error) if matches!(error.downcast_ref(), Some(Trouble::Refused(_))) => {
                    background::terminate(&engine.lock_file())?;
                    listed
                }
                Err(error) => return Err(error),
            };
            super::wait_for_the_end(&engine, patience)?;
            wanted
        }
        None => Started::new(engine.started_file()).read(),
    };
    let wanted = if wanted.flows.is_empty() {
        Wanted {
            flows: engine.flow_files()?.into_iter().collect(),
            all: true,
        }
    } else {
        wanted
    };
    if wanted.flows.is_empty() {
        return Err(super::start::no_flows(&engine.directories().config).into());
    }
    let mut client = super::connect_or_start(context, &engine)?;
    let request = Request::Start {
        flows: wanted.flows.iter().map(ToString::to_string).collect(),
        all: wanted.all,
    };
    let mut outcomes = super::ask(&engine, &mut client, request, super::STARTING)?;
    outcomes.iter_mut().for_each(as_restarted);
    super::show(context, &outcomes, json)
}

/// What should run again.
fn ran(running: &Status, all: bool) -> Wanted {
    // Those that stopped have done what they should.
    let ran = running
        .flows
        .iter()
        .filter(|flow| flow.state != State::Stopped);
    Wanted {
        flows: ran.filter_map(|flow| flow.flow.parse().ok()).collect(),
        all,
    }
}

fn as_restarted(outcome: &mut Outcome) {
    if outcome.result == Became::Started {
        outcome.result = Became::Restarted;
    }
}
