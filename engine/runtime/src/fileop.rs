//! Operations on files that messages announce: remove, make and remove directories, link, rename.
//!
//! They happen between the downloads before and after them in a pass, in the order of the messages,
//! and each leaves what it is about as if it had just been done, however often it is done again.
//!
//! What it takes the content for (the new name of something that is not here, a hard link to
//! something that is not here) is left to a download.
//!
//! # Invariants
//! - Nothing outside of the operator's directory is changed, and no link is made that leads there.
//! - What changed is flushed before it counts as done, where the flow flushes.
//! - Removing what is not there, or making what is, is done.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flow_config::Flow;
use flow_config::template::Context;
use flow_message::{FileOp, Message, Timestamp};

use crate::content::{Local, Refused, io_failure, is_announced, sync};
use crate::filter::{self, Placed};
use crate::job::Live;
use crate::ports::{Failure, Rejection};
use crate::shared::Shared;

/// An operation to be carried out.
#[derive(Debug)]
pub(crate) struct Operation {
    message: Arc<Message>,
    placed: Placed,
    /// Where the old name, or what is linked, would be here; none: it never came here.
    other: Option<Placed>,
}

/// What came of an operation.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    Done,
    /// The content has to be fetched.
    Download,
    Refused(Refused),
}

/// The operation of a message that is placed, or why there is none.
pub(crate) fn of(shared: &Shared, live: &Live) -> Result<Operation, Rejection> {
    let flow = &shared.flow;
    let message = &live.item.message;
    let (Some(op), Some(placed)) = (&message.file_op, live.placed()) else {
        return Err(Rejection {
            code: 503,
            reason: "it is no file operation that can be carried out here".into(),
        });
    };
    if !flow.events.include(message) {
        return Err(not_an_event(message));
    }
    let known =
        op.remove || op.directory || op.rename.is_some() || op.link.is_some() || op.hlink.is_some();
    if !known {
        let reason = "this version does not know the file operation".into();
        return Err(Rejection { code: 503, reason });
    }
    let born = live.meta.born;
    let other = other(shared, message, op, born)?;
    Ok(Operation {
        message: message.clone(),
        placed,
        other,
    })
}

/// Where the old name, or what is linked, is where the flow puts things; none where it never came
/// there.
pub(crate) fn other(
    shared: &Shared,
    message: &Message,
    op: &FileOp,
    born: Timestamp,
) -> Result<Option<Placed>, Rejection> {
    Ok(match op {
        FileOp {
            rename: Some(path), ..
        }
        | FileOp {
            hlink: Some(path), ..
        } => {
            // sr3 announces them with the whole path they have where they come from.
            let below = below_base(&shared.flow, message, path, born);
            place_other(shared, message, below.as_deref().unwrap_or(path), born)?
        }
        FileOp {
            link: Some(target), ..
        } => match below_base(&shared.flow, message, target, born) {
            Some(path) => place_other(shared, message, &path, born)?,
            None => None,
        },
        _ => None,
    })
}

/// Why a message is not for a flow that leaves out its event.
pub(crate) fn not_an_event(message: &Message) -> Rejection {
    let reason = format!(
        "what `{}` is about is not in `fileEvents`",
        message.rel_path
    );
    Rejection { code: 202, reason }
}

/// A renamed thing whose new name the rules refuse goes away, if they accepted the old one.
pub(crate) fn removal_of_old(flow: &Flow, message: &Message, born: Timestamp) -> Option<Message> {
    let op = message.file_op.as_ref()?;
    let path = op.rename.as_deref()?;
    let below = below_base(flow, message, path, born);
    let old = old_message(message, below.as_deref().unwrap_or(path));
    filter::rules(&flow.filters, &old).ok()?;
    Some(Message {
        file_op: Some(FileOp {
            remove: true,
            directory: op.directory,
            ..FileOp::default()
        }),
        identity: None,
        size: None,
        content: None,
        ..old
    })
}

/// `message` as it would be about `path`.
fn old_message(message: &Message, path: &str) -> Message {
    Message {
        rel_path: path.to_owned(),
        rename: None,
        retrieve_path: None,
        content: None,
        ..message.clone()
    }
}

/// Where another path of `message` is here, by the rule for it; none where no rule accepts it.
fn place_other(
    shared: &Shared,
    message: &Message,
    path: &str,
    now: Timestamp,
) -> Result<Option<Placed>, Rejection> {
    let message = old_message(message, path);
    match filter::rules(&shared.flow.filters, &message) {
        Err(_) => filter::elements(path).map(|_| None),
        Ok(found) => {
            let places = &shared.places;
            places.place(&found, &message, &shared.local, now).map(Some)
        }
    }
}

