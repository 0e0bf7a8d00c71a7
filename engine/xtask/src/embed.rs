//! Writes the Rust source that embeds plugins and the catalogue of configurations in a binary.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Something to embed: the name it is found by, and its file.
pub type Embedded = (String, PathBuf);

/// Writes `pub static PLUGINS: &[(&str, &[u8])]` to `file`, sorted by name.
///
/// # Errors
/// The file can't be written.
pub fn embed_plugins(file: &Path, plugins: &[Embedded]) -> Result<()> {
    let mut text = String::from(
        "/// The plugins this binary carries: name and component.\npub static PLUGINS: &[(&str, &[u8])] = &[\n",
    );
    for (name, path) in plugins {
        // `{:?}` of a string is a Rust literal, on Windows paths too.
        writeln!(
            text,
            "    ({name:?}, include_bytes!({:?})),",
            path.display().to_string()
        )?;
    }
    text.push_str("];\n");
    write(file, &text)
}

/// Writes `pub static CATALOGUE: &[(&str, &str)]` to `file`: every YAML file in
/// `configs/<kind>/`, named `<kind>/<file>`, sorted.
///
/// # Errors
/// The directory can't be read, or the file can't be written.
pub fn embed_catalogue(file: &Path, configs: &Path) -> Result<()> {
    let mut entries = Vec::new();
    for kind in directory(configs)? {
        if !kind.is_dir() {
            continue;
        }
        for path in directory(&kind)? {
            if path
                .extension()
                .is_some_and(|extension| extension == "yaml")
            {
                let part = |path: &Path| {
                    path.file_name()
                        .map(|name| name.to_string_lossy().into_owned())
                };
                if let (Some(kind), Some(name)) = (part(&kind), part(&path)) {
                    entries.push((format!("{kind}/{name}"), path));
                }
            }
        }
    }
    entries.sort();
    let mut text = String::from(
        "/// The configurations `flow add` copies: name and text.\npub static CATALOGUE: &[(&str, &str)] = &[\n",
    );
    for (name, path) in entries {
        writeln!(
            text,
            "    ({name:?}, include_str!({:?})),",
            path.display().to_string()
        )?;
    }
    text.push_str("];\n");
    write(file, &text)
}

fn directory(path: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        std::fs::read_dir(path).with_context(|| format!("{} can't be read", path.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

/// Leaves an unchanged file alone, so that what includes it is not compiled again.
fn write(file: &Path, text: &str) -> Result<()> {
    if std::fs::read_to_string(file).is_ok_and(|old| old == text) {
        return Ok(());
    }
    std::fs::write(file, text).with_context(|| format!("{} can't be written", file.display()))
}
