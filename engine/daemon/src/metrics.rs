//! Prometheus metrics and a health check over HTTP, for whoever asks for them.
//!
//! Off unless asked for, and on loopback unless somebody insists: what is told here needs no password.
//! `/metrics` is the text format 0.0.4, `/healthz` is 200 or 503 with JSON that names the flows that
//! are unwell. What is told comes from a [`Source`]; this module neither counts nor judges.

mod http;
mod text;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::net::TcpListener;

use crate::figures::Figures;
use crate::health::Health;

/// One flow, as it is now.
#[derive(Debug, Clone)]
pub struct Sample {
    /// `kind/name`.
    pub flow: String,
    /// How it is.
    pub health: Health,
    /// How often it was started again after it failed.
    pub restarts: u64,
    /// What it has done; none of one that does not run.
    pub figures: Option<Figures>,
}

/// Where samples come from.
#[async_trait]
pub trait Source: Send + Sync {
    /// Every flow there is.
    async fn flows(&self) -> Vec<Sample>;
}

/// Why metrics can't be offered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Everybody could ask.
    #[error(
        "metrics would be open to the network at {0}; nobody is asked for a password there: use \
         a loopback address such as 127.0.0.1:9470, or `{0},anywhere` if it is meant"
    )]
    Exposed(SocketAddr),
    /// The address can't be listened at.
    #[error("can't offer metrics at {address}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// An address that is listened at.
#[derive(Debug)]
pub struct Metrics {
    listener: TcpListener,
    address: SocketAddr,
}

impl Metrics {
    /// Listens; port 0 takes a free one. With `anywhere`, on an address others can reach as well.
    ///
    /// # Errors
    /// The address is not one of this machine alone, or it is taken.
    pub async fn bind(address: SocketAddr, anywhere: bool) -> Result<Self, Error> {
        if !anywhere && !address.ip().to_canonical().is_loopback() {
            return Err(Error::Exposed(address));
        }
        let fail = |source| Error::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers for as long as it is polled.
    ///
    /// # Cancel safety
    /// Dropping the future closes the address; answers under way are cut.
    pub async fn serve(self, source: Arc<dyn Source>) -> Infallible {
        http::serve(&self.listener, &source).await
    }
}

/// Offers metrics at a loopback address.
///
/// # Errors
/// As [`Metrics::bind`].
pub async fn serve(address: SocketAddr, source: Arc<dyn Source>) -> Result<Infallible, Error> {
    Ok(Metrics::bind(address, false).await?.serve(source).await)
}

#[cfg(test)]
mod tests;
