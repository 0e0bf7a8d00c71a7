//! Delivering local content to a tree of files elsewhere.
//!
//! Content is written under an in-flight name, gets its mode and times there, and is renamed: nobody
//! sees it half done under its final name, where the protocol can rename. A redo overwrites what a
//! crash left, because in-flight names follow from final ones. File operations are carried out where
//! the protocol can and `fileEvents` wants them.

use std::collections::HashSet;
use std::path::Component;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flow_config::SafeUrl;
use flow_message::{FileOp, Message};
use flow_runtime::ports::{
    Callback, Content, ContentReader, Edit, EntryPoints, Failure, Gathered, Item, Outcome,
    Rejection, State, Verdict, Worked,
};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::download::overlapped;
use crate::{
    About, Carrier, Chunks, Connection, EntryKind, Error, Inflight, Kind, RemotePath, Site,
    Throttle,
};

/// Bytes read at once.
const PIECE: usize = 256 << 10;

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

/// What an item is there.
struct Target {
    path: RemotePath,
    /// Below `sendTo`; none where it is elsewhere.
    rel_path: Option<String>,
}

/// Where an item goes: its location, taken as a path there, or else its `relPath`. A relative
/// directory is below `sendTo`, an absolute one is absolute there as well.
fn target(base: &RemotePath, has_home: bool, item: &Item) -> Result<Target, Error> {
    let Some(location) = &item.location else {
        return Ok(Target {
            path: base.join(&item.message.rel_path)?,
            rel_path: Some(item.message.rel_path.trim_start_matches('/').to_owned()),
        });
    };
    let path = location.path();
    let mut text = String::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => {
                let name = name.to_str().ok_or_else(|| {
                    Error::permanent(format!("`{}` is not UTF-8 text", path.display()))
                })?;
                text.push('/');
                text.push_str(name);
            }
            Component::ParentDir | Component::Prefix(_) => {
                return Err(Error::permanent(format!(
                    "`{}` leads out of its directory",
                    path.display()
                )));
            }
        }
    }
    if path.is_absolute() {
        let absolute = RemotePath::of_url("//")?.join(&text)?;
        let rel_path = Some(absolute.as_str())
            // From a home nobody knows where it is, no absolute path is known to be below it.
            .filter(|_| !has_home || base.is_absolute())
            .and_then(|path| path.strip_prefix(base.as_str()))
            .filter(|rest| base.as_str().is_empty() || rest.starts_with('/'))
            .map(|rest| rest.trim_start_matches('/').to_owned());
        return Ok(Target {
            path: absolute,
            rel_path,
        });
    }
    Ok(Target {
        path: base.join(&text)?,
        rel_path: Some(text.trim_start_matches('/').to_owned()),
    })
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
        let target = target(&self.base, self.has_home, item)?;
        let mut again = self.carrier.settings().resumes;
        loop {
            let mut connection = self.carrier.connect(&self.site).await?;
            let done = match &item.message.file_op {
                Some(op) => self.operate(&mut connection, op, item, &target).await,
                None => self
                    .deliver(&mut connection, content, item, &target)
                    .await
                    .map(|()| Ok(())),
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

    async fn deliver(
        &self,
        connection: &mut Connection,
        content: &Arc<dyn Content>,
        item: &Item,
        target: &Target,
    ) -> Result<(), Error> {
        self.make_directory(connection, target.path.parent())
            .await?;
        match self.put(connection, content, item, &target.path).await {
            // Somebody removed the directory since.
            Err(error) if error.kind() == Kind::NotFound => {
                self.forget_directories();
                self.make_directory(connection, target.path.parent())
                    .await?;
                self.put(connection, content, item, &target.path).await
            }
            done => done,
        }
    }

    async fn put(
        &self,
        connection: &mut Connection,
        content: &Arc<dyn Content>,
        item: &Item,
        path: &RemotePath,
    ) -> Result<(), Error> {
        let settings = self.carrier.settings();
        let (message, can) = (&item.message, connection.abilities());
        let (reader, size) = content.open(item.id).map_err(of_content)?;
        if let Some(announced) = message.size.filter(|announced| *announced != size)
            && !settings.accept_size_wrong
        {
            return Err(Error::permanent(format!(
                "the file here has {size} bytes, {announced} were announced; \
                 `acceptSizeWrong: true` would send it"
            )));
        }
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
        let mut body = Body {
            reader: Some(reader),
            first: size.min(PIECE as u64) as usize,
            throttle: Arc::clone(self.carrier.throttle()),
            moved: Arc::new(Mutex::new(Instant::now())),
            left: size,
        };
        self.watched(connection, written, &about, &mut body).await?;
        let mode = if hidden {
            Some(mode.unwrap_or(0o644))
        } else {
            mode
        };
        if let Some(mode) = mode.filter(|_| can.chmod) {
            harmless("mode", connection.chmod(written, mode).await)?;
        }
        if let Some(mtime) = about.mtime.filter(|_| can.utime) {
            harmless(
                "time",
                connection.utime(written, mtime, message.atime).await,
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
        let moved = Arc::clone(&body.moved);
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
                let directory = parent.join(directory)?;
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

    /// Carries out a file operation (S§5.5); an `Ok(Err)` is a rejection.
    async fn operate(
        &self,
        connection: &mut Connection,
        op: &FileOp,
        item: &Item,
        target: &Target,
    ) -> Result<Result<(), Rejection>, Error> {
        let events = self.carrier.settings().file_events;
        let unwanted = |what: &str| {
            let reason = format!("`fileEvents` does not name `{what}`");
            Ok(Err(Rejection { code: 202, reason }))
        };
        let path = &target.path;
        if op.remove {
            if op.directory && !events.rmdir {
                return unwanted("rmdir");
            }
            if !op.directory && !events.delete {
                return unwanted("delete");
            }
            self.forget_directories();
            let removed = match op.directory {
                true => connection.rmdir(path).await,
                false => connection.remove(path).await,
            };
            return match removed {
                // It is gone, which is what was wanted.
                Err(error) if error.kind() == Kind::NotFound => Ok(Ok(())),
                Err(error) if error.kind() == Kind::Permanent => Ok(Err(Rejection {
                    code: 500,
                    reason: error.to_string(),
                })),
                done => done.map(Ok),
            };
        }
        if let Some(old) = &op.rename {
            self.make_directory(connection, path.parent()).await?;
            self.forget_directories();
            let old = self.placed(item, target, old)?;
            let renamed = connection.rename(&old, path).await;
            return match renamed {
                // Nobody sent the old one here: the message is to be sent again as plain content,
                // which only its producer can.
                Err(error) if error.kind() == Kind::NotFound => Ok(Err(Rejection {
                    code: 410,
                    reason: format!("there is nothing to rename: {error}"),
                })),
                done => done.map(Ok),
            };
        }
        if let Some(link) = op.link.as_deref() {
            if !events.link {
                return unwanted("link");
            }
            if !stays_inside(target, link) {
                let reason = format!("the link leads to `{link}`, which is outside of `sendTo`");
                return Ok(Err(Rejection { code: 422, reason }));
            }
            self.make_directory(connection, path.parent()).await?;
            return connection.symlink(path, link).await.map(Ok);
        }
        if let Some(existing) = &op.hlink {
            if !events.link {
                return unwanted("link");
            }
            self.make_directory(connection, path.parent()).await?;
            let existing = self.placed(item, target, existing)?;
            return connection.hard_link(path, &existing).await.map(Ok);
        }
        if op.directory {
            if !events.mkdir {
                return unwanted("mkdir");
            }
            let mode = item
                .message
                .mode
                .filter(|_| self.carrier.settings().perm_copy);
            let mode = mode.or(self.carrier.settings().perm_directory);
            return connection.mkdir_all(path, mode).await.map(Ok);
        }
        Ok(Err(Rejection {
            code: 503,
            reason: "this version does not know the file operation".into(),
        }))
    }

    /// Where another path of the same message is: as its own, if that was mirrored.
    fn placed(&self, item: &Item, target: &Target, other: &str) -> Result<RemotePath, Error> {
        let own = item.message.rel_path.trim_start_matches('/');
        // The path there ends as the message's own does; what is in front was put there.
        match target.path.as_str().strip_suffix(own) {
            Some(front) => target.path.root().join(front)?.join(other),
            None => {
                let name = other.rsplit('/').next().unwrap_or(other);
                target.path.with_name(name)
            }
        }
    }
}

/// Whether a link at `target` that says `link` points below `sendTo`. Whoever announces links must
/// not make the next upload write elsewhere.
fn stays_inside(target: &Target, link: &str) -> bool {
    let Some(rel_path) = &target.rel_path else {
        return false;
    };
    if link.starts_with('/') || link.chars().any(char::is_control) {
        return false;
    }
    let mut depth = rel_path.split('/').filter(|part| !part.is_empty()).count() as i64 - 1;
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => depth -= 1,
            _ => depth += 1,
        }
        if depth < 0 {
            return false;
        }
    }
    true
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

/// Content that can't be read here.
fn of_content(failure: Failure) -> Error {
    match failure {
        Failure::Temporary { reason, .. } | Failure::Plugin(reason) => Error::temporary(reason),
        Failure::Permanent(reason) => Error::permanent(reason),
        Failure::Auth(reason) => Error::auth(reason),
        Failure::Config(reason) => Error::config(reason),
    }
}

/// Local content being sent.
struct Body {
    reader: Option<Box<dyn ContentReader>>,
    first: usize,
    throttle: Arc<Throttle>,
    /// When bytes last moved.
    moved: Arc<Mutex<Instant>>,
    left: u64,
}

#[async_trait]
impl Chunks for Body {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let Some(mut reader) = self.reader.take() else {
            return Ok(None);
        };
        // The first piece is small and mostly the only one: not worth a thread.
        let data = if self.first > 0 && self.first < PIECE {
            let most = std::mem::take(&mut self.first);
            let data = reader.read(most).map_err(of_content)?;
            self.reader = Some(reader);
            data
        } else {
            let (reader, data) = tokio::task::spawn_blocking(move || {
                let data = reader.read(PIECE);
                (reader, data)
            })
            .await
            .map_err(|error| Error::temporary(error.to_string()))?;
            self.reader = Some(reader);
            data.map_err(of_content)?
        };
        if data.is_empty() {
            self.reader = None;
            if self.left > 0 {
                return Err(Error::temporary(
                    "the file became shorter while it was sent",
                ));
            }
            return Ok(None);
        }
        self.left = self.left.saturating_sub(data.len() as u64);
        self.throttle.take(data.len()).await;
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        Ok(Some(data.into()))
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
            ..EntryPoints::default()
        }
    }

    fn schemes(&self) -> &[String] {
        std::slice::from_ref(&self.shared.site.scheme)
    }

    async fn start(&mut self) -> Result<Option<u32>, Failure> {
        Ok(None)
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

    async fn housekeeping(&mut self, _state: Arc<dyn State>) -> Result<(), Failure> {
        self.shared.forget_directories();
        self.shared.carrier.close_idle(false).await;
        Ok(())
    }

    async fn stop(&mut self) {
        self.shared.carrier.close_idle(true).await;
    }

    // The entry points an upload does not have.

    async fn gather(&mut self, _: usize, _: Arc<dyn State>) -> Result<Gathered, Failure> {
        Ok(Gathered::default())
    }

    async fn wait(&mut self, _: Duration, _: Arc<Notify>) -> Result<bool, Failure> {
        Ok(false)
    }

    async fn settled(&mut self, _: &[Outcome], _: Arc<dyn State>) -> Result<(), Failure> {
        Ok(())
    }

    async fn after_accept(
        &mut self,
        batch: &[Item],
        _: Arc<dyn State>,
    ) -> Result<Vec<Verdict>, Failure> {
        Ok(batch.iter().map(|_| Verdict::Keep).collect())
    }

    async fn download(
        &mut self,
        _: &[Item],
        _: Arc<dyn Content>,
        _: Arc<dyn State>,
    ) -> Result<Vec<Worked>, Failure> {
        Err(Failure::Config("a send does not download".into()))
    }

    async fn after_work(
        &mut self,
        batch: &[Item],
        _: Arc<dyn Content>,
        _: Arc<dyn State>,
    ) -> Result<Vec<Verdict>, Failure> {
        Ok(batch.iter().map(|_| Verdict::Keep).collect())
    }
}
