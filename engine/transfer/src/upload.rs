//! Delivering local content to a tree of files elsewhere.
//!
//! Content is written under an in-flight name, gets its mode and times there, and is renamed: nobody
//! sees it half done under its final name, where the protocol can rename. A redo overwrites what a
//! crash left, because in-flight names follow from final ones. File operations are carried out where
//! the protocol can and `fileEvents` wants them.

mod body;
mod operation;
mod source;
mod target;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use flow_config::{Inflight, SafeUrl};
use flow_message::Message;
use flow_runtime::ports::{
    Callback, Content, Edit, EntryPoints, Failure, Fate, Item, Outcome, Rejection, State, Worked,
};
use tokio::time::Instant;

use self::body::Body;
use self::source::{Source, remove_sent};
use self::target::{Target, target};
use crate::download::overlapped;
use crate::{About, Carrier, Connection, EntryKind, Error, Kind, RemotePath, Site};

/// The callback that sends, for one lane.
pub struct Upload {
    shared: Arc<Shared>,
}

struct Shared {
    carrier: Carrier,
    site: Site,
    base: RemotePath,
    /// See [`Protocol::has_home`](crate::Protocol::has_home).
    has_home: bool,
    /// What is announced for what was sent.
    base_url: String,
    /// Directories known to be there.
    directories: Mutex<HashSet<RemotePath>>,
}

impl Upload {
    pub(crate) fn new(carrier: Carrier, send_to: &SafeUrl) -> Result<Self, Error> {
        let (site, base) =
            Site::of(send_to).map_err(|error| Error::config(format!("`sendTo`: {error}")))?;
        let has_home = carrier.protocol(&site.scheme)?.has_home();
        Ok(Self {
            shared: Arc::new(Shared {
                carrier,
                has_home,
                site,
                base,
                base_url: send_to.without_password(),
                directories: Mutex::default(),
            }),
        })
    }
}

impl Shared {
    async fn send(self: Arc<Self>, content: Arc<dyn Content>, item: Item) -> Worked {
        match self.try_send(&content, &item).await {
            Ok(worked) => worked,
            Err(error) => match error.kind() {
                // A missing thing elsewhere says nothing about the message, which stays to be sent.
                Kind::NotFound => Worked::Fail(Failure::temporary(error.to_string())),
                _ => Worked::Fail(error.into()),
            },
        }
    }

    async fn try_send(&self, content: &Arc<dyn Content>, item: &Item) -> Result<Worked, Error> {
        if let Some(rejection) = self.unwanted(&item.message) {
            return Ok(Worked::Reject(rejection));
        }
        let target = target(&self.base, self.has_home, item)?;
        let mut again = self.carrier.settings().resumes;
        loop {
            let mut connection = self.carrier.connect(&self.site).await?;
            let done = match &item.message.file_op {
                Some(op) => {
                    self.operate(&mut connection, op, content, item, &target)
                        .await
                }
                None => {
                    self.deliver(&mut connection, content, item, &target.path)
                        .await
                }
            };
            match done {
                Ok(done) => {
                    connection.done();
                    return Ok(match done {
                        Ok(()) => Worked::Done(self.edits(target)),
                        Err(rejection) => Worked::Reject(rejection),
                    });
                }
                Err(error) if error.is_broken() && again > 0 => again -= 1,
                Err(error) => {
                    if !error.is_broken() {
                        connection.done();
                    }
                    return Err(error);
                }
            }
        }
    }

    /// What the message alone forbids.
    fn unwanted(&self, message: &Message) -> Option<Rejection> {
        let settings = self.carrier.settings();
        let reject = |code, reason| Some(Rejection { code, reason });
        if !settings.file_events.include(message) {
            let path = &message.rel_path;
            return reject(
                202,
                format!("what `{path}` is about is not in `fileEvents`"),
            );
        }
        if message.blocks.is_some() {
            let reason = "it announces a block of a file, and files are sent whole here";
            return reject(503, reason.into());
        }
        match (message.size, settings.file_size_max) {
            (Some(size), Some(most)) if size > most.get() => {
                reject(413, format!("{size} bytes are more than `fileSizeMax`"))
            }
            _ => None,
        }
    }

    /// What is announced: where it is now.
    fn edits(&self, target: Target) -> Vec<Edit> {
        let (base_url, rel_path) = match target.rel_path {
            Some(rel_path) => (self.base_url.clone(), rel_path),
            None => {
                let slash = if self.has_home { "/" } else { "" };
                let base_url = format!("{}{slash}", self.site);
                (base_url, target.path.as_str().to_owned())
            }
        };
        vec![
            Edit::BaseUrl(base_url),
            Edit::RelPath(rel_path),
            Edit::RetrievePath(None),
        ]
    }

