//! `http`: requests through the process's pooled clients.
//!
//! Every hop is checked against the grants before it is made, redirects included; what a redirect
//! leads elsewhere keeps none of the headers that could tell who asked. Trying again is the plugin's
//! business, as only it knows whether a request may be made twice.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use flow_runtime::ports::ContentReader;
use http_body::{Frame, SizeHint};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode, Url};
use tokio::sync::mpsc;

use super::content::CHUNK;
use crate::bindings::flow::plugin::http::{Body, Host, Request, Response};
use crate::bindings::flow::plugin::types::Failure;
use crate::error::Error;
use crate::grants::Address;
use crate::outside::{self, Outside};
use crate::store::{Guest, Setup};
use crate::tls;
use crate::web::{self, Private};

/// Most bytes of a body that is held as a whole, in either direction.
pub(crate) const BODY: usize = 16 << 20;
/// Redirects followed for one request.
const REDIRECTS: usize = 10;
/// The longest a guest may let a request take.
const LONGEST: Duration = Duration::from_secs(3600);
/// Chunks of content read ahead of the network.
const AHEAD: usize = 4;

/// Headers that go along when a redirect leads to another site: they say what is asked for, and
/// nothing of who asks.
const HARMLESS: [&str; 14] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "content-encoding",
    "content-language",
    "content-type",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "range",
    "user-agent",
    "prefer",
];
/// Headers the connection makes by itself.
const OWN: [&str; 7] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "keep-alive",
    "te",
];

/// A body while it may still be needed.
enum Payload {
    None,
    Bytes(Bytes),
    /// Content that was collected: not sent again either.
    Once(Option<Bytes>),
    /// Can be sent once.
    Stream(Option<Stream>),
}

/// Content on its way out, read on another thread.
pub(crate) struct Stream {
    chunks: mpsc::Receiver<std::io::Result<Bytes>>,
    left: u64,
}

impl Stream {
    /// Begins to read.
    fn start(mut reader: Box<dyn ContentReader>, size: u64) -> Self {
        let (sender, chunks) = mpsc::channel(AHEAD);
        tokio::task::spawn_blocking(move || {
            loop {
                let chunk = match reader.read(CHUNK) {
                    Ok(bytes) if bytes.is_empty() => return,
                    Ok(bytes) => Ok(Bytes::from(bytes)),
                    Err(failure) => Err(std::io::Error::other(failure.to_string())),
                };
                let failed = chunk.is_err();
                // Nobody takes it any more where the request was given up.
                if sender.blocking_send(chunk).is_err() || failed {
                    return;
                }
            }
        });
        Self { chunks, left: size }
    }
}

impl http_body::Body for Stream {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        self.chunks.poll_recv(context).map(|chunk| {
            chunk.map(|chunk| {
                chunk.map(|bytes| {
                    self.left = self.left.saturating_sub(bytes.len() as u64);
                    Frame::data(bytes)
                })
            })
        })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// What goes from hop to hop.
struct Journey<'a> {
    setup: &'a Setup,
    method: Method,
    url: Url,
    headers: HeaderMap,
    payload: Payload,
    sent: u64,
}

