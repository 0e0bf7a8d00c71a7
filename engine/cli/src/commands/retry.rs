//! `flow retry list|show|requeue|drop`.

mod text;

use std::time::SystemTime;

use flow_config::FlowName;
use flow_daemon::{Entry, Error, Shelf, Store};
use flow_message::Timestamp;

use crate::args::FormatArg;
use crate::context::Context;
use crate::render::plural;
use crate::stop::{Exit, Problem};

/// Arguments of `flow retry`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
A message that fails is kept and tried again, later and later, until it gets through, its `attempts` \
are used up or it is older than `retry_ttl`. Then it is given up: it moves to the dead letters, where \
it stays until somebody decides.

Examples:
  flow retry list                       what waits to be tried again, in every flow
  flow retry list flow/mail --dead      what was given up
  flow retry show flow/mail 5f3a9c
  flow retry requeue flow/mail --dead --all
  flow retry drop flow/mail 5f3a9c 81d0

Exit codes: 0 done, 1 no such message, 2 could not run.")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List failed messages
    List(List),
    /// Print one failed message, all of it
    Show(Show),
    /// Have messages tried again at once
    Requeue(Requeue),
    /// Forget messages for good
    Drop(Discard),
}

#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --format json, stdout is one array of
{\"flow\", \"id\", \"dead\", \"path\", \"attempts\", \"due\", \"since\", \"reason\"}; \
times are UTC, RFC 3339; `due` is null for dead letters.")]
struct List {
    /// Which flows: `kind/name`, or a pattern; none means all
    #[arg(value_name = "FLOW")]
    flows: Vec<String>,
    /// The dead letters instead
    #[arg(long)]
    dead: bool,
    #[command(flatten)]
    format: FormatArg,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// Which flow: `kind/name`
    #[arg(value_name = "FLOW")]
    flow: String,
    /// Which message: the id `flow retry list` shows, or its first characters
    #[arg(value_name = "ID")]
    id: String,
    /// Among the dead letters
    #[arg(long)]
    dead: bool,
    #[command(flatten)]
    format: FormatArg,
}

#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
A message of the dead letters starts over: no attempts used, no age. A flow that runs takes it within \
seconds, one that does not run takes it when it starts.")]
struct Requeue {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
The message is forgotten here; its origin is told nothing, so a mail stays in its mailbox.")]
struct Discard {
    #[command(flatten)]
    which: Which,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Which flow: `kind/name`
    #[arg(value_name = "FLOW")]
    flow: String,
    /// Which messages: ids of `flow retry list`, or their first characters
    #[arg(value_name = "ID", required_unless_present = "all")]
    ids: Vec<String>,
    /// All of them
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// Among the dead letters
    #[arg(long)]
    dead: bool,
    /// Say what would be done, do nothing
    #[arg(long)]
    dry_run: bool,
}

/// Does it.
///
/// # Errors
/// The flow's state can't be read or written, or stdout can't be written.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    match &args.command {
        Command::List(args) => list(args, context),
        Command::Show(args) => show(args, context),
        Command::Requeue(args) => requeue(&args.which, context),
        Command::Drop(args) => discard(args, context),
    }
}

fn list(args: &List, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.engine()?;
    let names = context.select_or_all(&engine, &args.flows)?;
    let (mut waiting, mut others) = (Vec::new(), 0);
    for name in names {
        // A flow that never ran has no store, and looking should not make one.
        if engine.store_file(&name).exists() {
            let store = engine.store(&name)?;
            let entries = entries(&store, args.dead)?;
            waiting.extend(entries.into_iter().map(|entry| (name.to_string(), entry)));
            others += store.count(shelf(!args.dead)).map_err(Error::from)?;
        }
    }
    if args.format.is_json() {
        let rows: Vec<_> = waiting
            .iter()
            .map(|(flow, entry)| text::row(flow, entry))
            .collect();
        context
            .console
            .print(&serde_json::to_string_pretty(&rows)?)?;
    } else if waiting.is_empty() {
        let what = match (args.dead, others) {
            (false, 0) => "nothing waits to be tried again".to_owned(),
            (true, 0) => "no dead letters".to_owned(),
            (false, dead) => format!(
                "nothing waits to be tried again; `--dead` shows {}",
                plural(dead, "dead letter")
            ),
            (true, waiting) => format!(
                "no dead letters; {} to be tried again, see the list without `--dead`",
                plural(waiting, "message")
            ),
        };
        context.console.talk(&what);
    } else {
        context
            .console
            .print(&text::table(&waiting, now()).render(context.console.paint()))?;
    }
    Ok(Exit::Done)
}

