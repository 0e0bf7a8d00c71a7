//! `byteRateMax`: one budget for all lanes.

use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How far the budget may be ahead: what was not used for longer than this is lost.
const BURST: Duration = Duration::from_millis(250);

/// A token bucket, shared. Takers queue up in the order they come.
#[derive(Debug)]
pub struct Throttle {
    rate: Option<NonZeroU64>,
    /// When what was taken so far is paid for.
    paid: Mutex<Option<Instant>>,
}

impl Throttle {
    /// So many bytes a second; none: no limit.
    pub fn new(rate: Option<NonZeroU64>) -> Self {
        Self {
            rate,
            paid: Mutex::new(None),
        }
    }

    /// Waits until `bytes`, which have just been moved, fit the budget.
    pub async fn take(&self, bytes: usize) {
        let Some(rate) = self.rate else { return };
        let cost = Duration::from_secs_f64(bytes as f64 / rate.get() as f64);
        let until = {
            let now = Instant::now();
            let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
            let from = match *paid {
                Some(paid) => paid.max(now.checked_sub(BURST).unwrap_or(now)),
                None => now,
            };
            *paid.insert(from + cost)
        };
        tokio::time::sleep_until(until).await;
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Throttle;

    #[tokio::test(start_paused = true)]
    async fn takers_share_one_rate() {
        let throttle = Arc::new(Throttle::new(NonZeroU64::new(1_000)));
        let started = Instant::now();
        let takers: Vec<_> = (0..4)
            .map(|_| {
                let throttle = Arc::clone(&throttle);
                tokio::spawn(async move {
                    for _ in 0..10 {
                        throttle.take(100).await;
                    }
                })
            })
            .collect();
        for taker in takers {
            taker.await.unwrap();
        }
        let took = started.elapsed();
        assert!(
            (Duration::from_millis(3_990)..Duration::from_millis(4_100)).contains(&took),
            "{took:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn time_not_used_is_not_saved_up() {
        let throttle = Throttle::new(NonZeroU64::new(1_000));
        throttle.take(1).await;
        tokio::time::sleep(Duration::from_secs(100)).await;
        let started = Instant::now();
        throttle.take(2_000).await;
        assert!(started.elapsed() > Duration::from_millis(1_700));
    }

    #[tokio::test(start_paused = true)]
    async fn no_rate_is_no_wait() {
        let started = Instant::now();
        Throttle::new(None).take(usize::MAX).await;
        assert_eq!(started.elapsed(), Duration::ZERO);
    }
}
