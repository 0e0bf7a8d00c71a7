//! What becomes of a failure: another try, and when, or the dead letters.
//!
//! Pure functions of the policy, the past of the message, the time and a random number; the rows are
//! the store's business. Retry is due by its own time, never by housekeeping.

use std::time::Duration;

use flow_config::RetryPolicy;
use flow_message::Timestamp;

use crate::clock::{from_millis, later};
use crate::delivery::{Again, Delivery};
use crate::ports::Failure;

/// First wait of a message that failed.
const RETRY_BASE: Duration = Duration::from_secs(10);
/// Longest wait of a message that failed.
const RETRY_CAP: Duration = Duration::from_secs(3600);
/// A peer that asks for more than this is not believed.
const RETRY_AFTER_CAP: Duration = Duration::from_secs(24 * 3600);

/// `base · 2^attempt`, at most `cap`, of which `random` (in `0..1`) takes away up to a half, so that
/// what failed together does not come back together.
pub fn backoff(base: Duration, cap: Duration, attempt: u32, random: f64) -> Duration {
    let doubled = base.saturating_mul(1u32.checked_shl(attempt.min(31)).unwrap_or(u32::MAX));
    doubled.min(cap).mul_f64(1.0 - random.clamp(0.0, 1.0) / 2.0)
}

/// The wait before the next try of a message that was tried `attempt` times before.
///
/// A peer's `retry_after` is never undercut, and jittered upwards by up to a tenth.
pub fn retry_delay(attempt: u32, retry_after: Option<Duration>, random: f64) -> Duration {
    match retry_after {
        Some(asked) => asked
            .min(RETRY_AFTER_CAP)
            .mul_f64(1.0 + random.clamp(0.0, 1.0) / 10.0),
        None => backoff(RETRY_BASE, RETRY_CAP, attempt, random),
    }
}

/// What follows a failure.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    /// Another try.
    Again(Again),
    /// The dead letters, and why.
    Dead(String),
}

/// What follows `failure` of `delivery`, in a call with `together` messages.
pub(crate) fn next(
    policy: &RetryPolicy,
    delivery: &Delivery,
    failure: &Failure,
    together: usize,
    now: Timestamp,
    random: f64,
) -> Next {
    let attempt = delivery.item().attempt;
    let retry_after = match failure {
        Failure::Permanent(reason) => return Next::Dead(reason.clone()),
        Failure::Temporary { retry_after, .. } => *retry_after,
        // The flow itself pauses or stops; the message is not to blame and loses no try.
        Failure::Auth(_) | Failure::Config(_) => {
            return Next::Again(Again {
                due: now,
                attempt,
                alone: delivery.is_alone(),
            });
        }
        Failure::Plugin(_) => None,
    };
    // Of several messages in a call that a plugin did not survive only one may be to blame. All
    // lose a try, none its last one; then each is worked on by itself and the culprit stands out.
    let blameless = matches!(failure, Failure::Plugin(_)) && together > 1;
    let tries = attempt.saturating_add(1);
    if !blameless {
        if policy.attempts > 0 && tries >= policy.attempts {
            return given_up(failure, &format!("{tries} tries"));
        }
        if !policy.ttl.is_zero() && delivery.born().age_at(now) >= policy.ttl {
            let age = delivery.born().age_at(now).as_secs();
            return given_up(failure, &format!("{age}s, `retry_ttl`"));
        }
    }
    let due = from_millis(later(now, retry_delay(attempt, retry_after, random)));
    Next::Again(Again {
        due,
        attempt: tries,
        alone: blameless || delivery.is_alone(),
    })
}

/// What happened comes first, then what ended the tries; notes stay on lines of their own.
fn given_up(failure: &Failure, after: &str) -> Next {
    let (what, text) = (failure.brief(), failure.to_string());
    let notes = &text[what.len()..];
    Next::Dead(format!("{what} (given up after {after}){notes}"))
}