fn show(args: &Show, context: &Context) -> anyhow::Result<Exit> {
    let failed = Failed::open(&args.flow, args.dead, context)?;
    let Some(entry) = failed.find(&args.id, context)? else {
        return Ok(Exit::No);
    };
    let flow = failed.flow.to_string();
    if args.format.is_json() {
        let mut row = text::row(&flow, entry);
        row["message"] = entry
            .message
            .as_ref()
            .map(flow_message::v03::to_value)
            .into();
        context
            .console
            .print(&serde_json::to_string_pretty(&row)?)?;
    } else {
        context
            .console
            .print(&text::page(&flow, entry, context.console.paint()))?;
    }
    Ok(Exit::Done)
}

fn requeue(which: &Which, context: &Context) -> anyhow::Result<Exit> {
    let Some((retry, entries)) = which.chosen(context)? else {
        return Ok(Exit::No);
    };
    if which.dry_run {
        return text::would(context, "try again", &entries);
    }
    let moved = retry
        .requeue(shelf(which.dead), Some(&text::keys(&entries)), now())
        .map_err(Error::from)?;
    context.console.talk(&format!(
        "{} to be tried again at once",
        plural(moved as u64, "message")
    ));
    if moved < entries.len() {
        context.console.talk(&format!(
            "{} stayed: it got through in the meantime, or it can't be read",
            plural((entries.len() - moved) as u64, "message")
        ));
        return Ok(Exit::No);
    }
    Ok(Exit::Done)
}

fn discard(args: &Discard, context: &Context) -> anyhow::Result<Exit> {
    let Some((retry, entries)) = args.which.chosen(context)? else {
        return Ok(Exit::No);
    };
    if args.which.dry_run {
        return text::would(context, "forget", &entries);
    }
    let number = plural(entries.len() as u64, "message");
    if !args.yes && !context.confirm(&format!("Forget {number} for good?"))? {
        return Ok(Exit::No);
    }
    let gone = retry
        .discard(shelf(args.which.dead), Some(&text::keys(&entries)))
        .map_err(Error::from)?;
    context
        .console
        .talk(&format!("{} forgotten", plural(gone as u64, "message")));
    Ok(Exit::Done)
}

impl Which {
    /// The entries meant; none, and said so, where one is not there.
    fn chosen(&self, context: &Context) -> anyhow::Result<Option<(Store, Vec<Entry>)>> {
        let failed = Failed::open(&self.flow, self.dead, context)?;
        if self.all {
            return Ok(Some((failed.store, failed.entries)));
        }
        let mut chosen = Vec::new();
        for id in &self.ids {
            let Some(entry) = failed.find(id, context)? else {
                return Ok(None);
            };
            chosen.push(entry.clone());
        }
        Ok(Some((failed.store, chosen)))
    }
}

/// The failed messages of one flow, on one shelf.
struct Failed {
    flow: FlowName,
    store: Store,
    dead: bool,
    entries: Vec<Entry>,
}

impl Failed {
    fn open(flow: &str, dead: bool, context: &Context) -> anyhow::Result<Self> {
        let engine = context.engine()?;
        let flow = context.one(&engine, flow)?;
        let store = engine.store(&flow)?;
        let entries = entries(&store, dead)?;
        Ok(Self {
            flow,
            store,
            dead,
            entries,
        })
    }

    /// The one entry whose id starts so; none, and said so, where there is none or are several.
    fn find(&self, id: &str, context: &Context) -> anyhow::Result<Option<&Entry>> {
        let flow = &self.flow;
        let mut found = starting(&self.entries, id);
        let problem = match (found.next(), found.next()) {
            (Some(entry), None) => return Ok(Some(entry)),
            (Some(_), Some(_)) => Problem::new(
                "cli/no-such-message",
                format!("several failed messages of `{flow}` start with `{id}`"),
            )
            .note("nothing was done")
            .hint("write more of the id"),
            (None, _) => {
                let others = entries(&self.store, !self.dead)?;
                let elsewhere = starting(&others, id).next().is_some();
                let hint = match (elsewhere, self.dead) {
                    (true, false) => "it is among the dead letters: add `--dead`".to_owned(),
                    (true, true) => {
                        "it is no dead letter, it waits to be tried again: leave `--dead` out"
                            .to_owned()
                    }
                    (false, true) => format!("`flow retry list {flow} --dead` shows what there is"),
                    (false, false) => format!("`flow retry list {flow}` shows what there is"),
                };
                Problem::new(
                    "cli/no-such-message",
                    format!("`{flow}` has no failed message `{id}` here"),
                )
                .hint(hint)
            }
        };
        let paint = context.console.paint_err();
        context
            .console
            .talk(&crate::render::error(&problem.into(), paint));
        Ok(None)
    }
}

fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

fn shelf(dead: bool) -> Shelf {
    if dead { Shelf::Dead } else { Shelf::Retry }
}

fn entries(store: &Store, dead: bool) -> Result<Vec<Entry>, Error> {
    Ok(store.list(shelf(dead), 0, usize::MAX)?)
}

fn starting<'a>(entries: &'a [Entry], id: &str) -> impl Iterator<Item = &'a Entry> {
    entries
        .iter()
        .filter(move |entry| entry.key.starts_with(id))
}
