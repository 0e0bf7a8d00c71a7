//! One flow at work: passes, pauses, upkeep, and the end.
//!
//! A [`Worker`] owns its ports for as long as it runs. Nothing it holds in memory is needed to go on
//! after a crash; dropping its future at any point is a crash.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flow_config::Flow;
use flow_message::Timestamp;
use tokio::task::JoinHandle;

use crate::clock::{later, until};
use crate::content::Local;
use crate::crew::Crew;
use crate::delivery::Floor;
use crate::drain::Drain;
use crate::entrance::{self, Entrance};
use crate::error::Error;
use crate::finish::{Behind, Finisher};
use crate::lanes::Lanes;
use crate::nodupe;
use crate::pace::Pace;
use crate::pass::Pass;
use crate::ports::{
    CallbackFactory, Clock, Consumer, Debugger, Event, Failure, Observer, PassCounts, Publisher,
    Settlement,
};
use crate::poster::Poster;
use crate::shared::Shared;
use crate::state::Overlay;
use crate::store::Store;
use crate::team::Seat;
use crate::timetable::Timetable;
use crate::trouble::Trouble;

/// The longest a call to a plugin or a broker may take while everything shuts down.
pub(crate) const FAREWELL: Duration = Duration::from_secs(10);
/// So many empty pages in a row end a flow that runs once.
const EMPTY_PAGES_ONCE: u32 = 1_000;

/// What a flow is connected to.
pub struct Ports {
    /// The queue messages come from, where they come from one.
    pub consumer: Option<Box<dyn Consumer>>,
    /// The exchange messages go to, where they go to one.
    pub publisher: Option<Box<dyn Publisher>>,
    /// Makes the flow's callbacks.
    pub callbacks: Arc<dyn CallbackFactory>,
    /// The flow's own store.
    pub store: Store,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Sees what happens.
    pub observer: Arc<dyn Observer>,
}

/// A queue and an exchange for one more worker.
pub struct Links {
    /// The queue messages come from, where they come from one.
    pub consumer: Option<Box<dyn Consumer>>,
    /// The exchange messages go to, where they go to one.
    pub publisher: Option<Box<dyn Publisher>>,
}

/// How a flow runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Stop when there is nothing more: every origin asked, the queue empty, what is due in retry
    /// tried once.
    pub once: bool,
    /// Gather and filter only: nothing is fetched, posted, acked or stored.
    pub dry_run: bool,
    /// Longest that what is in hand may take once a drain was requested.
    pub grace: Duration,
    /// Where relative directories start; absolute.
    pub directory: PathBuf,
    /// Who looks into the flow, if somebody does.
    pub debugger: Option<Arc<dyn Debugger>>,
}

impl Options {
    /// An ordinary run: until a drain, with half a minute of grace.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            once: false,
            dry_run: false,
            grace: Duration::from_secs(30),
            directory: directory.into(),
            debugger: None,
        }
    }
}

/// What a run did: the counts of its passes, added up.
pub type Summary = PassCounts;

/// One flow, ready to run.
pub struct Worker {
    flow: Arc<Flow>,
    ports: Ports,
    more: Vec<Links>,
    options: Options,
    entrance: Option<Box<dyn Entrance>>,
}

impl Worker {
    /// A worker for `flow`.
    pub fn new(flow: Arc<Flow>, ports: Ports, options: Options) -> Self {
        Self {
            flow,
            ports,
            more: Vec::new(),
            options,
            entrance: None,
        }
    }

    /// The same flow with something beside the loop through which messages come in, as long as it
    /// runs.
    #[must_use]
    pub fn entered_by(mut self, entrance: Option<Box<dyn Entrance>>) -> Self {
        self.entrance = entrance;
        self
    }

    /// The same flow with more workers beside the first, each with links of its own. They share its
    /// queue, its store and its memory of what was seen; only the first gathers.
    #[must_use]
    pub fn joined_by(mut self, more: Vec<Links>) -> Self {
        self.more = more;
        self
    }

