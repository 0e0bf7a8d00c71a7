//! A request of a guest on its way through the process's pooled clients.
//!
//! Every hop is checked against the grants before it is made, redirects included; what a redirect
//! leads elsewhere keeps none of the headers that could tell who asked. Trying again is the plugin's
//! business, as only it knows whether a request may be made twice. What stands in for the network is
//! asked elsewhere, by who makes the request.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode, Url};

use crate::bindings::flow::plugin::http::Response;
use crate::bindings::flow::plugin::types::Failure;
use crate::error::Error;
use crate::grants::Address;
use crate::imports::content::CHUNK;
use crate::store::Setup;
use crate::tls;
use crate::upload::Upload;
use crate::web::{self, Private};

/// Most bytes of a body that is held as a whole, in either direction.
pub(crate) const BODY: usize = 16 << 20;
/// Redirects followed for one request.
const REDIRECTS: usize = 10;
/// The longest a guest may let a request take.
pub(crate) const LONGEST: Duration = Duration::from_secs(3600);

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
pub(crate) enum Payload {
    None,
    Bytes(Bytes),
    /// Can be sent once.
    Upload(Option<Upload>),
}

/// What goes from hop to hop.
pub(crate) struct Journey {
    pub(crate) setup: Arc<Setup>,
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Payload,
}

impl Journey {
    /// Makes the request within a time limit, and reads the response as a whole.
    pub(crate) async fn within(self, timeout: Duration) -> Result<Response, Failure> {
        let peer = self.peer();
        let whole = async {
            let (journey, response) = self.arrive().await?;
            journey.answer(response).await
        };
        match tokio::time::timeout(timeout, whole).await {
            Ok(result) => result,
            Err(_) => Err(late(&peer, timeout)),
        }
    }

    /// Makes the request, following redirects, up to the head of the response.
    pub(crate) async fn arrive(mut self) -> Result<(Self, reqwest::Response), Failure> {
        for _ in 0..=REDIRECTS {
            let response = self.hop().await?;
            match self.redirect(&response)? {
                Some(next) => self.go_to(next, response.status()),
                None => return Ok((self, response)),
            }
        }
        Err(Failure::Permanent(format!(
            "`{}` redirects in a circle: {REDIRECTS} redirects were followed",
            self.peer()
        )))
    }

    /// One request, where the grants allow it.
    async fn hop(&mut self) -> Result<reqwest::Response, Failure> {
        let setup = Arc::clone(&self.setup);
        let (host, port, written) = granted(&setup, &self.url)?;
        let literal = host.trim_matches(['[', ']']).parse().ok();
        if let Some(address) = literal.filter(|_| !written)
            && web::is_private(address)
        {
            return Err(private(&setup, &Private { host, address }, port));
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
                setup.usage.sent(bytes.len() as u64);
                request = request.body(bytes.clone());
            }
            Payload::Upload(upload) => {
                if let Some(upload) = upload.take() {
                    let usage = Arc::clone(&setup.usage);
                    let counted = upload.seen_by(move |data| usage.sent(data.len() as u64));
                    request = request.body(reqwest::Body::wrap(counted));
                }
            }
        }
        setup.usage.asked();
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
        // An upload is gone by now: the guest decides what to do about the response.
        let keeps = matches!(status.as_u16(), 307 | 308);
        if keeps && matches!(self.payload, Payload::Upload(_)) {
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
                Err(_) => return Err(broken(&self.peer())),
            }
        }
        self.setup.usage.received(body.len());
        Ok(Response {
            status: response.status().as_u16(),
            headers: told(response.headers()),
            body,
        })
    }

    /// Host and port, for people: paths and queries may hold secrets.
    pub(crate) fn peer(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        Address(host, self.url.port_or_known_default().unwrap_or_default()).to_string()
    }

    /// No answer came: why.
    fn unreachable(&self, error: &reqwest::Error, port: u16) -> Failure {
        let peer = self.peer();
        if let Some(found) = Private::of(error) {
            return private(&self.setup, found, port);
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
                return tls::insecure(&peer, io);
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

/// The answer broke off.
pub(crate) fn broken(peer: &str) -> Failure {
    Failure::temporary(format!(
        "the connection to `{peer}` broke in the middle of its answer"
    ))
}

/// No answer came in time.
pub(crate) fn late(peer: &str, timeout: Duration) -> Failure {
    Failure::temporary(format!("`{peer}` did not answer within {timeout:?}"))
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

/// The host and the port of a URL that may be asked, and whether somebody wrote that host down.
pub(crate) fn granted(setup: &Setup, url: &Url) -> Result<(String, u16, bool), Failure> {
    let (host, port) = place(url)?;
    let written = setup.grants.http(&setup.plugin, &host, port);
    let written = written.map_err(|error| Failure::config(&error))?;
    Ok((host, port, written))
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

/// What a request is about, checked.
pub(crate) fn parts(
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

/// Whether a header, in lower case, is one the connection makes by itself.
pub(crate) fn is_own(name: &str) -> bool {
    OWN.contains(&name)
}

/// Headers as text.
pub(crate) fn told(headers: &HeaderMap) -> Vec<(String, String)> {
    let headers = headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    });
    headers.collect()
}

/// The headers as the connection takes them.
pub(crate) fn headers(given: Vec<(String, String)>) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::with_capacity(given.len());
    for (name, value) in given {
        let lower = name.to_ascii_lowercase();
        if is_own(&lower) {
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
