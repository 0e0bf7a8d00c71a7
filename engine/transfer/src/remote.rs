//! What every protocol offers: a connection to a tree of files elsewhere.
//!
//! A [`Protocol`] makes connections; a [`Remote`] is one. The core ([`Carrier`](crate::Carrier)) does
//! what is the same for all: it pools connections, watches the time, throttles, resumes, writes
//! content, names what is in flight, and decides what an error means for a message. A protocol only
//! speaks.
//!
//! A `Remote` does one thing at a time and keeps its place in it, like a file handle: `open` then
//! `read` until the end, `list` then `entries` until the end. Starting something else drops what was
//! unfinished. Errors of kind [`Broken`](crate::Kind::Broken) end the connection: the core throws it
//! away and may connect again at once.
//!
//! # What the core promises
//! - One call at a time; every call is bounded by `timeout` as long as nothing moves, by dropping its
//!   future. After that, or after any error that [`is_usable`](Remote::is_usable) does not survive,
//!   the connection is dropped without [`close`](Remote::close).
//! - Paths were checked: no `..`, no control characters, nothing empty ([`RemotePath`]).

use async_trait::async_trait;
use bytes::Bytes;
use flow_config::Credential;
use flow_message::{Identity, Timestamp};

use crate::{Error, RemotePath, Site};

/// Makes connections of one or several schemes. Shared by all lanes.
#[async_trait]
pub trait Protocol: Send + Sync {
    /// The schemes it speaks, lower case.
    fn schemes(&self) -> &'static [&'static str];

    /// Whether the path of a URL starts where one lands after the login, so that an absolute one
    /// needs an extra slash (`sftp://host//data`).
    fn has_home(&self) -> bool {
        false
    }

    /// Connects and logs in.
    ///
    /// `credential` is the line of `credentials.conf` for the site, options included; none where
    /// there is none. A protocol whose connections are virtual returns a cheap handle here.
    ///
    /// # Errors
    /// `Auth` when the login is refused, `Temporary` when the server can't be reached or is busy,
    /// `Config` when an option of the credential makes no sense.
    async fn connect(
        &self,
        site: &Site,
        credential: Option<&Credential>,
    ) -> Result<Box<dyn Remote>, Error>;
}

/// What a connection can do beside fetching. The core asks before it tries, and does without where
/// that is harmless (times, modes) or says so (rename).
///
/// Without `rename` an upload has its final name from the start; it is off as well where renaming is
/// copying, and nobody sees an upload before it is whole. File operations ask for it all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "each field is named after its operation")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a set of flags is what it is"
)]
pub struct Abilities {
    pub resume: bool,
    pub list: bool,
    pub put: bool,
    pub rename: bool,
    pub mkdir: bool,
    pub remove: bool,
    pub rmdir: bool,
    pub chmod: bool,
    pub utime: bool,
    pub symlink: bool,
    pub hard_link: bool,
}

/// What is known of a file there. Nothing is guessed: what the server does not say is none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct About {
    /// What it is.
    pub kind: EntryKind,
    /// Bytes of the whole file, even where only the rest of it is sent.
    pub size: Option<u64>,
    /// Modification time.
    pub mtime: Option<Timestamp>,
    /// Permission bits.
    pub mode: Option<u32>,
    /// MIME type.
    pub content_type: Option<String>,
    /// Fingerprint, where the other side keeps one (object metadata).
    pub identity: Option<Identity>,
    /// Changes when the content does, and only then (a strong `ETag`).
    pub version: Option<String>,
}

/// A fetch to be continued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// Bytes that are here already.
    pub offset: u64,
    /// The file as it was when those were read.
    pub about: About,
}

/// A fetch that has begun.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Opened {
    /// What the server said of the file.
    pub about: About,
    /// Where the bytes start: the offset asked for, or 0 where the file has changed since or the
    /// server can't resume.
    pub offset: u64,
}

/// What an entry of a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EntryKind {
    /// Content.
    #[default]
    File,
    /// A directory.
    Directory,
    /// A symbolic link, not followed.
    Link,
    /// A device, a socket, ….
    Other,
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// One path element, as the server has it; not checked yet.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Bytes, where exactly known: `1.2K` is none.
    pub size: Option<u64>,
    /// Modification time, as precise as the listing.
    pub mtime: Option<Timestamp>,
    /// Permission bits.
    pub mode: Option<u32>,
    /// Where a link points to.
    pub target: Option<String>,
}

/// Bytes that come in pieces, of any size, never empty.
#[async_trait]
pub trait Chunks: Send {
    /// The next piece; none at the end.
    ///
    /// # Errors
    /// The source can't be read; whoever was writing it gives up, and leaves nothing half done that
    /// looks whole.
    async fn next(&mut self) -> Result<Option<Bytes>, Error>;
}

/// A connection to a tree of files.
///
/// Operations that a protocol lacks keep their default, which fails as `Unsupported`, and their flag
/// in [`Abilities`] stays off.
#[async_trait]
pub trait Remote: Send {
    /// What it can do; the same for the life of the connection.
    fn abilities(&self) -> Abilities;