    /// Runs the flow until `drain` is requested, or until there is nothing more where it runs once.
    ///
    /// # Errors
    /// [`Error::Running`] where another process runs this flow; [`Error::Config`] where a person has
    /// to change something; [`Error::Store`] where outcomes can't be stored. With
    /// [`Options::once`] also what would otherwise be waited for.
    ///
    /// # Cancel safety
    /// Dropping the future is a crash: nothing is lost, and what was in hand is redone.
    pub async fn run(self, drain: Drain) -> Result<Summary, Error> {
        let Self {
            flow,
            ports,
            more,
            options,
            entrance,
        } = self;
        let lock = Arc::new(ports.store.lock()?);
        if flow.output.is_some() && ports.publisher.is_none() && !options.dry_run {
            return Err(Error::Config("the flow posts, but has no publisher".into()));
        }
        let observer = Arc::clone(&ports.observer);
        observer.event(&Event::Started);
        let result = match Crew::new(flow, ports, more, options) {
            Ok(crew) => match entrance {
                Some(entrance) => entrance::run(crew, &drain, entrance, &lock).await,
                None => crew.run(&drain, &lock).await,
            },
            Err(error) => Err(error),
        };
        observer.event(&Event::Stopped);
        result
    }
}

/// A worker at work.
pub(crate) struct Running {
    pub(crate) shared: Arc<Shared>,
    pub(crate) consumer: Option<Box<dyn Consumer>>,
    /// Ends passes; none while one is ending.
    pub(crate) finisher: Option<Finisher>,
    /// The pass that is ending.
    pub(crate) behind: Option<Behind>,
    /// What was gathered for the next pass.
    pub(crate) ahead: Option<Pass>,
    pub(crate) lanes: Lanes,
    pub(crate) factory: Arc<dyn CallbackFactory>,
    pub(crate) seat: Arc<Seat>,
    pub(crate) pace: Arc<Pace>,
    pub(crate) timetable: Timetable,
    pub(crate) options: Options,
    pub(crate) floor: Floor,
    pub(crate) drain: Drain,
    /// Nothing comes in any more: the flow ends when it has worked off what did.
    pub(crate) finishing: Drain,
    pub(crate) started: Timestamp,
    pub(crate) totals: PassCounts,
    /// When a pass was last reported.
    pub(crate) reported: Option<Instant>,
    /// Why the flow has to stop, once it has.
    pub(crate) stop: Option<Error>,
    /// Why and for how long the flow pauses before its next pass.
    pub(crate) pause: Option<(Failure, Duration)>,
    /// When plugins fell over, lately; milliseconds.
    pub(crate) plugin_failures: VecDeque<i64>,
    /// When the next of each is due; milliseconds.
    pub(crate) next_gather: i64,
    pub(crate) next_receive: i64,
    pub(crate) next_retry_check: i64,
    pub(crate) next_tell: i64,
    pub(crate) next_housekeeping: i64,
    /// When the observer wants to hear what waits; none: never.
    pub(crate) next_waiting: Option<i64>,
    /// When it was counted last, milliseconds.
    pub(crate) counted: i64,
    /// Whether what waits has changed since.
    pub(crate) count_again: bool,
    /// What the last gather brought.
    pub(crate) last_page: Option<u64>,
    /// How often in a row an origin brought nothing and said that there is more.
    pub(crate) empty_pages: u32,
    /// When the first page of the gather at hand was asked for.
    pub(crate) gather_began: Option<Timestamp>,
    /// How often each failed in a row.
    pub(crate) gather_step: u32,
    pub(crate) receive_step: u32,
    pub(crate) tell_step: u32,
    pub(crate) credentials_step: u32,
    start_step: u32,
    /// What a dry run's callbacks wrote, which goes nowhere.
    pub(crate) dry_overlay: Arc<Overlay>,
    /// What a dry run took from the queue, to be released.
    pub(crate) held_tags: Vec<u64>,
    /// Removes what has expired, beside the passes.
    expiring: Option<JoinHandle<()>>,
}