    /// Sends content; an `Ok(Err)` is a rejection.
    async fn deliver(
        &self,
        connection: &mut Connection,
        content: &Arc<dyn Content>,
        item: &Item,
        path: &RemotePath,
    ) -> Result<Result<(), Rejection>, Error> {
        let open = || Source::open(content, item, self.carrier.settings().accept_size_wrong);
        let source = match open()? {
            Ok(source) => source,
            Err(rejection) => return Ok(Err(rejection)),
        };
        if !self.carrier.settings().overwrite
            && let Some(known) = self.there(connection, item, path, source.size).await?
        {
            return Ok(known);
        }
        self.make_directory(connection, path.parent()).await?;
        match self.put(connection, source, item, path).await {
            // Somebody removed the directory since.
            Err(error) if error.kind() == Kind::NotFound => {
                self.forget_directories();
                self.make_directory(connection, path.parent()).await?;
                let source = match open()? {
                    Ok(source) => source,
                    Err(rejection) => return Ok(Err(rejection)),
                };
                self.put(connection, source, item, path).await.map(Ok)
            }
            done => done.map(Ok),
        }
    }

    /// What it means that something is at `path` and must stay; none if there is nothing. What looks
    /// like what is to be sent was sent before, by a try whose end nobody heard of.
    async fn there(
        &self,
        connection: &mut Connection,
        item: &Item,
        path: &RemotePath,
        size: u64,
    ) -> Result<Option<Result<(), Rejection>>, Error> {
        let asking = connection.stat(path);
        let found = match self.carrier.bounded("asking about a file", asking).await {
            Err(error) if error.kind() == Kind::NotFound => return Ok(None),
            Err(error) if error.kind() == Kind::Unsupported => {
                return Err(Error::permanent(format!(
                    "the server can't say whether `{path}` is there, which `overwrite: off` takes"
                )));
            }
            found => found?,
        };
        // Servers keep seconds.
        let second = |time: flow_message::Timestamp| time.as_millisecond().div_euclid(1000);
        let dated = match (item.message.mtime, found.mtime) {
            (Some(here), Some(there)) if self.carrier.settings().time_copy => {
                second(here) == second(there)
            }
            _ => true,
        };
        if found.size == Some(size) && dated {
            return Ok(Some(Ok(())));
        }
        let reason = format!("`{path}` exists there and `overwrite` is off");
        Ok(Some(Err(Rejection { code: 204, reason })))
    }

    async fn put(
        &self,
        connection: &mut Connection,
        source: Source,
        item: &Item,
        path: &RemotePath,
    ) -> Result<(), Error> {
        let settings = self.carrier.settings();
        let (message, can) = (&item.message, connection.abilities());
        let Source { reader, size } = source;
        let mode = match message.mode {
            Some(mode) if settings.perm_copy => Some(mode),
            _ => settings.perm_default,
        };
        // Without rename an upload appears under its own name, whole or not, as the server does it.
        let name = if can.rename {
            self.inflight(connection, path).await?
        } else {
            None
        };
        let written = name.as_ref().unwrap_or(path);
        let hidden = settings.inflight == Inflight::Umask;
        let about = About {
            kind: EntryKind::File,
            size: Some(size),
            mtime: message.mtime.filter(|_| settings.time_copy),
            mode: if hidden { Some(0) } else { mode },
            content_type: message.content_type.clone(),
            identity: message.identity.clone(),
            version: None,
        };
        let mut body = Body::new(reader, size, self.carrier.throttle());
        self.watched(connection, written, &about, &mut body).await?;
        let mode = if hidden {
            Some(mode.unwrap_or(0o644))
        } else {
            mode
        };
        if let Some(mode) = mode.filter(|_| can.chmod) {
            let setting = connection.chmod(written, mode);
            harmless(
                "mode",
                self.carrier.bounded("setting a mode", setting).await,
            )?;
        }
        if let Some(mtime) = about.mtime.filter(|_| can.utime) {
            let setting = connection.utime(written, mtime, message.atime);
            harmless(
                "time",
                self.carrier.bounded("setting a time", setting).await,
            )?;
        }
        match &name {
            Some(name) => {
                let renaming = connection.rename(name, path);
                self.carrier.bounded("renaming", renaming).await
            }
            None => Ok(()),
        }
    }

    /// Uploads; fails if neither bytes nor the end move for `timeout`.
    async fn watched(
        &self,
        connection: &mut Connection,
        path: &RemotePath,
        about: &About,
        body: &mut Body,
    ) -> Result<(), Error> {
        let limit = self.carrier.settings().timeout;
        let moved = body.moved();
        let last = || *moved.lock().unwrap_or_else(PoisonError::into_inner);
        let putting = connection.put(path, about, body);
        tokio::pin!(putting);
        loop {
            let until = last() + limit;
            tokio::select! {
                done = &mut putting => return done,
                () = tokio::time::sleep_until(until) => {
                    if last() + limit <= Instant::now() {
                        return Err(Error::broken(format!(
                            "sending `{path}`: nothing moved for {limit:?} (`timeout`)"
                        )));
                    }
                }
            }
        }
    }

