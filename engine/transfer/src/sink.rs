//! Content on its way to the runtime's writer, which hashes and writes without being async.
//!
//! Small content is written where it arrives: that takes microseconds and saves a thread switch.
//! Of larger content, a piece is written on a thread of its own while the next is received, so that
//! hashing costs the transfer no time and no disk holds up the transfers beside it. A transfer that
//! waits for its server occupies no thread.

use std::time::Duration;

use bytes::Bytes;
use flow_runtime::ports::{ContentWriter, Failure};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Bytes written on the spot before a writer moves to threads of its own.
const SMALL: u64 = 256 << 10;
/// Bytes of one such piece: large enough that switching costs nothing, small enough that a hundred
/// transfers at once hold little.
const PIECE: usize = 1 << 20;
/// Bytes that came are written by then, however few: the writer says that they move.
const SOON: Duration = Duration::from_secs(1);

type Writer = Box<dyn ContentWriter>;

/// Content being written. Dropped unfinished, it is gone.
pub(crate) struct Sink {
    place: Place,
    pending: Vec<Bytes>,
    pending_bytes: usize,
    /// When pieces were last sent away.
    sent: Option<Instant>,
    written: u64,
}

enum Place {
    Here(Writer),
    Away(JoinHandle<Result<Writer, Failure>>),
    Broken,
}

impl Sink {
    pub(crate) fn new(writer: Writer) -> Self {
        Self {
            place: Place::Here(writer),
            pending: Vec::new(),
            pending_bytes: 0,
            sent: None,
            written: 0,
        }
    }

    /// Bytes taken so far.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    pub(crate) async fn write(&mut self, data: Bytes) -> Result<(), Failure> {
        self.written += data.len() as u64;
        if self.written <= SMALL
            && let Place::Here(writer) = &mut self.place
        {
            return writer.write(&data);
        }
        self.pending_bytes += data.len();
        self.pending.push(data);
        let now = Instant::now();
        let sent = *self.sent.get_or_insert(now);
        if self.pending_bytes < PIECE && now.duration_since(sent) < SOON {
            return Ok(());
        }
        self.sent = Some(now);
        self.send_away().await
    }

    /// Hands what is pending to a thread, once the piece before it is written.
    async fn send_away(&mut self) -> Result<(), Failure> {
        let mut writer = self.take().await?;
        let pieces = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        self.place = Place::Away(tokio::task::spawn_blocking(move || {
            for piece in pieces {
                writer.write(&piece)?;
            }
            Ok(writer)
        }));
        Ok(())
    }

    async fn take(&mut self) -> Result<Writer, Failure> {
        match std::mem::replace(&mut self.place, Place::Broken) {
            Place::Here(writer) => Ok(writer),
            Place::Away(handle) => handle
                .await
                .unwrap_or_else(|error| Err(Failure::temporary(error.to_string()))),
            Place::Broken => Err(Failure::temporary(
                "an earlier part of the content could not be written",
            )),
        }
    }

    /// Ends the content; it is whole.
    pub(crate) async fn finish(mut self) -> Result<(), Failure> {
        if !self.pending.is_empty() {
            self.send_away().await?;
        }
        self.take().await?.finish().map(|_| ())
    }

    /// Waits until nothing is being written any more and drops the content, so that its name is free
    /// to start again.
    pub(crate) async fn discard(mut self) {
        drop(self.take().await);
    }
}
