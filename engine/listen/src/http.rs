//! HTTP: connections with limits, and a plugin behind them.
//!
//! HTTP/1.1, as proxies and webhooks speak it to what is behind them. A request is read as a whole,
//! within a time limit and up to the flow's limit, before an instance of the plugin is taken for it: a
//! peer that trickles keeps nobody from his work.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flow_runtime::ports::{EntryPoints, Failure, HttpRequest, HttpResponse};
use flow_runtime::{Drain, Entrance, Front, Leave};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER,
};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::door::{Doors, Place, Site};

/// Connections of one address at the same time; others wait to be accepted.
const CONNECTIONS: usize = 1024;
/// Bytes of a request's head, and how many headers.
const HEAD: usize = 64 * 1024;
const HEADERS: usize = 100;
/// How long a head may take, and a connection be idle.
const HEAD_TIME: Duration = Duration::from_secs(15);
/// How long a body may take.
const BODY_TIME: Duration = Duration::from_secs(60);
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Requests of a flow in hand for each instance that may answer.
const QUEUE: usize = 8;
/// When to come again where nothing says more.
const COME_AGAIN: Duration = Duration::from_secs(5);
/// How long to wait when the system has no more files for connections.
const BREATH: Duration = Duration::from_millis(200);

/// A flow behind an address.
pub(crate) struct Route {
    pub(crate) path: String,
    front: Arc<Front>,
    body_max: usize,
    /// One permit for each request that may be in hand.
    room: Semaphore,
    most: usize,
    closing: AtomicBool,
    flow: String,
}

impl Route {
    /// What is left of `path` below the flow's own.
    pub(crate) fn below<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(&self.path)?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }
}

/// The entrance of a flow that answers requests.
pub struct Requests {
    doors: Doors,
    place: Place,
    body_max: usize,
    flow: String,
}

impl Requests {
    /// For the flow called `flow`, at `place`, with bodies of at most `body_max` bytes.
    pub fn new(doors: Doors, place: Place, body_max: usize, flow: String) -> Self {
        Self {
            doors,
            place,
            body_max,
            flow,
        }
    }
}

#[async_trait]
impl Entrance for Requests {
    fn serves(&self) -> fn(EntryPoints) -> bool {
        |points| points.request
    }

    async fn serve(&mut self, front: Arc<Front>, drain: Drain) -> Result<Leave, Failure> {
        let most = (front.width() * QUEUE).max(32);
        let route = Arc::new(Route {
            path: self.place.path.clone(),
            front,
            body_max: self.body_max,
            room: Semaphore::new(most),
            most,
            closing: AtomicBool::new(false),
            flow: self.flow.clone(),
        });
        let door = self.doors.open(&self.place, Arc::clone(&route)).await?;
        let scheme = if self.place.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let url = format!("{scheme}://{}{}", door.address(), self.place.path);
        tracing::info!(flow = self.flow, url, "Listening.");
        drain.requested().await;
        route.closing.store(true, Ordering::Release);
        // All permits back: everybody has an answer.
        let all = u32::try_from(route.most).unwrap_or(u32::MAX);
        drop(route.room.acquire_many(all).await);
        door.close().await;
        Ok(Leave::AtOnce)
    }
}

