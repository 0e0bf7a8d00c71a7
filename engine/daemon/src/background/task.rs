//! One flow in the background: it runs, fails, is started again, and ends when it is asked to.
//!
//! What fails by itself is started again, later and later. What a person has to mend is not: it
//! waits for a reload. A panic counts as a failure of this flow and touches no other.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flow_config::{Flow, FlowName};
use flow_runtime::ports::{Clock, Event, Failure, Observer};
use flow_runtime::retry::backoff;
use flow_runtime::{Drain, SystemClock};
use futures_util::FutureExt;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::Instrument;

use super::protocol::{Became, FlowStatus};
use super::room::{Place, Room};
use super::words::words;
use super::{Journal, Weight};
use crate::figures::{Figures, Meter};
use crate::health::{self, Health, Limits, Process, State};
use crate::{Engine, Error, RunOptions, Summary};

/// The first wait before a flow that failed is started again.
const BASE: Duration = Duration::from_secs(1);
/// The longest.
const CAP: Duration = Duration::from_secs(300);
/// A flow that ran this long had started well: its next failure is a first one.
const WELL: Duration = Duration::from_secs(60);
/// How often a flow that runs in a terminal is looked at, to take over when that ends.
const LOOK: Duration = Duration::from_secs(2);
/// Somebody who only looks at a flow's lock holds it no longer than this.
const GLANCE: Duration = Duration::from_millis(50);

/// Where a flow is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Starting,
    Running,
    /// It failed, and is started again by itself.
    Waiting,
    /// `flow foreground` runs it.
    Foreground,
    Stopping,
    /// It was stopped.
    Stopped,
    /// It did all there was.
    Ended,
    /// A person has to change something.
    Failed,
}

impl Phase {
    /// Whether nothing more comes of it.
    pub(super) fn is_over(self) -> bool {
        matches!(self, Self::Stopped | Self::Ended | Self::Failed)
    }

    /// What a command is told that wanted the flow to start.
    pub(super) fn became(self) -> Became {
        match self {
            Self::Starting | Self::Stopping => Became::Starting,
            Self::Running => Became::Started,
            Self::Waiting => Became::Waiting,
            Self::Foreground => Became::Foreground,
            Self::Stopped => Became::Stopped,
            Self::Ended => Became::Ended,
            Self::Failed => Became::Failed,
        }
    }
}

/// Where a flow is, since when, and why.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    pub(super) phase: Phase,
    pub(super) since: Timestamp,
    pub(super) reason: Option<String>,
    restarts: u32,
}

/// What is known of a flow; written by its task, read by anybody.
struct Live {
    name: FlowName,
    standing: watch::Sender<Standing>,
    meter: Arc<Meter>,
    /// From when on it counts as unwell.
    limits: Limits,
}

impl Live {
    fn new(flow: &Flow, phase: Phase, reason: Option<String>) -> Self {
        Self {
            name: flow.name.clone(),
            standing: watch::Sender::new(Standing {
                phase,
                since: Timestamp::now(),
                reason,
                restarts: 0,
            }),
            meter: Arc::default(),
            limits: Limits::of(flow),
        }
    }

    fn enter(&self, phase: Phase, reason: Option<String>) {
        self.standing.send_modify(|standing| {
            standing.phase = phase;
            standing.since = Timestamp::now();
            standing.reason = reason;
        });
    }
}

/// A flow in the background.
pub(super) struct Task {
    live: Arc<Live>,
    drain: Drain,
    /// None where it never ran, for the errors in it.
    abort: Option<AbortHandle>,
    done: watch::Receiver<bool>,
    /// What it was made of.
    pub(super) print: Option<u64>,
}

impl Task {
    /// Starts a flow.
    pub(super) fn start(
        engine: Engine,
        journal: Arc<dyn Journal>,
        room: Arc<Room>,
        flow: Flow,
        print: u64,
    ) -> Self {
        let span = tracing::error_span!("flow", flow = %flow.name);
        let live = Arc::new(Live::new(&flow, Phase::Starting, None));
        let drain = Drain::new();
        let (done, watching) = watch::channel(false);
        let life = Life {
            engine,
            journal,
            room,
            live: Arc::clone(&live),
            drain: drain.clone(),
            _done: Done(done),
        };
        let task = tokio::spawn(life.live(flow).instrument(span));
        Self {
            live,
            drain,
            abort: Some(task.abort_handle()),
            done: watching,
            print: Some(print),
        }
    }

    /// A flow that could not be started.
    pub(super) fn failed(name: FlowName, reason: String) -> Self {
        Self {
            live: Arc::new(Live::new(&Flow::new(name), Phase::Failed, Some(reason))),
            drain: Drain::new(),
            abort: None,
            done: watch::channel(true).1,
            print: None,
        }
    }

