//! What a flow has done, and how fast it does it: counted while it runs, read at any time.
//!
//! A [`Meter`] is an [`Observer`] that adds up what passes report; it never asks for events about
//! single messages, so that a flow that is only counted costs nothing per message. [`Figures`] are
//! what it shows at a moment: plain values that travel as JSON. Whether they are good or bad is for
//! [`health`](crate::health) to say.
//!
//! # Invariants
//! - Counts start at zero with the meter and never go down.
//! - Rates are those of the last minute; lag, rejections and connections those of five. A flow younger
//!   than that is measured since its start.

mod link;
mod plugins;
mod recent;
mod together;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flow_runtime::SystemClock;
use flow_runtime::ports::{Clock, Event, Observer, PassCounts, Side};
use flow_runtime::usage::{self, PluginUse, Uses};
use serde::{Deserialize, Serialize};

use link::History;
use recent::Ring;

pub use link::Link;
pub use plugins::{Entry, Plugin};
pub use recent::Recent;
pub use together::Together;

/// How often a meter wants to hear what waits.
const COUNT_WAITING: Duration = Duration::from_secs(15);

/// What a flow has done since its meter was made, and lately. Times are milliseconds since 1970, UTC.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    /// When these figures were read.
    pub at: i64,
    /// When the flow started; none: it has not.
    pub started: Option<i64>,
    /// When anything at all happened.
    pub last_activity: i64,
    /// When a message was last in hand.
    pub last_message: Option<i64>,
    /// When content was last moved.
    pub last_transfer: Option<i64>,
    /// Since the meter was made.
    pub counts: Counts,
    /// Lately.
    pub recent: Recent,
    /// What waits.
    pub waiting: Waiting,
    /// The broker messages come from; none: there is none, or it was not tried yet.
    pub input: Option<Link>,
    /// The broker messages go to; none: there is none, or it was not tried yet.
    pub output: Option<Link>,
    /// What callbacks gather from; none: they do not, or it was not tried yet.
    pub origin: Option<Link>,
    /// What the flow waits for before it goes on.
    pub trouble: Option<Trouble>,
    /// Whether it is finishing what is in hand.
    pub draining: bool,
    /// What its plugins used.
    pub plugins: Vec<Plugin>,
    /// The numbers its plugins keep themselves, by name.
    pub numbers: BTreeMap<String, f64>,
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Passes that had something in hand.
    pub passes: u64,
    /// Messages taken in hand, second tries included.
    pub received: u64,
    /// Of them, those that went on to the work.
    pub accepted: u64,
    /// Rejected, duplicates included.
    pub rejected: u64,
    /// Suppressed by nodupe.
    pub duplicates: u64,
    /// Could not be read.
    pub malformed: u64,
    /// Posted and confirmed.
    pub posted: u64,
    /// Put in retry.
    pub retried: u64,
    /// Given up, the malformed included.
    pub dead: u64,
    /// Files fetched or made.
    pub files_in: u64,
    /// Bytes fetched or made.
    pub bytes_in: u64,
    /// Files sent.
    pub files_out: u64,
    /// Bytes sent.
    pub bytes_out: u64,
}

/// What waits, as last counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Waiting {
    /// When it was counted.
    pub counted: Option<i64>,
    /// In the queue, where its broker can say.
    pub queue: Option<u64>,
    /// In retry.
    pub retry: u64,
    /// In the dead letters.
    pub dead: u64,
}

/// Why a flow waits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trouble {
    /// What went wrong.
    pub reason: String,
    /// Since when, without a success since.
    pub since: i64,
    /// When the flow tries again.
    pub until: i64,
}

impl Counts {
    fn of(passes: u64, sum: &PassCounts) -> Self {
        Self {
            passes,
            received: sum.gathered,
            accepted: sum.gathered.saturating_sub(sum.rejected + sum.malformed),
            rejected: sum.rejected,
            duplicates: sum.duplicates,
            malformed: sum.malformed,
            posted: sum.posted,
            retried: sum.retrying,
            dead: sum.dead,
            files_in: sum.fetched + sum.derived,
            bytes_in: sum.bytes,
            files_out: sum.sent,
            bytes_out: sum.sent_bytes,
        }
    }

    /// Adds those of another worker or flow.
    pub fn add(&mut self, other: &Self) {
        self.passes += other.passes;
        self.received += other.received;
        self.accepted += other.accepted;
        self.rejected += other.rejected;
        self.duplicates += other.duplicates;
        self.malformed += other.malformed;
        self.posted += other.posted;
        self.retried += other.retried;
        self.dead += other.dead;
        self.files_in += other.files_in;
        self.bytes_in += other.bytes_in;
        self.files_out += other.files_out;
        self.bytes_out += other.bytes_out;
    }
}

