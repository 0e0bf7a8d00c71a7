//! Uploads: at once where the content is small, else in blocks that become a blob together.
//!
//! Until then nobody sees anything of it. Blocks of an upload that was not completed are dropped by the
//! service after a week, or with the next upload of the same blob.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::door::Door;
use crate::object::{Pieces, Store, in_order, metadata, piece_size};
use crate::{About, Chunks, Error};

/// Bytes of a block, where as many as there may be are enough.
const BLOCK_MIN: u64 = 8 << 20;

/// Most blocks of a blob.
const BLOCKS_MAX: u64 = 50_000;

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
    piece_size(size, BLOCKS_MAX, BLOCK_MIN)
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
        metadata::headers(self.about, CONTENT_TYPE, Door::NOTED)
    }

    async fn in_blocks(&self, first: Bytes, pieces: Pieces<'_>) -> Result<(), Error> {
        let sent = in_order(first, pieces, BLOCKS_MAX, |number, piece| {
            send_block(self.door.clone(), self.path.to_owned(), number, piece)
        });
        let count = sent.await?.len() as u64;
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
