//! Requests to one account.

use std::sync::Arc;

use bytes::Bytes;
use flow_message::Timestamp;
use percent_encoding::utf8_percent_encode;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Response, Url};

use super::answer;
use super::place::{Place, Right};
use crate::http::{as_http_date, failure};
use crate::object::answer::{Answer, text};
use crate::object::{PLAIN, Refused, Store, header};
use crate::{Error, Site};

/// The version of the service's interface that is asked for.
const VERSION: HeaderValue = HeaderValue::from_static("2021-08-06");
const VERSION_HEADER: HeaderName = HeaderName::from_static("x-ms-version");
const DATE_HEADER: HeaderName = HeaderName::from_static("x-ms-date");

/// Longest answer that is kept as text: a page of a listing is five thousand names of a KiB at most.
const TEXT_MAX: usize = 32 << 20;

/// Where requests go, and what signs them. Cheap to clone.
#[derive(Clone)]
pub(super) struct Door {
    client: Client,
    place: Arc<Place>,
    pub(super) site: Arc<str>,
}

impl Door {
    pub(super) fn new(client: Client, place: Place, site: &Site) -> Self {
        Self {
            client,
            place: Arc::new(place),
            site: site.to_string().into(),
        }
    }

    /// The URL of `path`, container first, without what signs it.
    pub(super) fn url(&self, path: &str, query: &[(&str, &str)]) -> Url {
        let mut url = self.place.base.clone();
        let whole = format!("{}{}", url.path(), utf8_percent_encode(path, PLAIN));
        url.set_path(&whole);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// The URL of `path` as somebody else can use it who is not told a key.
    pub(super) fn shared_url(&self, path: &str) -> Url {
        let mut url = self.url(path, &[]);
        if let Right::Shared(query) = &self.place.right {
            url.set_query(Some(query));
        }
        url
    }

    /// Makes a request. The answer is a success, or is an error about `path`.
    pub(super) async fn send(
        &self,
        method: Method,
        url: Url,
        mut headers: HeaderMap,
        body: Option<Bytes>,
        path: &str,
    ) -> Result<Response, Refused> {
        let plain = url.clone();
        let mut url = url;
        headers.insert(VERSION_HEADER, VERSION);
        if let Some(body) = &body {
            // Said also where it is nothing, which the server wants to know.
            headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        match &self.place.right {
            Right::None => {}
            Right::Shared(query) => {
                let whole = match url.query() {
                    Some(own) => format!("{own}&{query}"),
                    None => query.clone(),
                };
                url.set_query(Some(&whole));
            }
            Right::Key(key) => {
                let now = Timestamp::from(jiff::Timestamp::now());
                let date = as_http_date(now).unwrap_or_default();
                let date = header(&date)?;
                headers.insert(DATE_HEADER, date);
                let signed = key.authorization(&method, &url, &headers);
                let signed = header(&signed)?;
                headers.insert(AUTHORIZATION, signed);
            }
        }
        let mut request = self.client.request(method, url).headers(headers);
        if let Some(body) = body {
            request = request.body(body);
        }
        let sent = request.send().await;
        let response = sent.map_err(|error| failure::of_request(&error, &plain))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let headers = response.headers().clone();
        // What can't be read says no more than the status does.
        let text = self.text(response).await.unwrap_or_default();
        Err(answer::refused(&Answer {
            status,
            headers: &headers,
            text: &text,
            what: &self.shown(path),
            signed: !matches!(self.place.right, Right::None),
        }))
    }

    /// An answer that is text.
    pub(super) async fn text(&self, response: Response) -> Result<String, Error> {
        // The URL of the answer may hold a signature.
        text(response, TEXT_MAX, &self.site, &self.place.base).await
    }
}
