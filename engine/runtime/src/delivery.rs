//! A message in hand and the duty to end it.
//!
//! A [`Delivery`] owns the message as its origin gave it. It can't be taken apart: the only way on
//! is to end it, which consumes it into an [`Ended`], and settling takes nothing but `Ended`. One
//! that is dropped instead (a panic in a lane, a bug) falls on the [`Floor`], which the next settle
//! picks up, reports as an error and gives back to its origin. So a message is at every moment in
//! exactly one place.
//!
//! What this deliberately does not do: it says nothing about how an end is made durable.

use std::sync::{Arc, Mutex, PoisonError};

use flow_message::Timestamp;

use crate::ports::{Failure, Fate, Item, Rejection};

/// Where a delivery came from, and so who is told how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A queue; the tag names it there.
    Queue { tag: u64 },
    /// The gather of this callback.
    Gather { callback: usize },
    /// What the callback of this name submitted; the row it is kept in.
    Inbox { row: i64, submitter: String },
    /// A retry row; the callback that once gathered it, by its name in the store.
    Retry { gatherer: Option<String> },
}

/// A message in hand.
#[derive(Debug)]
pub(crate) struct Delivery {
    inner: Option<Box<Inner>>,
    floor: Floor,
}

/// What a delivery is made of.
#[derive(Debug)]
pub(crate) struct Inner {
    /// The message as its origin gave it.
    pub(crate) item: Item,
    /// Where it came from.
    pub(crate) origin: Origin,
    /// When it was first in hand here.
    pub(crate) born: Timestamp,
    /// It was in a call that a plugin did not survive: it is worked on by itself.
    pub(crate) alone: bool,
}

impl Delivery {
    pub(crate) fn new(inner: Inner, floor: &Floor) -> Self {
        Self {
            inner: Some(Box::new(inner)),
            floor: floor.clone(),
        }
    }

    fn inner(&self) -> &Inner {
        self.inner
            .as_deref()
            .expect("only `end` empties a delivery, and it consumes it")
    }

    pub(crate) fn item(&self) -> &Item {
        &self.inner().item
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.inner().origin
    }

    pub(crate) fn born(&self) -> Timestamp {
        self.inner().born
    }

    pub(crate) fn is_alone(&self) -> bool {
        self.inner().alone
    }

    /// Posted and confirmed, or done where nothing is posted.
    pub(crate) fn posted(self) -> Ended {
        self.end(End::Settled(Fate::Posted))
    }

    /// Goes no further, on purpose.
    pub(crate) fn rejected(self, rejection: Rejection) -> Ended {
        self.end(End::Settled(Fate::Rejected(rejection)))
    }

    /// Did not work and is tried again at `due`.
    pub(crate) fn retrying(self, again: Again, failure: &Failure) -> Ended {
        self.end(End::Retrying(again, failure.clone()))
    }

    /// Given up.
    pub(crate) fn dead(self, reason: String) -> Ended {
        self.end(End::Settled(Fate::Dead(reason)))
    }

    /// Nothing was decided: the origin keeps it, or gets it back.
    pub(crate) fn back(self) -> Ended {
        self.end(End::Back)
    }

    /// Known already, and in better hands: the origin forgets this copy and nobody is told.
    pub(crate) fn known(self) -> Ended {
        self.end(End::Known)
    }

    fn end(mut self, end: End) -> Ended {
        let inner = self
            .inner
            .take()
            .expect("only `end` empties a delivery, and it consumes it");
        Ended {
            inner,
            end,
            tell: Vec::new(),
            told: false,
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            self.floor.lock().push(*inner);
        }
    }
}

/// When and how a failed message is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Again {
    /// When.
    pub(crate) due: Timestamp,
    /// Tries before that one.
    pub(crate) attempt: u32,
    /// Whether by itself.
    pub(crate) alone: bool,
}

