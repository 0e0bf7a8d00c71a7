//! One SFTP session, with many requests under way at once.
//!
//! Paths below the home are sent as relative ones: the server knows where they start. Answers are
//! matched to requests by number, so an operation that was dropped half-way harms no other; but what
//! it left open stays open, so the connection is not used again.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use flow_message::Timestamp;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use russh::Disconnect;
use russh::client::Handle;
use russh_sftp::client::RawSftpSession;
use russh_sftp::client::error::Error as SftpError;
use russh_sftp::protocol::{Data, FileAttributes, FileType, OpenFlags, Packet, Status, StatusCode};

use super::failure;
use super::hosts::Checker;
use crate::{
    Abilities, About, Chunks, Entry, EntryKind, Error, Kind, Opened, Remote, RemotePath, Resume,
};

/// Bytes of a request where the server names no limit: what every server has to take.
pub(super) const PIECE_USUAL: u32 = 32 << 10;
/// Bytes of a request at most.
pub(super) const PIECE_MAX: u32 = 64 << 10;
/// Requests under way at the same time.
pub(super) const AT_ONCE: usize = 32;

/// What the server has beyond the beginnings, and how to talk to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Can {
    pub(super) posix_rename: bool,
    pub(super) hard_link: bool,
    pub(super) at_once: usize,
    pub(super) piece: u32,
}

/// The session.
pub(super) struct Session {
    sftp: Arc<RawSftpSession>,
    connection: Handle<Checker>,
    can: Can,
    /// Something is under way, or the connection broke.
    busy: bool,
    fetch: Option<Fetch>,
    listing: Option<Listing>,
}

type Reading = Pin<Box<dyn Future<Output = (u64, u32, Result<Data, SftpError>)> + Send>>;
type Writing = Pin<Box<dyn Future<Output = Result<Status, SftpError>> + Send>>;

struct Fetch {
    handle: String,
    what: String,
    /// Where the next request starts.
    next: u64,
    /// Where the file ends, as far as it says so.
    size: Option<u64>,
    requests: FuturesOrdered<Reading>,
}

struct Listing {
    handle: String,
    path: String,
    found: VecDeque<Entry>,
    ended: bool,
}

fn name(path: &RemotePath) -> String {
    match (path.is_absolute(), path.as_str()) {
        (true, path) => format!("/{path}"),
        (false, "") => ".".to_owned(),
        // A name that starts with `~` is a name.
        (false, path) => format!("./{path}"),
    }
}

fn about(found: &FileAttributes) -> About {
    let kind = match found.permissions {
        Some(_) => match found.file_type() {
            FileType::Dir => EntryKind::Directory,
            FileType::Symlink => EntryKind::Link,
            FileType::File => EntryKind::File,
            FileType::Other => EntryKind::Other,
        },
        None => EntryKind::File,
    };
    About {
        kind,
        size: found.size.filter(|_| kind == EntryKind::File),
        mtime: found
            .mtime
            .map(|time| Timestamp::from_unix(i64::from(time), 0)),
        mode: found.permissions.map(|mode| mode & 0o7777),
        ..About::default()
    }
}

impl Session {
    pub(super) fn new(sftp: RawSftpSession, connection: Handle<Checker>, can: Can) -> Self {
        Self {
            sftp: Arc::new(sftp),
            connection,
            can,
            busy: false,
            fetch: None,
            listing: None,
        }
    }

    /// Marks the session as in use, until [`ended`](Self::ended).
    async fn begin(&mut self) {
        self.busy = true;
        let fetch = self.fetch.take().map(|fetch| fetch.handle);
        let listing = self.listing.take().map(|listing| listing.handle);
        for handle in [fetch, listing].into_iter().flatten() {
            let _ = self.sftp.close(handle).await;
        }
    }

    fn ended<T>(&mut self, done: Result<T, Error>) -> Result<T, Error> {
        self.busy = matches!(&done, Err(error) if error.is_broken());
        done
    }

