//! Looking at, requeueing and dropping what is in retry and in the dead letters: what `flow retry`
//! stands on.
//!
//! These calls block for as long as SQLite does (milliseconds, or until a running flow lets go of
//! the file). They work on the store of a running flow as well; it takes requeued rows within
//! seconds.

use flow_message::{Message, Timestamp};
use rusqlite::{OptionalExtension, Row, params};

use super::Store;
use super::rows::{decode, limit_to_sql};
use crate::clock::from_millis;
use crate::error::StoreError;

/// Where a message waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shelf {
    /// To be tried again by itself.
    Retry,
    /// Given up; only a person brings it back.
    Dead,
}

/// A message that waits.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Where.
    pub shelf: Shelf,
    /// Names it to the other calls.
    pub key: String,
    /// The message as its origin gave it; none where it could not be read.
    pub message: Option<Message>,
    /// The callback that gathered it, if one did.
    pub gatherer: Option<String>,
    /// Tries so far.
    pub attempt: u32,
    /// When it was first in hand here.
    pub born: Timestamp,
    /// When it is tried next, or was given up.
    pub at: Timestamp,
    /// Why it did not work.
    pub reason: String,
}

impl Shelf {
    fn table(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Dead => "dead",
        }
    }

    fn time(self) -> &'static str {
        match self {
            Self::Retry => "due",
            Self::Dead => "died",
        }
    }

    fn select(self) -> String {
        format!(
            "SELECT key, message, gatherer, attempt, born, {}, reason FROM {}",
            self.time(),
            self.table()
        )
    }

    fn entry(self, row: &Row<'_>) -> Result<Entry, rusqlite::Error> {
        let body: Option<Vec<u8>> = row.get(1)?;
        Ok(Entry {
            shelf: self,
            key: row.get(0)?,
            message: body.and_then(|body| decode(&body).ok()),
            gatherer: row.get(2)?,
            attempt: row.get(3)?,
            born: from_millis(row.get(4)?),
            at: from_millis(row.get(5)?),
            reason: row.get(6)?,
        })
    }
}

