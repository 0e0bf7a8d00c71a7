//! Asking a worker to finish what is in hand and take no more.

use std::sync::Arc;

use tokio::sync::watch;

/// A request to drain, shared by everyone who may make it or has to heed it. Cheap to clone; once
/// requested it stays requested.
#[derive(Debug, Clone)]
pub struct Drain {
    requested: Arc<watch::Sender<bool>>,
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

impl Drain {
    /// A drain nobody has asked for yet.
    pub fn new() -> Self {
        Self {
            requested: Arc::new(watch::Sender::new(false)),
        }
    }

    /// Asks for it. Asking again changes nothing.
    pub fn request(&self) {
        self.requested.send_replace(true);
    }

    /// Whether it was asked for.
    pub fn is_requested(&self) -> bool {
        *self.requested.borrow()
    }

    /// Waits until it is asked for. Cancel safe.
    pub async fn requested(&self) {
        let mut receiver = self.requested.subscribe();
        // The sender lives in `self`, so the channel can't be closed while this waits.
        let _ = receiver.wait_for(|requested| *requested).await;
    }
}

#[cfg(test)]
mod tests {
    use super::Drain;

    #[tokio::test]
    async fn a_request_is_seen_by_clones_before_and_after() {
        let drain = Drain::new();
        let waiting = tokio::spawn({
            let drain = drain.clone();
            async move { drain.requested().await }
        });
        assert!(!drain.is_requested());
        drain.clone().request();
        waiting.await.unwrap();
        drain.requested().await;
        assert!(drain.is_requested());
    }
}
