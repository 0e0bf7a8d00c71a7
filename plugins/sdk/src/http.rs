//! HTTP through the host's pooled client, which checks every address against the grants.

use std::time::Duration;

use crate::{ContentReader, Result, sys};

pub use crate::bindings::imports::flow::plugin::http::Response;

/// A request being built.
#[derive(Debug)]
#[must_use]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// Where to.
    pub url: String,
    /// In order.
    pub headers: Vec<(String, String)>,
    /// What it carries.
    pub body: Body,
    /// How long it may take.
    pub timeout: Option<Duration>,
}

/// What a request carries.
#[derive(Debug)]
pub enum Body {
    /// Nothing.
    None,
    /// Bytes, 16 MiB at most.
    Bytes(Vec<u8>),
    /// Content, streamed.
    Content(ContentReader),
}

/// Starts a request.
pub fn request(method: &str, url: impl Into<String>) -> Request {
    Request {
        method: method.to_owned(),
        url: url.into(),
        headers: Vec::new(),
        body: Body::None,
        timeout: None,
    }
}

impl Request {
    /// Adds a header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = Body::Bytes(bytes.into());
        self
    }

    /// Sends content as the body.
    pub fn content(mut self, content: ContentReader) -> Self {
        self.body = Body::Content(content);
        self
    }

    /// How long the whole exchange may take; the flow's `timeout` otherwise.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends it. A response of any status is a success here.
    ///
    /// # Errors
    /// `temporary` if no response came; `config` if the flow does not allow the address.
    pub fn send(self) -> Result<Response> {
        sys::http_send(self)
    }
}

impl Response {
    /// A response header, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}
