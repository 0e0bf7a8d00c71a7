//! Directory listings over HTTP, as they come: the page is read and parsed in pieces, so that a
//! directory of a million files costs no more memory than a small one.
//!
//! Two forms: HTML, as Apache, nginx, IIS, lighttpd, Caddy and plain lists of links write it
//! ([`html`]), and JSON, as nginx (`autoindex_format json`) and Caddy do ([`json`]).

mod html;
mod json;
mod row;

use std::collections::VecDeque;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Response, Url};

use self::html::Html;
use self::json::Json;
use super::failure;
use crate::{Entry, Error};

/// A listing being read.
pub(super) struct Listing {
    response: Option<Response>,
    parser: Parser,
    ready: VecDeque<Entry>,
}

enum Parser {
    Html(Html),
    Json(Json),
}

impl Parser {
    fn feed(&mut self, data: &[u8], found: &mut VecDeque<Entry>) -> Result<(), Error> {
        match self {
            Self::Html(html) => html.feed(data, found),
            Self::Json(json) => json.feed(data, found),
        }
    }

    fn finish(&mut self, found: &mut VecDeque<Entry>) -> Result<(), Error> {
        match self {
            Self::Html(html) => {
                html.finish(found);
                Ok(())
            }
            Self::Json(json) => json.finish(),
        }
    }
}

impl Listing {
    /// Of an answer; times that do not say theirs are in `timezone`.
    ///
    /// # Errors
    /// It is something else.
    pub(super) fn new(response: Response, timezone: jiff::tz::TimeZone) -> Result<Self, Error> {
        let kind = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("text/html")
            .to_ascii_lowercase();
        let url = response.url().clone();
        let parser = if kind.contains("json") {
            Parser::Json(Json::new(&failure::shown(&url)))
        } else if kind.contains("html") || kind.contains("xml") || kind.contains("text/plain") {
            Parser::Html(Html::new(base(url), timezone))
        } else {
            return Err(Error::permanent(format!(
                "`{}` is no listing: its type is `{kind}`",
                failure::shown(&url)
            )));
        };
        Ok(Self {
            response: Some(response),
            parser,
            ready: VecDeque::new(),
        })
    }

    /// More entries, at most `limit`; nothing at the end.
    pub(super) async fn next(&mut self, limit: usize) -> Result<Vec<Entry>, Error> {
        while self.ready.len() < limit {
            let Some(response) = &mut self.response else {
                break;
            };
            let piece = response.chunk().await;
            match piece {
                Ok(Some(data)) => self.parser.feed(&data, &mut self.ready)?,
                Ok(None) => {
                    self.response = None;
                    self.parser.finish(&mut self.ready)?;
                }
                Err(error) => return Err(failure::of_body(&error, response.url())),
            }
        }
        let count = limit.min(self.ready.len());
        Ok(self.ready.drain(..count).collect())
    }
}

/// The directory a listing is of: a page like `/data/index.html` lists `/data/`.
fn base(mut url: Url) -> Url {
    url.set_query(None);
    url.set_fragment(None);
    if let Some(end) = url.path().rfind('/') {
        let directory = url.path()[..=end].to_owned();
        url.set_path(&directory);
    }
    url
}