impl Running {
    pub(crate) fn new(
        flow: Arc<Flow>,
        ports: Ports,
        options: Options,
        drain: Drain,
        seat: Seat,
    ) -> Result<Self, Error> {
        let Ports {
            consumer,
            publisher,
            callbacks,
            store,
            clock,
            observer,
        } = ports;
        let local = Local::new(&flow, options.directory.clone());
        let mut shared = Shared::new(flow, store, clock, observer, local);
        shared.debugger.clone_from(&options.debugger);
        let shared = Arc::new(shared);
        let links = Links {
            consumer,
            publisher,
        };
        let pace = Pace::new(shared.flow.pace, shared.now());
        let timetable = Timetable::new(&shared.flow.schedule, shared.flow.sleep)?;
        Ok(Self::with(
            shared,
            callbacks,
            links,
            options,
            drain,
            seat,
            (Arc::new(pace), timetable),
        ))
    }

    /// Another worker of the same flow.
    pub(crate) fn beside(&self, links: Links, seat: Seat) -> Self {
        let shared = &self.shared;
        let mut beside = Shared::new(
            Arc::clone(&shared.flow),
            shared.store.clone(),
            Arc::clone(&shared.clock),
            Arc::clone(&shared.observer),
            shared.local.beside(),
        );
        beside.debugger.clone_from(&self.options.debugger);
        beside.inbox = Arc::clone(&shared.inbox);
        let shared = Arc::new(beside);
        let beside = Self::with(
            shared,
            Arc::clone(&self.factory),
            links,
            self.options.clone(),
            self.drain.clone(),
            seat,
            (Arc::clone(&self.pace), self.timetable.clone()),
        );
        Self {
            finishing: self.finishing.clone(),
            ..beside
        }
    }

    fn with(
        shared: Arc<Shared>,
        callbacks: Arc<dyn CallbackFactory>,
        links: Links,
        options: Options,
        drain: Drain,
        seat: Seat,
        (pace, timetable): (Arc<Pace>, Timetable),
    ) -> Self {
        let Links {
            mut consumer,
            publisher,
        } = links;
        if let Some(consumer) = consumer.as_mut().filter(|_| shared.stamp.takes_routes()) {
            consumer.with_routes();
        }
        let seat = Arc::new(seat);
        let name = shared.flow.name.to_string();
        let now = shared.now();
        let millis = now.as_millisecond();
        let floor = Floor::default();
        let finisher = Finisher {
            shared: Arc::clone(&shared),
            publisher,
            drain: drain.clone(),
            once: options.once,
            name,
            floor: floor.clone(),
            abilities: Arc::default(),
            poster: Poster::new(Arc::clone(&callbacks), &shared, &seat),
            stop: None,
            pause: None,
            fallen: Vec::new(),
        };
        Self {
            lanes: Lanes::new(Arc::clone(&callbacks), &shared, &seat),
            factory: callbacks,
            consumer,
            finisher: Some(finisher),
            behind: None,
            ahead: None,
            options,
            floor,
            drain,
            finishing: Drain::new(),
            started: now,
            totals: PassCounts::default(),
            reported: None,
            stop: None,
            pause: None,
            plugin_failures: VecDeque::new(),
            next_gather: millis,
            next_receive: millis,
            next_retry_check: millis,
            next_tell: if seat.leads() { millis } else { i64::MAX },
            next_housekeeping: later(now, shared.flow.housekeeping),
            next_waiting: shared.observer.wants_waiting().map(|_| millis),
            counted: 0,
            count_again: false,
            last_page: None,
            empty_pages: 0,
            gather_began: None,
            gather_step: 0,
            receive_step: 0,
            tell_step: 0,
            credentials_step: 0,
            start_step: 0,
            dry_overlay: Arc::default(),
            expiring: None,
            held_tags: Vec::new(),
            seat,
            pace,
            timetable,
            shared,
        }
    }

    /// Runs, and ends everything.
    pub(crate) async fn live(mut self) -> Result<Summary, Error> {
        let result = self.run_to_the_end().await;
        self.shut_down().await;
        result.map(|()| self.totals)
    }

