//! A delivery on its way through a pass.
//!
//! A [`Job`] pairs the delivery with the messages that live on in its place: at first the message
//! itself, later what callbacks made of it. The delivery ends well only when all of them are posted;
//! one that fails takes the job to retry as a whole, and a redo makes all of them again, under the
//! same keys.

use std::path::PathBuf;

use flow_message::Timestamp;

use crate::content::Body;
use crate::delivery::Delivery;
use crate::filter::Placed;
use crate::ports::{Failure, Item, Rejection};

/// A delivery and what has become of it so far.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) delivery: Delivery,
    /// Its place in the pass.
    pub(crate) index: usize,
    /// What goes on in its place.
    pub(crate) live: Vec<Live>,
    /// How it ended, once it has.
    pub(crate) end: Option<JobEnd>,
    /// Why the first of its messages that was rejected was.
    pub(crate) rejected: Option<Rejection>,
    /// Callbacks that downloaded it, with the item as they had it.
    pub(crate) tell: Vec<(usize, Item)>,
    /// Messages made so far.
    pub(crate) children: u32,
    /// What nodupe remembers once this settles.
    pub(crate) seen: Vec<Vec<u8>>,
    /// It was worked on: rules and nodupe let it pass.
    pub(crate) worked: bool,
}

/// How a job ended, before it is known what follows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum JobEnd {
    /// On purpose.
    Rejected(Rejection),
    /// It did not work, in a call with so many messages.
    Failed(Failure, usize),
    /// Too young: again then (milliseconds), without losing a try.
    Wait(i64),
    /// A callback wants it later: again then, without losing a try. Why.
    Held(i64, String),
    /// Given up, and why; those who wait for it hear of it.
    Dead(String),
    /// As the job of this index ends, so does this.
    Duplicate(usize),
    /// It is the job of this index once more.
    Same(usize),
    /// Known already, and in better hands.
    Known,
    /// Nothing was decided.
    Back,
}

/// A message that goes on.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) item: Item,
    pub(crate) meta: Meta,
}

/// What the loop knows of a message beside what callbacks see.
#[derive(Debug)]
pub(crate) struct Meta {
    /// When its delivery was first in hand here: the time of templates, the same at every try.
    pub(crate) born: Timestamp,
    /// What its location must stay below.
    pub(crate) root: PathBuf,
    pub(crate) body: Body,
    /// Set for derived content: tells it from other content that wants the same name.
    pub(crate) hash: Option<String>,
    /// A callback made it.
    pub(crate) derived: bool,
    /// It was made in the call at hand, and is not counted yet.
    pub(crate) fresh: bool,
    /// Its content was not given its final name, on purpose.
    pub(crate) refused: bool,
    /// It is an operation on a file that takes the content to carry out.
    pub(crate) fetch: bool,
    /// It was never in hand before, not even by a worker that crashed.
    pub(crate) first: bool,
    /// Something before it in its pass has the same place: what is there now says nothing.
    pub(crate) contested: bool,
}

impl Meta {
    pub(crate) fn new(born: Timestamp) -> Self {
        Self {
            born,
            root: PathBuf::new(),
            body: Body::Away,
            hash: None,
            derived: false,
            fresh: false,
            refused: false,
            fetch: false,
            first: false,
            contested: false,
        }
    }
}

impl Live {
    /// The same for one who only looks: what it wrote stays with it, the file is named.
    pub(crate) fn bare(&self) -> Self {
        let body = match &self.meta.body {
            Body::Held(held) => Body::Held(held.clone()),
            other => other
                .path()
                .map_or(Body::Away, |path| Body::Here(path.to_owned())),
        };
        Self {
            item: self.item.clone(),
            meta: Meta {
                body,
                root: self.meta.root.clone(),
                ..Meta::new(self.meta.born)
            },
        }
    }

    pub(crate) fn placed(&self) -> Option<Placed> {
        let location = self.item.location.clone()?;
        Some(Placed {
            location,
            root: self.meta.root.clone(),
        })
    }
}

impl Job {
    /// A job whose only message is the delivery's own.
    pub(crate) fn new(delivery: Delivery, index: usize) -> Self {
        let item = delivery.item().clone();
        let meta = Meta::new(delivery.born());
        Self {
            delivery,
            index,
            live: vec![Live { item, meta }],
            end: None,
            rejected: None,
            tell: Vec::new(),
            children: 0,
            seen: Vec::new(),
            worked: false,
        }
    }

    /// Ends it; the first end stays. What lived in its place is gone.
    pub(crate) fn finish(&mut self, end: JobEnd) {
        self.live.clear();
        self.end.get_or_insert(end);
    }

    /// What was to be said of it could not be: it goes back, unless it is to be tried again anyway.
    pub(crate) fn give_back(&mut self) {
        self.live.clear();
        if matches!(self.end, None | Some(JobEnd::Dead(_) | JobEnd::Rejected(_))) {
            self.end = Some(JobEnd::Back);
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.end.is_none()
    }

    /// One of its messages was rejected.
    pub(crate) fn note_rejected(&mut self, rejection: Rejection) {
        self.rejected.get_or_insert(rejection);
    }

    /// After a stage: a job all of whose messages were rejected is itself.
    pub(crate) fn close_if_rejected(&mut self) {
        if self.is_open()
            && self.live.is_empty()
            && let Some(rejection) = self.rejected.take()
        {
            self.end = Some(JobEnd::Rejected(rejection));
        }
    }

    /// The key of the next message made of it.
    pub(crate) fn next_key(&mut self) -> String {
        let key = format!("{}/{}", self.delivery.item().key, self.children);
        self.children += 1;
        key
    }
}