    /// Where it is.
    pub(super) fn standing(&self) -> Standing {
        self.live.standing.borrow().clone()
    }

    /// Waits until it is known how the start went.
    pub(super) async fn settled(&self) -> Standing {
        let mut standing = self.live.standing.subscribe();
        let settled = standing
            .wait_for(|standing| standing.phase != Phase::Starting)
            .await;
        // The sender lives in `self`.
        settled.map_or_else(|_| self.standing(), |standing| standing.clone())
    }

    /// Asks it to finish what is in hand and end.
    pub(super) fn drain(&self) {
        self.drain.request();
        let phase = self.standing().phase;
        if !phase.is_over() {
            self.live.enter(Phase::Stopping, None);
        }
    }

    /// Waits for its end; true if it came before `deadline`, else it is dropped.
    pub(super) async fn ended_by(&self, deadline: Instant) -> bool {
        let mut done = self.done.clone();
        let in_time = tokio::time::timeout_at(deadline, done.wait_for(|done| *done))
            .await
            .is_ok();
        if !in_time {
            if let Some(abort) = &self.abort {
                abort.abort();
            }
            // It goes at its next await; a plugin computes no longer than ten milliseconds.
            let _ = tokio::time::timeout(Duration::from_secs(5), done.wait_for(|done| *done)).await;
        }
        in_time
    }

    /// For `flow status`.
    pub(super) fn status(&self) -> FlowStatus {
        let standing = self.standing();
        let figures = self.live.meter.figures();
        let health = health(&standing, &figures, &self.live.limits);
        FlowStatus {
            flow: self.live.name.to_string(),
            state: health.state,
            reason: health.reason,
            since: Some(standing.since.to_string()),
            restarts: standing.restarts,
            figures: Some(figures),
        }
    }

    /// Whether it does nothing any more, though it runs.
    pub(super) fn is_hung(&self) -> bool {
        self.status().state == State::Hung
    }
}

/// How a flow is.
fn health(standing: &Standing, figures: &Figures, limits: &Limits) -> Health {
    let reason = standing.reason.clone();
    let process = match standing.phase {
        Phase::Starting => Process::Starting,
        Phase::Running => Process::Running,
        Phase::Foreground => Process::Foreground,
        Phase::Stopping => Process::Stopping,
        Phase::Stopped => Process::Stopped,
        Phase::Failed => Process::Failed(reason.unwrap_or_default()),
        // It is meant to run, and will; meanwhile it is as one that waits before its next pass.
        Phase::Waiting => {
            return Health {
                state: State::Paused,
                reason,
            };
        }
        Phase::Ended => {
            return Health {
                state: State::Stopped,
                reason: Some("it has done all there was".into()),
            };
        }
    };
    let standing = health::Standing {
        process,
        // What another process does is counted there.
        figures: (standing.phase == Phase::Running).then_some(figures),
        ..health::Standing::default()
    };
    health::judge(&standing, limits, figures.at)
}

/// Says that the task is gone, however it went.
struct Done(watch::Sender<bool>);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

/// What a flow's task holds.
struct Life {
    engine: Engine,
    journal: Arc<dyn Journal>,
    room: Arc<Room>,
    live: Arc<Live>,
    drain: Drain,
    _done: Done,
}

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// As asked, or because there is no more.
    Over,
    /// Another process runs the flow.
    Elsewhere,
    /// A person has to change something.
    Config(String),
    /// It may work later.
    Later(String),
}

impl Life {
    async fn live(self, flow: Flow) {
        let mut step = 0;
        loop {
            let began = Instant::now();
            let fate = self.run(&flow).await;
            if self.drain.is_requested() {
                if let Fate::Config(reason) | Fate::Later(reason) = fate {
                    self.note(Weight::Warning, &format!("stopped in trouble: {reason}"));
                }
                self.live.enter(Phase::Stopped, None);
                return;
            }
            match fate {
                Fate::Over => {
                    self.live.enter(Phase::Ended, None);
                    return;
                }
                Fate::Config(reason) => {
                    self.note(Weight::Error, &format!("failed: {reason}"));
                    self.live.enter(Phase::Failed, Some(reason));
                    return;
                }
                Fate::Elsewhere => self.wait_for_the_other().await,
                Fate::Later(reason) => {
                    if began.elapsed() >= WELL {
                        step = 0;
                    }
                    let wait = backoff(BASE, CAP, step, SystemClock.random());
                    step += 1;
                    let seconds = wait.as_secs_f64().ceil();
                    self.note(
                        Weight::Warning,
                        &format!("failed, started again in {seconds} s: {reason}"),
                    );
                    self.live.enter(Phase::Waiting, Some(reason));
                    self.pause(wait).await;
                }
            }
            if self.drain.is_requested() {
                self.live.enter(Phase::Stopped, None);
                return;
            }
            self.live.standing.send_modify(|standing| {
                standing.phase = Phase::Starting;
                standing.since = Timestamp::now();
                standing.restarts += 1;
            });
        }
    }

