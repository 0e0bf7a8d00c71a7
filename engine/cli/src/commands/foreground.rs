//! `flow foreground NAME`: one flow in this terminal, and what happens in it.

mod reload;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use flow_config::Flow;
use flow_daemon::{Debugging, Drain, Engine, RunOptions, Summary};
use flow_runtime::ports::PassCounts;

use crate::args::{LogLevel, SetArg};
use crate::context::Context;
use crate::debugger::{Break, Prompt, Wanted};
use crate::observer::{self, Foreground};
use crate::stop::Exit;

use reload::Files;

/// Arguments of `flow foreground`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Runs the flow through the same code the background runs it, and says on stderr what happens: one \
line per event, progress of long work on a terminal. Ctrl-C or SIGTERM finishes what is in hand and \
stops; a second one stops at once. Either way nothing is lost: what was not finished is done again \
at the next start.

At --log-level debug it ends with what each plugin used.

--trace adds every step of every message: which rule accepted it, what each plugin decided, how long \
it took, which fields changed. Which events have a line, and from which level on, is `logEvents` \
and `logLevel` of the flow; --log-level goes before. Rejected messages have one unless the flow says \
otherwise (`logReject`, `logDuplicates`). --dry-run shows the steps up to the filters and stops there.

--step stops before each stage of each message: before the rules (accept), before each plugin's \
after_accept, send and after_work, before content is fetched (download), before posting (post), and \
when it is known how a message ends (settle). `?` lists what can be typed there: look at the message, \
its headers and its content, change a field, go on, reject, fail, quit. Quitting loses nothing. \
--break stops at some of these only. Messages are worked on one after the other then. Without a \
terminal, --commands has to say where the answers are; at its end everything goes on.

--record writes every call of a plugin to a file, with what the plugin asked of servers, clocks and \
its state, and the content it read (16 MiB of each); `flow replay` plays it without any of these. \
Passwords and tokens are not in it, mails and other data are: it is as private as they are.

A plugin that was built anew, or a changed flow file, is taken over between two passes; one that \
can't be used is not, and the error is shown (not with --once).

Examples:
  flow foreground flow/mail --once              until nothing is left to do
  flow foreground flow/mail --once --trace
  flow foreground flow/mail --dry-run --once    look only
  flow foreground flow/mail --set sleep=5s --log-level debug
  flow foreground flow/mail --step --once
  flow foreground flow/mail --break 'after_work:\\.pdf$'
  flow foreground flow/mail --once --record mail.rec && flow replay mail.rec

Exit codes: 0 stopped as asked, 1 with --once: some messages failed (see `flow retry list`), \
2 could not run.")]
pub(crate) struct Args {
    /// Which flow: `kind/name`
    #[arg(value_name = "FLOW")]
    flow: String,
    /// Stop when there is nothing more to do
    #[arg(long)]
    once: bool,
    /// Print the life of each message, step by step
    #[arg(long)]
    trace: bool,
    /// Only look: fetch and post nothing, change nothing at the origin
    #[arg(long)]
    dry_run: bool,
    /// Stop before each stage of each message, and ask what to do
    #[arg(long)]
    step: bool,
    /// Stop only there: an entry point or stage, and which relPaths (may be repeated)
    ///
    /// One of gather, accept, after_accept, download, send, after_work, post, settle; behind a colon
    /// a regular expression that is looked for in relPath: `--break 'after_work:\.pdf$'`.
    #[arg(long = "break", value_name = "ENTRY_POINT[:REGEX]")]
    breaks: Vec<Break>,
    /// Answer the stops of --step and --break with the lines of FILE; `-` is standard input
    #[arg(long, value_name = "FILE")]
    commands: Option<PathBuf>,
    /// Write down what the plugins are called with and what they do, for `flow replay`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    #[command(flatten)]
    set: SetArg,
}

