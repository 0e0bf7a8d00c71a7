//! `flow declare [NAME…]`: exchanges, queues, bindings and users, before anything starts.

use flow_config::{Flow, USERS_FILE};
use flow_daemon::{Became, Piece};

use crate::args::FormatArg;
use crate::context::Context;
use crate::render::{Align, Table, printable_lines};
use crate::stop::{Exit, Problem};

/// Arguments of `flow declare`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
A queue takes what is posted from the moment it is there. Flows declare what they need when they \
start; this does it before, so that nothing is missed between the start of one flow and that of the \
next: first every exchange that flows post to, then every queue with its bindings. What is there \
already stays as it is, with its messages; where it differs from what the flow says, that is a failure \
that names the option.

--users makes the users of <config>/users.yaml first, at RabbitMQ through its management API:

    broker: amqps://admin@broker.example.org/     # who makes users; vhost
    management: https://broker.example.org:15671/ # its API; the default
    users:
      feed: feeder          # everything in the vhost
      alice: source         # posts to xs_alice…, takes from what is public
      bob: subscriber       # takes from what is public

Passwords are those in credentials.conf. Permissions are those that sr3 gives. A user that is there is \
changed only where password or permissions differ; nobody is deleted. `admin` may do everything and make \
users.

With --format json, stdout is one array of
{\"flow\", \"what\", \"name\", \"broker\", \"bindings\", \"result\", \"reason\"}; `what` is `exchange`, `queue` or \
`user` (`flow` is null then), `result` is `declared`, `kept` (nothing to do, see the reason), `planned` \
(with --dry-run) or `failed`.

Examples:
  flow declare                  what every flow needs
  flow declare 'subscribe/*'
  flow declare --users --dry-run

Exit codes: 0 declared, 1 something failed, 2 could not run: a flow has errors.")]
pub(crate) struct Args {
    /// Which flows: `kind/name`, or a pattern such as `poll/mail-*`; none means all
    #[arg(value_name = "FLOW")]
    flows: Vec<String>,
    /// Make the users of users.yaml too, before everything else
    #[arg(long)]
    users: bool,
    /// Say what would be made, make nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    format: FormatArg,
}

/// Declares, says what became of each piece.
///
/// # Errors
/// A flow has errors or is not there, or stdout can't be written.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.engine()?;
    let names = context.select_or_all(&engine, &args.flows)?;
    let mut flows: Vec<Flow> = Vec::new();
    for name in &names {
        flows.push(context.load(&engine, &name.to_string(), &[])?);
    }
    let runtime = super::foreground::runtime()?;
    let mut pieces = Vec::new();
    if args.users {
        let made = runtime.block_on(engine.declare_users(args.dry_run))?;
        if made.is_empty() {
            let file = context.directories()?.config.join(USERS_FILE);
            return Err(
                Problem::new("cli/no-users", format!("{} names nobody", file.display()))
                    .note("nothing was declared")
                    .hint("`flow declare --help` shows what to write")
                    .into(),
            );
        }
        pieces.extend(made);
    }
    pieces.extend(runtime.block_on(engine.declare(&flows, args.dry_run))?);
    show(&pieces, args.format.is_json(), context)
}

/// Prints what became of pieces; the reasons of failures go to stderr.
///
/// # Errors
/// Stdout can't be written.
pub(super) fn show(pieces: &[Piece], json: bool, context: &Context) -> anyhow::Result<Exit> {
    let console = &context.console;
    let failed = |piece: &&Piece| piece.result == Became::Failed;
    if json {
        console.print(&serde_json::to_string_pretty(pieces)?)?;
    } else if pieces.is_empty() {
        console.talk("nothing to do: none of these flows uses a broker");
    } else {
        console.print(&table(pieces).render(console.paint()))?;
        for piece in pieces.iter().filter(failed) {
            let reason = piece.reason.as_deref().unwrap_or_default();
            let reason = printable_lines(reason, "    ");
            console.talk(&format!("{} {}: {reason}", piece.what.as_str(), piece.name));
        }
    }
    Ok(if pieces.iter().any(|piece| failed(&piece)) {
        Exit::No
    } else {
        Exit::Done
    })
}

fn table(pieces: &[Piece]) -> Table {
    let mut table = Table::new(&[
        ("FLOW", Align::Left),
        ("WHAT", Align::Left),
        ("NAME", Align::Left),
        ("BROKER", Align::Left),
        ("RESULT", Align::Left),
    ]);
    for piece in pieces {
        let result = match (&piece.reason, piece.result) {
            (Some(reason), Became::Kept | Became::Planned | Became::Declared) => {
                format!("{}: {reason}", piece.result.as_str())
            }
            _ => piece.result.as_str().to_owned(),
        };
        table.row([
            piece.flow.as_deref().unwrap_or("-"),
            piece.what.as_str(),
            &piece.name,
            &piece.broker,
            &result,
        ]);
    }
    table
}
