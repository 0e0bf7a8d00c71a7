//! Stores of objects: what S3 and blob storage have in common, which is all but their requests.
//!
//! A store has no directories: those of a listing are what names have in common up to a slash, and
//! making one does nothing. An upload appears as a whole under its final name when the server has
//! confirmed it, so nothing is written under another name first, and there is no mode or time to set:
//! as in sr3 the object's metadata carries the time and the identity (`metadata`). Renaming is copying
//! and removing, for file operations only.
//!
//! What a request looks like, what signs it and what a refusal means is each [`Store`]'s own.

pub(crate) mod answer;
mod line;
pub(crate) mod listing;
pub(crate) mod metadata;
mod pieces;

use async_trait::async_trait;
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};
use reqwest::header::{HeaderMap, HeaderValue, IF_MATCH, RANGE};
use reqwest::{Method, Response};

pub(crate) use self::answer::Refused;
pub(crate) use self::line::Line;
use self::listing::Listing;
pub(crate) use self::listing::Page;
pub(crate) use self::pieces::{Pieces, in_order, piece_size};
use crate::{
    Abilities, About, Chunks, Entry, Error, Kind, Opened, Remote, RemotePath, Resume, http,
};

/// What of a name stands in a path or header as it is: what names need, and the slashes between them.
pub(crate) const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A header of such a value.
pub(crate) fn header(value: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(value).map_err(|_| Error::permanent("a header can't carry its name"))
}

/// The requests of one kind of store, to the part of it that a URL names.
#[async_trait]
pub(crate) trait Store: Send + Sync {
    /// The header of sr3's entry in the metadata.
    const NOTED: &'static str;

    /// What is in front of names, as people see it.
    fn site(&self) -> &str;

    /// An object, for people.
    fn shown(&self, name: &str) -> String {
        format!("`{}{name}`", self.site())
    }

    /// The name of an object. Without one a request would be about what holds it.
    fn name(path: &RemotePath) -> Result<&str, Error>;

    /// The name of what some tools make to stand for a directory, where it is nothing but an object.
    fn stand_in(directory: &str) -> Option<String>;

    /// Makes a request about one object that has no body: `GET`, `HEAD` or `DELETE`.
    async fn ask(
        &self,
        method: Method,
        name: &str,
        headers: HeaderMap,
    ) -> Result<Response, Refused>;

    /// Returns the server's word for why it can't be copied, where it says so late.
    async fn copy(&self, from: &str, to: &str) -> Result<Option<String>, Error>;

    /// A page of a listing: the first, or the one after this mark. `directory` is empty or ends in a
    /// slash.
    async fn page(&self, directory: &str, after: Option<&str>) -> Result<Page, Error>;

    async fn put(&self, name: &str, about: &About, body: &mut dyn Chunks) -> Result<(), Error>;
}

/// A connection to a store.
pub(crate) struct Objects<S> {
    store: S,
    /// The credentials were: others may be there by now.
    refused: bool,
    body: Option<Response>,
    listing: Option<Listing>,
}

/// The headers that ask for the rest of an object, if it is still the same.
fn rest_of(resume: &Resume) -> Option<HeaderMap> {
    let version = resume.about.version.as_ref()?;
    let mut headers = HeaderMap::new();
    headers.insert(IF_MATCH, HeaderValue::from_str(version).ok()?);
    let range = format!("bytes={}-", resume.offset);
    headers.insert(RANGE, HeaderValue::from_str(&range).ok()?);
    Some(headers)
}

/// What the headers of an answer say of the object.
fn about<S: Store>(response: &Response) -> About {
    let mut about = http::about(response);
    let noted = metadata::read(response.headers(), S::NOTED);
    about.identity = noted.identity;
    about.mtime = noted.mtime.or(about.mtime);
    about
}

impl<S: Store> Objects<S> {
    pub(crate) fn new(store: S) -> Self {
        Self {
            store,
            refused: false,
            body: None,
            listing: None,
        }
    }

    /// Looks at how something ended before it is handed on.
    fn noted<T>(&mut self, done: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &done {
            self.refused |= error.kind() == Kind::Auth;
        }
        done
    }

    async fn begin(&self, name: &str, resume: Option<&Resume>) -> Result<Response, Error> {
        if let Some(rest) = resume.and_then(rest_of) {
            match self.store.ask(Method::GET, name, rest).await {
                Ok(response) => return Ok(response),
                // It is another by now, or shorter: from the start.
                Err(refused) if matches!(refused.status, Some(412 | 416)) => {}
                Err(refused) => return Err(refused.into()),
            }
        }
        let whole = self.store.ask(Method::GET, name, HeaderMap::new());
        Ok(whole.await?)
    }

