//! Listings: a page of a thousand keys at a time.

use std::collections::VecDeque;

use reqwest::Method;
use reqwest::header::HeaderMap;
use rusty_s3::S3Action;
use rusty_s3::actions::ListObjectsV2;

use super::answer::with_namespace;
use super::door::{Door, VALID};
use crate::{Entry, EntryKind, Error, RemotePath};

/// What the keys in a directory begin with.
pub(super) fn prefix(directory: &RemotePath) -> String {
    match directory.as_str() {
        "" => String::new(),
        path => format!("{path}/"),
    }
}

/// A directory being listed.
pub(super) struct Listing {
    prefix: String,
    ready: VecDeque<Entry>,
    rest: Rest,
}

enum Rest {
    /// Nothing was asked yet.
    All,
    /// What follows this token.
    After(String),
    Nothing,
}

impl Listing {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            ready: VecDeque::new(),
            rest: Rest::All,
        }
    }

    /// At most `limit` entries; none at the end.
    pub(super) async fn next(&mut self, door: &Door, limit: usize) -> Result<Vec<Entry>, Error> {
        // A page may have nothing but what stands for the directory itself.
        while self.ready.is_empty() && !matches!(self.rest, Rest::Nothing) {
            self.fill(door).await?;
        }
        let count = limit.max(1).min(self.ready.len());
        Ok(self.ready.drain(..count).collect())
    }

    /// Asks for the next page.
    pub(super) async fn fill(&mut self, door: &Door) -> Result<(), Error> {
        let mut action = door.bucket().list_objects_v2(door.credentials());
        action.with_delimiter("/");
        if !self.prefix.is_empty() {
            action.with_prefix(self.prefix.as_str());
        }
        match &self.rest {
            Rest::All => {}
            Rest::After(token) => action.with_continuation_token(token.as_str()),
            Rest::Nothing => return Ok(()),
        }
        let url = action.sign(VALID);
        let headers = HeaderMap::new();
        let response = door
            .send(Method::GET, url, headers, None, &self.prefix)
            .await?;
        let text = with_namespace(&door.text(response).await?);
        let page = ListObjectsV2::parse_response(&text).map_err(|error| {
            Error::temporary(format!(
                "{}: the server's listing can't be read: {error}",
                door.shown(&self.prefix)
            ))
        })?;
        for found in page.common_prefixes {
            if let Some(name) = found.prefix.strip_prefix(&self.prefix) {
                self.ready.push_back(Entry {
                    name: name.strip_suffix('/').unwrap_or(name).to_owned(),
                    kind: EntryKind::Directory,
                    ..Entry::default()
                });
            }
        }
        for found in page.contents {
            let name = found.key.strip_prefix(&self.prefix);
            if let Some(name) = name.filter(|name| !name.is_empty()) {
                let time = found.last_modified.as_deref();
                let time = time.and_then(|time| time.parse::<jiff::Timestamp>().ok());
                self.ready.push_back(Entry {
                    name: name.to_owned(),
                    kind: EntryKind::File,
                    size: found.size,
                    mtime: time.map(Into::into),
                    ..Entry::default()
                });
            }
        }
        self.rest = match page.next_continuation_token {
            Some(token) => Rest::After(token),
            None => Rest::Nothing,
        };
        Ok(())
    }
}
