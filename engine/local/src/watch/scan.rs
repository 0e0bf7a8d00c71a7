//! The thread that looks at trees: sets watches, and finds what nobody told of.
//!
//! It sets the watch of a directory before it lists it, so that nothing falls in between, and streams
//! what it finds into a bounded queue.

use std::ffi::OsString;
use std::fs::{self, DirEntry, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use super::pending::Moment;
use super::queue::Pushed;
use super::shared::{Announce, Job, Shared};
use super::tree::{Entered, Wd};
use crate::announce::{Op, Work, is_gone};

/// Looked at from a little earlier: file times advance in steps, and an event takes a while.
const SLACK: Duration = Duration::from_secs(2);
/// The coarsest steps in which a file system stamps files.
const STEP: i128 = 2_000_000_000;

pub(crate) struct Scanner {
    shared: Arc<Shared>,
}

/// A directory to be entered.
struct Visit {
    parent: Option<Wd>,
    name: OsString,
    path: PathBuf,
    announce: Announce,
    follow: bool,
    /// Whether or not it was seen in this round.
    again: bool,
}

impl Scanner {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Until the watch is closed.
    pub(crate) fn run(self) {
        while let Some(job) = self.next() {
            match job {
                Job::Whole(announce) => self.whole(announce, announce),
                Job::Recover(since) => {
                    self.shared.tree().round += 1;
                    self.whole(Announce::Since(before(since)), Announce::All);
                    if !self.shared.stopped() {
                        self.vanished();
                    }
                }
                Job::Branch { parent, path } => self.branch(parent, path, false),
                Job::Opened { parent, path } => self.branch(parent, path, true),
            }
            let mut jobs = self.shared.jobs();
            jobs.working = false;
            self.shared.jobs_changed.notify_all();
            drop(jobs);
            self.shared.notify.notify_one();
        }
    }

    fn next(&self) -> Option<Job> {
        let mut jobs = self.shared.jobs();
        loop {
            if self.shared.stopped() {
                return None;
            }
            if let Some(job) = jobs.waiting.pop_front() {
                jobs.working = true;
                return Some(job);
            }
            jobs = self
                .shared
                .jobs_changed
                .wait(jobs)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// All roots. `new`: what is announced of directories that were not watched before.
    fn whole(&self, announce: Announce, new: Announce) {
        for root in &self.shared.roots {
            let Ok(metadata) = fs::metadata(root) else {
                self.shared.anchor(root);
                tracing::warn!(
                    path = %root.display(),
                    "A path to be watched is not there; it will be watched once it is."
                );
                continue;
            };
            let parent = self.shared.anchor(root);
            if !metadata.is_dir() {
                if parent.is_none() {
                    tracing::warn!(
                        path = %root.display(),
                        "A file can't be watched, because the directory it is in can't be read."
                    );
                }
                self.found(root.clone(), &metadata, announce);
                continue;
            }
            let name = match parent {
                Some(_) => root.file_name().unwrap_or(root.as_os_str()),
                None => root.as_os_str(),
            };
            let visit = Visit {
                parent,
                name: name.to_owned(),
                path: root.clone(),
                announce,
                follow: true,
                again: false,
            };
            self.walk(visit, new);
        }
    }

    fn branch(&self, parent: Option<Wd>, path: PathBuf, again: bool) {
        let name = match parent {
            Some(_) => path.file_name().unwrap_or(path.as_os_str()).to_owned(),
            None => path.clone().into_os_string(),
        };
        let follow = self.shared.roots.contains(&path);
        let visit = Visit {
            parent,
            name,
            path,
            announce: Announce::All,
            follow,
            again,
        };
        self.walk(visit, Announce::All);
    }

    fn walk(&self, first: Visit, new: Announce) {
        let mut stack = vec![first];
        while let Some(visit) = stack.pop() {
            if self.shared.stopped() {
                return;
            }
            let entered =
                self.shared
                    .enter(&visit.path, visit.parent, &visit.name, None, visit.follow);
            let (wd, announce) = match entered {
                Some(Entered::New(wd)) => {
                    let new = came(&visit, new);
                    if self.wants_directory(&visit.path, new) {
                        self.push(visit.path.clone(), Op::Mkdir);
                    }
                    (wd, new)
                }
                Some(Entered::Known(wd)) => (wd, visit.announce),
                Some(Entered::Seen(wd)) if visit.again => (wd, visit.announce),
                Some(Entered::Moved(wd, old)) => {
                    let (path, now) = (visit.path.clone(), Moment::now());
                    if self.shared.announcer.options.events.rename {
                        self.shared.pending().rename(old, path, true, now);
                        (wd, visit.announce)
                    } else {
                        self.shared.pending().remove(old, true, now);
                        self.push(path, Op::Mkdir);
                        (wd, Announce::All)
                    }
                }
                // Below another path, or through another link; or the kernel told of it.
                Some(Entered::Seen(_)) | None => continue,
            };
            let entries = match fs::read_dir(&visit.path) {
                Ok(entries) => entries,
                Err(error) => {
                    self.shared.announcer.warn_unreadable(&visit.path, &error);
                    self.shared.unlisted(wd);
                    continue;
                }
            };
            for entry in entries.flatten() {
                if self.shared.stopped() {
                    return;
                }
                self.entry(&entry, (wd, announce), &mut stack);
            }
        }
    }

    fn entry(&self, entry: &DirEntry, (wd, announce): (Wd, Announce), stack: &mut Vec<Visit>) {
        let Ok(kind) = entry.file_type() else {
            return;
        };
        if kind.is_dir() {
            stack.push(Visit {
                parent: Some(wd),
                name: entry.file_name(),
                path: entry.path(),
                announce,
                follow: false,
                again: false,
            });
            return;
        }
        if !kind.is_file() && !kind.is_symlink() {
            return;
        }
        let path = entry.path();
        if kind.is_symlink()
            && self.shared.announcer.options.follow_symlinks
            && let Ok(target) = path.canonicalize()
        {
            if target.is_dir() {
                stack.push(Visit {
                    parent: None,
                    name: target.clone().into_os_string(),
                    path: target,
                    announce,
                    follow: false,
                    again: false,
                });
            } else if let Ok(metadata) = fs::metadata(&target) {
                self.found(target, &metadata, announce);
            }
        }
        match announce {
            Announce::Nothing => {}
            Announce::All => self.push(path, FOUND),
            Announce::Since(_) => match entry.metadata() {
                Ok(metadata) => self.found(path, &metadata, announce),
                Err(error) if is_gone(&error) => {}
                Err(error) => {
                    self.shared.announcer.warn_unreadable(&path, &error);
                    self.shared.unlisted(wd);
                }
            },
        }
    }

    fn found(&self, path: PathBuf, metadata: &Metadata, announce: Announce) {
        let wanted = match announce {
            Announce::Nothing => false,
            Announce::All => true,
            Announce::Since(since) => changed(metadata) >= since,
        };
        if wanted {
            self.push(path, FOUND);
        }
    }

    fn wants_directory(&self, path: &Path, announce: Announce) -> bool {
        match announce {
            Announce::Nothing => false,
            Announce::All => true,
            Announce::Since(since) => {
                fs::symlink_metadata(path).is_ok_and(|metadata| made_since(&metadata, since))
            }
        }
    }

    fn push(&self, path: PathBuf, op: Op) {
        if self.shared.queue.push(Work { path, op }) == Pushed::First {
            self.shared.notify.notify_one();
        }
    }

    /// Directories that were watched and are not there any more.
    fn vanished(&self) {
        let unseen = self.shared.tree().unseen();
        for (wd, path) in unseen {
            if path.is_dir() {
                // Made or moved here meanwhile, or not to be read: the kernel tells of the former.
                continue;
            }
            self.shared.unwatch(wd);
            self.shared.pending().remove(path, true, Moment::now());
        }
    }
}

/// What is announced of a directory that was not watched before. One that was moved here while nobody
/// watched has old files in it, and only its own inode tells: making or removing entries sets both of
/// its times, a rename (and `chmod`, and setting a time) only that of the last change.
fn came(visit: &Visit, announce: Announce) -> Announce {
    let announce = match (visit.announce, announce) {
        // What is in a directory that came, came.
        (Announce::All, _) => Announce::All,
        (_, announce) => announce,
    };
    let Announce::Since(since) = announce else {
        return announce;
    };
    let metadata = if visit.follow {
        fs::metadata(&visit.path)
    } else {
        fs::symlink_metadata(&visit.path)
    };
    let moved = metadata.is_ok_and(|metadata| {
        let written = (metadata.mtime(), metadata.mtime_nsec());
        changed(&metadata) >= since && (metadata.ctime(), metadata.ctime_nsec()) != written
    });
    if moved { Announce::All } else { announce }
}

/// The time of the last change of any kind, a rename included: it can't be set. Where a file system
/// has whole seconds only, the latest that it may have been.
pub(crate) fn changed(metadata: &Metadata) -> i128 {
    let nanoseconds = match metadata.ctime_nsec() {
        0 => STEP - 1,
        exact => i128::from(exact),
    };
    i128::from(metadata.ctime()) * 1_000_000_000 + nanoseconds
}

/// The time that a file changed now is stamped with: the kernel's clock for that advances in steps of
/// some milliseconds, and stands behind others.
pub(crate) fn stamp() -> i128 {
    let now = clock_gettime(ClockId::RealtimeCoarse);
    i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)
}

/// Whether a directory was made at that time or later; it does not say when it got its name.
pub(crate) fn made_since(metadata: &Metadata, since: i128) -> bool {
    let made = metadata.created().ok();
    let made = made.and_then(|made| made.duration_since(UNIX_EPOCH).ok());
    made.is_some_and(|made| i128::try_from(made.as_nanos()).is_ok_and(|at| at >= since))
}

const FOUND: Op = Op::Write {
    new: true,
    unsure: true,
};

/// The time before which a restarted watch need not look.
pub(crate) fn before(since: i128) -> i128 {
    since - i128::try_from(SLACK.as_nanos()).unwrap_or_default()
}
