//! The line of a store in `credentials.conf`.

use flow_config::Credential;
use reqwest::Url;

use crate::{Error, Site};

/// What the line of a site says, if there is one.
pub(crate) struct Line<'a> {
    pub(crate) site: &'a Site,
    pub(crate) credential: Option<&'a Credential>,
}

impl Line<'_> {
    /// An option that is not empty.
    pub(crate) fn option(&self, name: &str) -> Option<String> {
        let value = self.credential?.option(name)?.expose().trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    /// An option that is the URL of a service.
    pub(crate) fn endpoint(&self, name: &str) -> Result<Option<Url>, Error> {
        let Some(text) = self.option(name) else {
            return Ok(None);
        };
        let url = Url::parse(&text).ok();
        match url.filter(|url| matches!(url.scheme(), "http" | "https")) {
            Some(url) => Ok(Some(url)),
            None => Err(self.wrong(&format!("`{name}` is no `http:` or `https:` URL"))),
        }
    }

    /// It makes no sense.
    pub(crate) fn wrong(&self, what: &str) -> Error {
        Error::config(format!("credentials of `{}`: {what}", self.site))
    }
}
