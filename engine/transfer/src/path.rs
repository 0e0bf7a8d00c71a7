//! Paths on other machines.
//!
//! A path from the wire is data: a [`RemotePath`] can only be made of one that stays where it is put.

use std::fmt;

use percent_encoding::percent_decode_str;

use crate::Error;

/// Longest path, bytes.
const PATH_MAX: usize = 8 << 10;

/// A path below the root of a site, checked: elements joined by single `/`, none of them `.`, `..`
/// or empty, and no control characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct RemotePath {
    text: String,
    absolute: bool,
    /// See [`verbatim`](Self::verbatim).
    verbatim: Option<Verbatim>,
}

/// A path as its producer wrote it, below a base.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Verbatim {
    /// The base, as [`RemotePath::as_str`].
    pub base: String,
    /// What follows it, percent-encoded or not, perhaps with a query; no slash in front.
    pub below: String,
}

impl RemotePath {
    /// From the path of a URL, percent-decoded. An extra slash at its front makes it
    /// [absolute](Self::is_absolute).
    ///
    /// # Errors
    /// It is no safe path.
    pub fn of_url(path: &str) -> Result<Self, Error> {
        let decoded = percent_decode_str(path)
            .decode_utf8()
            .map_err(|_| unsafe_path(path, "is not UTF-8 text when decoded"))?;
        let mut made = Self::default().join(&decoded)?;
        made.absolute = decoded.starts_with("//");
        Ok(made)
    }

    /// This path and `below` below it. Leading, doubled and trailing slashes mean nothing.
    ///
    /// # Errors
    /// `below` is no safe path.
    pub fn join(&self, below: &str) -> Result<Self, Error> {
        let mut text = self.text.clone();
        for element in below.split('/') {
            if element.is_empty() || element == "." {
                continue;
            }
            if let Some(problem) = problem(element) {
                return Err(unsafe_path(below, problem));
            }
            if !text.is_empty() {
                text.push('/');
            }
            text.push_str(element);
        }
        if text.len() > PATH_MAX {
            return Err(unsafe_path(below, "is too long"));
        }
        Ok(Self {
            text,
            absolute: self.absolute,
            verbatim: None,
        })
    }

    /// This path and `below`, where `below` is taken as written, query included: the
    /// `retrievePath` of a message. Protocols without a query see the path alone.
    ///
    /// # Errors
    /// It is no safe path.
    pub fn join_verbatim(&self, below: &str) -> Result<Self, Error> {
        let (path, _) = below.split_once('?').unwrap_or((below, ""));
        let decoded = percent_decode_str(path).decode_utf8_lossy();
        self.join(&decoded)?;
        if below.chars().any(char::is_control) {
            return Err(unsafe_path(below, "has control characters"));
        }
        let mut joined = self.join(path)?;
        joined.verbatim = Some(Verbatim {
            base: self.text.clone(),
            below: below.trim_start_matches('/').to_owned(),
        });
        Ok(joined)
    }

    /// The path, without slashes at its ends; empty for the root.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The URL had an extra slash before the path: `sftp://host//data` is `/data` there, while
    /// `sftp://host/data` is `data` below where one lands after the login. Protocols without a
    /// home take no notice.
    pub fn is_absolute(&self) -> bool {
        self.absolute
    }

    /// The path as its producer wrote it, where it was [joined](Self::join_verbatim) that way.
    pub fn verbatim(&self) -> Option<&Verbatim> {
        self.verbatim.as_ref()
    }

    /// The last element; empty for the root.
    pub fn name(&self) -> &str {
        self.text.rsplit('/').next().unwrap_or_default()
    }

    /// The directory it is in; none for the root and for what is directly in it.
    pub fn parent(&self) -> Option<Self> {
        let (parent, _) = self.text.rsplit_once('/')?;
        Some(Self {
            text: parent.to_owned(),
            absolute: self.absolute,
            verbatim: None,
        })
    }

    /// The root it is below: `/`, or where one lands after the login.
    pub fn root(&self) -> Self {
        Self {
            text: String::new(),
            absolute: self.absolute,
            verbatim: None,
        }
    }

