//! What a scan found, on its way to the gather: bounded, so that a scan of a large tree waits.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};

use crate::announce::Work;

/// Works that wait at most: about 2 MB.
const ROOM: usize = 16_384;

#[derive(Debug, Default)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    room: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    works: VecDeque<Work>,
    closed: bool,
}

impl Queue {
    /// Waits for room; says whether there is still somebody to take it, and whether it was empty.
    pub(crate) fn push(&self, work: Work) -> Pushed {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        while inner.works.len() >= ROOM && !inner.closed {
            inner = self
                .room
                .wait(inner)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if inner.closed {
            return Pushed::Closed;
        }
        inner.works.push_back(work);
        if inner.works.len() == 1 {
            Pushed::First
        } else {
            Pushed::More
        }
    }

    pub(crate) fn take(&self, limit: usize) -> Vec<Work> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let take = limit.min(inner.works.len());
        let works = inner.works.drain(..take).collect();
        self.room.notify_all();
        works
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.inner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .works
            .is_empty()
    }

    pub(crate) fn close(&self) {
        self.inner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .closed = true;
        self.room.notify_all();
    }
}

/// What became of a push.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    First,
    More,
    Closed,
}
