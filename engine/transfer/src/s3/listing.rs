//! Listings: a page of a thousand keys at a time.

use reqwest::Method;
use reqwest::header::HeaderMap;
use rusty_s3::S3Action;
use rusty_s3::actions::ListObjectsV2;

use super::answer::with_namespace;
use super::door::{Door, VALID};
use crate::Error;
use crate::object::listing::unreadable;
use crate::object::{Page, Store};

/// A page of what has keys that begin with `prefix`.
pub(super) async fn page(door: &Door, prefix: &str, after: Option<&str>) -> Result<Page, Error> {
    let mut action = door.bucket().list_objects_v2(door.credentials());
    action.with_delimiter("/");
    if !prefix.is_empty() {
        action.with_prefix(prefix);
    }
    if let Some(token) = after {
        action.with_continuation_token(token);
    }
    let url = action.sign(VALID);
    let asked = door.send(Method::GET, url, HeaderMap::new(), None, prefix);
    let text = with_namespace(&door.text(asked.await?).await?);
    let found = ListObjectsV2::parse_response(&text)
        .map_err(|error| unreadable(&door.shown(prefix), &error))?;
    let mut page = Page::new(prefix);
    for found in found.common_prefixes {
        page.directory(&found.prefix);
    }
    for found in found.contents {
        let time = found.last_modified.as_deref();
        let time = time.and_then(|time| time.parse::<jiff::Timestamp>().ok());
        page.file(&found.key, found.size, time.map(Into::into));
    }
    page.next = found.next_continuation_token;
    Ok(page)
}