    /// The same place under another name.
    ///
    /// # Errors
    /// `name` is not one safe path element.
    pub fn with_name(&self, name: &str) -> Result<Self, Error> {
        check_name(name)?;
        self.parent().unwrap_or_else(|| self.root()).join(name)
    }

    /// The elements, in order.
    pub fn elements(&self) -> impl Iterator<Item = &str> {
        self.text.split('/').filter(|element| !element.is_empty())
    }
}

impl fmt::Display for RemotePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("/")?;
        f.write_str(&self.text)
    }
}

/// Whether a name from a listing can be one element of a path.
///
/// # Errors
/// It can't; the text says why.
pub fn check_name(name: &str) -> Result<(), Error> {
    let problem = match name {
        "" | "." => Some("names nothing"),
        name if name.contains('/') => Some("is more than one name"),
        name => problem(name),
    };
    match problem {
        Some(problem) => Err(unsafe_path(name, problem)),
        None => Ok(()),
    }
}

fn problem(element: &str) -> Option<&'static str> {
    if element == ".." {
        Some("leads out of its directory")
    } else if element.chars().any(char::is_control) {
        Some("has control characters")
    } else {
        None
    }
}

fn unsafe_path(path: &str, problem: &str) -> Error {
    let shown: String = path.chars().take(80).flat_map(char::escape_debug).collect();
    Error::permanent(format!("`{shown}` {problem}; nothing is done with it"))
}

#[cfg(test)]
mod tests {
    use super::{RemotePath, check_name};

    fn of_url(path: &str) -> Result<String, String> {
        RemotePath::of_url(path)
            .map(|path| path.as_str().to_owned())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn slashes_are_tidied_and_escapes_undone() {
        for (given, expected) in [
            ("", ""),
            ("/", ""),
            ("/a//b/./c/", "a/b/c"),
            ("//abs/x", "abs/x"),
            ("/a%20b/%C3%BC", "a b/ü"),
        ] {
            assert_eq!(of_url(given).as_deref(), Ok(expected), "{given}");
        }
        assert!(RemotePath::of_url("//abs").unwrap().is_absolute());
        assert!(!RemotePath::of_url("/rel").unwrap().is_absolute());
    }

    #[test]
    fn what_leads_away_is_refused() {
        for given in ["/a/../b", "/%2e%2e/x", "/..", "/a%00b", "/a%0Ab", "/%FF"] {
            assert!(of_url(given).is_err(), "{given}");
        }
        let base = RemotePath::of_url("/data").unwrap();
        assert!(base.join("../etc/passwd").is_err());
        assert!(base.join_verbatim("%2e%2e/etc?x").is_err());
        assert!(base.join_verbatim("a?x=1\n").is_err());
        assert_eq!(
            base.join("/etc/passwd").unwrap().as_str(),
            "data/etc/passwd"
        );
        for name in ["", ".", "..", "a/b", "a\0", "a\nb"] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        assert!(check_name("..a b%2f").is_ok());
        let error = base.join("x/../\u{7}").unwrap_err().to_string();
        assert_eq!(
            error,
            "`x/../\\u{7}` leads out of its directory; nothing is done with it"
        );
    }

    #[test]
    fn neighbours_and_parents() {
        let path = RemotePath::of_url("//a/b").unwrap();
        assert_eq!(path.name(), "b");
        assert_eq!(path.parent().unwrap().as_str(), "a");
        let other = path.with_name(".b.tmp").unwrap();
        assert_eq!((other.as_str(), other.is_absolute()), ("a/.b.tmp", true));
        assert_eq!(path.parent().unwrap().parent(), None);
        let file = RemotePath::of_url("/f").unwrap();
        assert_eq!(file.with_name("g").unwrap().as_str(), "g");
        assert!(file.with_name("../g").is_err());
    }

    #[test]
    fn a_retrieve_path_is_kept_as_written() {
        let base = RemotePath::of_url("/api").unwrap();
        let path = base.join_verbatim("/get%20it?id=7&x=a//b").unwrap();
        let verbatim = path.verbatim().unwrap();
        assert_eq!(verbatim.base, "api");
        assert_eq!(verbatim.below, "get%20it?id=7&x=a//b");
        assert_eq!(path.as_str(), "api/get%20it");
    }
}