/// The part of an absolute path that is below `baseDir`.
fn below_base(flow: &Flow, message: &Message, target: &str, now: Timestamp) -> Option<String> {
    let context = Context {
        now,
        message: Some(message),
        groups: &[],
    };
    let base = flow.base_dir.as_ref()?.render(&context);
    let below = Path::new(target).strip_prefix(base).ok()?;
    below.to_str().map(str::to_owned)
}

/// Carries out operations in order, up to the first whose content has to be fetched. With `flush`,
/// the directories that changed are flushed afterwards. Blocks.
pub(crate) fn carry_out(
    local: &Arc<Local>,
    operations: Vec<Operation>,
    flush: bool,
) -> Vec<Outcome> {
    let mut touched = BTreeSet::new();
    let mut outcomes = Vec::with_capacity(operations.len());
    for operation in operations {
        let mut hand = Hand {
            local,
            operation: &operation,
            touched: &mut touched,
        };
        let outcome = hand.operate().unwrap_or_else(Outcome::Refused);
        let stop = outcome == Outcome::Download;
        outcomes.push(outcome);
        if stop {
            break;
        }
    }
    touched.extend(local.take_grown());
    if flush && let Err(failure) = flush_all(&touched) {
        for outcome in &mut outcomes {
            if *outcome == Outcome::Done {
                *outcome = Outcome::Refused(Refused::Failed(failure.clone()));
            }
        }
    }
    outcomes
}

fn flush_all(directories: &BTreeSet<PathBuf>) -> Result<(), Failure> {
    // One that was removed meanwhile has nothing to flush: its parent is among them.
    directories
        .iter()
        .filter(|directory| directory.is_dir())
        .try_for_each(|directory| sync(directory))
}

/// What was attempted, or why it is refused.
type Attempt<T> = Result<T, Refused>;

fn rejected<T>(code: u16, reason: String) -> Attempt<T> {
    Err(Refused::Rejected(Rejection { code, reason }))
}

/// One operation being carried out.
struct Hand<'a> {
    local: &'a Arc<Local>,
    operation: &'a Operation,
    touched: &'a mut BTreeSet<PathBuf>,
}

