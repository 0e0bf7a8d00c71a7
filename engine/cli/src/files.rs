//! Writing small files so that nobody ever sees half of one.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What to do with a file that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    /// Leave it alone and fail with `AlreadyExists`.
    Keep,
    /// Put the new one in its place.
    Replace,
}

/// Writes `text` to `path` with permission bits `mode`, making directories as needed.
///
/// # Errors
/// Any of the steps failed; nothing is left behind then.
pub(crate) fn write(
    path: &Path,
    text: impl AsRef<[u8]>,
    mode: u32,
    existing: Existing,
) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let unfinished = path.with_file_name(name);
    let written = write_new(&unfinished, text.as_ref(), mode).and_then(|()| match existing {
        // A link fails where the name is taken, a rename would not.
        Existing::Keep => fs::hard_link(&unfinished, path),
        Existing::Replace => fs::rename(&unfinished, path),
    });
    if written.is_err() || existing == Existing::Keep {
        let _ = fs::remove_file(&unfinished);
    }
    written
}

fn write_new(path: &Path, text: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn files_appear_whole_and_replace_only_when_told() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("poll/mail.yaml");
        write(&path, "one", 0o600, Existing::Keep).expect("it is new");
        assert_eq!(
            fs::metadata(&path)
                .expect("it is there")
                .permissions()
                .mode()
                & 0o777,
            0o600
        );
        let error = write(&path, "two", 0o600, Existing::Keep).expect_err("it exists");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "one");
        write(&path, "two", 0o644, Existing::Replace).expect("it may be replaced");
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "two");
        let names: Vec<_> = fs::read_dir(path.parent().expect("it has one"))
            .expect("readable")
            .collect();
        assert_eq!(names.len(), 1, "nothing unfinished is left");
    }
}
