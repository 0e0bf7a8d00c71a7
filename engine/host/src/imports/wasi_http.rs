//! `wasi:http`: requests of guests whose language or library speaks it rather than `http`.
//!
//! It is the same journey with the same grants, clients and stand-ins, but bodies are streams both
//! ways. Guests are refused in words: `wasi:http` has a code for "denied" and none for what to add to
//! the flow, so that failures are internal errors whose text says it.
//!
//! # Invariants
//! - A request ends with the call it was made in: neither it nor its answer outlives what a call
//!   brings, and a guest that forgets one holds no connection.
//! - What waits for the guest, or for the peer, waits for a limited time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, Full};
use reqwest::Url;
use reqwest::header::{CONTENT_LENGTH, HeaderMap};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::Level;
use wasmtime_wasi_http::{
    Error as Code, RequestOptions, Result as Coded, WasiBody, WasiHttpCtx, WasiHttpCtxView,
    WasiHttpHooks, WasiHttpView,
};

use super::content::CHUNK;
use super::http::elsewhere;
use crate::bindings::flow::plugin::types::Failure;
use crate::error::Error;
use crate::journey::{Journey, LONGEST, Payload, broken, headers, is_own, late, parts};
use crate::meter::{Flight, Meter};
use crate::outside::{self, Place};
use crate::store::{Guest, Setup};
use crate::upload::{Frames, Upload};
use crate::voice::Voice;

/// Requests an instance may have under way: each takes a file of the process.
const REQUESTS: usize = 64;
/// Bytes of all headers of a request or an answer together: what is kept of them is not the guest's
/// memory.
const HEADERS: usize = 32 << 10;
/// Chunks of an answer read ahead of the guest.
const AHEAD: usize = 2;

/// Tells the ends of exchanges.
type Exchange = (
    http::Response<WasiBody>,
    Box<dyn Future<Output = Coded<()>> + Send>,
);

/// What an instance needs to make such requests.
pub(crate) struct WasiHttp {
    context: WasiHttpCtx,
    hooks: Hooks,
}

struct Hooks {
    setup: Arc<Setup>,
    place: Place,
    meter: Arc<Meter>,
    voice: Arc<Voice>,
    /// Told when a call ends.
    ends: watch::Sender<()>,
}

impl WasiHttp {
    pub(crate) fn new(
        setup: &Arc<Setup>,
        place: &Place,
        meter: &Arc<Meter>,
        voice: &Arc<Voice>,
    ) -> Self {
        let mut context = WasiHttpCtx::new();
        context.set_field_size_limit(HEADERS);
        Self {
            context,
            hooks: Hooks {
                setup: Arc::clone(setup),
                place: place.clone(),
                meter: Arc::clone(meter),
                voice: Arc::clone(voice),
                ends: watch::Sender::new(()),
            },
        }
    }

    /// A call ended, and with it the requests made in it.
    pub(crate) fn end(&self) {
        self.hooks.ends.send_replace(());
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.wasi_http.context,
            table: &mut self.table,
            hooks: &mut self.wasi_http.hooks,
        }
    }
}

/// How long a request may take to its parts.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// Until the head of the answer is there.
    head: Duration,
    /// From chunk to chunk of the answer.
    chunk: Duration,
    /// When it has to be over.
    end: Instant,
}

impl Patience {
    fn of(options: Option<RequestOptions>, usual: Duration) -> Self {
        let options = options.unwrap_or_default();
        // How long connecting may take is a matter of the clients, which do it for others too.
        let limit = |asked: Option<Duration>| asked.unwrap_or(usual).min(LONGEST);
        Self {
            head: limit(options.first_byte_timeout),
            chunk: limit(options.between_bytes_timeout),
            end: Instant::now() + LONGEST,
        }
    }
}

impl WasiHttpHooks for Hooks {
    fn set_host_header(&mut self) -> bool {
        // The clients make it, of the URL that was checked.
        false
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Coded<()>> + Send>,
    ) -> Box<dyn Future<Output = Coded<Exchange>> + Send> {
        let setup = Arc::clone(&self.setup);
        let voice = Arc::clone(&self.voice);
        voice.waits();
        let place = self.place.clone();
        let patience = Patience::of(options, setup.timeout);
        let flight = self.meter.depart(REQUESTS);
        let mut ends = self.ends.subscribe();
        Box::new(async move {
            let flight = flight.ok_or_else(|| refused(&voice, &too_many(&setup)))?;
            let answer = async {
                match place.outside {
                    Some(outside) => stand_in(&*outside, &setup, request, patience).await,
                    None => real(Arc::clone(&setup), request, patience).await,
                }
            };
            let answer = tokio::select! {
                biased;
                _ = ends.changed() => return Err(Code::ConnectionTerminated),
                answer = answer => answer,
            };
            match answer.map_err(|failure| refused(&voice, &failure))? {
                Answer::Stream(response, peer) => {
                    Ok(streamed(response, peer, setup, flight, patience, ends))
                }
                Answer::Whole(response) => {
                    let nothing: Box<dyn Future<Output = Coded<()>> + Send> =
                        Box::new(async { Ok(()) });
                    Ok((response, nothing))
                }
            }
        })
    }
}

fn too_many(setup: &Setup) -> Failure {
    let text = format!(
        "plugin `{}` has {REQUESTS} requests under way, the most there may be",
        setup.plugin
    );
    let error = Error::new("plugin/too-many", text);
    Failure::misuse(&error.hint("this is for the plugin's author to correct: wait for answers"))
}

