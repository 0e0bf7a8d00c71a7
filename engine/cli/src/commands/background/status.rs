//! `flow status [FLOW…]`: is it healthy, how far behind, what is failing.

mod used;

use std::time::Duration;

use flow_daemon::Engine;
use flow_daemon::background::overview;
use flow_daemon::background::protocol::{FlowStatus, Status};
use flow_daemon::figures::Figures;
use flow_daemon::health::State;
use jiff::Timestamp;

use crate::args::FormatArg;
use crate::context::Context;
use crate::render::{Align, Table, bytes, count, elapsed, plural};
use crate::stop::Exit;

/// Arguments of `flow status`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
One line per flow: how it is, how far behind, what is failing. The state is the first of these that \
fits, those with a star are well:
  disabled*     it is not started until `flow enable`
  failed        it can't go on until somebody mends it; then `flow reload`
  starting*, stopping*, stopped*
  missing       it should run, but the background process is gone: `flow sanity`
  hung          it did nothing for runStateThreshold_hung
  waitVip*      another machine has its `vip`; it starts when the address comes here
  paused        it waits before it tries again what failed
  disconnected  a broker is away, or was for much of the time
  slow, retry, lagging, reject    it is beyond its runStateThreshold_* of that name
  idle*         nothing came for runStateThreshold_idle
  foreground*   `flow foreground` runs it
  running*

RETRY are messages that wait to be tried again, QUEUE those that wait in the queue, LAG is how old \
messages are when they come, LAST when one last came, %REJ how many of a hundred its filters rejected; MSG/S and DATA/S are rates, all three of the last minute. \
--full adds what was counted since the start.

Of a single flow that is named, what its plugins used since the start follows: how often each entry \
point was called, how many calls failed, trapped (crashed, or took more memory or handed back more \
than they may) or were ended at the time limit, the messages they were about, how long they took in \
all, on average and at most, and how much of it the plugin itself computed.

With --format json, stdout is one object: \"process\" (null when there is none) with {\"pid\", \
\"version\", \"since\", \"config\", \"memory\"}, and \"flows\", an array of {\"flow\", \"state\", \
\"reason\", \"since\", \"restarts\", \"figures\"}. `since` is UTC, RFC 3339; times in figures are \
milliseconds since 1970, rates per second, lag in seconds. \
\"plugins\" in figures has {\"plugin\", \"memory_peak\", \"requests\", \"bytes_in\", \"bytes_out\", \"lines_dropped\", \
\"entries\"}, each entry {\"entry\", \"calls\", \"failures\", \"traps\", \"deadlines\", \"messages\", \"time\", \
\"longest\", \"computing\"}, times in seconds; \"numbers\" are those plugins keep themselves.

Examples:
  flow status
  flow status 'poll/*' --full
  flow status --format json

Exit codes: 0 every flow is well, 1 some are not, 2 could not run.")]
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
        console.print(&text(context, &status, args.full, &args.flows))?;
    }
    if status.flows.iter().any(|flow| !flow.state.is_well()) {
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
pub(super) fn text(context: &Context, status: &Status, full: bool, asked: &[String]) -> String {
    let paint = context.console.paint();
    let now = Timestamp::now();
    let mut text = if full {
        full_table(status, now).render(paint)
    } else {
        table(status).render(paint)
    };
    text.push_str(&foot(status, now));
    // Of one that was asked for by its name, what its plugins used.
    if let ([flow], false) = (status.flows.as_slice(), asked.is_empty())
        && let Some(figures) = flow.figures.as_ref()
    {
        text.push_str(&used::text(&figures.plugins, paint));
    }
    text
}

/// For how long, until `now`.
fn age(since: Option<&str>, now: Timestamp) -> String {
    let since: Option<Timestamp> = since.and_then(|since| since.parse().ok());
    let Some(since) = since else {
        return "-".to_owned();
    };
    let age = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    short(age)
}

/// A time span to the second.
fn short(span: Duration) -> String {
    if span < Duration::from_secs(60) {
        format!("{}s", span.as_secs())
    } else {
        elapsed(span)
    }
}

/// The first line of why.
fn reason(flow: &FlowStatus) -> &str {
    let reason = flow.reason.as_deref().unwrap_or_default();
    reason.lines().next().unwrap_or_default()
}

/// A number, or a dash where there is none to show.
fn known(number: Option<u64>) -> String {
    number.map_or_else(|| "-".to_owned(), count)
}

/// Per second, with as many digits as say something.
fn rate(rate: f64) -> String {
    if rate == 0.0 {
        "-".to_owned()
    } else if rate < 10.0 {
        format!("{rate:.1}")
    } else {
        format!("{rate:.0}")
    }
}

/// Bytes a second.
fn byte_rate(rate: f64) -> String {
    if rate < 1.0 {
        return "-".to_owned();
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is positive, and a float that is too large becomes the largest number"
    )]
    let whole = rate as u64;
    bytes(whole)
}

/// How long ago the last message or transfer was.
fn last(figures: &Figures) -> String {
    let last = figures.last_message.max(figures.last_transfer);
    last.map_or_else(
        || "-".to_owned(),
        |last| {
            short(Duration::from_millis(
                figures.at.saturating_sub(last).max(0).unsigned_abs(),
            ))
        },
    )
}

fn lag(figures: &Figures) -> String {
    let recent = &figures.recent;
    if recent.messages == 0 || figures.input.is_none() {
        return "-".to_owned();
    }
    elapsed(Duration::try_from_secs_f64(recent.lag).unwrap_or_default())
}

