//! Announcing what happens below directories: the kind `watch`.
//!
//! Two ways to know. By default the kernel tells (inotify): a file is announced milliseconds after it
//! is closed, and an idle watch costs nothing. With `force_polling` the tree is walked every `sleep`
//! and compared with what the flow's state remembers; that works where the kernel does not tell
//! (network file systems, changes made by other machines) and forgets nothing.
//!
//! inotify is used directly and not through `notify`, whose Linux side subscribes to every opening
//! and modification of every file, looks for directories to add only when it has read all events,
//! does not list what is in them by then, knows a directory by the name it had when it was added,
//! takes the watches of a renamed one away and sets new ones, and drops errors of added ones.
//!
//! # What is announced
//! - A file when it is closed after writing, moved here, or linked here. Several closes within the
//!   settle time are one announcement. Changes of attributes alone (`chmod`, `touch -d`) are none.
//! - Symbolic links, directories, removals; a rename as one message with the old name. What left the
//!   watched trees is removed; of a directory that left, only it itself. Polling sees a rename as a
//!   removal and a new file.
//! - Paths that do not exist yet are watched once they do, and again after they were removed.
//!
//! # What is promised
//! Every file that is closed while the watch runs is announced at least once with the content it then
//! has, however many directories are made and filled at once. A file whose making was not seen (in a
//! directory that was new, or during a scan) is announced once it was left alone for 250 ms, and
//! again when it is closed later and has changed; `fileAgeMin` holds such files back longer. Where
//! events are lost (the kernel's queue overflows, or more than 100 000 wait for a busy flow) the tree
//! is looked at again and every file whose inode changed since is announced, some perhaps twice;
//! removals of files during the loss are not.
//!
//! What may not be looked at, because a directory above it is closed to us, is tried again every second
//! and until then counts as not announced, over restarts too. A directory that may not be read is tried
//! again as well, and once it may, everything in it counts as new.
//!
//! # After a stop or a crash
//! What was gathered is the loop's to keep. What happened while nothing ran:
//!
//! | | `post_on_start` off | on |
//! | --- | --- | --- |
//! | inotify | files whose inode changed since the last thing gathered (or the last housekeeping), and everything in directories that were moved here; not removals | everything there is |
//! | polling | everything new, changed and removed | everything there is, and removals |
//!
//! A directory that was moved here is known by its inode having changed later than its entries, which
//! `chmod` and `touch -d` do as well: then what is in it is announced once more. The remaining limit: a
//! directory that was moved here *and* in which something was made or removed directly afterwards, all
//! while nothing ran, is like one that was here before, and old files in it are not announced.
//!
//! At the very first start, `post_on_start` off announces what was made or changed since the watch
//! itself was made, which is before its flow says that it has started: whoever writes a file then need
//! not know when the tree is looked through. What is remembered is one time stamp for inotify, and for
//! polling one row for about a thousand files, written in the transaction that settles them: a crash at
//! any instant repeats announcements and loses none.

mod closed;
mod kernel;
mod listen;
mod memory;
mod pending;
mod poll;
mod queue;
mod recent;
mod scan;
mod shared;
#[cfg(test)]
mod tests;
mod tree;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_runtime::ports::{Callback, EntryPoints, Failure, Gathered, State};
use tokio::sync::Notify;

use crate::announce::Announcer;
use crate::options::Announcing;
use kernel::Kernel;
use poll::Poller;

/// What is announced of what is there already when the watch starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStart {
    /// Nothing, whatever happened meanwhile.
    Nothing,
    /// What changed since the flow ran last, or at the first time since it was started:
    /// `post_on_start: false`.
    Changed,
    /// All of it: `post_on_start: true`.
    Everything,
}

/// What to watch.
#[derive(Debug, Clone)]
pub struct WatchOptions {
    /// The callback's name in logs and keys; `watch`.
    pub name: String,
    /// `path`: directories and files. They need not exist.
    pub paths: Vec<PathBuf>,
    /// How what happens becomes messages.
    pub announcing: Announcing,
    /// `post_on_start`.
    pub on_start: OnStart,
    /// `force_polling`: walk every `sleep`, rather than being told by the kernel.
    pub force_polling: bool,
    /// How long a path has to be left alone before it is announced, so that writing a file several
    /// times, or under a temporary name, is one message. [`WatchOptions::SETTLE`] by default.
    pub settle: Duration,
}

impl WatchOptions {
    /// Covers a close and the rename to the final name that follows it.
    pub const SETTLE: Duration = Duration::from_millis(5);

    /// sr3's defaults, for these paths.
    pub fn new(paths: Vec<PathBuf>, announcing: Announcing) -> Self {
        Self {
            name: "watch".to_owned(),
            paths,
            announcing,
            on_start: OnStart::Changed,
            force_polling: false,
            settle: Self::SETTLE,
        }
    }
}

