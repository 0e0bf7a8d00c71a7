//! Uploads: at once where the content is small, else in parts that become an object together.
//!
//! Until then nobody sees anything of it. What was begun and is not to be completed is given up, so
//! that its parts cost nothing; after a crash the rule of the bucket that removes such uploads has to.

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, ETAG, HeaderMap};
use rusty_s3::S3Action;
use rusty_s3::actions::{
    AbortMultipartUpload, CompleteMultipartUpload, CompleteMultipartUploadResponse, CreateBucket,
    CreateMultipartUpload, UploadPart,
};

use super::answer::with_namespace;
use super::door::{Door, VALID};
use crate::object::answer::tag;
use crate::object::{Pieces, Refused, Store, in_order, metadata, piece_size};
use crate::{About, Chunks, Error};

/// Smallest part but for the last, as servers want it.
const PART_MIN: u64 = 5 << 20;

/// Most parts of an upload.
const PARTS_MAX: u64 = 10_000;

/// An upload to be made.
pub(super) struct Upload<'a> {
    pub(super) door: &'a Door,
    pub(super) key: &'a str,
    pub(super) about: &'a About,
}

/// How much of a file of `size` bytes goes into a part.
fn part_size(size: Option<u64>) -> usize {
    piece_size(size, PARTS_MAX, PART_MIN)
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
        let headers = metadata::headers(self.about, CONTENT_TYPE, Door::NOTED)?;
        let noted = headers.get(Door::NOTED);
        let noted = noted.and_then(|noted| noted.to_str().ok());
        Ok((noted.map(str::to_owned), headers))
    }

    async fn whole(&self, content: Bytes) -> Result<(), Error> {
        let put = async || {
            let (bucket, credentials) = (self.door.bucket(), self.door.credentials());
            let (noted, headers) = self.headers()?;
            let mut action = bucket.put_object(credentials, self.key);
            if let Some(noted) = noted {
                action.headers_mut().insert(Door::NOTED, noted);
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

    async fn in_parts(&self, first: Bytes, pieces: Pieces<'_>) -> Result<(), Error> {
        let begun = match self.begin().await {
            Err(refused) if self.lacks_bucket(&refused) => {
                self.make_bucket().await?;
                self.begin().await
            }
            begun => begun,
        };
        let mut parts = begun?;
        let tags = in_order(first, pieces, PARTS_MAX, |number, piece| {
            let (door, key) = (self.door.clone(), self.key.to_owned());
            send_part(door, key, parts.id.clone(), number, piece)
        });
        let tags = tags.await?;
        parts.complete(&tags).await
    }

    async fn begin(&self) -> Result<Parts, Refused> {
        let (noted, headers) = self.headers()?;
        let (bucket, credentials) = (self.door.bucket(), self.door.credentials());
        let mut action = CreateMultipartUpload::new(bucket, credentials, self.key);
        if let Some(noted) = noted {
            action.headers_mut().insert(Door::NOTED, noted);
        }
        let (url, body) = (action.sign(VALID), Some(Bytes::new()));
        let answer = self
            .door
            .send(Method::POST, url, headers, body, self.key)
            .await?;
        let text = self.door.text(answer).await?;
        let begun = CreateMultipartUpload::parse_response(&with_namespace(&text));
        let begun = begun.map_err(|error| self.unreadable(&error))?;
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
        self.door.may_make_bucket && refused.code.as_deref() == Some("NoSuchBucket")
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
    number: u64,
    content: Bytes,
) -> Result<String, Error> {
    // Of the server they begin with 1.
    let number = u16::try_from(number + 1).expect("there are at most 10 000 parts");
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
    Ok(tag.to_owned())
}

/// An upload in parts that was begun; dropped, it is given up.
struct Parts {
    door: Door,
    key: String,
    id: String,
    open: bool,
}

impl Parts {
    async fn complete(&mut self, tags: &[String]) -> Result<(), Error> {
        let (bucket, credentials) = (self.door.bucket(), self.door.credentials());
        let tags = tags.iter().map(String::as_str);
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
