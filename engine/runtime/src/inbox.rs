//! What comes from outside the loop: durable at once, taken up in the next pass.
//!
//! Webhooks and lines are answered when their messages are safe, so each call waits for a commit.
//! Calls that wait at the same time share one.
//!
//! # Invariants
//! - Who is told that a message is safe, is told so after the transaction that stored it.
//! - A row stays until the pass that took it up has settled, in that pass's transaction.
//! - It holds so many messages and no more: a flow that can't keep up says so to those who ask.
//! - Workers of a flow take rows up in their order, each row one of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::error::StoreError;
use crate::ports::Failure;
use crate::store::{InboxRow, StateWrite, Store, inbox_size, write_inbox};

/// Messages that may wait.
const MOST: u64 = 10_000;

/// The inbox of a flow.
pub(crate) struct Inbox {
    store: Store,
    /// The last row there is.
    last: AtomicI64,
    /// The last row a worker took up.
    taken: AtomicI64,
    /// Held by the worker that takes.
    taking: tokio::sync::Mutex<()>,
    /// How many there are.
    count: AtomicU64,
    comes: Notify,
    goes: Notify,
}

impl Inbox {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            last: AtomicI64::new(0),
            taken: AtomicI64::new(0),
            taking: tokio::sync::Mutex::default(),
            count: AtomicU64::new(0),
            comes: Notify::new(),
            goes: Notify::new(),
        }
    }

    /// Looks what is left of the last run.
    pub(crate) async fn open(self: &Arc<Self>) -> Result<(), StoreError> {
        let inbox = Arc::clone(self);
        // In the order of the writes, so that none is counted twice.
        let look = self.store.write_together(
            |transaction| inbox_size(transaction),
            move |&(count, last)| {
                inbox.count.store(count, Ordering::Release);
                inbox.last.fetch_max(last, Ordering::AcqRel);
            },
        );
        look.await.map(drop)
    }

    /// Makes rows and pairs durable.
    pub(crate) async fn put(
        self: &Arc<Self>,
        rows: Vec<InboxRow>,
        state: Vec<StateWrite>,
    ) -> Result<(), Failure> {
        if rows.is_empty() && state.is_empty() {
            return Ok(());
        }
        if !rows.is_empty() && self.is_full() {
            return Err(Failure::temporary(format!(
                "{MOST} messages wait in this flow to be worked on; it takes no more for now"
            )));
        }
        let inbox = Arc::clone(self);
        let write = self.store.write_together(
            move |transaction| write_inbox(transaction, &rows, &state),
            move |&(new, last)| {
                inbox.count.fetch_add(new, Ordering::AcqRel);
                inbox.last.fetch_max(last, Ordering::AcqRel);
                if new > 0 {
                    inbox.comes.notify_one();
                }
            },
        );
        write.await.map(drop).map_err(|error| {
            tracing::error!(%error, "What was submitted could not be stored.");
            Failure::temporary(format!("the message could not be stored: {error}"))
        })
    }

    /// Whether there is something no worker has taken up.
    pub(crate) fn has_new(&self) -> bool {
        self.last.load(Ordering::Acquire) > self.taken.load(Ordering::Acquire)
    }

    /// Waits until there is. Cancel safe.
    pub(crate) async fn comes(&self) {
        while !self.has_new() {
            self.comes.notified().await;
        }
    }

    /// Takes up at most `limit` rows, the oldest nobody has taken. One whose key is `busy`, as the same
    /// thing is being decided about, stays with all after it.
    pub(crate) async fn take(
        &self,
        limit: usize,
        now: i64,
        busy: impl Fn(&str) -> bool,
    ) -> Result<Vec<InboxRow>, StoreError> {
        let _taking = self.taking.lock().await;
        let last = self.last.load(Ordering::Acquire);
        let taken = self.taken.load(Ordering::Acquire);
        if last <= taken {
            return Ok(Vec::new());
        }
        let mut rows = self.store.inbox(taken, limit, now).await?;
        if rows.is_empty() {
            // What was there could not be read, and is no more.
            self.taken.store(last, Ordering::Release);
        }
        let free = rows.iter().position(|row| busy(&row.key));
        rows.truncate(free.unwrap_or(rows.len()));
        if let Some(row) = rows.last() {
            self.taken.store(row.id, Ordering::Release);
        }
        if free.is_none() && self.has_new() {
            // The next one of those who wait.
            self.comes.notify_one();
        }
        Ok(rows)
    }

    /// So many rows were removed.
    pub(crate) fn served(&self, count: usize) {
        if count > 0 {
            let count = count as u64;
            let less = |now: u64| Some(now.saturating_sub(count));
            let _ = self
                .count
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
            self.goes.notify_waiters();
        }
    }

    /// Whether it takes no more for now.
    pub(crate) fn is_full(&self) -> bool {
        self.count.load(Ordering::Acquire) >= MOST
    }

    /// Waits until it takes more. Cancel safe.
    pub(crate) async fn room(&self) {
        loop {
            let goes = self.goes.notified();
            tokio::pin!(goes);
            goes.as_mut().enable();
            if !self.is_full() {
                return;
            }
            goes.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use flow_message::{Message, Timestamp};

    use super::{Inbox, MOST};
    use crate::ports::Failure;
    use crate::store::{Batch, InboxRow, Store, inbox_size};

    fn row(key: &str) -> InboxRow {
        InboxRow {
            id: 0,
            key: key.into(),
            submitter: "desk".into(),
            message: Message::new(Timestamp::from_unix(0, 0), "http://origin/", key),
            born: 1,
        }
    }

    fn open(home: &tempfile::TempDir) -> (Store, Arc<Inbox>) {
        let store = Store::open(home.path().join("a.db")).unwrap();
        (store.clone(), Arc::new(Inbox::new(store)))
    }

    #[tokio::test]
    async fn what_was_put_is_there_for_another_process_until_it_has_served() {
        let home = tempfile::tempdir().unwrap();
        let (_, inbox) = open(&home);
        let put = |number: u32| {
            let inbox = Arc::clone(&inbox);
            async move { inbox.put(vec![row(&number.to_string())], Vec::new()).await }
        };
        let puts: Vec<_> = (0..20).map(|number| tokio::spawn(put(number))).collect();
        for put in puts {
            put.await.unwrap().unwrap();
        }
        // The same thing again is the same row.
        inbox.put(vec![row("3")], Vec::new()).await.unwrap();
        let (store, again) = open(&home);
        assert!(!again.has_new());
        again.open().await.unwrap();
        again.comes().await;
        let mut rows = again.take(5, 0, |_| false).await.unwrap();
        assert_eq!(rows.len(), 5);
        // What is being decided about is left for later, with what comes after it.
        let busy = store.inbox(0, 100, 0).await.unwrap()[8].key.clone();
        rows.extend(again.take(100, 0, |key| key == busy).await.unwrap());
        assert_eq!(rows.len(), 8);
        assert!(again.has_new());
        rows.extend(again.take(100, 0, |_| false).await.unwrap());
        assert_eq!(rows.len(), 20);
        assert!(!again.has_new());
        let batch = Batch {
            taken: rows.iter().map(|row| row.id).collect(),
            ..Batch::default()
        };
        store.commit(Arc::new(batch)).await.unwrap();
        assert_eq!(store.read(inbox_size).await.unwrap(), (0, 0));
        // A number is never used again.
        again.put(vec![row("x")], Vec::new()).await.unwrap();
        assert!(again.has_new());
    }

    #[tokio::test]
    async fn it_holds_so_many_and_no_more() {
        let home = tempfile::tempdir().unwrap();
        let (_, inbox) = open(&home);
        let rows = (0..MOST).map(|number| row(&number.to_string())).collect();
        inbox.put(rows, Vec::new()).await.unwrap();
        let refused = inbox.put(vec![row("more")], Vec::new()).await.unwrap_err();
        assert!(matches!(refused, Failure::Temporary { .. }), "{refused}");
        inbox.served(1);
        inbox.room().await;
        inbox.put(vec![row("more")], Vec::new()).await.unwrap();
    }
}