    async fn copy(&self, from: &str, to: &str) -> Result<(), Error> {
        match self.store.copy(from, to).await? {
            None => Ok(()),
            Some(why) => Err(Error::temporary(format!(
                "{}: the server can't copy it: {why}",
                self.store.shown(from)
            ))),
        }
    }

    async fn delete(&mut self, name: &str) -> Result<(), Error> {
        let asked = self.store.ask(Method::DELETE, name, HeaderMap::new());
        let deleted = asked.await.map_err(Error::from);
        self.noted(deleted.map(drop))
    }
}

#[async_trait]
impl<S: Store> Remote for Objects<S> {
    fn abilities(&self) -> Abilities {
        Abilities {
            resume: true,
            list: true,
            put: true,
            mkdir: true,
            remove: true,
            rmdir: true,
            ..Abilities::default()
        }
    }

    fn is_usable(&self) -> bool {
        !self.refused
    }

    async fn open(&mut self, path: &RemotePath, resume: Option<&Resume>) -> Result<Opened, Error> {
        self.body = None;
        let opening = self.begin(S::name(path)?, resume).await;
        let response = self.noted(opening)?;
        let opened = Opened {
            about: about::<S>(&response),
            offset: http::offset(&response),
        };
        let as_asked = opened.offset == 0
            || resume.is_some_and(|resume| {
                resume.offset == opened.offset && resume.about.version == opened.about.version
            });
        if !as_asked {
            return Err(Error::temporary(format!(
                "{}: the server answered with another part than was asked for",
                self.store.shown(path.as_str())
            )));
        }
        self.body = Some(response);
        Ok(opened)
    }

    async fn read(&mut self) -> Result<Option<Bytes>, Error> {
        http::next_chunk(&mut self.body).await
    }

    async fn stat(&mut self, path: &RemotePath) -> Result<About, Error> {
        let name = S::name(path)?;
        let asked = self.store.ask(Method::HEAD, name, HeaderMap::new()).await;
        let response = self.noted(asked.map_err(Error::from))?;
        Ok(about::<S>(&response))
    }

    async fn list(&mut self, directory: &RemotePath) -> Result<(), Error> {
        let mut listing = Listing::new(directory);
        // Asked for now, so that a bucket or container that is not there is not an empty one.
        let first = listing.fill(&self.store).await;
        self.noted(first)?;
        self.listing = Some(listing);
        Ok(())
    }

    async fn entries(&mut self, limit: usize) -> Result<Vec<Entry>, Error> {
        let Some(listing) = &mut self.listing else {
            return Ok(Vec::new());
        };
        let entries = listing.next(&self.store, limit).await;
        self.noted(entries)
    }

    async fn put(
        &mut self,
        path: &RemotePath,
        about: &About,
        body: &mut dyn Chunks,
    ) -> Result<(), Error> {
        let done = self.store.put(S::name(path)?, about, body).await;
        self.noted(done)
    }

    /// Copies and removes: what is asked of a file operation. What is too large for the server to
    /// copy (5 GiB in S3) it refuses, and the content is sent instead.
    async fn rename(&mut self, from: &RemotePath, to: &RemotePath) -> Result<(), Error> {
        let (from, to) = (S::name(from)?, S::name(to)?);
        let copied = self.copy(from, to).await;
        self.noted(copied)?;
        self.delete(from).await
    }

    async fn mkdir_all(&mut self, _: &RemotePath, _: Option<u32>) -> Result<(), Error> {
        Ok(())
    }

    async fn remove(&mut self, path: &RemotePath) -> Result<(), Error> {
        self.delete(S::name(path)?).await
    }

    /// A directory is there as long as something is in it. Unlike in sr3, what is in it stays.
    async fn rmdir(&mut self, directory: &RemotePath) -> Result<(), Error> {
        let name = S::name(directory)?;
        let stand_in = S::stand_in(name);
        let mut listing = Listing::new(directory);
        // A page without entries has at most the object that stands for the directory.
        let some = listing.next(&self.store, 1).await;
        if !self.noted(some)?.is_empty() {
            return Err(Error::permanent(format!(
                "{}: it is not empty",
                self.store.shown(stand_in.as_deref().unwrap_or(name))
            )));
        }
        match stand_in {
            Some(stand_in) => self.delete(&stand_in).await,
            None => Ok(()),
        }
    }
}
