//! Listing an origin and announcing what is there.
//!
//! A poll walks the directories of its paths, one listing at a time, and hands out what it finds a
//! page at a time: between two calls of `gather` the walk keeps its place, connection and all, so
//! that neither a huge directory nor a deep tree is held in memory. Which files are new is not asked
//! here: masks, ages and nodupe are the loop's.
//!
//! A directory that can't be listed costs the walk that directory; the next walk tries again.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use flow_config::SafeUrl;
use flow_message::{Identity, Message, Timestamp};
use flow_runtime::ports::{Callback, EntryPoints, Failure, Gathered, State};

use crate::{Carrier, Connection, Entry, EntryKind, Error, Kind, RemotePath, Site, check_name};

/// Entries asked for at once.
const PAGE: usize = 1_000;

/// What a poll looks at.
#[derive(Debug, Clone)]
pub struct PollOptions {
    /// Directories to list (`path`), below `pollUrl`, or absolute with a leading slash where the
    /// protocol knows a difference; without any, `pollUrl` itself.
    pub paths: Vec<String>,
    /// Whether directories found are listed as well (`recursive`).
    pub recursive: bool,
    /// Whether links are announced as what they point to (`follow_symlinks`); otherwise they are
    /// passed over. Linked directories are never walked: they may lead in circles.
    pub follow_symlinks: bool,
    /// Bits a file's mode must have to be announced, where the listing says (`permDefault` of a
    /// poll: 0400).
    pub mode_min: u32,
    /// Fingerprint whoever downloads is to compute: the value of `cod`.
    pub identity: String,
}

impl Default for PollOptions {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            recursive: true,
            follow_symlinks: false,
            mode_min: 0o400,
            identity: "sha512".into(),
        }
    }
}

/// The callback that polls.
pub struct Poll {
    plan: Plan,
    walk: Option<Walk>,
}

/// What to list, and how.
struct Plan {
    carrier: Carrier,
    site: Site,
    options: PollOptions,
    roots: Vec<Root>,
}

/// A path to list.
#[derive(Debug, Clone)]
struct Root {
    /// What is announced as `baseUrl`.
    base_url: Arc<str>,
    directory: Directory,
}

/// A directory, as the server knows it and as messages name it.
#[derive(Debug, Clone)]
struct Directory {
    path: RemotePath,
    /// Below the base URL; empty for the base itself.
    rel_path: String,
}

impl Directory {
    fn below(&self, name: &str) -> Result<Self, Error> {
        let mut rel_path = self.rel_path.clone();
        if !rel_path.is_empty() {
            rel_path.push('/');
        }
        rel_path.push_str(name);
        Ok(Self {
            path: self.path.join(name)?,
            rel_path,
        })
    }
}

/// A walk under way.
#[derive(Default)]
struct Walk {
    /// Directories to come, the next one last.
    pending: Vec<(Arc<str>, Directory)>,
    /// The one being listed.
    current: Option<Current>,
    /// Found, and not handed out yet.
    ready: VecDeque<Message>,
    listed: usize,
    /// Why the last directory that could not be listed couldn't.
    failed: Option<Error>,
}

struct Current {
    connection: Connection,
    base_url: Arc<str>,
    directory: Directory,
    /// Directories found in it, to be listed after it.
    found: Vec<(Arc<str>, Directory)>,
    refused: usize,
}

