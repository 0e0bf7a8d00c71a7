//! One transaction for the passes of several workers that end at the same time.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::rows::Batch;
use super::{Store, hold};
use crate::error::StoreError;

/// A batch to commit, and who waits for that.
#[derive(Debug)]
pub(super) struct Waiting {
    batch: Arc<Batch>,
    reply: oneshot::Sender<Result<(), StoreError>>,
}

impl Store {
    /// Commits with whatever other workers want to commit at this time: a transaction waits for the
    /// disk, and that takes as long for many as for one.
    pub(super) async fn commit_together(&self, batch: Arc<Batch>) -> Result<(), StoreError> {
        let (reply, mut told) = oneshot::channel();
        hold(&self.inner.waiting).push(Waiting { batch, reply });
        let _turn = self.inner.turn.lock().await;
        if let Ok(answer) = told.try_recv() {
            return answer;
        }
        let store = self.clone();
        // If this call is given up meanwhile, the others are answered all the same.
        let writing = tokio::task::spawn_blocking(move || {
            let all = std::mem::take(&mut *hold(&store.inner.waiting));
            store.commit_all(all);
        });
        let lost = |error: String| Err(StoreError::Thread(error));
        match writing.await {
            Ok(()) => told.await.unwrap_or_else(|error| lost(error.to_string())),
            Err(error) => lost(error.to_string()),
        }
    }

    fn commit_all(&self, all: Vec<Waiting>) {
        let together = self.write_now(|transaction| {
            all.iter()
                .try_for_each(|waiting| waiting.batch.write(transaction))
        });
        let alone = all.len() == 1;
        let mut together = Some(together);
        for Waiting { batch, reply } in all {
            let answer = match &together {
                Some(Ok(())) => Ok(()),
                _ if alone => together.take().expect("there is one"),
                // One of them may be to blame.
                _ => self.write_now(|transaction| batch.write(transaction)),
            };
            // Who went away does not mind.
            let _ = reply.send(answer);
        }
    }
}
