//! Keeps a version of the plugin contract when it is released.
//!
//! Two things are kept and never changed again: the WIT files as they were, in
//! `plugins/wit/released/<major>.<minor>/`, and a plugin that uses all of them, built that day, as
//! `tests/compat/<version>.wasm`. The tests run every kept plugin in today's host, and compare
//! today's files with those kept.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::guests::{Profile, build_example_guests};
use crate::wit;

/// Bytes of a kept plugin, at most: they stay in the repository for ever.
const LARGEST: u64 = 192 << 10;

/// What was kept.
#[derive(Debug)]
pub struct Frozen {
    /// The version.
    pub version: String,
    /// Its WIT files.
    pub wit: PathBuf,
    /// The plugin.
    pub plugin: PathBuf,
}

/// Keeps the contract in `root`, the repository, as it is now; guests are built below `target`. What
/// was kept before stays as it is.
///
/// # Errors
/// This version was kept before and is not the same any more, or breaks plugins of an earlier one;
/// the guests do not build, or files can't be written.
pub fn freeze_contract(root: &Path, target: &Path) -> Result<Frozen> {
    let current = root.join("plugins/wit");
    let version = version(&current)?;
    let wit = released(&current, &version)?;
    let changed = changes(&current, &wit)?;
    let plugin = root.join(format!("tests/compat/{version}.wasm"));
    if plugin.exists() && !changed.is_empty() {
        bail!(
            "version {version} of the contract was released, and plugins/wit is not what it was: {}\n\
             give `package flow:plugin@…` in plugins/wit/types.wit a higher version, and \
             `VERSION` in engine/host/src/surface.rs the same",
            changed.join(", ")
        );
    }
    let breaks = contract_breaks(root)?;
    if !breaks.is_empty() {
        bail!(
            "plugins made for an earlier {version} would not run: {}",
            breaks.join("; ")
        );
    }
    if plugin.exists() {
        return Ok(Frozen {
            version,
            wit,
            plugin,
        });
    }
    let guests = build_example_guests(&root.join("tests/guests"), target, Profile::Release)?;
    let (_, built) = guests
        .iter()
        .find(|(name, _)| name == "contract")
        .context("there is no guest `contract` in tests/guests")?;
    let size = std::fs::metadata(built)?.len();
    if size > LARGEST {
        bail!("the plugin to keep has {size} bytes, more than {LARGEST}");
    }
    std::fs::create_dir_all(&wit)?;
    for (name, text) in files(&current)? {
        std::fs::write(wit.join(name), text)?;
    }
    let directory = plugin.parent().context("a file has a parent")?;
    std::fs::create_dir_all(directory)?;
    std::fs::copy(built, &plugin)?;
    Ok(Frozen {
        version,
        wit,
        plugin,
    })
}

/// Names of files of the current contract that differ from those released under its version; empty
/// where it was not released.
///
/// # Errors
/// The files can't be read.
pub fn contract_changes(root: &Path) -> Result<Vec<String>> {
    let current = root.join("plugins/wit");
    let version = version(&current)?;
    // Within a minor version only what was released last can be compared whole.
    if !root.join(format!("tests/compat/{version}.wasm")).exists() {
        return Ok(Vec::new());
    }
    changes(&current, &released(&current, &version)?)
}

/// What of the current contract keeps plugins from running that were made for what was released with
/// the same first two numbers; empty where nothing was.
///
/// # Errors
/// The files can't be read.
pub fn contract_breaks(root: &Path) -> Result<Vec<String>> {
    let current = root.join("plugins/wit");
    let released = released(&current, &version(&current)?)?;
    if !released.exists() {
        return Ok(Vec::new());
    }
    let texts = |directory: &Path| -> Result<Vec<String>> {
        Ok(files(directory)?
            .into_iter()
            .map(|(_, text)| text)
            .collect())
    };
    Ok(wit::breaks(&texts(&released)?, &texts(&current)?))
}

fn released(current: &Path, version: &str) -> Result<PathBuf> {
    let (minor, _) = version
        .rsplit_once('.')
        .context("a version has three numbers")?;
    Ok(current.join("released").join(minor))
}

fn changes(current: &Path, released: &Path) -> Result<Vec<String>> {
    if !released.exists() {
        return Ok(Vec::new());
    }
    let (now, then) = (files(current)?, files(released)?);
    let differs = now.iter().filter(|file| !then.contains(file));
    let gone = then
        .iter()
        .filter(|(name, _)| now.iter().all(|(other, _)| other != name));
    Ok(differs.chain(gone).map(|(name, _)| name.clone()).collect())
}

/// The version the files say they are.
fn version(wit: &Path) -> Result<String> {
    let types = wit.join("types.wit");
    let text = std::fs::read_to_string(&types)
        .with_context(|| format!("{} can't be read", types.display()))?;
    let version = text.lines().find_map(|line| {
        let rest = line.trim().strip_prefix("package flow:plugin@")?;
        rest.strip_suffix(';').map(str::to_owned)
    });
    version.context("plugins/wit/types.wit does not say `package flow:plugin@…;`")
}

/// The WIT files of a directory, sorted, by name.
fn files(directory: &Path) -> Result<Vec<(String, String)>> {
    let entries = std::fs::read_dir(directory)
        .with_context(|| format!("{} can't be read", directory.display()))?;
    let mut files = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_some_and(|extension| extension == "wit") {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            files.push((name.into_owned(), std::fs::read_to_string(&path)?));
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_released_is_compared() {
        let root = std::env::temp_dir().join(format!("flow-freeze-{}", std::process::id()));
        let wit = root.join("plugins/wit");
        let kept = wit.join("released/0.3");
        std::fs::create_dir_all(&kept).expect("a directory");
        std::fs::create_dir_all(root.join("tests/compat")).expect("a directory");
        let write = |path: &Path, name: &str, text: &str| {
            std::fs::write(path.join(name), text).expect("written");
        };
        write(&wit, "types.wit", "// x\npackage flow:plugin@0.3.1;\n");
        write(&kept, "types.wit", "package flow:plugin@0.3.1;\n");
        write(&kept, "old.wit", "");
        // Not released: it may change.
        assert_eq!(version(&wit).expect("it says so"), "0.3.1");
        assert!(contract_changes(&root).expect("readable").is_empty());
        write(&root, "tests/compat/0.3.1.wasm", "");
        let changes = contract_changes(&root).expect("readable");
        assert_eq!(changes, ["types.wit", "old.wit"]);
        // The next version may be another, if it only adds.
        write(&wit, "types.wit", "package flow:plugin@0.3.2;\n");
        write(&kept, "old.wit", "interface old { f: func(); }");
        assert!(contract_changes(&root).expect("readable").is_empty());
        let breaks = contract_breaks(&root).expect("readable");
        assert_eq!(breaks, ["`interface old` is gone"]);
        let refused = freeze_contract(&root, &root).expect_err("refused");
        assert!(
            refused.to_string().ends_with("`interface old` is gone"),
            "{refused}"
        );
        std::fs::remove_dir_all(&root).expect("gone");
    }
}
