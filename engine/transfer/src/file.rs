//! `file:`: trees of this machine, as a [`Remote`].
//!
//! Uploads to a directory (a mounted share, another disk) and polls of one. Downloads of `file:` URLs
//! are the loop's own. Paths are absolute. Everything blocks, so everything happens on blocking
//! threads, in pieces large enough for the switch not to count.

use std::fs::{self, DirBuilder, File, OpenOptions, ReadDir};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use flow_config::Credential;
use flow_message::Timestamp;

use crate::{
    Abilities, About, Chunks, Entry, EntryKind, Error, Opened, Protocol, Remote, RemotePath,
    Resume, Site,
};

/// Bytes read at once.
const PIECE: usize = 256 << 10;

/// The protocol.
#[derive(Debug, Clone, Copy, Default)]
pub struct Local {
    fsync: bool,
}

impl Local {
    /// With `fsync`, a file that is written or renamed is on the disk when the call returns.
    pub fn new(fsync: bool) -> Self {
        Self { fsync }
    }
}

#[async_trait]
impl Protocol for Local {
    fn schemes(&self) -> &'static [&'static str] {
        &["file"]
    }

    async fn connect(
        &self,
        site: &Site,
        _credential: Option<&Credential>,
    ) -> Result<Box<dyn Remote>, Error> {
        if !matches!(site.host.as_str(), "" | "localhost") {
            return Err(Error::permanent(format!("`{site}` is not this machine")));
        }
        Ok(Box::new(LocalTree {
            fsync: self.fsync,
            open: None,
            listing: None,
        }))
    }
}

struct LocalTree {
    fsync: bool,
    open: Option<(File, PathBuf)>,
    listing: Option<(ReadDir, PathBuf)>,
}

fn local(path: &RemotePath) -> PathBuf {
    Path::new("/").join(path.as_str())
}

/// What a failed file operation means.
fn failed(verb: &str, path: &Path, error: &io::Error) -> Error {
    let reason = format!("can't {verb} `{}`: {error}", path.display());
    match error.kind() {
        io::ErrorKind::NotFound => Error::not_found(reason),
        io::ErrorKind::InvalidFilename
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::DirectoryNotEmpty => Error::permanent(reason),
        _ => Error::temporary(reason),
    }
}

/// Runs something that blocks.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(Error::temporary(error.to_string())))
}

fn about(found: &fs::Metadata) -> About {
    About {
        kind: kind(found.file_type()),
        size: Some(found.len()),
        mtime: found.modified().ok().map(Timestamp::from),
        mode: Some(found.mode() & 0o7777),
        ..About::default()
    }
}

