//! `flow demo`: the real pipeline over a mail server on loopback, in a couple of seconds.
//!
//! Nothing here is a special path: the shipped examples, edited as a person would edit them, run
//! through the same engine, plugins and broker as everything else. Only the server is ours.

mod journal;
mod setup;

use std::sync::Arc;
use std::time::Instant;

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
    let paint = console.paint();
    let setup = Setup::make().await?;
    console.print(&format!(
        "A mailbox with {} is on {}, for this demo only. Nothing leaves this machine.\n",
        plural(setup.samples.len() as u64, "invented mail"),
        setup.server.address(),
    ))?;
    let engine = context.engine_in(setup.directories(), &[("HOME", &setup.home())])?;
    let journal = Arc::new(Journal::default());
    let started = Instant::now();

    // An exchange keeps nothing: the queue has to be there before something is announced.
    once(context, &engine, "subscribe/mail", &journal).await?;
    console.print(&format!(
        "{} asks what is new and posts a message per mail to exchange xs_mail.",
        paint.bold("1. poll/mail")
    ))?;
    once(context, &engine, "poll/mail", &journal).await?;
    console.print(&format!(
        "   {} announced\n",
        plural(journal.mails().len() as u64, "mail")
    ))?;
    console.print(&format!(
        "{} downloads each mail, takes it apart, posts a message per file to exchange xs_files.\n",
        paint.bold("2. subscribe/mail")
    ))?;
    once(context, &engine, "subscribe/mail", &journal).await?;
    let took = started.elapsed();

    console.print(&journal.tell(&setup.samples, paint))?;
    let files = setup.files()?;
    console.print(&format!(
        "{} Where the files are, below {}\n",
        paint.bold("3."),
        setup.home()
    ))?;
    console.print(&journal::tree(&files, paint))?;
    let missing = journal::missing(&setup.samples, &files);
    let expected: usize = setup.samples.iter().map(|sample| sample.files.len()).sum();
    let exit = if missing.is_empty() {
        console.print(&format!(
            "\n{} {} of {} arrived, byte for byte as they were sent, in {}.",
            paint.green("done:"),
            plural(expected as u64, "attachment"),
            plural(setup.samples.len() as u64, "mail"),
            elapsed(took),
        ))?;
        Exit::Done
    } else {
        console.print(&format!(
            "\n{} did not arrive: {}",
            paint.red("failed:"),
            missing.join(", ")
        ))?;
        Exit::No
    };
    let flow = context.command();
    if args.keep {
        let kept = setup.keep();
        console.print(&format!(
            "kept: {flow} --config-dir {0}/config --state-dir {0}/state list",
            kept.display()
        ))?;
    }
    console.print(&journal::next(&flow, paint))?;
    Ok(exit)
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
