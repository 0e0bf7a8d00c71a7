//! Blob storage of Azure (`azure:`, `azblob:`): fetching, listing, uploading.
//!
//! The host of a URL is that of an account, or its name alone; the first element of its path is a
//! container, the rest the name of a blob: `azure://account.blob.core.windows.net/container/a/b`.
//! There are no directories but what names have in common up to a slash. An upload appears as a whole
//! under its final name, so nothing is written under another name first; as in sr3 the metadata
//! carries time and identity, as that of S3 does. Renaming is copying and removing, for file operations
//! only. A container is never made, as in sr3.
//!
//! Why no library: the service's own (`azure_storage_blob`) has no way to sign with the key of an
//! account, which is what users of sr3 have; `object_store` brings a second crypto along. What is needed
//! is six kinds of requests and a signature (`sign`).

mod answer;
mod door;
mod listing;
mod place;
mod sign;
mod upload;

use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flow_config::Credential;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, IF_MATCH, RANGE};
use reqwest::{Client, Method, Response};

use self::door::{Door, header};
use self::listing::{Listing, split};
use self::place::Place;
use crate::http::{self, make_client};
use crate::s3::metadata;
use crate::{
    Abilities, About, Chunks, Entry, Error, Kind, Opened, Protocol, Remote, RemotePath, Resume,
    Settings, Site,
};

/// The protocol.
pub struct Azure {
    settings: Settings,
    /// Made when first needed: reading the machine's authorities takes a moment.
    client: OnceLock<Result<Client, Error>>,
}

impl Azure {
    /// As the settings say.
    pub fn new(settings: &Settings) -> Self {
        Self {
            settings: settings.clone(),
            client: OnceLock::new(),
        }
    }
}

#[async_trait]
impl Protocol for Azure {
    fn schemes(&self) -> &'static [&'static str] {
        &["azure", "azblob", "az"]
    }

    async fn connect(
        &self,
        site: &Site,
        credential: Option<&Credential>,
    ) -> Result<Box<dyn Remote>, Error> {
        let client = self.client.get_or_init(|| make_client(&self.settings));
        let place = Place::new(site, credential)?;
        Ok(Box::new(AzureRemote {
            door: Door::new(client.clone()?, place, site),
            refused: false,
            body: None,
            listing: None,
        }))
    }
}

/// A handle on the client for one account.
struct AzureRemote {
    door: Door,
    /// The credentials were: others may be there by now.
    refused: bool,
    body: Option<Response>,
    listing: Option<Listing>,
}

/// The container and blob of a path. Without a blob a request would be about the container as a whole.
fn blob(path: &RemotePath) -> Result<&str, Error> {
    match split(path)? {
        (_, "") => Err(Error::permanent("the path of a blob is missing")),
        _ => Ok(path.as_str()),
    }
}

/// What the headers of an answer say of the blob.
fn about(response: &Response) -> About {
    let mut about = http::about(response);
    let noted = metadata::read(response.headers(), upload::NOTED);
    about.identity = noted.identity;
    about.mtime = noted.mtime.or(about.mtime);
    about
}

/// The headers that ask for the rest of a blob, if it is still the same.
fn rest_of(resume: &Resume) -> Option<HeaderMap> {
    let version = resume.about.version.as_ref()?;
    let mut headers = HeaderMap::new();
    headers.insert(IF_MATCH, HeaderValue::from_str(version).ok()?);
    let range = format!("bytes={}-", resume.offset);
    headers.insert(RANGE, HeaderValue::from_str(&range).ok()?);
    Some(headers)
}

const COPY_SOURCE: HeaderName = HeaderName::from_static("x-ms-copy-source");
const COPY_STATUS: &str = "x-ms-copy-status";

/// How often it is asked whether a copy is made.
const COPY_PAUSE: Duration = Duration::from_millis(250);

impl AzureRemote {
    /// Looks at how something ended before it is handed on.
    fn noted<T>(&mut self, done: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &done {
            self.refused |= error.kind() == Kind::Auth;
        }
        done
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
    ) -> Result<Response, answer::Refused> {
        let url = self.door.url(path, &[]);
        let body = (method == Method::PUT).then(Bytes::new);
        self.door.send(method, url, headers, body, path).await
    }

    async fn open_blob(&self, path: &str, resume: Option<&Resume>) -> Result<Response, Error> {
        if let Some(rest) = resume.and_then(rest_of) {
            match self.ask(Method::GET, path, rest).await {
                Ok(response) => return Ok(response),
                // It is another by now, or shorter: from the start.
                Err(refused) if matches!(refused.status, Some(412 | 416)) => {}
                Err(refused) => return Err(refused.into()),
            }
        }
        Ok(self.ask(Method::GET, path, HeaderMap::new()).await?)
    }

    async fn copy(&self, from: &str, to: &str) -> Result<(), Error> {
        let mut headers = HeaderMap::new();
        let source = self.door.shared_url(from);
        headers.insert(COPY_SOURCE, header(source.as_str())?);
        let mut answer = self.ask(Method::PUT, to, headers).await?;
        loop {
            let status = answer.headers().get(COPY_STATUS);
            match status.and_then(|status| status.to_str().ok()) {
                Some("pending") => {}
                Some("success") | None => return Ok(()),
                Some(other) => {
                    return Err(Error::temporary(format!(
                        "{}: the server can't copy it: {other}",
                        self.door.shown(from)
                    )));
                }
            }
            // The core ends this where it takes too long.
            tokio::time::sleep(COPY_PAUSE).await;
            answer = self.ask(Method::HEAD, to, HeaderMap::new()).await?;
        }
    }

    async fn delete(&self, path: &str) -> Result<(), Error> {
        self.ask(Method::DELETE, path, HeaderMap::new()).await?;
        Ok(())
    }
}

#[async_trait]
impl Remote for AzureRemote {
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
        let opening = self.open_blob(blob(path)?, resume).await;
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
        let asked = self.ask(Method::HEAD, blob(path)?, HeaderMap::new()).await;
        let response = self.noted(asked.map_err(Error::from))?;
        Ok(about(&response))
    }

    async fn list(&mut self, directory: &RemotePath) -> Result<(), Error> {
        let mut listing = Listing::new(directory)?;
        // Asked for now, so that a container that is not there is not an empty one.
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
            path: blob(path)?,
            about,
        };
        let done = upload.run(body).await;
        self.noted(done)
    }

    /// Copies and removes: what is asked of a file operation.
    async fn rename(&mut self, from: &RemotePath, to: &RemotePath) -> Result<(), Error> {
        let (from, to) = (blob(from)?, blob(to)?);
        let copied = self.copy(from, to).await;
        self.noted(copied)?;
        let deleted = self.delete(from).await;
        self.noted(deleted)
    }

    async fn mkdir_all(&mut self, _: &RemotePath, _: Option<u32>) -> Result<(), Error> {
        Ok(())
    }

    async fn remove(&mut self, path: &RemotePath) -> Result<(), Error> {
        let deleted = self.delete(blob(path)?).await;
        self.noted(deleted)
    }

    /// A directory is there as long as something is in it. Unlike in sr3, what is in it stays.
    async fn rmdir(&mut self, directory: &RemotePath) -> Result<(), Error> {
        let path = blob(directory)?;
        let mut listing = Listing::new(directory)?;
        let some = listing.next(&self.door, 1).await;
        if !self.noted(some)?.is_empty() {
            return Err(Error::permanent(format!(
                "{}: it is not empty",
                self.door.shown(path)
            )));
        }
        Ok(())
    }
}