    async fn start_fetch(
        &mut self,
        path: &RemotePath,
        resume: Option<&Resume>,
    ) -> Result<Opened, Error> {
        let what = format!("fetching `{path}`");
        let fail = |error| failure::of(error, &what);
        let opening = self
            .sftp
            .open(name(path), OpenFlags::READ, FileAttributes::empty());
        let handle = opening.await.map_err(fail)?.handle;
        let found = self.sftp.fstat(handle.as_str()).await.map_err(fail)?;
        let about = about(&found.attrs);
        if about.kind != EntryKind::File {
            let _ = self.sftp.close(handle).await;
            return Err(Error::permanent(format!("{what}: it is no plain file")));
        }
        let same = |resume: &&Resume| {
            about.size.is_some()
                && about.mtime.is_some()
                && (resume.about.size, resume.about.mtime) == (about.size, about.mtime)
        };
        let offset = resume.filter(same).map_or(0, |resume| resume.offset);
        self.fetch = Some(Fetch {
            handle,
            what,
            next: offset,
            size: about.size,
            requests: FuturesOrdered::new(),
        });
        Ok(Opened { about, offset })
    }

    async fn next_piece(&mut self) -> Result<Option<Bytes>, Error> {
        let Some(fetch) = &mut self.fetch else {
            return Ok(None);
        };
        loop {
            let at_once = if fetch.size.is_some() {
                self.can.at_once
            } else {
                1
            };
            while fetch.requests.len() < at_once && fetch.size.is_none_or(|end| fetch.next < end) {
                let left = fetch.size.map_or(u64::MAX, |end| end - fetch.next);
                let wanted = self.can.piece.min(u32::try_from(left).unwrap_or(u32::MAX));
                let request = ask(&self.sftp, &fetch.handle, fetch.next, wanted);
                fetch.requests.push_back(request);
                fetch.next += u64::from(wanted);
            }
            let Some((offset, wanted, answer)) = fetch.requests.next().await else {
                break;
            };
            let data = match answer {
                Ok(data) => data.data,
                Err(error) if failure::is_end(&error) => break,
                Err(error) => return Err(failure::of(error, &fetch.what)),
            };
            let got = u32::try_from(data.len()).unwrap_or(u32::MAX);
            if got > wanted {
                return Err(Error::broken(format!(
                    "{}: the server sends more than it was asked for",
                    fetch.what
                )));
            }
            if got < wanted {
                if fetch.size.is_some() {
                    // The rest has to come before what is under way already.
                    let rest = ask(
                        &self.sftp,
                        &fetch.handle,
                        offset + u64::from(got),
                        wanted - got,
                    );
                    fetch.requests.push_front(rest);
                } else {
                    fetch.next = offset + u64::from(got);
                }
            }
            if got > 0 {
                return Ok(Some(data.into()));
            }
        }
        if let Some(fetch) = self.fetch.take() {
            drop(fetch.requests);
            let closing = self.sftp.close(fetch.handle).await;
            closing.map_err(|error| failure::of(error, &fetch.what))?;
        }
        Ok(None)
    }

    async fn send(
        &mut self,
        path: &RemotePath,
        about: &About,
        body: &mut dyn Chunks,
    ) -> Result<(), Error> {
        let what = format!("sending `{path}`");
        let fail = |error| failure::of(error, &what);
        let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE;
        let attributes = FileAttributes {
            permissions: about.mode,
            ..FileAttributes::empty()
        };
        let opening = self.sftp.open(name(path), flags, attributes.clone());
        let handle = match opening.await {
            Err(SftpError::Status(status))
                if status.status_code == StatusCode::PermissionDenied =>
            {
                // One that nobody may write to, perhaps left by an earlier try.
                let refused = fail(SftpError::Status(status));
                if self.sftp.remove(name(path)).await.is_err() {
                    return Err(refused);
                }
                self.sftp.open(name(path), flags, attributes).await
            }
            opened => opened,
        };
        let handle = handle.map_err(fail)?.handle;
        match self.write_all(&handle, body, &what).await {
            Ok(()) => {
                let closed = self.sftp.close(handle).await;
                closed.map(|_| ()).map_err(fail)
            }
            Err(error) => {
                if !error.is_broken() {
                    // Nothing half done is left that looks whole.
                    let _ = self.sftp.close(handle).await;
                    let _ = self.sftp.remove(name(path)).await;
                }
                Err(error)
            }
        }
    }

