//! One flow's durable memory: one SQLite file.
//!
//! Holds messages that came from outside, messages to retry, dead letters, what was seen (nodupe), outcomes not told yet and the
//! pairs of callbacks. Everything a pass decides goes in with one transaction ([`Batch`]); nothing
//! else on disk needs recovery.
//!
//! # Invariants
//! - WAL with `synchronous=FULL`: what a write returned from survives a power cut.
//! - Write transactions take the lock at their start, so two processes on one file (the flow and
//!   `flow retry`) wait for each other instead of failing half way.
//! - One running flow per file: a worker holds [`Lock`] on a file beside it. Looking at a store and
//!   managing its rows needs no lock.
//!
//! Statements run on tokio's blocking threads, but for the reads of [`State`](crate::ports::State),
//! which are a page lookup each and have a connection of their own.

mod rows;
mod schema;
mod shelf;
mod together;

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::error::{Error, StoreError};

pub(crate) use rows::{
    Batch, DeadRow, InboxRow, Pending, Renewal, RetryRow, Seen, StateWrite, inbox_size, write_inbox,
};
pub use shelf::{Entry, Shelf};

/// How long a statement waits for another process.
const BUSY: Duration = Duration::from_secs(30);

/// What is behind the name of a store in that of its lock.
const LOCK: &str = ".lock";

/// A flow's store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    writer: Mutex<Connection>,
    /// What waits for the writer: whoever has the turn writes it all at once.
    waiting: Mutex<Vec<Box<dyn together::Job>>>,
    turn: Arc<tokio::sync::Mutex<()>>,
    reader: Mutex<Connection>,
    /// Whether retry, dead letters or pending outcomes may have rows. Other processes move and
    /// remove rows but make none, so empty ones stay empty until this process writes one.
    ///
    /// Counts the writes, before and after each; they may have rows unless they were seen empty at
    /// this very count. (A flag would be lowered by a look that a write overtook.)
    writes: AtomicU64,
    /// The count at which they were last seen empty.
    empty_at: AtomicU64,
}

/// Held by the one worker that runs a flow; given up when dropped, also by a crash.
#[derive(Debug)]
pub struct Lock {
    // Kept for its lock, which the system releases when the file is closed.
    _file: File,
}

