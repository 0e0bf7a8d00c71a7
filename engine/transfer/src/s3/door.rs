//! Requests to one bucket.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, HeaderMap};
use reqwest::{Client, Method, Response, Url};
use rusty_s3::{Bucket, Credentials};

use super::Regions;
use super::answer;
use super::place::Place;
use crate::http::failure;
use crate::object::answer::{Answer, text};
use crate::object::{Refused, Store};
use crate::{Error, Site};

/// How long a signature is good for; only the beginning of a request has to be within.
pub(super) const VALID: Duration = Duration::from_secs(15 * 60);

/// Longest answer that is kept as text. A page of a listing is a thousand keys of a KiB, each byte of
/// which may be escaped as three.
const TEXT_MAX: usize = 8 << 20;

/// Where requests about a bucket go, and what signs them. Cheap to clone.
#[derive(Clone)]
pub(super) struct Door {
    client: Client,
    place: Arc<Place>,
    pub(super) site: Arc<str>,
    regions: Arc<Regions>,
    /// Whether a bucket that is not there is made for an upload, as sr3 does.
    pub(super) may_make_bucket: bool,
}

impl Door {
    pub(super) fn new(client: Client, place: Place, site: &Site, regions: &Arc<Regions>) -> Self {
        Self {
            client,
            place: Arc::new(place),
            site: site.to_string().into(),
            regions: Arc::clone(regions),
            may_make_bucket: site.scheme == "s3",
        }
    }

    pub(super) fn bucket(&self) -> &Bucket {
        &self.place.bucket
    }

    pub(super) fn credentials(&self) -> Option<&Credentials> {
        self.place.credentials.as_ref()
    }

    /// Makes a request whose URL is signed. The answer is a success, or is an error about `key`.
    pub(super) async fn send(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
        body: Option<Bytes>,
        key: &str,
    ) -> Result<Response, Refused> {
        let plain = url.clone();
        let mut request = self.client.request(method, url).headers(headers);
        if let Some(body) = body {
            // Said also where it is nothing, which the server wants to know.
            request = request.header(CONTENT_LENGTH, body.len()).body(body);
        }
        let sent = request.send().await;
        let response = sent.map_err(|error| failure::of_request(&error, &plain))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let headers = response.headers().clone();
        // What can't be read says no more than the status does.
        let text = self.text(response).await.unwrap_or_default();
        let (ours, elsewhere) = (self.bucket().region(), answer::region(&headers, &text));
        if let Some(region) = elsewhere.filter(|region| region != ours) {
            let reason = format!(
                "{}: its bucket is in `{region}`, not in `{ours}`",
                self.shown(key)
            );
            let mut regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
            regions.insert(self.bucket().name().to_owned(), region);
            // Another connection, now, is made for that region.
            return Err(Error::broken(reason).into());
        }
        Err(answer::refused(&Answer {
            status,
            headers: &headers,
            text: &text,
            what: &self.shown(key),
            signed: self.credentials().is_some(),
        }))
    }

    /// An answer that is text.
    pub(super) async fn text(&self, response: Response) -> Result<String, Error> {
        let url = response.url().clone();
        text(response, TEXT_MAX, &self.site, &url).await
    }
}
