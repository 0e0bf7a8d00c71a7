//! Files being written and read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flow_message::{Identity, Timestamp};
use md5::{Digest as _, Md5};
use ring::digest::{Context, SHA512};

use super::{Local, io_failure};
use crate::ports::{ContentReader, Failure};

/// Bytes gathered before they are handed to the system. What comes in larger pieces, as it does from
/// plugins, goes through unbuffered; a larger buffer costs more to make than a small file to write.
const BUFFER: usize = 16 << 10;
/// Most bytes one read returns.
const READ_MAX: usize = 1 << 20;

/// A fingerprint this crate can compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Sha512,
    Md5,
    None,
}

impl Method {
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "sha512" => Some(Self::Sha512),
            "md5" => Some(Self::Md5),
            _ => None,
        }
    }
}

/// A fingerprint being computed.
pub(crate) enum Hasher {
    Sha512(Box<Context>),
    Md5(Box<Md5>),
    None,
}

impl Hasher {
    pub(crate) fn new(method: Method) -> Self {
        match method {
            Method::Sha512 => Self::Sha512(Box::new(Context::new(&SHA512))),
            Method::Md5 => Self::Md5(Box::default()),
            Method::None => Self::None,
        }
    }

    pub(crate) fn update(&mut self, data: &[u8]) {
        match self {
            Self::Sha512(context) => context.update(data),
            Self::Md5(md5) => md5.update(data),
            Self::None => {}
        }
    }

    pub(crate) fn finish(self) -> Option<Identity> {
        let (method, value) = match self {
            Self::Sha512(context) => ("sha512", STANDARD.encode(context.finish())),
            Self::Md5(md5) => ("md5", STANDARD.encode(md5.finalize())),
            Self::None => return None,
        };
        Some(Identity {
            method: method.into(),
            value,
        })
    }
}

/// The fingerprint of a file.
pub(crate) fn identify(path: &Path, method: Method) -> io::Result<Option<Identity>> {
    let mut hasher = Hasher::new(method);
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(&buffer[..count]),
        }
    }
}

/// The fingerprint of bytes.
pub(crate) fn identify_bytes(bytes: &[u8], method: Method) -> Option<Identity> {
    let mut hasher = Hasher::new(method);
    hasher.update(bytes);
    hasher.finish()
}

/// An inflight file; removed when dropped, unless it was moved away.
#[derive(Debug)]
pub(crate) struct Inflight {
    pub(super) path: PathBuf,
    local: Arc<Local>,
    moved: bool,
}

impl Inflight {
    /// Creates `directory/name`, or the first free of `name`, `name.2`, … where this worker is
    /// writing that already. What a crash left there is removed; links are never followed.
    fn create(
        local: &Arc<Local>,
        directory: &Path,
        name: &str,
        plain: bool,
    ) -> Result<(Self, File), Failure> {
        let path = claim(local, directory, name, plain);
        let inflight = Self {
            path,
            local: Arc::clone(local),
            moved: false,
        };
        let path = &inflight.path;
        let mode = if local.perm == 0 { 0o666 } else { local.perm };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(mode);
        let file = match options.open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(path).map_err(|error| io_failure("replace", path, &error))?;
                options.open(path)
            }
            opened => opened,
        };
        let file = file.map_err(|error| io_failure("create", path, &error))?;
        Ok((inflight, file))
    }

    /// As [`create`](Self::create), but leaves the making to the caller.
    pub(super) fn claim(local: &Arc<Local>, directory: &Path, name: &str) -> Result<Self, Failure> {
        let inflight = Self {
            path: claim(local, directory, name, false),
            local: Arc::clone(local),
            moved: false,
        };
        match fs::remove_file(&inflight.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_failure("replace", &inflight.path, &error))
            }
            _ => Ok(inflight),
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// It has another name now, and is not removed.
    pub(crate) fn set_moved(&mut self) {
        self.moved = true;
    }
}

fn claim(local: &Local, directory: &Path, name: &str, plain: bool) -> PathBuf {
    let mut busy = local.busy();
    let mut path = directory.join(local.inflight_name(name, plain));
    for ordinal in 2u32.. {
        if busy.insert(path.clone()) {
            break;
        }
        // A second message for the same name in one pass; never under the final name.
        path = directory.join(local.inflight_name(&format!("{name}.{ordinal}"), false));
    }
    path
}

impl Drop for Inflight {
    fn drop(&mut self) {
        if !self.moved
            && let Err(error) = fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "Unfinished content could not be removed.");
        }
        self.local.busy().remove(&self.path);
    }
}

