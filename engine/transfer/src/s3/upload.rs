//! Uploads: at once where the content is small, else in parts that become an object together.
//!
//! Until then nobody sees anything of it. What was begun and is not to be completed is given up, so
//! that its parts cost nothing; after a crash the rule of the bucket that removes such uploads has to.

use bytes::{Bytes, BytesMut};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, ETAG, HeaderMap, HeaderValue};
use rusty_s3::S3Action;
use rusty_s3::actions::{
    AbortMultipartUpload, CompleteMultipartUpload, CompleteMultipartUploadResponse, CreateBucket,
    CreateMultipartUpload, UploadPart,
};
use tokio::task::JoinSet;

use super::answer::{Refused, tag, with_namespace};
use super::door::{Door, VALID, header};
use super::metadata;
use crate::{About, Chunks, Error};

/// Smallest part but for the last, as servers want it.
const PART_MIN: u64 = 5 << 20;

/// Most parts of an upload.
const PARTS_MAX: u64 = 10_000;

/// Parts of one upload that are on their way at the same time; each is in memory meanwhile.
const OVERLAP: usize = 4;

/// An upload to be made.
pub(super) struct Upload<'a> {
    pub(super) door: &'a Door,
    pub(super) key: &'a str,
    pub(super) about: &'a About,
    /// Whether a bucket that is not there is made, as sr3 does.
    pub(super) may_make_bucket: bool,
}

/// How much of a file of `size` bytes goes into a part.
fn part_size(size: Option<u64>) -> usize {
    let wanted = size.unwrap_or_default().div_ceil(PARTS_MAX).max(PART_MIN);
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

impl Upload<'_> {
    pub(super) async fn run(&self, body: &mut dyn Chunks) -> Result<(), Error> {
        let size = part_size(self.about.size);
        let mut pieces = Pieces::new(body, size);
        let first = pieces.next().await?;
        if first.len() < size {
            return self.whole(first).await;
        }
        self.in_parts(first, pieces).await
    }

    /// What goes along with an object: what the signature covers, and all of it.
    fn headers(&self) -> Result<(Option<String>, HeaderMap), Error> {
        let mut headers = HeaderMap::new();
        let kind = self.about.content_type.as_deref();
        if let Some(kind) = kind.and_then(|kind| HeaderValue::from_str(kind).ok()) {
            headers.insert(CONTENT_TYPE, kind);
        }
        let noted = metadata::write(self.about);
        if let Some(noted) = &noted {
            headers.insert(metadata::HEADER, header(noted)?);
        }
        Ok((noted, headers))
    }

    async fn whole(&self, content: Bytes) -> Result<(), Error> {
        let put = async || {
            let (bucket, credentials) = (self.door.bucket(), self.door.credentials());
            let (noted, headers) = self.headers().map_err(Refused::of)?;
            let mut action = bucket.put_object(credentials, self.key);
            if let Some(noted) = noted {
                action.headers_mut().insert(metadata::HEADER, noted);
            }
            let (url, body) = (action.sign(VALID), Some(content.clone()));
            self.door
                .send(Method::PUT, url, headers, body, self.key)
                .await
        };
        match put().await {
            Err(refused) if self.lacks_bucket(&refused) => {
                self.make_bucket().await?;
                put().await?;
            }
            done => drop(done?),
        }
        Ok(())
    }

    async fn in_parts(&self, first: Bytes, mut pieces: Pieces<'_>) -> Result<(), Error> {
        let begun = match self.begin().await {
            Err(refused) if self.lacks_bucket(&refused) => {
                self.make_bucket().await?;
                self.begin().await
            }
            begun => begun,
        };
        let mut parts = begun?;
        let mut tags: Vec<(u16, String)> = Vec::new();
        let mut sending: JoinSet<Result<(u16, String), Error>> = JoinSet::new();
        let mut keep = |done: Result<Result<_, Error>, tokio::task::JoinError>| {
            let failed = |_| Error::temporary("the upload ended unexpectedly");
            tags.push(done.map_err(failed)??);
            Ok::<(), Error>(())
        };
        let mut piece = first;
        let mut number: u16 = 0;
        while !piece.is_empty() {
            if sending.len() >= OVERLAP
                && let Some(done) = sending.join_next().await
            {
                keep(done)?;
            }
            number += 1;
            if u64::from(number) > PARTS_MAX {
                return Err(Error::temporary("the file became longer while it was sent"));
            }
            let (door, key) = (self.door.clone(), self.key.to_owned());
            sending.spawn(send_part(door, key, parts.id.clone(), number, piece));
            piece = pieces.next().await?;
        }
        while let Some(done) = sending.join_next().await {
            keep(done)?;
        }
        tags.sort_unstable();
        parts.complete(&tags).await
    }

    async fn begin(&self) -> Result<Parts, Refused> {
        let (noted, headers) = self.headers().map_err(Refused::of)?;
        let (bucket, credentials) = (self.door.bucket(), self.door.credentials());
        let mut action = CreateMultipartUpload::new(bucket, credentials, self.key);
        if let Some(noted) = noted {
            action.headers_mut().insert(metadata::HEADER, noted);
        }
        let (url, body) = (action.sign(VALID), Some(Bytes::new()));
        let answer = self
            .door
            .send(Method::POST, url, headers, body, self.key)
            .await?;
        let text = self.door.text(answer).await.map_err(Refused::of)?;
        let begun = CreateMultipartUpload::parse_response(&with_namespace(&text));
        let begun = begun.map_err(|error| Refused::of(self.unreadable(&error)))?;
        Ok(Parts {
            door: self.door.clone(),
            key: self.key.to_owned(),
            id: begun.upload_id().to_owned(),
            open: true,
        })
    }

    fn unreadable(&self, error: &dyn std::fmt::Display) -> Error {
        let shown = self.door.shown(self.key);
        Error::temporary(format!(
            "{shown}: the server's answer can't be read: {error}"
        ))
    }

    fn lacks_bucket(&self, refused: &Refused) -> bool {
        self.may_make_bucket && refused.code.as_deref() == Some("NoSuchBucket")
    }

    async fn make_bucket(&self) -> Result<(), Error> {
        let bucket = self.door.bucket();
        let Some(credentials) = self.door.credentials() else {
            return Err(Error::auth(format!(
                "{}: there is no such bucket, and no credentials to make it with",
                self.door.shown("")
            )));
        };
        let action = CreateBucket::new(bucket, credentials);
        let (url, body) = (action.sign(VALID), action.body().into());
        let made = self
            .door
            .send(Method::PUT, url, HeaderMap::new(), Some(body), "")
            .await;
        match made {
            Ok(_) => tracing::info!(bucket = bucket.name(), "A bucket was made."),
            // Another lane was faster.
            Err(refused) if refused.code.as_deref() == Some("BucketAlreadyOwnedByYou") => {}
            Err(refused) => return Err(refused.error.about("making the bucket")),
        }
        Ok(())
    }
}