impl Journey<'_> {
    /// Makes the request within a time limit.
    async fn within(self, timeout: Duration) -> Result<Response, Failure> {
        let peer = self.peer();
        match tokio::time::timeout(timeout, self.run()).await {
            Ok(result) => result,
            Err(_) => Err(Failure::temporary(format!(
                "`{peer}` did not answer within {timeout:?}"
            ))),
        }
    }

    /// Makes the request, following redirects.
    async fn run(mut self) -> Result<Response, Failure> {
        for _ in 0..=REDIRECTS {
            let response = self.hop().await?;
            match self.redirect(&response)? {
                Some(next) => self.go_to(next, response.status()),
                None => return self.answer(response).await,
            }
        }
        Err(Failure::Permanent(format!(
            "`{}` redirects in a circle: {REDIRECTS} redirects were followed",
            self.peer()
        )))
    }

    /// One request, where the grants allow it.
    async fn hop(&mut self) -> Result<reqwest::Response, Failure> {
        let setup = self.setup;
        let (host, port) = place(&self.url)?;
        let written = setup
            .grants
            .http(&setup.plugin, &host, port)
            .map_err(|error| Failure::config(&error))?;
        let literal = host.trim_matches(['[', ']']).parse().ok();
        if let Some(address) = literal.filter(|_| !written)
            && web::is_private(address)
        {
            return Err(private(setup, &Private { host, address }, port));
        }
        let client = setup
            .web
            .client(&setup.trust, !written)
            .map_err(Failure::Config)?;
        let mut request = client
            .request(self.method.clone(), self.url.clone())
            .headers(self.headers.clone());
        match &mut self.payload {
            Payload::None => {}
            Payload::Bytes(bytes) => {
                self.sent += bytes.len() as u64;
                request = request.body(bytes.clone());
            }
            Payload::Once(bytes) => {
                if let Some(bytes) = bytes.take() {
                    self.sent += bytes.len() as u64;
                    request = request.body(bytes);
                }
            }
            Payload::Stream(stream) => {
                if let Some(stream) = stream.take() {
                    self.sent += stream.left;
                    request = request.body(reqwest::Body::wrap(stream));
                }
            }
        }
        let answer = request.send().await;
        answer.map_err(|error| self.unreachable(&error, port))
    }

    /// Where a response leads, if it leads anywhere.
    fn redirect(&self, response: &reqwest::Response) -> Result<Option<Url>, Failure> {
        let status = response.status();
        let leads = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
        let Some(location) = response.headers().get(LOCATION).filter(|_| leads) else {
            return Ok(None);
        };
        // A stream is gone by now: the guest decides what to do about the response.
        let keeps = matches!(status.as_u16(), 307 | 308);
        if keeps && matches!(self.payload, Payload::Stream(_) | Payload::Once(_)) {
            return Ok(None);
        }
        let next = location
            .to_str()
            .ok()
            .and_then(|location| self.url.join(location).ok());
        let Some(mut next) = next.filter(|next| matches!(next.scheme(), "http" | "https")) else {
            return Err(Failure::Permanent(format!(
                "`{}` redirects to what is no HTTP URL",
                self.peer()
            )));
        };
        // Nobody else says as whom to log in. These can't fail for URLs with a host.
        let _ = next.set_username("");
        let _ = next.set_password(None);
        Ok(Some(next))
    }

    fn go_to(&mut self, next: Url, status: StatusCode) {
        let turns = match status.as_u16() {
            303 => self.method != Method::HEAD,
            301 | 302 => self.method == Method::POST,
            _ => false,
        };
        if turns {
            self.method = Method::GET;
            self.payload = Payload::None;
            for name in ["content-type", "content-encoding", "content-language"] {
                self.headers.remove(name);
            }
        }
        let site = |url: &Url| {
            let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
            (url.scheme().to_owned(), host, url.port_or_known_default())
        };
        if site(&self.url) != site(&next) {
            let foreign: Vec<HeaderName> = self
                .headers
                .keys()
                .filter(|name| !HARMLESS.contains(&name.as_str()))
                .cloned()
                .collect();
            for name in foreign {
                self.headers.remove(name);
            }
        }
        self.url = next;
    }

    /// Reads the response as a whole.
    async fn answer(self, mut response: reqwest::Response) -> Result<Response, Failure> {
        let too_long = || {
            Failure::Permanent(format!(
                "the answer of `{}` is larger than {} MiB, the most that is taken",
                self.peer(),
                BODY >> 20
            ))
        };
        let announced = response.content_length().unwrap_or_default();
        if self.method != Method::HEAD && announced > BODY as u64 {
            return Err(too_long());
        }
        let mut body = Vec::with_capacity(usize::try_from(announced).unwrap_or(0).min(CHUNK));
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > BODY => return Err(too_long()),
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(_) => {
                    return Err(Failure::temporary(format!(
                        "the connection to `{}` broke in the middle of its answer",
                        self.peer()
                    )));
                }
            }
        }
        let metrics = &self.setup.metrics;
        metrics.update("http_requests", |number| *number += 1.0);
        metrics.update("http_bytes_sent", |number| *number += self.sent as f64);
        self.setup.usage.sent(self.sent);
        self.setup.usage.received(body.len());
        metrics.update("http_bytes_received", |number| {
            *number += body.len() as f64;
        });
        Ok(Response {
            status: response.status().as_u16(),
            headers: told(response.headers()),
            body,
        })
    }

    /// Host and port, for people: paths and queries may hold secrets.
    fn peer(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        Address(host, self.url.port_or_known_default().unwrap_or_default()).to_string()
    }

    /// No answer came: why.
    fn unreachable(&self, error: &reqwest::Error, port: u16) -> Failure {
        let peer = self.peer();
        if let Some(found) = Private::of(error) {
            return private(self.setup, found, port);
        }
        if error.is_builder() {
            return Failure::Permanent(format!("no request to `{peer}` can be made of this"));
        }
        let mut of_io =
            web::causes(error).filter_map(|error| error.downcast_ref::<std::io::Error>());
        if error.is_connect() {
            let of_tls = |io: &&std::io::Error| {
                io.get_ref()
                    .is_some_and(|inner| inner.is::<rustls::Error>())
            };
            if let Some(io) = of_io.clone().find(of_tls) {
                let (why, hint) = tls::explain(io);
                let text = format!("no secure connection to `{peer}`: {why}");
                let mut error = Error::new("plugin/tls", text);
                if let Some(hint) = hint {
                    error = error.hint(hint);
                }
                return Failure::temporary(error.to_string());
            }
            if of_io.any(|io| io.kind() == std::io::ErrorKind::ConnectionRefused) {
                return Failure::temporary(format!(
                    "`{peer}` refused the connection: nothing listens there"
                ));
            }
        }
        // The first of them names the URL.
        let reason = web::causes(error).skip(1).last();
        let reason = reason.map_or_else(|| "no answer came".into(), ToString::to_string);
        let what = if error.is_connect() {
            "can't be reached"
        } else {
            "did not answer"
        };
        Failure::temporary(format!("`{peer}` {what}: {reason}"))
    }
}

