//! Following redirects, and what goes along.
//!
//! A server may send us anywhere, so what it can make us do is limited: other schemes than HTTP are
//! refused, the steps are counted, and credentials stay at home, where "home" is scheme, host and
//! port together. A redirect back home gets them again.

use reqwest::header::LOCATION;
use reqwest::{Response, Url};

use super::failure::shown;
use crate::Error;

/// More steps are a circle, or as good as one.
const MOST: usize = 10;

/// The way a request took.
pub(super) struct Trail {
    home: Url,
    here: Url,
    steps: usize,
}

impl Trail {
    pub(super) fn new(url: Url) -> Self {
        Self {
            home: url.clone(),
            here: url,
            steps: 0,
        }
    }

    /// Where to ask.
    pub(super) fn here(&self) -> &Url {
        &self.here
    }

    /// Whether credentials may be sent.
    pub(super) fn is_at_home(&self) -> bool {
        let parts = |url: &Url| {
            (
                url.scheme().to_owned(),
                url.host_str().map(str::to_owned),
                url.port_or_known_default(),
            )
        };
        parts(&self.home) == parts(&self.here)
    }

    /// Goes where the answer points; false if it points nowhere.
    ///
    /// # Errors
    /// It points to where no request may go, or around in circles.
    pub(super) fn follow(&mut self, response: &Response) -> Result<bool, Error> {
        // 300 and 304 point nowhere by themselves.
        if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
            return Ok(false);
        }
        let from = shown(&self.here);
        let Some(location) = response.headers().get(LOCATION) else {
            return Err(Error::temporary(format!(
                "`{from}` redirects, but does not say where"
            )));
        };
        let to = std::str::from_utf8(location.as_bytes())
            .ok()
            .and_then(|location| self.here.join(location).ok())
            .ok_or_else(|| {
                Error::permanent(format!("`{from}` redirects to something that is no URL"))
            })?;
        if !matches!(to.scheme(), "http" | "https") {
            return Err(Error::permanent(format!(
                "`{from}` redirects to a `{}:` URL; only `http:` and `https:` are followed",
                to.scheme()
            )));
        }
        self.steps += 1;
        if self.steps > MOST {
            return Err(Error::temporary(format!(
                "`{}` redirects more than {MOST} times, at last to `{}`",
                shown(&self.home),
                shown(&to)
            )));
        }
        self.here = to;
        // A name and a password in there are the server's idea, not ours.
        let _ = self.here.set_username("");
        let _ = self.here.set_password(None);
        Ok(true)
    }
}
