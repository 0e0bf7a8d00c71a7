//! One transaction for all who want to write at the same time.
//!
//! A transaction waits for the disk, and that takes as long for many as for one: whoever has the turn
//! writes for all who wait. The passes of several workers end so, and calls from outside store so what
//! they bring.
//!
//! # Invariants
//! - Who is told that something is written, is told so after the transaction that wrote it.
//! - Who is given up while it waits is written all the same, and what follows from that is done.

use std::sync::Arc;

use rusqlite::Transaction;
use tokio::sync::oneshot;

use super::{Store, hold};
use crate::error::StoreError;

/// What waits to be written.
pub(super) trait Job: Send {
    /// Writes it. Called again in a transaction of its own where one with others failed.
    fn write(&mut self, transaction: &Transaction<'_>) -> Result<(), StoreError>;

    /// Says how that went.
    fn end(self: Box<Self>, written: Result<(), StoreError>);
}

impl std::fmt::Debug for dyn Job {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Job")
    }
}

struct Waiting<T, W, D> {
    write: W,
    found: Option<T>,
    done: D,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, W, D> Job for Waiting<T, W, D>
where
    T: Send,
    W: Fn(&Transaction<'_>) -> Result<T, StoreError> + Send,
    D: FnOnce(&T) + Send,
{
    fn write(&mut self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        self.found = Some((self.write)(transaction)?);
        Ok(())
    }

    fn end(self: Box<Self>, written: Result<(), StoreError>) {
        let Self {
            found, done, reply, ..
        } = *self;
        let answer = written.map(|()| found.expect("a write that did not fail left it"));
        if let Ok(found) = &answer {
            done(found);
        }
        // Who went away does not mind.
        let _ = reply.send(answer);
    }
}

impl Store {
    /// Writes with whatever else waits to be written, and then does what follows from that: one after
    /// the other, in the order of the writes.
    pub(crate) async fn write_together<T: Send + 'static>(
        &self,
        write: impl Fn(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
        done: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, mut told) = oneshot::channel();
        hold(&self.inner.waiting).push(Box::new(Waiting {
            write,
            found: None,
            done,
            reply,
        }));
        let turn = Arc::clone(&self.inner.turn).lock_owned().await;
        if let Ok(answer) = told.try_recv() {
            return answer;
        }
        let store = self.clone();
        // On a thread that keeps the turn: if this call is given up meanwhile, the others are not.
        let writing = tokio::task::spawn_blocking(move || {
            let all = std::mem::take(&mut *hold(&store.inner.waiting));
            store.write_all(all);
            drop(turn);
        });
        let lost = |error: String| Err(StoreError::Thread(error));
        match writing.await {
            Ok(()) => told.await.unwrap_or_else(|error| lost(error.to_string())),
            Err(error) => lost(error.to_string()),
        }
    }

    fn write_all(&self, mut all: Vec<Box<dyn Job>>) {
        let together =
            self.write_now(|transaction| all.iter_mut().try_for_each(|job| job.write(transaction)));
        let alone = all.len() == 1;
        let mut together = Some(together);
        for mut job in all {
            let written = match &together {
                Some(Ok(())) => Ok(()),
                _ if alone => together.take().expect("there is one"),
                // One of them may be to blame.
                _ => self.write_now(|transaction| job.write(transaction)),
            };
            job.end(written);
        }
    }
}
