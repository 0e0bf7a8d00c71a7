//! The background process: one per state directory, which runs all flows as tasks.
//!
//! [`Background`] is the process's side: it holds the lock, answers at the socket and supervises.
//! [`Client`] is the other side, for commands. What they say to each other is in [`protocol`].
//!
//! It does not detach itself, print, listen to signals or know what a log line looks like: that is
//! the command's business, which hands in a [`Journal`] and asks for the end.
//!
//! # Invariants
//! - One process per state directory: `<state>/flow.lock` is locked for as long as it lives. Only who
//!   holds the lock touches the socket.
//! - One run per flow on the machine: that is the lock beside the flow's store, which `foreground`
//!   takes too.
//! - No flow takes another with it: a panic, an error or a bad file ends that flow's run alone.
//! - Nothing here is needed to go on after `kill -9`: which flows should run is in
//!   `<state>/flow.started`, everything else in the flows' own stores.

mod client;
mod lock;
mod overview;
pub mod protocol;
mod reading;
mod room;
mod server;
mod socket;
mod started;
mod supervisor;
mod task;
#[cfg(test)]
mod tests;
pub(crate) mod words;

use std::sync::Arc;
use std::time::Duration;

use flow_config::{Flow, FlowName};
use flow_runtime::ports::Observer;
use tokio::sync::watch;

use crate::{Engine, Error};

pub use client::{Client, Trouble};
pub use lock::{Lock, holder, is_ours, kill, terminate};
pub use overview::overview;
pub use started::{Started, Wanted};
pub use supervisor::Supervisor;

/// How long flows may take to finish what is in hand, before they are dropped.
pub const GRACE: Duration = Duration::from_secs(30);

/// How important a note is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// It needs a person.
    Error,
    /// It is being dealt with.
    Warning,
    /// It was asked for.
    Info,
}

/// Where the background process writes what happens.
pub trait Journal: Send + Sync {
    /// What sees the events of a flow, from one start to its end.
    fn observer(&self, flow: &Flow) -> Arc<dyn Observer>;
    /// Something happened to a flow as a whole, or to the process.
    fn note(&self, flow: Option<&FlowName>, weight: Weight, text: &str);
}

/// The background process, ready to serve.
pub struct Background {
    supervisor: Supervisor,
    socket: socket::Listener,
    end: watch::Sender<bool>,
    // The last to go, so that nobody takes over before everything else is gone.
    _lock: Lock,
}

impl Background {
    /// Becomes the background process of the engine's directories. With `remember`, the flows that
    /// should run are written down, so that `sanity` can start them again.
    ///
    /// # Errors
    /// [`Error::Served`] where another process is; [`Error::File`] where the state directory can't
    /// be used.
    pub async fn open(
        engine: Engine,
        journal: Arc<dyn Journal>,
        remember: bool,
    ) -> Result<Self, Error> {
        let lock = Lock::take(&engine.lock_file())?;
        let socket = socket::listen(&engine.socket_file()).map_err(|source| Error::File {
            path: engine.socket_file(),
            source,
        })?;
        let started = Started::new(engine.started_file());
        let started = remember.then_some(started);
        Ok(Self {
            supervisor: Supervisor::new(engine, journal, started),
            socket,
            end: watch::Sender::new(false),
            _lock: lock,
        })
    }

    /// Starts, stops and shows flows.
    pub fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }

    /// Asks for the end, as often as wanted: [`serve`](Self::serve) drains all flows and returns.
    pub fn ender(&self) -> impl Fn() + Send + Sync + use<> {
        let end = self.end.clone();
        move || {
            end.send_replace(true);
        }
    }

    /// Answers at the socket until the end is asked for, there or by [`ender`](Self::ender); then
    /// all flows drain.
    ///
    /// # Cancel safety
    /// Dropping the future is like a kill: nothing is lost, what was in hand is done again.
    pub async fn serve(self) {
        let Self {
            supervisor,
            socket,
            end,
            _lock,
        } = self;
        let mut ends = end.subscribe();
        tokio::select! {
            () = server::answer(&socket, &supervisor, &end) => {}
            // The sender lives in this function.
            _ = ends.wait_for(|end| *end) => {}
        }
        // Who asks meanwhile is told how far it is.
        tokio::select! {
            () = server::answer(&socket, &supervisor, &end) => {}
            () = supervisor.drain(GRACE) => {}
        }
    }
}
