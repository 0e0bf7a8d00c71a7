//! From works to messages: looks at files, hashes them on several threads, keeps their order.
//!
//! A file is looked at when its message is made, not when it was found: what has vanished since is
//! not announced, and what has grown is announced as it is.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt as _, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use flow_message::{FileOp, Identity, Message, Timestamp};
use rand::seq::SliceRandom as _;

use crate::identity;
use crate::options::{Announcing, Digest, NamingError};

/// How long a file that may still be written has to be left alone before it is announced.
pub(crate) const UNSURE: Duration = Duration::from_millis(250);
/// How often a file is hashed again because it changed meanwhile.
const HASH_TRIES: u32 = 3;
/// Pages of fewer works are made by the calling thread: starting others costs more than it saves.
const ALONE: usize = 8;
/// Most threads hashing one page.
const THREADS: usize = 8;
/// Warnings about single paths that are remembered in order not to repeat them.
const WARNED: usize = 10_000;

/// What happened to a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Op {
    /// There is content, or a link.
    Write {
        /// The name is new, as far as is known.
        new: bool,
        /// It may still be written.
        unsure: bool,
    },
    /// It is gone.
    Remove { directory: bool },
    /// A directory was made.
    Mkdir,
    /// It had another name.
    Rename { from: PathBuf, directory: bool },
}

/// One thing to be announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) path: PathBuf,
    pub(crate) op: Op,
}

/// What became of a work.
#[derive(Debug)]
pub(crate) enum Made {
    Message {
        message: Box<Message>,
        /// What tells the same content from other content; none where nothing does.
        print: Option<Print>,
    },
    /// Of no interest.
    Nothing,
    /// It is not there: removed, or renamed.
    Vanished,
    /// It is there and no message can be made of it; the log says why.
    Impossible,
    /// Too young, or being written: again after this time.
    Later(Duration),
    /// It may not even be looked at now, because of a directory above it; the log says so once.
    Closed,
}

/// Recognises a file that was announced as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Print {
    pub(crate) hash: u64,
    /// So fresh that it may change once more without looking different.
    pub(crate) racy: bool,
}

/// Makes messages.
#[derive(Debug)]
pub(crate) struct Announcer {
    pub(crate) options: Announcing,
    threads: usize,
    warned: Mutex<HashSet<u64>>,
}

impl Announcer {
    pub(crate) fn new(options: Announcing) -> Self {
        // Reading waits as well as hashing computes, so there are more threads than processors.
        let threads = std::thread::available_parallelism().map_or(2, |number| number.get() * 2);
        Self {
            options,
            threads: threads.min(THREADS),
            warned: Mutex::default(),
        }
    }

