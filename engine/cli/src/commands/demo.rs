//! `flow demo`: the real pipeline over a mail server on loopback, in a couple of seconds.
//!
//! Nothing here is a special path: the shipped examples, edited as a person would edit them, run
//! through the same engine, plugins and broker as everything else. Only the server is ours.

mod journal;
mod setup;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use flow_daemon::{Drain, Engine, RunOptions};

use crate::context::Context;
use crate::render::{elapsed, plural};
use crate::stop::Exit;
use journal::Journal;
use setup::Setup;

/// Arguments of `flow demo`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Starts a small mail server on 127.0.0.1 with invented mails, copies the examples poll/mail.yaml and \
subscribe/mail.yaml to a temporary directory, edits the lines you would edit, and runs both: mails \
are announced, downloaded, taken apart, stored and announced again. Every file is compared with what \
was sent. Nothing leaves this machine, and nothing of yours is read or changed.

Exit codes: 0 every file arrived, 1 something did not, 2 could not run.")]
pub(crate) struct Args {
    /// Keep the temporary directory, to look at flows, queues and files
    #[arg(long)]
    keep: bool,
}

/// Runs both flows, then tells what happened.
///
/// # Errors
/// The server or the engine can't start, or stdout can't be written.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let runtime = super::foreground::runtime()?;
    runtime.block_on(demo(args, context))
}

async fn demo(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let console = &context.console;
    let setup = Setup::make().await?;
    console.print(&format!(
        "A mailbox with {} is on {}, for this demo only. Nothing leaves this machine.\n\n",
        plural(setup.samples.len() as u64, "invented mail"),
        setup.server.address(),
    ))?;
    let engine = context.engine_in(setup.directories(), &[("HOME", &setup.home())])?;
    let (journal, took) = run_flows(context, &engine).await?;
    let waiting = engine.queues().await?.iter().map(|queue| queue.ready).sum();
    let exit = report(&setup, context, &journal, took, waiting)?;
    let flow = context.command();
    if args.keep {
        let kept = setup.keep();
        let kept = kept.display();
        console.print(&format!(
            "\nKept in {kept}; look around with\n  {flow} --config-dir {kept}/config --state-dir {kept}/state list queues\n"
        ))?;
    }
    console.print(&journal::next(&flow, console.paint()))?;
    Ok(exit)
}

/// Runs each flow until nothing is left to do; how long both took once everything was in place.
async fn run_flows(context: &Context, engine: &Engine) -> anyhow::Result<(Journal, Duration)> {
    let (console, paint) = (&context.console, context.console.paint());
    let journal = Arc::new(Journal::default());
    // An exchange keeps nothing: queues have to be there before something is announced.
    for name in [setup::NEXT, "subscribe/mail"] {
        once(context, engine, name, &journal).await?;
    }
    let started = Instant::now();
    console.print(&format!(
        "{} asks what is new and posts a message per mail to exchange xs_mail.\n",
        paint.bold("1. poll/mail")
    ))?;
    once(context, engine, "poll/mail", &journal).await?;
    let mails = plural(journal.number(), "mail");
    console.print(&format!(
        "   {mails} announced\n\n{} downloads each mail, takes it apart, posts a message per file to exchange xs_files.\n\n",
        paint.bold("2. subscribe/mail")
    ))?;
    once(context, engine, "subscribe/mail", &journal).await?;
    let took = started.elapsed();
    let journal = Arc::into_inner(journal).context("a flow still runs")?;
    Ok((journal, took))
}

/// Tells the way of each mail, shows the files, and says whether all of them arrived.
fn report(
    setup: &Setup,
    context: &Context,
    journal: &Journal,
    took: Duration,
    waiting: u64,
) -> anyhow::Result<Exit> {
    let (console, paint) = (&context.console, context.console.paint());
    let files = setup.files()?;
    console.print(&format!(
        "{}\n{} below the home directory of the demo\n\n{}\n",
        journal.tell(&setup.samples, paint),
        paint.bold("3. The files"),
        journal::tree(&files, paint),
    ))?;
    let missing = journal::missing(&setup.samples, &files);
    if !missing.is_empty() {
        let missing = missing.join(", ");
        console.print(&format!(
            "{} did not arrive: {missing}\n",
            paint.red("failed:")
        ))?;
        return Ok(Exit::No);
    }
    let expected: usize = setup.samples.iter().map(|sample| sample.files.len()).sum();
    console.print(&format!(
        "{} {} of {} arrived in {}, byte for byte as they were sent;\n      {} about them in a queue, for whoever goes on with them.\n",
        paint.green("done:"),
        plural(expected as u64, "attachment"),
        plural(setup.samples.len() as u64, "mail"),
        elapsed(took),
        plural(waiting, "message"),
    ))?;
    Ok(Exit::Done)
}

/// Runs a flow until nothing is left to do.
async fn once(
    context: &Context,
    engine: &Engine,
    name: &str,
    journal: &Arc<Journal>,
) -> anyhow::Result<()> {
    let flow = context.load(engine, name, &[])?;
    let options = RunOptions {
        once: true,
        dry_run: false,
    };
    let observer: Arc<Journal> = Arc::clone(journal);
    engine
        .run(flow, options, observer, Drain::new())
        .await
        .with_context(|| format!("{name} stopped"))?;
    Ok(())
}
