//! Telling the observer what waits: in the queue, in retry, in the dead letters.
//!
//! Only for observers that want it, about as often as they do and soon after a pass that changed what
//! waits in retry or in the dead letters: between two passes, never during one. A count that can't be
//! had is left out; nothing depends on it.

use crate::clock::later;
use crate::error::StoreError;
use crate::ports::{Event, Side};
use crate::store::{Shelf, Store};
use crate::worker::{Running, within};

/// Between two counts, at least, milliseconds: a pass may end many times a second.
const APART: i64 = 1000;

impl Running {
    /// Counts what waits and says it, when it is time.
    pub(crate) async fn count_waiting(&mut self) {
        let now = self.shared.now();
        if self
            .next_waiting
            .is_none_or(|next| now.as_millisecond() < next)
        {
            return;
        }
        self.next_waiting = self
            .shared
            .observer
            .wants_waiting()
            .map(|interval| later(now, interval));
        self.counted = now.as_millisecond();
        self.count_again = false;
        let queue = self.depth().await;
        let Some((retry, dead)) = shelves(self.shared.store.clone()).await else {
            return;
        };
        let event = Event::Waiting { queue, retry, dead };
        self.shared.observer.event(&event);
    }

    /// What waits in retry or in the dead letters changed: the next count is due at once, though not
    /// more often than each [`APART`].
    pub(crate) fn count_soon(&mut self) {
        let now = self.shared.now().as_millisecond();
        if let Some(next) = &mut self.next_waiting {
            *next = (*next).min(self.counted.saturating_add(APART).max(now));
            self.count_again = true;
        }
    }

    /// Says what is left in retry and in the dead letters, at the end of the flow.
    pub(crate) async fn last_count(&mut self) {
        if self.next_waiting.is_none() {
            return;
        }
        if let Some((retry, dead)) = shelves(self.shared.store.clone()).await {
            let queue = None;
            let event = Event::Waiting { queue, retry, dead };
            self.shared.observer.event(&event);
        }
    }

    /// Messages in the queue. A broker that is away is left to the loop, which waits for it.
    async fn depth(&mut self) -> Option<u64> {
        if !self.shared.is_connected(Side::Input) {
            return None;
        }
        let depth = self.consumer.as_mut()?.depth();
        match within(&*self.shared.clock, depth).await? {
            Ok(depth) => depth,
            Err(error) => {
                tracing::debug!(%error, "The queue could not be counted.");
                None
            }
        }
    }
}

/// Messages in retry and in the dead letters.
async fn shelves(store: Store) -> Option<(u64, u64)> {
    if !store.is_occupied() {
        return Some((0, 0));
    }
    let counted = tokio::task::spawn_blocking(move || {
        Ok::<_, StoreError>((store.count(Shelf::Retry)?, store.count(Shelf::Dead)?))
    });
    match counted.await {
        Ok(Ok(counts)) => Some(counts),
        Ok(Err(error)) => {
            tracing::debug!(%error, "What is in retry could not be counted.");
            None
        }
        Err(_) => None,
    }
}
