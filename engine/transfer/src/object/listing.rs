//! Listings, a page at a time.

use std::collections::VecDeque;
use std::fmt::Display;

use flow_message::Timestamp;

use super::Store;
use crate::{Entry, EntryKind, Error, RemotePath};

/// A directory being listed.
pub(super) struct Listing {
    /// Empty, or ends in a slash.
    directory: String,
    ready: VecDeque<Entry>,
    rest: Rest,
}

enum Rest {
    /// Nothing was asked yet.
    All,
    /// What follows this mark.
    After(String),
    Nothing,
}

impl Listing {
    pub(super) fn new(directory: &RemotePath) -> Self {
        Self {
            directory: match directory.as_str() {
                "" => String::new(),
                path => format!("{path}/"),
            },
            ready: VecDeque::new(),
            rest: Rest::All,
        }
    }

    /// At most `limit` entries; none at the end.
    pub(super) async fn next(
        &mut self,
        store: &impl Store,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        // A page may have nothing but what stands for the directory itself, or nothing at all.
        while self.ready.is_empty() && !matches!(self.rest, Rest::Nothing) {
            self.fill(store).await?;
        }
        let count = limit.max(1).min(self.ready.len());
        Ok(self.ready.drain(..count).collect())
    }

    /// Asks for the next page.
    pub(super) async fn fill(&mut self, store: &impl Store) -> Result<(), Error> {
        let after = match &self.rest {
            Rest::All => None,
            Rest::After(mark) => Some(mark.as_str()),
            Rest::Nothing => return Ok(()),
        };
        let page = store.page(&self.directory, after).await?;
        self.ready.extend(page.entries);
        self.rest = page.next.map_or(Rest::Nothing, Rest::After);
        Ok(())
    }
}

/// A page of a listing.
pub(crate) struct Page {
    /// What the names in the directory begin with.
    prefix: String,
    entries: Vec<Entry>,
    /// The mark of the next page.
    pub(crate) next: Option<String>,
}

impl Page {
    /// An empty one.
    pub(crate) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            entries: Vec::new(),
            next: None,
        }
    }

    /// Adds what names have in common up to a slash.
    pub(crate) fn directory(&mut self, common: &str) {
        if let Some(name) = common.strip_prefix(&self.prefix) {
            self.entries.push(Entry {
                name: name.strip_suffix('/').unwrap_or(name).to_owned(),
                kind: EntryKind::Directory,
                ..Entry::default()
            });
        }
    }

    /// Adds an object, if it does not stand for the directory itself.
    pub(crate) fn file(&mut self, whole: &str, size: Option<u64>, mtime: Option<Timestamp>) {
        let name = whole.strip_prefix(&self.prefix);
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            self.entries.push(Entry {
                name: name.to_owned(),
                kind: EntryKind::File,
                size,
                mtime,
                ..Entry::default()
            });
        }
    }
}

/// A page that makes no sense, of the listing of what is shown so.
pub(crate) fn unreadable(shown: &str, error: &dyn Display) -> Error {
    Error::temporary(format!(
        "{shown}: the server's listing can't be read: {error}"
    ))
}