    /// The name to write under, if it is not the final one.
    async fn inflight(
        &self,
        connection: &mut Connection,
        path: &RemotePath,
    ) -> Result<Option<RemotePath>, Error> {
        let name = path.name();
        Ok(match &self.carrier.settings().inflight {
            Inflight::None | Inflight::Umask => None,
            Inflight::Dot => Some(path.with_name(&format!(".{name}"))?),
            Inflight::Suffix(suffix) => Some(path.with_name(&format!("{name}{suffix}"))?),
            Inflight::Directory(directory) => {
                let parent = path.parent().unwrap_or_else(|| path.root());
                let directory = match directory.starts_with('/') {
                    true => RemotePath::of_url("//")?.join(directory)?,
                    false => parent.join(directory)?,
                };
                self.make_directory(connection, Some(directory.clone()))
                    .await?;
                Some(directory.join(name)?)
            }
        })
    }

    async fn make_directory(
        &self,
        connection: &mut Connection,
        directory: Option<RemotePath>,
    ) -> Result<(), Error> {
        let Some(directory) = directory.filter(|_| connection.abilities().mkdir) else {
            return Ok(());
        };
        if self.directories().contains(&directory) {
            return Ok(());
        }
        let mode = self.carrier.settings().perm_directory;
        let making = connection.mkdir_all(&directory, mode);
        self.carrier.bounded("making a directory", making).await?;
        self.directories().insert(directory);
        Ok(())
    }

    fn directories(&self) -> std::sync::MutexGuard<'_, HashSet<RemotePath>> {
        self.directories
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn forget_directories(&self) {
        self.directories().clear();
    }
}

/// A mode or a time that can't be set harms nobody: the content is there.
fn harmless(what: &str, done: Result<(), Error>) -> Result<(), Error> {
    match done {
        Err(error) if !error.is_broken() => {
            tracing::warn!(reason = %error, "The {what} of a file sent can't be set.");
            Ok(())
        }
        done => done,
    }
}

fn place(message: &Message, item: &Item) -> String {
    match &item.location {
        Some(location) => location.path().to_string_lossy().into_owned(),
        None => message.rel_path.clone(),
    }
}

#[async_trait]
impl Callback for Upload {
    fn name(&self) -> &str {
        "send"
    }

    fn entry_points(&self) -> EntryPoints {
        EntryPoints {
            lifecycle: true,
            send: true,
            settled: self.shared.carrier.settings().delete,
            ..EntryPoints::default()
        }
    }

    fn schemes(&self) -> &[String] {
        std::slice::from_ref(&self.shared.site.scheme)
    }

    async fn send(
        &mut self,
        batch: &[Item],
        content: Arc<dyn Content>,
        _state: Arc<dyn State>,
    ) -> Result<Vec<Worked>, Failure> {
        let shared = Arc::clone(&self.shared);
        let permits = Arc::clone(shared.carrier.permits());
        // Operations on directories concern what is in them: such a batch goes one by one.
        let ordered = batch.iter().any(|item| item.message.file_op.is_some());
        let work = move |item| Arc::clone(&shared).send(Arc::clone(&content), item);
        let place = |item: &Item| match ordered {
            true => String::new(),
            false => place(&item.message, item),
        };
        Ok(overlapped(batch, &permits, place, work).await)
    }

    /// With `delete_source`, removes what was sent and is safe. The messages are those the loop tells
    /// of files it sent: they say where the file is here.
    async fn settled(
        &mut self,
        outcomes: &[Outcome],
        _state: Arc<dyn State>,
    ) -> Result<(), Failure> {
        let carrier = &self.shared.carrier;
        for outcome in outcomes {
            let message = &outcome.item.message;
            if outcome.fate != Fate::Posted || !carrier.settings().delete {
                continue;
            }
            match remove_sent(carrier, message).await {
                Ok(()) => {}
                // Asking again changes nothing about these.
                Err(error) if matches!(error.kind(), Kind::Unsupported | Kind::Permanent) => {
                    tracing::warn!(path = %message.rel_path, reason = %error, "A file that was sent can't be removed and stays.");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn housekeeping(&mut self, _state: Arc<dyn State>) -> Result<(), Failure> {
        self.shared.forget_directories();
        self.shared.carrier.close_idle(false).await;
        Ok(())
    }

    async fn stop(&mut self) {
        self.shared.carrier.close_idle(true).await;
    }
}
