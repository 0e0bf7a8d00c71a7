//! HTTP and HTTPS: fetching, asking, and reading listings. No uploads, as in sr3.
//!
//! All lanes share one client, which keeps connections alive and speaks HTTP/2 where the server
//! does; a [`Remote`] is a cheap handle on it. Redirects are followed here and not by the client,
//! because what goes along is a question of safety: credentials never leave the site they are for.

pub(crate) mod failure;
mod listing;
mod redirect;
mod url;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flow_config::{Credential, Proxies};
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap,
    HeaderValue, IF_RANGE, LAST_MODIFIED, RANGE,
};
use reqwest::{Client, Method, Response, StatusCode, Url};

use self::listing::Listing;
use self::url::Encoder;
pub(crate) use self::url::{as_http_date, http_date};
use crate::tls::client_config;
use crate::{
    Abilities, About, Entry, Error, Opened, Protocol, Remote, RemotePath, Resume, Settings, Site,
};

/// Listings in every form this crate reads; Caddy gives JSON only to those who ask.
const LISTINGS: HeaderValue =
    HeaderValue::from_static("application/json, text/html;q=0.9, */*;q=0.1");
const ANYTHING: HeaderValue = HeaderValue::from_static("*/*");

/// The protocol.
pub struct Http {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    encoder: Encoder,
    /// Made when first needed: reading the machine's authorities takes a moment.
    client: OnceLock<Result<Client, Error>>,
}

impl Http {
    /// As the settings say.
    pub fn new(settings: &Settings) -> Self {
        Self {
            shared: Arc::new(Shared {
                settings: settings.clone(),
                encoder: Encoder::new(&settings.safe_quote),
                client: OnceLock::new(),
            }),
        }
    }
}

impl Shared {
    fn client(&self) -> Result<Client, Error> {
        self.client
            .get_or_init(|| make_client(&self.settings))
            .clone()
    }
}

/// The client of protocols that speak HTTP.
pub(crate) fn make_client(settings: &Settings) -> Result<Client, Error> {
    let mut tls = client_config(&settings.tls)?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(&settings.user_agent)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .http2_adaptive_window(true)
        .tcp_keepalive(Duration::from_secs(60))
        .pool_idle_timeout(Duration::from_secs(50))
        .connect_timeout(settings.timeout)
        .no_proxy();
    let Proxies { http, https, none } = &settings.proxies;
    let exceptions = || reqwest::NoProxy::from_string(none);
    let wrong = |which: &str| Error::config(format!("the proxy for `{which}` is no URL"));
    if let Some(proxy) = http {
        let proxy = reqwest::Proxy::http(proxy).map_err(|_| wrong("http:"))?;
        builder = builder.proxy(proxy.no_proxy(exceptions()));
    }
    if let Some(proxy) = https {
        let proxy = reqwest::Proxy::https(proxy).map_err(|_| wrong("https:"))?;
        builder = builder.proxy(proxy.no_proxy(exceptions()));
    }
    builder
        .build()
        .map_err(|error| Error::config(format!("no HTTP client can be made: {error}")))
}

#[async_trait]
impl Protocol for Http {
    fn schemes(&self) -> &'static [&'static str] {
        &["http", "https"]
    }

    async fn connect(
        &self,
        site: &Site,
        credential: Option<&Credential>,
    ) -> Result<Box<dyn Remote>, Error> {
        let client = self.shared.client()?;
        let authorization = credential.and_then(url::authorization).transpose()?;
        Ok(Box::new(HttpRemote {
            shared: Arc::clone(&self.shared),
            client,
            site: site.clone(),
            authorization,
            refused: false,
            body: None,
            listing: None,
        }))
    }
}

/// A handle on the client for one site.
struct HttpRemote {
    shared: Arc<Shared>,
    client: Client,
    site: Site,
    authorization: Option<HeaderValue>,
    /// The credentials were: others may be there by now.
    refused: bool,
    body: Option<Response>,
    listing: Option<Listing>,
}

impl HttpRemote {
    fn url(&self, path: &RemotePath) -> Result<Url, Error> {
        self.shared.encoder.url(&self.site, path)
    }

    /// Asks, following redirects; the answer is a success, or is an error.
    async fn ask(
        &mut self,
        method: Method,
        url: Url,
        headers: &HeaderMap,
    ) -> Result<Response, Error> {
        self.body = None;
        self.listing = None;
        let response = self.follow(method, url, headers).await;
        if let Err(error) = &response {
            self.refused |= error.kind() == crate::Kind::Auth;
        }
        response
    }

    async fn follow(
        &self,
        method: Method,
        url: Url,
        headers: &HeaderMap,
    ) -> Result<Response, Error> {
        let mut trail = redirect::Trail::new(url);
        loop {
            let mut request = self
                .client
                .request(method.clone(), trail.here().clone())
                .headers(headers.clone());
            if let Some(authorization) = &self.authorization
                && trail.is_at_home()
            {
                request = request.header(AUTHORIZATION, authorization.clone());
            }
            let response = request
                .send()
                .await
                .map_err(|error| failure::of_request(&error, trail.here()))?;
            if !trail.follow(&response)? {
                failure::check(&response, self.authorization.is_some())?;
                return Ok(response);
            }
        }
    }
}