    /// Makes messages of works, in order, for about as long as `patience`; at least one is made.
    /// Returns how many were dealt with.
    pub(crate) fn page(&self, works: &[Work], patience: Duration) -> Vec<Made> {
        let deadline = Instant::now() + patience;
        if works.len() <= ALONE || identity::computed(&self.options.digest).is_none() {
            let mut buffer = Vec::new();
            let mut made = Vec::with_capacity(works.len());
            for work in works {
                if !made.is_empty() && Instant::now() > deadline {
                    break;
                }
                made.push(self.make(work, &mut buffer));
            }
            return made;
        }
        let next = AtomicUsize::new(0);
        let labour = || {
            let mut buffer = Vec::new();
            let mut made = Vec::new();
            while next.load(Ordering::Relaxed) == 0 || Instant::now() <= deadline {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(work) = works.get(index) else { break };
                made.push((index, self.make(work, &mut buffer)));
            }
            made
        };
        let span = tracing::Span::current();
        // What is taken is made, so the indices have no hole.
        let mut all: Vec<(usize, Made)> = std::thread::scope(|scope| {
            let helpers: Vec<_> = (1..self.threads.min(works.len() / 4))
                .map(|_| scope.spawn(|| span.in_scope(labour)))
                .collect();
            let mut all = labour();
            for helper in helpers {
                match helper.join() {
                    Ok(made) => all.extend(made),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            all
        });
        all.sort_unstable_by_key(|(index, _)| *index);
        all.into_iter().map(|(_, made)| made).collect()
    }

    /// Mixes a page, if that is wanted. What has a `fileOp` keeps its place.
    pub(crate) fn mix(&self, messages: &mut [Message]) {
        if !self.options.randomize {
            return;
        }
        for run in messages.chunk_by_mut(|a, b| a.file_op.is_none() && b.file_op.is_none()) {
            run.shuffle(&mut rand::rng());
        }
    }

    fn make(&self, work: &Work, buffer: &mut Vec<u8>) -> Made {
        let path = &work.path;
        if self.options.naming.is_base(path) {
            // It has no name below itself.
            return Made::Nothing;
        }
        let made = match &work.op {
            Op::Write { new, unsure } => self.write(path, *new, *unsure, None, buffer),
            Op::Remove { directory } => self.remove(path, *directory),
            Op::Mkdir => self.mkdir(path, None),
            Op::Rename { from, directory } => self.rename(path, from, *directory, buffer),
        };
        match made {
            Ok(made) => made,
            Err(Trouble::Unnamable(error)) => {
                if self.first_time(path) {
                    tracing::warn!(reason = %error, "Something can't be announced and is left out.");
                }
                Made::Impossible
            }
            Err(Trouble::Unreadable(error)) if is_gone(&error) => Made::Vanished,
            Err(Trouble::Unreadable(error)) => {
                self.warn_unreadable(path, &error);
                let closed = error.kind() == io::ErrorKind::PermissionDenied
                    || fs::symlink_metadata(path).is_err_and(|error| !is_gone(&error));
                if closed {
                    Made::Closed
                } else {
                    Made::Impossible
                }
            }
        }
    }

    /// Says once that a path can't be read.
    pub(crate) fn warn_unreadable(&self, path: &Path, error: &io::Error) {
        if self.first_time(path) {
            tracing::warn!(
                path = %path.display(),
                reason = %error,
                "Something can't be read; it and what is below it are not announced until it can."
            );
        }
    }

    fn first_time(&self, path: &Path) -> bool {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.len() >= WARNED {
            warned.clear();
        }
        warned.insert(hash_of(path))
    }

    fn message(&self, path: &Path) -> Result<Message, NamingError> {
        let naming = &self.options.naming;
        let rel_path = naming.rel_path(path)?;
        Ok(Message::new(now(), naming.base_url(), rel_path))
    }

    fn remove(&self, path: &Path, directory: bool) -> Result<Made, Trouble> {
        let events = &self.options.events;
        if !(if directory {
            events.rmdir
        } else {
            events.delete
        }) {
            return Ok(Made::Nothing);
        }
        let mut message = self.message(path)?;
        // When it vanished, so that removing the same name again is another happening.
        message.mtime = Some(message.pub_time);
        message.file_op = Some(FileOp {
            remove: true,
            directory,
            ..FileOp::default()
        });
        Ok(plain(message))
    }

    fn mkdir(&self, path: &Path, from: Option<String>) -> Result<Made, Trouble> {
        if !self.options.events.mkdir {
            return Ok(Made::Nothing);
        }
        let mut message = self.message(path)?;
        let mut print = None;
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                describe(&mut message, &metadata);
                print = from.is_none().then_some(Print {
                    hash: metadata.ino(),
                    racy: false,
                });
            }
            // A rename happened, whatever came after it.
            _ if from.is_some() => {}
            Ok(_) => return Ok(Made::Nothing),
            Err(error) => return Err(Trouble::Unreadable(error)),
        }
        message.content_type = Some("text/directory".to_owned());
        message.file_op = Some(FileOp {
            directory: true,
            rename: from,
            ..FileOp::default()
        });
        Ok(Made::Message {
            message: Box::new(message),
            print,
        })
    }