fn kind(found: fs::FileType) -> EntryKind {
    if found.is_file() {
        EntryKind::File
    } else if found.is_dir() {
        EntryKind::Directory
    } else if found.is_symlink() {
        EntryKind::Link
    } else {
        EntryKind::Other
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[async_trait]
impl Remote for LocalTree {
    fn abilities(&self) -> Abilities {
        Abilities {
            resume: true,
            list: true,
            put: true,
            rename: true,
            mkdir: true,
            remove: true,
            rmdir: true,
            chmod: true,
            utime: true,
            symlink: true,
            hard_link: true,
        }
    }

    async fn open(&mut self, path: &RemotePath, resume: Option<&Resume>) -> Result<Opened, Error> {
        let path = local(path);
        let resume = resume.cloned();
        let (file, path, opened) = blocking(move || {
            let fail = |error: &io::Error| failed("read", &path, error);
            let mut file = File::open(&path).map_err(|error| fail(&error))?;
            let about = about(&file.metadata().map_err(|error| fail(&error))?);
            if about.kind != EntryKind::File {
                return Err(Error::permanent(format!(
                    "`{}` is no plain file",
                    path.display()
                )));
            }
            let mut offset = 0;
            if let Some(resume) = resume
                && (resume.about.size, resume.about.mtime) == (about.size, about.mtime)
            {
                io::Seek::seek(&mut file, io::SeekFrom::Start(resume.offset))
                    .map_err(|error| fail(&error))?;
                offset = resume.offset;
            }
            Ok((file, path, Opened { about, offset }))
        })
        .await?;
        self.open = Some((file, path));
        Ok(opened)
    }

    async fn read(&mut self) -> Result<Option<Bytes>, Error> {
        let Some((mut file, path)) = self.open.take() else {
            return Ok(None);
        };
        let (file, path, data) = blocking(move || {
            let mut data = Vec::with_capacity(PIECE);
            (&mut file)
                .take(PIECE as u64)
                .read_to_end(&mut data)
                .map_err(|error| failed("read", &path, &error))?;
            Ok((file, path, data))
        })
        .await?;
        if data.is_empty() {
            return Ok(None);
        }
        self.open = Some((file, path));
        Ok(Some(data.into()))
    }

    async fn stat(&mut self, path: &RemotePath) -> Result<About, Error> {
        let path = local(path);
        blocking(move || {
            let found = fs::metadata(&path).map_err(|error| failed("look at", &path, &error))?;
            Ok(about(&found))
        })
        .await
    }

    async fn list(&mut self, directory: &RemotePath) -> Result<(), Error> {
        let path = local(directory);
        self.listing = None;
        self.listing = blocking(move || {
            let listing = fs::read_dir(&path).map_err(|error| failed("list", &path, &error))?;
            Ok(Some((listing, path)))
        })
        .await?;
        Ok(())
    }

    async fn entries(&mut self, limit: usize) -> Result<Vec<Entry>, Error> {
        let Some((mut listing, path)) = self.listing.take() else {
            return Ok(Vec::new());
        };
        let (listing, entries) = blocking(move || {
            let mut entries = Vec::with_capacity(limit.min(1 << 12));
            for found in listing.by_ref() {
                let found = found.map_err(|error| failed("list", &path, &error))?;
                entries.extend(entry(&found)?);
                if entries.len() >= limit {
                    return Ok((Some((listing, path)), entries));
                }
            }
            Ok((None, entries))
        })
        .await?;
        self.listing = listing;
        Ok(entries)
    }

    async fn put(
        &mut self,
        path: &RemotePath,
        about: &About,
        body: &mut dyn Chunks,
    ) -> Result<(), Error> {
        let path = local(path);
        let (mode, fsync) = (about.mode, self.fsync);
        let mut file: Option<File> = None;
        loop {
            // Up to a piece at a time: small files take one switch to a blocking thread.
            let mut pieces = Vec::new();
            let mut bytes = 0;
            let mut ended = false;
            while bytes < PIECE && !ended {
                match body.next().await? {
                    Some(piece) => {
                        bytes += piece.len();
                        pieces.push(piece);
                    }
                    None => ended = true,
                }
            }
            let opened = file.take();
            let path = path.clone();
            file = blocking(move || {
                let fail = |error: &io::Error| failed("write", &path, error);
                let mut file = match opened {
                    Some(file) => file,
                    None => create(&path, mode).map_err(|error| fail(&error))?,
                };
                for piece in pieces {
                    file.write_all(&piece).map_err(|error| fail(&error))?;
                }
                if !ended {
                    return Ok(Some(file));
                }
                if fsync {
                    file.sync_all().map_err(|error| fail(&error))?;
                    sync_directory(&path).map_err(|error| fail(&error))?;
                }
                Ok(None)
            })
            .await?;
            if file.is_none() {
                return Ok(());
            }
        }
    }

    async fn rename(&mut self, from: &RemotePath, to: &RemotePath) -> Result<(), Error> {
        let (from, to, fsync) = (local(from), local(to), self.fsync);
        blocking(move || {
            fs::rename(&from, &to)
                .and_then(|()| if fsync { sync_directory(&to) } else { Ok(()) })
                .map_err(|error| failed("rename", &from, &error))
        })
        .await
    }

    async fn mkdir_all(&mut self, directory: &RemotePath, mode: Option<u32>) -> Result<(), Error> {
        let path = local(directory);
        let fsync = self.fsync;
        blocking(move || {
            make_all(&path, mode, fsync).map_err(|error| failed("create", &path, &error))
        })
        .await
    }

    async fn remove(&mut self, path: &RemotePath) -> Result<(), Error> {
        let path = local(path);
        blocking(move || fs::remove_file(&path).map_err(|error| failed("remove", &path, &error)))
            .await
    }

    async fn rmdir(&mut self, directory: &RemotePath) -> Result<(), Error> {
        let path = local(directory);
        blocking(move || fs::remove_dir(&path).map_err(|error| failed("remove", &path, &error)))
            .await
    }

    async fn chmod(&mut self, path: &RemotePath, mode: u32) -> Result<(), Error> {
        let path = local(path);
        blocking(move || {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))
                .map_err(|error| failed("set the mode of", &path, &error))
        })
        .await
    }

    async fn utime(
        &mut self,
        path: &RemotePath,
        mtime: Timestamp,
        atime: Option<Timestamp>,
    ) -> Result<(), Error> {
        let path = local(path);
        blocking(move || {
            let times = fs::FileTimes::new()
                .set_modified(system_time(mtime))
                .set_accessed(system_time(atime.unwrap_or(mtime)));
            File::open(&path)
                .and_then(|file| file.set_times(times))
                .map_err(|error| failed("set the times of", &path, &error))
        })
        .await
    }

    async fn symlink(&mut self, path: &RemotePath, target: &str) -> Result<(), Error> {
        let (path, target) = (local(path), target.to_owned());
        let make = move |at: &Path| std::os::unix::fs::symlink(&target, at);
        blocking(move || replace(&path, make).map_err(|error| failed("link", &path, &error))).await
    }

    async fn hard_link(&mut self, path: &RemotePath, existing: &RemotePath) -> Result<(), Error> {
        let (path, existing) = (local(path), local(existing));
        let make = move |at: &Path| fs::hard_link(&existing, at);
        blocking(move || replace(&path, make).map_err(|error| failed("link", &path, &error))).await
    }
}

