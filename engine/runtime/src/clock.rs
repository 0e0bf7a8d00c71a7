//! The machine's clock behind the [`Clock`] port.
//!
//! Nothing else in this crate asks the machine for the time of day or for randomness; tests hand in
//! a clock of their own.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use flow_message::Timestamp;

use crate::ports::Clock;

/// The machine's clock and its random numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::from(SystemTime::now())
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    fn random(&self) -> f64 {
        rand::random()
    }
}

/// `time` and `span` later, in the milliseconds the store counts in.
pub(crate) fn later(time: Timestamp, span: Duration) -> i64 {
    time.as_millisecond()
        .saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX))
}

/// The timestamp of a store's milliseconds.
pub(crate) fn from_millis(millis: i64) -> Timestamp {
    let nanos = i32::try_from(millis.rem_euclid(1000) * 1_000_000)
        .expect("less than a second of nanoseconds fits 32 bits");
    Timestamp::from_unix(millis.div_euclid(1000), nanos)
}

/// The time from `now` until the store's `millis`; zero if that has passed.
pub(crate) fn until(now: Timestamp, millis: i64) -> Duration {
    let span = millis.saturating_sub(now.as_millisecond()).max(0);
    Duration::from_millis(u64::try_from(span).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{from_millis, later, until};

    #[test]
    fn milliseconds_and_timestamps_agree() {
        for millis in [0, 1, 999, 1_000, 1_764_000_000_123, -1, -1_500] {
            assert_eq!(from_millis(millis).as_millisecond(), millis);
        }
    }

    #[test]
    fn later_and_until_are_opposites_and_never_negative() {
        let now = from_millis(1_764_000_000_000);
        let due = later(now, Duration::from_millis(1_500));
        assert_eq!(until(now, due), Duration::from_millis(1_500));
        assert_eq!(
            until(from_millis(due), now.as_millisecond()),
            Duration::ZERO
        );
    }
}