/// Accepts connections until nobody is behind the address any more.
pub(crate) async fn serve(
    listener: TcpListener,
    acceptor: Option<tokio_rustls::TlsAcceptor>,
    site: Arc<Site>,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    let accepting = async {
        loop {
            while connections.try_join_next().is_some() {}
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let _ = stream.set_nodelay(true);
                    let (site, acceptor) = (Arc::clone(&site), acceptor.clone());
                    connections.spawn(async move {
                        match acceptor {
                            None => talk(stream, peer, site).await,
                            Some(acceptor) => {
                                let shaken = acceptor.accept(stream);
                                match tokio::time::timeout(HANDSHAKE, shaken).await {
                                    Ok(Ok(stream)) => talk(stream, peer, site).await,
                                    _ => tracing::debug!(%peer, "No TLS handshake."),
                                }
                            }
                        }
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, "A connection was not made.");
                    tokio::time::sleep(BREATH).await;
                }
            }
        }
    };
    tokio::select! {
        () = site.ended() => {}
        () = accepting => {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// One connection.
async fn talk(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    site: Arc<Site>,
) {
    let service = hyper::service::service_fn(|request| {
        let site = Arc::clone(&site);
        async move { Ok::<_, Infallible>(answer(request, peer, &site).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let mut ending = false;
    loop {
        tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%peer, %error, "A connection ended badly.");
                }
                return;
            }
            () = site.ended(), if !ending => {
                ending = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

type Answer = Response<Full<Bytes>>;

/// A short answer of our own.
fn say(status: StatusCode, text: &'static str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

/// Not now.
fn later(after: Duration, text: &'static str) -> Answer {
    let mut answer = say(StatusCode::SERVICE_UNAVAILABLE, text);
    let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
    let seconds = HeaderValue::from(seconds.clamp(1, 86_400));
    answer.headers_mut().insert(RETRY_AFTER, seconds);
    answer
}

/// Not now, and not on this connection, of which the body was not read.
fn refuse(mut answer: Answer) -> Answer {
    let close = HeaderValue::from_static("close");
    answer.headers_mut().insert(CONNECTION, close);
    answer
}

async fn answer(request: Request<Incoming>, peer: SocketAddr, site: &Site) -> Answer {
    let Some(route) = site.route(request.uri().path()) else {
        return refuse(say(StatusCode::NOT_FOUND, "nobody listens at this path\n"));
    };
    if route.closing.load(Ordering::Acquire) {
        return refuse(later(COME_AGAIN, "the flow is ending\n"));
    }
    if route.front.is_full() {
        return refuse(later(COME_AGAIN, "too much is waiting to be worked on\n"));
    }
    let Ok(_permit) = route.room.try_acquire() else {
        return refuse(later(Duration::from_secs(1), "too many requests at once\n"));
    };
    let started = tokio::time::Instant::now();
    let (path, method) = (request.uri().path().to_owned(), request.method().clone());
    let request = match read(request, peer, &route).await {
        Ok(request) => request,
        Err(answer) => return refuse(answer),
    };
    let answer = ask(&request, &route).await;
    tracing::debug!(
        flow = route.flow,
        %peer,
        %method,
        path,
        status = answer.status().as_u16(),
        elapsed = ?started.elapsed(),
        "A request was answered."
    );
    answer
}

/// Reads all of a request.
async fn read(
    request: Request<Incoming>,
    peer: SocketAddr,
    route: &Route,
) -> Result<HttpRequest, Answer> {
    let (head, body) = request.into_parts();
    let too_large = || say(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large\n");
    let announced = head.headers.get(CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > route.body_max as u64) {
        return Err(too_large());
    }
    let body = Limited::new(body, route.body_max).collect();
    let body = match tokio::time::timeout(BODY_TIME, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(too_large()),
        Ok(Err(_)) => return Err(say(StatusCode::BAD_REQUEST, "the body could not be read\n")),
        Err(_) => {
            return Err(say(
                StatusCode::REQUEST_TIMEOUT,
                "the body came too slowly\n",
            ));
        }
    };
    let path = route.below(head.uri.path()).unwrap_or_default();
    let headers = head.headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    });
    Ok(HttpRequest {
        method: head.method.as_str().to_owned(),
        path: path.to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: headers.collect(),
        body: body.into(),
        peer: peer.to_string(),
    })
}

/// Asks the plugin. What went wrong stands in the log, and is nobody's business elsewhere.
async fn ask(request: &HttpRequest, route: &Route) -> Answer {
    let broken = || {
        say(
            StatusCode::INTERNAL_SERVER_ERROR,
            "something went wrong here\n",
        )
    };
    let result = match route.front.seat().await {
        Ok(seat) => seat.request(request).await,
        Err(failure) => Err(failure),
    };
    let failure = match result {
        Ok(response) => match of_plugin(response) {
            Some(answer) => return answer,
            None => Failure::Plugin("an answer had a header that is none".into()),
        },
        Err(failure) => failure,
    };
    let flow = &route.flow;
    if let Failure::Temporary { retry_after, .. } = &failure {
        tracing::warn!(flow, reason = %failure, "A request could not be answered for now.");
        return later(retry_after.unwrap_or(COME_AGAIN), "not now\n");
    }
    tracing::error!(flow, reason = %failure, "A request could not be answered.");
    broken()
}

/// The answer as a plugin wants it; none if it can't be written so.
fn of_plugin(response: HttpResponse) -> Option<Answer> {
    /// Headers the connection makes by itself.
    const OWN: [&str; 5] = [
        "connection",
        "content-length",
        "keep-alive",
        "transfer-encoding",
        "upgrade",
    ];
    let mut answer = Response::new(Full::new(Bytes::from(response.body)));
    *answer.status_mut() = StatusCode::from_u16(response.status).ok()?;
    for (name, value) in response.headers {
        let name = HeaderName::try_from(name).ok()?;
        let value = HeaderValue::try_from(value).ok()?;
        if !OWN.contains(&name.as_str()) {
            answer.headers_mut().append(name, value);
        }
    }
    Some(answer)
}
