//! Who is alive: each process that consumes holds a lock on a file of its own.
//!
//! The operating system lets go of the lock when the process ends, however it ends, and tells watchers
//! of the directory that the file was closed. So a dead process is known within moments, without
//! reading process tables, across containers that share the directory, and with no danger from reused
//! process ids.
//!
//! # Invariants
//! - A file is locked before its name is written to the database, and its name is never used again:
//!   a file that is unlocked or missing, and whose name is in the database, belongs to the dead.

use std::collections::HashSet;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Error;

const SUFFIX: &str = ".lock";

/// The lock of this process, or rather of one open broker in it.
#[derive(Debug)]
pub(super) struct Alive {
    name: String,
    path: PathBuf,
    _locked: File,
}

impl Alive {
    /// Makes and locks a file that nobody had before; `now` is part of its name.
    pub(super) fn claim(directory: &Path, now: i64) -> Result<Self, Error> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("{:x}-{now:x}-{count:x}", std::process::id());
            let path = path_of(directory, &name);
            let file = match File::options().write(true).create_new(true).open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(Error::file(&path, &error)),
            };
            // Without locks on this file system the heartbeat has to do.
            let _ = file.lock();
            // A sweep may have come between making and locking.
            if path.exists() {
                return Ok(Self {
                    name,
                    path,
                    _locked: file,
                });
            }
        }
    }

    /// The name others know it by.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        // What stays behind is swept later.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What an open broker is known by to other processes, once it consumes.
///
/// Shared with the writer, so that the lock outlives everything that holds a lease.
#[derive(Debug, Clone, Default)]
pub(super) struct Client(Arc<Mutex<Option<Alive>>>);

impl Client {
    /// The name, if there is one already.
    pub(super) fn name(&self) -> Option<String> {
        self.lock().as_ref().map(|alive| alive.name().to_owned())
    }

    /// The name, with the lock that stands for it.
    pub(super) fn claim(&self, directory: &Path, now: i64) -> Result<String, Error> {
        let mut alive = self.lock();
        if alive.is_none() {
            *alive = Some(Alive::claim(directory, now)?);
        }
        Ok(alive.as_ref().expect("it was set above").name().to_owned())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Alive>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the file is a lock of this module.
pub(super) fn is_lock(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.ends_with(SUFFIX))
}

/// Whether the process of that name is dead; none if the file system can't tell.
pub(super) fn is_dead(directory: &Path, name: &str) -> Option<bool> {
    let Ok(file) = File::open(path_of(directory, name)) else {
        return Some(true);
    };
    // Shared, so that two who look at the same time don't take each other for the owner.
    match file.try_lock_shared() {
        Ok(()) => Some(true),
        Err(TryLockError::WouldBlock) => Some(false),
        Err(TryLockError::Error(_)) => None,
    }
}

/// Removes those lock files among `files` that belong to the dead, except of clients whose leases are
/// still to be released.
pub(super) fn sweep(files: &[PathBuf], known: &HashSet<String>) {
    for path in files.iter().filter(|path| is_lock(path)) {
        let name = path.file_stem().and_then(|name| name.to_str());
        if name.is_none_or(|name| known.contains(name)) {
            continue;
        }
        if let Ok(file) = File::open(path)
            && file.try_lock().is_ok()
        {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn path_of(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}{SUFFIX}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dead_are_told_from_the_living() {
        let directory = tempfile::tempdir().unwrap();
        let alive = Alive::claim(directory.path(), 1).unwrap();
        let other = Alive::claim(directory.path(), 1).unwrap();
        assert_ne!(alive.name(), other.name());
        assert_eq!(is_dead(directory.path(), alive.name()), Some(false));
        let name = other.name().to_owned();
        drop(other);
        assert_eq!(is_dead(directory.path(), &name), Some(true));
        assert_eq!(is_dead(directory.path(), "never-was"), Some(true));
    }

    #[test]
    fn a_sweep_takes_what_is_unlocked_and_unknown() {
        let directory = tempfile::tempdir().unwrap();
        let alive = Alive::claim(directory.path(), 1).unwrap();
        for name in ["left", "owes"] {
            std::fs::write(path_of(directory.path(), name), "").unwrap();
        }
        let files: Vec<_> = std::fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        sweep(&files, &HashSet::from(["owes".to_owned()]));
        assert!(path_of(directory.path(), alive.name()).exists());
        assert!(!path_of(directory.path(), "left").exists());
        assert!(path_of(directory.path(), "owes").exists());
    }
}