/// Gathers what happens below paths.
#[derive(Debug)]
pub struct Watch {
    name: String,
    roots: Vec<PathBuf>,
    on_start: OnStart,
    settle: Duration,
    announcer: Arc<Announcer>,
    mode: Mode,
    /// When it was made, as files are stamped; see [`scan::stamp`].
    made: i128,
}

#[derive(Debug)]
enum Mode {
    /// Not asked yet; whether to poll.
    Waiting(bool),
    Kernel(Box<Kernel>),
    Polling(Poller),
}

impl Watch {
    /// Touches nothing but what `realpathPost` resolves. What happens from now on is announced.
    ///
    /// # Errors
    /// `Config`: a path can't be announced or resolved, or there is none.
    pub fn new(options: WatchOptions) -> Result<Self, Failure> {
        let mut roots = Vec::new();
        for path in &options.paths {
            let root = options.announcing.resolve(path).map_err(|error| {
                let path = path.display();
                Failure::Config(format!("`{path}` can't be watched: {error}"))
            })?;
            let naming = &options.announcing.naming;
            if let Err(error) = naming.rel_path(&root) {
                return Err(Failure::Config(format!(
                    "what happens there could not be announced: {error}"
                )));
            }
            if !roots.contains(&root) {
                roots.push(root);
            }
        }
        if roots.is_empty() {
            return Err(Failure::Config(
                "there is nothing to watch: name directories or files with `path`".to_owned(),
            ));
        }
        Ok(Self {
            name: options.name,
            roots,
            on_start: options.on_start,
            settle: options.settle,
            announcer: Arc::new(Announcer::new(options.announcing)),
            mode: Mode::Waiting(options.force_polling),
            made: scan::stamp(),
        })
    }

    #[cfg(test)]
    pub(crate) fn kernel(&self) -> &Kernel {
        match &self.mode {
            Mode::Kernel(kernel) => kernel,
            other => panic!("not told by the kernel: {other:?}"),
        }
    }

    fn begin(&mut self, state: &dyn State) -> Result<(), Failure> {
        let Mode::Waiting(polling) = self.mode else {
            return Ok(());
        };
        let (roots, announcer) = (self.roots.clone(), Arc::clone(&self.announcer));
        self.mode = if polling {
            Mode::Polling(Poller::new(roots, announcer, self.on_start, self.made))
        } else {
            let start = (self.on_start, self.made);
            let kernel = Kernel::start(roots, announcer, start, self.settle, state)?;
            Mode::Kernel(Box::new(kernel))
        };
        Ok(())
    }
}

#[async_trait]
impl Callback for Watch {
    fn name(&self) -> &str {
        &self.name
    }

    fn entry_points(&self) -> EntryPoints {
        EntryPoints {
            lifecycle: true,
            gather: true,
            wake: true,
            ..EntryPoints::default()
        }
    }

    /// What happened, oldest first; what a scan found comes after what was told.
    ///
    /// The first one returns when everything is watched, or after a second. Nothing is watched before
    /// it: only one of several instances gathers.
    ///
    /// # Errors
    /// `Config`: the kernel refuses more watches; the message names the limit to raise.
    async fn gather(&mut self, limit: usize, state: Arc<dyn State>) -> Result<Gathered, Failure> {
        self.begin(&*state)?;
        match &mut self.mode {
            Mode::Waiting(_) => Ok(Gathered::default()),
            Mode::Kernel(kernel) => kernel.gather(limit.max(1), &*state).await,
            Mode::Polling(poller) => poller.gather(limit.max(1), state).await,
        }
    }

    async fn wait(&mut self, timeout: Duration, wanted: Arc<Notify>) -> Result<bool, Failure> {
        match &mut self.mode {
            Mode::Waiting(_) => Ok(true),
            Mode::Kernel(kernel) => Ok(kernel.wait(timeout, &wanted).await),
            Mode::Polling(poller) if poller.is_walking() => Ok(true),
            Mode::Polling(_) => {
                tokio::select! {
                    () = wanted.notified() => {}
                    () = tokio::time::sleep(timeout) => {}
                }
                Ok(false)
            }
        }
    }

    /// Notes until when nothing was missed, so that a restart after a quiet time looks back less far.
    async fn housekeeping(&mut self, state: Arc<dyn State>) -> Result<(), Failure> {
        match &mut self.mode {
            Mode::Kernel(kernel) => kernel.note(&*state),
            Mode::Waiting(_) | Mode::Polling(_) => Ok(()),
        }
    }

    async fn stop(&mut self) {
        if let Mode::Kernel(kernel) = &mut self.mode {
            kernel.stop().await;
        }
    }
}