fn entry(found: &fs::DirEntry) -> Result<Option<Entry>, Error> {
    let name = found.file_name();
    let Some(name) = name.to_str() else {
        tracing::warn!(path = %found.path().display(), "A name that is not UTF-8 text is passed over.");
        return Ok(None);
    };
    // Files come and go while one looks.
    let about = match found.metadata() {
        Ok(found) => about(&found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("look at", &found.path(), &error)),
    };
    let target = match about.kind {
        EntryKind::Link => fs::read_link(found.path())
            .ok()
            .and_then(|target| target.to_str().map(str::to_owned)),
        _ => None,
    };
    Ok(Some(Entry {
        name: name.to_owned(),
        kind: about.kind,
        size: about.size.filter(|_| about.kind == EntryKind::File),
        mtime: about.mtime,
        mode: about.mode,
        target,
    }))
}

/// A new file; what is there under its name goes first, so that links are not written through and a
/// file somebody reads keeps its content.
fn create(path: &Path, mode: Option<u32>) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode.unwrap_or(0o666))
        .open(path)
}

fn make_all(path: &Path, mode: Option<u32>, fsync: bool) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_all(parent, mode, fsync)?;
    }
    match DirBuilder::new().mode(mode.unwrap_or(0o777)).create(path) {
        // Another lane was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => {
            if let Some(mode) = mode {
                // The umask took its share; the option is what was asked for.
                fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
            }
            if fsync { sync_directory(path) } else { Ok(()) }
        }
    }
}

/// Makes something under a name nobody looks at and moves it to `path`, so that there always is
/// either the old or the new.
fn replace(path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let nearby = path.with_file_name(format!(".{name}.link"));
    match fs::remove_file(&nearby) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    make(&nearby)?;
    let renamed = fs::rename(&nearby, path);
    // Renaming one name of a file to another of the same does nothing, and leaves both.
    let _ = fs::remove_file(&nearby);
    renamed
}

fn system_time(time: Timestamp) -> SystemTime {
    let nanos = time.as_nanosecond();
    let distance = |nanos: i128| {
        let nanos = nanos.unsigned_abs();
        Duration::new(
            u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX),
            u32::try_from(nanos % 1_000_000_000).unwrap_or(0),
        )
    };
    if nanos < 0 {
        SystemTime::UNIX_EPOCH - distance(nanos)
    } else {
        SystemTime::UNIX_EPOCH + distance(nanos)
    }
}
