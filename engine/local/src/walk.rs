//! Walking trees as a stream.
//!
//! A directory is yielded before what it contains. Up to [`SORTED`] entries of a directory are
//! sorted by name; a larger one is streamed in the order the file system gives, so that memory is
//! bounded by the depth of the tree and not by its size. What can't be read is yielded as such, and
//! the walk goes on.

use std::fs::{self, FileType, ReadDir};
use std::io;
use std::path::{Path, PathBuf};

/// Most entries of one directory that are held to be sorted.
const SORTED: usize = 10_000;

/// What was found at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Link,
    Directory,
    /// Pipes, sockets, devices.
    Special,
}

impl From<FileType> for Kind {
    fn from(found: FileType) -> Self {
        if found.is_dir() {
            Self::Directory
        } else if found.is_symlink() {
            Self::Link
        } else if found.is_file() {
            Self::File
        } else {
            Self::Special
        }
    }
}

/// One step of a walk.
#[derive(Debug)]
pub(crate) enum Step {
    Found(PathBuf, Kind),
    /// Can't be looked at; what is below is left out.
    Failed(PathBuf, io::Error),
}

/// A walk through what is below one path, that path included.
#[derive(Debug)]
pub(crate) struct Walk {
    levels: Vec<Level>,
    first: Option<PathBuf>,
    /// A directory that was yielded, to be opened next.
    next: Option<PathBuf>,
}

#[derive(Debug)]
struct Level {
    directory: PathBuf,
    /// In reverse order.
    sorted: Vec<(std::ffi::OsString, Kind)>,
    /// The rest of a large directory.
    rest: Option<ReadDir>,
}

impl Walk {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            levels: Vec::new(),
            first: Some(path),
            next: None,
        }
    }

    /// Leaves out what is in the directory that was yielded last.
    pub(crate) fn leave_out(&mut self) {
        self.next = None;
    }

    fn open(&mut self, directory: PathBuf) -> Result<(), Step> {
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) => return Err(Step::Failed(directory, error)),
        };
        let mut level = Level {
            directory,
            sorted: Vec::new(),
            rest: None,
        };
        let mut entries = entries;
        let mut failed = None;
        while level.sorted.len() < SORTED {
            let Some(entry) = entries.next() else { break };
            match entry.and_then(|entry| Ok((entry.file_name(), kind_of(&entry)?))) {
                Ok(found) => level.sorted.push(found),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    failed = Some(Step::Failed(level.directory.clone(), error));
                    break;
                }
            }
        }
        if level.sorted.len() < SORTED {
            level.sorted.sort_unstable_by(|a, b| b.0.cmp(&a.0));
        } else {
            level.rest = Some(entries);
        }
        self.levels.push(level);
        failed.map_or(Ok(()), Err)
    }
}

fn kind_of(entry: &fs::DirEntry) -> io::Result<Kind> {
    entry.file_type().map(Kind::from)
}

impl Iterator for Walk {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if let Some(path) = self.first.take() {
            return Some(match fs::symlink_metadata(&path) {
                Ok(metadata) => self.found(path, metadata.file_type().into()),
                Err(error) => Step::Failed(path, error),
            });
        }
        if let Some(directory) = self.next.take()
            && let Err(failed) = self.open(directory)
        {
            return Some(failed);
        }
        loop {
            let level = self.levels.last_mut()?;
            if let Some((name, kind)) = level.sorted.pop() {
                let path = level.directory.join(name);
                return Some(self.found(path, kind));
            }
            let entry = level.rest.as_mut().and_then(Iterator::next);
            let Some(entry) = entry else {
                self.levels.pop();
                continue;
            };
            match entry.and_then(|entry| Ok((entry.path(), kind_of(&entry)?))) {
                Ok((path, kind)) => return Some(self.found(path, kind)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let directory = level.directory.clone();
                    level.rest = None;
                    return Some(Step::Failed(directory, error));
                }
            }
        }
    }
}

impl Walk {
    fn found(&mut self, path: PathBuf, kind: Kind) -> Step {
        if kind == Kind::Directory {
            self.next = Some(path.clone());
        }
        Step::Found(path, kind)
    }
}

/// Directories reached through links, so that none is walked twice or for ever.
#[derive(Debug, Default)]
pub(crate) struct Visited(std::collections::HashSet<(u64, u64)>);

impl Visited {
    /// Whether the directory is seen for the first time.
    pub(crate) fn first_time(&mut self, directory: &Path) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        fs::metadata(directory)
            .is_ok_and(|metadata| self.0.insert((metadata.dev(), metadata.ino())))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Kind, SORTED, Step, Walk};

    fn names(walk: Walk, base: &std::path::Path) -> Vec<String> {
        walk.map(|step| match step {
            Step::Found(path, _) => path.strip_prefix(base).unwrap().display().to_string(),
            Step::Failed(path, error) => panic!("{}: {error}", path.display()),
        })
        .collect()
    }

    #[test]
    fn directories_come_before_their_content_and_names_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path();
        fs::create_dir_all(base.join("d/b/c")).unwrap();
        for name in ["d/2", "d/1", "d/b/x", "d/z"] {
            fs::write(base.join(name), "").unwrap();
        }
        std::os::unix::fs::symlink("..", base.join("d/loop")).unwrap();
        assert_eq!(
            names(Walk::new(base.join("d")), base),
            ["d", "d/1", "d/2", "d/b", "d/b/c", "d/b/x", "d/loop", "d/z"]
        );
        let mut walk = Walk::new(base.join("d"));
        assert!(matches!(walk.next(), Some(Step::Found(_, Kind::Directory))));
        walk.leave_out();
        assert!(walk.next().is_none());
    }

    #[test]
    fn a_directory_too_large_to_sort_is_streamed_whole() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path();
        let number = SORTED + 5;
        for index in 0..number {
            fs::File::create(base.join(format!("{index}"))).unwrap();
        }
        fs::create_dir(base.join("sub")).unwrap();
        fs::write(base.join("sub/x"), "").unwrap();
        let mut found = names(Walk::new(base.to_owned()), base);
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len(), number + 3);
    }
}
