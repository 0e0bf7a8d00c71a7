//! Directories that may not be read: kept by where they are, and tried again.
//!
//! A closed directory does not hold back what is noted for a restart: the start tries it again, and
//! opening it changes its inode or that of one above it, so that what is in it counts as new.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::Access;
use rustix::io::Errno;

use super::pending::Moment;
use super::shared::{Job, Shared};
use super::tree::Wd;

/// Directories that are kept, at most; for the others everything is looked at again.
const CLOSED: usize = if cfg!(test) { 10 } else { 10_000 };
/// How often that is done if none of those kept can be read.
const AGAIN: Duration = Duration::from_secs(600);

/// The directory it is in and its name there; without the former, its path.
type Place = (Option<Wd>, OsString);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Closed {
    places: HashSet<Place>,
    /// There were more, since.
    more: Option<Instant>,
    /// When all of them were tried last.
    tried: Option<i128>,
}

impl Closed {
    pub(crate) fn insert(&mut self, place: Place) {
        if self.places.len() < CLOSED || self.places.contains(&place) {
            self.places.insert(place);
        } else if self.more.is_none() {
            self.more = Some(Instant::now());
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

impl Shared {
    /// A watched directory could not be listed, or what is in it not looked at.
    pub(crate) fn unlisted(&self, wd: Wd) {
        let place = self.tree().place(wd);
        if let Some(place) = place {
            self.closed().insert(place);
        }
    }

    /// Has the directories scanned that can be read by now.
    pub(crate) fn retry_closed(&self) {
        let places: Vec<Place> = {
            let mut closed = self.closed();
            if closed.is_empty() {
                closed.tried = None;
                return;
            }
            closed.places.iter().cloned().collect()
        };
        if !self.jobs().idle() {
            return;
        }
        let now = Moment::now().wall;
        let mut opened = Vec::new();
        let mut settled = Vec::new();
        for place in places {
            let path = match place.0 {
                Some(parent) => self.tree().path(parent).map(|path| path.join(&place.1)),
                None => Some(PathBuf::from(&place.1)),
            };
            // Where the directory it was in is not watched any more, that one is scanned if it returns.
            let Some(path) = path else {
                settled.push(place);
                continue;
            };
            match rustix::fs::access(&path, Access::READ_OK | Access::EXEC_OK) {
                Ok(()) => {
                    opened.push((place.0, path));
                    settled.push(place);
                }
                Err(Errno::NOENT | Errno::NOTDIR) => settled.push(place),
                Err(_) => {}
            }
        }
        let (since, recover) = {
            let mut closed = self.closed();
            for place in &settled {
                closed.places.remove(place);
            }
            let since = closed.tried.replace(now).unwrap_or(now).min(now);
            let room = !settled.is_empty();
            let due = |more: &mut Instant| room || more.elapsed() >= AGAIN;
            (since, closed.more.take_if(due).is_some())
        };
        for (parent, path) in opened {
            self.give(Job::Opened { parent, path }, Some(since));
        }
        if recover {
            let reason = "more directories may not be read than are kept to be tried again";
            self.recover(since, reason);
        }
    }
}
