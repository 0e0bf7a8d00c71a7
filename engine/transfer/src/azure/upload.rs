//! Uploads: at once where the content is small, else in blocks that become a blob together.
//!
//! Until then nobody sees anything of it. Blocks of an upload that was not completed are dropped by the
//! service after a week, or with the next upload of the same blob.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::task::JoinSet;

use super::door::{Door, header};
use crate::s3::{Pieces, metadata};
use crate::{About, Chunks, Error};

/// Bytes of a block, where as many as there may be are enough.
const BLOCK_MIN: u64 = 8 << 20;

/// Most blocks of a blob.
const BLOCKS_MAX: u64 = 50_000;

/// Blocks of one upload that are on their way at the same time; each is in memory meanwhile.
const OVERLAP: usize = 4;

/// The header of sr3's entry in the metadata.
pub(super) const NOTED: &str = "x-ms-meta-sarracenia_v3";

const CONTENT_TYPE: HeaderName = HeaderName::from_static("x-ms-blob-content-type");
const BLOB_TYPE: HeaderName = HeaderName::from_static("x-ms-blob-type");

/// An upload to be made.
pub(super) struct Upload<'a> {
    pub(super) door: &'a Door,
    /// Container first.
    pub(super) path: &'a str,
    pub(super) about: &'a About,
}

fn block_size(size: Option<u64>) -> usize {
    let wanted = size.unwrap_or_default().div_ceil(BLOCKS_MAX).max(BLOCK_MIN);
    usize::try_from(wanted).unwrap_or(usize::MAX)
}

/// Names of the blocks of one blob have one length.
fn block_name(number: u64) -> String {
    STANDARD.encode(format!("{number:08}"))
}

impl Upload<'_> {
    pub(super) async fn run(&self, body: &mut dyn Chunks) -> Result<(), Error> {
        let size = block_size(self.about.size);
        let mut pieces = Pieces::new(body, size);
        let first = pieces.next().await?;
        if first.len() < size {
            let mut headers = self.headers()?;
            headers.insert(BLOB_TYPE, HeaderValue::from_static("BlockBlob"));
            let url = self.door.url(self.path, &[]);
            self.door
                .send(Method::PUT, url, headers, Some(first), self.path)
                .await?;
            return Ok(());
        }
        self.in_blocks(first, pieces).await
    }

    /// What goes along with a blob.
    fn headers(&self) -> Result<HeaderMap, Error> {
        let mut headers = HeaderMap::new();
        let kind = self.about.content_type.as_deref();
        if let Some(kind) = kind.and_then(|kind| HeaderValue::from_str(kind).ok()) {
            headers.insert(CONTENT_TYPE, kind);
        }
        if let Some(noted) = metadata::write(self.about) {
            headers.insert(NOTED, header(&noted)?);
        }
        Ok(headers)
    }

    async fn in_blocks(&self, first: Bytes, mut pieces: Pieces<'_>) -> Result<(), Error> {
        let mut sending: JoinSet<Result<(), Error>> = JoinSet::new();
        let ended = |done: Result<Result<(), Error>, tokio::task::JoinError>| {
            done.map_err(|_| Error::temporary("the upload ended unexpectedly"))?
        };
        let mut piece = first;
        let mut count: u64 = 0;
        while !piece.is_empty() {
            if sending.len() >= OVERLAP
                && let Some(done) = sending.join_next().await
            {
                ended(done)?;
            }
            if count >= BLOCKS_MAX {
                return Err(Error::temporary("the file became longer while it was sent"));
            }
            let (door, path) = (self.door.clone(), self.path.to_owned());
            sending.spawn(send_block(door, path, count, piece));
            count += 1;
            piece = pieces.next().await?;
        }
        while let Some(done) = sending.join_next().await {
            ended(done)?;
        }
        let mut list = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
        for number in 0..count {
            list.push_str(&format!("<Latest>{}</Latest>", block_name(number)));
        }
        list.push_str("</BlockList>");
        let url = self.door.url(self.path, &[("comp", "blocklist")]);
        let (headers, body) = (self.headers()?, Some(Bytes::from(list)));
        self.door
            .send(Method::PUT, url, headers, body, self.path)
            .await?;
        Ok(())
    }
}

async fn send_block(door: Door, path: String, number: u64, content: Bytes) -> Result<(), Error> {
    let name = block_name(number);
    let url = door.url(&path, &[("comp", "block"), ("blockid", &name)]);
    let headers = HeaderMap::new();
    door.send(Method::PUT, url, headers, Some(content), &path)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{block_name, block_size};

    #[test]
    fn blocks_are_large_enough_for_all_to_fit() {
        assert_eq!(block_size(None), 8 << 20);
        let tera = 4 << 40;
        assert!(block_size(Some(tera)) as u64 * 50_000 >= tera);
        assert_eq!(block_name(3).len(), block_name(49_999).len());
    }
}
