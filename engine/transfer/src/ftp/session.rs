//! One FTP connection, logged in.
//!
//! Paths go to the server as absolute ones: they do not depend on where a listing has led to. Every
//! command has one reply; while one is outstanding the connection is good for nothing else, so it is
//! busy, and whoever drops an operation half-way drops the connection.

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use flow_message::Timestamp;
use jiff::tz::TimeZone;
use suppaftp::tokio::{AsyncRustlsFtpStream, AsyncRustlsStream, TransferStream};
use suppaftp::types::Features;
use suppaftp::{FtpError, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::text::{Incoming, Outgoing};
use super::{failure, listing};
use crate::{
    Abilities, About, Chunks, Entry, EntryKind, Error, Kind, Opened, Remote, RemotePath, Resume,
};

/// Bytes read at once at most; a piece is handed on once a quarter of it is there.
const PIECE: usize = 256 << 10;

/// Longest line of a listing; longer ones are no names.
const LINE_MAX: usize = 64 << 10;

const STARTED: [Status; 2] = [Status::AboutToSend, Status::AlreadyOpen];
const DONE: [Status; 3] = [
    Status::RequestedFileActionOk,
    Status::CommandOk,
    Status::CommandNotImplemented,
];

/// The connection.
pub(super) struct Session {
    ftp: AsyncRustlsFtpStream,
    /// Where one lands after the login; without a slash at its end.
    home: String,
    can: Can,
    ascii: bool,
    zone: TimeZone,
    /// A reply is outstanding, or the connection broke.
    busy: bool,
    fetch: Option<Fetch>,
    listing: Option<Listing>,
}

/// What the server has beyond the beginnings of FTP.
#[derive(Debug, Clone, Copy)]
struct Can {
    machine: bool,
    size: bool,
    mdtm: bool,
    mfmt: bool,
    /// Until it refuses.
    chmod: bool,
    /// Likewise.
    resume: bool,
}

struct Fetch {
    stream: TransferStream<AsyncRustlsStream>,
    what: String,
    /// Bytes still to come, where known.
    left: Option<u64>,
    lines: Option<Incoming>,
}

struct Listing {
    stream: TransferStream<AsyncRustlsStream>,
    what: String,
    machine: bool,
    /// Read, and not looked at yet.
    rest: BytesMut,
    ended: bool,
}

impl Session {
    pub(super) fn new(
        ftp: AsyncRustlsFtpStream,
        features: &Features,
        home: &str,
        ascii: bool,
        zone: TimeZone,
    ) -> Self {
        let has = |name: &str| features.contains_key(name);
        let can = Can {
            machine: has("MLST") || has("MLSD"),
            // Sizes in ASCII mode are of what would be sent, if they are told at all.
            size: !ascii,
            mdtm: true,
            mfmt: has("MFMT"),
            chmod: true,
            resume: !ascii,
        };
        Self {
            ftp,
            home: home.trim_end_matches('/').to_owned(),
            can,
            ascii,
            zone,
            busy: false,
            fetch: None,
            listing: None,
        }
    }

    fn full(&self, path: &RemotePath) -> String {
        let start = if path.is_absolute() { "" } else { &self.home };
        if path.as_str().is_empty() && !start.is_empty() {
            return start.to_owned();
        }
        format!("{start}/{}", path.as_str())
    }

    /// Marks the connection as in use, until [`ended`](Self::ended).
    fn begin(&mut self) {
        self.fetch = None;
        self.listing = None;
        self.busy = true;
    }

    fn ended<T>(&mut self, done: Result<T, Error>) -> Result<T, Error> {
        self.busy = matches!(&done, Err(error) if error.is_broken());
        done
    }

    async fn command(
        &mut self,
        line: String,
        good: &[Status],
        what: &str,
    ) -> Result<String, Error> {
        match self.ftp.custom_command(line, good).await {
            Ok(response) => Ok(String::from_utf8_lossy(&response.body).into_owned()),
            Err(error) => Err(failure::of(error, what)),
        }
    }

    /// What there is under a name.
    async fn look(&mut self, full: &str) -> Result<About, Error> {
        let what = format!("asking about `{full}`");
        if self.can.machine {
            let good = [Status::RequestedFileActionOk, Status::CommandOk];
            match self.command(format!("MLST {full}"), &good, &what).await {
                Ok(reply) => {
                    let mut about = listing::facts(&reply).unwrap_or_default();
                    about.size = about.size.filter(|_| self.can.size);
                    return Ok(about);
                }
                Err(error) if error.kind() == Kind::Unsupported => self.can.machine = false,
                Err(error) => return Err(error),
            }
        }
        let mut about = About::default();
        let mut missing = None;
        if self.can.size {
            match self
                .command(format!("SIZE {full}"), &[Status::File], &what)
                .await
            {
                Ok(reply) => about.size = value(&reply).parse().ok(),
                Err(error) if error.kind() == Kind::Unsupported => self.can.size = false,
                Err(error) if error.is_broken() => return Err(error),
                Err(error) => missing = Some(error),
            }
        }
        if self.can.mdtm {
            match self
                .command(format!("MDTM {full}"), &[Status::File], &what)
                .await
            {
                Ok(reply) => about.mtime = listing::time(value(&reply)),
                Err(error) if error.kind() == Kind::Unsupported => self.can.mdtm = false,
                Err(error) if error.is_broken() => return Err(error),
                Err(error) => missing = missing.or(Some(error)),
            }
        }
        if about.size.is_none() {
            // Sizes are of files; directories can be entered.
            if self.enter(full).await? {
                about.kind = EntryKind::Directory;
            } else if let Some(error) = missing.filter(|_| about.mtime.is_none()) {
                return Err(error);
            }
        }
        Ok(about)
    }

    /// Whether there is such a directory.
    async fn enter(&mut self, full: &str) -> Result<bool, Error> {
        match self.ftp.cwd(full).await {
            Ok(()) => Ok(true),
            Err(error) => match failure::of(error, &format!("entering `{full}`")) {
                error if error.is_broken() => Err(error),
                _ => Ok(false),
            },
        }
    }

    async fn start_fetch(
        &mut self,
        path: &RemotePath,
        resume: Option<&Resume>,
    ) -> Result<Opened, Error> {
        let full = self.full(path);
        let what = format!("fetching `{full}`");
        let about = match self.look(&full).await {
            Ok(about) => about,
            Err(error) if error.is_broken() => return Err(error),
            // Who may not look may still fetch; if not, fetching says why.
            Err(_) => About::default(),
        };
        if about.kind == EntryKind::Directory {
            return Err(Error::permanent(format!("{what}: it is a directory")));
        }
        let same = |resume: &&Resume| {
            about.size.is_some()
                && about.mtime.is_some()
                && (resume.about.size, resume.about.mtime) == (about.size, about.mtime)
        };
        let wanted = resume.filter(same).map_or(0, |resume| resume.offset);
        let mut offset = match usize::try_from(wanted) {
            Ok(offset) if self.can.resume => offset,
            _ => 0,
        };
        let stream = loop {
            if offset > 0 {
                self.ftp
                    .resume_transfer(offset)
                    .await
                    .map_err(|error| failure::of(error, &what))?;
            }
            match self.ftp.retr_as_stream(&full).await {
                Ok(stream) => break stream,
                Err(error) => {
                    let error = failure::of(error, &what);
                    if offset == 0 || !matches!(error.kind(), Kind::Unsupported | Kind::Permanent) {
                        return Err(error);
                    }
                    // It can't start there.
                    (offset, self.can.resume) = (0, false);
                }
            }
        };
        let offset = offset as u64;
        self.fetch = Some(Fetch {
            stream,
            what,
            left: about.size.map(|size| size.saturating_sub(offset)),
            lines: self.ascii.then(Incoming::default),
        });
        Ok(Opened { about, offset })
    }

    async fn send(&mut self, full: &str, body: &mut dyn Chunks) -> Result<(), Error> {
        let what = format!("sending `{full}`");
        let fail = |error| failure::of(error, &what);
        let mut stream = self.ftp.put_with_stream(full).await.map_err(fail)?;
        let mut lines = self.ascii.then(Outgoing::default);
        loop {
            match body.next().await {
                Ok(Some(piece)) => {
                    let piece = match &mut lines {
                        Some(lines) => lines.convert(&piece),
                        None => piece,
                    };
                    if let Err(error) = stream.write_all(&piece).await {
                        // The reply says why the server hung up, if it can still say anything.
                        let reply = stream.finish().await.err();
                        return Err(match reply {
                            Some(error @ FtpError::UnexpectedResponse(_)) => fail(error),
                            _ => fail(FtpError::ConnectionError(error)),
                        });
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    // To the server, an end is an end: what it has looks whole.
                    self.ftp.abort(stream).await.map_err(fail)?;
                    self.ftp.rm(full).await.map_err(fail)?;
                    return Err(error);
                }
            }
        }
        stream.finish().await.map_err(fail)
    }

    /// Asks for the listing of a directory.
    async fn start_list(&mut self, directory: &RemotePath) -> Result<(), Error> {
        let full = self.full(directory);
        let what = format!("listing `{full}`");
        let mut machine = self.can.machine;
        let stream = loop {
            let command = if machine {
                format!("MLSD {full}")
            } else {
                // Names with blanks, or options of `ls`: only the current directory needs no name.
                self.ftp
                    .cwd(&full)
                    .await
                    .map_err(|error| failure::of(error, &what))?;
                "LIST".to_owned()
            };
            match self.ftp.custom_data_command(command, &STARTED).await {
                Ok((_, stream)) => break stream,
                Err(error) => match failure::of(error, &what) {
                    error if machine && error.kind() == Kind::Unsupported => machine = false,
                    error if error.kind() == Kind::Permanent && machine => {
                        // 501 is what some say to what is missing.
                        return match self.enter(&full).await? {
                            true => Err(error),
                            false => Err(Error::not_found(error.to_string())),
                        };
                    }
                    error => return Err(error),
                },
            }
        };
        self.can.machine = machine;
        self.listing = Some(Listing {
            stream,
            what,
            machine,
            rest: BytesMut::new(),
            ended: false,
        });
        Ok(())
    }

    async fn more_entries(&mut self, limit: usize) -> Result<Vec<Entry>, Error> {
        let now = Timestamp::from(jiff::Timestamp::now());
        let mut entries = Vec::new();
        while let Some(listing) = &mut self.listing {
            while entries.len() < limit
                && let Some(line) = listing.line()
            {
                let entry = match listing.machine {
                    true => listing::machine(&line),
                    false => listing::line(&line, &self.zone, now),
                };
                entries.extend(entry);
            }
            if entries.len() >= limit {
                break;
            }
            if !listing.ended {
                listing.fill().await?;
                continue;
            }
            if let Some(Listing { stream, what, .. }) = self.listing.take() {
                stream
                    .finish()
                    .await
                    .map_err(|error| failure::of(error, &what))?;
            }
        }
        Ok(entries)
    }

    /// Moves something to a name; what has it goes first where the server does not replace.
    async fn move_to(&mut self, from: &str, to: &str) -> Result<(), Error> {
        let what = format!("renaming `{from}` to `{to}`");
        let good = [Status::RequestedFileActionOk, Status::CommandOk];
        let pending = [Status::RequestFilePending];
        let (old, new) = (format!("RNFR {from}"), format!("RNTO {to}"));
        self.command(old.clone(), &pending, &what).await?;
        let Err(error) = self.command(new.clone(), &good, &what).await else {
            return Ok(());
        };
        if !matches!(error.kind(), Kind::NotFound | Kind::Permanent)
            || self.ftp.rm(to).await.is_err()
        {
            return Err(error);
        }
        self.command(old, &pending, &what).await?;
        self.command(new, &good, &what).await.map(|_| ())
    }

    async fn make_all(&mut self, full: &str, mode: Option<u32>) -> Result<(), Error> {
        if self.enter(full).await? {
            return Ok(());
        }
        let ends = full.match_indices('/').map(|(at, _)| at).skip(1);
        let ends: Vec<usize> = ends.chain([full.len()]).collect();
        for end in ends {
            let part = &full[..end];
            if self.enter(part).await? {
                continue;
            }
            let what = format!("making the directory `{part}`");
            match self.ftp.mkdir(part).await {
                Ok(()) => {
                    if let Some(mode) = mode
                        && let Err(error) = self.set_mode(part, mode).await
                    {
                        if error.is_broken() {
                            return Err(error);
                        }
                        tracing::warn!(reason = %error, "The mode of a directory can't be set.");
                    }
                }
                // Another lane may have been faster.
                Err(error) => {
                    let error = failure::of(error, &what);
                    if error.is_broken() || !self.enter(part).await? {
                        return Err(match error.kind() {
                            Kind::NotFound => Error::permanent(error.to_string()),
                            _ => error,
                        });
                    }
                }
            }
        }
        Ok(())
    }

    async fn set_mode(&mut self, full: &str, mode: u32) -> Result<(), Error> {
        if !self.can.chmod {
            return Ok(());
        }
        let what = format!("setting the mode of `{full}`");
        let line = format!("SITE CHMOD {:o} {full}", mode & 0o7777);
        match self.command(line, &DONE, &what).await {
            Err(error) if error.kind() == Kind::Unsupported => {
                self.can.chmod = false;
                Err(error)
            }
            done => done.map(|_| ()),
        }
    }
}

impl Listing {
    async fn fill(&mut self) -> Result<(), Error> {
        self.rest.reserve(PIECE >> 2);
        match self.stream.read_buf(&mut self.rest).await {
            Ok(0) => self.ended = true,
            Ok(_) => {}
            // Servers that hang up without a goodbye; the reply on the other connection counts.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => self.ended = true,
            Err(error) => {
                return Err(failure::of(FtpError::ConnectionError(error), &self.what));
            }
        }
        Ok(())
    }

    /// The next whole line.
    fn line(&mut self) -> Option<String> {
        loop {
            let end = self.rest.iter().position(|byte| *byte == b'\n');
            let line = match end {
                Some(end) => self.rest.split_to(end + 1),
                None if self.rest.len() > LINE_MAX || (self.ended && !self.rest.is_empty()) => {
                    self.rest.split()
                }
                None => return None,
            };
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            match std::str::from_utf8(text) {
                Ok(text) => return Some(text.to_owned()),
                Err(_) => {
                    let line = String::from_utf8_lossy(text);
                    tracing::warn!(%line, "A name that is not UTF-8 text is passed over.");
                }
            }
        }
    }
}

/// What follows the code of a reply.
fn value(reply: &str) -> &str {
    reply.get(4..).unwrap_or_default().trim()
}

#[async_trait]
impl Remote for Session {
    fn abilities(&self) -> Abilities {
        Abilities {
            resume: !self.ascii,
            list: true,
            put: true,
            rename: true,
            mkdir: true,
            remove: true,
            rmdir: true,
            chmod: self.can.chmod,
            utime: self.can.mfmt,
            symlink: false,
            hard_link: false,
        }
    }

    fn is_usable(&self) -> bool {
        !self.busy && self.fetch.is_none() && self.listing.is_none()
    }

    async fn open(&mut self, path: &RemotePath, resume: Option<&Resume>) -> Result<Opened, Error> {
        self.begin();
        let done = self.start_fetch(path, resume).await;
        self.ended(done)
    }

    async fn read(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let Some(fetch) = &mut self.fetch else {
                return Ok(None);
            };
            let mut piece = BytesMut::with_capacity(PIECE);
            let mut ended = false;
            while !ended && piece.len() < PIECE / 4 {
                match fetch.stream.read_buf(&mut piece).await {
                    Ok(0) => ended = true,
                    Ok(count) => {
                        let left = fetch.left.map(|left| left.saturating_sub(count as u64));
                        fetch.left = left;
                    }
                    // Servers that hang up without the goodbye of TLS: an end, if all is there.
                    Err(error)
                        if error.kind() == std::io::ErrorKind::UnexpectedEof
                            && fetch.left == Some(0) =>
                    {
                        ended = true;
                    }
                    Err(error) => {
                        self.busy = true;
                        return Err(failure::of(FtpError::ConnectionError(error), &fetch.what));
                    }
                }
            }
            let mut piece = piece.freeze();
            if let Some(lines) = &mut fetch.lines {
                piece = match ended && piece.is_empty() {
                    true => lines.end(),
                    false => lines.convert(&piece),
                };
            }
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
            if !ended {
                continue;
            }
            if let Some(Fetch { stream, what, .. }) = self.fetch.take() {
                self.busy = true;
                let done = stream.finish().await;
                // Whatever the reason, not all of it came.
                let done =
                    done.map_err(|error| Error::broken(failure::of(error, &what).to_string()));
                self.ended(done)?;
            }
        }
    }

    async fn stat(&mut self, path: &RemotePath) -> Result<About, Error> {
        self.begin();
        let full = self.full(path);
        let done = self.look(&full).await;
        self.ended(done)
    }

    async fn list(&mut self, directory: &RemotePath) -> Result<(), Error> {
        self.begin();
        let done = self.start_list(directory).await;
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
        if about.mode == Some(0) {
            return Err(Error::config(
                "FTP can't create files that nobody may read, as `inflight: umask` wants; \
                 use `inflight: .tmp` or another",
            ));
        }
        self.begin();
        let full = self.full(path);
        let done = self.send(&full, body).await;
        self.ended(done)
    }

    async fn rename(&mut self, from: &RemotePath, to: &RemotePath) -> Result<(), Error> {
        self.begin();
        let (from, to) = (self.full(from), self.full(to));
        let done = self.move_to(&from, &to).await;
        self.ended(done)
    }

    async fn mkdir_all(&mut self, directory: &RemotePath, mode: Option<u32>) -> Result<(), Error> {
        self.begin();
        let full = self.full(directory);
        let done = self.make_all(&full, mode).await;
        self.ended(done)
    }

    async fn remove(&mut self, path: &RemotePath) -> Result<(), Error> {
        self.begin();
        let full = self.full(path);
        let done = self.ftp.rm(&full).await;
        let done = done.map_err(|error| failure::of(error, &format!("removing `{full}`")));
        self.ended(done)
    }

    async fn rmdir(&mut self, directory: &RemotePath) -> Result<(), Error> {
        self.begin();
        let full = self.full(directory);
        let done = match self.ftp.rmdir(&full).await {
            Ok(()) => Ok(()),
            Err(error) => {
                let error = failure::of(error, &format!("removing `{full}`"));
                match error.kind() {
                    // There, but it stays: it is not empty.
                    Kind::NotFound => match self.enter(&full).await {
                        Ok(true) => Err(Error::permanent(error.to_string())),
                        Ok(false) => Err(error),
                        Err(error) => Err(error),
                    },
                    _ => Err(error),
                }
            }
        };
        self.ended(done)
    }

    async fn chmod(&mut self, path: &RemotePath, mode: u32) -> Result<(), Error> {
        self.begin();
        let full = self.full(path);
        let done = self.set_mode(&full, mode).await;
        self.ended(done)
    }

    async fn utime(
        &mut self,
        path: &RemotePath,
        mtime: Timestamp,
        _atime: Option<Timestamp>,
    ) -> Result<(), Error> {
        self.begin();
        let full = self.full(path);
        let what = format!("setting the time of `{full}`");
        let line = format!("MFMT {} {full}", listing::stamp(mtime));
        let good = [
            Status::File,
            Status::RequestedFileActionOk,
            Status::CommandOk,
        ];
        let done = self.command(line, &good, &what).await.map(|_| ());
        self.ended(done)
    }

    async fn close(&mut self) {
        if self.is_usable() {
            let _ = self.ftp.quit().await;
        }
    }
}