fn table(status: &Status) -> Table {
    let mut table = Table::new(&[
        ("FLOW", Align::Left),
        ("STATE", Align::Left),
        ("RETRY", Align::Right),
        ("QUEUE", Align::Right),
        ("LAG", Align::Right),
        ("LAST", Align::Right),
        ("%REJ", Align::Right),
        ("MSG/S", Align::Right),
        ("DATA/S", Align::Right),
        ("WHY", Align::Left),
    ]);
    let nothing = Figures::default();
    for flow in &status.flows {
        let figures = flow.figures.as_ref().unwrap_or(&nothing);
        let recent = &figures.recent;
        table.row([
            &flow.flow,
            flow.state.as_str(),
            &known(Some(figures.waiting.retry).filter(|retry| *retry > 0)),
            &known(figures.waiting.queue),
            &lag(figures),
            &last(figures),
            &rate(recent.rejected_percent),
            &rate(recent.message_rate.max(recent.post_rate)),
            &byte_rate(recent.byte_rate_in + recent.byte_rate_out),
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
        ("STARTS", Align::Right),
        ("RETRY", Align::Right),
        ("DEAD", Align::Right),
        ("QUEUE", Align::Right),
        ("LAG", Align::Right),
        ("LAST", Align::Right),
        ("MSG/S", Align::Right),
        ("DATA/S", Align::Right),
        ("RECEIVED", Align::Right),
        ("REJECTED", Align::Right),
        ("MALFORMED", Align::Right),
        ("POSTED", Align::Right),
        ("RETRIED", Align::Right),
        ("FILES IN", Align::Right),
        ("DATA IN", Align::Right),
        ("FILES OUT", Align::Right),
        ("DATA OUT", Align::Right),
        ("WHY", Align::Left),
    ]);
    let nothing = Figures::default();
    for flow in &status.flows {
        let figures = flow.figures.as_ref().unwrap_or(&nothing);
        let (recent, counts) = (&figures.recent, &figures.counts);
        let starts = flow.since.as_ref().map(|_| u64::from(flow.restarts) + 1);
        table.row([
            &flow.flow,
            flow.state.as_str(),
            &age(flow.since.as_deref(), now),
            &known(starts),
            &count(figures.waiting.retry),
            &count(figures.waiting.dead),
            &known(figures.waiting.queue),
            &lag(figures),
            &last(figures),
            &rate(recent.message_rate.max(recent.post_rate)),
            &byte_rate(recent.byte_rate_in + recent.byte_rate_out),
            &count(counts.received),
            &count(counts.rejected),
            &count(counts.malformed),
            &count(counts.posted),
            &count(counts.retried),
            &count(counts.files_in),
            &bytes(counts.bytes_in),
            &count(counts.files_out),
            &bytes(counts.bytes_out),
            reason(flow),
        ]);
    }
    table
}

/// The process, and how many flows run.
fn foot(status: &Status, now: Timestamp) -> String {
    let total = u64::try_from(status.flows.len()).unwrap_or(u64::MAX);
    let running = status
        .flows
        .iter()
        .filter(|flow| matches!(flow.state, State::Running | State::Idle));
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
    use flow_daemon::background::protocol::Process;
    use flow_daemon::figures::{Counts, Link, Recent, Waiting};

    use super::*;
    use crate::render::Paint;

    #[test]
    fn a_status_as_a_person_sees_it() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().expect("a time");
        let at = now.as_millisecond();
        let mut mail = FlowStatus::idle("poll/mail".into(), State::Paused);
        mail.since = Some("2026-01-02T03:04:00Z".into());
        mail.reason = Some("no route to host\nand more".into());
        mail.restarts = 2;
        let mut other = FlowStatus::idle("subscribe/a".into(), State::Running);
        other.since = Some("2026-01-02T01:00:00Z".into());
        other.figures = Some(Figures {
            at,
            last_message: Some(at - 2_500),
            last_transfer: Some(at - 90_000),
            counts: Counts {
                received: 1_234_567,
                rejected: 12,
                posted: 34,
                files_in: 34,
                bytes_in: 5 << 20,
                ..Counts::default()
            },
            recent: Recent {
                message_rate: 3.21,
                byte_rate_in: 2048.0,
                messages: 200,
                lag: 0.031,
                rejected_percent: 12.5,
                ..Recent::default()
            },
            waiting: Waiting {
                queue: Some(7),
                retry: 3,
                ..Waiting::default()
            },
            input: Some(Link::default()),
            ..Figures::default()
        });
        let status = Status {
            process: Some(Process {
                pid: 42,
                version: "1".into(),
                since: "2026-01-02T00:00:00Z".into(),
                config: "/c".into(),
                memory: 30 << 20,
            }),
            flows: vec![
                mail,
                other,
                FlowStatus::idle("watch/b".into(), State::Stopped),
            ],
        };
        let mut text = table(&status).render(Paint::off());
        text.push_str(&foot(&status, now));
        text.push_str(&full_table(&status, now).render(Paint::off()));
        insta::assert_snapshot!(text);
        assert_eq!(
            foot(&Status::default(), now),
            "0 flows, nothing runs in the background\n"
        );
    }

    #[test]
    fn rates_have_the_digits_that_count() {
        assert_eq!(
            [0.0, 0.04, 3.21, 1234.5].map(rate),
            ["-", "0.0", "3.2", "1234"]
        );
        assert_eq!([0.0, 2048.0].map(byte_rate), ["-", "2.0 KiB"]);
    }
}
