//! How files become messages: what both callbacks are told by their caller.
//!
//! Plain values, resolved: no templates, no defaults read from anywhere. What each stands for in a
//! flow's file is said at the field.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// Which happenings are announced: `fileEvents`. All of them by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each field is named after the word in `fileEvents`"
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a set of flags is what it is"
)]
pub struct FileEvents {
    pub create: bool,
    pub delete: bool,
    pub link: bool,
    pub mkdir: bool,
    pub modify: bool,
    /// Without it the old name of what is renamed was removed, and the new one is new.
    pub rename: bool,
    pub rmdir: bool,
}

impl Default for FileEvents {
    fn default() -> Self {
        Self {
            create: true,
            delete: true,
            link: true,
            mkdir: true,
            modify: true,
            rename: true,
            rmdir: true,
        }
    }
}

/// The fingerprint in a message: `identity`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Digest {
    /// SHA-512 of the content, the default.
    Sha512,
    /// MD5 of the content, for old consumers.
    Md5,
    /// Four random digits: every announcement differs.
    Random,
    /// Any agreed text.
    Arbitrary(String),
    /// Computed by whoever downloads, with the method named here.
    OnDownload(String),
    /// No identity.
    None,
}

/// The cache of digests in `user.sr_identity` and `user.sr_mtime`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Xattr {
    /// Neither read nor written.
    Off,
    /// A valid digest found there is believed.
    Read,
    /// And what was computed is left there. A file system without attributes is no error.
    ReadWrite,
}

/// How files become messages.
#[derive(Debug, Clone)]
pub struct Announcing {
    /// `post_baseUrl` and `post_baseDir`.
    pub naming: Naming,
    /// `identity`.
    pub digest: Digest,
    /// Whether digests are cached beside the content.
    pub xattr: Xattr,
    /// `fileEvents`.
    pub events: FileEvents,
    /// `follow_symlinks`: what a link leads to is announced too, under its own real path, after the
    /// link; a directory is descended into. Off, a link is announced as a link and that is all.
    pub follow_symlinks: bool,
    /// `realpathPost`: links in the paths given are resolved before anything is announced.
    pub real_path: bool,
    /// `fileAgeMin`: younger files wait until they are this old. Zero: none wait.
    pub file_age_min: Duration,
    /// `fileAgeMax`: older files are not announced. Zero: no limit.
    pub file_age_max: Duration,
    /// `randomize`: the messages of one page in random order. Only files and links without a
    /// `fileOp` that depends on another move.
    pub randomize: bool,
}

impl Announcing {
    /// sr3's defaults, below `naming`.
    pub fn new(naming: Naming) -> Self {
        Self {
            naming,
            digest: Digest::Sha512,
            xattr: Xattr::Off,
            events: FileEvents::default(),
            follow_symlinks: false,
            real_path: false,
            file_age_min: Duration::ZERO,
            file_age_max: Duration::ZERO,
            randomize: false,
        }
    }

    /// A path as given, as it is walked: absolute, links resolved where asked for.
    pub(crate) fn resolve(&self, path: &Path) -> std::io::Result<PathBuf> {
        if self.real_path {
            return path.canonicalize();
        }
        Ok(clean(&std::path::absolute(path)?))
    }
}

/// Paths to `baseUrl` and `relPath`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    base_url: String,
    base_dir: PathBuf,
}

/// A path that no message can name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NamingError {
    /// Messages carry names as text.
    #[error("the name `{}` is not UTF-8, and messages carry names as text: rename it", .0.display())]
    NotText(PathBuf),
    /// Receivers would look for it in the wrong place.
    #[error("`{}` is not below `post_baseDir` ({}), which `post_baseUrl` stands for", .path.display(), .base_dir.display())]
    Outside {
        /// What was to be announced.
        path: PathBuf,
        /// Where everything announced has to be.
        base_dir: PathBuf,
    },
    /// A directory has to be absolute to be cut off.
    #[error("`post_baseDir` is `{}`, which is not absolute", .0.display())]
    Relative(PathBuf),
}

