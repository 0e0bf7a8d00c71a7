//! Where a mail goes while it comes, the same for both protocols.

use flow_plugin::{ContentWriter, Edit, Failure, Fetched, Message, create, metrics};

/// Content being written. A failure to write is remembered; the rest of the mail is read over, so
/// that the connection stays usable.
pub(crate) struct Sink {
    writer: Option<ContentWriter>,
    failure: Option<Fetched>,
    announced: Option<u64>,
    written: u64,
    limit: Option<u64>,
}

impl Sink {
    pub(crate) fn new(message: &Message, limit: Option<u64>) -> Self {
        let (writer, failure) = match create(message.id) {
            Ok(writer) => (Some(writer), None),
            Err(failure) => (None, Some(Fetched::Fail(failure))),
        };
        Self {
            writer,
            failure,
            announced: message.size,
            written: 0,
            limit,
        }
    }

    pub(crate) fn take(&mut self, chunk: &[u8]) {
        let Some(writer) = &mut self.writer else {
            return;
        };
        self.written += chunk.len() as u64;
        let failed = match self.limit {
            Some(limit) if self.written > limit => Some(too_large(self.written, limit)),
            _ => writer.append(chunk).err().map(Fetched::Fail),
        };
        if failed.is_some() {
            self.failure = failed;
            self.writer = None;
        }
    }

    /// Whether more bytes are of no use.
    pub(crate) fn is_over(&self) -> bool {
        self.writer.is_none()
    }

    pub(crate) fn finish(self) -> Fetched {
        if let Some(failure) = self.failure {
            return failure;
        }
        match self.writer.map(ContentWriter::finish) {
            Some(Ok(_)) => {
                metrics::count("mails_downloaded", 1);
                let corrected = (self.announced != Some(self.written))
                    .then_some(Edit::Size(Some(self.written)));
                Fetched::Done(corrected.into_iter().collect())
            }
            Some(Err(failure)) => Fetched::Fail(failure),
            None => Fetched::Fail(Failure::temporary("the content was not started")),
        }
    }
}

pub(crate) fn too_large(size: u64, limit: u64) -> Fetched {
    Fetched::rejected(
        413,
        format!("the mail has {size} bytes or more, and `limit_size` is {limit}"),
    )
}

pub(crate) fn gone(why: &str) -> Fetched {
    Fetched::rejected(410, format!("the mail is gone from the server: {why}"))
}
