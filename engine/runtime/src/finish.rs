//! Ending a pass beside the next one.
//!
//! What follows the work (final names, posts, the transaction) waits for disks and brokers; the work
//! waits for origins and plugins. So the loop gathers and works on the next pass while the last one
//! ends: a [`Finisher`] owns what ending needs, and [`Behind`] is a pass that is ending.
//!
//! # Invariants
//! - Passes end in their order: the next one begins to end after the last one has.
//! - A pass never meets what the last one still decides about: what it has in common with it in
//!   [`Hand`] either waits for the end, or is left to it.
//! - Origins are told, and queues get their acks, after the end, by the loop itself.

use std::collections::HashSet;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::delivery::{Ended, Floor};
use crate::drain::Drain;
use crate::error::Error;
use crate::job::{Job, JobEnd};
use crate::lanes::Lanes;
use crate::pass::Pass;
use crate::ports::{Failure, Item, PassCounts, Publisher, Settlement};
use crate::poster::Poster;
use crate::shared::{Ability, Shared};
use crate::state::Overlay;
use crate::store::Pending;
use crate::team::Claim;

/// Ends passes.
pub(crate) struct Finisher {
    pub(crate) shared: Arc<Shared>,
    pub(crate) publisher: Option<Box<dyn Publisher>>,
    pub(crate) drain: Drain,
    /// Nothing is waited for.
    pub(crate) once: bool,
    /// `kind/name`, part of the keys of posts.
    pub(crate) name: String,
    pub(crate) floor: Floor,
    pub(crate) abilities: Arc<Vec<Ability>>,
    /// Posts, where a plugin does.
    pub(crate) poster: Poster,
    /// Why the flow has to stop, once the pass has ended.
    pub(crate) stop: Option<Failure>,
    /// Why the flow has to pause: credentials were refused.
    pub(crate) pause: Option<Failure>,
    /// Falls of the plugin that posts.
    pub(crate) fallen: Vec<Failure>,
}

/// How a pass ended.
pub(crate) struct Finished {
    /// Everything that was in hand.
    pub(crate) ended: Vec<Ended>,
    pub(crate) unreadable: u64,
    pub(crate) counts: PassCounts,
    pub(crate) started: Instant,
    /// What the queue is to be told.
    pub(crate) acks: Vec<(u64, Settlement)>,
    /// What callbacks are to be told.
    pub(crate) tell: Vec<Pending>,
    /// The first of the retries booked, milliseconds.
    pub(crate) due: Option<i64>,
    /// Kept until callbacks were told.
    pub(crate) claim: Option<Claim>,
}

/// The end of a pass, and whoever can end the next.
type Ending = (Finisher, Result<Finished, Error>);

/// A pass that is ending.
pub(crate) struct Behind {
    end: Pin<Box<dyn Future<Output = Ending> + Send>>,
    /// The result, once there is one.
    done: Option<Ending>,
    pub(crate) hand: Arc<Hand>,
    /// Keeps what the pass wrote in sight until it is stored.
    pub(crate) overlay: Arc<Overlay>,
}

/// What a pass in flight decides about.
#[derive(Debug, Default)]
pub(crate) struct Hand {
    keys: HashSet<String>,
    /// Keys of nodupe.
    seen: HashSet<Vec<u8>>,
    /// Where it puts content.
    paths: HashSet<PathBuf>,
}

impl Hand {
    pub(crate) fn of(jobs: &[Job]) -> Self {
        let mut hand = Self::default();
        // What is known already is decided about elsewhere.
        let decided = |job: &&Job| job.end != Some(JobEnd::Known);
        hand.keys.reserve(jobs.len());
        for job in jobs.iter().filter(decided) {
            hand.keys.insert(job.delivery.item().key.clone());
            hand.seen.extend(job.seen.iter().cloned());
            let places = job.live.iter().filter_map(|live| place(&live.item));
            hand.paths.extend(places);
        }
        hand
    }

    /// What open jobs are about before nodupe was asked, which knows them by `seen`.
    pub(crate) fn of_open(jobs: &[Job], seen: &[Vec<u8>]) -> Self {
        let open = || jobs.iter().filter(|job| job.is_open());
        Self {
            keys: open().map(|job| job.delivery.item().key.clone()).collect(),
            seen: seen.iter().cloned().collect(),
            paths: open()
                .flat_map(|job| &job.live)
                .filter_map(|live| place(&live.item))
                .collect(),
        }
    }

    /// Whether both are about something.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        !self.keys.is_disjoint(&other.keys)
            || !self.seen.is_disjoint(&other.seen)
            || !self.paths.is_disjoint(&other.paths)
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.keys.contains(key)
    }

    pub(crate) fn saw_any(&self, keys: &[Vec<u8>]) -> bool {
        !self.seen.is_empty() && keys.iter().any(|key| self.seen.contains(key))
    }

    /// Whether one of `jobs` is to be put where this puts something.
    pub(crate) fn meets(&self, jobs: &[Job]) -> bool {
        !self.paths.is_empty()
            && jobs
                .iter()
                .flat_map(|job| &job.live)
                .filter_map(|live| place(&live.item))
                .any(|path| self.paths.contains(&path))
    }
}

fn place(item: &Item) -> Option<PathBuf> {
    item.location.as_ref().map(|location| location.path())
}

impl Behind {
    /// Runs `front` while the pass ends.
    pub(crate) async fn beside<T>(behind: &mut Option<Self>, front: impl Future<Output = T>) -> T {
        let Some(behind) = behind.as_mut().filter(|behind| behind.done.is_none()) else {
            return front.await;
        };
        tokio::pin!(front);
        tokio::select! {
            biased;
            done = &mut behind.end => behind.done = Some(done),
            result = &mut front => return result,
        }
        front.await
    }

    /// Waits for the end.
    pub(crate) async fn wait(self) -> Ending {
        match self.done {
            Some(done) => done,
            None => self.end.await,
        }
    }
}

impl Finisher {
    /// Begins to end `pass`.
    pub(crate) fn begin(mut self, pass: Pass, lanes: &Lanes, started: Instant) -> Behind {
        self.abilities = Arc::clone(&lanes.abilities);
        let hand = Arc::new(Hand::of(&pass.jobs));
        let overlay = Arc::clone(&pass.overlay);
        let end = async move {
            let result = self.finish(pass, started).await;
            (self, result)
        };
        Behind {
            end: Box::pin(end),
            done: None,
            hand,
            overlay,
        }
    }

    async fn finish(&mut self, mut pass: Pass, started: Instant) -> Result<Finished, Error> {
        self.commit(&mut pass.jobs).await;
        self.inline(&mut pass.jobs).await;
        self.announce_failed(&mut pass.jobs);
        self.post(&mut pass).await;
        self.shared.stop_at_settle(&pass.jobs).await;
        self.settle(pass, started).await
    }

    /// Waits; says whether to go on, which it is not once a drain is requested.
    pub(crate) async fn wait(&mut self, wait: Duration) -> bool {
        tokio::select! {
            () = self.drain.requested() => false,
            () = self.shared.clock.sleep(wait) => true,
        }
    }

    /// Credentials were refused.
    pub(crate) fn pause_for(&mut self, failure: &Failure) {
        self.pause.get_or_insert_with(|| failure.clone());
    }

    pub(crate) fn stop_for(&mut self, failure: &Failure) {
        self.stop.get_or_insert_with(|| failure.clone());
    }
}