impl Poll {
    pub(crate) fn new(
        carrier: Carrier,
        poll_url: &SafeUrl,
        options: PollOptions,
    ) -> Result<Self, Error> {
        let config = |error: Error| Error::config(format!("`pollUrl` or `path`: {error}"));
        let (site, base) = Site::of(poll_url).map_err(config)?;
        let has_home = carrier.protocol(&site.scheme)?.has_home();
        let poll_base: Arc<str> = poll_url.without_password().into();
        let mut roots = Vec::new();
        let paths = match options.paths.as_slice() {
            [] => &[String::new()][..],
            paths => paths,
        };
        for path in paths {
            let root = if has_home && path.starts_with('/') && base.as_str().is_empty() {
                let directory = Directory {
                    path: RemotePath::of_url("//")
                        .and_then(|root| root.join(path))
                        .map_err(config)?,
                    rel_path: RemotePath::default()
                        .join(path)
                        .map_err(config)?
                        .as_str()
                        .to_owned(),
                };
                Root {
                    base_url: format!("{site}/").into(),
                    directory,
                }
            } else {
                let directory = Directory {
                    path: base.join(path).map_err(config)?,
                    rel_path: RemotePath::default()
                        .join(path)
                        .map_err(config)?
                        .as_str()
                        .to_owned(),
                };
                Root {
                    base_url: Arc::clone(&poll_base),
                    directory,
                }
            };
            roots.push(root);
        }
        let plan = Plan {
            carrier,
            site,
            options,
            roots,
        };
        Ok(Self { plan, walk: None })
    }
}

impl Plan {
    fn begin(&self) -> Walk {
        let pending = self.roots.iter().rev();
        Walk {
            pending: pending
                .map(|root| (Arc::clone(&root.base_url), root.directory.clone()))
                .collect(),
            ..Walk::default()
        }
    }

    /// Goes one page further; false at the end of the walk.
    async fn step(&self, walk: &mut Walk) -> Result<bool, Error> {
        if walk.current.is_none() {
            let Some((base_url, directory)) = walk.pending.pop() else {
                return Ok(false);
            };
            let listed = self.list(&directory).await;
            match listed {
                Ok(connection) => {
                    walk.listed += 1;
                    walk.current = Some(Current {
                        connection,
                        base_url,
                        directory,
                        found: Vec::new(),
                        refused: 0,
                    });
                }
                Err(error) => return note(walk, &directory, error).map(|()| true),
            }
        }
        let Some(mut current) = walk.current.take() else {
            return Ok(true);
        };
        let asking = current.connection.entries(PAGE);
        let entries = match self.carrier.bounded("listing", asking).await {
            Ok(entries) => entries,
            Err(error) => {
                // What was found before it broke is good.
                walk.pending.extend(current.found.into_iter().rev());
                return note(walk, &current.directory, error).map(|()| true);
            }
        };
        if entries.is_empty() {
            if current.refused > 0 {
                tracing::warn!(directory = %current.directory.path, entries = current.refused, "Entries with unusable names are passed over.");
            }
            walk.pending.extend(current.found.into_iter().rev());
            current.connection.done();
            return Ok(true);
        }
        for entry in entries {
            self.take(&mut current, entry, &mut walk.ready).await?;
        }
        walk.current = Some(current);
        Ok(true)
    }

    /// Starts to list; a kept connection may turn out to be dead, so it is tried twice.
    async fn list(&self, directory: &Directory) -> Result<Connection, Error> {
        let mut again = true;
        loop {
            let mut connection = self.carrier.connect(&self.site).await?;
            if !connection.abilities().list {
                return Err(Error::config(format!(
                    "`{}` has no way to list a directory",
                    self.site
                )));
            }
            let listing = connection.list(&directory.path);
            match self.carrier.bounded("listing", listing).await {
                Ok(()) => return Ok(connection),
                Err(error) if error.is_broken() && again => again = false,
                Err(error) => {
                    if !error.is_broken() {
                        connection.done();
                    }
                    return Err(error);
                }
            }
        }
    }

