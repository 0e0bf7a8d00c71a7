//! Those who read lines: one writer each, so that lines never mix.
//!
//! # Invariants
//! - A peer's number is never used again, by another process of the same flow neither: it begins with
//!   the time.
//! - Who wrote a line is told that it went out after it was flushed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use flow_runtime::ports::{Failure, Lines};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

/// Lines that wait for a peer that does not read.
const WAITING: usize = 1024;
/// Lines written before they are flushed together.
const TOGETHER: usize = 256;

struct Out {
    text: String,
    done: oneshot::Sender<()>,
}

/// Those who read lines of a flow.
#[derive(Debug)]
pub struct Peers {
    /// How long a peer may take to read a line.
    timeout: Duration,
    next: AtomicU64,
    peers: Mutex<HashMap<u64, mpsc::Sender<Out>>>,
}

impl Peers {
    /// Nobody yet. Who does not read a line within `timeout` gets it no more.
    pub fn new(timeout: Duration) -> Arc<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let millis = now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(0));
        Arc::new(Self {
            timeout,
            // Two thousand peers a millisecond: more than can come. No number has more than 53 bits
            // until the year 2109, so that each is exact where numbers are floating-point.
            next: AtomicU64::new(millis << 11),
            peers: Mutex::default(),
        })
    }

    fn peers(&self) -> MutexGuard<'_, HashMap<u64, mpsc::Sender<Out>>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new peer, and what writes to it: to be run until it ends, which it does when the peer is gone
    /// or [`leave`](Self::leave) was called.
    pub(crate) fn join(
        self: &Arc<Self>,
        to: impl AsyncWrite + Unpin + Send + 'static,
    ) -> (u64, impl Future<Output = ()> + Send + 'static) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = mpsc::channel(WAITING);
        self.peers().insert(number, sender);
        let peers = Arc::clone(self);
        let writing = async move {
            if let Err(error) = write_all(receiver, to).await {
                tracing::debug!(peer = number, %error, "A peer does not read any more.");
            }
            peers.leave(number);
        };
        (number, writing)
    }

    /// Nothing more is written to a peer.
    pub(crate) fn leave(&self, number: u64) {
        self.peers().remove(&number);
    }
}

/// Writes lines as they come; several that wait go out together.
async fn write_all(
    mut lines: mpsc::Receiver<Out>,
    mut to: impl AsyncWrite + Unpin,
) -> std::io::Result<()> {
    let (mut some, mut bytes) = (Vec::with_capacity(TOGETHER), Vec::new());
    while lines.recv_many(&mut some, TOGETHER).await > 0 {
        bytes.clear();
        for line in &some {
            bytes.extend_from_slice(line.text.as_bytes());
            bytes.push(b'\n');
        }
        to.write_all(&bytes).await?;
        to.flush().await?;
        for line in some.drain(..) {
            // Who does not wait any more does not mind.
            let _ = line.done.send(());
        }
    }
    Ok(())
}

#[async_trait]
impl Lines for Peers {
    async fn write(&self, peer: u64, text: &str) -> Result<(), Failure> {
        let gone = || {
            Failure::Permanent(format!(
                "peer {peer} is gone: it closed its connection, or belonged to an earlier run"
            ))
        };
        let sender = self.peers().get(&peer).cloned().ok_or_else(gone)?;
        let (done, written) = oneshot::channel();
        let text = text.to_owned();
        let writing = async {
            sender.send(Out { text, done }).await.map_err(|_| gone())?;
            written.await.map_err(|_| gone())
        };
        match tokio::time::timeout(self.timeout, writing).await {
            Ok(result) => result,
            Err(_) => Err(Failure::temporary(format!(
                "peer {peer} has not read a line for {:?}",
                self.timeout
            ))),
        }
    }
}
