//! Local content on its way out.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use flow_runtime::ports::{ContentReader, Failure};
use tokio::time::Instant;

use crate::{Chunks, Error, Throttle};

/// Bytes read at once.
const PIECE: usize = 256 << 10;

/// Local content being sent.
pub(super) struct Body {
    reader: Option<Box<dyn ContentReader>>,
    first: usize,
    throttle: Arc<Throttle>,
    /// When bytes last moved.
    moved: Arc<Mutex<Instant>>,
    left: u64,
}

impl Body {
    /// `size` bytes of `reader`.
    pub(super) fn new(reader: Box<dyn ContentReader>, size: u64, throttle: &Arc<Throttle>) -> Self {
        Self {
            reader: Some(reader),
            first: usize::try_from(size).unwrap_or(usize::MAX).min(PIECE),
            throttle: Arc::clone(throttle),
            moved: Arc::new(Mutex::new(Instant::now())),
            left: size,
        }
    }

    /// When bytes last moved, also while somebody else holds this.
    pub(super) fn moved(&self) -> Arc<Mutex<Instant>> {
        Arc::clone(&self.moved)
    }
}

/// Content that can't be read here.
pub(super) fn of_content(failure: Failure) -> Error {
    match failure {
        Failure::Temporary { reason, .. } | Failure::Plugin(reason) => Error::temporary(reason),
        Failure::Permanent(reason) => Error::permanent(reason),
        Failure::Auth(reason) => Error::auth(reason),
        Failure::Config(reason) => Error::config(reason),
    }
}

#[async_trait]
impl Chunks for Body {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let Some(mut reader) = self.reader.take() else {
            return Ok(None);
        };
        // The first piece is small and mostly the only one: not worth a thread.
        let data = if self.first > 0 && self.first < PIECE {
            let most = std::mem::take(&mut self.first);
            let data = reader.read(most).map_err(of_content)?;
            self.reader = Some(reader);
            data
        } else {
            let (reader, data) = tokio::task::spawn_blocking(move || {
                let data = reader.read(PIECE);
                (reader, data)
            })
            .await
            .map_err(|error| Error::temporary(error.to_string()))?;
            self.reader = Some(reader);
            data.map_err(of_content)?
        };
        if data.is_empty() {
            self.reader = None;
            if self.left > 0 {
                return Err(Error::temporary(
                    "the file became shorter while it was sent",
                ));
            }
            return Ok(None);
        }
        self.left = self.left.saturating_sub(data.len() as u64);
        self.throttle.take(data.len()).await;
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        Ok(Some(data.into()))
    }
}
