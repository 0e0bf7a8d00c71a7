//! Content as files of this machine.
//!
//! Content is written under an inflight name beside its final one, hashed while it streams, and
//! stays there while callbacks look at it. Only what survives the work of its pass is
//! [committed](commit): flushed, renamed to its final name, its directory flushed. What is replaced,
//! rejected or fails never shows under its final name; its inflight file is removed.
//!
//! # Names
//! - Inflight names follow from the final name (and, for derived content, the key), so the redo of a
//!   message after a crash overwrites what the crash left.
//! - A download replaces an existing file (`overwrite: true`), or is rejected with 204 where the
//!   file there differs. Where it is the same, the message counts as done: it is the redo of a pass
//!   that crashed after its commit.
//! - Derived content never replaces different content. Two mails may both bring `report.pdf`: the
//!   second becomes `report~1a2b3c4d.pdf`, where the eight digits are a hash of the parent's key and
//!   the part's `relPath`. A redo finds its own bytes under either name and keeps that name, so it
//!   neither makes a second copy nor takes another's place. Equal bytes under an equal name are one
//!   file.
//!
//! # Limits
//! One worker writes to one name at a time; workers of different flows that write the same name at
//! the same moment are noticed at the commit as far as the files differ, and one is tried again. A symbolic link below
//! the operator's directory that leads out of it is refused, but not against someone who changes
//! links there during the pass.

mod call;
mod commit;
mod file;
mod held;
mod moving;

use std::collections::HashSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flow_config::{Digest, Flow, IdentityMethod, Inflight};
use flow_message::{Identity, Message};

use crate::filter::NAME_MAX;
use crate::nodupe::same_identity;
use crate::ports::{Content, Failure};

pub(crate) use call::{Body, CallContent, Finished, Source, decode_inline, store};
pub(crate) use commit::{Commit, Looks, Place, Refused, commit_all, move_file, sync, sync_all};
pub(crate) use file::{Inflight as Spare, Method, Stored, identify, identify_bytes};
pub(crate) use held::{Held, Written};

/// The files of one worker.
#[derive(Debug)]
pub(crate) struct Local {
    inflight: Inflight,
    identity: IdentityMethod,
    perm: u32,
    perm_directory: u32,
    pub(crate) overwrite: bool,
    /// Where relative directories start.
    pub(crate) here: PathBuf,
    handles: AtomicU64,
    /// Bytes of content held in memory, by all workers of the flow.
    held: Arc<AtomicUsize>,
    /// Inflight names in use, by all workers of the flow.
    busy: Arc<Mutex<HashSet<PathBuf>>>,
    /// Directories known to be there and safe, and those made, in this pass.
    directories: Mutex<Directories>,
}

/// When the content of a call is identified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identify {
    /// While it is written.
    Streaming,
    /// Once it is sure to stay.
    Later,
    /// Not at all: nobody is told.
    Never,
}

#[derive(Debug, Default)]
struct Directories {
    known: HashSet<PathBuf>,
    made: HashSet<PathBuf>,
}

impl Local {
    pub(crate) fn new(flow: &Flow, here: PathBuf) -> Arc<Self> {
        Arc::new(Self {
            inflight: flow.inflight.clone(),
            identity: flow.identity.clone(),
            perm: flow.perm_default,
            perm_directory: flow.perm_dir_default,
            overwrite: flow.overwrite,
            here,
            handles: AtomicU64::new(1),
            held: Arc::default(),
            busy: Arc::default(),
            directories: Mutex::default(),
        })
    }

    /// The files of one more worker of the same flow.
    pub(crate) fn beside(&self) -> Arc<Self> {
        Arc::new(Self {
            inflight: self.inflight.clone(),
            identity: self.identity.clone(),
            here: self.here.clone(),
            handles: AtomicU64::new(1),
            held: Arc::clone(&self.held),
            busy: Arc::clone(&self.busy),
            directories: Mutex::default(),
            ..*self
        })
    }

    /// Forgets what was learnt about directories: a new pass looks again.
    pub(crate) fn next_pass(&self) {
        self.directories().known.clear();
    }

    /// The directories that got a directory as a new entry since this was last asked.
    pub(crate) fn take_grown(&self) -> Vec<PathBuf> {
        let made = std::mem::take(&mut self.directories().made);
        made.iter()
            .filter_map(|path| path.parent())
            .map(Path::to_owned)
            .collect()
    }

    /// A directory is to go away: it is looked for again, and so is what is below.
    pub(crate) fn forget_directory(&self, gone: &Path) {
        self.directories()
            .known
            .retain(|known| !known.starts_with(gone));
    }

