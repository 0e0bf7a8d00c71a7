//! Content on its way to the runtime's writer, which hashes and writes without being async.
//!
//! Small content is written where it arrives: that takes microseconds and saves a thread switch.
//! Of larger content, a piece is written on a thread of its own while the next is received, so that
//! hashing costs the transfer no time and no disk holds up the transfers beside it. A transfer that
//! waits for its server occupies no thread.
//!
//! That needs processors which have nothing else to do. Where other transfers compute on all of them,
//! large content is written where it arrives as well: it is in that processor's cache, and on its way to
//! another it would only take more of them. Not for a while after a disk was waited for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use flow_runtime::Processors;
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

/// How often it is looked whether processors are free.
const LOOK: Duration = Duration::from_millis(20);
/// Processors unused from which on writing gets threads of its own.
const FREE: f64 = 0.75;
/// Processors unused below which it loses them: less than what a transfer by itself leaves of two.
const BUSY: f64 = 0.5;

/// A write that took longer has waited for its disk.
const SLOW: Duration = Duration::from_millis(50);
/// How long that counts.
const WARY: Duration = Duration::from_secs(10);

type Writer = Box<dyn ContentWriter>;

/// What the transfers of a flow know of the disk they write to.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// When it was last waited for.
    waited: Mutex<Option<Instant>>,
}

impl Disk {
    fn write(&self, writer: &mut Writer, data: &[u8]) -> Result<(), Failure> {
        let began = Instant::now();
        let written = writer.write(data);
        if began.elapsed() > SLOW {
            *self.waited.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        written
    }

    fn is_slow(&self) -> bool {
        let waited = *self.waited.lock().unwrap_or_else(PoisonError::into_inner);
        waited.is_some_and(|at| at.elapsed() < WARY)
    }
}

/// Content being written. Dropped unfinished, it is gone.
pub(crate) struct Sink {
    disk: Arc<Disk>,
    place: Place,
    pending: Vec<Bytes>,
    pending_bytes: usize,
    /// When pieces were last written.
    sent: Option<Instant>,
    written: u64,
    /// Looked at once the content is no small one.
    processors: Option<Processors>,
    /// Whether there were free ones.
    spreads: bool,
}

enum Place {
    Here(Writer),
    Away(JoinHandle<Result<Writer, Failure>>),
    Broken,
}

impl Sink {
    pub(crate) fn new(writer: Writer, disk: &Arc<Disk>) -> Self {
        Self {
            disk: Arc::clone(disk),
            place: Place::Here(writer),
            pending: Vec::new(),
            pending_bytes: 0,
            sent: None,
            written: 0,
            processors: None,
            spreads: false,
        }
    }

    /// Bytes taken so far.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    pub(crate) async fn write(&mut self, data: Bytes) -> Result<(), Failure> {
        self.written += data.len() as u64;
        let spreads = self.written > SMALL && self.spreads();
        if !spreads && let Place::Here(writer) = &mut self.place {
            return self.disk.write(writer, &data);
        }
        self.pending_bytes += data.len();
        self.pending.push(data);
        let now = Instant::now();
        let sent = *self.sent.get_or_insert(now);
        if spreads && self.pending_bytes < PIECE && now.duration_since(sent) < SOON {
            return Ok(());
        }
        self.sent = Some(now);
        self.write_pending(spreads).await
    }

    fn spreads(&mut self) -> bool {
        let processors = self.processors.get_or_insert_with(Processors::now);
        match processors.left(LOOK) {
            Some(left) if left >= FREE => self.spreads = true,
            Some(left) if left < BUSY => self.spreads = false,
            _ => {}
        }
        self.spreads || self.disk.is_slow()
    }

    /// Writes what is pending once the piece before it is written, on a thread if it `spreads`.
    async fn write_pending(&mut self, spreads: bool) -> Result<(), Failure> {
        let mut writer = self.take().await?;
        let pieces = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        let disk = Arc::clone(&self.disk);
        let write = move || {
            for piece in pieces {
                disk.write(&mut writer, &piece)?;
            }
            Ok(writer)
        };
        self.place = match spreads {
            true => Place::Away(tokio::task::spawn_blocking(write)),
            false => Place::Here(write()?),
        };
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
            self.write_pending(true).await?;
        }
        self.take().await?.finish().map(|_| ())
    }

    /// Waits until nothing is being written any more and drops the content, so that its name is free
    /// to start again.
    pub(crate) async fn discard(mut self) {
        drop(self.take().await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was written, and how long each write takes.
    #[derive(Clone, Default)]
    struct Record(Arc<Mutex<Vec<u8>>>, Duration);

    impl ContentWriter for Record {
        fn write(&mut self, data: &[u8]) -> Result<(), Failure> {
            flow_testkit::wait::pause(self.1);
            self.0.lock().unwrap().extend_from_slice(data);
            Ok(())
        }

        fn finish(self: Box<Self>) -> Result<u64, Failure> {
            Ok(self.0.lock().unwrap().len() as u64)
        }
    }

    impl Sink {
        fn of(record: &Record, disk: &Arc<Disk>) -> Self {
            Self::new(Box::new(record.clone()), disk)
        }

        fn is_here(&self) -> bool {
            matches!(self.place, Place::Here(_))
        }

        /// Writes as if that were seen just now.
        async fn write_with(&mut self, free: bool, data: &[u8]) {
            self.processors = None;
            self.spreads = free;
            self.write(Bytes::copy_from_slice(data)).await.unwrap();
        }
    }

    #[tokio::test]
    async fn content_keeps_its_order_between_here_and_threads() {
        let record = Record::default();
        let disk = Arc::default();
        let mut sink = Sink::of(&record, &disk);
        let mut sent = Vec::new();
        for number in 0..40_u8 {
            // Threads for some of it, in the end with a piece on its way and another pending.
            let free = number / 5 % 2 == 1;
            let data = vec![number; 300 << 10];
            // However long the last write had to wait for a processor.
            *disk.waited.lock().unwrap() = None;
            sink.write_with(free, &data).await;
            sent.extend_from_slice(&data);
            assert_eq!(sink.is_here(), !free || number % 5 < 3);
            if !free {
                assert_eq!(record.0.lock().unwrap().len(), sent.len());
            }
        }
        assert_eq!(sink.written(), sent.len() as u64);
        sink.finish().await.unwrap();
        assert!(*record.0.lock().unwrap() == sent);
    }

    #[tokio::test]
    async fn small_content_never_leaves() {
        let record = Record::default();
        let mut sink = Sink::of(&record, &Arc::default());
        for _ in 0..4 {
            sink.write_with(true, &[1; 64 << 10]).await;
            assert!(sink.is_here());
        }
        sink.write_with(true, &[1; 64 << 10]).await;
        assert_eq!(record.0.lock().unwrap().len(), 256 << 10);
        sink.finish().await.unwrap();
        assert_eq!(record.0.lock().unwrap().len(), 320 << 10);
    }

    #[tokio::test]
    async fn a_slow_disk_holds_up_one_write_and_no_more() {
        let disk = Arc::default();
        let slow = Record(Arc::default(), SLOW + Duration::from_millis(10));
        let mut sink = Sink::of(&slow, &disk);
        sink.write_with(false, &[1; 2 << 20]).await;
        assert!(sink.is_here());
        // Of the next content as well.
        for mut sink in [sink, Sink::of(&slow, &disk)] {
            sink.write_with(false, &[1; 2 << 20]).await;
            assert!(!sink.is_here());
            sink.finish().await.unwrap();
        }
        assert_eq!(slow.0.lock().unwrap().len(), 6 << 20);
    }
}
