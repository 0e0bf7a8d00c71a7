//! From inflight names to final ones.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flow_message::Timestamp;
use tokio::task::JoinSet;

use super::{Local, Stored, io_failure};
use crate::filter::{NAME_MAX, Placed};
use crate::ports::{Failure, Location, Rejection};

/// Most files flushed at the same time.
const FLUSHES: usize = 8;

/// What may happen to a file that is there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is replaced.
    Replace,
    /// It stays; different content is rejected.
    Keep,
    /// It stays; different content gets a name with this hash in it.
    Beside { hash: String },
}

/// Content to be committed.
#[derive(Debug)]
pub(crate) struct Commit {
    pub(crate) stored: Stored,
    pub(crate) placed: Placed,
    pub(crate) place: Place,
    pub(crate) looks: Looks,
}

/// What a file gets from its message besides its content. What can't be given is left out, with a
/// warning: not every file system keeps it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Looks {
    /// Permission bits.
    pub(crate) mode: Option<u32>,
    pub(crate) modified: Option<Timestamp>,
    pub(crate) accessed: Option<Timestamp>,
}

impl Looks {
    fn give(self, path: &Path) {
        let given = self.give_times(path).and_then(|()| match self.mode {
            // Nobody far away decides that a program runs as somebody else here.
            Some(mode) => fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o777)),
            None => Ok(()),
        });
        if let Err(error) = given {
            tracing::warn!(path = %path.display(), %error, "A file could not be given its announced mode or times.");
        }
    }

    fn give_times(self, path: &Path) -> io::Result<()> {
        use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT, utimensat};
        if self.modified.is_none() && self.accessed.is_none() {
            return Ok(());
        }
        let spec = |time: Option<Timestamp>| match time {
            Some(time) => {
                let nanoseconds = time.as_jiff().as_nanosecond();
                // In i64: what jiff holds ends with the year 9999.
                Timespec {
                    tv_sec: nanoseconds.div_euclid(1_000_000_000) as i64,
                    tv_nsec: nanoseconds.rem_euclid(1_000_000_000) as i64,
                }
            }
            None => Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_OMIT,
            },
        };
        let times = Timestamps {
            last_access: spec(self.accessed),
            last_modification: spec(self.modified),
        };
        // By its path: opening the file for it would cost more than the change.
        utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(Into::into)
    }
}

/// Why content was not committed.
#[derive(Debug, PartialEq)]
pub(crate) enum Refused {
    Rejected(Rejection),
    Failed(Failure),
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Flushes files to the disk, several at a time.
pub(crate) async fn sync_all(paths: Vec<PathBuf>) -> Result<(), Failure> {
    let share = paths.len().div_ceil(FLUSHES).max(1);
    let mut tasks = JoinSet::new();
    for share in paths.chunks(share) {
        let share = share.to_vec();
        tasks.spawn_blocking(move || share.iter().try_for_each(|path| sync(path)));
    }
    while let Some(done) = tasks.join_next().await {
        done.map_err(|error| Failure::temporary(error.to_string()))??;
    }
    Ok(())
}

/// Flushes a file or a directory to the disk.
pub(crate) fn sync(path: &Path) -> Result<(), Failure> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|error| io_failure("flush", path, &error))
}

/// Gives contents their final names, in order, and says which. With `flush`, the directories are
/// flushed afterwards, those made in this pass included.
pub(crate) fn commit_all(
    local: &Arc<Local>,
    commits: Vec<Commit>,
    flush: bool,
) -> Result<Vec<Result<Location, Refused>>, Failure> {
    let mut touched = BTreeSet::new();
    let done: Vec<_> = commits
        .into_iter()
        .map(|commit| {
            let directory = commit.placed.location.directory.clone();
            let location = commit_one(local, commit)?;
            touched.insert(directory);
            Ok(location)
        })
        .collect();
    touched.extend(local.take_grown());
    if flush {
        touched.iter().try_for_each(|directory| sync(directory))?;
    }
    Ok(done)
}

fn commit_one(local: &Local, commit: Commit) -> Result<Location, Refused> {
    let Commit {
        mut stored,
        placed,
        place,
        looks,
    } = commit;
    let Location {
        directory,
        filename,
    } = placed.location;
    if !stored.is_ours() {
        let reason = format!(
            "another process wrote `{}` at the same time; flows must not share a target",
            stored.path().display()
        );
        return Err(Failure::temporary(reason).into());
    }
    looks.give(stored.path());
    local.ensure_directory(&placed.root, &directory)?;
    let target = directory.join(&filename);
    let filename = match place {
        Place::Replace => {
            if stored.path() == target {
                stored.inflight.set_moved();
            } else {
                replace(&mut stored, &target)?;
            }
            filename
        }
        Place::Keep => {
            if !place_new(&mut stored, &target)? && !same_content(stored.path(), &target)? {
                let reason = format!("`{}` exists and `overwrite` is off", target.display());
                return Err(Refused::Rejected(Rejection { code: 204, reason }));
            }
            filename
        }
        Place::Beside { hash } => beside(&mut stored, &directory, filename, &hash)?,
    };
    Ok(Location {
        directory,
        filename,
    })
}

