//! How long a guest has been computing in the call at hand.
//!
//! Time spent in the host on the guest's behalf (waiting for a peer, reading content) and time
//! given to other tasks does not count, but for a toll; time the guest sleeps by itself does, unless
//! requests of it are under way: then it waits for their answers, however it does that.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use wasmtime::UpdateDeadline;

/// What the watchdog adds, so that a computing guest is stopped by the epoch check, which knows
/// where in the guest it happened.
const GRACE: Duration = Duration::from_millis(250);

/// What counts of the time the host takes for one thing it is asked: a guest that asks for ever, and
/// is answered at once, comes to its end; one that waits for a peer does not notice.
const TOLL: Duration = Duration::from_micros(50);

/// The guest used up its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the time limit was reached")]
pub(crate) struct DeadlineReached;

/// Shared by the call, the epoch callback and the watchdog of one instance.
#[derive(Debug)]
pub(crate) struct Meter {
    base: Instant,
    limit: Duration,
    /// Nanoseconds since `base` at which the call began.
    started: AtomicU64,
    /// Nanoseconds of it spent elsewhere.
    elsewhere: AtomicU64,
    /// Nanoseconds since `base` at which it last went elsewhere; 0: it is in the guest.
    away: AtomicU64,
    /// Requests under way, which the guest may wait for.
    flights: AtomicUsize,
    /// Nanoseconds since `base` at which it last began to wait while there were any; 0: it does not.
    waiting: AtomicU64,
}

impl Meter {
    pub(crate) fn new(limit: Duration) -> Arc<Self> {
        Arc::new(Self {
            base: Instant::now(),
            limit,
            started: AtomicU64::new(0),
            elsewhere: AtomicU64::new(0),
            away: AtomicU64::new(0),
            flights: AtomicUsize::new(0),
            waiting: AtomicU64::new(0),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// A call begins.
    pub(crate) fn start(&self) {
        self.elsewhere.store(0, Ordering::Relaxed);
        self.away.store(0, Ordering::Relaxed);
        self.waiting.store(0, Ordering::Relaxed);
        self.started.store(self.now(), Ordering::Relaxed);
    }

    /// How long this call has lasted.
    pub(crate) fn elapsed(&self) -> Duration {
        let started = self.started.load(Ordering::Relaxed);
        Duration::from_nanos(self.now().saturating_sub(started))
    }

    /// The guest's own time in this call.
    pub(crate) fn used(&self) -> Duration {
        let now = self.now();
        let since = |moment: &AtomicU64| match moment.load(Ordering::Relaxed) {
            0 => 0,
            since => now.saturating_sub(since),
        };
        let elsewhere = self.elsewhere.load(Ordering::Relaxed);
        let elsewhere = elsewhere + since(&self.away) + since(&self.waiting);
        Duration::from_nanos(
            now.saturating_sub(self.started.load(Ordering::Relaxed))
                .saturating_sub(elsewhere),
        )
    }

    /// Stops counting until the value is dropped.
    pub(crate) fn pause(self: &Arc<Self>) -> Away {
        self.away.store(self.now().max(1), Ordering::Relaxed);
        Away(Arc::clone(self))
    }

    /// A request sets out, where fewer than `most` are under way; it has come back when what this
    /// returns is dropped.
    pub(crate) fn depart(self: &Arc<Self>, most: usize) -> Option<Flight> {
        let flights = self.flights.fetch_add(1, Ordering::Relaxed);
        let flight = Flight(Arc::clone(self));
        (flights < most).then_some(flight)
    }

    /// The guest can't go on: if that may be for an answer, it does not count.
    fn wait(&self) {
        let paused = self.away.load(Ordering::Relaxed) != 0;
        if !paused && self.flights.load(Ordering::Relaxed) > 0 {
            self.waiting.store(self.now().max(1), Ordering::SeqCst);
            // The last of them may have come back just now, and nobody would notice.
            if self.flights.load(Ordering::SeqCst) == 0 {
                self.waited();
            }
        }
    }

    /// It goes on, or what it may have waited for is there.
    fn waited(&self) {
        let since = self.waiting.swap(0, Ordering::SeqCst);
        if since != 0 {
            self.free(since);
        }
    }

    /// Time since then does not count, but for the toll.
    fn free(&self, since: u64) {
        let away = self.now().saturating_sub(since);
        let free = away.saturating_sub(u64::try_from(TOLL.as_nanos()).unwrap_or(u64::MAX));
        self.elsewhere.fetch_add(free, Ordering::Relaxed);
    }

    /// What happens at every tick while the guest computes: it makes room for other tasks, or ends.
    pub(crate) fn tick(self: &Arc<Self>) -> wasmtime::Result<UpdateDeadline> {
        if self.used() > self.limit {
            return Err(DeadlineReached.into());
        }
        let meter = Arc::clone(self);
        Ok(UpdateDeadline::YieldCustom(
            1,
            Box::pin(async move {
                let _away = meter.pause();
                tokio::task::yield_now().await;
            }),
        ))
    }

    /// Runs a call, and gives up on it when the guest neither returns nor computes (it sleeps).
    pub(crate) async fn watch<T>(
        &self,
        call: impl Future<Output = wasmtime::Result<T>> + Send,
    ) -> wasmtime::Result<T> {
        let mut call = pin!(call);
        let call = poll_fn(|context| {
            self.waited();
            let polled = call.as_mut().poll(context);
            if polled.is_pending() {
                self.wait();
            }
            polled
        });
        tokio::select! {
            biased;
            result = call => result,
            () = self.overslept() => Err(DeadlineReached.into()),
        }
    }

    async fn overslept(&self) {
        let limit = self.limit + GRACE;
        loop {
            let left = limit.saturating_sub(self.used());
            if left.is_zero() {
                return;
            }
            // At least a tick: `used` stands still while the host is at work.
            tokio::time::sleep(left.max(Duration::from_millis(10))).await;
        }
    }
}

/// Time that does not count.
#[derive(Debug)]
pub(crate) struct Away(Arc<Meter>);

impl Drop for Away {
    fn drop(&mut self) {
        let meter = &self.0;
        meter.free(meter.away.swap(0, Ordering::Relaxed));
    }
}

/// A request under way.
#[derive(Debug)]
pub(crate) struct Flight(Arc<Meter>);

impl Drop for Flight {
    fn drop(&mut self) {
        let Self(meter) = self;
        // The guest that goes on waiting after the last of them sleeps by itself.
        if meter.flights.fetch_sub(1, Ordering::SeqCst) == 1 {
            meter.waited();
        }
    }
}
