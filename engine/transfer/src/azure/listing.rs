//! Listings: a page of up to five thousand names at a time.

use std::collections::VecDeque;

use instant_xml::FromXml;
use percent_encoding::percent_decode_str;
use reqwest::Method;
use reqwest::header::HeaderMap;

use super::door::Door;
use crate::http::http_date;
use crate::{Entry, EntryKind, Error, RemotePath};

/// A page.
#[derive(Debug, FromXml)]
#[xml(rename = "EnumerationResults")]
struct Page {
    blobs: Blobs,
    #[xml(rename = "NextMarker")]
    next: Option<String>,
}

#[derive(Debug, FromXml)]
#[xml(rename = "Blobs")]
struct Blobs {
    blobs: Vec<Blob>,
    prefixes: Vec<BlobPrefix>,
}

#[derive(Debug, FromXml)]
#[xml(rename = "Blob")]
struct Blob {
    name: Name,
    properties: Properties,
}

#[derive(Debug, FromXml)]
#[xml(rename = "BlobPrefix")]
struct BlobPrefix {
    name: Name,
}

/// Percent-encoded where XML has no way to write it.
#[derive(Debug, FromXml)]
#[xml(rename = "Name")]
struct Name {
    #[xml(attribute, rename = "Encoded")]
    encoded: Option<bool>,
    #[xml(direct)]
    text: String,
}

#[derive(Debug, FromXml)]
#[xml(rename = "Properties")]
struct Properties {
    #[xml(rename = "Content-Length")]
    length: Option<u64>,
    #[xml(rename = "Last-Modified")]
    modified: Option<String>,
    /// Of accounts that have directories.
    #[xml(rename = "ResourceType")]
    kind: Option<String>,
}

impl Name {
    fn plain(&self) -> String {
        match self.encoded {
            Some(true) => percent_decode_str(&self.text)
                .decode_utf8_lossy()
                .into_owned(),
            _ => self.text.clone(),
        }
    }
}

/// The container a path begins with, and the rest of the path.
pub(super) fn split(path: &RemotePath) -> Result<(&str, &str), Error> {
    let path = path.as_str();
    let (container, rest) = path.split_once('/').unwrap_or((path, ""));
    match container {
        "" => Err(Error::permanent("the path names no container")),
        container => Ok((container, rest)),
    }
}

/// A directory being listed.
pub(super) struct Listing {
    container: String,
    prefix: String,
    ready: VecDeque<Entry>,
    rest: Rest,
}

enum Rest {
    /// Nothing was asked yet.
    All,
    /// What follows this mark.
    After(String),
    Nothing,
}

impl Listing {
    pub(super) fn new(directory: &RemotePath) -> Result<Self, Error> {
        let (container, rest) = split(directory)?;
        Ok(Self {
            container: container.to_owned(),
            prefix: match rest {
                "" => String::new(),
                rest => format!("{rest}/"),
            },
            ready: VecDeque::new(),
            rest: Rest::All,
        })
    }

    /// At most `limit` entries; none at the end.
    pub(super) async fn next(&mut self, door: &Door, limit: usize) -> Result<Vec<Entry>, Error> {
        // A page may have nothing but what stands for the directory itself, or nothing at all.
        while self.ready.is_empty() && !matches!(self.rest, Rest::Nothing) {
            self.fill(door).await?;
        }
        let count = limit.max(1).min(self.ready.len());
        Ok(self.ready.drain(..count).collect())
    }

    /// Asks for the next page.
    pub(super) async fn fill(&mut self, door: &Door) -> Result<(), Error> {
        let mut query = vec![
            ("restype", "container"),
            ("comp", "list"),
            ("delimiter", "/"),
        ];
        if !self.prefix.is_empty() {
            query.push(("prefix", &self.prefix));
        }
        match &self.rest {
            Rest::All => {}
            Rest::After(mark) => query.push(("marker", mark)),
            Rest::Nothing => return Ok(()),
        }
        let shown = format!("{}/{}", self.container, self.prefix);
        let url = door.url(&self.container, &query);
        let asked = door.send(Method::GET, url, HeaderMap::new(), None, &shown);
        let text = door.text(asked.await?).await?;
        let page = read(&text).map_err(|error| {
            Error::temporary(format!(
                "{}: the server's listing can't be read: {error}",
                door.shown(&shown)
            ))
        })?;
        for found in page.blobs.prefixes {
            if let Some(name) = found.name.plain().strip_prefix(&self.prefix) {
                self.ready.push_back(Entry {
                    name: name.strip_suffix('/').unwrap_or(name).to_owned(),
                    kind: EntryKind::Directory,
                    ..Entry::default()
                });
            }
        }
        for found in page.blobs.blobs {
            // Directories that are kept as such are among the prefixes as well.
            if found.properties.kind.as_deref() == Some("directory") {
                continue;
            }
            let whole = found.name.plain();
            let name = whole.strip_prefix(&self.prefix);
            if let Some(name) = name.filter(|name| !name.is_empty()) {
                self.ready.push_back(Entry {
                    name: name.to_owned(),
                    kind: EntryKind::File,
                    size: found.properties.length,
                    mtime: found.properties.modified.as_deref().and_then(http_date),
                    ..Entry::default()
                });
            }
        }
        self.rest = match page.next.filter(|mark| !mark.is_empty()) {
            Some(mark) => Rest::After(mark),
            None => Rest::Nothing,
        };
        Ok(())
    }
}

fn read(text: &str) -> Result<Page, instant_xml::Error> {
    instant_xml::from_str(text.trim_start_matches('\u{feff}'))
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn pages_are_read_in_any_order() {
        let text = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults \
            ServiceEndpoint=\"https://a/\" ContainerName=\"c\"><Prefix>d/</Prefix><Delimiter>/\
            </Delimiter><Blobs><Blob><Name>d/a &amp; b</Name><Properties><Last-Modified>Sun, 22 Nov \
            2026 01:52:07 GMT</Last-Modified><Etag>0x1</Etag><Content-Length>12</Content-Length>\
            <Content-MD5 /></Properties><OrMetadata /></Blob><BlobPrefix><Name>d/e/</Name>\
            </BlobPrefix><Blob><Name Encoded=\"true\">d/%EF%BF%BE</Name><Properties>\
            <ResourceType>directory</ResourceType></Properties></Blob></Blobs><NextMarker>m\
            </NextMarker></EnumerationResults>";
        let page = read(text).unwrap();
        assert_eq!(page.next.as_deref(), Some("m"));
        assert_eq!(page.blobs.blobs[0].name.plain(), "d/a & b");
        assert_eq!(page.blobs.blobs[0].properties.length, Some(12));
        assert_eq!(page.blobs.blobs[1].name.plain(), "d/\u{fffe}");
        assert_eq!(page.blobs.prefixes[0].name.plain(), "d/e/");
        let empty = "<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>";
        let page = read(empty).unwrap();
        assert!(page.blobs.blobs.is_empty() && page.next.is_none_or(|mark| mark.is_empty()));
    }
}