    async fn run(&self, flow: &Flow) -> Fate {
        let place = match self.room.enter() {
            Ok(place) => place,
            Err(reason) => return Fate::Later(reason),
        };
        let observer = Watching {
            inner: self.journal.observer(flow),
            live: Arc::clone(&self.live),
            place: Mutex::new(Some(place)),
        };
        let run = self.engine.run(
            flow.clone(),
            RunOptions::default(),
            Arc::new(observer),
            self.drain.clone(),
        );
        // What the run owned went with it; nothing half-changed is looked at again.
        match AssertUnwindSafe(run).catch_unwind().await {
            Ok(result) => fate(result),
            Err(panic) => Fate::Later(format!("a bug in flow: {}", said(&*panic))),
        }
    }

    /// Waits until no other process runs the flow.
    async fn wait_for_the_other(&self) {
        let name = &self.live.name;
        self.pause(GLANCE).await;
        if !self.engine.is_running(name) {
            return;
        }
        self.note(
            Weight::Info,
            "runs in the foreground; it is taken over when that ends",
        );
        self.live.enter(Phase::Foreground, None);
        while !self.drain.is_requested() && self.engine.is_running(name) {
            self.pause(LOOK).await;
        }
    }

    async fn pause(&self, wait: Duration) {
        tokio::select! {
            () = self.drain.requested() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }

    fn note(&self, weight: Weight, text: &str) {
        self.journal.note(Some(&self.live.name), weight, text);
    }
}

/// What an end means for the next start.
fn fate(result: Result<Summary, Error>) -> Fate {
    let error = match result {
        Ok(_) => return Fate::Over,
        Err(error) => error,
    };
    let lasting = match &error {
        Error::Flow(flow_runtime::Error::Running(_)) => return Fate::Elsewhere,
        Error::Findings(_)
        | Error::NoFlow(_)
        | Error::NoHelper(_)
        | Error::NoPlugin { .. }
        | Error::Plugin(_) => true,
        Error::Flow(flow_runtime::Error::Config(_) | flow_runtime::Error::Incomplete(_)) => true,
        Error::Flow(flow_runtime::Error::Store(error)) | Error::Store(error) => {
            matches!(error, flow_runtime::StoreError::Newer { .. })
        }
        Error::Post(failure) => is_lasting(failure),
        Error::Broker(error) => is_lasting(&Failure::from(error.clone())),
        _ => false,
    };
    let text = words(&error);
    if lasting {
        Fate::Config(text)
    } else {
        Fate::Later(text)
    }
}

fn is_lasting(failure: &Failure) -> bool {
    matches!(failure, Failure::Config(_) | Failure::Permanent(_))
}

/// What a panic said.
fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("it said nothing")
}

/// Follows what happens, and counts it, on its way into the log.
struct Watching {
    inner: Arc<dyn Observer>,
    live: Arc<Live>,
    /// Until what it needs is open.
    place: Mutex<Option<Place>>,
}

impl Observer for Watching {
    fn event(&self, event: &Event<'_>) {
        self.live.meter.event(event);
        self.inner.event(event);
        if let Event::Started = event {
            self.live.enter(Phase::Running, None);
            let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
            *place = None;
        }
    }

    fn wants_messages(&self) -> bool {
        self.inner.wants_messages()
    }

    fn wants_waiting(&self) -> Option<Duration> {
        self.live.meter.wants_waiting()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_has_to_mend_is_not_tried_again() {
        let flow = |error| fate(Err(Error::Flow(error)));
        assert_eq!(
            flow(flow_runtime::Error::Config("no".into())),
            Fate::Config("no".into())
        );
        assert_eq!(
            flow(flow_runtime::Error::Unavailable("away".into())),
            Fate::Later("away".into())
        );
        assert_eq!(
            flow(flow_runtime::Error::Running("x.lock".into())),
            Fate::Elsewhere
        );
        assert!(matches!(
            fate(Err(Error::Post(Failure::Config("no".into())))),
            Fate::Config(_)
        ));
        assert!(matches!(
            fate(Err(Error::Findings(flow_config::Report::default()))),
            Fate::Config(_)
        ));
        assert_eq!(fate(Ok(Summary::default())), Fate::Over);
    }

    #[test]
    fn a_panic_is_told() {
        assert_eq!(said(&"out of range"), "out of range");
        assert_eq!(said(&"none".to_owned()), "none");
        assert_eq!(said(&7), "it said nothing");
    }
}