    /// Whether the connection is good for another operation. Asked after every one, also after one
    /// that was dropped half-way: a protocol that can't tell where its peer is then says no.
    fn is_usable(&self) -> bool {
        true
    }

    /// Starts to fetch a file.
    ///
    /// With `resume`, the bytes from its offset on are wanted, but only if the file is still the one
    /// `resume.about` describes (same version, or same size and time); otherwise it starts at 0.
    ///
    /// # Errors
    /// `NotFound` when there is no such file.
    async fn open(&mut self, path: &RemotePath, resume: Option<&Resume>) -> Result<Opened, Error>;

    /// The next bytes of the file being fetched, in pieces as large as is convenient (64 KiB to
    /// 1 MiB); none at its end.
    ///
    /// # Errors
    /// `Broken` when the connection ends before the content does. Where the protocol itself can't
    /// tell an end from a cut, the core compares with the size, if it is known.
    async fn read(&mut self) -> Result<Option<Bytes>, Error>;

    /// What is known of a file, without fetching it.
    ///
    /// # Errors
    /// `NotFound` when there is nothing.
    async fn stat(&mut self, path: &RemotePath) -> Result<About, Error> {
        let _ = path;
        Err(Error::unsupported("ask about a file"))
    }

    /// Starts to list a directory.
    ///
    /// # Errors
    /// `NotFound` when there is no such directory.
    async fn list(&mut self, directory: &RemotePath) -> Result<(), Error> {
        let _ = directory;
        Err(Error::unsupported("list a directory"))
    }

    /// More entries of the directory being listed, at most `limit`, in any order; nothing at its
    /// end. A huge directory is never held in memory as a whole where the protocol allows.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    async fn entries(&mut self, limit: usize) -> Result<Vec<Entry>, Error> {
        let _ = limit;
        Err(Error::unsupported("list a directory"))
    }

    /// Writes a file under exactly this name, replacing one that is there; its directory exists.
    ///
    /// `about` says what is known beforehand (size, type, times), for protocols that want it first.
    /// Returns once the server has confirmed it all. In-flight names are the caller's business.
    ///
    /// # Errors
    /// As the server says; also when `body` fails, with its error.
    async fn put(
        &mut self,
        path: &RemotePath,
        about: &About,
        body: &mut dyn Chunks,
    ) -> Result<(), Error> {
        let _ = (path, about, body);
        Err(Error::unsupported("write files"))
    }

    /// Renames, replacing what has the new name.
    ///
    /// # Errors
    /// `NotFound` when the old one does not exist.
    async fn rename(&mut self, from: &RemotePath, to: &RemotePath) -> Result<(), Error> {
        let _ = (from, to);
        Err(Error::unsupported("rename"))
    }

    /// Makes a directory and those above it; fine if it is there. `mode` is for those it makes.
    ///
    /// # Errors
    /// As the server says.
    async fn mkdir_all(&mut self, directory: &RemotePath, mode: Option<u32>) -> Result<(), Error> {
        let _ = (directory, mode);
        Err(Error::unsupported("make directories"))
    }

    /// Removes a file or a link.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    async fn remove(&mut self, path: &RemotePath) -> Result<(), Error> {
        let _ = path;
        Err(Error::unsupported("remove files"))
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// `NotFound` when there is none, `Permanent` when it is not empty.
    async fn rmdir(&mut self, directory: &RemotePath) -> Result<(), Error> {
        let _ = directory;
        Err(Error::unsupported("remove directories"))
    }

    /// Sets permission bits.
    ///
    /// # Errors
    /// As the server says; the core takes no notice after an upload but for a warning.
    async fn chmod(&mut self, path: &RemotePath, mode: u32) -> Result<(), Error> {
        let _ = (path, mode);
        Err(Error::unsupported("set modes"))
    }

    /// Sets the times.
    ///
    /// # Errors
    /// As [`chmod`](Self::chmod).
    async fn utime(
        &mut self,
        path: &RemotePath,
        mtime: Timestamp,
        atime: Option<Timestamp>,
    ) -> Result<(), Error> {
        let _ = (path, mtime, atime);
        Err(Error::unsupported("set times"))
    }

    /// Makes the symbolic link `path` that says `target`, as written, replacing a file or link.
    ///
    /// # Errors
    /// As the server says.
    async fn symlink(&mut self, path: &RemotePath, target: &str) -> Result<(), Error> {
        let _ = (path, target);
        Err(Error::unsupported("make symbolic links"))
    }

    /// Makes `path` another name of `existing`, replacing a file or link.
    ///
    /// # Errors
    /// `NotFound` when `existing` does not exist.
    async fn hard_link(&mut self, path: &RemotePath, existing: &RemotePath) -> Result<(), Error> {
        let _ = (path, existing);
        Err(Error::unsupported("make hard links"))
    }

    /// Says goodbye, where that is the custom. Not called on connections that broke.
    async fn close(&mut self) {}
}
