//! `flow sanity`: start what should run and does not.

use flow_daemon::Engine;
use flow_daemon::background::protocol::{Answer, Outcome, Request};
use flow_daemon::background::{self, Started, Trouble};

use super::GraceArg;
use crate::args::FormatArg;
use crate::context::Context;
use crate::stop::Exit;

/// Arguments of `flow sanity`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Looks after the background process and mends what it finds: a process that was killed is started \
again with the flows that ran in it, one that does not answer is killed first, flows that hang are \
restarted, flows that failed are tried again. What was stopped on purpose stays stopped. It says \
nothing when all is well, so that cron mails only when it is not. A process it starts finds the \
environment it has itself: in a crontab, set what flows refer to as ${NAME}.

With --format json, stdout is one array of {\"flow\", \"result\", \"text\"}, of flows it had to deal \
with; see `flow start --help`.

Examples:
  flow sanity
  */5 * * * *  flow sanity          in a crontab

Exit codes: 0 all is well, 1 it had to act or something is wrong, 2 could not run.")]
pub(crate) struct Args {
    #[command(flatten)]
    grace: GraceArg,
    #[command(flatten)]
    format: FormatArg,
}

/// Looks and mends.
///
/// # Errors
/// The process can't be started, or killed.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.engine()?;
    let json = args.format.is_json();
    let Some(outcomes) = ask(&engine, args.grace)? else {
        return revive(context, &engine, json);
    };
    if outcomes.is_empty() && !json {
        return Ok(Exit::Done);
    }
    super::show(context, &outcomes, json)?;
    Ok(if outcomes.is_empty() {
        Exit::Done
    } else {
        Exit::No
    })
}

/// What the process had to deal with; none where there is no process any more.
fn ask(engine: &Engine, grace: GraceArg) -> anyhow::Result<Option<Vec<Outcome>>> {
    // One that answers is alive; what it does then may take long.
    let mut client = match super::connect(engine) {
        Ok(None) => return Ok(None),
        Ok(Some(client)) => client,
        Err(error) if background::holder(&engine.lock_file()).is_none() => return Err(error),
        Err(_) => {
            background::kill(&engine.lock_file())?;
            return Ok(None);
        }
    };
    let request = Request::Sanity {
        grace_ms: grace.millis(),
    };
    match client.ask(request, grace.patience())? {
        Answer::Done(outcomes) => Ok(Some(outcomes)),
        answer => Err(Trouble::Answer(format!("{answer:?}")).into()),
    }
}

/// Starts what ran in a process that is gone.
fn revive(context: &Context, engine: &Engine, json: bool) -> anyhow::Result<Exit> {
    let wanted = Started::new(engine.started_file()).read();
    if wanted.flows.is_empty() {
        if json {
            context.console.print("[]")?;
        }
        return Ok(Exit::Done);
    }
    context
        .console
        .talk("the background process was gone; it is started again");
    let mut client = super::connect_or_start(context, engine)?;
    let request = Request::Start {
        flows: wanted.flows.iter().map(ToString::to_string).collect(),
        all: wanted.all,
    };
    let outcomes = super::ask(engine, &mut client, request, super::STARTING)?;
    super::show(context, &outcomes, json)?;
    Ok(Exit::No)
}