    async fn write_all(
        &mut self,
        handle: &str,
        body: &mut dyn Chunks,
        what: &str,
    ) -> Result<(), Error> {
        let mut requests: FuturesOrdered<Writing> = FuturesOrdered::new();
        let mut offset = 0;
        while let Some(mut piece) = body.next().await? {
            while !piece.is_empty() {
                let part = piece.split_to(piece.len().min(self.can.piece as usize));
                let (sftp, handle) = (Arc::clone(&self.sftp), handle.to_owned());
                let at = offset;
                offset += part.len() as u64;
                requests.push_back(Box::pin(async move {
                    sftp.write(handle, at, part.to_vec()).await
                }));
                while requests.len() >= self.can.at_once {
                    if let Some(Err(error)) = requests.next().await {
                        return Err(failure::of(error, what));
                    }
                }
            }
        }
        while let Some(written) = requests.next().await {
            written.map_err(|error| failure::of(error, what))?;
        }
        Ok(())
    }

    async fn more_entries(&mut self, limit: usize) -> Result<Vec<Entry>, Error> {
        let Some(listing) = &mut self.listing else {
            return Ok(Vec::new());
        };
        let what = format!("listing `{}`", listing.path);
        while listing.found.len() < limit && !listing.ended {
            let names = match self.sftp.readdir(listing.handle.as_str()).await {
                Ok(names) => names.files,
                Err(error) if failure::is_end(&error) => {
                    listing.ended = true;
                    continue;
                }
                Err(error) => return Err(failure::of(error, &what)),
            };
            for file in names {
                if matches!(file.filename.as_str(), "." | "..") {
                    continue;
                }
                if file.filename.contains(char::REPLACEMENT_CHARACTER) {
                    let name = file.filename;
                    tracing::warn!(%name, "A name that is not UTF-8 text is passed over.");
                    continue;
                }
                let about = about(&file.attrs);
                let target = match about.kind {
                    EntryKind::Link => {
                        let link = format!("{}/{}", listing.path, file.filename);
                        let read = self.sftp.readlink(link).await.ok();
                        read.and_then(|read| read.files.into_iter().next())
                            .map(|target| target.filename)
                    }
                    _ => None,
                };
                listing.found.push_back(Entry {
                    name: file.filename,
                    kind: about.kind,
                    size: about.size,
                    mtime: about.mtime,
                    mode: about.mode,
                    target,
                });
            }
        }
        let count = listing.found.len().min(limit);
        let entries: Vec<_> = listing.found.drain(..count).collect();
        if listing.ended
            && listing.found.is_empty()
            && let Some(listing) = self.listing.take()
        {
            let _ = self.sftp.close(listing.handle).await;
        }
        Ok(entries)
    }

    async fn move_to(&mut self, from: String, to: String, what: &str) -> Result<(), Error> {
        let fail = |error| failure::of(error, what);
        if self.can.posix_rename {
            let mut data = Vec::new();
            for text in [&from, &to] {
                let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
                data.extend_from_slice(&length.to_be_bytes());
                data.extend_from_slice(text.as_bytes());
            }
            let asked = self.sftp.extended("posix-rename@openssh.com", data).await;
            return match asked.map_err(fail)? {
                Packet::Status(status) if status.status_code == StatusCode::Ok => Ok(()),
                Packet::Status(status) => Err(fail(SftpError::Status(status))),
                _ => Err(fail(SftpError::UnexpectedPacket)),
            };
        }
        match self.sftp.rename(from.as_str(), to.as_str()).await {
            Ok(_) => Ok(()),
            // The old protocol does not replace.
            Err(SftpError::Status(status)) if status.status_code != StatusCode::NoSuchFile => {
                if self.sftp.remove(to.as_str()).await.is_err() {
                    return Err(fail(SftpError::Status(status)));
                }
                self.sftp.rename(from, to).await.map(|_| ()).map_err(fail)
            }
            Err(error) => Err(fail(error)),
        }
    }

