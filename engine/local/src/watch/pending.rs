//! What happened and is not announced yet: in order, coalesced, bounded.
//!
//! Works come out in the order in which they happened, once nothing more happened to their path for
//! the *settle time*. Repeated writes of one path become one. A file that was made and removed, or
//! made and renamed, before anybody was told never had its first name. Renames and removals are never
//! joined over each other, because their order among different paths matters (`a→b, c→a, b→c`).
//!
//! *Held* paths come later: too young, or found by looking and so perhaps still being written. Those
//! wait until the kernel's queue has been empty once, so that what is known of them is known. What may
//! not be looked at is held as well, again and again: it moves with the directories above it.
//!
//! This is plain data: every time is handed in, no file is looked at.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::announce::{Op, Work};

#[cfg(test)]
mod tests;

/// Files being written that are remembered; beyond, a removal may be told of what never was.
const OPEN: usize = 100_000;

/// Renames of directories that are remembered for what is being looked at meanwhile.
const MOVED: usize = 10_000;

/// A point in time on both clocks: the steady one to wait by, and nanoseconds since 1970, which file
/// times are compared with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) steady: Instant,
    pub(crate) wall: i128,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self {
            steady: Instant::now(),
            wall: crate::announce::now().as_nanosecond(),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Pending {
    works: BTreeMap<u64, Entry>,
    /// The work of a path that a further happening may be joined with.
    last: HashMap<PathBuf, u64>,
    held: HashMap<PathBuf, Held>,
    held_order: BTreeMap<(Instant, u64), PathBuf>,
    /// Files that were made and not closed yet: since when, and whether the name is new.
    open: HashMap<PathBuf, (Moment, bool)>,
    /// Directories renamed since [`Self::all_told`], while what was taken is being looked at.
    moved: Vec<(PathBuf, PathBuf)>,
    next: u64,
    settle: Duration,
    /// How long a path that is written again and again waits at most.
    longest: Duration,
    /// The kernel's queue is empty, as far as is known.
    quiet: bool,
    /// When it was empty last.
    quiet_at: Moment,
}

#[derive(Debug)]
struct Entry {
    path: PathBuf,
    op: Op,
    /// Nobody was ever told of this path.
    fresh: bool,
    first: Moment,
    last: Instant,
}

#[derive(Debug)]
struct Held {
    key: (Instant, u64),
    since: Moment,
    new: bool,
    fresh: bool,
    unsure: bool,
    directory: bool,
}

impl Pending {
    pub(crate) fn new(settle: Duration, now: Moment) -> Self {
        Self {
            works: BTreeMap::new(),
            last: HashMap::new(),
            held: HashMap::new(),
            held_order: BTreeMap::new(),
            open: HashMap::new(),
            moved: Vec::new(),
            next: 0,
            settle,
            longest: (settle * 10).max(Duration::from_millis(100)),
            quiet: true,
            quiet_at: now,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.works.len() + self.held.len()
    }

    fn push(&mut self, path: PathBuf, op: Op, fresh: bool, first: Moment, last: Instant) {
        let number = self.number();
        self.last.insert(path.clone(), number);
        let entry = Entry {
            path,
            op,
            fresh,
            first,
            last,
        };
        self.works.insert(number, entry);
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Moves a work to the end of the queue, unless it waits long enough.
    fn renew(&mut self, number: u64, now: Instant) {
        let Some(mut entry) = self.works.remove(&number) else {
            return;
        };
        if now.duration_since(entry.first.steady) >= self.longest {
            self.works.insert(number, entry);
            return;
        }
        entry.last = now;
        let number = self.number();
        self.last.insert(entry.path.clone(), number);
        self.works.insert(number, entry);
    }

    fn entry_of(&mut self, path: &Path) -> Option<(u64, &mut Entry)> {
        let number = *self.last.get(path)?;
        Some((number, self.works.get_mut(&number)?))
    }

    fn take_entry(&mut self, path: &Path) -> Option<Entry> {
        let number = self.last.remove(path)?;
        self.works.remove(&number)
    }

    fn unhold(&mut self, path: &Path) -> Option<Held> {
        let held = self.held.remove(path)?;
        self.held_order.remove(&held.key);
        Some(held)
    }

    /// A file was made, and will be closed.
    pub(crate) fn opened(&mut self, path: PathBuf, now: Moment) {
        if self.open.len() >= OPEN {
            self.open.clear();
        }
        let new = !self.last.contains_key(&path);
        self.open.entry(path).or_insert((now, new));
    }

    pub(crate) fn is_open(&self, path: &Path) -> bool {
        self.open.contains_key(path)
    }

    /// A file was closed after writing, or came here, or a link was made. `new`: the name did not
    /// exist before.
    pub(crate) fn write(&mut self, path: PathBuf, new: bool, now: Moment) {
        let held = self.unhold(&path);
        let open = self.open.remove(&path);
        let new = new || open.is_some_and(|(_, new)| new);
        let (new, fresh) = held
            .as_ref()
            .map_or((new, new), |held| (new || held.new, new || held.fresh));
        if let Some((number, entry)) = self.entry_of(&path) {
            match entry.op {
                Op::Write { .. } => {
                    self.renew(number, now.steady);
                    return;
                }
                Op::Remove { directory: false } => {
                    // Replaced: receivers have the old one, and overwrite it.
                    let new = false;
                    entry.op = Op::Write { new, unsure: false };
                    entry.fresh = false;
                    self.renew(number, now.steady);
                    return;
                }
                _ => {}
            }
        }
        let since = held.map(|held| held.since).or(open.map(|(since, _)| since));
        let first = since.unwrap_or(now);
        let op = Op::Write { new, unsure: false };
        self.push(path, op, fresh, first, now.steady);
    }

    /// Something is gone.
    pub(crate) fn remove(&mut self, path: PathBuf, directory: bool, now: Moment) {
        let held = self.unhold(&path);
        let open = self.open.remove(&path);
        let untold = held.is_some_and(|held| held.fresh) || open.is_some_and(|(_, new)| new);
        if untold && !self.last.contains_key(&path) {
            return;
        }
        if let Some((number, entry)) = self.entry_of(&path) {
            match (&entry.op, directory) {
                (Op::Write { .. }, false) | (Op::Mkdir, true) if entry.fresh => {
                    self.take_entry(&path);
                    return;
                }
                (Op::Write { .. }, false) => {
                    entry.op = Op::Remove { directory };
                    self.renew(number, now.steady);
                    return;
                }
                (Op::Remove { directory: before }, _) if *before == directory => return,
                _ => {}
            }
        }
        self.push(path, Op::Remove { directory }, false, now, now.steady);
    }

    /// A directory was made, or came here.
    pub(crate) fn mkdir(&mut self, path: PathBuf, now: Moment) {
        let fresh = match self.entry_of(&path) {
            Some((_, entry)) if entry.op == Op::Mkdir => return,
            entry => entry.is_none(),
        };
        self.push(path, Op::Mkdir, fresh, now, now.steady);
    }

    /// Something has another name now.
    pub(crate) fn rename(&mut self, from: PathBuf, to: PathBuf, directory: bool, now: Moment) {
        // What was at the new name is overwritten, by this at the latest.
        let overwritten = matches!(
            self.entry_of(&to).map(|(_, entry)| &entry.op),
            Some(Op::Write { .. } | Op::Remove { directory: false })
        );
        let replaced = overwritten.then(|| self.take_entry(&to)).flatten();
        self.unhold(&to);
        self.last.remove(&to);
        if directory {
            self.rename_directory(&from, &to, now);
        } else {
            self.rename_file(from, to, replaced.is_none(), now);
        }
    }

    fn rename_file(&mut self, from: PathBuf, to: PathBuf, to_is_new: bool, now: Moment) {
        if let Some((since, new)) = self.open.remove(&from) {
            // Still being written: it is told of when it is closed, under its new name.
            self.open.insert(to.clone(), (since, new && to_is_new));
            if self.unhold(&from).is_none_or(|held| held.fresh) {
                return;
            }
        }
        if let Some(held) = self.unhold(&from) {
            if !held.fresh {
                let rename = rename_op(from, false);
                self.push(to.clone(), rename, false, held.since, now.steady);
                self.last.remove(&to);
            }
            let held = Held {
                new: held.new && to_is_new,
                fresh: false,
                ..held
            };
            self.hold_again(to, held);
            return;
        }
        let written = matches!(self.entry_of(&from), Some((_, entry)) if matches!(entry.op, Op::Write { .. }));
        // Whatever else was said of the old name stays said, in its place.
        let entry = written.then(|| self.take_entry(&from)).flatten();
        self.last.remove(&from);
        let fresh = entry.as_ref().is_some_and(|entry| entry.fresh);
        let first = entry.as_ref().map_or(now, |entry| entry.first);
        if !fresh {
            let rename = rename_op(from, false);
            self.push(to.clone(), rename, false, first, now.steady);
            self.last.remove(&to);
        }
        if entry.is_some() {
            // The new name may have been there before, so its removal will be told.
            let new = fresh && to_is_new;
            let op = Op::Write { new, unsure: false };
            self.push(to, op, false, first, now.steady);
        }
    }

    fn rename_directory(&mut self, from: &Path, to: &Path, now: Moment) {
        if self.moved.len() < MOVED {
            self.moved.push((from.to_owned(), to.to_owned()));
        }
        let made =
            matches!(self.entry_of(from), Some((_, entry)) if entry.fresh && entry.op == Op::Mkdir);
        if made {
            let first = self.take_entry(from).map_or(now, |entry| entry.first);
            self.push(to.to_owned(), Op::Mkdir, true, first, now.steady);
        } else {
            self.last.remove(from);
            let rename = rename_op(from.to_owned(), true);
            self.push(to.to_owned(), rename, false, now, now.steady);
            self.last.remove(to);
        }
        // What waits below the old name is found below the new one, after the rename.
        let moved = |path: &Path| match path.strip_prefix(from).ok()? {
            below if below.as_os_str().is_empty() => Some(to.to_owned()),
            below => Some(to.join(below)),
        };
        let waiting: Vec<u64> = self
            .works
            .iter()
            .filter(|(_, entry)| {
                matches!(entry.op, Op::Write { .. } | Op::Mkdir) && entry.path.starts_with(from)
            })
            .map(|(number, _)| *number)
            .collect();
        self.last.retain(|path, _| !path.starts_with(from));
        let open: Vec<_> = self
            .open
            .extract_if(|path, _| path.starts_with(from))
            .collect();
        self.open.extend(
            open.into_iter()
                .filter_map(|(path, open)| Some((moved(&path)?, open))),
        );
        for number in waiting {
            if let Some(entry) = self.works.remove(&number)
                && let Some(path) = moved(&entry.path)
            {
                self.push(path, entry.op, entry.fresh, entry.first, now.steady);
            }
        }
        let held: Vec<(PathBuf, PathBuf)> = self
            .held
            .keys()
            .filter_map(|path| Some((path.clone(), moved(path)?)))
            .collect();
        for (old, new) in held {
            if let Some(held) = self.unhold(&old) {
                self.hold_again(new, held);
            }
        }
    }

    /// Where something is now that was taken under this path; none if nothing above it was renamed.
    pub(crate) fn now_at(&self, path: &Path) -> Option<PathBuf> {
        let mut at = None;
        for (from, to) in &self.moved {
            let current = at.as_deref().unwrap_or(path);
            if let Ok(below) = current.strip_prefix(from) {
                at = Some(to.join(below));
            }
        }
        at
    }

    /// Nothing that was taken, or found by a scan, is to be looked at any more.
    pub(crate) fn all_told(&mut self) {
        self.moved.clear();
    }

    /// Comes at `due`, unless something is said of it before. `fresh`: nobody was ever told of it.
    pub(crate) fn hold(
        &mut self,
        path: PathBuf,
        due: Instant,
        (new, fresh, unsure): (bool, bool, bool),
        since: Moment,
    ) {
        if self.last.contains_key(&path) {
            return;
        }
        let before = self.unhold(&path);
        let held = Held {
            key: (due, self.number()),
            since: before.map_or(since, |before| before.since),
            new,
            fresh,
            unsure,
            directory: false,
        };
        self.hold_again(path, held);
    }

    /// The same for a directory that was made.
    pub(crate) fn hold_directory(&mut self, path: &Path, due: Instant, since: Moment) {
        self.hold(path.to_owned(), due, (true, false, false), since);
        if let Some(held) = self.held.get_mut(path) {
            held.directory = true;
        }
    }

    fn hold_again(&mut self, path: PathBuf, held: Held) {
        self.held_order.insert(held.key, path.clone());
        self.held.insert(path, held);
    }

    /// The kernel's queue was found empty, or is about to be read again.
    pub(crate) fn set_quiet(&mut self, quiet: bool, now: Moment) {
        self.quiet = quiet;
        self.quiet_at = now;
    }

    /// When the kernel's queue was empty last.
    pub(crate) fn quiet_at(&self) -> Moment {
        self.quiet_at
    }

    /// How much [`Self::shed`] would forget.
    pub(crate) fn shed_len(&self) -> usize {
        let told = |entry: &&Entry| matches!(entry.op, Op::Remove { .. } | Op::Rename { .. });
        self.len() - self.works.values().filter(told).count()
    }

    /// Takes what is due, at most `limit`, each with the time it was first heard of.
    pub(crate) fn take(&mut self, limit: usize, now: Instant) -> Vec<(Work, Moment)> {
        let mut out = Vec::new();
        while out.len() < limit
            && let Some(first) = self.works.first_entry()
            && first.get().last + self.settle <= now
        {
            let (number, entry) = first.remove_entry();
            if self.last.get(&entry.path) == Some(&number) {
                self.last.remove(&entry.path);
            }
            let Entry {
                path, op, first, ..
            } = entry;
            out.push((Work { path, op }, first));
        }
        while out.len() < limit
            && let Some(first) = self.held_order.first_entry()
            && first.key().0 <= now
        {
            if !Self::is_known(self.quiet, self.quiet_at, self.held.get(first.get())) {
                break;
            }
            let path = first.remove();
            let Some(held) = self.held.remove(&path) else {
                continue;
            };
            let op = if held.directory {
                Op::Mkdir
            } else {
                let Held { new, unsure, .. } = held;
                Op::Write { new, unsure }
            };
            out.push((Work { path, op }, held.since));
        }
        out
    }

    /// Whether the kernel would have told by now that a held file was closed.
    fn is_known(quiet: bool, quiet_at: Moment, held: Option<&Held>) -> bool {
        quiet || held.is_none_or(|held| held.since.steady <= quiet_at.steady)
    }

    /// When something is due, which may be past. None: only what happens next can make it so.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let work = self
            .works
            .first_key_value()
            .map(|(_, entry)| entry.last + self.settle);
        let held = self
            .held_order
            .first_key_value()
            .filter(|(_, path)| Self::is_known(self.quiet, self.quiet_at, self.held.get(*path)))
            .map(|((due, _), _)| *due);
        work.into_iter().chain(held).min()
    }

    /// The wall clock's time before which everything that happened has been taken.
    pub(crate) fn safe(&self, now: Moment) -> i128 {
        let waiting = self
            .works
            .values()
            .map(|entry| entry.first.wall)
            .chain(self.held.values().map(|held| held.since.wall))
            .chain(self.open.values().map(|(since, _)| since.wall))
            .min();
        let seen = if self.quiet {
            now.wall
        } else {
            self.quiet_at.wall
        };
        waiting.map_or(seen, |waiting| waiting.min(seen))
    }

    /// Forgets what looking at the tree again will find; keeps what only was told: removals and
    /// renames.
    pub(crate) fn shed(&mut self) {
        self.works
            .retain(|_, entry| matches!(entry.op, Op::Remove { .. } | Op::Rename { .. }));
        let works = &self.works;
        self.last.retain(|_, number| works.contains_key(number));
        self.held.clear();
        self.held_order.clear();
        self.open.clear();
    }

    /// Forgets everything; returns how much it was.
    pub(crate) fn clear(&mut self) -> usize {
        let lost = self.len();
        self.works.clear();
        self.last.clear();
        self.shed();
        lost
    }
}

fn rename_op(from: PathBuf, directory: bool) -> Op {
    Op::Rename { from, directory }
}
