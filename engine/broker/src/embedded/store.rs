//! The tables of the broker, and one transaction at a time on them.
//!
//! Everything here is synchronous and runs on the one thread that writes. A [`Store`] is told the
//! time and never asks for it. Each operation is a method in the file of its subject (`post`, `take`,
//! `manage`, `keep`); none of them begins or ends a transaction, so that several share one.
//!
//! # Invariants, at every commit
//! - `message.refs` is the number of `delivery` rows of the message, and is never zero.
//! - Every `delivery` and `binding` belongs to a queue; every lease to a session with at least that
//!   `highest`.
//! - Message ids only grow and are never used again.

mod keep;
mod manage;
mod post;
mod take;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, params};

use super::schema;
use super::topology::Topology;
use crate::error::{Error, Kind};

pub use keep::Housekept;
pub use manage::Declaration;
pub(super) use manage::check_name;
pub(super) use post::Post;
pub(super) use take::{Holder, Lease, Taken};

/// The open database and what is known of it.
#[derive(Debug)]
pub(super) struct Store {
    connection: Connection,
    path: PathBuf,
    epoch: String,
    counter: Option<Counter>,
    topology: Topology,
    /// Queues that have something new to offer once this transaction is committed.
    woken: BTreeSet<i64>,
    synced: bool,
}

/// The row of `counter`, as this transaction sees and changes it.
#[derive(Debug, Clone, Copy)]
struct Counter {
    next_message: i64,
    topology: i64,
    changed: bool,
}

impl Store {
    /// Opens or creates the file; `now` is the epoch of a new one.
    pub(super) fn open(path: &Path, patience: Duration, now: i64) -> Result<Self, Error> {
        let connection = schema::open(path, patience, now)?;
        let epoch = schema::epoch(&connection, path)?;
        Ok(Self {
            connection,
            path: path.to_owned(),
            epoch,
            counter: None,
            topology: Topology::default(),
            woken: BTreeSet::new(),
            synced: true,
        })
    }

    /// Part of every key: tells this file from one that was here before.
    pub(super) fn epoch(&self) -> &str {
        &self.epoch
    }

    /// Does `work` in a transaction and commits it; returns also the queues that have something new
    /// to offer. On an error everything is undone.
    ///
    /// Without `durable` it survives the end of the process, but not a power cut: right for leases,
    /// whose holders do not survive one either.
    pub(super) fn transaction<T>(
        &mut self,
        durable: bool,
        work: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<(T, BTreeSet<i64>), Error> {
        let done = self.begin(durable).and_then(|()| {
            let value = work(self)?;
            self.commit()?;
            Ok(value)
        });
        match done {
            Ok(value) => Ok((value, std::mem::take(&mut self.woken))),
            Err(error) => {
                self.rollback();
                Err(error)
            }
        }
    }

    fn begin(&mut self, durable: bool) -> Result<(), Error> {
        self.counter = None;
        self.woken.clear();
        if self.synced != durable {
            let level = if durable {
                "PRAGMA synchronous = FULL"
            } else {
                "PRAGMA synchronous = NORMAL"
            };
            self.connection
                .execute_batch(level)
                .map_err(|error| self.error(error))?;
            self.synced = durable;
        }
        self.execute("BEGIN IMMEDIATE")
    }

    fn commit(&mut self) -> Result<(), Error> {
        if let Some(counter) = self.counter.take().filter(|counter| counter.changed) {
            self.connection
                .prepare_cached("UPDATE counter SET next_message = ?1, topology = ?2")
                .and_then(|mut statement| {
                    statement.execute(params![counter.next_message, counter.topology])
                })
                .map_err(|error| self.error(error))?;
        }
        self.execute("COMMIT")
    }

    /// Undoes the transaction, if there still is one.
    fn rollback(&mut self) {
        self.counter = None;
        self.topology.forget();
        self.woken.clear();
        // SQLite ends a transaction by itself on some errors, a full disk among them.
        if !self.connection.is_autocommit()
            && let Err(error) = self.execute("ROLLBACK")
        {
            tracing::error!(error = %error.chain(), "The broker could not undo a transaction.");
        }
    }

    /// Runs `work` so that it alone is undone when it fails.
    pub(super) fn apart<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.execute("SAVEPOINT apart")?;
        match work(self) {
            Ok(value) => {
                self.execute("RELEASE apart")?;
                Ok(value)
            }
            Err(error) => {
                self.topology.forget();
                if self.in_transaction() {
                    self.execute("ROLLBACK TO apart")?;
                    self.execute("RELEASE apart")?;
                }
                Err(error)
            }
        }
    }

    /// Whether the transaction is still open.
    pub(super) fn in_transaction(&self) -> bool {
        !self.connection.is_autocommit()
    }

    /// The connection, for tests that look behind or get in between.
    #[cfg(test)]
    pub(super) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    fn execute(&self, statement: &str) -> Result<(), Error> {
        self.connection
            .prepare_cached(statement)
            .and_then(|mut statement| statement.execute([]))
            .map(|_| ())
            .map_err(|error| self.error(error))
    }

    fn error(&self, error: rusqlite::Error) -> Error {
        Error::sqlite(&self.path, error)
    }

    fn no_queue(&self, queue: &str) -> Error {
        Error::new(
            Kind::NoQueue,
            format!(
                "the broker `{}` has no queue `{queue}`; nothing was changed",
                self.path.display()
            ),
        )
    }

    /// The counters, read once in each transaction: other processes move them.
    fn counter(&mut self) -> rusqlite::Result<&mut Counter> {
        if self.counter.is_none() {
            let counter = self
                .connection
                .prepare_cached("SELECT next_message, topology FROM counter")?
                .query_row([], |row| {
                    Ok(Counter {
                        next_message: row.get(0)?,
                        topology: row.get(1)?,
                        changed: false,
                    })
                })?;
            self.counter = Some(counter);
        }
        Ok(self.counter.as_mut().expect("it was set above"))
    }

    /// Takes an id that no message ever had.
    fn next_message(&mut self) -> rusqlite::Result<i64> {
        let counter = self.counter()?;
        let id = counter.next_message;
        counter.next_message += 1;
        counter.changed = true;
        Ok(id)
    }

    /// Says that exchanges or bindings changed, here and to other processes.
    fn topology_changed(&mut self) -> rusqlite::Result<()> {
        let counter = self.counter()?;
        counter.topology += 1;
        counter.changed = true;
        Ok(())
    }

    /// The exchange's id; it is declared by being used.
    fn exchange(&mut self, name: &str) -> rusqlite::Result<i64> {
        let added = self
            .connection
            .prepare_cached("INSERT INTO exchange (name) VALUES (?1) ON CONFLICT DO NOTHING")?
            .execute([name])?;
        if added > 0 {
            self.topology_changed()?;
        }
        self.connection
            .prepare_cached("SELECT id FROM exchange WHERE name = ?1")?
            .query_row([name], |row| row.get(0))
    }
}