async fn send_part(
    door: Door,
    key: String,
    id: String,
    number: u16,
    content: Bytes,
) -> Result<(u16, String), Error> {
    let action = UploadPart::new(door.bucket(), door.credentials(), &key, number, &id);
    let (url, headers) = (action.sign(VALID), HeaderMap::new());
    let answer = door
        .send(Method::PUT, url, headers, Some(content), &key)
        .await?;
    let tag = answer.headers().get(ETAG);
    let tag = tag.and_then(|tag| tag.to_str().ok()).ok_or_else(|| {
        let shown = door.shown(&key);
        Error::temporary(format!("{shown}: the server gave no `ETag` for a part"))
    })?;
    Ok((number, tag.to_owned()))
}

/// An upload in parts that was begun; dropped, it is given up.
struct Parts {
    door: Door,
    key: String,
    id: String,
    open: bool,
}

impl Parts {
    async fn complete(&mut self, tags: &[(u16, String)]) -> Result<(), Error> {
        let (bucket, credentials) = (self.door.bucket(), self.door.credentials());
        let tags = tags.iter().map(|(_, tag)| tag.as_str());
        let action = CompleteMultipartUpload::new(bucket, credentials, &self.key, &self.id, tags);
        let url = action.sign(VALID);
        let body = Some(Bytes::from(action.body()));
        let headers = HeaderMap::new();
        let answer = self
            .door
            .send(Method::POST, url, headers, body, &self.key)
            .await?;
        let text = self.door.text(answer).await?;
        // A success may turn out to be none while it is being told.
        if let Err(error) = CompleteMultipartUploadResponse::parse(&with_namespace(&text)) {
            let why = tag(&text, "Code").unwrap_or_else(|| error.to_string());
            return Err(Error::temporary(format!(
                "{}: the server can't put the parts together: {why}",
                self.door.shown(&self.key)
            )));
        }
        self.open = false;
        Ok(())
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        let (true, Ok(runtime)) = (self.open, tokio::runtime::Handle::try_current()) else {
            return;
        };
        let (door, key) = (self.door.clone(), std::mem::take(&mut self.key));
        let id = std::mem::take(&mut self.id);
        runtime.spawn(async move {
            let (bucket, credentials) = (door.bucket(), door.credentials());
            let url = AbortMultipartUpload::new(bucket, credentials, &key, &id).sign(VALID);
            let given_up = door
                .send(Method::DELETE, url, HeaderMap::new(), None, &key)
                .await;
            if let Err(refused) = given_up {
                tracing::debug!(reason = %refused.error, "Parts of an upload stay on the server.");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::part_size;

    #[test]
    fn parts_are_large_enough_for_all_to_fit() {
        assert_eq!(part_size(None), 5 << 20);
        assert_eq!(part_size(Some(1 << 30)), 5 << 20);
        let tera = 5 << 40;
        assert!(part_size(Some(tera)) as u64 * 10_000 >= tera);
        assert_eq!(part_size(Some(100_000_000_001)), 10_000_001);
    }
}
