//! What the threads of one watch share, and how a directory gets its watch.
//!
//! Locks are taken in the order tree, pending, or tree, closed; none is held while files are read.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flow_runtime::ports::Failure;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use tokio::sync::Notify;

use super::closed::Closed;
use super::pending::{Moment, Pending};
use super::queue::Queue;
use super::tree::{Entered, Tree, Wd};
use crate::announce::Announcer;

/// No modifications, openings or attributes: one event for each file that is done.
const MASK: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::EXCL_UNLINK);

/// What is told and not announced yet, at most; then it is dropped and looked for again.
pub(crate) const PENDING: usize = if cfg!(test) { 2_000 } else { 100_000 };

/// What a scan is to announce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Announce {
    /// Nothing: directories get their watches.
    Nothing,
    /// What changed since, in nanoseconds since 1970.
    Since(i128),
    /// Everything.
    All,
}

/// Work for the scanner.
#[derive(Debug)]
pub(crate) enum Job {
    /// All roots.
    Whole(Announce),
    /// What was lost is looked for: as `Whole(Since(…))`, and vanished directories are told.
    Recover(i128),
    /// A directory that came here.
    Branch { parent: Option<Wd>, path: PathBuf },
    /// One that could not be read, or not all of it.
    Opened { parent: Option<Wd>, path: PathBuf },
}

#[derive(Debug, Default)]
pub(crate) struct Jobs {
    pub(crate) waiting: VecDeque<Job>,
    pub(crate) working: bool,
    /// What is safe does not advance beyond this while jobs are outstanding; none: nothing is safe.
    pub(crate) since: Option<i128>,
}

impl Jobs {
    pub(crate) fn idle(&self) -> bool {
        self.waiting.is_empty() && !self.working
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) roots: Vec<PathBuf>,
    pub(crate) announcer: Arc<Announcer>,
    pub(crate) inotify: OwnedFd,
    pub(crate) bell: OwnedFd,
    pub(crate) tree: Mutex<Tree>,
    pub(crate) pending: Mutex<Pending>,
    pub(crate) queue: Queue,
    pub(crate) jobs: Mutex<Jobs>,
    pub(crate) jobs_changed: Condvar,
    /// Rung when there may be something to gather.
    pub(crate) notify: Notify,
    pub(crate) closed: Mutex<Closed>,
    pub(crate) trouble: Mutex<Option<Failure>>,
    pub(crate) stop: AtomicBool,
    /// Tests say here that the kernel lost events.
    pub(crate) overflow: AtomicBool,
}

