//! The local side of what is sent: opening it, and removing it afterwards.

use std::sync::Arc;

use flow_message::{Message, Timestamp};
use flow_runtime::ports::{Content, ContentReader, Item, Rejection};

use super::body::of_content;
use crate::{Carrier, Error, Kind, Site};

/// Content that can be sent.
pub(super) struct Source {
    pub(super) reader: Box<dyn ContentReader>,
    pub(super) size: u64,
}

impl Source {
    /// Opens the content of `item`, and compares it with what was announced; an `Ok(Err)` is a
    /// rejection.
    pub(super) fn open(
        content: &Arc<dyn Content>,
        item: &Item,
        any_size: bool,
    ) -> Result<Result<Self, Rejection>, Error> {
        let (reader, size) = content.open(item.id).map_err(of_content)?;
        let message = &item.message;
        let Some(announced) = message.size.filter(|announced| *announced != size) else {
            return Ok(Ok(Self { reader, size }));
        };
        if any_size {
            return Ok(Ok(Self { reader, size }));
        }
        let what = format!("the file here has {size} bytes, {announced} were announced");
        if is_newer(reader.modified(), message.mtime) {
            let reason = format!("{what}; it has changed since, which another message announces");
            return Ok(Err(Rejection { code: 410, reason }));
        }
        Err(Error::permanent(format!(
            "{what}; `acceptSizeWrong: true` would send it"
        )))
    }
}

fn is_newer(here: Option<Timestamp>, announced: Option<Timestamp>) -> bool {
    match (here, announced) {
        (Some(here), Some(announced)) => {
            let (here, announced) = (here.as_millisecond(), announced.as_millisecond());
            // Not every message keeps fractions of a second.
            let step = if announced % 1000 == 0 { 1000 } else { 1 };
            here.div_euclid(step) > announced.div_euclid(step)
        }
        _ => false,
    }
}

/// Removes a file that was sent, unless it has changed since: then it is still to be sent.
pub(super) async fn remove_sent(carrier: &Carrier, message: &Message) -> Result<(), Error> {
    let (site, path) = Site::of_message(message)?;
    if site.scheme != "file" {
        return Err(Error::permanent("it is no file of this machine"));
    }
    let mut connection = carrier.connect(&site).await?;
    let done = match connection.stat(&path).await {
        Ok(found)
            if is_newer(found.mtime, message.mtime)
                || message.size.is_some_and(|size| found.size != Some(size)) =>
        {
            tracing::debug!(path = %message.rel_path, "A file that was sent has changed since, and stays.");
            Ok(())
        }
        Ok(_) => connection.remove(&path).await,
        Err(error) => Err(error),
    };
    connection.done();
    match done {
        // Somebody else removed it, or an earlier call did.
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        done => done,
    }
}