    /// A name in `directory` that nothing else has, for something that is to become `name`.
    pub(crate) fn spare(self: &Arc<Self>, directory: &Path, name: &str) -> Result<Spare, Failure> {
        Spare::claim(self, directory, name)
    }

    /// The fingerprint to compute while content streams by.
    fn streamed(&self, announced: Option<&Identity>, when: Identify) -> Method {
        match when {
            Identify::Streaming => self.method(announced),
            Identify::Later | Identify::Never => Method::None,
        }
    }

    /// The fingerprint to compute: what the message announces, so that it can be compared
    /// downstream, or else the flow's.
    pub(crate) fn method(&self, announced: Option<&Identity>) -> Method {
        let named = announced.and_then(|identity| match identity.method.as_str() {
            "cod" => Method::named(&identity.value),
            method => Method::named(method),
        });
        named.unwrap_or(match self.identity {
            IdentityMethod::Sha512 | IdentityMethod::Cod(Digest::Sha512) => Method::Sha512,
            IdentityMethod::Md5 | IdentityMethod::Cod(Digest::Md5) => Method::Md5,
            IdentityMethod::None | IdentityMethod::Random | IdentityMethod::Arbitrary(_) => {
                Method::None
            }
        })
    }

    fn handle(&self) -> u64 {
        self.handles.fetch_add(1, Ordering::Relaxed)
    }

