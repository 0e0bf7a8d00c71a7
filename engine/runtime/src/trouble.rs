//! What keeps a flow from going on: refused credentials, plugins that fall over, what is gone.
//!
//! It pauses, longer each time, or stops; nothing is decided here about messages in hand.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::ports::Failure;
use crate::retry::backoff;
use crate::shared::Shared;
use crate::worker::{Running, error_of};

/// So many plugin failures within [`PLUGIN_WINDOW`] pause the flow.
const PLUGIN_FAILURES: usize = 5;
/// See [`PLUGIN_FAILURES`]; also the length of the pause.
const PLUGIN_WINDOW: Duration = Duration::from_secs(60);

/// Plugins that fell over beside the loop, in requests and lines, until the loop hears of them.
///
/// They count towards its pause, which holds up the loop only: who makes a plugin fall over by what
/// he asks must not silence it for everybody else.
#[derive(Debug, Default)]
pub(crate) struct Falls {
    reasons: Mutex<Vec<Failure>>,
    comes: Notify,
}

impl Falls {
    /// Notes a failure, if it is one of a plugin itself.
    pub(crate) fn note(&self, failure: &Failure) {
        if !matches!(failure, Failure::Plugin(_)) {
            return;
        }
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        // More than make a pause tell nothing more.
        if reasons.len() < PLUGIN_FAILURES {
            reasons.push(failure.clone());
        }
        drop(reasons);
        self.comes.notify_one();
    }

    fn take(&self) -> Vec<Failure> {
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut reasons)
    }

    /// Waits until there is one. Cancel safe.
    pub(crate) async fn come(&self) {
        self.comes.notified().await;
    }
}

/// What kind of trouble a wait is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Something could not be reached.
    Connection,
    /// Credentials were refused; trying often burns the account.
    Credentials,
}

impl Running {
    /// The flow has to stop; what is in hand is settled first.
    pub(crate) fn stop_for(&mut self, failure: &Failure) {
        if self.stop.is_none() {
            self.stop = Some(error_of(failure));
        }
    }

    /// Credentials were refused: the flow pauses, longer each time.
    pub(crate) fn pause_for_credentials(&mut self, failure: &Failure) {
        if self.pause.is_some() {
            return;
        }
        let wait = self
            .shared
            .trouble_delay(Trouble::Credentials, self.credentials_step, failure);
        self.credentials_step += 1;
        self.pause = Some((failure.clone(), wait));
    }

    /// Credentials were accepted.
    pub(crate) fn credentials_work(&mut self) {
        self.credentials_step = 0;
    }

    /// Counts those that fell over beside the loop.
    pub(crate) fn hear_of_falls(&mut self) {
        let shared = Arc::clone(&self.shared);
        for failure in shared.falls.take() {
            self.count_plugin_failure(&failure);
        }
    }

    /// Says that a plugin fell over, if it did, and counts it.
    pub(crate) fn note_plugin_failure(&mut self, failure: &Failure) {
        if let Failure::Plugin(reason) = failure {
            let flow = self.shared.flow.name.to_string();
            tracing::error!(
                flow,
                "{reason}\n  = note: the messages in hand are tried again"
            );
            self.count_plugin_failure(failure);
        }
    }

    /// Counts plugins that fell over, which somebody said already; too many lately pause the flow.
    pub(crate) fn count_plugin_failure(&mut self, failure: &Failure) {
        if !matches!(failure, Failure::Plugin(_)) {
            return;
        }
        let now = self.shared.now().as_millisecond();
        self.plugin_failures.push_back(now);
        let window = i64::try_from(PLUGIN_WINDOW.as_millis()).unwrap_or(i64::MAX);
        while self
            .plugin_failures
            .front()
            .is_some_and(|first| now - first > window)
        {
            self.plugin_failures.pop_front();
        }
        if self.plugin_failures.len() >= PLUGIN_FAILURES {
            self.plugin_failures.clear();
            let reason = format!(
                "a plugin failed {PLUGIN_FAILURES} times within a minute, at last: {}",
                failure.brief()
            );
            self.pause
                .get_or_insert((Failure::Plugin(reason), PLUGIN_WINDOW));
        }
    }
}

impl Failure {
    /// What happened, without the notes on how a plugin failed: those are in the log once.
    pub fn brief(&self) -> &str {
        match self {
            Self::Plugin(reason) => reason.lines().next().unwrap_or_default(),
            Self::Temporary { reason, .. }
            | Self::Permanent(reason)
            | Self::Auth(reason)
            | Self::Config(reason) => reason,
        }
    }
}

impl Shared {
    /// How long to wait for the `step`-th time in a row.
    pub(crate) fn trouble_delay(&self, trouble: Trouble, step: u32, failure: &Failure) -> Duration {
        let (base, cap) = match trouble {
            Trouble::Connection => (Duration::from_secs(1), Duration::from_secs(60)),
            Trouble::Credentials => (Duration::from_secs(60), Duration::from_secs(3600)),
        };
        let own = backoff(base, cap, step, self.clock.random());
        match failure {
            Failure::Temporary {
                retry_after: Some(asked),
                ..
            } => own.max((*asked).min(Duration::from_secs(86_400))),
            _ => own,
        }
    }
}
