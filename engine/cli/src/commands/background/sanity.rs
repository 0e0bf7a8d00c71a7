//! `flow sanity`: start what should run and does not.

use flow_daemon::Engine;
use flow_daemon::background::protocol::{Answer, Outcome, Request};
use flow_daemon::background::{self, Started};

use super::GraceArg;
use crate::args::{FormatArg, LogLevel};
use crate::context::Context;
use crate::journal::Logs;
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
    let outcomes = match ask(&engine, args.grace)? {
        Found::Answer(outcomes) => outcomes,
        Found::Nobody => return revive(context, &engine, json, None),
        Found::Killed(pid) => return revive(context, &engine, json, Some(pid)),
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

/// What there was.
enum Found {
    /// A process that answered what it had to deal with.
    Answer(Vec<Outcome>),
    /// No process.
    Nobody,
    /// A process that did not answer, and is gone now; its id, where that is known.
    Killed(Option<u32>),
}

/// Asks the process, or kills it.
fn ask(engine: &Engine, grace: GraceArg) -> anyhow::Result<Found> {
    // One that answers is alive; what it does then may take long.
    let mut client = match super::connect(engine) {
        Ok(None) => return Ok(Found::Nobody),
        Ok(Some(client)) => client,
        Err(error) if background::holder(&engine.lock_file()).is_none() => return Err(error),
        Err(_) => {
            let pid = background::holder(&engine.lock_file()).flatten();
            background::kill(&engine.lock_file())?;
            return Ok(Found::Killed(pid));
        }
    };
    let request = Request::Sanity {
        grace_ms: grace.millis(),
    };
    match client.ask(request, grace.patience())? {
        Answer::Done(outcomes) => Ok(Found::Answer(outcomes)),
        other => Err(super::unexpected(&other).into()),
    }
}

/// Starts what ran in a process that is gone.
fn revive(
    context: &Context,
    engine: &Engine,
    json: bool,
    killed: Option<Option<u32>>,
) -> anyhow::Result<Exit> {
    let wanted = Started::new(engine.started_file()).read();
    let what = killed.map(|pid| {
        let pid = pid.map(|pid| format!(" (process {pid})"));
        let pid = pid.unwrap_or_default();
        format!("the background process{pid} did not answer and was killed")
    });
    if let Some(what) = &what {
        let text = format!("`flow sanity`: {what}; what was in hand is done again");
        Logs::files(engine, None).line(None, LogLevel::Error, &text);
    }
    if wanted.flows.is_empty() {
        if json {
            context.console.print("[]")?;
        }
        return Ok(match what {
            Some(what) => {
                context.console.talk(&format!("{what}; nothing ran in it"));
                Exit::No
            }
            None => Exit::Done,
        });
    }
    let what = what.unwrap_or_else(|| "the background process was gone".to_owned());
    context
        .console
        .talk(&format!("{what}; it is started again"));
    super::serve::warn_of_metrics(context)?;
    let flows = wanted.flows.iter().map(ToString::to_string).collect();
    let outcomes = super::start_flows(context, engine, flows, wanted.all)?;
    super::show(context, &outcomes, json)?;
    Ok(Exit::No)
}