/// When a message that a callback wants to see again at `due` comes again: then, but for one more look
/// when it has waited for as long as it may.
///
/// # Errors
/// It had that look, and is given up: why, for people.
pub(crate) fn wait(
    policy: &RetryPolicy,
    delivery: &Delivery,
    due: i64,
    now: Timestamp,
) -> Result<i64, String> {
    if policy.wait_max.is_zero() {
        return Ok(due);
    }
    let last = later(delivery.born(), policy.wait_max);
    if last <= now.as_millisecond() {
        let age = delivery.born().age_at(now).as_secs();
        return Err(format!("given up after waiting for {age}s, `waitMax`"));
    }
    Ok(due.min(last))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use flow_config::RetryPolicy;
    use flow_message::{Message, Timestamp};

    use super::{Next, backoff, next, retry_delay, wait};
    use crate::delivery::{Delivery, Floor, Inner, Origin};
    use crate::ports::{Failure, Item};

    fn tried(attempt: u32) -> Delivery {
        let message = Message::new(Timestamp::from_unix(0, 0), "http://origin/", "a");
        let item = Item {
            id: 1,
            key: "a".into(),
            attempt,
            message: Arc::new(message),
            location: None,
            other: None,
        };
        let born = Timestamp::from_unix(1_000, 0);
        let origin = Origin::Retry { gatherer: None };
        Delivery::new(
            Inner {
                item,
                origin,
                born,
                alone: false,
            },
            &Floor::default(),
        )
    }

    fn after(seconds: i64, attempt: u32, failure: &Failure, together: usize) -> Next {
        let policy = RetryPolicy::new(3, Duration::from_secs(3600));
        let now = Timestamp::from_unix(1_000 + seconds, 0);
        next(&policy, &tried(attempt), failure, together, now, 0.0)
    }

    #[test]
    fn waits_double_up_to_the_cap_and_jitter_shortens_them_by_half_at_most() {
        let (base, cap) = (Duration::from_secs(10), Duration::from_secs(3600));
        for (attempt, seconds) in [(0, 10), (1, 20), (2, 40), (8, 2560), (9, 3600), (400, 3600)] {
            assert_eq!(
                backoff(base, cap, attempt, 0.0),
                Duration::from_secs(seconds)
            );
            assert_eq!(
                backoff(base, cap, attempt, 1.0),
                Duration::from_secs(seconds) / 2
            );
        }
    }

    #[test]
    fn a_peer_that_asks_for_a_wait_gets_at_least_it() {
        let asked = Duration::from_secs(100);
        assert_eq!(retry_delay(9, Some(asked), 0.0), asked);
        assert_eq!(retry_delay(0, Some(asked), 1.0), Duration::from_secs(110));
        let forever = Duration::from_secs(u64::MAX / 4);
        assert_eq!(
            retry_delay(0, Some(forever), 0.0),
            Duration::from_secs(86_400)
        );
    }

    #[test]
    fn waiting_ends_with_one_last_look() {
        let wait_at = |days: u64, due_day: i64, second: i64| {
            let policy = RetryPolicy {
                wait_max: Duration::from_secs(days * 86_400),
                ..RetryPolicy::new(3, Duration::from_secs(60))
            };
            let delivery = tried(0);
            let now = Timestamp::from_unix(1_000 + second, 0);
            let due = 1_000_000 + due_day * 86_400_000;
            let end = wait(&policy, &delivery, due, now);
            let _ = delivery.back();
            end.map(|due| (due - 1_000_000) / 86_400_000)
        };
        assert_eq!(wait_at(0, 900, 899 * 86_400), Ok(900), "no limit");
        assert_eq!(wait_at(7, 3, 2 * 86_400), Ok(3));
        assert_eq!(wait_at(7, 8, 7 * 86_400 - 1), Ok(7), "a last look");
        assert_eq!(
            wait_at(7, 8, 7 * 86_400),
            Err("given up after waiting for 604800s, `waitMax`".into())
        );
    }

    #[test]
    fn tries_and_age_end_in_the_dead_letters() {
        let failure = Failure::temporary("connection reset");
        assert!(matches!(after(0, 1, &failure, 1), Next::Again(again) if again.attempt == 2));
        assert_eq!(
            after(0, 2, &failure, 1),
            Next::Dead("connection reset (given up after 3 tries)".into())
        );
        assert_eq!(
            after(3600, 0, &failure, 1),
            Next::Dead("connection reset (given up after 3600s, `retry_ttl`)".into())
        );
        let permanent = Failure::Permanent("no such mail".into());
        assert_eq!(
            after(0, 0, &permanent, 1),
            Next::Dead("no such mail".into())
        );
    }

    #[test]
    fn a_plugin_that_falls_over_a_batch_gives_up_none_of_it() {
        let trap = Failure::Plugin("unreachable executed".into());
        let Next::Again(again) = after(0, 9, &trap, 5) else {
            panic!("given up")
        };
        assert!(again.alone);
        assert_eq!(again.attempt, 10);
        assert!(matches!(after(0, 9, &trap, 1), Next::Dead(_)));
    }

    #[test]
    fn refused_credentials_cost_no_try() {
        let refused = Failure::Auth("LOGIN failed".into());
        assert!(matches!(after(0, 2, &refused, 1), Next::Again(again) if again.attempt == 2));
    }
}
