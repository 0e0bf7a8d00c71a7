//! `flow restart [FLOW…]`: stop and start.

use flow_daemon::background::protocol::{Became, Outcome, Request, Status};
use flow_daemon::background::{self, Started, Trouble, Wanted};
use flow_daemon::health::State;

use super::GraceArg;
use crate::args::FormatArg;
use crate::context::Context;
use crate::stop::{Exit, Problem};

/// Arguments of `flow restart`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With names, these flows stop and start again with what their files say now; one whose file has \
errors goes on as it was. With no names that happens to all that run. The process stays, also one of \
`flow run`; where there is none, it is `flow start`.

Another environment, or a new version of flow, takes over with `flow stop` and `flow start`. A \
background process of a version this one can't talk to is ended, and a new one starts what ran in \
it; `flow run` of such a version is left alone, whoever started it starts it again.

With --format json, stdout is as with `flow start`, where the result may also be `restarted` or \
`kept` (it has errors now, and goes on as it was).

Examples:
  flow restart
  flow restart poll/mail

Exit codes: 0 they run, 1 some could not start, 2 could not run.")]
pub(crate) struct Args {
    /// Which flows: `kind/name`, or a pattern; none means all that run
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
        super::same_configuration(&engine, &running)?;
        super::check_metrics(context, running.process.is_some())?;
        let mut client = super::connect_or_start(context, &engine)?;
        let request = Request::Restart { flows, grace_ms };
        let outcomes = super::ask(&engine, &mut client, request, patience)?;
        return super::show(context, &outcomes, json);
    }
    let mut another_version = false;
    let client = super::connect(&engine)?;
    let there = client.is_some();
    let wanted = match client {
        Some(mut client) => match super::status_of(&engine, &mut client) {
            Ok(running) => {
                super::same_configuration(&engine, &running)?;
                old_version(context, &running);
                let flows = ran(&running);
                if !flows.is_empty() {
                    let request = Request::Restart { flows, grace_ms };
                    let outcomes = super::ask(&engine, &mut client, request, patience)?;
                    return super::show(context, &outcomes, json);
                }
                Wanted::default()
            }
            // One of another version understands a signal at least.
            Err(error) if matches!(error.downcast_ref(), Some(Trouble::Refused(_))) => {
                if !background::is_ours(&engine.lock_file()) {
                    return Err(not_ours(&error).into());
                }
                another_version = true;
                let listed = Started::new(engine.started_file()).read();
                background::terminate(&engine.lock_file())?;
                super::wait_for_the_end(&engine, patience)?;
                listed
            }
            Err(error) => return Err(error),
        },
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
    if another_version {
        // What ran has to run again.
        super::serve::warn_of_metrics(context)?;
    } else {
        super::check_metrics(context, there)?;
    }
    let flows = wanted.flows.iter().map(ToString::to_string).collect();
    let mut outcomes = super::start_flows(context, &engine, flows, wanted.all)?;
    outcomes.iter_mut().for_each(as_restarted);
    super::show(context, &outcomes, json)
}

/// What runs, or should: those that stopped have done what they should.
fn ran(running: &Status) -> Vec<String> {
    let flows = running.flows.iter();
    flows
        .filter(|flow| flow.state != State::Stopped)
        .map(|flow| flow.flow.clone())
        .collect()
}

/// Says so where the process is of another version than this command.
fn old_version(context: &Context, running: &Status) {
    let own = env!("CARGO_PKG_VERSION");
    let process = running.process.as_ref();
    if let Some(process) = process.filter(|process| process.version != own) {
        context.console.talk(&format!(
            "process {} stays and is flow {}, this command is {own}: `flow stop` and `flow start` \
             change that",
            process.pid, process.version
        ));
    }
}

/// That a process can't be talked to, and is not this command's to replace.
fn not_ours(error: &anyhow::Error) -> Problem {
    Problem::new("run/other-version", format!("{error:#}"))
        .note("it is `flow run`, or it can't be told whether it is: nothing was restarted")
        .hint("have it started again by whoever started it: the container or the service manager")
}

fn as_restarted(outcome: &mut Outcome) {
    if outcome.result == Became::Started {
        outcome.result = Became::Restarted;
    }
}