/// Gives a file that is here already another place. Done again, it is done. Blocks.
pub(crate) fn move_file(
    local: &Arc<Local>,
    from: &Path,
    placed: &Placed,
    flush: bool,
) -> Result<(), Refused> {
    let target = placed.location.path();
    local.ensure_directory(&placed.root, &placed.location.directory)?;
    let failed = |error: &io::Error| Refused::from(io_failure("rename to", &target, error));
    if fs::symlink_metadata(from).is_err() && fs::symlink_metadata(&target).is_ok() {
        return Ok(());
    }
    if !local.overwrite && fs::symlink_metadata(&target).is_ok() {
        if !same_content(from, &target)? {
            let reason = format!("`{}` exists and `overwrite` is off", target.display());
            return Err(Refused::Rejected(Rejection { code: 204, reason }));
        }
        fs::remove_file(from).map_err(|error| failed(&error))?;
        return Ok(());
    }
    match fs::rename(from, &target) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            let name = placed.location.filename.as_str();
            let nearby = local.spare(&placed.location.directory, name)?;
            fs::copy(from, nearby.path())
                .and_then(|_| sync_file(nearby.path()))
                .and_then(|()| fs::rename(nearby.path(), &target))
                .and_then(|()| fs::remove_file(from))
                .map_err(|error| failed(&error))?;
        }
        moved => moved.map_err(|error| failed(&error))?,
    }
    if flush {
        let left = from.parent().unwrap_or(from);
        for directory in [left, &placed.location.directory] {
            sync(directory)?;
        }
    }
    Ok(())
}

fn beside(
    stored: &mut Stored,
    directory: &Path,
    filename: String,
    hash: &str,
) -> Result<String, Refused> {
    let target = directory.join(&filename);
    let own_name = with_hash(&filename, hash);
    let own = directory.join(&own_name);
    // An earlier run of this message had to go beside: it does so again, whoever left meanwhile.
    if fs::symlink_metadata(&own).is_ok() {
        if !same_content(stored.path(), &own)? {
            replace(stored, &own)?;
        }
        return Ok(own_name);
    }
    if place_new(stored, &target)? || same_content(stored.path(), &target)? {
        return Ok(filename);
    }
    replace(stored, &own)?;
    Ok(own_name)
}

/// `report.pdf` and a hash: `report~1a2b3c4d.pdf`, cut to what a file system takes.
pub(crate) fn with_hash(name: &str, hash: &str) -> String {
    let (stem, extension) = match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= 32 => name.split_at(dot),
        _ => (name, ""),
    };
    let room = NAME_MAX - extension.len() - hash.len() - 1;
    let stem = &stem[..stem.floor_char_boundary(room)];
    format!("{stem}~{hash}{extension}")
}

fn replace(stored: &mut Stored, target: &Path) -> Result<(), Failure> {
    match fs::rename(stored.path(), target) {
        // A callback moved it to a directory on another file system.
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            let name = target.file_name().unwrap_or_default().to_string_lossy();
            let nearby = target.with_file_name(format!(".{name}.tmp"));
            fs::copy(stored.path(), &nearby)
                .and_then(|_| sync_file(&nearby))
                .and_then(|()| fs::rename(&nearby, target))
                .map_err(|error| io_failure("write", target, &error))
        }
        Err(error) => Err(io_failure("rename to", target, &error)),
        Ok(()) => {
            stored.inflight.set_moved();
            Ok(())
        }
    }
}

fn sync_file(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Gives the content the name `target` unless something has it; says whether it did.
fn place_new(stored: &mut Stored, target: &Path) -> Result<bool, Failure> {
    #[cfg(target_os = "linux")]
    match rename_new(stored.path(), target) {
        Ok(()) => {
            stored.inflight.set_moved();
            return Ok(true);
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        // Not every file system can.
        Err(_) => {}
    }
    // A hard link, unlike a rename, never replaces. The inflight name goes when `stored` does.
    match fs::hard_link(stored.path(), target) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(io_failure("rename to", target, &error))
        }
        // Not every file system has hard links.
        Err(_) if fs::symlink_metadata(target).is_ok() => Ok(false),
        Err(_) => replace(stored, target).map(|()| true),
    }
}

/// A rename that never replaces.
#[cfg(target_os = "linux")]
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
}

/// Whether two files hold the same bytes. What is no plain file never does.
fn same_content(one: &Path, other: &Path) -> Result<bool, Failure> {
    let read = |path: &Path| -> io::Result<Option<(File, u64)>> {
        if !fs::symlink_metadata(path)?.is_file() {
            return Ok(None);
        }
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok(Some((file, length)))
    };
    let compare = || -> io::Result<bool> {
        let (Some((one, one_length)), Some((other, other_length))) = (read(one)?, read(other)?)
        else {
            return Ok(false);
        };
        if one_length != other_length {
            return Ok(false);
        }
        let (mut one, mut other) = (io::BufReader::new(one), io::BufReader::new(other));
        let (mut left, mut right) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        let mut rest = one_length;
        while rest > 0 {
            let count = usize::try_from(rest).unwrap_or(usize::MAX).min(left.len());
            one.read_exact(&mut left[..count])?;
            other.read_exact(&mut right[..count])?;
            if left[..count] != right[..count] {
                return Ok(false);
            }
            rest -= count as u64;
        }
        Ok(true)
    };
    compare().map_err(|error| io_failure("compare", other, &error))
}