    async fn take(
        &self,
        current: &mut Current,
        entry: Entry,
        ready: &mut VecDeque<Message>,
    ) -> Result<(), Error> {
        if let Err(refused) = check_name(&entry.name) {
            if current.refused == 0 {
                tracing::debug!(directory = %current.directory.path, reason = %refused, "An entry is passed over.");
            }
            current.refused += 1;
            return Ok(());
        }
        let place = current.directory.below(&entry.name)?;
        let entry = match entry.kind {
            EntryKind::Directory => {
                if self.options.recursive {
                    current.found.push((Arc::clone(&current.base_url), place));
                }
                return Ok(());
            }
            EntryKind::File => entry,
            EntryKind::Link if self.options.follow_symlinks => {
                match self.resolve(&place, entry).await? {
                    Some(entry) => entry,
                    None => return Ok(()),
                }
            }
            EntryKind::Link | EntryKind::Other => return Ok(()),
        };
        let wanted = self.options.mode_min;
        if entry.mode.is_some_and(|mode| mode & wanted != wanted) {
            return Ok(());
        }
        let now = Timestamp::from(jiff::Timestamp::now());
        let mut message = Message::new(now, &*current.base_url, place.rel_path);
        message.size = entry.size;
        message.mtime = entry.mtime;
        message.mode = entry.mode.map(|mode| mode & 0o777);
        message.identity = Some(Identity {
            method: "cod".into(),
            value: self.options.identity.clone(),
        });
        ready.push_back(message);
        Ok(())
    }

    /// What a link points to, if that is a file. Over another connection: this one is listing.
    async fn resolve(&self, place: &Directory, entry: Entry) -> Result<Option<Entry>, Error> {
        let mut connection = self.carrier.connect(&self.site).await?;
        let asking = connection.stat(&place.path);
        let about = self.carrier.bounded("asking about a link", asking).await;
        match about {
            Ok(about) => {
                connection.done();
                Ok((about.kind == EntryKind::File).then_some(Entry {
                    kind: EntryKind::File,
                    size: about.size,
                    mtime: about.mtime,
                    mode: about.mode,
                    ..entry
                }))
            }
            // It dangles, or leads to where we must not look.
            Err(error) if !error.is_broken() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A directory could not be listed: worth a warning, unless it is about the site as a whole.
fn note(walk: &mut Walk, directory: &Directory, error: Error) -> Result<(), Error> {
    if matches!(error.kind(), Kind::Auth | Kind::Config) {
        return Err(error);
    }
    tracing::warn!(directory = %directory.path, reason = %error, "A directory can't be listed.");
    walk.failed = Some(error);
    Ok(())
}

#[async_trait]
impl Callback for Poll {
    fn name(&self) -> &str {
        "poll"
    }

    fn entry_points(&self) -> EntryPoints {
        EntryPoints {
            lifecycle: true,
            gather: true,
            ..EntryPoints::default()
        }
    }

    async fn gather(&mut self, limit: usize, _state: Arc<dyn State>) -> Result<Gathered, Failure> {
        let limit = limit.max(1);
        let mut walk = match self.walk.take() {
            Some(walk) => walk,
            None => self.plan.begin(),
        };
        // The loop takes an empty page for the end, whatever else it says.
        let mut more = true;
        while walk.ready.len() < limit && more {
            more = self.plan.step(&mut walk).await?;
        }
        let count = limit.min(walk.ready.len());
        let mut messages: Vec<Message> = walk.ready.drain(..count).collect();
        messages.sort_by_key(|message| message.mtime);
        if more || !walk.ready.is_empty() {
            self.walk = Some(walk);
            return Ok(Gathered {
                messages,
                more: true,
            });
        }
        match walk.failed {
            Some(error) if walk.listed == 0 => {
                let failure = Failure::from(error);
                // The path may come (back): a poll goes on asking.
                Err(match failure {
                    Failure::Permanent(reason) => Failure::temporary(reason),
                    failure => failure,
                })
            }
            _ => Ok(Gathered {
                messages,
                more: false,
            }),
        }
    }

    async fn housekeeping(&mut self, _state: Arc<dyn State>) -> Result<(), Failure> {
        self.plan.carrier.close_idle(false).await;
        Ok(())
    }

    async fn stop(&mut self) {
        self.walk = None;
        self.plan.carrier.close_idle(true).await;
    }
}
