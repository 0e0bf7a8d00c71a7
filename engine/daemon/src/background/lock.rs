//! The lock that makes the background process the only one of its state directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::Error;

/// How often it is looked whether a killed process is gone, and for how long.
const GONE_LOOK: Duration = Duration::from_millis(10);
const GONE_LOOKS: u32 = 1000;

/// Held by the background process; given up when dropped, also by a kill.
#[derive(Debug)]
pub struct Lock {
    // Kept for its lock, which the system releases when the file is closed.
    _file: File,
}

impl Lock {
    /// Takes the lock and writes down this process's id.
    ///
    /// # Errors
    /// [`Error::Served`] where another process has it; [`Error::File`] where the file can't be made.
    pub fn take(path: &Path) -> Result<Self, Error> {
        let fail = |source: io::Error| Error::File {
            path: path.to_owned(),
            source,
        };
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(fail)?;
        }
        let mut file = open(path).map_err(fail)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Served {
                    pid: pid(&mut file),
                });
            }
            Err(TryLockError::Error(error)) => return Err(fail(error)),
        }
        let written = file
            .set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(fail)?;
        Ok(Self { _file: file })
    }
}

/// The process that holds the lock at `path`, if one does; without a number while it is starting.
pub fn holder(path: &Path) -> Option<Option<u32>> {
    let mut file = File::open(path).ok()?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Some(pid(&mut file)),
        _ => None,
    }
}

/// Kills the process that holds the lock at `path`, for it does not answer any more, and waits until
/// it is gone. Nothing is lost: what was in hand is done again.
///
/// # Errors
/// Its id is not known, it is somebody else's, or it does not go.
pub fn kill(path: &Path) -> io::Result<()> {
    send(path, Signal::KILL)?;
    // The system closes the files of the dead one by one.
    for _ in 0..GONE_LOOKS {
        if holder(path).is_none() {
            return Ok(());
        }
        std::thread::park_timeout(GONE_LOOK);
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// Asks the process that holds the lock at `path` to drain and end, where it can't be asked in words.
///
/// # Errors
/// Its id is not known, or it is somebody else's.
pub fn terminate(path: &Path) -> io::Result<()> {
    send(path, Signal::TERM)
}

fn send(path: &Path, signal: Signal) -> io::Result<()> {
    let Some(holder) = holder(path) else {
        return Ok(());
    };
    let number = holder.filter(|number| has_open(*number, path));
    let pid = number.and_then(|number| Pid::from_raw(i32::try_from(number).ok()?));
    let pid = pid.ok_or_else(|| {
        io::Error::other("its process id is not known here; it may belong to another container")
    })?;
    Ok(kill_process(pid, signal)?)
}

/// Whether the process that holds the lock at `path` is one that a command started, so that a command
/// may replace it; not so `flow run`, which belongs to whoever waits for it, and not so one whose
/// command line can't be read here.
pub fn is_ours(path: &Path) -> bool {
    let number = holder(path).flatten();
    let number = number.filter(|number| has_open(*number, path));
    let line = number.and_then(|number| std::fs::read(format!("/proc/{number}/cmdline")).ok());
    line.is_some_and(|line| line.split(|byte| *byte == 0).nth(1) == Some(b"background"))
}

/// Whether a process has this file open. The number was written by whoever holds the lock, which
/// may call its processes by other numbers than we do.
fn has_open(number: u32, path: &Path) -> bool {
    let Ok(wanted) = std::fs::metadata(path) else {
        return false;
    };
    let files = std::fs::read_dir(format!("/proc/{number}/fd"));
    files.into_iter().flatten().flatten().any(|file| {
        std::fs::metadata(file.path())
            .is_ok_and(|found| found.ino() == wanted.ino() && found.dev() == wanted.dev())
    })
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

fn pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_at_a_time() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state/flow.lock");
        assert_eq!(holder(&path), None);
        let lock = Lock::take(&path).expect("it is free");
        let us = Some(std::process::id());
        assert_eq!(holder(&path), Some(us));
        assert!(has_open(std::process::id(), &path));
        assert!(!is_ours(&path), "a test is no background process");
        assert!(matches!(Lock::take(&path), Err(Error::Served { pid }) if pid == us));
        drop(lock);
        assert!(!has_open(std::process::id(), &path));
        assert!(kill(&path).is_ok(), "nobody is there to be killed");
        // What a killed process left behind is no lock.
        assert!(path.exists());
        assert_eq!(holder(&path), None);
        Lock::take(&path).expect("it is free again");
    }
}
