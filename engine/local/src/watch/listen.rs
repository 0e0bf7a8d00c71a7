//! The thread that listens to the kernel: raw events to happenings.
//!
//! It never waits for anything but the kernel, so that the kernel's queue (16 384 events unless
//! `fs.inotify.max_queued_events` says otherwise) drains while the flow is busy or its broker away.
//!
//! A directory made while watching is watched and listed before any further event is looked at: what
//! was made in it before its watch is found by that, what is made after is told, and what is both is
//! joined in [`Pending`](super::pending::Pending).

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use flow_runtime::ports::Failure;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, ReadFlags};
use rustix::io::Errno;

use super::pending::Moment;
use super::shared::{Job, PENDING, Shared};
use super::tree::{Entered, Wd};
use crate::announce::{UNSURE, is_gone};

/// How long the first half of a rename waits for the second once nothing else happens. The kernel
/// puts both into the queue in one go, with hardly anything in between.
const PAIR: Duration = Duration::from_millis(10);
/// And when other things happen all the time.
const PAIR_BUSY: Duration = Duration::from_millis(500);
/// How long a file that was there whole when it was made known is waited for to be closed; it may
/// have been linked into place (`O_TMPFILE`), and then never is.
const LINKED: Duration = Duration::from_secs(2);
/// Names that could not be looked at, at most.
const UNSEEN: usize = 10_000;
/// A removal that was told is kept through a loss; but not more of them than this.
const KEPT: usize = 10 * PENDING;

/// Something that left its name and may turn up under another.
struct Left {
    cookie: u32,
    parent: Wd,
    name: OsString,
    directory: bool,
    at: Moment,
}

pub(crate) struct Listener {
    shared: Arc<Shared>,
    left: Vec<Left>,
    /// New directories that could not be listed under the name they had: something above was renamed
    /// meanwhile, of which the kernel will tell, and they are looked at again then.
    unlisted: HashSet<Wd>,
    /// The same for directories that could not even be entered, by the one they are in,
    unentered: Vec<(Wd, OsString)>,
    /// and for names that are no directories.
    unseen: Vec<PathBuf>,
}

