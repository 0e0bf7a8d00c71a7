//! The seam between a guest and what is outside: peers, clocks, randomness, credentials.
//!
//! Everything a guest reaches that is not the flow's own (messages, content and state come with each
//! call) goes through here, so that a recording, a replay or a test can stand in for it. What it is
//! is decided once for each callback instance; without a [`World`] nothing of this costs anything.
//!
//! # Invariants
//! - Grants are checked before the seam: what stands in for the network never hides a missing grant.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_runtime::ports::{Callback, Clock, Failure, Lines};

use crate::bindings::flow::plugin::types as wit;
use crate::secrets::Secrets;
use crate::upload::Upload;

/// Why nothing came from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failed {
    /// The host asked for the instance while it waited (`wake.wait`).
    Interrupted,
    /// It did not work.
    Failure(Failure),
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<Failed> for wit::Failure {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Interrupted => Self::Interrupted,
            Failed::Failure(failure) => failure.into(),
        }
    }
}

impl From<wit::Failure> for Failed {
    fn from(failure: wit::Failure) -> Self {
        Self::Failure(match failure {
            wit::Failure::Interrupted => return Self::Interrupted,
            wit::Failure::Temporary(temporary) => Failure::Temporary {
                reason: temporary.reason,
                retry_after: temporary.retry_after_ms.map(Duration::from_millis),
            },
            wit::Failure::Permanent(reason) => Failure::Permanent(reason),
            wit::Failure::Auth(reason) => Failure::Auth(reason),
            wit::Failure::Config(reason) => Failure::Config(reason),
        })
    }
}

/// A connection to a peer. Closed when dropped.
#[async_trait]
pub trait Peer: Send {
    /// The next bytes, at most `max`; empty means that the peer closed. Cancel safe.
    async fn read(&mut self, max: usize) -> Result<Vec<u8>, Failed>;
    /// Writes everything.
    async fn write(&mut self, data: &[u8]) -> Result<(), Failed>;
    /// Turns to TLS.
    async fn start_tls(&mut self) -> Result<(), Failed>;
    /// How long one read or write may take.
    fn set_timeout(&mut self, _timeout: Duration) {}
}

/// An HTTP request of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HttpRequest {
    /// `GET`, …
    pub method: String,
    /// Whole.
    pub url: String,
    /// In order.
    pub headers: Vec<(String, String)>,
    /// Empty: none, or it is an [`Upload`].
    pub body: Vec<u8>,
    /// How long it may take; none: the flow's `timeout`.
    pub timeout: Option<Duration>,
}

/// The answer to one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HttpResponse {
    /// Any, also those that say no.
    pub status: u16,
    /// In order.
    pub headers: Vec<(String, String)>,
    /// Whole.
    pub body: Vec<u8>,
}

/// Where a guest's connections and requests go.
#[async_trait]
pub trait Outside: Send + Sync {
    /// Opens a connection to `host:port`, speaking TLS from the start if `tls`.
    async fn connect(&self, host: &str, port: u16, tls: bool) -> Result<Box<dyn Peer>, Failed>;
    /// Sends a request, its body being `upload` where there is one. A response of any status is a
    /// success.
    async fn http(
        &self,
        request: HttpRequest,
        _upload: Option<Upload>,
    ) -> Result<HttpResponse, Failed> {
        Err(Failed::Failure(Failure::Config(format!(
            "nothing answers HTTP requests here, so {} {} went nowhere",
            request.method, request.url
        ))))
    }
}

/// The time and chance a guest sees.
pub trait Senses: Send + Sync {
    /// Since 1970, UTC.
    fn wall(&self) -> Duration;
    /// Nanoseconds since any moment; never goes back.
    fn monotonic(&self) -> u64;
    /// What the guest's randomness is made from.
    fn seed(&self) -> [u8; 32];
}

/// What stands around one callback instance. What is none is real.
#[derive(Clone, Default)]
pub struct Place {
    /// Its connections and requests.
    pub outside: Option<Arc<dyn Outside>>,
    /// Its clocks and randomness.
    pub senses: Option<Arc<dyn Senses>>,
    /// Its credentials.
    pub secrets: Option<Arc<dyn Secrets>>,
    /// The time messages it makes get.
    pub clock: Option<Arc<dyn Clock>>,
    /// Who reads the lines it writes.
    pub lines: Option<Arc<dyn Lines>>,
    /// How the call at hand can be made again, for the error of a crash.
    pub again: Option<Arc<dyn Again>>,
}

/// Knows how a call can be made again.
pub trait Again: Send + Sync {
    /// The command.
    fn command(&self) -> String;
}

/// What is really there for one callback instance.
pub struct Real {
    /// Which of the flow's callbacks.
    pub callback: usize,
    /// Which of its instances.
    pub instance: u32,
    /// The network.
    pub outside: Arc<dyn Outside>,
    /// The credentials.
    pub secrets: Arc<dyn Secrets>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who reads lines of the flow, where somebody does.
    pub lines: Option<Arc<dyn Lines>>,
}

/// What a flow's guests stand in, in place of the real world.
pub trait World: Send + Sync {
    /// Makes a callback instance: `make` with what is to stand around it; what that returns may be
    /// wrapped.
    fn place(&self, real: Real, make: &dyn Fn(Place) -> Box<dyn Callback>) -> Box<dyn Callback>;
}
