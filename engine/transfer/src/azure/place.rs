//! Where an account is and who asks: what a URL and its line in `credentials.conf` say.
//!
//! The user of the line is the account, its password the key. Options, as in sr3:
//! `azure_storage_credentials` (a shared access signature, or a key); and one more, `azure_endpoint` (a
//! URL that containers are below, where it is not that of the host).

use std::fmt;

use flow_config::Credential;
use percent_encoding::percent_decode_str;
use reqwest::Url;

use super::sign::Key;
use crate::object::Line;
use crate::{Error, Site};

/// An account, and the right to use it.
pub(super) struct Place {
    /// Containers are below it; ends in a slash.
    pub(super) base: Url,
    pub(super) right: Right,
}

/// What goes along with requests.
pub(super) enum Right {
    /// Nothing: the container is public.
    None,
    /// A signature of each request.
    Key(Key),
    /// A signature somebody made, as a query.
    Shared(String),
}

impl fmt::Debug for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Key(_) => "Key",
            Self::Shared(_) => "Shared",
        })
    }
}

impl Place {
    pub(super) fn new(site: &Site, credential: Option<&Credential>) -> Result<Self, Error> {
        let line = Line { site, credential };
        if site.host.is_empty() {
            return Err(Error::config(format!("`{site}` names no account")));
        }
        let endpoint = match line.endpoint("azure_endpoint")? {
            Some(endpoint) => endpoint,
            None => official(site)?,
        };
        let base = with_slash(endpoint);
        let credential = credential.filter(|credential| {
            credential.password.is_some() || credential.option(GIVEN).is_some()
        });
        let account = |credential: &Credential| match credential.user.as_str() {
            "" => site.host.split('.').next().unwrap_or_default().to_owned(),
            user => user.to_owned(),
        };
        let right = match (credential, line.option(GIVEN)) {
            (None, _) => Right::None,
            (Some(credential), Some(given)) => match shared(&given) {
                Some(query) => Right::Shared(query),
                None => {
                    let given = percent_decode_str(&given).decode_utf8_lossy();
                    let key = Key::new(&account(credential), &given);
                    Right::Key(key.ok_or_else(|| {
                        line.wrong("`azure_storage_credentials` is neither a signature nor a key")
                    })?)
                }
            },
            (Some(credential), None) => {
                let password = credential.password.as_ref();
                let secret = password.map_or("", |password| password.expose());
                let key = Key::new(&account(credential), secret);
                Right::Key(
                    key.ok_or_else(|| line.wrong("the password is no key: a key is Base64"))?,
                )
            }
        };
        Ok(Self { base, right })
    }
}

/// The option that sr3 has.
const GIVEN: &str = "azure_storage_credentials";

/// The service's own address: of a host as it is written, or of an account by its name alone.
fn official(site: &Site) -> Result<Url, Error> {
    let port = site.port.map(|port| format!(":{port}")).unwrap_or_default();
    let host = match site.host.contains(['.', ':']) || site.host == "localhost" {
        true => site.host.clone(),
        false => format!("{}.blob.core.windows.net", site.host),
    };
    let text = format!("https://{host}{port}/");
    Url::parse(&text).map_err(|error| Error::config(format!("`{text}` is no URL: {error}")))
}

fn with_slash(mut url: Url) -> Url {
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    url.set_query(None);
    url.set_fragment(None);
    url
}

/// A shared access signature as a query; none where it is something else. sr3 wants it
/// percent-encoded once more; as the portal gives it, it is good too.
fn shared(text: &str) -> Option<String> {
    let is_query = |text: &str| {
        let mut names = text.split('&').map(|pair| pair.split('=').next());
        names.any(|name| name == Some("sig"))
    };
    let plain = text.trim_start_matches('?');
    if is_query(plain) {
        return Some(plain.to_owned());
    }
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    let decoded = decoded.trim_start_matches('?');
    is_query(decoded).then(|| decoded.to_owned())
}

#[cfg(test)]
mod tests {
    use flow_config::{Credentials, SafeUrl};

    use super::{Place, Right};
    use crate::Site;

    fn place(url: &str, line: &str) -> Result<Place, String> {
        let url = SafeUrl::parse(url).unwrap();
        let credentials = Credentials::parse("c".as_ref(), line).unwrap();
        let (site, _) = Site::of(&url).unwrap();
        Place::new(&site, credentials.find(&url)).map_err(|error| error.to_string())
    }

    #[test]
    fn accounts_are_where_the_line_says() {
        for (url, line, expected) in [
            (
                "azure://acc.blob.core.windows.net/c/x",
                "",
                "https://acc.blob.core.windows.net/",
            ),
            ("azblob://acc/c/x", "", "https://acc.blob.core.windows.net/"),
            (
                "azure://acc/c/x",
                "azure://acc:a2V5@acc/ azure_endpoint=http://127.0.0.1:9/acc",
                "http://127.0.0.1:9/acc/",
            ),
        ] {
            assert_eq!(place(url, line).unwrap().base.as_str(), expected);
        }
        let error = place("azure://a/", "azure://a:a2V5@a/ azure_endpoint=ftp://h/").err();
        assert_eq!(
            error.as_deref(),
            Some("credentials of `azure://a/`: `azure_endpoint` is no `http:` or `https:` URL")
        );
        let error = place("azure://a/", "azure://a:no%20key@a/").err();
        assert_eq!(
            error.as_deref(),
            Some("credentials of `azure://a/`: the password is no key: a key is Base64")
        );
    }

    #[test]
    fn who_asks_is_in_the_line() {
        let right = |line: &str| place("azure://a.example/c", line).unwrap().right;
        assert!(matches!(right(""), Right::None));
        assert!(matches!(right("azure://a.example/"), Right::None));
        assert!(matches!(right("azure://a:a2V5@a.example/"), Right::Key(_)));
        let key = "azure://a.example/ azure_storage_credentials=a2V5";
        assert!(matches!(right(key), Right::Key(_)));
        for written in [
            "?sv=2021-08-06&sp=r&sig=a%2Bb%3D",
            "sv=2021-08-06&sp=r&sig=a%2Bb%3D",
            "sv%3D2021-08-06%26sp%3Dr%26sig%3Da%252Bb%253D",
        ] {
            let line = format!("azure://a.example/ azure_storage_credentials={written}");
            let Right::Shared(query) = right(&line) else {
                panic!("{written}");
            };
            assert_eq!(query, "sv=2021-08-06&sp=r&sig=a%2Bb%3D");
        }
        assert_eq!(format!("{:?}", right(key)), "Key");
    }
}