    /// Runs the loop; once a drain is requested, for no longer than the grace time.
    async fn run_to_the_end(&mut self) -> Result<(), Error> {
        let (clock, observer) = (
            Arc::clone(&self.shared.clock),
            Arc::clone(&self.shared.observer),
        );
        let (drain, leads) = (self.drain.clone(), self.seat.leads());
        let grace = self.options.grace;
        let patience = async {
            drain.requested().await;
            if leads {
                observer.event(&Event::Draining);
            }
            clock.sleep(grace).await;
        };
        tokio::select! {
            biased;
            result = self.repeat() => result,
            () = patience => {
                tracing::warn!(
                    grace = ?grace,
                    "What was in hand did not finish in time; it is redone at the next start."
                );
                Ok(())
            }
        }
    }

    async fn repeat(&mut self) -> Result<(), Error> {
        if self.seat.leads() {
            self.shared.inbox.open().await?;
        }
        while !self.drain.is_requested() {
            if self.seat.leads() {
                self.hear_of_falls();
            }
            if self.behind.is_some() && (self.pause.is_some() || self.upkeep_is_due()) {
                self.end_behind().await?;
            }
            if let Some((failure, wait)) = self.pause.take() {
                if self.options.once {
                    return Err(error_of(&failure));
                }
                self.shared.paused(&failure.to_string(), wait);
                self.wait(wait).await;
                continue;
            }
            if !self.start().await? {
                continue;
            }
            if self.lanes.is_idle() {
                return self.stand_aside().await;
            }
            self.keep_house().await?;
            self.count_waiting().await;
            self.tell_pending().await?;
            if let Some(error) = self.stop.take() {
                return Err(error);
            }
            if self.pause.is_some() {
                continue;
            }
            let spent = self.pace.is_spent() && self.ahead.is_none();
            if spent && self.may_end().await? {
                return self.end_behind().await;
            }
            if self.keeps_pace().await? {
                continue;
            }
            let busy = self.pass().await?;
            if !busy && !spent && self.pause.is_none() {
                if self.options.once && self.is_walking() {
                    let left = until(self.shared.now(), self.next_gather);
                    self.wait(left).await;
                    continue;
                }
                if self.options.once && (!self.may_end().await? || self.more_comes().await?) {
                    continue;
                }
                if self.options.once {
                    if self.empty_pages > 0 {
                        tracing::warn!(
                            pages = self.empty_pages,
                            "An origin says that there is more, but brings nothing; the run ends without it."
                        );
                    }
                    return Ok(());
                }
                if self.finishing.is_requested() && !self.shared.inbox.has_new() {
                    return Ok(());
                }
                self.idle().await;
            }
        }
        self.end_behind().await
    }

    /// The callbacks of this flow may not work so often at the same time as it has workers: this one
    /// takes nothing.
    async fn stand_aside(&mut self) -> Result<(), Error> {
        tracing::info!(
            worker = self.seat.number(),
            "A plugin allows fewer instances than the flow has; this one does nothing."
        );
        let clock = Arc::clone(&self.shared.clock);
        within(&*clock, self.lanes.stop()).await;
        if let Some(mut consumer) = self.consumer.take() {
            log_failure(within(&*clock, consumer.close()).await);
        }
        if !self.options.once {
            self.drain.requested().await;
        }
        Ok(())
    }

    /// Whether an origin has brought nothing lately but says there is more. One that says so for too
    /// long is not believed by a flow that runs once.
    fn is_walking(&self) -> bool {
        (1..EMPTY_PAGES_ONCE).contains(&self.empty_pages)
    }

    /// Whether something is due that must not run beside the end of a pass.
    fn upkeep_is_due(&self) -> bool {
        self.shared.now().as_millisecond() >= self.next_housekeeping.min(self.next_tell())
    }