/// A failure in words.
fn in_words(failure: &Failure) -> Code {
    match failure {
        Failure::Config(text) | Failure::Permanent(text) | Failure::Auth(text) => {
            Code::InternalError(Some(text.clone()))
        }
        Failure::Temporary(temporary) => Code::InternalError(Some(temporary.reason.clone())),
        Failure::Interrupted => Code::ConnectionTerminated,
    }
}

/// As [`in_words`]. What a person has to mend is in the log too: libraries show what they like.
fn refused(voice: &Voice, failure: &Failure) -> Code {
    if let Failure::Config(text) = failure {
        let text: Vec<&str> = text.lines().map(str::trim).collect();
        voice.say(Level::WARN, &text.join(" "));
    }
    in_words(failure)
}

fn stalled(peer: &str, wait: Duration) -> Failure {
    Failure::temporary(format!(
        "`{peer}` sent nothing more of its answer for {wait:?}"
    ))
}

/// What came back.
enum Answer {
    /// Still on its way, from this peer.
    Stream(reqwest::Response, String),
    Whole(http::Response<WasiBody>),
}

/// What the guest writes while it is sent.
fn payload(length: Option<u64>, body: WasiBody) -> Payload {
    if body.is_end_stream() {
        return Payload::None;
    }
    let body = body.map_err(io::Error::other).boxed_unsync();
    Payload::Upload(Some(Upload::new(body, length)))
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A request as it is made: its parts, and what it carries.
fn taken(
    request: http::Request<WasiBody>,
) -> Result<(http::Method, Url, HeaderMap, Payload), Failure> {
    let (mut head, body) = request.into_parts();
    let payload = payload(length(&head.headers), body);
    for name in head.headers.keys().cloned().collect::<Vec<_>>() {
        if is_own(name.as_str()) {
            head.headers.remove(name);
        }
    }
    let (method, url, _) = parts(head.method.as_str(), &head.uri.to_string(), Vec::new())?;
    Ok((method, url, head.headers, payload))
}

async fn real(
    setup: Arc<Setup>,
    request: http::Request<WasiBody>,
    patience: Patience,
) -> Result<Answer, Failure> {
    let (method, url, headers, payload) = taken(request)?;
    let journey = Journey {
        setup,
        method,
        url,
        headers,
        payload,
    };
    let peer = journey.peer();
    match tokio::time::timeout(patience.head, journey.arrive()).await {
        Ok(arrived) => arrived.map(|(_, response)| Answer::Stream(response, peer)),
        Err(_) => Err(late(&peer, patience.head)),
    }
}

/// Asks what stands in for the network: its answer is whole.
async fn stand_in(
    outside: &dyn outside::Outside,
    setup: &Setup,
    request: http::Request<WasiBody>,
    patience: Patience,
) -> Result<Answer, Failure> {
    let (method, url, given, payload) = taken(request)?;
    let (parts, timeout) = ((method, url, given), Some(patience.head));
    let answer = elsewhere(outside, setup, parts, timeout, payload).await?;
    let body = Full::new(Bytes::from(answer.body)).map_err(|never| match never {});
    let mut response = http::Response::new(body.boxed_unsync());
    *response.status_mut() = http::StatusCode::from_u16(answer.status)
        .map_err(|_| Failure::Permanent(format!("{} is no status of an answer", answer.status)))?;
    *response.headers_mut() = headers(answer.headers)?;
    Ok(Answer::Whole(response))
}

/// Hands an answer on as it comes. The connection is held by what pumps it, which ends with the call.
fn streamed(
    response: reqwest::Response,
    peer: String,
    setup: Arc<Setup>,
    flight: Flight,
    patience: Patience,
    mut ends: watch::Receiver<()>,
) -> Exchange {
    let response = http::Response::<reqwest::Body>::from(response);
    let (head, mut body) = response.into_parts();
    let (sender, frames) = mpsc::channel::<Coded<Frame<Bytes>>>(AHEAD);
    let pump = async move {
        // Until then the guest may wait for it.
        let _flight = flight;
        let hand_on = async {
            loop {
                let next = match tokio::time::timeout(patience.chunk, body.frame()).await {
                    Ok(None) => return,
                    Ok(Some(Ok(frame))) => {
                        setup.usage.received(frame.data_ref().map_or(0, Bytes::len));
                        Ok(frame)
                    }
                    Ok(Some(Err(_))) => Err(in_words(&broken(&peer))),
                    Err(_) => Err(in_words(&stalled(&peer, patience.chunk))),
                };
                let failed = next.is_err();
                // Nobody takes it any more where the guest dropped it.
                if sender.send(next).await.is_err() || failed {
                    return;
                }
            }
        };
        let gone = tokio::select! {
            biased;
            () = hand_on => return Ok(()),
            _ = ends.changed() => Code::ConnectionTerminated,
            () = tokio::time::sleep_until(patience.end) => in_words(&late(&peer, LONGEST)),
        };
        // Without this the answer would seem to be at its end.
        tokio::select! {
            _ = sender.send(Err(gone)) => {}
            _ = ends.changed() => {}
        }
        Ok(())
    };
    let body = Frames(frames).boxed_unsync();
    (http::Response::from_parts(head, body), Box::new(pump))
}