fn private(setup: &Setup, found: &Private, port: u16) -> Failure {
    let plugin = &setup.plugin;
    let address = Address(&found.host, port);
    let error = Error::new(
        "plugin/private-address",
        format!("plugin `{plugin}` may not ask `{address}`: {found}"),
    )
    .note("only a wildcard allows this host, and names in it are whatever their owner makes them")
    .hint(format!(
        "if that is meant, name it: `allow: {{ http: ['{address}'] }}`"
    ));
    Failure::config(&error)
}

/// The host and the port a URL names.
fn place(url: &Url) -> Result<(String, u16), Failure> {
    let found = match (url.scheme(), url.host_str(), url.port_or_known_default()) {
        ("http" | "https", Some(host), Some(port)) if !host.is_empty() => {
            Some((host.to_owned(), port))
        }
        _ => None,
    };
    found.ok_or_else(|| {
        Failure::Permanent(
            "a URL asked for over HTTP starts with `http://` or `https://` and names a host".into(),
        )
    })
}

/// Asks what stands in for the network, where the grants allow the host.
async fn elsewhere(
    outside: &dyn Outside,
    setup: &Setup,
    url: &Url,
    mut request: outside::HttpRequest,
    payload: Payload,
) -> Result<Response, Failure> {
    let (host, port) = place(url)?;
    setup
        .grants
        .http(&setup.plugin, &host, port)
        .map_err(|error| Failure::config(&error))?;
    request.body = match payload {
        Payload::None | Payload::Once(None) => Vec::new(),
        Payload::Bytes(bytes) | Payload::Once(Some(bytes)) => bytes.to_vec(),
        Payload::Stream(stream) => {
            request.once = true;
            collected(stream).await?
        }
    };
    let answer = outside.http(request).await?;
    Ok(Response {
        status: answer.status,
        headers: answer.headers,
        body: answer.body,
    })
}

/// Makes a request that is held as a whole, as [`Host::send`] makes it.
pub(super) async fn whole(
    setup: &Setup,
    request: outside::HttpRequest,
) -> Result<outside::HttpResponse, Failure> {
    let (method, url, headers) = parts(&request.method, &request.url, request.headers)?;
    let body = Bytes::from(request.body);
    let payload = match (body.is_empty(), request.once) {
        (_, true) => Payload::Once(Some(body)),
        (true, false) => Payload::None,
        (false, false) => Payload::Bytes(body),
    };
    let journey = Journey {
        setup,
        method,
        url,
        headers,
        payload,
        sent: 0,
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

/// What a request is about, checked.
fn parts(
    method: &str,
    url: &str,
    given: Vec<(String, String)>,
) -> Result<(Method, Url, HeaderMap), Failure> {
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| {
        Failure::Permanent(format!("`{}` is no HTTP method", method.escape_debug()))
    })?;
    let url = Url::parse(url).map_err(|error| {
        Failure::Permanent(format!("what is asked for over HTTP is no URL: {error}"))
    })?;
    Ok((method, url, headers(given)?))
}

/// A body that would have been streamed.
async fn collected(stream: Option<Stream>) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    let Some(mut stream) = stream else {
        return Ok(body);
    };
    while let Some(chunk) = stream.chunks.recv().await {
        let chunk = chunk.map_err(|error| Failure::temporary(error.to_string()))?;
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Headers as text.
fn told(headers: &HeaderMap) -> Vec<(String, String)> {
    let headers = headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    });
    headers.collect()
}

/// The headers as the connection takes them.
fn headers(given: Vec<(String, String)>) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::with_capacity(given.len());
    for (name, value) in given {
        let lower = name.to_ascii_lowercase();
        if OWN.contains(&lower.as_str()) {
            continue;
        }
        let wrong = || {
            Failure::Permanent(format!(
                "the header `{}` of a request is none",
                name.escape_debug()
            ))
        };
        let name = HeaderName::try_from(&lower).map_err(|_| wrong())?;
        let value = HeaderValue::try_from(value).map_err(|_| wrong())?;
        headers.append(name, value);
    }
    Ok(headers)
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
                Ok((reader, size)) => Payload::Stream(Some(Stream::start(reader, size))),
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
        let (method, url, headers) = match parts(&method, &url, given) {
            Ok(parts) => parts,
            Err(failure) => return Ok(Err(failure)),
        };
        let timeout = timeout_ms.map(Duration::from_millis);
        let _away = self.meter.pause();
        let setup = std::sync::Arc::clone(&self.setup);
        if let Some(outside) = self.place.outside.clone() {
            let request = outside::HttpRequest {
                method: method.as_str().to_owned(),
                url: url.as_str().to_owned(),
                headers: told(&headers),
                timeout,
                ..outside::HttpRequest::default()
            };
            return Ok(elsewhere(&*outside, &setup, &url, request, payload).await);
        }
        let journey = Journey {
            setup: &setup,
            method,
            url,
            headers,
            payload,
            sent: 0,
        };
        Ok(journey.within(limit(&setup, timeout)).await)
    }
}