    /// Starts the callbacks, if they do not run; says whether they do.
    async fn start(&mut self) -> Result<bool, Error> {
        let Err(failure) = self.lanes.ensure_first(&self.shared.flow).await else {
            self.start_step = 0;
            return Ok(true);
        };
        let trouble = match &failure {
            Failure::Config(_) | Failure::Permanent(_) => return Err(error_of(&failure)),
            Failure::Auth(_) => Trouble::Credentials,
            Failure::Temporary { .. } | Failure::Plugin(_) => Trouble::Connection,
        };
        let wait = self
            .shared
            .trouble_delay(trouble, self.start_step, &failure);
        self.start_step += 1;
        self.pause = Some((failure, wait));
        Ok(false)
    }

    async fn keep_house(&mut self) -> Result<(), Error> {
        let now = self.shared.now();
        if self.options.dry_run || now.as_millisecond() < self.next_housekeeping {
            return Ok(());
        }
        self.next_housekeeping = later(now, self.shared.flow.housekeeping);
        self.shared.observer.event(&Event::Housekeeping);
        if self.seat.leads()
            && let Some(rate) = self.pace.too_slow(now)
        {
            tracing::warn!(
                rate,
                least = self.shared.flow.pace.message_rate_min,
                "Fewer messages came in a second than `messageRateMin` expects."
            );
        }
        let overlay = Arc::new(Overlay::default());
        for failure in self.lanes.housekeeping(&self.shared, &overlay).await {
            self.note_plugin_failure(&failure);
            match failure {
                Failure::Config(_) => self.stop_for(&failure),
                Failure::Auth(_) => self.pause_for_credentials(&failure),
                _ => {}
            }
        }
        let batch = crate::store::Batch {
            state: overlay.writes(),
            ..Default::default()
        };
        self.shared.store.commit(Arc::new(batch)).await?;
        let busy = |task: &JoinHandle<()>| !task.is_finished();
        if self.seat.leads() && !self.expiring.as_ref().is_some_and(busy) {
            let (store, clock) = (self.shared.store.clone(), Arc::clone(&self.shared.clock));
            self.expiring = Some(tokio::spawn(nodupe::forget_expired(store, clock, now)));
        }
        Ok(())
    }

    /// Waits; says whether to go on, which it is not once a drain is requested.
    pub(crate) async fn wait(&mut self, wait: Duration) -> bool {
        tokio::select! {
            () = self.drain.requested() => false,
            () = self.shared.clock.sleep(wait) => true,
        }
    }

    /// Ends everything, each step for a limited time.
    async fn shut_down(&mut self) {
        self.forget_ahead();
        if let Some(expiring) = self.expiring.take() {
            expiring.abort();
        }
        let clock = Arc::clone(&self.shared.clock);
        within(&*clock, self.lanes.stop()).await;
        self.last_count().await;
        if let Some(consumer) = self.consumer.as_mut() {
            let held: Vec<_> = self
                .held_tags
                .drain(..)
                .map(|tag| (tag, Settlement::Release))
                .collect();
            if !held.is_empty() {
                log_failure(within(&*clock, consumer.settle(&held)).await);
            }
            log_failure(within(&*clock, consumer.close()).await);
        }
        let Some(finisher) = self.finisher.as_mut() else {
            return;
        };
        within(&*clock, finisher.poster.stop()).await;
        if let Some(publisher) = finisher.publisher.as_mut() {
            log_failure(within(&*clock, publisher.close()).await);
        }
    }
}

/// Waits for `end`, but not for ever.
pub(crate) async fn within<T>(clock: &dyn Clock, end: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        result = end => Some(result),
        () = clock.sleep(FAREWELL) => None,
    }
}

fn log_failure(result: Option<Result<(), Failure>>) {
    match result {
        Some(Ok(())) => {}
        Some(Err(failure)) => {
            tracing::warn!(reason = %failure, "A broker connection did not close cleanly.");
        }
        None => tracing::warn!("A broker connection did not close in time."),
    }
}

pub(crate) fn error_of(failure: &Failure) -> Error {
    let reason = failure.to_string();
    match failure {
        Failure::Config(_) => Error::Config(reason),
        Failure::Permanent(_) => Error::Incomplete(reason),
        Failure::Auth(_) => Error::Auth(reason),
        Failure::Temporary { .. } | Failure::Plugin(_) => Error::Unavailable(reason),
    }
}
