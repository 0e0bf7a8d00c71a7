//! Looking at what a flow left on disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use flow_testkit::generate::{Generated, sha256_file};

/// Every file below `directory`, sorted; none if there is no such directory.
///
/// # Panics
/// When a directory can't be read.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        if !directory.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&directory).expect("a directory of ours can be read") {
            let path = entry.expect("a directory of ours can be read").path();
            if path.is_dir() && !path.is_symlink() {
                waiting.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// SHA-256 of every file below `directory`, by its path from there.
///
/// # Panics
/// When a file can't be read.
pub fn digests(directory: &Path) -> BTreeMap<String, String> {
    let digest = |path: PathBuf| {
        let name = path
            .strip_prefix(directory)
            .expect("it was found there")
            .display()
            .to_string();
        (
            name,
            sha256_file(&path).expect("a file of ours can be read"),
        )
    };
    files(directory).into_iter().map(digest).collect()
}

/// What [`digests`] must say after `mails` were decoded into one flat directory.
pub fn expected<'a>(mails: impl IntoIterator<Item = &'a Generated>) -> BTreeMap<String, String> {
    let parts = mails.into_iter().flat_map(|mail| &mail.parts);
    parts
        .map(|part| (part.name.clone(), part.sha256.clone()))
        .collect()
}

/// Unfinished files below `directory`.
///
/// # Panics
/// As [`files`].
pub fn unfinished(directory: &Path) -> Vec<PathBuf> {
    let mut found = files(directory);
    found.retain(|path| {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        name.starts_with('.') || name.ends_with(".tmp")
    });
    found
}
