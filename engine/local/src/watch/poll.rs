//! The watch that looks for itself: walks the tree and compares it with what the state remembers.
//!
//! A walk is a stream of pages. Its place is in memory, what it knows is in the state: a directory's
//! rows say exactly what was announced of it, at every page. Memory holds the entries of one directory
//! and the names of directories still to be visited.
//!
//! A root that vanishes is not taken for the removal of everything in it: it may be a file system
//! that is not mounted. Neither is an empty one on another device than before.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use flow_message::Message;
use flow_runtime::ports::{Failure, Gathered, State};

use super::OnStart;
use super::memory::{Folder, Seen};
use super::scan::{changed, made_since};
use crate::announce::{Announcer, Made, Op, Work};
use crate::walk::{Kind, Visited};

/// Under which key the state says that everything was seen once.
const WALKED: &str = "poll.walked";
/// Under which key it has, until then, from when on what happens is announced.
const SINCE: &str = "poll.since";
/// How long one gather looks without finding anything before others get their turn.
const PATIENCE: Duration = Duration::from_secs(2);
/// Names recorded in one pass, whether or not anything is said of them.
const RECORDS: usize = 50_000;

#[derive(Debug)]
pub(crate) struct Poller(Option<Box<Walker>>);

impl Poller {
    /// `made`: when the watch was made.
    pub(crate) fn new(
        roots: Vec<PathBuf>,
        announcer: Arc<Announcer>,
        on_start: OnStart,
        made: i128,
    ) -> Self {
        Self(Some(Box::new(Walker {
            roots,
            announcer,
            on_start,
            made,
            first: true,
            walking: false,
            known: None,
            stack: Vec::new(),
            visit: None,
            visited: Visited::default(),
        })))
    }

    /// Whether a walk is under way, so that there is no reason to wait.
    pub(crate) fn is_walking(&self) -> bool {
        self.0.as_ref().is_none_or(|walker| walker.walking)
    }

    pub(crate) async fn gather(
        &mut self,
        limit: usize,
        state: Arc<dyn State>,
    ) -> Result<Gathered, Failure> {
        let Some(mut walker) = self.0.take() else {
            return Err(Failure::Permanent(
                "the walk through the tree was given up while it was under way".to_owned(),
            ));
        };
        let span = tracing::Span::current();
        let (walker, result) = tokio::task::spawn_blocking(move || {
            let result = span.in_scope(|| walker.page(limit, &*state));
            if result.is_err() {
                // What this page wrote is forgotten with it.
                walker.walking = false;
            }
            (walker, result)
        })
        .await
        .map_err(|panic| Failure::Permanent(format!("walking the tree failed: {panic}")))?;
        let more = walker.walking;
        self.0 = Some(walker);
        let messages = result?;
        Ok(Gathered { messages, more })
    }
}

/// What is to be visited.
#[derive(Debug)]
enum Step {
    /// A directory that is there.
    Look(PathBuf),
    /// One name in a directory: a root that is a file.
    LookFor(PathBuf, OsString),
    /// A directory that is gone, with what was in it.
    Gone(PathBuf),
    /// It is gone and so is what was in it.
    Finish(PathBuf),
}

#[derive(Debug)]
struct Walker {
    roots: Vec<PathBuf>,
    announcer: Arc<Announcer>,
    on_start: OnStart,
    made: i128,
    /// No walk since the start was finished.
    first: bool,
    walking: bool,
    /// What was there before this is remembered and not announced.
    known: Option<i128>,
    stack: Vec<Step>,
    visit: Option<Visit>,
    visited: Visited,
}

/// One directory, compared.
#[derive(Debug)]
struct Visit {
    directory: PathBuf,
    folder: Folder,
    changes: VecDeque<(OsString, Option<Seen>)>,
    /// What is not announced.
    silent: VecDeque<(OsString, Option<Seen>)>,
    /// The shares of the folder that are not as stored.
    changed: BTreeSet<u32>,
}

