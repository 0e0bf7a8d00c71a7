//! How many messages a flow takes, and how fast (`messageCountMax`, `messageRateMax`,
//! `messageRateMin`).
//!
//! All workers of a flow share one pace. It says how many messages may be taken in hand now; what was
//! allowed and not taken is given back. It never waits: the loop does, and a drain ends that.
//!
//! # Invariants
//! - No more messages are taken from origins than `messageCountMax`. Those in retry were counted when
//!   they came.
//! - In no second more are taken in hand than `messageRateMax` and a tenth of that.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flow_config::Pace as Limits;
use flow_message::Timestamp;

/// So many passes in a second are enough to keep up a rate.
const PASSES: f64 = 10.0;

/// What is left to be taken.
#[derive(Debug)]
pub(crate) struct Pace {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    /// Taken from origins so far.
    new: u64,
    /// Taken in hand so far, retries included.
    taken: u64,
    /// Messages that may be taken at once.
    tokens: f64,
    /// When that was.
    at: i64,
    /// When the rate was last looked at, and what had been taken by then.
    looked: (i64, u64),
}

/// So many messages may be taken in hand; [`Pace::took`] says how many were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowed {
    /// From anywhere.
    pub(crate) all: usize,
    /// From origins.
    pub(crate) new: usize,
}

impl Pace {
    pub(crate) fn new(limits: Limits, now: Timestamp) -> Self {
        let now = now.as_millisecond();
        let state = State {
            new: 0,
            taken: 0,
            tokens: limits.message_rate_max.map_or(0.0, most),
            at: now,
            looked: (now, 0),
        };
        Self {
            limits,
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there are limits at all.
    fn is_free(&self) -> bool {
        self.limits == Limits::default()
    }

    /// Allows at most `wanted` messages.
    pub(crate) fn allow(&self, wanted: usize, now: Timestamp) -> Allowed {
        if self.is_free() {
            return Allowed {
                all: wanted,
                new: wanted,
            };
        }
        let mut state = self.state();
        let mut all = wanted;
        if let Some(rate) = self.limits.message_rate_max {
            state.fill(rate, now);
            all = all.min(whole(state.tokens));
            state.tokens -= all as f64;
        }
        let mut new = all;
        if self.limits.message_count_max > 0 {
            let left = self.limits.message_count_max - state.new;
            new = new.min(usize::try_from(left).unwrap_or(usize::MAX));
        }
        state.new += new as u64;
        state.taken += all as u64;
        Allowed { all, new }
    }

    /// So many of the allowed were taken, `new` of them from origins.
    pub(crate) fn took(&self, allowed: Allowed, all: usize, new: usize) {
        if self.is_free() {
            return;
        }
        let mut state = self.state();
        let back = allowed.all.saturating_sub(all);
        state.taken -= back as u64;
        state.new -= allowed.new.saturating_sub(new) as u64;
        if self.limits.message_rate_max.is_some() {
            state.tokens += back as f64;
        }
    }

    /// Whether origins have given all they may.
    pub(crate) fn is_spent(&self) -> bool {
        let most = self.limits.message_count_max;
        most > 0 && self.state().new >= most
    }

    /// How long to wait until a pass is worth it.
    pub(crate) fn wait(&self, now: Timestamp) -> Duration {
        let Some(rate) = self.limits.message_rate_max else {
            return Duration::ZERO;
        };
        let mut state = self.state();
        state.fill(rate, now);
        let missing = most(rate).floor() - state.tokens;
        if missing <= 0.0 {
            return Duration::ZERO;
        }
        // Rounded up, so that nobody comes a moment too early.
        Duration::from_millis((missing / rate * 1000.0).ceil() as u64)
    }

    /// The rate since this was last asked, if it is less than it should be.
    pub(crate) fn too_slow(&self, now: Timestamp) -> Option<f64> {
        let least = self.limits.message_rate_min?;
        let mut state = self.state();
        let now = now.as_millisecond();
        let (since, before) = state.looked;
        state.looked = (now, state.taken);
        let seconds = (now - since) as f64 / 1000.0;
        let rate = (state.taken - before) as f64 / seconds;
        (seconds > 0.0 && rate < least).then_some(rate)
    }
}

impl State {
    fn fill(&mut self, rate: f64, now: Timestamp) {
        let now = now.as_millisecond();
        let passed = (now - self.at).max(0) as f64 / 1000.0;
        self.at = now;
        self.tokens = (self.tokens + passed * rate).min(most(rate));
    }
}

/// The most that may be taken at once: what a rate brings between two passes, one at least.
fn most(rate: f64) -> f64 {
    (rate / PASSES).max(1.0)
}

/// The whole messages in so many.
fn whole(tokens: f64) -> usize {
    tokens.max(0.0).floor() as usize
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use flow_config::Pace as Limits;

    use super::{Allowed, Pace};
    use crate::clock::from_millis;

    #[test]
    fn without_limits_everything_is_allowed() {
        let pace = Pace::new(Limits::default(), from_millis(0));
        let allowed = pace.allow(500, from_millis(0));
        assert_eq!(allowed, Allowed { all: 500, new: 500 });
        assert!(!pace.is_spent());
        assert_eq!(pace.wait(from_millis(0)), Duration::ZERO);
    }

    #[test]
    fn a_count_is_for_what_is_new_and_what_was_not_taken_comes_back() {
        let limits = Limits {
            message_count_max: 10,
            ..Limits::default()
        };
        let pace = Pace::new(limits, from_millis(0));
        let allowed = pace.allow(8, from_millis(0));
        pace.took(allowed, 5, 3);
        let allowed = pace.allow(20, from_millis(0));
        assert_eq!(allowed, Allowed { all: 20, new: 7 });
        assert!(pace.is_spent());
        pace.took(allowed, 20, 6);
        assert!(!pace.is_spent());
    }

    #[test]
    fn a_rate_is_kept_in_every_second() {
        for rate in [0.5, 1.0, 7.0, 50.0, 2_500.0] {
            let limits = Limits {
                message_rate_max: Some(rate),
                ..Limits::default()
            };
            let pace = Pace::new(limits, from_millis(0));
            let mut taken = Vec::new();
            let (mut now, mut total) = (0, 0);
            while now < 20_000 {
                let allowed = pace.allow(500, from_millis(now));
                pace.took(allowed, allowed.all, allowed.new);
                total += allowed.all;
                taken.push((now, allowed.all));
                let wait = pace.wait(from_millis(now));
                assert!(!wait.is_zero(), "{rate} in {now}");
                now += i64::try_from(wait.as_millis()).unwrap();
            }
            let expected = rate * 20.0;
            assert!(
                (total as f64 - expected).abs() <= expected * 0.1 + 1.0,
                "{total} of {expected}"
            );
            for (start, _) in &taken {
                let within = |(at, _): &&(i64, usize)| (*start..start + 1000).contains(at);
                let second: usize = taken.iter().filter(within).map(|(_, count)| count).sum();
                assert!(
                    second as f64 <= (rate * 1.1).ceil().max(1.0),
                    "{rate}: {second}"
                );
            }
        }
    }

    #[test]
    fn a_rate_that_is_too_low_is_said_each_time() {
        let limits = Limits {
            message_rate_min: Some(2.0),
            ..Limits::default()
        };
        let pace = Pace::new(limits, from_millis(0));
        let allowed = pace.allow(30, from_millis(0));
        pace.took(allowed, 30, 30);
        assert_eq!(pace.too_slow(from_millis(10_000)), None);
        assert_eq!(pace.too_slow(from_millis(20_000)), Some(0.0));
    }
}