impl Listener {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            left: Vec::new(),
            unlisted: HashSet::new(),
            unentered: Vec::new(),
            unseen: Vec::new(),
        }
    }

    /// Until the watch is closed.
    pub(crate) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut buffer = vec![MaybeUninit::<u8>::uninit(); 64 << 10];
        let mut reader = inotify::Reader::new(&shared.inotify, &mut buffer);
        while !shared.stopped() {
            let mut now = Moment::now();
            loop {
                match reader.next() {
                    Ok(event) => {
                        let name = event.file_name();
                        let name = name.map(|name| OsStr::from_bytes(name.to_bytes()));
                        self.event(event.wd(), event.events(), event.cookie(), name, now);
                    }
                    Err(Errno::AGAIN) => break,
                    Err(Errno::INTR) => {}
                    Err(errno) => {
                        shared.fail(Failure::Permanent(format!(
                            "the kernel's events can't be read: {errno}"
                        )));
                        return;
                    }
                }
                if reader.is_buffer_empty() {
                    now = Moment::now();
                    self.expire(now, PAIR_BUSY);
                }
            }
            if shared.overflow.swap(false, Ordering::Relaxed) {
                self.overflowed();
            }
            self.expire(now, PAIR);
            self.bound();
            if self.left.is_empty() {
                // All that was renamed has been told of.
                self.unlisted.clear();
                self.unentered.clear();
                self.unseen.clear();
            }
            shared.pending().set_quiet(true, now);
            shared.notify.notify_one();
            self.sleep();
            shared.pending().set_quiet(false, Moment::now());
        }
    }

    /// Until there is something to read, to do, or to give up.
    fn sleep(&self) {
        let now = Instant::now();
        let oldest = self.left.iter().map(|left| left.at.steady).min();
        let timeout = oldest.map(|at| {
            let wait = (at + PAIR).saturating_duration_since(now) + Duration::from_millis(1);
            Timespec::try_from(wait).expect("a few milliseconds fit a timespec")
        });
        let mut descriptors = [
            PollFd::new(&self.shared.inotify, PollFlags::IN),
            PollFd::new(&self.shared.bell, PollFlags::IN),
        ];
        if poll(&mut descriptors, timeout.as_ref()).is_ok() && !descriptors[1].revents().is_empty()
        {
            let _ = rustix::io::read(&self.shared.bell, &mut [0; 8]);
        }
    }

    fn event(&mut self, wd: Wd, events: ReadFlags, cookie: u32, name: Option<&OsStr>, now: Moment) {
        if events.contains(ReadFlags::QUEUE_OVERFLOW) {
            self.overflowed();
            return;
        }
        if events.contains(ReadFlags::IGNORED) {
            self.shared.tree().forget(wd);
            return;
        }
        if events.contains(ReadFlags::MOVE_SELF) {
            // Others are told of by the directory they are in.
            if self.shared.tree().is_root(wd) {
                self.shared.unwatch(wd);
            }
            return;
        }
        let Some(name) = name else { return };
        let path = {
            let tree = self.shared.tree();
            match tree.path(wd) {
                Some(directory) if tree.wants(wd, name) => directory.join(name),
                _ => return,
            }
        };
        let directory = events.contains(ReadFlags::ISDIR);
        if events.contains(ReadFlags::MOVED_TO) {
            self.arrived(wd, name, path, cookie, directory, now);
            return;
        }
        self.settle_name(wd, name);
        if events.contains(ReadFlags::MOVED_FROM) {
            self.left.push(Left {
                cookie,
                parent: wd,
                name: name.to_owned(),
                directory,
                at: now,
            });
        } else if events.contains(ReadFlags::CREATE) {
            if directory {
                self.made(wd, name, path, now);
            } else {
                self.created(path, false, now);
            }
        } else if events.contains(ReadFlags::CLOSE_WRITE) {
            self.shared.pending().write(path, false, now);
        } else if events.contains(ReadFlags::DELETE) {
            self.shared.pending().remove(path, directory, now);
        }
    }

    /// A name is used again: what left it before is not coming back under another.
    fn settle_name(&mut self, wd: Wd, name: &OsStr) {
        if self.left.is_empty() {
            return;
        }
        let gone = |left: &mut Left| left.parent == wd && left.name == name;
        let gone: Vec<Left> = self.left.extract_if(.., gone).collect();
        gone.iter().for_each(|left| self.gone(left));
    }

    fn expire(&mut self, now: Moment, patience: Duration) {
        if self.left.is_empty() {
            return;
        }
        let late = |left: &mut Left| now.steady.duration_since(left.at.steady) >= patience;
        let gone: Vec<Left> = self.left.extract_if(.., late).collect();
        gone.iter().for_each(|left| self.gone(left));
    }

    /// Moved out of what is watched.
    fn gone(&self, left: &Left) {
        let (directory, child) = {
            let tree = self.shared.tree();
            (tree.path(left.parent), tree.child(left.parent, &left.name))
        };
        if left.directory
            && let Some(child) = child
        {
            self.shared.unwatch(child);
        }
        if let Some(directory) = directory {
            let path = directory.join(&left.name);
            self.shared.pending().remove(path, left.directory, left.at);
        }
    }

    /// Something got this name by being moved.
    fn arrived(
        &mut self,
        wd: Wd,
        name: &OsStr,
        path: PathBuf,
        cookie: u32,
        directory: bool,
        now: Moment,
    ) {
        let Some(at) = self.left.iter().position(|left| left.cookie == cookie) else {
            self.settle_name(wd, name);
            self.came(wd, path, directory, now);
            return;
        };
        let left = self.left.swap_remove(at);
        if !self.shared.announcer.options.events.rename {
            // As if it had left for where nobody looks, and come from there.
            self.gone(&left);
            self.settle_name(wd, name);
            self.came(wd, path, directory, now);
            return;
        }
        let (from, child) = {
            let tree = self.shared.tree();
            let from = tree.path(left.parent).map(|path| path.join(&left.name));
            (from, tree.child(left.parent, &left.name))
        };
        let Some(from) = from else {
            self.came(wd, path, directory, now);
            return;
        };
        if directory {
            if let Some(child) = child {
                self.shared.tree().rename(child, wd, name);
            }
            self.shared
                .pending()
                .rename(from.clone(), path.clone(), true, now);
            // It may have been renamed before its watch was set, or be another by now.
            let entered = self.shared.enter(&path, Some(wd), name, None, false);
            if let Some(Entered::New(wd)) = entered {
                self.list(wd, path.clone(), now);
            }
            self.look_again(&from, &path, now);
        } else {
            let open = {
                let mut pending = self.shared.pending();
                let open = pending.is_open(&from);
                pending.rename(from, path.clone(), false, now);
                open
            };
            if open {
                // A link, perhaps: it was gone from its first name when that was looked at.
                self.created(path, true, now);
            }
        }
    }

    /// A directory has another name now, and what could not be seen below the old one is seen below
    /// the new one.
    fn look_again(&mut self, from: &Path, to: &Path, now: Moment) {
        for wd in std::mem::take(&mut self.unlisted) {
            let path = self.shared.tree().path(wd);
            if let Some(path) = path {
                self.list(wd, path, now);
            }
        }
        for (parent, name) in std::mem::take(&mut self.unentered) {
            let path = self.shared.tree().path(parent);
            let Some(path) = path.map(|path| path.join(&name)) else {
                continue;
            };
            match self.shared.enter(&path, Some(parent), &name, None, false) {
                Some(Entered::New(wd)) => {
                    self.shared.pending().mkdir(path.clone(), now);
                    self.list(wd, path, now);
                }
                Some(_) => {}
                None => self.missed(parent, name),
            }
        }
        for path in std::mem::take(&mut self.unseen) {
            match path.strip_prefix(from) {
                Ok(below) => self.created(to.join(below), true, now),
                Err(_) => self.unseen.push(path),
            }
        }
    }

    /// Something came from elsewhere. A whole directory may be large, so others look at it.
    fn came(&self, parent: Wd, path: PathBuf, directory: bool, now: Moment) {
        if directory {
            let parent = Some(parent);
            self.shared
                .give(Job::Branch { parent, path }, Some(now.wall));
        } else {
            self.shared.pending().write(path, false, now);
        }
    }

    /// A name that is no directory was made. `renamed`: and has this name since, so that its inode
    /// changed for that.
    fn created(&mut self, path: PathBuf, renamed: bool, now: Moment) {
        let looked = fs::symlink_metadata(&path);
        if let Err(error) = &looked
            && !is_gone(error)
        {
            let mut pending = self.shared.pending();
            pending.opened(path.clone(), now);
            pending.hold(path, now.steady + LINKED, (true, true, true), now);
            return;
        }
        let Ok(metadata) = looked else {
            // Removed or renamed by now: until the kernel tells, it counts as being written.
            self.shared.pending().opened(path.clone(), now);
            if self.unseen.len() < UNSEEN {
                self.unseen.push(path);
            }
            return;
        };
        if metadata.is_symlink() {
            self.follow(&path, now);
            self.shared.pending().write(path, true, now);
        } else if metadata.is_file() {
            let changed = (metadata.ctime(), metadata.ctime_nsec());
            let written = (metadata.mtime(), metadata.mtime_nsec());
            let linked = metadata.len() > 0 && changed > written && !renamed;
            let mut pending = self.shared.pending();
            if metadata.nlink() > 1 || linked {
                // Linked into place: nobody will close it.
                pending.write(path, true, now);
                return;
            }
            pending.opened(path.clone(), now);
            if metadata.len() > 0 {
                pending.hold(path, now.steady + LINKED, (true, true, true), now);
            }
        }
    }

    /// What a link leads to is watched and announced as well, where that is wanted.
    fn follow(&self, link: &Path, now: Moment) {
        if !self.shared.announcer.options.follow_symlinks {
            return;
        }
        let Ok(target) = link.canonicalize() else {
            return;
        };
        if target.is_dir() {
            let (parent, path) = (None, target);
            self.shared
                .give(Job::Branch { parent, path }, Some(now.wall));
        } else {
            self.shared.pending().write(target, false, now);
        }
    }

    /// A directory was made.
    fn made(&mut self, parent: Wd, name: &OsStr, path: PathBuf, now: Moment) {
        match self.shared.enter(&path, Some(parent), name, None, false) {
            Some(Entered::New(wd)) => {
                self.shared.pending().mkdir(path.clone(), now);
                self.list(wd, path, now);
            }
            // It was seen by listing the directory it is in; or has yet another name by now, of
            // which the kernel will tell.
            Some(_) => {}
            // Renamed or gone by now, or closed to us; either will be told, so this is too.
            None => {
                self.shared.pending().mkdir(path, now);
                self.missed(parent, name.to_owned());
            }
        }
    }

    fn missed(&mut self, parent: Wd, name: OsString) {
        if self.unentered.len() < UNSEEN {
            self.unentered.push((parent, name));
        }
    }

    /// What is in a directory that got its watch just now, down to the last.
    fn list(&mut self, wd: Wd, path: PathBuf, now: Moment) {
        let mut stack = vec![(wd, path)];
        while let Some((wd, directory)) = stack.pop() {
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    self.unlisted.insert(wd);
                    continue;
                }
                Err(error) => {
                    self.shared.announcer.warn_unreadable(&directory, &error);
                    self.shared.unlisted(wd);
                    continue;
                }
            };
            for entry in entries.flatten() {
                let Ok(kind) = entry.file_type() else {
                    continue;
                };
                let (path, name) = (entry.path(), entry.file_name());
                if kind.is_dir() {
                    let entered = self.shared.enter(&path, Some(wd), &name, None, false);
                    match entered {
                        Some(Entered::New(wd)) => {
                            self.shared.pending().mkdir(path.clone(), now);
                            stack.push((wd, path));
                        }
                        Some(_) => {}
                        None => self.missed(wd, name),
                    }
                } else if kind.is_symlink() {
                    self.follow(&path, now);
                    self.shared.pending().write(path, true, now);
                } else if kind.is_file() {
                    let due = Instant::now() + UNSURE;
                    let since = Moment {
                        steady: Instant::now(),
                        wall: now.wall,
                    };
                    self.shared
                        .pending()
                        .hold(path, due, (true, true, true), since);
                }
            }
        }
    }

    /// The kernel's queue was full and it dropped events.
    fn overflowed(&mut self) {
        for left in std::mem::take(&mut self.left) {
            self.gone(&left);
        }
        let now = Moment::now();
        let since = self.shared.pending().quiet_at().wall;
        self.shared.recover(
            since.min(now.wall),
            "more happened at once than the kernel keeps (fs.inotify.max_queued_events)",
        );
    }

    /// Keeps memory bounded while nobody gathers.
    fn bound(&self) {
        let mut pending = self.shared.pending();
        if pending.len() < PENDING || (pending.shed_len() < PENDING && pending.len() < KEPT) {
            return;
        }
        let since = pending.safe(Moment::now());
        pending.shed();
        let lost = if pending.len() >= KEPT {
            pending.clear()
        } else {
            0
        };
        drop(pending);
        if lost > 0 {
            tracing::warn!(
                lost,
                "Removals and renames waited in too large a number and will not be announced."
            );
        }
        self.shared
            .recover(since, "more happened than is kept while the flow is busy");
    }
}