impl Walker {
    fn page(&mut self, limit: usize, state: &dyn State) -> Result<Vec<Message>, Failure> {
        if !self.walking {
            self.begin(state)?;
        }
        let deadline = Instant::now() + PATIENCE;
        let mut messages = Vec::new();
        let mut recorded = 0;
        while messages.len() < limit && recorded < RECORDS && Instant::now() < deadline {
            let Some(mut visit) = self.visit.take() else {
                match self.stack.pop() {
                    Some(step) => self.step(step, state, &mut messages)?,
                    None => {
                        self.end(state)?;
                        break;
                    }
                }
                continue;
            };
            recorded += self.compare(&mut visit, limit - messages.len(), &mut messages);
            if visit.changes.is_empty() && visit.silent.is_empty() {
                visit.save(state)?;
            } else {
                self.visit = Some(visit);
            }
        }
        if let Some(visit) = &mut self.visit {
            visit.save(state)?;
        }
        self.announcer.mix(&mut messages);
        Ok(messages)
    }

    fn begin(&mut self, state: &dyn State) -> Result<(), Failure> {
        let walked = state.get(WALKED)?.is_some();
        self.known = match self.on_start {
            OnStart::Nothing => self.first.then_some(i128::MAX),
            OnStart::Changed if !walked => Some(self.since(state)?),
            OnStart::Changed | OnStart::Everything => None,
        };
        self.walking = true;
        self.visit = None;
        self.visited = Visited::default();
        self.stack.clear();
        for root in self.roots.iter().rev() {
            match fs::metadata(root) {
                Ok(metadata) if metadata.is_dir() => {
                    if is_there(root, &metadata, state)? {
                        self.stack.push(Step::Look(root.clone()));
                    }
                }
                Ok(_) => {
                    if let (Some(parent), Some(name)) = (root.parent(), root.file_name()) {
                        let step = Step::LookFor(parent.to_owned(), name.to_owned());
                        self.stack.push(step);
                    }
                }
                Err(error) => self.announcer.warn_unreadable(root, &error),
            }
        }
        Ok(())
    }

    /// When a watch of this flow was made for the first time.
    fn since(&self, state: &dyn State) -> Result<i128, Failure> {
        let since = state.get(SINCE)?;
        let since = since.and_then(|value| String::from_utf8(value).ok()?.parse().ok());
        if since.is_none() {
            state.put(SINCE, Some(self.made.to_string().into_bytes()), None)?;
        }
        Ok(since.unwrap_or(self.made))
    }

    fn end(&mut self, state: &dyn State) -> Result<(), Failure> {
        self.walking = false;
        self.first = false;
        if state.get(WALKED)?.is_none() {
            state.put(WALKED, Some(b"1".to_vec()), None)?;
            state.put(SINCE, None, None)?;
        }
        Ok(())
    }

    fn step(
        &mut self,
        step: Step,
        state: &dyn State,
        messages: &mut Vec<Message>,
    ) -> Result<(), Failure> {
        match step {
            Step::Look(directory) => self.look(directory, None, state),
            Step::LookFor(directory, name) => self.look(directory, Some(&name), state),
            Step::Gone(directory) => {
                let folder = Folder::load(state, &directory)?;
                let mut changes = VecDeque::new();
                // Directories stay remembered until what is below them is told of.
                for (name, seen) in &folder.entries {
                    if seen.kind == Kind::Directory {
                        let path = directory.join(name);
                        self.stack.push(Step::Finish(path.clone()));
                        self.stack.push(Step::Gone(path));
                    } else {
                        changes.push_back((name.clone(), None));
                    }
                }
                self.visit = Some(Visit {
                    directory,
                    folder,
                    changes,
                    silent: VecDeque::new(),
                    changed: BTreeSet::new(),
                });
                Ok(())
            }
            Step::Finish(directory) => {
                let work = Work {
                    path: directory.clone(),
                    op: Op::Remove { directory: true },
                };
                if self.known.is_none() {
                    messages.extend(self.announce(&[work]).into_iter().filter_map(message_of));
                }
                Folder::load(state, &directory)?.remove(state)?;
                let (Some(parent), Some(name)) = (directory.parent(), directory.file_name()) else {
                    return Ok(());
                };
                let mut folder = Folder::load(state, parent)?;
                if folder.entries.remove(name).is_none() {
                    return Ok(());
                }
                let share = folder.share_of(name);
                folder.store(state, &[share])
            }
        }
    }