/// Content written whole and not committed yet. Dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(super) inflight: Inflight,
    pub(crate) size: u64,
    pub(crate) identity: Option<Identity>,
    inode: (u64, u64),
}

impl Stored {
    /// The file it is in for now.
    pub(crate) fn path(&self) -> &Path {
        &self.inflight.path
    }

    /// Whether the file is still the one that was written, and not another process's.
    pub(super) fn is_ours(&self) -> bool {
        fs::symlink_metadata(self.path()).is_ok_and(|found| {
            (found.dev(), found.ino(), found.len()) == (self.inode.0, self.inode.1, self.size)
        })
    }
}

/// Content being written to an inflight file.
pub(crate) struct Draft {
    inflight: Inflight,
    file: BufWriter<File>,
    hasher: Hasher,
    size: u64,
    perm: u32,
}

impl Draft {
    /// Starts content for `directory/name`. `plain` allows the final name to be its own inflight
    /// name.
    pub(super) fn create(
        local: &Arc<Local>,
        root: &Path,
        directory: &Path,
        name: &str,
        plain: bool,
        method: Method,
    ) -> Result<Self, Failure> {
        local.ensure_directory(root, directory)?;
        local.ensure_inflight(root, directory)?;
        let (inflight, file) = Inflight::create(local, directory, name, plain)?;
        Ok(Self {
            inflight,
            file: BufWriter::with_capacity(BUFFER, file),
            hasher: Hasher::new(method),
            size: 0,
            perm: local.perm,
        })
    }

    pub(crate) fn write(&mut self, data: &[u8]) -> Result<(), Failure> {
        self.file
            .write_all(data)
            .map_err(|error| io_failure("write", &self.inflight.path, &error))?;
        self.hasher.update(data);
        self.size += data.len() as u64;
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<Stored, Failure> {
        let path = self.inflight.path.clone();
        let fail = |error: &io::Error| io_failure("write", &path, error);
        let file = self
            .file
            .into_inner()
            .map_err(|error| fail(error.error()))?;
        let found = file.metadata().map_err(|error| fail(&error))?;
        if self.perm != 0 && found.permissions().mode() & 0o7777 != self.perm {
            // The umask took its share of the mode; the option is what was asked for.
            file.set_permissions(fs::Permissions::from_mode(self.perm))
                .map_err(|error| fail(&error))?;
        }
        Ok(Stored {
            inflight: self.inflight,
            size: self.size,
            identity: self.hasher.finish(),
            inode: (found.dev(), found.ino()),
        })
    }
}

/// Opens a regular file to read.
pub(super) fn open(path: &Path) -> Result<(Box<dyn ContentReader>, u64), Failure> {
    let file = File::open(path).map_err(|error| io_failure("open", path, &error))?;
    let found = file
        .metadata()
        .map_err(|error| io_failure("open", path, &error))?;
    if !found.is_file() {
        return Err(Failure::Permanent(format!(
            "`{}` is no plain file",
            path.display()
        )));
    }
    Ok((
        Box::new(FileReader {
            file,
            path: path.to_owned(),
        }),
        found.len(),
    ))
}

struct FileReader {
    file: File,
    path: PathBuf,
}

impl ContentReader for FileReader {
    fn read(&mut self, max: usize) -> Result<Vec<u8>, Failure> {
        let max = max.clamp(1, READ_MAX);
        let mut buffer = Vec::with_capacity(max);
        Read::by_ref(&mut self.file)
            .take(max as u64)
            .read_to_end(&mut buffer)
            .map_err(|error| io_failure("read", &self.path, &error))?;
        Ok(buffer)
    }

    fn modified(&self) -> Option<Timestamp> {
        let found = self.file.metadata().ok()?;
        found.modified().map(Timestamp::from).ok()
    }
}

/// Content in memory, which somebody else may hold as well.
pub(super) struct BytesReader {
    bytes: Arc<Vec<u8>>,
    at: usize,
}

impl BytesReader {
    pub(super) fn new(bytes: Arc<Vec<u8>>) -> Self {
        Self { bytes, at: 0 }
    }
}

impl ContentReader for BytesReader {
    fn read(&mut self, max: usize) -> Result<Vec<u8>, Failure> {
        let rest = &self.bytes[self.at..];
        let next = &rest[..rest.len().min(max.clamp(1, READ_MAX))];
        self.at += next.len();
        Ok(next.to_vec())
    }
}
