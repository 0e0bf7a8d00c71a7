//! Listings: a page of up to five thousand names at a time.

use instant_xml::FromXml;
use percent_encoding::percent_decode_str;
use reqwest::Method;
use reqwest::header::HeaderMap;

use super::door::Door;
use crate::Error;
use crate::http::http_date;
use crate::object::listing::unreadable;
use crate::object::{Page, Store};

/// A page.
#[derive(Debug, FromXml)]
#[xml(rename = "EnumerationResults")]
struct Results {
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
pub(super) fn split(path: &str) -> Result<(&str, &str), Error> {
    let (container, rest) = path.split_once('/').unwrap_or((path, ""));
    match container {
        "" => Err(Error::permanent("the path names no container")),
        container => Ok((container, rest)),
    }
}

/// A page of what is in a directory, container first.
pub(super) async fn page(door: &Door, directory: &str, after: Option<&str>) -> Result<Page, Error> {
    let (container, prefix) = split(directory)?;
    let mut query = vec![
        ("restype", "container"),
        ("comp", "list"),
        ("delimiter", "/"),
    ];
    if !prefix.is_empty() {
        query.push(("prefix", prefix));
    }
    if let Some(mark) = after {
        query.push(("marker", mark));
    }
    let url = door.url(container, &query);
    let asked = door.send(Method::GET, url, HeaderMap::new(), None, directory);
    let text = door.text(asked.await?).await?;
    let found = read(&text).map_err(|error| unreadable(&door.shown(directory), &error))?;
    let mut page = Page::new(prefix);
    for found in found.blobs.prefixes {
        page.directory(&found.name.plain());
    }
    for found in found.blobs.blobs {
        // Directories that are kept as such are among the prefixes as well.
        if found.properties.kind.as_deref() != Some("directory") {
            let time = found.properties.modified.as_deref().and_then(http_date);
            page.file(&found.name.plain(), found.properties.length, time);
        }
    }
    page.next = found.next.filter(|mark| !mark.is_empty());
    Ok(page)
}

fn read(text: &str) -> Result<Results, instant_xml::Error> {
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
