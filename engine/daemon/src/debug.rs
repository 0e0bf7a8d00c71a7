//! Looking into a flow: stopping at messages, recording what plugins do, and playing it back.

use std::path::Path;
use std::sync::Arc;

use flow_config::Flow;
use flow_host::{Played, Recorder, ReplayOptions, ReplaySummary, Session};
use flow_runtime::ports::{Clock, Debugger, Observer};
use flow_runtime::{Drain, Summary, SystemClock};

use crate::engine::{Engine, RunOptions, Running};
use crate::error::Error;

/// How a run is looked into; by default it is not.
#[derive(Clone, Default)]
pub struct Debugging {
    /// Writes down what its plugins do.
    pub recorder: Option<Arc<Recorder>>,
    /// Stops at its messages.
    pub debugger: Option<Arc<dyn Debugger>>,
}

impl Engine {
    /// As [`run`](Self::run), looked into.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_debugged(
        &self,
        flow: Flow,
        options: RunOptions,
        observer: Arc<dyn Observer>,
        drain: Drain,
        debugging: Debugging,
    ) -> Result<Summary, Error> {
        if !options.once && !options.dry_run && self.is_helper(&flow)? {
            // Somebody who runs it as a helper would find it taken.
            tracing::info!(
                flow = %flow.name,
                "The flow is a helper: the program that needs it runs `flow helper`. Nothing is done here."
            );
            return Ok(Summary::default());
        }
        let running = Running {
            debugging,
            ..Running::new(self.store(&flow.name)?)
        };
        self.run_with(flow, options, observer, drain, running).await
    }

    /// Starts a recording.
    ///
    /// # Errors
    /// It can't be written.
    pub fn recorder(&self, path: &Path) -> Result<Arc<Recorder>, Error> {
        Ok(Recorder::create(path, SystemClock.now())?)
    }

    /// Plays a recording to the plugins there are now; `each` is told of every call.
    ///
    /// # Errors
    /// A plugin can't be loaded, or there is no call of the number asked for.
    pub async fn replay(
        &self,
        session: &Session,
        options: &ReplayOptions,
        each: &mut (dyn FnMut(&Played) + Send),
    ) -> Result<ReplaySummary, Error> {
        Ok(session.replay(self.catalogue()?, options, each).await?)
    }
}
