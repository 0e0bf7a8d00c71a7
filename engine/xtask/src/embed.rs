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
    let head = "/// The plugins this binary carries: name and component.\npub static PLUGINS: &[(&str, &[u8])]";
    write(file, head, "include_bytes", plugins)
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
    let head = "/// The configurations `flow add` copies: name and text.\npub static CATALOGUE: &[(&str, &str)]";
    write(file, head, "include_str", &entries)
}

/// Folders that hold what was built or fetched, or is of the past: never sources.
const BUILT: [&str; 6] = [
    "target",
    "node_modules",
    "__pycache__",
    "dist",
    "build",
    "released",
];

/// Writes `pub static NAME: &[(&str, &str)]` to `file`: every file below the named parts of `root`,
/// by its path below `root`, sorted. A part is a file or a folder; hidden and built things are left
/// out. All of them have to be text.
///
/// # Errors
/// A part can't be read, or the file can't be written.
pub fn embed_texts(file: &Path, name: &str, root: &Path, parts: &[String]) -> Result<()> {
    let mut found = Vec::new();
    for part in parts {
        walk(root, &root.join(part), &mut found)?;
    }
    found.sort();
    let head = format!("pub static {name}: &[(&str, &str)]");
    write(file, &head, "include_str", &found)
}

fn walk(root: &Path, path: &Path, found: &mut Vec<(String, PathBuf)>) -> Result<()> {
    if !path.is_dir() {
        let below = path
            .strip_prefix(root)
            .context("a part lies below its root")?;
        let parts: Vec<_> = below.iter().map(|part| part.to_string_lossy()).collect();
        found.push((parts.join("/"), path.to_owned()));
        return Ok(());
    }
    for entry in directory(path)? {
        let name = entry.file_name().unwrap_or_default().to_string_lossy();
        // A project has a `.gitignore` of its own.
        if (name.starts_with('.') && name != ".gitignore") || BUILT.contains(&&*name) {
            continue;
        }
        walk(root, &entry, found)?;
    }
    Ok(())
}

fn directory(path: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        std::fs::read_dir(path).with_context(|| format!("{} can't be read", path.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

/// Writes a static that `head` begins, of what the macro `include` makes of each file. Leaves an
/// unchanged file alone, so that what includes it is not compiled again.
fn write(file: &Path, head: &str, include: &str, entries: &[Embedded]) -> Result<()> {
    let mut text = format!("{head} = &[\n");
    for (name, path) in entries {
        // `{:?}` of a string is a Rust literal, on Windows paths too.
        let path = path.display().to_string();
        writeln!(text, "    ({name:?}, {include}!({path:?})),")?;
    }
    text.push_str("];\n");
    if std::fs::read_to_string(file).is_ok_and(|old| old == text) {
        return Ok(());
    }
    std::fs::write(file, text).with_context(|| format!("{} can't be written", file.display()))
}