impl Shared {
    pub(crate) fn new(
        roots: Vec<PathBuf>,
        announcer: Arc<Announcer>,
        settle: Duration,
    ) -> Result<Self, Failure> {
        let bell = || eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC);
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).map_err(
            |errno| match errno {
                // The same number for two limits; but only one of them is about other files too.
                Errno::MFILE if bell().is_ok() => no_more_instances(),
                errno => Failure::temporary(format!("inotify can't be used: {errno}")),
            },
        )?;
        let bell =
            bell().map_err(|errno| Failure::temporary(format!("no event descriptor: {errno}")))?;
        Ok(Self {
            roots,
            announcer,
            inotify,
            bell,
            tree: Mutex::default(),
            pending: Mutex::new(Pending::new(settle, Moment::now())),
            queue: Queue::default(),
            jobs: Mutex::default(),
            jobs_changed: Condvar::new(),
            notify: Notify::new(),
            closed: Mutex::default(),
            trouble: Mutex::new(None),
            stop: AtomicBool::new(false),
            overflow: AtomicBool::new(false),
        })
    }

    pub(crate) fn tree(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn closed(&self) -> MutexGuard<'_, Closed> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Ends the threads, soon.
    pub(crate) fn close(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.queue.close();
        drop(self.jobs());
        self.jobs_changed.notify_all();
        self.ring();
    }

    /// Wakes the thread that listens to the kernel.
    pub(crate) fn ring(&self) {
        // It can only fail by being rung already.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }

    /// Gives the scanner something to do; what happened after `since` is not safe until it is done.
    pub(crate) fn give(&self, job: Job, since: Option<i128>) {
        let mut jobs = self.jobs();
        jobs.since = if jobs.idle() && self.queue.is_empty() {
            since
        } else {
            jobs.since.zip(since).map(|(a, b)| a.min(b))
        };
        jobs.waiting.push_back(job);
        self.jobs_changed.notify_all();
    }

    /// Events were lost, from `since` on: everything is looked at again.
    pub(crate) fn recover(&self, since: i128, reason: &str) {
        tracing::warn!(
            reason,
            "Not everything that happened was seen; the tree is looked at again. Changed and new \
             files will be announced, some perhaps twice; removals of files meanwhile will not."
        );
        let mut jobs = self.jobs();
        // One that has not begun will see all that is to be seen.
        let found = jobs.waiting.iter_mut().find_map(|job| match job {
            Job::Recover(other) => Some(other),
            _ => None,
        });
        if let Some(other) = found {
            *other = since.min(*other);
            return;
        }
        drop(jobs);
        self.give(Job::Recover(since), Some(since));
    }

    /// Something that a person has to see to; the next gather fails with it.
    pub(crate) fn fail(&self, failure: Failure) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
        self.notify.notify_one();
    }

    /// Watches a directory. None: it is not there (any more), or may not be read, which is said once.
    pub(crate) fn enter(
        &self,
        path: &Path,
        parent: Option<Wd>,
        name: &OsStr,
        only: Option<&OsStr>,
        follow: bool,
    ) -> Option<Entered> {
        let mask = if follow {
            MASK
        } else {
            MASK | WatchFlags::DONT_FOLLOW
        };
        let mut tree = self.tree();
        match inotify::add_watch(&self.inotify, path, mask) {
            Ok(wd) => return Some(tree.enter(wd, parent, name, only)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::STALE) => {}
            Err(errno @ (Errno::ACCESS | Errno::PERM)) => {
                let error = io::Error::from(errno);
                self.announcer.warn_unreadable(path, &error);
                // Those given to be watched are tried by themselves.
                if only.is_none() && !self.roots.iter().any(|root| root == path) {
                    self.closed().insert((parent, name.to_owned()));
                }
            }
            Err(Errno::NOSPC) => {
                let number = tree.len();
                drop(tree);
                self.no_more_watches(path, number);
            }
            Err(errno) => {
                drop(tree);
                let what = path.display();
                self.fail(Failure::temporary(format!("can't watch `{what}`: {errno}")));
            }
        }
        None
    }

    /// The kernel refuses another watch.
    pub(crate) fn no_more_watches(&self, path: &Path, number: usize) {
        self.fail(Failure::Config(format!(
            "no more inotify watches for this user after {number} directories here: `{}` and others \
             are not watched; raise the limit with `sysctl fs.inotify.max_user_watches={}`, or set \
             `force_polling: true`",
            path.display(),
            (number * 2).next_power_of_two().max(524_288),
        )));
    }

    /// Watches the directory that a root is in, to see it come and go, for that name alone. A root
    /// that has none, or one that may not be read, is watched by itself.
    pub(crate) fn anchor(&self, root: &Path) -> Option<Wd> {
        let (parent, name) = (root.parent()?, root.file_name()?);
        let metadata = rustix::fs::access(parent, rustix::fs::Access::READ_OK);
        if metadata.is_err() {
            return None;
        }
        match self.enter(parent, None, parent.as_os_str(), Some(name), true)? {
            Entered::New(wd) | Entered::Known(wd) | Entered::Seen(wd) | Entered::Moved(wd, _) => {
                Some(wd)
            }
        }
    }

    /// Looks whether every root is the directory that is watched, and has the others scanned.
    pub(crate) fn check_roots(&self) {
        if !self.jobs().idle() {
            return;
        }
        for root in &self.roots {
            if !root.is_dir() {
                self.anchor(root);
                continue;
            }
            let anchor = self.anchor(root);
            let name = match anchor {
                Some(_) => root.file_name().unwrap_or(root.as_os_str()),
                None => root.as_os_str(),
            };
            let before = anchor.and_then(|anchor| self.tree().child(anchor, name));
            if let Some(Entered::New(wd)) = self.enter(root, anchor, name, None, true) {
                let now = Moment::now();
                self.tree().forget(wd);
                if let Some(before) = before.filter(|before| *before != wd) {
                    self.unwatch(before);
                    self.pending().remove(root.clone(), true, now);
                }
                let path = root.clone();
                let parent = anchor;
                self.give(Job::Branch { parent, path }, Some(now.wall));
            }
        }
    }

    /// Stops watching a directory and what is below it.
    pub(crate) fn unwatch(&self, wd: Wd) {
        let mut tree = self.tree();
        for wd in tree.below(wd) {
            // It may be gone already.
            let _ = inotify::remove_watch(&self.inotify, wd);
            tree.forget(wd);
        }
    }
}

/// The kernel refuses another listener; each watch has one.
fn no_more_instances() -> Failure {
    let limit = std::fs::read_to_string("/proc/sys/fs/inotify/max_user_instances").ok();
    let limit: Option<u32> = limit.and_then(|text| text.trim().parse().ok());
    let more = limit.unwrap_or_default().saturating_mul(4).max(1024);
    Failure::Config(format!(
        "no more inotify instances for this user: nothing is watched; each watch takes one, so raise \
         the limit with `sysctl fs.inotify.max_user_instances={more}` and `flow reload`, or set \
         `force_polling: true`",
    ))
}