impl Hand<'_> {
    fn operate(&mut self) -> Attempt<Outcome> {
        let message = &self.operation.message;
        let Some(op) = &message.file_op else {
            return Ok(Outcome::Download);
        };
        let path = self.path();
        match op {
            FileOp {
                rename: Some(_), ..
            } => return self.rename(&path, op.directory),
            FileOp { remove: true, .. } => self.remove(&self.operation.placed, op.directory)?,
            FileOp {
                link: Some(target), ..
            } => self.link(&path, target)?,
            FileOp { hlink: Some(_), .. } => return self.hard_link(&path),
            _ => self
                .local
                .ensure_directory(&self.operation.placed.root, &path)?,
        }
        Ok(Outcome::Done)
    }

    fn path(&self) -> PathBuf {
        self.operation.placed.location.path()
    }

    fn parent(&self) -> &Path {
        &self.operation.placed.location.directory
    }

    /// Whether the directory of `placed` is there. It must not be led out of its root by a link.
    fn is_reachable(placed: &Placed) -> Attempt<bool> {
        let directory = &placed.location.directory;
        let real = match directory.canonicalize() {
            Ok(real) => real,
            Err(error) if is_absent(&error) => return Ok(false),
            Err(error) => return Err(io_failure("resolve", directory, &error).into()),
        };
        let root = placed
            .root
            .canonicalize()
            .map_err(|error| io_failure("resolve", &placed.root, &error))?;
        if real.starts_with(&root) {
            return Ok(true);
        }
        let reason = format!(
            "`{}` is led out of `{}` by a symbolic link",
            directory.display(),
            placed.root.display()
        );
        rejected(Rejection::BAD_NAME, reason)
    }

    /// What is at `placed`, itself: links are not followed.
    fn find(placed: &Placed) -> Attempt<Option<fs::Metadata>> {
        if !Self::is_reachable(placed)? {
            return Ok(None);
        }
        look_at(&placed.location.path())
    }

    fn remove(&mut self, placed: &Placed, directory: bool) -> Attempt<()> {
        let path = placed.location.path();
        let Some(found) = Self::find(placed)? else {
            return Ok(());
        };
        let removed = match (found.is_dir(), directory) {
            (true, true) => {
                self.local.forget_directory(&path);
                fs::remove_dir(&path)
            }
            (false, false) => fs::remove_file(&path),
            (true, false) => {
                let reason = format!("`{}` is a directory, and stays", path.display());
                return rejected(500, reason);
            }
            (false, true) => {
                let reason = format!("`{}` is no directory, and stays", path.display());
                return rejected(500, reason);
            }
        };
        match removed {
            Err(error) if is_absent(&error) => {}
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
                let reason = format!("`{}` is not empty, and stays", path.display());
                return rejected(500, reason);
            }
            Err(error) => return Err(io_failure("remove", &path, &error).into()),
            Ok(()) => {}
        }
        self.touched.insert(placed.location.directory.clone());
        Ok(())
    }

    fn rename(&mut self, path: &Path, directory: bool) -> Attempt<Outcome> {
        let placed = &self.operation.placed;
        let message = &self.operation.message;
        let old = self.operation.other.as_ref();
        let found = match old {
            Some(old) if old.location.path() != path => Self::find(old)?,
            _ => None,
        };
        let (Some(old), Some(found)) = (old, found) else {
            return self.rename_absent(path, directory);
        };
        let old_path = old.location.path();
        let there = Self::find(placed)?;
        if there.is_some() && !self.local.overwrite {
            if is_announced(path, message) != Some(true) {
                return rejected(204, exists(path));
            }
            self.remove(old, false)?;
            return Ok(Outcome::Done);
        }
        if found.is_file() {
            let same = match is_announced(&old_path, message) {
                Some(same) => same,
                // Nothing says whether it is the one; where the new name is there already, this may
                // have been done before, and the old name may be something new.
                None => there.is_none(),
            };
            if !same {
                self.remove(old, false)?;
                return Ok(Outcome::Download);
            }
        }
        self.local.ensure_directory(&placed.root, self.parent())?;
        let id = |found: &fs::Metadata| (found.dev(), found.ino());
        if there.as_ref().map(id) == Some(id(&found)) {
            // Two names of one file: the system would leave both.
            self.remove(old, false)?;
            return Ok(Outcome::Done);
        }
        if found.is_dir() {
            self.local.forget_directory(&old_path);
        }
        match fs::rename(&old_path, path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::CrossesDevices && found.is_file() => {
                self.remove(old, false)?;
                return Ok(Outcome::Download);
            }
            Err(error) => return self.not_renamed(&old_path, path, &error),
        }
        self.touched.insert(old.location.directory.clone());
        self.touched.insert(self.parent().to_owned());
        Ok(Outcome::Done)
    }

    /// The old name is not here: the thing has to come from its origin, or was renamed before.
    fn rename_absent(&mut self, path: &Path, directory: bool) -> Attempt<Outcome> {
        let placed = &self.operation.placed;
        if directory {
            self.local.ensure_directory(&placed.root, path)?;
            return Ok(Outcome::Done);
        }
        let is_here = Self::is_reachable(placed)?
            && is_announced(path, &self.operation.message) == Some(true);
        Ok(if is_here {
            Outcome::Done
        } else {
            Outcome::Download
        })
    }

    fn not_renamed(&self, old: &Path, path: &Path, error: &io::Error) -> Attempt<Outcome> {
        match error.kind() {
            ErrorKind::DirectoryNotEmpty
            | ErrorKind::AlreadyExists
            | ErrorKind::IsADirectory
            | ErrorKind::NotADirectory
            | ErrorKind::InvalidInput
            | ErrorKind::CrossesDevices => rejected(
                500,
                format!(
                    "`{}` can't become `{}`: {error}",
                    old.display(),
                    path.display()
                ),
            ),
            _ => Err(io_failure("rename to", path, error).into()),
        }
    }

    fn link(&mut self, path: &Path, target: &str) -> Attempt<()> {
        let placed = &self.operation.placed;
        let target = match &self.operation.other {
            Some(here) => here.location.path(),
            None => PathBuf::from(target),
        };
        if target.as_os_str().is_empty() || target.to_string_lossy().contains('\0') {
            return rejected(Rejection::BAD_NAME, "the link leads nowhere".into());
        }
        self.local.ensure_directory(&placed.root, self.parent())?;
        if !stays_inside(&placed.root, self.parent(), &target)? {
            let reason = format!(
                "the link to `{}` leads out of `{}`",
                target.display(),
                placed.root.display()
            );
            return rejected(Rejection::BAD_NAME, reason);
        }
        if fs::read_link(path).is_ok_and(|there| there == target) {
            return Ok(());
        }
        self.put(path, |spare| std::os::unix::fs::symlink(&target, spare))
    }

    fn hard_link(&mut self, path: &Path) -> Attempt<Outcome> {
        let placed = &self.operation.placed;
        let Some(other) = &self.operation.other else {
            return Ok(Outcome::Download);
        };
        let target = other.location.path();
        // Something else than a file of the announced content is not what is meant.
        let Some(found) = Self::find(other)?.filter(fs::Metadata::is_file) else {
            return Ok(Outcome::Download);
        };
        if is_announced(&target, &self.operation.message) == Some(false) {
            return Ok(Outcome::Download);
        }
        self.local.ensure_directory(&placed.root, self.parent())?;
        if let Some(there) = look_at(path)?
            && (there.dev(), there.ino()) == (found.dev(), found.ino())
        {
            return Ok(Outcome::Done);
        }
        let mut linked = true;
        self.put(path, |spare| {
            let made = fs::hard_link(&target, spare);
            // Not every file system has hard links, and none has them to another.
            linked = made.is_ok();
            Ok(())
        })
        .map(|()| Outcome::Done)
        .or_else(|refused| match refused {
            Refused::Failed(_) if !linked => Ok(Outcome::Download),
            refused => Err(refused),
        })
    }

    /// Makes something under a spare name and gives it the name `path`, in place of what is there.
    fn put(&mut self, path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> Attempt<()> {
        match look_at(path)? {
            Some(there) if there.is_dir() => {
                let reason = format!("`{}` is a directory, and stays", path.display());
                return rejected(500, reason);
            }
            Some(_) if !self.local.overwrite => return rejected(204, exists(path)),
            _ => {}
        }
        let location = &self.operation.placed.location;
        self.local
            .ensure_inflight(&self.operation.placed.root, &location.directory)?;
        let mut spare = self.local.spare(&location.directory, &location.filename)?;
        make(spare.path())
            .and_then(|()| fs::rename(spare.path(), path))
            .map_err(|error| io_failure("make", path, &error))?;
        spare.set_moved();
        self.touched.insert(location.directory.clone());
        Ok(())
    }
}

