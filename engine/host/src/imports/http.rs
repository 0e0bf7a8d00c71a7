//! `http`: requests that are held as a whole, but for content that is sent while it is read.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Method, Url};

use crate::bindings::flow::plugin::http::{Body, Host, Request, Response};
use crate::bindings::flow::plugin::types::Failure;
use crate::journey::{BODY, Journey, LONGEST, Payload, granted, parts, told};
use crate::outside::{self, Outside};
use crate::store::{Guest, Setup};
use crate::upload::Upload;

/// Asks what stands in for the network, where the grants allow the host.
pub(super) async fn elsewhere(
    outside: &dyn Outside,
    setup: &Setup,
    (method, url, headers): (Method, Url, HeaderMap),
    timeout: Option<Duration>,
    payload: Payload,
) -> Result<outside::HttpResponse, Failure> {
    granted(setup, &url)?;
    let mut request = outside::HttpRequest {
        method: method.as_str().to_owned(),
        url: url.as_str().to_owned(),
        headers: told(&headers),
        timeout,
        ..outside::HttpRequest::default()
    };
    let upload = match payload {
        Payload::None | Payload::Upload(None) => None,
        Payload::Bytes(bytes) => {
            request.body = bytes.to_vec();
            None
        }
        Payload::Upload(upload) => upload,
    };
    Ok(outside.http(request, upload).await?)
}

/// Makes a request as [`Host::send`] makes it, for what stands between it and a guest.
pub(super) async fn through(
    setup: &Arc<Setup>,
    request: outside::HttpRequest,
    upload: Option<Upload>,
) -> Result<outside::HttpResponse, Failure> {
    let (method, url, headers) = parts(&request.method, &request.url, request.headers)?;
    let payload = match upload {
        Some(upload) => Payload::Upload(Some(upload)),
        None if request.body.is_empty() => Payload::None,
        None => Payload::Bytes(Bytes::from(request.body)),
    };
    let journey = Journey {
        setup: Arc::clone(setup),
        method,
        url,
        headers,
        payload,
    };
    let answer = journey.within(limit(setup, request.timeout)).await?;
    Ok(outside::HttpResponse {
        status: answer.status,
        headers: answer.headers,
        body: answer.body,
    })
}

/// How long a request may take.
fn limit(setup: &Setup, asked: Option<Duration>) -> Duration {
    asked.unwrap_or(setup.timeout).min(LONGEST)
}

impl Guest {
    /// Takes a request apart; what it carries is gone from the guest.
    fn payload(&mut self, body: Body) -> wasmtime::Result<Result<Payload, Failure>> {
        Ok(Ok(match body {
            Body::None => Payload::None,
            Body::Bytes(bytes) if bytes.len() > BODY => {
                return Ok(Err(Failure::Permanent(format!(
                    "the body of a request has {} bytes; more than {} MiB go through `content`",
                    bytes.len(),
                    BODY >> 20
                ))));
            }
            Body::Bytes(bytes) => Payload::Bytes(bytes.into()),
            Body::Content(reader) => match self.take_reader(reader)? {
                Ok((reader, size)) => Payload::Upload(Some(Upload::of_content(reader, size))),
                Err(failure) => return Ok(Err(failure)),
            },
        }))
    }
}

impl Host for Guest {
    async fn send(&mut self, request: Request) -> wasmtime::Result<Result<Response, Failure>> {
        let Request {
            method,
            url,
            headers: given,
            body,
            timeout_ms,
        } = request;
        let payload = match self.payload(body)? {
            Ok(payload) => payload,
            Err(failure) => return Ok(Err(failure)),
        };
        let parts = match parts(&method, &url, given) {
            Ok(parts) => parts,
            Err(failure) => return Ok(Err(failure)),
        };
        let timeout = timeout_ms.map(Duration::from_millis);
        let _away = self.away();
        let setup = Arc::clone(&self.setup);
        if let Some(outside) = self.place.outside.clone() {
            let answer = elsewhere(&*outside, &setup, parts, timeout, payload).await;
            return Ok(answer.map(|answer| Response {
                status: answer.status,
                headers: answer.headers,
                body: answer.body,
            }));
        }
        let timeout = limit(&setup, timeout);
        let (method, url, headers) = parts;
        let journey = Journey {
            setup,
            method,
            url,
            headers,
            payload,
        };
        Ok(journey.within(timeout).await)
    }
}
