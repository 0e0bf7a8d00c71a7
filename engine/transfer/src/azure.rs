//! Blob storage of Azure (`azure:`, `azblob:`): fetching, listing, uploading,
//! as with all stores of objects (`object`).
//!
//! The host of a URL is that of an account, or its name alone; the first element of its path is a
//! container, the rest the name of a blob: `azure://account.blob.core.windows.net/container/a/b`.
//! A container is never made, as in sr3.
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
use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Client, Method, Response};

use self::door::Door;
use self::listing::split;
use self::place::Place;
use crate::http::make_client;
use crate::object::{Objects, Page, Refused, Store, header};
use crate::{About, Chunks, Error, Protocol, Remote, RemotePath, Settings, Site};

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
        let door = Door::new(client.clone()?, place, site);
        Ok(Box::new(Objects::new(door)))
    }
}

const COPY_SOURCE: HeaderName = HeaderName::from_static("x-ms-copy-source");
const COPY_STATUS: &str = "x-ms-copy-status";

/// How often it is asked whether a copy is made.
const COPY_PAUSE: Duration = Duration::from_millis(250);

#[async_trait]
impl Store for Door {
    const NOTED: &'static str = "x-ms-meta-sarracenia_v3";

    fn site(&self) -> &str {
        &self.site
    }

    /// The container first.
    fn name(path: &RemotePath) -> Result<&str, Error> {
        match split(path.as_str())? {
            (_, "") => Err(Error::permanent("the path of a blob is missing")),
            _ => Ok(path.as_str()),
        }
    }

    fn stand_in(_: &str) -> Option<String> {
        None
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
    ) -> Result<Response, Refused> {
        let url = self.url(path, &[]);
        self.send(method, url, headers, None, path).await
    }

    async fn copy(&self, from: &str, to: &str) -> Result<Option<String>, Error> {
        let mut headers = HeaderMap::new();
        let source = self.shared_url(from);
        headers.insert(COPY_SOURCE, header(source.as_str())?);
        let (url, nothing) = (self.url(to, &[]), Some(Bytes::new()));
        let mut answer = self.send(Method::PUT, url, headers, nothing, to).await?;
        loop {
            let status = answer.headers().get(COPY_STATUS);
            match status.and_then(|status| status.to_str().ok()) {
                Some("pending") => {}
                Some("success") | None => return Ok(None),
                Some(other) => return Ok(Some(other.to_owned())),
            }
            // The core ends this where it takes too long.
            tokio::time::sleep(COPY_PAUSE).await;
            answer = self.ask(Method::HEAD, to, HeaderMap::new()).await?;
        }
    }

    async fn page(&self, directory: &str, after: Option<&str>) -> Result<Page, Error> {
        listing::page(self, directory, after).await
    }

    async fn put(&self, path: &str, about: &About, body: &mut dyn Chunks) -> Result<(), Error> {
        let door = self;
        upload::Upload { door, path, about }.run(body).await
    }
}
