//! The embedded broker, opened once for all flows of the process.
//!
//! An open broker has threads, a watch and connections; twenty of them in one process would cost more
//! than everything else of twenty idle flows. It is opened for the first flow that needs it and
//! closed with the last.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flow_broker::embedded::EmbeddedBroker;
use tokio::time::Instant;

use crate::Error;
use crate::brokers::open_embedded;

/// Where the flows of a process find it. Clones are the same place.
#[derive(Clone, Default)]
pub(crate) struct Place(Arc<Mutex<Option<Open>>>);

struct Open {
    broker: EmbeddedBroker,
    /// Held by every share as well, to count them.
    users: Arc<()>,
    /// When it was last cleared up.
    kept: Instant,
}

impl Open {
    fn new(broker: EmbeddedBroker) -> Self {
        Self {
            broker,
            users: Arc::default(),
            kept: Instant::now(),
        }
    }
}

/// A flow's share in the broker.
pub(crate) struct Share {
    place: Place,
    broker: EmbeddedBroker,
    users: Arc<()>,
}

impl Place {
    /// A place where a broker is open already.
    #[cfg(test)]
    pub(crate) fn holding(broker: EmbeddedBroker) -> Self {
        Self(Arc::new(Mutex::new(Some(Open::new(broker)))))
    }

    fn hold(&self) -> MutexGuard<'_, Option<Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The broker of a state directory, opened if it is not.
    ///
    /// # Errors
    /// Its file can't be used.
    pub(crate) fn share(&self, state: &Path) -> Result<Share, Error> {
        let mut held = self.hold();
        let open = match held.as_mut() {
            Some(open) => open,
            None => held.insert(Open::new(open_embedded(state)?)),
        };
        Ok(Share {
            place: self.clone(),
            broker: open.broker.clone(),
            users: Arc::clone(&open.users),
        })
    }

    /// Forgets the broker if nobody but the holder of `users` has a share in it; says whether.
    fn forget(&self, users: &Arc<()>) -> bool {
        let mut held = self.hold();
        let last = held.as_ref().is_some_and(|open| {
            // Two: this place and that share.
            Arc::ptr_eq(&open.users, users) && Arc::strong_count(users) == 2
        });
        if last {
            *held = None;
        }
        last
    }
}

impl Share {
    /// The broker.
    pub(crate) fn broker(&self) -> &EmbeddedBroker {
        &self.broker
    }

    /// Whether nobody cleared it up for `interval`; then it is the caller's to do.
    pub(crate) fn is_due(&self, interval: Duration) -> bool {
        let mut held = self.place.hold();
        let Some(open) = held.as_mut() else {
            return false;
        };
        // Whoever waits for the same time wakes at about the same time.
        let due = open.kept.elapsed() + interval / 10 >= interval;
        if due {
            open.kept = Instant::now();
        }
        due
    }

    /// Gives the share back; the last one closes the broker.
    ///
    /// # Errors
    /// The broker's file can't be closed.
    pub(crate) async fn close(self) -> Result<(), Error> {
        // Who comes from here on opens it anew.
        if self.place.forget(&self.users) {
            self.broker.clone().close().await?;
        }
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.place.forget(&self.users);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn flows_share_one_broker_and_the_last_closes_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = Place::default();
        let one = place.share(directory.path()).expect("it can be opened");
        let other = place.share(directory.path()).expect("it is open");
        one.close().await.expect("nothing to close yet");
        assert!(place.hold().is_some());
        other.broker().queues().await.expect("it is still open");
        other.close().await.expect("it can be closed");
        assert!(place.hold().is_none());
        let again = place
            .share(directory.path())
            .expect("it can be opened again");
        again.broker().queues().await.expect("it works");
    }

    #[tokio::test]
    async fn it_is_cleared_up_once_for_all() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = Place::default();
        let one = place.share(directory.path()).expect("it can be opened");
        let other = place.share(directory.path()).expect("it is open");
        let long = Duration::from_secs(3600);
        assert!(!one.is_due(long), "it was just opened");
        assert!(one.is_due(Duration::ZERO));
        assert!(!other.is_due(long));
    }
}