    /// Lists a directory and finds what is not as remembered.
    fn look(
        &mut self,
        directory: PathBuf,
        only: Option<&OsString>,
        state: &dyn State,
    ) -> Result<(), Failure> {
        if self.announcer.options.follow_symlinks
            && only.is_none()
            && !self.visited.first_time(&directory)
        {
            return Ok(());
        }
        let listing = match only {
            Some(name) => list_one(&directory, name, self.known),
            None => list(&directory, self.known),
        };
        let (mut listing, young) = match listing {
            Ok(listing) => listing,
            // The directory above will miss it next time.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                self.announcer.warn_unreadable(&directory, &error);
                return Ok(());
            }
        };
        self.follow(&directory, &listing);
        // A file among the roots has its memory apart from that of the directory it is in.
        let key = only.map_or_else(|| directory.clone(), |name| directory.join(name));
        let mut folder = Folder::load(state, &key)?;
        folder.grow(state, listing.len())?;
        let everything = self.first && self.on_start == OnStart::Everything;
        let mut changes = Vec::new();
        for (name, before) in &folder.entries {
            match listing.remove(name) {
                Some(now) if now.kind == before.kind => {
                    if now.kind == Kind::Directory {
                        self.stack.push(Step::Look(directory.join(name)));
                    }
                    if everything || (now != *before && now.kind != Kind::Directory) {
                        changes.push((name.clone(), Some(now)));
                    }
                }
                // Of another kind now: first it goes, the next walk finds it new.
                _ if before.kind == Kind::Directory => {
                    let path = directory.join(name);
                    self.stack.push(Step::Finish(path.clone()));
                    self.stack.push(Step::Gone(path));
                }
                _ => changes.push((name.clone(), None)),
            }
        }
        for (name, now) in listing {
            if now.kind == Kind::Directory {
                self.stack.push(Step::Look(directory.join(&name)));
            }
            changes.push((name, Some(now)));
        }
        // Removals first: what was renamed is gone before it is there. Then as if sorted by name.
        changes.sort_unstable_by(|a, b| (a.1.is_some(), &a.0).cmp(&(b.1.is_some(), &b.0)));
        let (silent, changes): (Vec<_>, Vec<_>) = changes
            .into_iter()
            .partition(|(name, _)| self.known.is_some() && !young.contains(name));
        self.visit = Some(Visit {
            directory,
            folder,
            changes: changes.into(),
            silent: silent.into(),
            changed: BTreeSet::new(),
        });
        Ok(())
    }

    /// Announces changes, at most `limit`, and takes what was announced as remembered. Returns how
    /// many names were dealt with.
    fn compare(&mut self, visit: &mut Visit, limit: usize, messages: &mut Vec<Message>) -> usize {
        if !visit.silent.is_empty() {
            let number = visit.silent.len().min(RECORDS);
            for (name, now) in visit.silent.drain(..number).collect::<Vec<_>>() {
                visit.remember(name, now);
            }
            return number;
        }
        let number = limit.min(visit.changes.len());
        let works: Vec<Work> = visit
            .changes
            .iter()
            .take(number)
            .map(|(name, now)| work_of(visit, name, *now))
            .collect();
        let made = self.announce(&works);
        let done = made.len();
        for made in made {
            let Some((name, now)) = visit.changes.pop_front() else {
                break;
            };
            match made {
                // Looked at again, as if for the first time.
                Made::Later(_) | Made::Vanished | Made::Closed => continue,
                Made::Message { message, .. } => messages.push(*message),
                Made::Nothing | Made::Impossible => {}
            }
            visit.remember(name, now);
        }
        done
    }

    fn announce(&self, works: &[Work]) -> Vec<Made> {
        self.announcer.page(works, Duration::from_millis(250))
    }

    /// Directories that links lead to are walked under their own paths.
    fn follow(&mut self, directory: &Path, listing: &HashMap<OsString, Seen>) {
        if !self.announcer.options.follow_symlinks {
            return;
        }
        for (name, seen) in listing {
            if seen.kind == Kind::Link
                && let Ok(target) = directory.join(name).canonicalize()
                && target.is_dir()
            {
                self.stack.push(Step::Look(target));
            }
        }
    }
}

