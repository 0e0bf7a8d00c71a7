//! Values that never print.

use std::fmt;

use url::Url;

/// A secret. `Debug` and `Display` print `****`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself. Every use is a place to look at.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("****")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("****")
    }
}

/// A URL that prints without its password.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SafeUrl(Url);

impl SafeUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// The text is no URL.
    pub fn parse(text: &str) -> Result<Self, url::ParseError> {
        Url::parse(text).map(Self)
    }

    /// The URL, password included.
    pub fn expose(&self) -> &Url {
        &self.0
    }

    /// The scheme, lower case.
    pub fn scheme(&self) -> &str {
        self.0.scheme()
    }

    /// The host, if the scheme has one.
    pub fn host(&self) -> Option<&str> {
        self.0.host_str()
    }

    /// The port as written; the scheme's default is the plugin's business.
    pub fn port(&self) -> Option<u16> {
        self.0.port()
    }

    /// The user, percent-decoded; empty if none.
    pub fn user(&self) -> String {
        percent_encoding::percent_decode_str(self.0.username())
            .decode_utf8_lossy()
            .into_owned()
    }

    /// The URL without its password, to give away.
    pub fn without_password(&self) -> String {
        let mut url = self.0.clone();
        // Fails only for URLs that can't have a password, which is what we want.
        let _ = url.set_password(None);
        url.to_string()
    }
}

impl fmt::Display for SafeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.password().is_none() {
            return f.write_str(self.0.as_str());
        }
        let mut url = self.0.clone();
        let _ = url.set_password(Some("****"));
        f.write_str(url.as_str())
    }
}

impl fmt::Debug for SafeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
