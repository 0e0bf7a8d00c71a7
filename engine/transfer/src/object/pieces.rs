//! Content in pieces of one size, of which some are on their way at the same time.

use bytes::{Bytes, BytesMut};
use tokio::task::{JoinError, JoinSet};

use crate::{Chunks, Error};

/// Pieces of one upload that are on their way at the same time; each is in memory meanwhile.
const OVERLAP: usize = 4;

/// How much of a file of `size` bytes goes into a piece, where there are at most `most` of them and
/// `least` bytes is what a small one has.
pub(crate) fn piece_size(size: Option<u64>, most: u64, least: u64) -> usize {
    let wanted = size.unwrap_or_default().div_ceil(most).max(least);
    usize::try_from(wanted).unwrap_or(usize::MAX)
}

/// Takes content in pieces of one size.
pub(crate) struct Pieces<'a> {
    body: &'a mut dyn Chunks,
    rest: Bytes,
    size: usize,
}

impl<'a> Pieces<'a> {
    pub(crate) fn new(body: &'a mut dyn Chunks, size: usize) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            size,
        }
    }

    /// As many bytes as a piece has; fewer at the end.
    pub(crate) async fn next(&mut self) -> Result<Bytes, Error> {
        let mut piece = BytesMut::new();
        while piece.len() < self.size {
            if self.rest.is_empty() {
                match self.body.next().await? {
                    Some(data) => self.rest = data,
                    None => break,
                }
            }
            let wanted = (self.size - piece.len()).min(self.rest.len());
            piece.extend_from_slice(&self.rest.split_to(wanted));
        }
        Ok(piece.freeze())
    }
}

/// Sends `first` and the other pieces, at most `most` of them, by a task each. Returns what came of
/// them, in their order.
pub(crate) async fn in_order<T, F>(
    first: Bytes,
    mut pieces: Pieces<'_>,
    most: u64,
    send: impl Fn(u64, Bytes) -> F,
) -> Result<Vec<T>, Error>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Error>> + Send + 'static,
{
    let mut done: Vec<(u64, T)> = Vec::new();
    let mut sending: JoinSet<Result<(u64, T), Error>> = JoinSet::new();
    let mut keep = |ended: Result<Result<_, Error>, JoinError>| {
        let failed = |_| Error::temporary("the upload ended unexpectedly");
        done.push(ended.map_err(failed)??);
        Ok::<(), Error>(())
    };
    let mut piece = first;
    let mut number = 0;
    while !piece.is_empty() {
        if sending.len() >= OVERLAP
            && let Some(ended) = sending.join_next().await
        {
            keep(ended)?;
        }
        if number >= most {
            return Err(Error::temporary("the file became longer while it was sent"));
        }
        let sent = send(number, piece);
        sending.spawn(async move { Ok((number, sent.await?)) });
        number += 1;
        piece = pieces.next().await?;
    }
    while let Some(ended) = sending.join_next().await {
        keep(ended)?;
    }
    done.sort_unstable_by_key(|(number, _)| *number);
    Ok(done.into_iter().map(|(_, sent)| sent).collect())
}
