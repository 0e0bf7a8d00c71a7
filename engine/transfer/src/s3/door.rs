//! Requests to one bucket.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use reqwest::{Client, Method, Response, Url};
use rusty_s3::{Bucket, Credentials};

use super::Regions;
use super::answer::{self, Refused};
use super::place::Place;
use crate::http::failure;
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
    site: Arc<str>,
    regions: Arc<Regions>,
}

/// A header of such a value.
pub(super) fn header(value: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(value).map_err(|_| Error::permanent("a header can't carry its name"))
}

impl Door {
    pub(super) fn new(client: Client, place: Place, site: &Site, regions: &Arc<Regions>) -> Self {
        Self {
            client,
            place: Arc::new(place),
            site: site.to_string().into(),
            regions: Arc::clone(regions),
        }
    }

    pub(super) fn bucket(&self) -> &Bucket {
        &self.place.bucket
    }

    pub(super) fn credentials(&self) -> Option<&Credentials> {
        self.place.credentials.as_ref()
    }

    /// An object, for people.
    pub(super) fn shown(&self, key: &str) -> String {
        format!("`{}{key}`", self.site)
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
        let response = sent.map_err(|error| Refused::of(failure::of_request(&error, &plain)))?;
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
            return Err(Refused::of(Error::broken(reason)));
        }
        let signed = self.credentials().is_some();
        Err(Refused::read(
            status,
            &headers,
            &text,
            &self.shown(key),
            signed,
        ))
    }

    /// An answer that is text.
    pub(super) async fn text(&self, mut response: Response) -> Result<String, Error> {
        let mut bytes = Vec::new();
        loop {
            match response.chunk().await {
                Ok(None) => break,
                Ok(Some(data)) if bytes.len() + data.len() <= TEXT_MAX => {
                    bytes.extend_from_slice(&data);
                }
                Ok(Some(_)) => {
                    return Err(Error::permanent(format!(
                        "`{}`: the server's answer is longer than any should be",
                        self.site
                    )));
                }
                Err(error) => return Err(failure::of_body(&error, response.url())),
            }
        }
        String::from_utf8(bytes).map_err(|_| {
            Error::permanent(format!("`{}`: the server's answer is no text", self.site))
        })
    }
}