/// How a delivery ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum End {
    /// For good.
    Settled(Fate),
    /// For now; durably in retry once settled.
    Retrying(Again, Failure),
    /// Not at all.
    Back,
    /// Elsewhere.
    Known,
}

/// A delivery that ended. Dropping one is a bug like dropping a delivery, but its origin still
/// holds it, so it comes again.
#[derive(Debug)]
#[must_use = "an ended delivery has to be settled"]
pub(crate) struct Ended {
    pub(crate) inner: Box<Inner>,
    pub(crate) end: End,
    /// Callbacks to tell beside the gatherer, with the item as they had it.
    pub(crate) tell: Vec<(usize, Item)>,
    /// Whether the log has the whole of why: a plugin fell over.
    pub(crate) told: bool,
}

impl Ended {
    /// The fate as its origin is told it, if it is told at all.
    pub(crate) fn fate(&self) -> Option<Fate> {
        match &self.end {
            End::Settled(fate) => Some(fate.clone()),
            End::Retrying(_, failure) => Some(Fate::Retrying(failure.to_string())),
            End::Back | End::Known => None,
        }
    }
}

/// Where dropped deliveries land.
#[derive(Debug, Clone, Default)]
pub(crate) struct Floor(Arc<Mutex<Vec<Inner>>>);

impl Floor {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Inner>> {
        // A panic while pushing leaves the list whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Picks everything up, as deliveries again.
    pub(crate) fn sweep(&self) -> Vec<Delivery> {
        let found = std::mem::take(&mut *self.lock());
        found
            .into_iter()
            .map(|inner| Delivery {
                inner: Some(Box::new(inner)),
                floor: self.clone(),
            })
            .collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use flow_message::{Message, Timestamp};

    use super::{Delivery, End, Floor, Inner, Origin};
    use crate::ports::{Fate, Item, Rejection};

    pub(crate) fn delivery(key: &str, floor: &Floor) -> Delivery {
        delivery_alone(key, false, floor)
    }

    pub(crate) fn delivery_alone(key: &str, alone: bool, floor: &Floor) -> Delivery {
        let message = Message::new(Timestamp::from_unix(0, 0), "http://origin/", "a/b");
        let item = Item {
            id: 1,
            key: key.into(),
            attempt: 0,
            message: Arc::new(message),
            location: None,
            other: None,
        };
        let origin = Origin::Queue { tag: 7 };
        let born = Timestamp::from_unix(0, 0);
        Delivery::new(
            Inner {
                item,
                origin,
                born,
                alone,
            },
            floor,
        )
    }

    #[test]
    fn an_ended_delivery_leaves_nothing_on_the_floor() {
        let floor = Floor::default();
        let rejection = Rejection {
            code: 404,
            reason: "no".into(),
        };
        let ended = delivery("a", &floor).rejected(rejection.clone());
        assert_eq!(ended.end, End::Settled(Fate::Rejected(rejection)));
        assert_eq!(delivery("b", &floor).posted().fate(), Some(Fate::Posted));
        assert_eq!(delivery("c", &floor).back().fate(), None);
        assert!(floor.sweep().is_empty());
    }

    #[test]
    fn a_dropped_delivery_is_found_once() {
        let floor = Floor::default();
        drop(delivery("a", &floor));
        let mut found = floor.sweep();
        assert_eq!(found.len(), 1);
        let again = found.pop().unwrap();
        assert_eq!(again.item().key, "a");
        assert_eq!(again.origin(), &Origin::Queue { tag: 7 });
        let _ = again.back();
        assert!(floor.sweep().is_empty());
    }

    #[test]
    fn a_panicking_lane_loses_nothing() {
        let floor = Floor::default();
        let in_hand = delivery("a", &floor);
        let lane = std::thread::spawn(move || {
            let _in_hand = in_hand;
            panic!("as a lane might");
        });
        assert!(lane.join().is_err());
        assert_eq!(floor.sweep().into_iter().map(Delivery::back).count(), 1);
    }
}
