//! Whose turn it is to write, among processes.
//!
//! SQLite lets one process write at a time, but its waiting is a lottery: a process that commits back
//! to back leaves a gap of microseconds, and one that looks for it every millisecond may starve.
//! Two file locks make a queue of it: a writer takes `next`, then `write`, then lets go of `next`. One
//! that has just written finds `next` held by whoever waits, and comes after it.
//!
//! This is for fairness alone; SQLite's own lock is what protects the data. Where the file system has
//! no locks, everyone simply goes ahead.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Kind};

/// Between two looks at a lock that another process holds.
const LOOK: Duration = Duration::from_micros(300);

/// The two lock files.
#[derive(Debug)]
pub(super) struct Turn {
    next: File,
    write: File,
    patience: Duration,
    database: std::path::PathBuf,
}

/// The right to write, until dropped.
#[derive(Debug)]
pub(super) struct Held<'a>(&'a File);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // A lock that could not be taken can't be let go either; nothing hangs on it.
        let _ = self.0.unlock();
    }
}

impl Turn {
    /// Uses two files in `directory`; waits for at most `patience`.
    pub(super) fn open(
        directory: &Path,
        database: &Path,
        patience: Duration,
    ) -> Result<Self, Error> {
        let open = |name| {
            let path = directory.join(name);
            File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
                .map_err(|error| Error::file(&path, &error))
        };
        Ok(Self {
            next: open("turn.next")?,
            write: open("turn.write")?,
            patience,
            database: database.to_owned(),
        })
    }

    /// Waits for the turn. Blocks the thread.
    pub(super) fn take(&self) -> Result<Held<'_>, Error> {
        let until = Instant::now() + self.patience;
        let _next = self.lock(&self.next, until)?;
        self.lock(&self.write, until)
    }

    fn lock<'a>(&self, file: &'a File, until: Instant) -> Result<Held<'a>, Error> {
        loop {
            match file.try_lock() {
                Ok(()) | Err(TryLockError::Error(_)) => return Ok(Held(file)),
                Err(TryLockError::WouldBlock) if Instant::now() >= until => return Err(self.busy()),
                Err(TryLockError::WouldBlock) => thread::park_timeout(LOOK),
            }
        }
    }

    fn busy(&self) -> Error {
        Error::new(
            Kind::Busy,
            format!(
                "another process has been writing to `{}` for {:?} without an end; nothing of this call \
                 was stored; it will be tried again; look for a stopped or hanging `flow`",
                self.database.display(),
                self.patience
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_turn_that_never_ends_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let first = Turn::open(path, path, Duration::from_millis(20)).unwrap();
        let second = Turn::open(path, path, Duration::from_millis(20)).unwrap();
        let held = first.take().unwrap();
        assert_eq!(second.take().map(|_| ()).unwrap_err().kind(), Kind::Busy);
        drop(held);
        second.take().unwrap();
    }

    #[test]
    fn one_that_waits_comes_before_one_that_returns() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_owned();
        let busy = Turn::open(&path, &path, Duration::from_secs(10)).unwrap();
        let (waiting, began) = mpsc::channel();
        let held = busy.take().unwrap();
        let other = thread::spawn(move || {
            let turn = Turn::open(&path, &path, Duration::from_secs(10)).unwrap();
            waiting.send(()).unwrap();
            drop(turn.take().unwrap());
        });
        began.recv().unwrap();
        drop(held);
        // However often the busy one comes back, the other gets through.
        let mut rounds = 0u64;
        while !other.is_finished() {
            drop(busy.take().unwrap());
            rounds += 1;
            assert!(rounds < 1_000_000, "the other one starves");
        }
        other.join().unwrap();
    }
}