/// What the headers of an answer say of the file.
pub(crate) fn about(response: &Response) -> About {
    let headers = response.headers();
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let size = match response.status() {
        StatusCode::PARTIAL_CONTENT => text(CONTENT_RANGE)
            .and_then(url::content_range)
            .and_then(|(_, size)| size),
        _ => text(CONTENT_LENGTH).and_then(|length| length.trim().parse().ok()),
    };
    About {
        size,
        mtime: text(LAST_MODIFIED).and_then(http_date),
        content_type: text(CONTENT_TYPE).map(str::to_owned),
        version: text(ETAG)
            .filter(|tag| tag.starts_with('"'))
            .map(str::to_owned),
        ..About::default()
    }
}

/// The headers that ask for the rest of a file, if it is still the same; none where nothing would
/// tell whether it is.
fn rest_of(resume: &Resume) -> Option<HeaderMap> {
    let version = match (&resume.about.version, resume.about.mtime) {
        (Some(version), _) => version.clone(),
        (None, Some(mtime)) => as_http_date(mtime)?,
        (None, None) => return None,
    };
    let mut headers = HeaderMap::new();
    headers.insert(IF_RANGE, HeaderValue::from_str(&version).ok()?);
    let range = format!("bytes={}-", resume.offset);
    headers.insert(RANGE, HeaderValue::from_str(&range).ok()?);
    Some(headers)
}

#[async_trait]
impl Remote for HttpRemote {
    fn abilities(&self) -> Abilities {
        Abilities {
            resume: true,
            list: true,
            ..Abilities::default()
        }
    }

    fn is_usable(&self) -> bool {
        !self.refused
    }

    async fn open(&mut self, path: &RemotePath, resume: Option<&Resume>) -> Result<Opened, Error> {
        let url = self.url(path)?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, ANYTHING);
        if let Some((resume, rest)) = resume.and_then(|resume| Some((resume, rest_of(resume)?))) {
            let mut with_range = headers.clone();
            with_range.extend(rest);
            match self.ask(Method::GET, url.clone(), &with_range).await {
                Ok(response) => {
                    let opened = opened(&response);
                    let as_asked = opened.offset == 0
                        || (opened.offset == resume.offset
                            && opened.about.size.is_some()
                            && (resume.about.size.is_none()
                                || resume.about.size == opened.about.size));
                    if as_asked {
                        self.body = Some(response);
                        return Ok(opened);
                    }
                }
                // The file is shorter by now, or the server has no idea of ranges: from the start.
                Err(error) if failure::is_unsatisfiable(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let response = self.ask(Method::GET, url, &headers).await?;
        let opened = opened(&response);
        if opened.offset != 0 {
            return Err(Error::temporary(format!(
                "`{}` answered with a part of the content; the whole was asked for",
                self.site
            )));
        }
        self.body = Some(response);
        Ok(opened)
    }

    async fn read(&mut self) -> Result<Option<Bytes>, Error> {
        next_chunk(&mut self.body).await
    }

    async fn stat(&mut self, path: &RemotePath) -> Result<About, Error> {
        let url = self.url(path)?;
        let response = self.ask(Method::HEAD, url, &HeaderMap::new()).await?;
        Ok(about(&response))
    }

    async fn list(&mut self, directory: &RemotePath) -> Result<(), Error> {
        let url = self.shared.encoder.directory(&self.site, directory)?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, LISTINGS);
        let response = self.ask(Method::GET, url, &headers).await?;
        let timezone = self.shared.settings.timezone.clone();
        self.listing = Some(Listing::new(response, timezone)?);
        Ok(())
    }

    async fn entries(&mut self, limit: usize) -> Result<Vec<Entry>, Error> {
        match &mut self.listing {
            None => Ok(Vec::new()),
            Some(listing) => listing.next(limit).await,
        }
    }
}

/// The next bytes of the body in hand, which is dropped at its end and on an error.
pub(crate) async fn next_chunk(body: &mut Option<Response>) -> Result<Option<Bytes>, Error> {
    let Some(response) = body else {
        return Ok(None);
    };
    let next = match response.chunk().await {
        Ok(next) => Ok(next),
        Err(error) => Err(failure::of_body(&error, response.url())),
    };
    if !matches!(next, Ok(Some(_))) {
        *body = None;
    }
    next
}

fn opened(response: &Response) -> Opened {
    Opened {
        about: about(response),
        offset: offset(response),
    }
}

/// Where the content of an answer starts; nowhere, where a part does not say.
pub(crate) fn offset(response: &Response) -> u64 {
    match response.status() {
        StatusCode::PARTIAL_CONTENT => response
            .headers()
            .get(CONTENT_RANGE)
            .and_then(|value| value.to_str().ok())
            .and_then(url::content_range)
            .map_or(u64::MAX, |(offset, _)| offset),
        _ => 0,
    }
}
