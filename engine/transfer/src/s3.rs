//! S3 and what speaks like it (`s3:`), Google's storage among them (`gs:`): fetching, listing,
//! uploading.
//!
//! The host of a URL is a bucket, its path a key. A bucket has no directories: those of a listing are
//! what keys have in common up to a slash, and making one does nothing. An upload appears as a whole
//! under its final name when the server has confirmed it, so nothing is written under another name
//! first, and there is no mode or time to set: as in sr3 the object's metadata carries the time and
//! the identity (`metadata`). Renaming is copying and removing, for file operations only.
//!
//! Requests are signed by `rusty-s3`, in their query; everything else is this crate's own client.
//! Where a bucket is in another region than thought, the server says so: that is remembered for all
//! lanes and the request made again.

mod answer;
mod door;
mod listing;
pub(crate) mod metadata;
mod place;
mod upload;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use flow_config::Credential;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{HeaderMap, HeaderValue, IF_MATCH, RANGE};
use reqwest::{Client, Method, Response};
use rusty_s3::S3Action;

pub(crate) use self::answer::tag;
use self::door::Door;
use self::listing::Listing;
use self::place::Place;
pub(crate) use self::upload::Pieces;
use crate::http::{self, make_client};
use crate::{
    Abilities, About, Chunks, Entry, Error, Kind, Opened, Protocol, Remote, RemotePath, Resume,
    Settings, Site,
};

/// The protocol.
pub struct S3 {
    settings: Settings,
    /// Made when first needed: reading the machine's authorities takes a moment.
    client: OnceLock<Result<Client, Error>>,
    regions: Arc<Regions>,
}

/// Regions of buckets that were found to be elsewhere.
type Regions = Mutex<HashMap<String, String>>;

impl S3 {
    /// As the settings say.
    pub fn new(settings: &Settings) -> Self {
        Self {
            settings: settings.clone(),
            client: OnceLock::new(),
            regions: Arc::default(),
        }
    }
}

#[async_trait]
impl Protocol for S3 {
    fn schemes(&self) -> &'static [&'static str] {
        &["s3", "gs", "gcs"]
    }

    async fn connect(
        &self,
        site: &Site,
        credential: Option<&Credential>,
    ) -> Result<Box<dyn Remote>, Error> {
        let client = self.client.get_or_init(|| make_client(&self.settings));
        let place = Place::new(site, credential, &self.regions)?;
        let door = Door::new(client.clone()?, place, site, &self.regions);
        Ok(Box::new(S3Remote {
            door,
            may_make_bucket: site.scheme == "s3",
            refused: false,
            body: None,
            listing: None,
        }))
    }
}

/// A handle on the client for one bucket.
struct S3Remote {
    door: Door,
    may_make_bucket: bool,
    /// The credentials were: others may be there by now.
    refused: bool,
    body: Option<Response>,
    listing: Option<Listing>,
}

/// The key of an object. Without one a request would be about the bucket as a whole.
fn key(path: &RemotePath) -> Result<&str, Error> {
    match path.as_str() {
        "" => Err(Error::permanent("the path of an object is missing")),
        key => Ok(key),
    }
}

/// What stands in a header as it is: what names need, and the slashes between them.
const COPY_SOURCE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What the headers of an answer say of the object.
fn about(response: &Response) -> About {
    let mut about = http::about(response);
    let noted = metadata::read(response.headers(), metadata::HEADER);
    about.identity = noted.identity;
    about.mtime = noted.mtime.or(about.mtime);
    about
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

impl S3Remote {
    /// Looks at how something ended before it is handed on.
    fn noted<T>(&mut self, done: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &done {
            self.refused |= error.kind() == Kind::Auth;
        }
        done
    }

    async fn get(&self, key: &str, headers: HeaderMap) -> Result<Response, answer::Refused> {
        let action = self.door.bucket().get_object(self.door.credentials(), key);
        let url = action.sign(door::VALID);
        self.door.send(Method::GET, url, headers, None, key).await
    }

    async fn open_key(&self, key: &str, resume: Option<&Resume>) -> Result<Response, Error> {
        if let Some(rest) = resume.and_then(rest_of) {
            match self.get(key, rest).await {
                Ok(response) => return Ok(response),
                // It is another by now, or shorter: from the start.
                Err(refused) if matches!(refused.status, Some(412 | 416)) => {}
                Err(refused) => return Err(refused.into()),
            }
        }
        Ok(self.get(key, HeaderMap::new()).await?)
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        let action = self
            .door
            .bucket()
            .delete_object(self.door.credentials(), key);
        let url = action.sign(door::VALID);
        let headers = HeaderMap::new();
        self.door
            .send(Method::DELETE, url, headers, None, key)
            .await?;
        Ok(())
    }

    async fn copy(&self, from: &str, to: &str) -> Result<(), Error> {
        const HEADER: &str = "x-amz-copy-source";
        let source = format!(
            "/{}/{}",
            self.door.bucket().name(),
            utf8_percent_encode(from, COPY_SOURCE)
        );
        let mut action = self.door.bucket().put_object(self.door.credentials(), to);
        action.headers_mut().insert(HEADER, source.clone());
        let url = action.sign(door::VALID);
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, door::header(&source)?);
        let nothing = Some(Bytes::new());
        let answer = self
            .door
            .send(Method::PUT, url, headers, nothing, to)
            .await?;
        // The server may answer before it knows how it ends.
        let text = self.door.text(answer).await?;
        match tag(&text, "Code") {
            Some(code) => Err(Error::temporary(format!(
                "{}: the server can't copy it: {code}",
                self.door.shown(from)
            ))),
            None => Ok(()),
        }
    }

    async fn is_empty(&self, directory: &RemotePath) -> Result<bool, Error> {
        let prefix = listing::prefix(directory);
        let mut page = Listing::new(&prefix);
        // A page without entries has at most the object that stands for the directory.
        Ok(page.next(&self.door, 1).await?.is_empty())
    }
}