fn exists(path: &Path) -> String {
    format!("`{}` exists and `overwrite` is off", path.display())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn look_at(path: &Path) -> Attempt<Option<fs::Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(io_failure("look at", path, &error).into()),
    }
}

/// Most symbolic links on the way of one; as many as the system follows.
const HOPS: usize = 40;

/// Whether a link in `directory` to `target` leads to something below `root`, links on its way
/// followed. What is not there yet is taken for what it is called.
fn stays_inside(root: &Path, directory: &Path, target: &Path) -> Attempt<bool> {
    let resolve = |path: &Path| {
        path.canonicalize()
            .map_err(|error| Refused::from(io_failure("resolve", path, &error)))
    };
    let real_root = resolve(root)?;
    let mut at = resolve(directory)?;
    let parts = |path: &Path| -> Vec<OsString> {
        let parts = path.components().map(|part| part.as_os_str().to_owned());
        parts.rev().collect()
    };
    let mut rest = parts(target);
    let mut hops = 0;
    while let Some(part) = rest.pop() {
        if part == "/" {
            at = PathBuf::from("/");
        } else if part == ".." {
            at.pop();
        } else if part != "." {
            at.push(part);
            if let Ok(leads_to) = fs::read_link(&at) {
                hops += 1;
                if hops > HOPS {
                    return Ok(false);
                }
                at.pop();
                rest.extend(parts(&leads_to));
            }
        }
    }
    Ok(at.starts_with(&real_root))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::stays_inside;

    #[test]
    fn links_are_followed_to_see_where_they_lead() {
        let outside = tempfile::tempdir().unwrap();
        let root = outside.path().join("top");
        let sub = root.join("sub");
        fs::create_dir_all(&sub).unwrap();
        symlink("../..", sub.join("up")).unwrap();
        symlink("/nowhere/yet", root.join("dangling")).unwrap();
        symlink("later", root.join("ahead")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let absolute = root.join("x");
        for (target, expected) in [
            ("x", true),
            ("../x", true),
            ("../sub/x", true),
            ("../ahead", true),
            ("../../top/x", true),
            ("../../x", false),
            ("up/top/x", true),
            ("up/x", false),
            ("../dangling", false),
            ("../dangling/x", false),
            ("../loop", false),
            ("/etc/passwd", false),
            ("/", false),
            (absolute.to_str().unwrap(), true),
        ] {
            let inside = stays_inside(&root, &sub, Path::new(target)).unwrap();
            assert_eq!(inside, expected, "{target}");
        }
    }
}
