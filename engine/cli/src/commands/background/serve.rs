//! The background process itself: what `flow start` starts, and what `flow run` is.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use flow_config::FlowName;
use flow_daemon::background::protocol::Became;
use flow_daemon::background::{Background, GRACE, Journal, Supervisor, Weight};
use flow_daemon::metrics::Metrics;
use flow_daemon::{Engine, Error};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::LogLevel;
use crate::context::Context;
use crate::journal::Logs;
use crate::stop::{Exit, Problem};

/// Arguments of `flow background`: none, it is started by `flow start`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Becomes the background process, apart from the terminal it was started in.
///
/// # Errors
/// The state directory can't be used.
pub(crate) fn run(_: &Args, context: &Context) -> anyhow::Result<Exit> {
    let level = context.level_asked_for();
    let offer = offer(context)?;
    let (engine, logs) = context.engine_with(|engine| Logs::files(engine, level))?;
    // It fails where this process leads a group already, which then has no terminal to lose.
    let _ = rustix::process::setsid();
    std::env::set_current_dir("/").context("can't leave this directory")?;
    match serve(engine, logs, true, offer, None) {
        // Two were started at the same time; one is enough.
        Err(error) if matches!(error.downcast_ref(), Some(Error::Served { .. })) => Ok(Exit::Done),
        result => result,
    }
}

/// Where metrics are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offer {
    address: SocketAddr,
    /// Whether others than this machine may ask.
    anywhere: bool,
}

/// What FLOW_METRICS says.
///
/// # Errors
/// It is no address.
pub(super) fn offer(context: &Context) -> anyhow::Result<Option<Offer>> {
    let Some(text) = context.variable("FLOW_METRICS") else {
        return Ok(None);
    };
    let offer = parse(text).ok_or_else(|| {
        Problem::new(
            "cli/usage",
            format!("FLOW_METRICS is `{text}`, which is no address"),
        )
        .hint("write it as `127.0.0.1:9470`, or `0.0.0.0:9470,anywhere` if others may ask")
    })?;
    Ok(Some(offer))
}

/// Whether what FLOW_METRICS says can be done, now.
///
/// # Errors
/// It is no address, one that is open to the network by mistake, or one in use.
pub(super) fn try_metrics(context: &Context) -> anyhow::Result<()> {
    let Some(Offer { address, anywhere }) = offer(context)? else {
        return Ok(());
    };
    let bound = super::super::foreground::runtime()?.block_on(Metrics::bind(address, anywhere));
    let Err(error) = bound else {
        return Ok(());
    };
    let mut problem = Problem::new("run/no-metrics", error.to_string());
    problem = match std::error::Error::source(&error) {
        Some(source) => problem.note(source.to_string()).hint(
            "FLOW_METRICS names another address, or port 0 for a free one, which flow.log tells",
        ),
        None => problem.hint(format!("if it is meant: FLOW_METRICS={address},anywhere")),
    };
    Err(problem.note("nothing was started").into())
}

/// As [`try_metrics`], where flows are to run all the same.
///
/// # Errors
/// FLOW_METRICS is no address.
pub(super) fn warn_of_metrics(context: &Context) -> anyhow::Result<()> {
    offer(context)?;
    if let Err(error) = try_metrics(context) {
        context.console.talk(&format!("no metrics: {error:#}"));
    }
    Ok(())
}

fn parse(text: &str) -> Option<Offer> {
    let (address, anywhere) = match text.split_once(',') {
        Some((address, "anywhere")) => (address, true),
        Some(_) => return None,
        None => (text, false),
    };
    let address = address.trim().parse().ok()?;
    Some(Offer { address, anywhere })
}

/// Offers metrics; where that can't be, flows run all the same.
async fn tell_metrics(offer: Offer, supervisor: Supervisor, journal: &dyn Journal) {
    match Metrics::bind(offer.address, offer.anywhere).await {
        Ok(metrics) => {
            let text = format!("metrics at http://{}/metrics", metrics.address());
            journal.note(None, Weight::Info, &text);
            tokio::spawn(metrics.serve(Arc::new(supervisor)));
        }
        Err(error) => {
            let text = format!("no metrics: {:#}", anyhow::Error::from(error));
            journal.note(None, Weight::Error, &text);
        }
    }
}