#[async_trait]
impl Remote for S3Remote {
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
        let opening = self.open_key(key(path)?, resume).await;
        let response = self.noted(opening)?;
        let opened = Opened {
            about: about(&response),
            offset: http::offset(&response),
        };
        let as_asked = opened.offset == 0
            || resume.is_some_and(|resume| {
                resume.offset == opened.offset && resume.about.version == opened.about.version
            });
        if !as_asked {
            return Err(Error::temporary(format!(
                "{}: the server answered with another part than was asked for",
                self.door.shown(path.as_str())
            )));
        }
        self.body = Some(response);
        Ok(opened)
    }

    async fn read(&mut self) -> Result<Option<Bytes>, Error> {
        http::next_chunk(&mut self.body).await
    }

    async fn stat(&mut self, path: &RemotePath) -> Result<About, Error> {
        let key = key(path)?;
        let action = self.door.bucket().head_object(self.door.credentials(), key);
        let url = action.sign(door::VALID);
        let headers = HeaderMap::new();
        let asked = self.door.send(Method::HEAD, url, headers, None, key).await;
        let response = self.noted(asked.map_err(Error::from))?;
        Ok(about(&response))
    }

    async fn list(&mut self, directory: &RemotePath) -> Result<(), Error> {
        let mut listing = Listing::new(&listing::prefix(directory));
        // Asked for now, so that a bucket that is not there is not an empty one.
        let first = listing.fill(&self.door).await;
        self.noted(first)?;
        self.listing = Some(listing);
        Ok(())
    }

    async fn entries(&mut self, limit: usize) -> Result<Vec<Entry>, Error> {
        let Some(listing) = &mut self.listing else {
            return Ok(Vec::new());
        };
        let entries = listing.next(&self.door, limit).await;
        self.noted(entries)
    }

    async fn put(
        &mut self,
        path: &RemotePath,
        about: &About,
        body: &mut dyn Chunks,
    ) -> Result<(), Error> {
        let upload = upload::Upload {
            door: &self.door,
            key: key(path)?,
            about,
            may_make_bucket: self.may_make_bucket,
        };
        let done = upload.run(body).await;
        self.noted(done)
    }

    /// Copies and removes: what is asked of a file operation. Larger than 5 GiB the server refuses,
    /// and the content is sent instead.
    async fn rename(&mut self, from: &RemotePath, to: &RemotePath) -> Result<(), Error> {
        let (from, to) = (key(from)?, key(to)?);
        let copied = self.copy(from, to).await;
        self.noted(copied)?;
        let deleted = self.delete(from).await;
        self.noted(deleted)
    }

    async fn mkdir_all(&mut self, _: &RemotePath, _: Option<u32>) -> Result<(), Error> {
        Ok(())
    }

    async fn remove(&mut self, path: &RemotePath) -> Result<(), Error> {
        let deleted = self.delete(key(path)?).await;
        self.noted(deleted)
    }

    /// A directory is there as long as something is in it. Unlike in sr3, what is in it stays.
    async fn rmdir(&mut self, directory: &RemotePath) -> Result<(), Error> {
        let prefix = format!("{}/", key(directory)?);
        let empty = self.is_empty(directory).await;
        if !self.noted(empty)? {
            return Err(Error::permanent(format!(
                "{}: it is not empty",
                self.door.shown(&prefix)
            )));
        }
        // Some tools make an object that stands for the directory.
        let deleted = self.delete(&prefix).await;
        self.noted(deleted)
    }
}