impl Store {
    /// Opens the store at `path`, creating it and its directory where missing.
    ///
    /// # Errors
    /// The file can't be opened, is no store, or was written by a newer version.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        let fail = |reason: String| StoreError::Open {
            path: path.clone(),
            reason,
        };
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(|error| fail(error.to_string()))?;
        }
        let mut writer = connect(&path).map_err(|error| fail(error.to_string()))?;
        if let Some(found) = schema::migrate(&mut writer)? {
            return Err(StoreError::Newer {
                path,
                found,
                known: schema::VERSION,
            });
        }
        let reader = connect(&path).map_err(|error| fail(error.to_string()))?;
        reader.pragma_update(None, "query_only", true)?;
        let writes = AtomicU64::new(u64::from(rows::occupied(&reader)?));
        let (writer, reader) = (Mutex::new(writer), Mutex::new(reader));
        Ok(Self {
            inner: Arc::new(Inner {
                path,
                writer,
                waiting: Mutex::default(),
                turn: Arc::default(),
                reader,
                writes,
                empty_at: AtomicU64::new(0),
            }),
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// The files that belong to the store at `path`: the database and what SQLite keeps beside it,
    /// and the lock of the one that runs the flow, in the order in which they are moved or removed:
    /// without the database, the rest is nothing.
    pub fn files(path: &Path) -> [PathBuf; 4] {
        ["-shm", "-wal", "", LOCK].map(|end| beside(path, end))
    }

    /// The file of those whose lock says who runs the flow.
    pub fn lock_file(path: &Path) -> PathBuf {
        beside(path, LOCK)
    }

    /// Becomes the one that runs the flow.
    ///
    /// # Errors
    /// [`Error::Running`] where another worker has it; [`Error::Store`] where the lock file can't be
    /// made.
    pub fn lock(&self) -> Result<Lock, Error> {
        let path = Self::lock_file(&self.inner.path);
        let fail = |error: std::io::Error| {
            Error::Store(StoreError::Open {
                path: path.clone(),
                reason: error.to_string(),
            })
        };
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(fail)?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::Running(path)),
            Err(TryLockError::Error(error)) => Err(fail(error)),
        }
    }

    /// Whether a worker runs the flow whose store is at `path` right now. Makes nothing where there
    /// is none.
    pub fn is_running(path: &Path) -> bool {
        // The look takes the lock for a moment; who is refused in it looks again.
        File::open(Self::lock_file(path))
            .is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
    }

    /// Runs one write transaction off the async threads.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        tokio::task::spawn_blocking(move || store.write_now(work))
            .await
            .map_err(|error| StoreError::Thread(error.to_string()))?
    }

    /// Runs one read off the async threads.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        tokio::task::spawn_blocking(move || store.read_now(work))
            .await
            .map_err(|error| StoreError::Thread(error.to_string()))?
    }

    /// As [`write`](Self::write), on this thread.
    pub(crate) fn write_now<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut connection = hold(&self.inner.writer);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let result = work(&transaction)?;
        transaction.commit()?;
        Ok(result)
    }

    /// As [`read`](Self::read), on this thread.
    pub(crate) fn read_now<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        work(&hold(&self.inner.reader))
    }

    /// Whether retry, dead letters or pending outcomes may have rows.
    pub(crate) fn is_occupied(&self) -> bool {
        self.writes() != self.inner.empty_at.load(Ordering::Acquire)
    }

    fn writes(&self) -> u64 {
        self.inner.writes.load(Ordering::Acquire)
    }

    fn note_write(&self) {
        self.inner.writes.fetch_add(1, Ordering::AcqRel);
    }

    fn note_empty(&self, at: u64) {
        self.inner.empty_at.store(at, Ordering::Release);
    }
}

/// The file whose name is that of `path` with `end` behind it.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(end);
    path.into()
}

/// A panic inside a transaction rolled it back; the connection is whole.
fn hold<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::Store;
    use crate::error::{Error, StoreError};

    #[test]
    fn one_worker_at_a_time_but_anyone_may_look() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("flows/poll/mail.db");
        let store = Store::open(&path).unwrap();
        let lock = store.lock().unwrap();
        let other = Store::open(&path).unwrap();
        assert!(matches!(other.lock(), Err(Error::Running(_))));
        assert!(Store::is_running(&path));
        drop(lock);
        assert!(!Store::is_running(&path));
        other.lock().unwrap();
    }

    #[test]
    fn the_files_of_a_store_are_all_there_are_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mail.db");
        assert!(!Store::is_running(&path));
        let store = Store::open(&path).unwrap();
        let lock = store.lock().unwrap();
        let mut found: Vec<_> = std::fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        found.sort();
        let mut files = Store::files(&path).to_vec();
        files.sort();
        assert_eq!(found, files);
        assert!(files.contains(&Store::lock_file(&path)));
        drop(lock);
    }

    #[test]
    fn a_store_of_a_newer_version_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mail.db");
        let store = Store::open(&path).unwrap();
        store
            .write_now(|transaction| {
                transaction.execute("UPDATE meta SET value = 99", [])?;
                Ok(())
            })
            .unwrap();
        let error = Store::open(&path).unwrap_err();
        assert!(
            matches!(error, StoreError::Newer { found: 99, .. }),
            "{error}"
        );
    }

    #[test]
    fn what_is_no_store_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mail.db");
        std::fs::write(
            &path,
            "this is a text, and long enough not to be an empty database",
        )
        .unwrap();
        let error = Store::open(&path).unwrap_err().to_string();
        assert!(error.contains("mail.db"), "{error}");
    }
}