    fn rename(
        &self,
        path: &Path,
        from: &Path,
        directory: bool,
        buffer: &mut Vec<u8>,
    ) -> Result<Made, Trouble> {
        let old = match self.options.naming.rel_path(from) {
            Ok(old) => old,
            // Nobody was told of the old name, so the new one is all there is to say.
            Err(_) if directory => return self.mkdir(path, None),
            Err(_) => return self.write(path, true, false, None, buffer),
        };
        let announced = if directory {
            self.mkdir(path, Some(old))
        } else {
            self.write(path, true, false, Some(old), buffer)
        };
        match announced {
            // Not wanted, or unnamable: but the old name is gone.
            Ok(Made::Nothing) | Err(Trouble::Unnamable(_)) => self.remove(from, directory),
            other => other,
        }
    }

    fn write(
        &self,
        path: &Path,
        new: bool,
        unsure: bool,
        from: Option<String>,
        buffer: &mut Vec<u8>,
    ) -> Result<Made, Trouble> {
        let mut message = self.message(path)?;
        let renamed = from.is_some();
        let events = self.options.events;
        let wanted = if new { events.create } else { events.modify } || (renamed && events.modify);
        let metadata = match fs::symlink_metadata(path) {
            Ok(metadata) => metadata,
            Err(_) if renamed && wanted => {
                // Renamed once more, or removed: who has the old file can follow nevertheless.
                message.file_op = operation(from, None);
                return Ok(plain(message));
            }
            Err(error) => return Err(Trouble::Unreadable(error)),
        };
        if !renamed && metadata.is_file() {
            match self.age(&metadata, unsure) {
                Age::Fits => {}
                Age::TooOld => return Ok(Made::Nothing),
                Age::TooYoung(wait) => return Ok(Made::Later(wait)),
            }
        }
        if metadata.is_symlink() {
            if !events.link {
                return Ok(Made::Nothing);
            }
            let target = fs::read_link(path).map_err(Trouble::Unreadable)?;
            let Some(text) = target.to_str() else {
                return Err(Trouble::Unnamable(NamingError::NotText(target)));
            };
            message.mtime = Some(mtime(&metadata));
            message.content_type = Some("text/link".to_owned());
            let print = print(&metadata, text);
            message.file_op = operation(from, Some(text.to_owned()));
            return Ok(Made::Message {
                message: Box::new(message),
                print: Some(print),
            });
        }
        if !metadata.is_file() || !wanted {
            return Ok(Made::Nothing);
        }
        let content = self.content(path, metadata, buffer)?;
        if unsure && !content.stable {
            return Ok(Made::Later(UNSURE));
        }
        describe(&mut message, &content.metadata);
        message.size = Some(content.metadata.len());
        let known = content.identity.as_ref().map_or("", |known| &known.value);
        let print = print(&content.metadata, known);
        let racy = print.racy && identity::computed(&self.options.digest).is_none();
        message.identity = content.identity;
        message.file_op = operation(from, None);
        Ok(Made::Message {
            message: Box::new(message),
            print: (self.options.digest != Digest::Random).then_some(Print { racy, ..print }),
        })
    }

    fn age(&self, metadata: &Metadata, unsure: bool) -> Age {
        let options = &self.options;
        let (now, mtime) = (now(), mtime(metadata));
        let age = mtime.age_at(now);
        if !options.file_age_max.is_zero() && age > options.file_age_max {
            return Age::TooOld;
        }
        // A time in the future says nothing about when it was written.
        let known = mtime <= now;
        let least = if unsure && known {
            options.file_age_min.max(UNSURE)
        } else {
            options.file_age_min
        };
        if age >= least {
            return Age::Fits;
        }
        Age::TooYoung((least - age).max(Duration::from_millis(1)))
    }