/// Serves until it is told to end. With `first`, starts these flows and remembers nothing of them;
/// if none of them starts, that is the end.
///
/// # Errors
/// The state directory can't be used, or another process serves.
pub(super) fn serve(
    engine: Engine,
    logs: Logs,
    remember: bool,
    offer: Option<Offer>,
    first: Option<Vec<FlowName>>,
) -> anyhow::Result<Exit> {
    raise_limits();
    tell_panics(&logs);
    let runtime = super::super::foreground::runtime()?;
    let journal: Arc<dyn Journal> = Arc::new(logs);
    let note = |text: &str| journal.note(None, Weight::Info, text);
    let exit = runtime.block_on(async {
        let background = Background::open(engine, Arc::clone(&journal), remember).await?;
        note(&format!("started as process {}", std::process::id()));
        let end = background.ender();
        let supervisor = background.supervisor().clone();
        if let Some(offer) = offer {
            tell_metrics(offer, supervisor.clone(), &*journal).await;
        }
        let signals = Signals::listen()?;
        tokio::spawn(signals.heed(supervisor.clone(), Arc::clone(&journal), background.ender()));
        let starting = first.map(|names| tokio::spawn(start(supervisor, names, end)));
        background.serve().await;
        // An end that nobody asked for is that of a start in vain.
        let in_vain = match starting {
            Some(starting) if starting.is_finished() => starting.await.unwrap_or(false),
            _ => false,
        };
        anyhow::Ok(if in_vain { Exit::CouldNot } else { Exit::Done })
    })?;
    note("ended");
    // What a plugin or a file system does in a thread of its own is not waited for.
    runtime.shutdown_background();
    Ok(exit)
}

/// Starts flows; true if none of them could be.
async fn start(supervisor: Supervisor, names: Vec<FlowName>, end: impl Fn()) -> bool {
    let outcomes = supervisor.start(names, true).await;
    let in_vain = outcomes
        .iter()
        .all(|outcome| outcome.result == Became::Failed);
    if in_vain {
        end();
    }
    in_vain
}

/// A flow has about ten files open, and the usual limit is a thousand.
fn raise_limits() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With the old limit fewer flows fit, which they say themselves.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// A panic is a line in the log, wherever stderr goes.
fn tell_panics(logs: &Logs) {
    let logs = logs.clone();
    std::panic::set_hook(Box::new(move |panic| {
        let text = format!("a bug in flow: {panic}").replace('\n', ": ");
        logs.line(None, LogLevel::Error, &text);
    }));
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("can't listen for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// SIGTERM and Ctrl-C drain, the second one ends at once; SIGHUP reads flows again.
    async fn heed(
        mut self,
        supervisor: Supervisor,
        journal: Arc<dyn Journal>,
        end: impl Fn() + Send,
    ) {
        let note = |text: &str| journal.note(None, Weight::Info, text);
        let mut ending = false;
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
                _ = self.hangup.recv() => {
                    note("reads flows again");
                    let supervisor = supervisor.clone();
                    // It tells the journal itself.
                    tokio::spawn(async move { supervisor.reload(Vec::new(), GRACE).await });
                    continue;
                }
            }
            if ending {
                note("stopped at once: what was in hand is done again at the next start");
                // Every durable step is one transaction, so there is nothing to tidy up.
                std::process::exit(i32::from(Exit::CouldNot.code()));
            }
            ending = true;
            note("stopping: flows finish what is in hand; once more stops at once");
            end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_offered_where_it_says() {
        let offer = |address: &str, anywhere| {
            let address = address.parse().expect("an address");
            Some(Offer { address, anywhere })
        };
        assert_eq!(parse("127.0.0.1:9470"), offer("127.0.0.1:9470", false));
        assert_eq!(parse("[::]:1,anywhere"), offer("[::]:1", true));
        for text in ["9470", "localhost:9470", "127.0.0.1:9470,x", ""] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
