//! Several workers of one flow in one process (`instances`).
//!
//! Each worker has a consumer, a publisher, lanes and passes of its own; they share the store, and
//! with it nodupe, retry and the pairs of callbacks. Worker 0 *leads*: it alone gathers, tries again
//! what waits in retry, and does the store's upkeep.
//!
//! # Invariants
//! - What two workers must not decide about at the same time is *claimed*: before a pass is worked on,
//!   a worker claims the keys of its messages, what nodupe knows them by, and where they are put, all
//!   at once or not at all. A claim is given up when its pass has ended and its origins were told.
//! - Who has to wait for a claim has ended its last pass before, and so holds none: nobody waits for
//!   somebody who waits.
//! - What was found in the store before such a wait is looked up again after it.
//!
//! This deliberately does not order anything across workers, but for what meets in a claim: of two
//! messages for one path that different workers took, the later one may go first.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::finish::Hand;

/// What the workers of a flow share in memory.
#[derive(Debug)]
struct Team {
    count: usize,
    claims: Mutex<Claims>,
    /// A claim was given up, or a worker ended.
    changed: Notify,
    /// When outcomes are told again that could not be told; milliseconds.
    next_tell: AtomicI64,
    /// Workers that have not ended.
    at_work: AtomicUsize,
}

#[derive(Debug, Default)]
struct Claims {
    next: u64,
    held: Vec<Held>,
}

#[derive(Debug)]
struct Held {
    id: u64,
    worker: usize,
    hand: Arc<Hand>,
}

/// The place of one worker in its team.
#[derive(Debug)]
pub(crate) struct Seat {
    team: Arc<Team>,
    number: usize,
}

/// A worker decides about something, until this is dropped.
#[derive(Debug)]
#[must_use = "dropping it gives the claim up"]
pub(crate) struct Claim {
    team: Arc<Team>,
    id: u64,
}

impl Seat {
    /// The places of so many workers; the first one leads.
    pub(crate) fn of(count: usize) -> Vec<Self> {
        let team = Arc::new(Team {
            count,
            claims: Mutex::default(),
            changed: Notify::new(),
            next_tell: AtomicI64::new(i64::MAX),
            at_work: AtomicUsize::new(count),
        });
        (0..count)
            .map(|number| Self {
                team: Arc::clone(&team),
                number,
            })
            .collect()
    }

    /// Which worker this is.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// How many workers there are.
    pub(crate) fn count(&self) -> usize {
        self.team.count
    }

    /// Whether it gathers, tries again, and keeps the store.
    pub(crate) fn leads(&self) -> bool {
        self.number == 0
    }

    /// Whether there are no others.
    pub(crate) fn is_alone(&self) -> bool {
        self.team.count == 1
    }

    /// Its part of what at most `most` may do at the same time.
    pub(crate) fn share(&self, most: usize) -> usize {
        let rest = most % self.team.count;
        most / self.team.count + usize::from(self.number < rest)
    }

    /// Claims what `hand` is about, unless another worker has some of it.
    pub(crate) fn claim(&self, hand: &Arc<Hand>) -> Option<Claim> {
        let mut claims = self.team.claims();
        let others = |held: &&Held| held.worker != self.number;
        if claims
            .held
            .iter()
            .filter(others)
            .any(|held| held.hand.overlaps(hand))
        {
            return None;
        }
        claims.next += 1;
        let id = claims.next;
        claims.held.push(Held {
            id,
            worker: self.number,
            hand: Arc::clone(hand),
        });
        Some(Claim {
            team: Arc::clone(&self.team),
            id,
        })
    }

    /// Completes when a claim is given up or a worker ends after this was called. Cancel safe.
    pub(crate) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.team.changed.notified()
    }

    /// Outcomes could not be told, and are to be told again at `millis`.
    pub(crate) fn tell_at(&self, millis: i64) {
        self.team.next_tell.fetch_min(millis, Ordering::AcqRel);
    }

    /// When to tell again what other workers could not tell; for the one that leads.
    pub(crate) fn next_tell(&self) -> i64 {
        if self.leads() {
            self.team.next_tell.load(Ordering::Acquire)
        } else {
            i64::MAX
        }
    }

    /// It is told now.
    pub(crate) fn telling(&self) {
        if self.leads() {
            self.team.next_tell.store(i64::MAX, Ordering::Release);
        }
    }

    /// Whether other workers have not ended.
    pub(crate) fn others_work(&self) -> bool {
        self.team.at_work.load(Ordering::Acquire) > 1
    }
}

impl Drop for Seat {
    /// The worker has ended, however it did.
    fn drop(&mut self) {
        self.team.at_work.fetch_sub(1, Ordering::AcqRel);
        self.team.changed.notify_waiters();
    }
}

impl Team {
    fn claims(&self) -> MutexGuard<'_, Claims> {
        // Nothing that may panic is done while it is held.
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.team.claims().held.retain(|held| held.id != self.id);
        self.team.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Seat;
    use crate::delivery::Floor;
    use crate::delivery::tests::delivery;
    use crate::finish::Hand;
    use crate::job::{Job, JobEnd};

    fn hand(key: &str) -> Arc<Hand> {
        let mut job = Job::new(delivery(key, &Floor::default()), 0);
        let hand = Hand::of_open(std::slice::from_ref(&job), &[]);
        job.finish(JobEnd::Back);
        let _ = job.delivery.back();
        Arc::new(hand)
    }

    #[test]
    fn a_claim_keeps_others_away_and_not_oneself() {
        let seats = Seat::of(2);
        let first = seats[0].claim(&hand("a")).expect("nobody has it");
        let again = seats[0].claim(&hand("a")).expect("it is one's own");
        assert!(seats[1].claim(&hand("a")).is_none());
        let _other = seats[1].claim(&hand("b")).expect("nobody has it");
        drop(first);
        assert!(seats[1].claim(&hand("a")).is_none());
        drop(again);
        assert!(seats[1].claim(&hand("a")).is_some());
    }

    #[test]
    fn what_may_be_done_at_once_is_shared_out() {
        for (most, shares) in [(7, [3, 2, 2]), (2, [1, 1, 0]), (3, [1, 1, 1])] {
            let found: Vec<usize> = Seat::of(3).iter().map(|seat| seat.share(most)).collect();
            assert_eq!(found, shares);
        }
    }

    #[test]
    fn who_ended_is_not_at_work() {
        let mut seats = Seat::of(2);
        assert!(seats[0].leads() && !seats[1].leads());
        assert!(seats[0].others_work());
        seats.pop();
        assert!(!seats[0].others_work());
    }
}