/// Counts what one flow does.
pub struct Meter {
    clock: Arc<dyn Clock>,
    // Beside the lock: every event sets it.
    activity: AtomicI64,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    started: Option<i64>,
    passes: u64,
    sum: PassCounts,
    ring: Ring,
    last_message: Option<i64>,
    last_transfer: Option<i64>,
    waiting: Waiting,
    input: Option<History>,
    output: Option<History>,
    origin: Option<History>,
    trouble: Option<Trouble>,
    draining: bool,
    /// What the plugins of this run use.
    uses: Option<Arc<dyn Uses>>,
    /// What those of earlier runs used.
    used: Vec<PluginUse>,
}

impl Meter {
    /// Counts from now on, by the machine's clock.
    pub fn new() -> Self {
        Self::by(Arc::new(SystemClock))
    }

    /// Counts from now on, by this clock.
    pub fn by(clock: Arc<dyn Clock>) -> Self {
        let now = clock.now().as_millisecond();
        Self {
            clock,
            activity: AtomicI64::new(now),
            inner: Mutex::default(),
        }
    }

    /// What was counted so far, and the rates of this moment.
    pub fn figures(&self) -> Figures {
        let at = self.clock.now().as_millisecond();
        let inner = self.lock();
        Figures {
            at,
            started: inner.started,
            last_activity: self.activity.load(Ordering::Relaxed),
            last_message: inner.last_message,
            last_transfer: inner.last_transfer,
            counts: Counts::of(inner.passes, &inner.sum),
            recent: inner.ring.recent(at, inner.started),
            waiting: inner.waiting,
            input: inner.input.as_ref().map(|history| history.link(at)),
            output: inner.output.as_ref().map(|history| history.link(at)),
            origin: inner.origin.as_ref().map(|history| history.link(at)),
            trouble: inner.trouble.clone(),
            draining: inner.draining,
            plugins: inner.plugins().into_iter().map(Plugin::from).collect(),
            numbers: match &inner.uses {
                Some(uses) => uses.numbers(),
                None => BTreeMap::new(),
            },
        }
    }

    /// A panic while counting leaves counts that are at worst one event behind.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self::new()
    }
}

impl Inner {
    fn pass(&mut self, counts: &PassCounts, now: i64) {
        self.passes += 1;
        self.sum.add(counts);
        self.ring.add(counts, now);
        if counts.gathered > 0 {
            self.last_message = Some(now);
        }
        if counts.fetched + counts.derived + counts.sent > 0 {
            self.last_transfer = Some(now);
        }
        self.trouble = None;
    }

    /// What plugins used, this run and those before.
    fn plugins(&self) -> Vec<PluginUse> {
        let now = self.uses.iter().flat_map(|uses| uses.uses());
        usage::sum(self.used.iter().cloned().chain(now))
    }

    fn connection(&mut self, side: Side, up: bool, now: i64) {
        let history = match side {
            Side::Input => &mut self.input,
            Side::Output => &mut self.output,
            Side::Origin => &mut self.origin,
        };
        history
            .get_or_insert_with(|| History::new(now))
            .turn(up, now);
        if up {
            self.trouble = None;
        }
    }

    fn paused(&mut self, reason: &str, wait: Duration, now: i64) {
        let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        let trouble = self.trouble.get_or_insert_with(|| Trouble {
            since: now,
            ..Trouble::default()
        });
        reason.clone_into(&mut trouble.reason);
        trouble.until = now.saturating_add(wait);
    }

    /// A new run: what was known about connections is not known any more.
    fn started(&mut self, now: i64) {
        self.started = Some(now);
        self.input = None;
        self.output = None;
        self.origin = None;
        self.trouble = None;
        self.draining = false;
    }
}

impl Observer for Meter {
    fn event(&self, event: &Event<'_>) {
        let now = self.clock.now().as_millisecond();
        self.activity.store(now, Ordering::Relaxed);
        match event {
            Event::Started => self.lock().started(now),
            Event::Pass(counts) => self.lock().pass(counts, now),
            Event::Connection { side, up } => self.lock().connection(*side, *up, now),
            Event::Paused { reason, wait } => self.lock().paused(reason, *wait, now),
            Event::Waiting { queue, retry, dead } => {
                let mut inner = self.lock();
                // A broker that is away can't say; what it said last is better than nothing.
                let queue = queue.or(inner.waiting.queue);
                inner.waiting = Waiting {
                    counted: Some(now),
                    queue,
                    retry: *retry,
                    dead: *dead,
                };
            }
            Event::Plugins(uses) => {
                let mut inner = self.lock();
                inner.used = inner.plugins();
                inner.uses = Some(Arc::clone(uses));
            }
            Event::Draining => self.lock().draining = true,
            Event::Stopped => {
                let mut inner = self.lock();
                inner.started = None;
                inner.draining = false;
                inner.trouble = None;
            }
            _ => {}
        }
    }

    fn wants_waiting(&self) -> Option<Duration> {
        Some(COUNT_WAITING)
    }
}

#[cfg(test)]
mod tests;
