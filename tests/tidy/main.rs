//! Rules about the tree itself: who may import whom, where things are, what no file contains.
//!
//! An ordinary test, so that nobody needs another command to learn that a rule was broken. Each
//! failure names the file and says what to do.

mod layers;
mod source;
mod text;
mod tree;

use std::path::{Path, PathBuf};

/// The top of the repository.
fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .expect("the package is one level down")
        .to_owned()
}

/// Every file of ours below `directory` with one of these extensions, built things left out.
fn files(directory: &str, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![root().join(directory)];
    while let Some(directory) = waiting.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries {
            let path = entry.expect("the tree can be read").path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_dir() {
                let made = ["target", "node_modules", "vendor"].contains(&name.as_str());
                if !made && !name.starts_with('.') {
                    waiting.push(path);
                }
            } else if path
                .extension()
                .is_some_and(|one| extensions.iter().any(|wanted| one == *wanted))
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A path as a person would write it.
fn show(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", show(path)))
}

/// Fails with every violation at once.
#[track_caller]
fn expect_none(rule: &str, violations: &[String]) {
    assert!(
        violations.is_empty(),
        "{rule}:\n  {}",
        violations.join("\n  ")
    );
}