/// Runs until it is done or told to stop.
///
/// # Errors
/// The flow has errors, is running already, or can't go on; nobody is there to be asked; the
/// recording can't be written.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let console = &context.console;
    let engine = context.engine()?;
    let flow = context.load(&engine, &args.flow, &args.set.set)?;
    let level = context
        .level_asked_for()
        .unwrap_or_else(|| LogLevel::of_flow(flow.log.level));
    if context.level_asked_for().is_none() {
        observer::say_more(level);
    }
    let drain = Drain::new();
    let debugging = args.debugging(context, &engine, &drain)?;
    let options = RunOptions {
        once: args.once,
        dry_run: args.dry_run,
    };
    // Of a dry run nothing remains but what it says.
    let trace = args.trace || args.dry_run;
    let observer = Arc::new(Foreground::new(console.clone(), &flow, level, trace));
    if debugging.debugger.is_some() {
        console.mute_bars();
    }
    let runtime = runtime()?;
    let result = runtime.block_on(async {
        let signals = tokio::spawn(crate::signals::watch(drain.clone(), console.clone())?);
        let run = Run {
            context,
            args,
            options,
            observer: observer.clone(),
            debugging: debugging.clone(),
            drain,
        };
        let result = run.follow(engine, flow).await;
        signals.abort();
        anyhow::Ok(result)
    });
    let mut totals = observer.finish();
    if let (Some(recorder), Some(file)) = (&debugging.recorder, &args.record) {
        let (calls, file) = (recorder.calls(), file.display());
        console.talk(&format!(
            "{calls} calls are in {file}: `flow replay {file}`"
        ));
    }
    // A dry run has no passes to add up, but knows what it saw.
    totals.counts = result??;
    console.talk(&totals.summary());
    if args.once && totals.has_failures() {
        console.talk(&look_at(&args.flow, &totals.counts));
        return Ok(Exit::No);
    }
    Ok(Exit::Done)
}

/// What shows the messages that failed: those given up have a list of their own.
fn look_at(flow: &str, counts: &PassCounts) -> String {
    let waiting = (counts.retrying > 0).then(|| format!("`flow retry list {flow}`"));
    let dead = (counts.dead > 0).then(|| format!("`flow retry list {flow} --dead`"));
    let lists: Vec<String> = waiting.into_iter().chain(dead).collect();
    format!("some messages did not get through: {}", lists.join(" and "))
}

impl Args {
    fn debugging(
        &self,
        context: &Context,
        engine: &Engine,
        drain: &Drain,
    ) -> anyhow::Result<Debugging> {
        let mut debugging = Debugging::default();
        if self.step || !self.breaks.is_empty() {
            let wanted = Wanted {
                step: self.step,
                breaks: self.breaks.clone(),
            };
            let script = self.commands.as_deref();
            let prompt = Prompt::new(context.console.clone(), wanted, script, drain.clone())?;
            debugging.debugger = Some(Arc::new(prompt));
        }
        if let Some(path) = &self.record {
            debugging.recorder = Some(engine.recorder(path)?);
        }
        Ok(debugging)
    }
}

/// A flow in this terminal, over all that changes in its files.
struct Run<'a> {
    context: &'a Context,
    args: &'a Args,
    options: RunOptions,
    observer: Arc<Foreground>,
    debugging: Debugging,
    /// Ends all of it.
    drain: Drain,
}

impl Run<'_> {
    /// Runs `flow` until it ends, and what takes its place when its files change.
    async fn follow(
        &self,
        mut engine: Engine,
        mut flow: Flow,
    ) -> Result<Summary, flow_daemon::Error> {
        let mut totals = Summary::default();
        loop {
            let end = Drain::new();
            let mut files = Files::of(&flow, &engine);
            // Paths that were posted would be posted again.
            let follows = !self.options.once && !flow.name.kind.ends();
            if self.debugging.debugger.is_some() {
                // One message after the other.
                flow.concurrency = 1;
                flow.instances = 1;
            }
            let mut run = Box::pin(engine.run_debugged(
                flow,
                self.options,
                self.observer.clone(),
                end.clone(),
                self.debugging.clone(),
            ));
            let mut next = None;
            let result = loop {
                tokio::select! {
                    result = &mut run => break result,
                    () = self.drain.requested(), if !end.is_requested() => end.request(),
                    changed = files.changed(self.context, &engine, &self.args.set),
                        if follows && next.is_none() =>
                    {
                        next = Some(changed);
                        end.request();
                    }
                }
            };
            drop(run);
            totals.add(&result?);
            match next {
                Some(taken) if !self.drain.is_requested() => (engine, flow) = taken,
                _ => return Ok(totals),
            }
        }
    }
}

/// The threads everything runs on.
///
/// # Errors
/// The system gives no threads.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("can't start threads")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_where_the_hint_leads() {
        let check = |retrying, dead, expected: &str| {
            let counts = PassCounts {
                retrying,
                dead,
                ..PassCounts::default()
            };
            let expected = format!("some messages did not get through: {expected}");
            assert_eq!(look_at("flow/a", &counts), expected);
        };
        check(1, 0, "`flow retry list flow/a`");
        check(0, 1, "`flow retry list flow/a --dead`");
        check(
            2,
            1,
            "`flow retry list flow/a` and `flow retry list flow/a --dead`",
        );
    }
}
