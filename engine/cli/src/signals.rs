//! Ctrl-C and SIGTERM: the first drains, the second exits.

use std::future::Future;

use anyhow::Context as _;
use flow_daemon::Drain;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::console::Console;
use crate::stop::Exit;

/// Starts listening; the future requests the drain at the first signal and ends the process at the
/// second.
///
/// # Errors
/// The system does not let us listen.
pub(crate) fn watch(
    drain: Drain,
    console: Console,
) -> anyhow::Result<impl Future<Output = ()> + Send> {
    watch_with(drain, Some(console))
}

/// As [`watch`], saying nothing where there is no console to say it on.
///
/// # Errors
/// As [`watch`].
pub(crate) fn watch_with(
    drain: Drain,
    console: Option<Console>,
) -> anyhow::Result<impl Future<Output = ()> + Send> {
    let mut signals = Signals {
        interrupt: signal(SignalKind::interrupt()).context("can't listen for Ctrl-C")?,
        terminate: signal(SignalKind::terminate()).context("can't listen for SIGTERM")?,
    };
    Ok(async move {
        signals.next().await;
        drain.request();
        if let Some(console) = &console {
            console.talk("stopping: finishing what is in hand; once more stops at once");
        }
        signals.next().await;
        if let Some(console) = &console {
            console.hide_bars();
            console.talk("stopped at once: what was in hand is done again at the next start");
        }
        // Every durable step is one transaction, so there is nothing to tidy up.
        std::process::exit(i32::from(Exit::CouldNot.code()));
    })
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
