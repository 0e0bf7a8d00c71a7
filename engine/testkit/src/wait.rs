//! Waiting for another process, which sends no event to wait for.
//!
//! Every wait has a name and a limit; running into the limit fails the test and says what for.

use std::time::{Duration, Instant};

/// Waits until `ready` returns something, asking every few milliseconds.
///
/// # Panics
/// When `limit` has passed; the text names `what`.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, mut ready: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(
            start.elapsed() < limit,
            "waited {limit:?} in vain for {what}"
        );
        pause(Duration::from_millis(5));
    }
}

/// Lets time pass, where the passing itself is the point (a kill at a random instant).
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that waits without an event"
)]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}