fn message_of(made: Made) -> Option<Message> {
    match made {
        Made::Message { message, .. } => Some(*message),
        _ => None,
    }
}

fn work_of(visit: &Visit, name: &OsString, now: Option<Seen>) -> Work {
    let before = visit.folder.entries.get(name);
    let op = match now {
        Some(now) if now.kind == Kind::Directory => Op::Mkdir,
        Some(_) => Op::Write {
            new: before.is_none(),
            unsure: true,
        },
        None => Op::Remove {
            directory: before.is_some_and(|before| before.kind == Kind::Directory),
        },
    };
    Work {
        path: visit.directory.join(name),
        op,
    }
}

impl Visit {
    fn remember(&mut self, name: OsString, now: Option<Seen>) {
        self.changed.insert(self.folder.share_of(&name));
        match now {
            Some(now) => drop(self.folder.entries.insert(name, now)),
            None => drop(self.folder.entries.remove(&name)),
        }
    }

    fn save(&mut self, state: &dyn State) -> Result<(), Failure> {
        let changed: Vec<u32> = std::mem::take(&mut self.changed).into_iter().collect();
        if changed.is_empty() {
            return Ok(());
        }
        self.folder.store(state, &changed)
    }
}

/// Whether a root is what it was, or may be: not the empty mount point of what it was.
fn is_there(root: &Path, metadata: &fs::Metadata, state: &dyn State) -> Result<bool, Failure> {
    let key = format!("poll.device/{}", super::memory::key_of(root));
    let device = metadata.dev().to_string().into_bytes();
    let before = state.get(&key)?;
    if before.as_ref() == Some(&device) {
        return Ok(true);
    }
    let empty = fs::read_dir(root).is_ok_and(|mut entries| entries.next().is_none());
    if before.is_some() && empty && !Folder::load(state, root)?.entries.is_empty() {
        tracing::warn!(
            path = %root.display(),
            "A watched directory is empty and on another device than before: taken for a file system \
             that is not mounted, so nothing is announced as removed."
        );
        return Ok(false);
    }
    state.put(&key, Some(device), None)?;
    Ok(true)
}

/// What is in a directory, and what of that was made or changed since.
type Listing = (HashMap<OsString, Seen>, HashSet<OsString>);

fn list(directory: &Path, since: Option<i128>) -> io::Result<Listing> {
    let (mut listing, mut young) = Listing::default();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        match entry.metadata() {
            Ok(metadata) => {
                if is_young(&metadata, since) {
                    young.insert(entry.file_name());
                }
                listing.insert(entry.file_name(), seen(&metadata));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    listing.retain(|_, seen| seen.kind != Kind::Special);
    Ok((listing, young))
}

fn list_one(directory: &Path, name: &OsString, since: Option<i128>) -> io::Result<Listing> {
    let metadata = fs::symlink_metadata(directory.join(name))?;
    let young = is_young(&metadata, since).then(|| name.clone());
    let listing = HashMap::from([(name.clone(), seen(&metadata))]);
    Ok((listing, young.into_iter().collect()))
}

fn is_young(metadata: &fs::Metadata, since: Option<i128>) -> bool {
    since.is_some_and(|since| {
        if metadata.is_dir() {
            made_since(metadata, since)
        } else {
            changed(metadata) >= since
        }
    })
}

fn seen(metadata: &fs::Metadata) -> Seen {
    let mtime = metadata.mtime().saturating_mul(1_000_000_000) + metadata.mtime_nsec();
    let kind = Kind::from(metadata.file_type());
    // What a directory contains is compared by itself.
    let plain = kind != Kind::Directory;
    Seen {
        kind,
        size: if plain { metadata.len() } else { 0 },
        mtime: if plain { mtime } else { 0 },
        inode: if plain { metadata.ino() } else { 0 },
    }
}
