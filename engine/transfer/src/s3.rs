//! S3 and what speaks like it (`s3:`), Google's storage among them (`gs:`): fetching, listing,
//! uploading, as with all stores of objects (`object`).
//!
//! The host of a URL is a bucket, its path a key.
//!
//! Requests are signed by `rusty-s3`, in their query; everything else is this crate's own client.
//! Where a bucket is in another region than thought, the server says so: that is remembered for all
//! lanes and the request made again.

mod answer;
mod door;
mod listing;
mod place;
mod upload;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use flow_config::Credential;
use percent_encoding::utf8_percent_encode;
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, Response};
use rusty_s3::S3Action;

use self::door::{Door, VALID};
use self::place::Place;
use crate::http::make_client;
use crate::object::answer::tag;
use crate::object::{Objects, PLAIN, Page, Refused, Store, header};
use crate::{About, Chunks, Error, Protocol, Remote, RemotePath, Settings, Site};

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
        Ok(Box::new(Objects::new(door)))
    }
}

#[async_trait]
impl Store for Door {
    const NOTED: &'static str = "x-amz-meta-sarracenia_v3";

    fn site(&self) -> &str {
        &self.site
    }

    fn name(path: &RemotePath) -> Result<&str, Error> {
        match path.as_str() {
            "" => Err(Error::permanent("the path of an object is missing")),
            key => Ok(key),
        }
    }

    fn stand_in(directory: &str) -> Option<String> {
        Some(format!("{directory}/"))
    }

    async fn ask(
        &self,
        method: Method,
        key: &str,
        headers: HeaderMap,
    ) -> Result<Response, Refused> {
        let (bucket, credentials) = (self.bucket(), self.credentials());
        let url = match method {
            Method::HEAD => bucket.head_object(credentials, key).sign(VALID),
            Method::DELETE => bucket.delete_object(credentials, key).sign(VALID),
            _ => bucket.get_object(credentials, key).sign(VALID),
        };
        self.send(method, url, headers, None, key).await
    }

    async fn copy(&self, from: &str, to: &str) -> Result<Option<String>, Error> {
        const HEADER: &str = "x-amz-copy-source";
        let source = format!(
            "/{}/{}",
            self.bucket().name(),
            utf8_percent_encode(from, PLAIN)
        );
        let mut action = self.bucket().put_object(self.credentials(), to);
        action.headers_mut().insert(HEADER, source.clone());
        let url = action.sign(VALID);
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, header(&source)?);
        let nothing = Some(Bytes::new());
        let answer = self.send(Method::PUT, url, headers, nothing, to).await?;
        // The server may answer before it knows how it ends.
        Ok(tag(&self.text(answer).await?, "Code"))
    }

    async fn page(&self, directory: &str, after: Option<&str>) -> Result<Page, Error> {
        listing::page(self, directory, after).await
    }

    async fn put(&self, key: &str, about: &About, body: &mut dyn Chunks) -> Result<(), Error> {
        let door = self;
        upload::Upload { door, key, about }.run(body).await
    }
}
