//! A log file that starts anew when it is large, and every day; some old ones are kept.
//!
//! `x.log` is written; `x.log.1` is the one before it, and so on.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Zoned;
use jiff::civil::Date;

/// What of a log is kept.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Bytes from which a new file is begun.
    size: u64,
    /// Old files.
    kept: u32,
}

/// Enough for a week of an ordinary flow, and no danger to a small disk.
const LIMITS: Limits = Limits {
    size: 20 << 20,
    kept: 5,
};

/// A log being written. Opens nothing before the first line.
#[derive(Debug)]
pub(super) struct Rotated {
    path: PathBuf,
    limits: Limits,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    size: u64,
    /// Of its last line.
    day: Date,
}

/// Where the `number`th old file of a log is.
pub(crate) fn older(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

impl Rotated {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            limits: LIMITS,
            open: None,
        }
    }

    /// Adds whole lines. What can't be written is lost.
    pub(super) fn write(&mut self, now: &Zoned, text: &str) {
        let today = now.date();
        let full = self.open.as_ref().is_some_and(|open| {
            open.size >= self.limits.size || (open.size > 0 && open.day != today)
        });
        if full {
            self.rotate();
        }
        if self.open.is_none() {
            self.open = open(&self.path, now);
            let stale = self
                .open
                .as_ref()
                .is_some_and(|open| open.size > 0 && open.day != today);
            if stale {
                self.rotate();
                self.open = open(&self.path, now);
            }
        }
        let Some(open) = &mut self.open else {
            return;
        };
        // One write per line, so that lines of two writers don't mix.
        let mut line = text.to_owned();
        if !line.ends_with('\n') {
            line.push('\n');
        }
        if open.file.write_all(line.as_bytes()).is_ok() {
            open.size += line.len() as u64;
        }
        open.day = today;
    }

    fn rotate(&mut self) {
        self.open = None;
        for number in (1..self.limits.kept).rev() {
            // Where there is none, there is nothing to move.
            let _ = fs::rename(older(&self.path, number), older(&self.path, number + 1));
        }
        let _ = fs::rename(&self.path, older(&self.path, 1));
    }
}

fn open(path: &Path, now: &Zoned) -> Option<Open> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).ok()?;
    }
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        // Names of files and of mails are nobody else's business.
        .mode(0o600)
        .open(path)
        .ok()?;
    let about = file.metadata().ok()?;
    let modified = about.modified().ok();
    let day = modified.and_then(|time| jiff::Timestamp::try_from(time).ok());
    let day = day.map_or(now.date(), |time| {
        time.to_zoned(now.time_zone().clone()).date()
    });
    Some(Open {
        file,
        size: about.len(),
        day,
    })
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).expect("readable").flatten();
        let mut names: Vec<_> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_large_log_starts_anew_and_old_ones_are_dropped() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("poll/a.log");
        let mut log = Rotated::new(path.clone());
        log.limits = Limits { size: 10, kept: 2 };
        let now = Zoned::now();
        for number in 0..5 {
            log.write(&now, &format!("line number {number}"));
        }
        let place = path.parent().expect("it has one");
        assert_eq!(names(place), ["a.log", "a.log.1", "a.log.2"]);
        let read = |path: &Path| fs::read_to_string(path).expect("readable");
        assert_eq!(read(&path), "line number 4\n");
        assert_eq!(read(&older(&path, 2)), "line number 2\n");
    }

    #[test]
    fn a_new_day_has_a_new_log_also_after_a_restart() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.log");
        let now = Zoned::now();
        let tomorrow = now.checked_add(1.day()).expect("it comes");
        let mut log = Rotated::new(path.clone());
        log.write(&now, "one");
        log.write(&now, "two");
        assert_eq!(names(directory.path()), ["a.log"]);
        log.write(&tomorrow, "three");
        assert_eq!(names(directory.path()), ["a.log", "a.log.1"]);
        let after = now.checked_add(2.days()).expect("it comes");
        let mut log = Rotated::new(path);
        log.write(&after, "four");
        assert_eq!(names(directory.path()), ["a.log", "a.log.1", "a.log.2"]);
    }
}