    /// Hashes a file, if that is wanted, and sees to it that the digest is about what is described.
    fn content(
        &self,
        path: &Path,
        metadata: Metadata,
        buffer: &mut Vec<u8>,
    ) -> Result<Content, Trouble> {
        let Some(method) = identity::computed(&self.options.digest) else {
            return Ok(Content {
                metadata,
                identity: identity::without_content(&self.options.digest),
                stable: true,
            });
        };
        let on_download = || Identity {
            method: "cod".to_owned(),
            value: method.to_owned(),
        };
        let mut before = metadata;
        for _ in 0..HASH_TRIES {
            // Should it have become a pipe or a link meanwhile, opening it neither waits nor follows.
            let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
            let opened = fs::OpenOptions::new()
                .read(true)
                .custom_flags(flags.bits().cast_signed())
                .open(path);
            let mut file = match opened {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    if self.first_time(path) {
                        tracing::warn!(
                            path = %path.display(),
                            "A file can't be read; it is announced without a digest, for the receiver to compute."
                        );
                    }
                    return Ok(Content {
                        metadata: before,
                        identity: Some(on_download()),
                        stable: true,
                    });
                }
                Err(error) => return Err(Trouble::Unreadable(error)),
            };
            before = file.metadata().map_err(Trouble::Unreadable)?;
            if self.options.xattr != crate::Xattr::Off
                && let Some(identity) = identity::cached(&file, method, mtime(&before))
            {
                return Ok(Content {
                    metadata: before,
                    identity: Some(identity),
                    stable: true,
                });
            }
            let identity = identity::compute(&mut file, &self.options.digest, buffer)
                .map_err(Trouble::Unreadable)?;
            let after = file.metadata().map_err(Trouble::Unreadable)?;
            if same(&before, &after) {
                if let (crate::Xattr::ReadWrite, Some(identity)) = (self.options.xattr, &identity) {
                    identity::remember(&file, identity, mtime(&after));
                }
                return Ok(Content {
                    metadata: after,
                    identity,
                    stable: true,
                });
            }
            before = after;
        }
        Ok(Content {
            metadata: before,
            identity: Some(on_download()),
            stable: false,
        })
    }
}

/// What is known of a file's content.
struct Content {
    metadata: Metadata,
    identity: Option<Identity>,
    /// It did not change while it was looked at.
    stable: bool,
}

enum Age {
    Fits,
    TooOld,
    TooYoung(Duration),
}

enum Trouble {
    Unnamable(NamingError),
    Unreadable(io::Error),
}

impl From<NamingError> for Trouble {
    fn from(error: NamingError) -> Self {
        Self::Unnamable(error)
    }
}

/// There is nothing of that name.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

pub(crate) fn hash_of(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

fn print(metadata: &Metadata, known: &str) -> Print {
    let mut hasher = DefaultHasher::new();
    (metadata.ino(), metadata.len(), known).hash(&mut hasher);
    (metadata.mtime(), metadata.mtime_nsec()).hash(&mut hasher);
    Print {
        hash: hasher.finish(),
        // The kernel's file times advance in steps of up to 10 ms.
        racy: mtime(metadata).age_at(now()) < Duration::from_millis(20),
    }
}

fn same(before: &Metadata, after: &Metadata) -> bool {
    let of = |metadata: &Metadata| (metadata.len(), metadata.mtime(), metadata.mtime_nsec());
    of(before) == of(after)
}

fn plain(message: Message) -> Made {
    Made::Message {
        message: Box::new(message),
        print: None,
    }
}

fn operation(from: Option<String>, link: Option<String>) -> Option<FileOp> {
    (from.is_some() || link.is_some()).then(|| FileOp {
        rename: from,
        link,
        ..FileOp::default()
    })
}

/// What files and directories have in common.
fn describe(message: &mut Message, metadata: &Metadata) {
    message.mode = Some(metadata.permissions().mode() & 0o7777);
    message.mtime = Some(mtime(metadata));
    message.atime = Some(time(metadata.atime(), metadata.atime_nsec()));
}

pub(crate) fn mtime(metadata: &Metadata) -> Timestamp {
    time(metadata.mtime(), metadata.mtime_nsec())
}

fn time(seconds: i64, nanoseconds: i64) -> Timestamp {
    Timestamp::from_unix(seconds, i32::try_from(nanoseconds).unwrap_or(0))
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}
