//! How much of the machine's processors this process leaves unused.
//!
//! Only its own computing counts: what other programs use, they may give up again.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// A moment, and the computing up to it.
#[derive(Debug)]
pub struct Processors {
    at: Instant,
    used: Duration,
}

impl Processors {
    /// The beginning of the first span that [`left`](Self::left) tells of.
    pub fn now() -> Self {
        // A clock that only counts up: never negative.
        let used = Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default();
        Self {
            at: Instant::now(),
            used,
        }
    }

    /// Processors left unused since this was last told; none where that is less than `least` ago.
    pub fn left(&mut self, least: Duration) -> Option<f64> {
        if self.at.elapsed() < least {
            return None;
        }
        let now = Self::now();
        let elapsed = now.at.duration_since(self.at);
        let used = now.used.saturating_sub(self.used);
        *self = now;
        let all = std::thread::available_parallelism().map_or(1, usize::from);
        Some(all as f64 - used.as_secs_f64() / elapsed.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Processors;

    #[test]
    fn what_is_computed_is_not_left() {
        let mut processors = Processors::now();
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(20) {
            std::hint::black_box(start);
        }
        let left = processors.left(Duration::from_millis(1));
        let left = left.expect("long enough to tell");
        let all = std::thread::available_parallelism().map_or(1, usize::from);
        assert!(left < all as f64, "{left} of {all}");
        assert_eq!(processors.left(Duration::from_secs(60)), None);
    }
}
