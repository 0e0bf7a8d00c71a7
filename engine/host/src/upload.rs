//! A body on its way out, a chunk at a time: never held as a whole.
//!
//! It comes from content, read on another thread, or from a guest that writes it meanwhile. Who wants
//! to know what goes by (a counter, a recording) looks at each chunk as it passes.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use flow_runtime::ports::{ContentReader, Failure};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::sync::mpsc;

use crate::imports::content::CHUNK;

/// Chunks of content read ahead of the network.
const AHEAD: usize = 4;

/// The body of a request, sent while it is read. Can be read once.
pub struct Upload {
    // Bodies need not be `Sync`, but the clients want them to: nobody ever waits for this.
    body: Mutex<UnsyncBoxBody<Bytes, io::Error>>,
    /// Bytes that are still to come, where that is known.
    left: Option<u64>,
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("left", &self.left).finish()
    }
}

impl Upload {
    /// What comes out of `body`: `size` bytes, if that is known.
    pub(crate) fn new(body: UnsyncBoxBody<Bytes, io::Error>, size: Option<u64>) -> Self {
        Self {
            body: Mutex::new(body),
            left: size,
        }
    }

    /// Begins to read content.
    pub(crate) fn of_content(mut reader: Box<dyn ContentReader>, size: u64) -> Self {
        let (sender, chunks) = mpsc::channel(AHEAD);
        tokio::task::spawn_blocking(move || {
            loop {
                let chunk = match reader.read(CHUNK) {
                    Ok(bytes) if bytes.is_empty() => return,
                    Ok(bytes) => Ok(Frame::data(Bytes::from(bytes))),
                    Err(failure) => Err(io::Error::other(failure.to_string())),
                };
                let failed = chunk.is_err();
                // Nobody takes it any more where the request was given up.
                if sender.blocking_send(chunk).is_err() || failed {
                    return;
                }
            }
        });
        Self::new(Frames(chunks).boxed_unsync(), Some(size))
    }

    /// Shows `look` each chunk as it goes by.
    #[must_use]
    pub fn seen_by(self, mut look: impl FnMut(&[u8]) + Send + 'static) -> Self {
        let Self { body, left } = self;
        let body = body.into_inner().unwrap_or_else(|error| error.into_inner());
        let body = body.map_frame(move |frame| {
            if let Some(data) = frame.data_ref() {
                look(data);
            }
            frame
        });
        Self::new(body.boxed_unsync(), left)
    }

    /// Reads it to its end, and keeps the first `most` bytes; the number is how many there were.
    ///
    /// # Errors
    /// It can't be read.
    pub async fn beginning(mut self, most: usize) -> Result<(Vec<u8>, u64), Failure> {
        let (mut kept, mut size) = (Vec::new(), 0);
        while let Some(frame) = self.frame().await {
            let frame = frame.map_err(|error| Failure::temporary(error.to_string()))?;
            if let Some(data) = frame.data_ref() {
                let room = most.saturating_sub(kept.len()).min(data.len());
                kept.extend_from_slice(&data[..room]);
                size += data.len() as u64;
            }
        }
        Ok((kept, size))
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        let body = this.body.get_mut();
        let body = body.unwrap_or_else(|error| error.into_inner());
        let frame = ready!(Pin::new(body).poll_frame(context));
        if let (Some(left), Some(Ok(frame))) = (&mut this.left, &frame) {
            *left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len) as u64);
        }
        Poll::Ready(frame)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

/// A body that is what comes through a channel.
pub(crate) struct Frames<E>(pub(crate) mpsc::Receiver<Result<Frame<Bytes>, E>>);

impl<E> Body for Frames<E> {
    type Data = Bytes;
    type Error = E;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        self.0.poll_recv(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use flow_message::Timestamp;

    use super::*;

    /// So many bytes, and perhaps an error after them.
    struct Content(usize, bool);

    impl ContentReader for Content {
        fn read(&mut self, max: usize) -> Result<Vec<u8>, Failure> {
            if self.0 == 0 && self.1 {
                return Err(Failure::temporary("the disk is gone"));
            }
            let now = self.0.min(max);
            self.0 -= now;
            Ok(vec![b'x'; now])
        }

        fn modified(&self) -> Option<Timestamp> {
            None
        }
    }

    #[tokio::test]
    async fn what_goes_by_is_seen_and_not_kept() {
        let seen = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&seen);
        let upload = Upload::of_content(Box::new(Content(1 << 20, false)), 1 << 20);
        assert_eq!(upload.size_hint().exact(), Some(1 << 20));
        let upload = upload.seen_by(move |data| {
            count.fetch_add(data.len() as u64, Ordering::Relaxed);
        });
        assert_eq!(upload.size_hint().exact(), Some(1 << 20));
        let (kept, size) = upload.beginning(1000).await.expect("it can be read");
        assert_eq!((kept.len(), size), (1000, 1 << 20));
        assert_eq!(seen.load(Ordering::Relaxed), 1 << 20);
    }

    #[tokio::test]
    async fn content_that_breaks_off_is_an_error() {
        let upload = Upload::of_content(Box::new(Content(70_000, true)), 100_000);
        let failure = upload.beginning(10).await.expect_err("it breaks");
        assert_eq!(failure.to_string(), "the disk is gone");
    }
}