impl Naming {
    /// `base_url` stands for `base_dir`, which is cut off the front of each path.
    ///
    /// Without a URL it is `file:/`. Without a directory it is the path of a `file:` or `sftp:` URL,
    /// and `/` for others.
    ///
    /// # Errors
    /// The directory is not absolute.
    pub fn new(base_url: Option<&str>, base_dir: Option<&Path>) -> Result<Self, NamingError> {
        let base_url = base_url.unwrap_or("file:/").to_owned();
        let base_dir = match base_dir {
            Some(directory) if directory.is_absolute() => clean(directory),
            Some(directory) => return Err(NamingError::Relative(directory.to_owned())),
            None => directory_of(&base_url),
        };
        Ok(Self { base_url, base_dir })
    }

    pub(crate) fn base_url(&self) -> &str {
        &self.base_url
    }

    pub(crate) fn is_base(&self, path: &Path) -> bool {
        path == self.base_dir
    }

    /// The path below the base directory.
    pub(crate) fn rel_path(&self, path: &Path) -> Result<String, NamingError> {
        let below = path
            .strip_prefix(&self.base_dir)
            .map_err(|_| NamingError::Outside {
                path: path.to_owned(),
                base_dir: self.base_dir.clone(),
            })?;
        match below.to_str() {
            Some(text) => Ok(text.to_owned()),
            None => Err(NamingError::NotText(path.to_owned())),
        }
    }
}

/// The directory a `file:` or `sftp:` URL names.
fn directory_of(url: &str) -> PathBuf {
    let path = if let Some(rest) = url.strip_prefix("file:") {
        match rest.strip_prefix("//") {
            Some(rest) => rest.find('/').map_or("", |at| &rest[at..]),
            None => rest,
        }
    } else if let Some(rest) = url.strip_prefix("sftp://") {
        rest.find('/').map_or("", |at| &rest[at..])
    } else {
        ""
    };
    let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
    clean(Path::new(&format!("/{path}")))
}

/// Without `.` and doubled slashes, and with `..` taken as text: what is watched has one name.
fn clean(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Naming, NamingError};

    #[test]
    fn the_directory_comes_from_the_url_where_none_is_given() {
        let check = |url: Option<&str>, directory: Option<&str>, path: &str, expected: &str| {
            let naming = Naming::new(url, directory.map(Path::new)).unwrap();
            let rel_path = naming.rel_path(Path::new(path)).unwrap();
            assert_eq!(rel_path, expected, "{url:?} {directory:?}");
        };
        check(None, None, "/data/a/x", "data/a/x");
        check(Some("file:/"), None, "/data/a/x", "data/a/x");
        check(Some("file:/data"), None, "/data/a/x", "a/x");
        check(Some("file:///data/"), None, "/data/a/x", "a/x");
        check(Some("file:///my%20data/"), None, "/my data/x", "x");
        check(Some("sftp://me@host/data"), None, "/data/a/x", "a/x");
        check(Some("sftp://me@host"), None, "/data/a/x", "data/a/x");
        check(Some("https://host/data"), None, "/data/a/x", "data/a/x");
        check(Some("https://host/"), Some("/data/./a/"), "/data/a/x", "x");
    }

    #[test]
    fn what_no_message_can_name_is_refused() {
        use std::os::unix::ffi::OsStrExt as _;
        let naming = Naming::new(Some("https://host/"), Some(Path::new("/data"))).unwrap();
        let outside = naming.rel_path(Path::new("/database/x"));
        assert!(matches!(outside, Err(NamingError::Outside { .. })));
        let bytes = Path::new(std::ffi::OsStr::from_bytes(b"/data/\xff"));
        let error = naming.rel_path(bytes).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the name `/data/\u{fffd}` is not UTF-8, and messages carry names as text: rename it"
        );
        let relative = Naming::new(None, Some(Path::new("data")));
        assert!(matches!(relative, Err(NamingError::Relative(_))));
    }
}