impl Store {
    /// How many messages wait on a shelf.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn count(&self, shelf: Shelf) -> Result<u64, StoreError> {
        self.read_now(|connection| {
            let statement = format!("SELECT COUNT(*) FROM {}", shelf.table());
            let count: i64 = connection.query_row(&statement, [], |row| row.get(0))?;
            Ok(u64::try_from(count).unwrap_or(0))
        })
    }

    /// What waits on a shelf, the next due or the oldest dead first; `skip` and `limit` page.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn list(&self, shelf: Shelf, skip: usize, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.read_now(|connection| {
            let statement = format!(
                "{} ORDER BY {}, rowid LIMIT ?1 OFFSET ?2",
                shelf.select(),
                shelf.time()
            );
            let mut statement = connection.prepare_cached(&statement)?;
            let rows = statement.query_map([limit_to_sql(limit), limit_to_sql(skip)], |row| {
                shelf.entry(row)
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// One of them.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn show(&self, shelf: Shelf, key: &str) -> Result<Option<Entry>, StoreError> {
        self.read_now(|connection| {
            let statement = format!("{} WHERE key = ?1", shelf.select());
            Ok(connection
                .query_row(&statement, [key], |row| shelf.entry(row))
                .optional()?)
        })
    }

    /// Makes messages due now; all of the shelf where no keys are given. Dead ones start over, with
    /// no tries used and no age; those without a readable message stay. Returns how many moved.
    ///
    /// # Errors
    /// The store can't be written; nothing moved.
    pub fn requeue(
        &self,
        shelf: Shelf,
        keys: Option<&[String]>,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let now = now.as_millisecond();
        self.write_now(|transaction| {
            let mut moved = 0;
            for key in self.chosen(transaction, shelf, keys)? {
                if shelf == Shelf::Retry {
                    moved += transaction.execute(
                        "UPDATE retry SET due = ?2 WHERE key = ?1",
                        params![key, now],
                    )?;
                    continue;
                }
                let body: Option<Vec<u8>> = transaction
                    .query_row("SELECT message FROM dead WHERE key = ?1", [&key], |row| {
                        row.get(0)
                    })
                    .optional()?
                    .flatten();
                if body.is_none_or(|body| decode(&body).is_err()) {
                    continue;
                }
                transaction.execute(
                    "INSERT OR REPLACE INTO retry
                         (key, gatherer, message, attempt, alone, born, due, reason)
                     SELECT key, gatherer, message, 0, 0, ?2, ?2, reason FROM dead WHERE key = ?1",
                    params![key, now],
                )?;
                moved += transaction.execute("DELETE FROM dead WHERE key = ?1", [&key])?;
            }
            Ok(moved)
        })
    }

    /// Forgets messages; all of the shelf where no keys are given. Their origins are told nothing.
    /// Returns how many there were.
    ///
    /// # Errors
    /// The store can't be written; nothing is forgotten.
    pub fn discard(&self, shelf: Shelf, keys: Option<&[String]>) -> Result<usize, StoreError> {
        self.write_now(|transaction| {
            let statement = format!("DELETE FROM {} WHERE key = ?1", shelf.table());
            let mut gone = 0;
            for key in self.chosen(transaction, shelf, keys)? {
                gone += transaction.prepare_cached(&statement)?.execute([key])?;
            }
            Ok(gone)
        })
    }

    fn chosen(
        &self,
        connection: &rusqlite::Connection,
        shelf: Shelf,
        keys: Option<&[String]>,
    ) -> Result<Vec<String>, StoreError> {
        if let Some(keys) = keys {
            return Ok(keys.to_vec());
        }
        let mut statement =
            connection.prepare(&format!("SELECT key FROM {} ORDER BY rowid", shelf.table()))?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use flow_message::{Message, Timestamp};

    use super::Shelf;
    use crate::store::{Batch, DeadRow, RetryRow, Store};

    fn filled() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("flow.db")).unwrap();
        let message = |name: &str| {
            let message = Message::new(Timestamp::from_unix(5, 0), "http://origin/", name);
            Arc::new(message)
        };
        let retry = |key: &str, due| RetryRow {
            key: key.into(),
            gatherer: None,
            message: message(key),
            attempt: 2,
            alone: true,
            born: 1_000,
            due,
            reason: "busy".into(),
        };
        let dead = |key: &str, readable: bool| DeadRow {
            key: key.into(),
            gatherer: Some("mail".into()),
            message: readable.then(|| message(key)),
            attempt: 9,
            born: 1_000,
            died: 3_000,
            reason: "gone".into(),
        };
        let batch = Batch {
            retry: vec![retry("r2", 9_000), retry("r1", 8_000)],
            dead: vec![dead("d1", true), dead("d2", false)],
            ..Batch::default()
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(store.commit(Arc::new(batch))).unwrap();
        (directory, store)
    }

    #[test]
    fn shelves_are_listed_in_the_order_of_their_times() {
        let (_directory, store) = filled();
        let keys = |shelf, skip| -> Vec<String> {
            store
                .list(shelf, skip, 10)
                .unwrap()
                .into_iter()
                .map(|entry| entry.key)
                .collect()
        };
        assert_eq!(keys(Shelf::Retry, 0), ["r1", "r2"]);
        assert_eq!(keys(Shelf::Retry, 1), ["r2"]);
        assert_eq!(keys(Shelf::Dead, 0), ["d1", "d2"]);
        assert_eq!(store.count(Shelf::Dead).unwrap(), 2);
        let entry = store.show(Shelf::Dead, "d1").unwrap().unwrap();
        assert_eq!((entry.attempt, entry.reason.as_str()), (9, "gone"));
        assert_eq!(entry.at, Timestamp::from_unix(3, 0));
        assert_eq!(entry.message.unwrap().rel_path, "d1");
        assert!(store.show(Shelf::Dead, "r1").unwrap().is_none());
    }

    #[test]
    fn requeued_dead_letters_start_over_unless_unreadable() {
        let (_directory, store) = filled();
        let now = Timestamp::from_unix(7, 0);
        assert_eq!(store.requeue(Shelf::Dead, None, now).unwrap(), 1);
        let entry = store.show(Shelf::Retry, "d1").unwrap().unwrap();
        assert_eq!((entry.attempt, entry.at, entry.born), (0, now, now));
        assert_eq!(entry.gatherer.as_deref(), Some("mail"));
        assert_eq!(store.count(Shelf::Dead).unwrap(), 1);
    }

    #[test]
    fn requeued_retries_are_due_and_keep_their_tries() {
        let (_directory, store) = filled();
        let now = Timestamp::from_unix(7, 0);
        let keys = ["r2".to_owned(), "nothing".to_owned()];
        assert_eq!(store.requeue(Shelf::Retry, Some(&keys), now).unwrap(), 1);
        let entry = store.show(Shelf::Retry, "r2").unwrap().unwrap();
        assert_eq!((entry.attempt, entry.at), (2, now));
    }

    #[test]
    fn discarded_is_gone() {
        let (_directory, store) = filled();
        assert_eq!(
            store.discard(Shelf::Retry, Some(&["r1".into()])).unwrap(),
            1
        );
        assert_eq!(store.discard(Shelf::Dead, None).unwrap(), 2);
        assert_eq!(
            (
                store.count(Shelf::Retry).unwrap(),
                store.count(Shelf::Dead).unwrap()
            ),
            (1, 0)
        );
    }
}
