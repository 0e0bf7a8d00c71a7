//! Files and directories as messages.

use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::Engine as _;
use flow_message::{FileOp, Identity, Message, Timestamp};

use crate::stop::Problem;

/// What is cut from paths, and what stands for it.
pub(super) struct Root {
    url: String,
    directory: PathBuf,
}

impl Root {
    /// `file:/` for whole paths, unless told otherwise.
    ///
    /// # Errors
    /// The directory can't be made absolute.
    pub(super) fn new(url: Option<&str>, directory: Option<&Path>) -> anyhow::Result<Self> {
        let directory = match directory {
            Some(directory) => absolute(directory)?,
            None => PathBuf::from("/"),
        };
        Ok(Self {
            url: url.unwrap_or("file:/").to_owned(),
            directory,
        })
    }
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("`{}` is no path", path.display()))
}

/// Adds the messages of a file, or of everything below a directory in the order of names.
///
/// # Errors
/// Something can't be read, lies outside the root, or has a name that is no UTF-8.
pub(super) fn walk(path: &Path, root: &Root, messages: &mut Vec<Message>) -> anyhow::Result<()> {
    let path = absolute(path)?;
    let metadata =
        fs::symlink_metadata(&path).with_context(|| format!("can't read `{}`", path.display()))?;
    if metadata.is_dir() {
        let entries =
            fs::read_dir(&path).with_context(|| format!("can't read `{}`", path.display()))?;
        let mut below = Vec::new();
        for entry in entries {
            below.push(
                entry
                    .with_context(|| format!("can't read `{}`", path.display()))?
                    .path(),
            );
        }
        below.sort();
        return below.iter().try_for_each(|path| walk(path, root, messages));
    }
    messages.push(announce(&path, &metadata, root)?);
    Ok(())
}

fn announce(path: &Path, metadata: &Metadata, root: &Root) -> anyhow::Result<Message> {
    let below = path.strip_prefix(&root.directory).map_err(|_| {
        Problem::new(
            "cli/outside-base-dir",
            format!(
                "`{}` is not below `{}`",
                path.display(),
                root.directory.display()
            ),
        )
        .note("nothing was posted")
        .hint("name files below --base-dir, or leave it out")
    })?;
    let text = |path: &Path| path.to_str().map(str::to_owned);
    let unnamable = || {
        Problem::new(
            "cli/unnamable",
            format!("the name `{}` is not UTF-8", path.display()),
        )
        .note("nothing was posted; messages carry names as text")
        .hint("rename the file")
    };
    let rel_path = text(below).ok_or_else(unnamable)?;
    let mut message = Message::new(
        Timestamp::from(std::time::SystemTime::now()),
        &root.url,
        rel_path,
    );
    message.mtime = Some(Timestamp::from_unix(
        metadata.mtime(),
        nanoseconds(metadata.mtime_nsec()),
    ));
    if metadata.is_symlink() {
        let target =
            fs::read_link(path).with_context(|| format!("can't read `{}`", path.display()))?;
        let link = Some(text(&target).ok_or_else(unnamable)?);
        message.file_op = Some(FileOp {
            link,
            ..FileOp::default()
        });
        return Ok(message);
    }
    message.size = Some(metadata.len());
    message.mode = Some(metadata.permissions().mode() & 0o7777);
    message.atime = Some(Timestamp::from_unix(
        metadata.atime(),
        nanoseconds(metadata.atime_nsec()),
    ));
    message.identity =
        Some(identity(path).with_context(|| format!("can't read `{}`", path.display()))?);
    Ok(message)
}

fn nanoseconds(nanoseconds: i64) -> i32 {
    i32::try_from(nanoseconds).unwrap_or(0)
}

/// SHA-512 of the content, base64.
fn identity(path: &Path) -> std::io::Result<Identity> {
    let mut file = File::open(path)?;
    let mut hash = ring::digest::Context::new(&ring::digest::SHA512);
    let mut chunk = vec![0; 64 << 10];
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        hash.update(&chunk[..read]);
    }
    let value = base64::engine::general_purpose::STANDARD.encode(hash.finish());
    Ok(Identity {
        method: "sha512".to_owned(),
        value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_links_and_directories_become_messages_in_order() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let base = directory.path();
        fs::create_dir_all(base.join("in/b")).expect("it can be made");
        fs::write(base.join("in/b/2.txt"), "abc").expect("it can be written");
        fs::write(base.join("in/1.txt"), "").expect("it can be written");
        std::os::unix::fs::symlink("1.txt", base.join("in/link")).expect("it can be made");
        let root = Root::new(Some("https://data.example.com/"), Some(base)).expect("it is a path");
        let mut messages = Vec::new();
        walk(&base.join("in"), &root, &mut messages).expect("all is readable");
        let urls: Vec<String> = messages.iter().map(Message::url).collect();
        assert_eq!(
            urls,
            ["1.txt", "b/2.txt", "link"].map(|name| format!("https://data.example.com/in/{name}"))
        );
        let file = &messages[1];
        assert_eq!(file.size, Some(3));
        let identity = file.identity.as_ref().expect("files have one");
        // SHA-512 of `abc`, FIPS 180-2 appendix C.
        assert!(
            identity
                .value
                .starts_with("3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6")
        );
        let link = messages[2].file_op.as_ref().expect("links have one");
        assert_eq!(link.link.as_deref(), Some("1.txt"));
        assert_eq!(messages[2].identity, None);
    }

    #[test]
    fn whole_paths_stand_below_the_file_root() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("a.txt");
        fs::write(&file, "x").expect("it can be written");
        let root = Root::new(None, None).expect("it is a path");
        let mut messages = Vec::new();
        walk(&file, &root, &mut messages).expect("it is readable");
        assert_eq!(messages[0].url(), format!("file:{}", file.display()));
        let other =
            Root::new(Some("https://x/"), Some(Path::new("/nowhere"))).expect("it is a path");
        assert!(walk(&file, &other, &mut messages).is_err());
    }
}
