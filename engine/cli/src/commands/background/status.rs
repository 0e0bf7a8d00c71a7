//! `flow status [FLOW…]`: is it healthy, how far behind, what is failing.

use std::time::Duration;

use flow_daemon::Engine;
use flow_daemon::background::overview;
use flow_daemon::background::protocol::{FlowStatus, Status};
use jiff::Timestamp;

use crate::args::FormatArg;
use crate::context::Context;
use crate::render::{Align, Table, bytes, count, elapsed, plural};
use crate::stop::Exit;

/// Arguments of `flow status`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
One line per flow. The state is
  running     it works, or waits for something to do
  starting    it is on its way
  stopping    it finishes what is in hand
  waiting     it failed, and is started again by itself
  failed      it can't go on until somebody mends it; then `flow reload`
  ended       it did all there was
  foreground  `flow foreground` runs it
  missing     it should run, but the background process is gone: `flow sanity`
  stopped     it was stopped, or never started
  disabled    it is not started until `flow enable`

With --format json, stdout is one object: \"process\" (null when there is none) with {\"pid\", \
\"version\", \"since\", \"config\", \"memory\"}, and \"flows\", an array of {\"flow\", \"state\", \
\"since\", \"reason\", \"restarts\", \"figures\"}. Times are UTC, RFC 3339; figures count since the \
flow was started.

Examples:
  flow status
  flow status 'poll/*' --full
  flow status --format json

Exit codes: 0 every flow is as it should be, 1 some are not (waiting, failed, missing), 2 could not \
run.")]
pub(crate) struct Args {
    /// Which flows: `kind/name`, or a pattern; none means all
    #[arg(value_name = "FLOW")]
    flows: Vec<String>,
    /// Every column
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    format: FormatArg,
}

/// Prints it.
///
/// # Errors
/// There is no such flow, or the process does not answer.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.engine()?;
    let status = look(context, &engine, &args.flows)?;
    let console = &context.console;
    if args.format.is_json() {
        console.print(&serde_json::to_string_pretty(&status)?)?;
    } else {
        console.print(&text(context, &status, args.full))?;
    }
    if status.flows.iter().any(FlowStatus::is_bad) {
        Ok(Exit::No)
    } else {
        Ok(Exit::Done)
    }
}

/// How the flows that patterns select are; none selects all.
///
/// # Errors
/// One of them selects nothing, or the process does not answer.
pub(super) fn look(
    context: &Context,
    engine: &Engine,
    patterns: &[String],
) -> anyhow::Result<Status> {
    let running = super::running(engine)?;
    let mut status = overview(engine, running)?;
    if !patterns.is_empty() {
        let wanted = super::select(context, engine, patterns, &status)?;
        status.flows.retain(|flow| wanted.contains(&flow.flow));
    }
    Ok(status)
}

/// As a person reads it.
pub(super) fn text(context: &Context, status: &Status, full: bool) -> String {
    let paint = context.console.paint();
    let now = Timestamp::now();
    let mut text = if full {
        full_table(status, now).render(paint)
    } else {
        table(status, now).render(paint)
    };
    text.push_str(&foot(status, now));
    text
}

/// For how long, until `now`.
fn age(since: Option<&str>, now: Timestamp) -> String {
    let since: Option<Timestamp> = since.and_then(|since| since.parse().ok());
    let Some(since) = since else {
        return "-".to_owned();
    };
    let age = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    if age < Duration::from_secs(60) {
        format!("{}s", age.as_secs())
    } else {
        elapsed(age)
    }
}

/// The first line of why.
fn reason(flow: &FlowStatus) -> &str {
    let reason = flow.reason.as_deref().unwrap_or_default();
    reason.lines().next().unwrap_or_default()
}

fn table(status: &Status, now: Timestamp) -> Table {
    let mut table = Table::new(&[
        ("FLOW", Align::Left),
        ("STATE", Align::Left),
        ("FOR", Align::Right),
        ("IN", Align::Right),
        ("POSTED", Align::Right),
        ("DATA", Align::Right),
        ("FAILED", Align::Right),
        ("WHY", Align::Left),
    ]);
    for flow in &status.flows {
        let figures = &flow.figures;
        table.row([
            &flow.flow,
            &flow.state,
            &age(flow.since.as_deref(), now),
            &count(figures.gathered),
            &count(figures.posted),
            &bytes(figures.bytes),
            &count(figures.retrying + figures.dead),
            reason(flow),
        ]);
    }
    table
}

fn full_table(status: &Status, now: Timestamp) -> Table {
    let mut table = Table::new(&[
        ("FLOW", Align::Left),
        ("STATE", Align::Left),
        ("FOR", Align::Right),
        ("RESTARTS", Align::Right),
        ("IN", Align::Right),
        ("REJECTED", Align::Right),
        ("FETCHED", Align::Right),
        ("POSTED", Align::Right),
        ("DATA", Align::Right),
        ("RETRIED", Align::Right),
        ("DEAD", Align::Right),
        ("WHY", Align::Left),
    ]);
    for flow in &status.flows {
        let figures = &flow.figures;
        table.row([
            &flow.flow,
            &flow.state,
            &age(flow.since.as_deref(), now),
            &flow.restarts.to_string(),
            &count(figures.gathered),
            &count(figures.rejected),
            &count(figures.fetched),
            &count(figures.posted),
            &bytes(figures.bytes),
            &count(figures.retrying),
            &count(figures.dead),
            reason(flow),
        ]);
    }
    table
}

/// The process, and how many flows run.
fn foot(status: &Status, now: Timestamp) -> String {
    let total = u64::try_from(status.flows.len()).unwrap_or(u64::MAX);
    let running = status.flows.iter().filter(|flow| flow.state == "running");
    let running = running.count();
    let total = plural(total, "flow");
    match &status.process {
        Some(process) => format!(
            "{running} of {total} running in process {} for {}, {}\n",
            process.pid,
            age(Some(&process.since), now),
            bytes(process.memory)
        ),
        None => format!("{total}, nothing runs in the background\n"),
    }
}

#[cfg(test)]
mod tests {
    use flow_daemon::background::protocol::{Figures, Process};

    use super::*;
    use crate::render::Paint;

    #[test]
    fn a_status_as_a_person_sees_it() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().expect("a time");
        let mut mail = FlowStatus::idle("poll/mail".into(), "waiting");
        mail.since = Some("2026-01-02T03:04:00Z".into());
        mail.reason = Some("no route to host\nand more".into());
        mail.restarts = 2;
        mail.figures = Figures {
            gathered: 1_234_567,
            posted: 12,
            bytes: 5 << 20,
            retrying: 3,
            ..Figures::default()
        };
        let mut other = FlowStatus::idle("watch/a".into(), "running");
        other.since = Some("2026-01-02T01:00:00Z".into());
        let status = Status {
            process: Some(Process {
                pid: 42,
                version: "1".into(),
                since: "2026-01-02T00:00:00Z".into(),
                config: "/c".into(),
                memory: 30 << 20,
            }),
            flows: vec![mail, other, FlowStatus::idle("watch/b".into(), "stopped")],
        };
        let mut text = table(&status, now).render(Paint::off());
        text.push_str(&foot(&status, now));
        text.push_str(&full_table(&status, now).render(Paint::off()));
        insta::assert_snapshot!(text);
        let none = Status {
            process: None,
            flows: Vec::new(),
        };
        assert_eq!(
            foot(&none, now),
            "0 flows, nothing runs in the background\n"
        );
    }
}
