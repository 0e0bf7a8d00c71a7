//! How long a guest has been computing in the call at hand.
//!
//! Time spent in the host on the guest's behalf (waiting for a peer, reading content) and time
//! given to other tasks does not count, but for a toll; time the guest sleeps by itself does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
}

impl Meter {
    pub(crate) fn new(limit: Duration) -> Arc<Self> {
        Arc::new(Self {
            base: Instant::now(),
            limit,
            started: AtomicU64::new(0),
            elsewhere: AtomicU64::new(0),
            away: AtomicU64::new(0),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// A call begins.
    pub(crate) fn start(&self) {
        self.elsewhere.store(0, Ordering::Relaxed);
        self.away.store(0, Ordering::Relaxed);
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
        let away = match self.away.load(Ordering::Relaxed) {
            0 => 0,
            since => now.saturating_sub(since),
        };
        let elsewhere = self.elsewhere.load(Ordering::Relaxed) + away;
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
        let since = meter.away.swap(0, Ordering::Relaxed);
        let away = meter.now().saturating_sub(since);
        let free = away.saturating_sub(u64::try_from(TOLL.as_nanos()).unwrap_or(u64::MAX));
        meter.elsewhere.fetch_add(free, Ordering::Relaxed);
    }
}