    async fn is_directory(&mut self, full: &str) -> Result<bool, Error> {
        match self.sftp.stat(full).await {
            Ok(found) => Ok(about(&found.attrs).kind == EntryKind::Directory),
            Err(error) => match failure::of(error, &format!("looking at `{full}`")) {
                error if error.is_broken() => Err(error),
                _ => Ok(false),
            },
        }
    }

    async fn make_all(&mut self, full: &str, mode: Option<u32>) -> Result<(), Error> {
        if self.is_directory(full).await? {
            return Ok(());
        }
        let ends = full.match_indices('/').map(|(at, _)| at).skip(1);
        for end in ends.chain([full.len()]).collect::<Vec<_>>() {
            let part = &full[..end];
            if self.is_directory(part).await? {
                continue;
            }
            let attributes = FileAttributes {
                permissions: mode,
                ..FileAttributes::empty()
            };
            match self.sftp.mkdir(part, attributes.clone()).await {
                Ok(_) => {
                    if mode.is_some() {
                        // The umask took its share; the option is what was asked for.
                        let _ = self.sftp.setstat(part, attributes).await;
                    }
                }
                // Another lane may have been faster.
                Err(error) => {
                    let error = failure::of(error, &format!("making the directory `{part}`"));
                    if error.is_broken() || !self.is_directory(part).await? {
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    }

    async fn set(
        &mut self,
        path: &RemotePath,
        what: &str,
        attributes: FileAttributes,
    ) -> Result<(), Error> {
        self.begin().await;
        let done = self.sftp.setstat(name(path), attributes).await;
        let done = done.map(|_| ());
        let done = done.map_err(|error| failure::of(error, &format!("{what} of `{path}`")));
        self.ended(done)
    }

    /// Makes a link under a name nobody looks at and moves it to its own.
    async fn link(&mut self, path: &RemotePath, target: Target<'_>) -> Result<(), Error> {
        let what = format!("linking `{path}`");
        let nearby = name(&path.with_name(&format!(".{}.link", path.name()))?);
        let _ = self.sftp.remove(nearby.as_str()).await;
        let made = match target {
            // The draft says the other way round; every server does as OpenSSH does.
            Target::Symbolic(target) => self.sftp.symlink(target, nearby.as_str()).await,
            Target::Hard(existing) => self.sftp.hardlink(name(existing), nearby.as_str()).await,
        };
        made.map_err(|error| failure::of(error, &what))?;
        let moved = self.move_to(nearby.clone(), name(path), &what).await;
        // Renaming one name of a file to another of the same does nothing, and leaves both.
        let _ = self.sftp.remove(nearby).await;
        moved
    }
}

/// What a link leads to.
enum Target<'a> {
    Symbolic(&'a str),
    Hard(&'a RemotePath),
}

fn ask(sftp: &Arc<RawSftpSession>, handle: &str, offset: u64, wanted: u32) -> Reading {
    let (sftp, handle) = (Arc::clone(sftp), handle.to_owned());
    Box::pin(async move { (offset, wanted, sftp.read(handle, offset, wanted).await) })
}

#[async_trait]
impl Remote for Session {
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
            hard_link: self.can.hard_link,
        }
    }

    fn is_usable(&self) -> bool {
        !self.busy && self.fetch.is_none() && self.listing.is_none() && !self.connection.is_closed()
    }

    async fn open(&mut self, path: &RemotePath, resume: Option<&Resume>) -> Result<Opened, Error> {
        self.begin().await;
        let done = self.start_fetch(path, resume).await;
        self.ended(done)
    }

    async fn read(&mut self) -> Result<Option<Bytes>, Error> {
        self.busy = true;
        let done = self.next_piece().await;
        self.ended(done)
    }

    async fn stat(&mut self, path: &RemotePath) -> Result<About, Error> {
        self.begin().await;
        let done = self.sftp.stat(name(path)).await;
        let done = done.map(|found| about(&found.attrs));
        let done = done.map_err(|error| failure::of(error, &format!("looking at `{path}`")));
        self.ended(done)
    }

    async fn list(&mut self, directory: &RemotePath) -> Result<(), Error> {
        self.begin().await;
        let path = name(directory);
        let done = self.sftp.opendir(path.as_str()).await;
        let done = done.map_err(|error| failure::of(error, &format!("listing `{directory}`")));
        let done = done.map(|opened| {
            self.listing = Some(Listing {
                handle: opened.handle,
                path,
                found: VecDeque::new(),
                ended: false,
            });
        });
        self.ended(done)
    }

    async fn entries(&mut self, limit: usize) -> Result<Vec<Entry>, Error> {
        self.busy = true;
        let done = self.more_entries(limit).await;
        self.ended(done)
    }

    async fn put(
        &mut self,
        path: &RemotePath,
        about: &About,
        body: &mut dyn Chunks,
    ) -> Result<(), Error> {
        self.begin().await;
        let done = self.send(path, about, body).await;
        self.ended(done)
    }

    async fn rename(&mut self, from: &RemotePath, to: &RemotePath) -> Result<(), Error> {
        self.begin().await;
        let what = format!("renaming `{from}` to `{to}`");
        let done = self.move_to(name(from), name(to), &what).await;
        self.ended(done)
    }

    async fn mkdir_all(&mut self, directory: &RemotePath, mode: Option<u32>) -> Result<(), Error> {
        self.begin().await;
        let done = self.make_all(&name(directory), mode).await;
        self.ended(done)
    }

    async fn remove(&mut self, path: &RemotePath) -> Result<(), Error> {
        self.begin().await;
        let done = self.sftp.remove(name(path)).await.map(|_| ());
        let done = done.map_err(|error| failure::of(error, &format!("removing `{path}`")));
        self.ended(done)
    }

    async fn rmdir(&mut self, directory: &RemotePath) -> Result<(), Error> {
        self.begin().await;
        let done = self.sftp.rmdir(name(directory)).await.map(|_| ());
        let done = done.map_err(|error| {
            let general = matches!(&error, SftpError::Status(status)
                if status.status_code == StatusCode::Failure);
            match failure::of(error, &format!("removing `{directory}`")) {
                // It is not empty.
                error if general => Error::new(Kind::Permanent, error.to_string()),
                error => error,
            }
        });
        self.ended(done)
    }

    async fn chmod(&mut self, path: &RemotePath, mode: u32) -> Result<(), Error> {
        let attributes = FileAttributes {
            permissions: Some(mode & 0o7777),
            ..FileAttributes::empty()
        };
        self.set(path, "setting the mode", attributes).await
    }

    async fn utime(
        &mut self,
        path: &RemotePath,
        mtime: Timestamp,
        atime: Option<Timestamp>,
    ) -> Result<(), Error> {
        // Times are 32 bits wide here: what does not fit stays as the server has it.
        let seconds = |time: Timestamp| u32::try_from(time.as_second()).ok();
        let Some(mtime) = seconds(mtime) else {
            return Err(Error::permanent(format!(
                "the time of `{path}` is none that SFTP can set"
            )));
        };
        let attributes = FileAttributes {
            mtime: Some(mtime),
            atime: atime.and_then(seconds).or(Some(mtime)),
            ..FileAttributes::empty()
        };
        self.set(path, "setting the time", attributes).await
    }

    async fn symlink(&mut self, path: &RemotePath, target: &str) -> Result<(), Error> {
        self.begin().await;
        let done = self.link(path, Target::Symbolic(target)).await;
        self.ended(done)
    }

    async fn hard_link(&mut self, path: &RemotePath, existing: &RemotePath) -> Result<(), Error> {
        self.begin().await;
        let done = self.link(path, Target::Hard(existing)).await;
        self.ended(done)
    }

    async fn close(&mut self) {
        let _ = self
            .connection
            .disconnect(Disconnect::ByApplication, "", "")
            .await;
    }
}