    fn busy(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn directories(&self) -> MutexGuard<'_, Directories> {
        self.directories
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The inflight name of `name`. `plain` says that the final name itself may serve.
    fn inflight_name(&self, name: &str, plain: bool) -> String {
        let inflight = match &self.inflight {
            Inflight::None if plain => return name.to_owned(),
            Inflight::Suffix(suffix) => format!("{name}{suffix}"),
            Inflight::Directory(directory) => format!("{directory}{name}"),
            Inflight::Dot | Inflight::Umask | Inflight::None => format!(".{name}.tmp"),
        };
        if inflight.rsplit('/').next().map_or(0, str::len) <= NAME_MAX {
            return inflight;
        }
        let short = crate::nodupe::short_hash(&[name]);
        match &self.inflight {
            Inflight::Suffix(suffix) => format!("{short}{suffix}"),
            Inflight::Directory(directory) => format!("{directory}{short}"),
            Inflight::Dot | Inflight::Umask | Inflight::None => format!(".{short}.tmp"),
        }
    }

    /// Makes sure the directory is there that unfinished content of `directory` is in.
    pub(crate) fn ensure_inflight(&self, root: &Path, directory: &Path) -> Result<(), Failure> {
        let Inflight::Directory(inflight) = &self.inflight else {
            return Ok(());
        };
        let path = directory.join(inflight);
        // One that is absolute is wherever the flow says, not where messages lead.
        let root = if inflight.starts_with('/') {
            &path
        } else {
            root
        };
        self.ensure_directory(root, &path)
    }

    /// Makes sure that `directory`, at or below `root`, is there and is not led out of `root` by a
    /// symbolic link.
    pub(crate) fn ensure_directory(&self, root: &Path, directory: &Path) -> Result<(), Failure> {
        if self.directories().known.contains(directory) {
            return Ok(());
        }
        self.make_all(root)
            .map_err(|error| io_failure("create", root, &error))?;
        let real_root = root
            .canonicalize()
            .map_err(|error| io_failure("resolve", root, &error))?;
        let below = directory.strip_prefix(root).map_err(|_| {
            Failure::Permanent(format!(
                "`{}` is outside of `{}`",
                directory.display(),
                root.display()
            ))
        })?;
        let mut path = root.to_owned();
        for component in below.components() {
            let Component::Normal(name) = component else {
                return Err(Failure::Permanent(format!(
                    "`{}` is no safe path",
                    below.display()
                )));
            };
            path.push(name);
            self.ensure_one(&path, &real_root)?;
        }
        self.directories().known.insert(directory.to_owned());
        Ok(())
    }

    fn ensure_one(&self, path: &Path, real_root: &Path) -> Result<(), Failure> {
        match fs::symlink_metadata(path) {
            Ok(found) if found.is_dir() => Ok(()),
            Ok(found) if found.is_symlink() => {
                let real = path
                    .canonicalize()
                    .map_err(|error| io_failure("resolve", path, &error))?;
                if real.starts_with(real_root) {
                    return Ok(());
                }
                Err(Failure::Permanent(format!(
                    "`{}` is a symbolic link that leads out of `{}`",
                    path.display(),
                    real_root.display()
                )))
            }
            Ok(_) => Err(Failure::Permanent(format!(
                "`{}` is in the way: it is no directory",
                path.display()
            ))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self
                .make(path)
                .map_err(|error| io_failure("create", path, &error)),
            Err(error) => Err(io_failure("look at", path, &error)),
        }
    }

    fn make_all(&self, path: &Path) -> io::Result<()> {
        if path.as_os_str().is_empty() || path.is_dir() {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            self.make_all(parent)?;
        }
        self.make(path)
    }

    fn make(&self, path: &Path) -> io::Result<()> {
        let mut builder = DirBuilder::new();
        if self.perm_directory != 0 {
            builder.mode(self.perm_directory);
        }
        match builder.create(path) {
            // Another lane or process was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            Err(error) => Err(error),
            Ok(()) => {
                if self.perm_directory != 0 {
                    // The umask took its share of the mode; the option is what was asked for.
                    fs::set_permissions(path, fs::Permissions::from_mode(self.perm_directory))?;
                }
                self.directories().made.insert(path.to_owned());
                Ok(())
            }
        }
    }
}

/// Whether the file at `path` is the content `message` announces: none where there is no file,
/// or it takes the content itself to know.
pub(crate) fn is_announced(path: &Path, message: &Message) -> Option<bool> {
    let found = fs::symlink_metadata(path).ok()?;
    if !found.is_file() || message.size.is_some_and(|size| size != found.len()) {
        return Some(false);
    }
    let identity = message.identity.as_ref()?;
    let method = Method::named(&identity.method).filter(|method| *method != Method::None)?;
    let found = identify(path, method).ok()?;
    Some(found.is_some_and(|found| same_identity(&found, identity)))
}

/// What a file that is there already means for a message that would replace it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum There {
    /// It is fetched: nothing is there, or something else is, or nobody can tell.
    Other,
    /// It is the announced content.
    Same,
    /// It is newer.
    Newer,
}

/// Compares the file at `path` with what `message` announces: what is cheap first, the content only
/// where all else is equal. With `times`, files have the times of their data. Blocks.
pub(crate) fn compare(path: &Path, message: &Message, times: bool) -> There {
    let Ok(found) = fs::symlink_metadata(path) else {
        return There::Other;
    };
    if !found.is_file() || message.size.is_some_and(|size| size != found.len()) {
        return There::Other;
    }
    let named = message
        .identity
        .as_ref()
        .and_then(|identity| Method::named(&identity.method));
    if named.is_none_or(|method| method == Method::None) {
        return There::Other;
    }
    let here = found.modified().map(flow_message::Timestamp::from).ok();
    if let (true, Some(here), Some(announced)) = (times, here, message.mtime)
        // Not every file system keeps fractions of a second.
        && announced.as_millisecond() < here.as_millisecond() / 1000 * 1000
    {
        return There::Newer;
    }
    match is_announced(path, message) {
        Some(true) => There::Same,
        _ => There::Other,
    }
}

/// The path the `file:` URL of a message names, `retrievePath` heeded; read as sr3 does: no
/// percent-decoding.
pub(crate) fn file_path(message: &Message) -> Option<PathBuf> {
    let rest = message.base_url.strip_prefix("file:")?;
    let root = match rest.strip_prefix("//") {
        None => rest,
        Some(after) => {
            let (host, path) = after.split_at(after.find('/').unwrap_or(after.len()));
            if !host.is_empty() && host != "localhost" {
                return None;
            }
            path
        }
    };
    let mut path = PathBuf::from("/");
    let below = message.retrieve_path.as_ref().unwrap_or(&message.rel_path);
    for part in root.split('/').chain(below.split('/')) {
        if part == ".." || part.contains('\0') {
            return None;
        }
        if !part.is_empty() && part != "." {
            path.push(part);
        }
    }
    Some(path)
}

/// Copies a file of this machine to the content of message `id`. Blocks.
pub(crate) fn copy(path: &Path, target: &dyn Content, id: u64) -> Result<(), Failure> {
    let (mut reader, _) = file::open(path)?;
    let mut writer = target.create(id)?;
    loop {
        let data = reader.read(1 << 18)?;
        if data.is_empty() {
            return writer.finish().map(|_| ());
        }
        writer.write(&data)?;
    }
}

/// What a failed file operation means for the message.
pub(crate) fn io_failure(verb: &str, path: &Path, error: &io::Error) -> Failure {
    let reason = format!("can't {verb} `{}`: {error}", path.display());
    match error.kind() {
        io::ErrorKind::InvalidFilename
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::IsADirectory => Failure::Permanent(reason),
        _ => Failure::temporary(reason),
    }
}

#[cfg(test)]
mod tests;
