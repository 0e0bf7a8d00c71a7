//! What tests install for themselves, once: kept in `flow-test-cache` beside the binaries, it goes when
//! the target directory does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};

/// The folder `name` of the cache.
pub(super) fn folder(name: &str) -> Result<PathBuf> {
    let cache = above_test(2)?.join("flow-test-cache");
    fs::create_dir_all(&cache)?;
    Ok(cache.join(name))
}

/// What is so many steps above the test, `target/<profile>/deps/test`.
pub(super) fn above_test(steps: usize) -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let above = test.ancestors().nth(steps);
    let above = above.context("the test has no target directory")?;
    Ok(above.to_owned())
}

/// Installs into `folder` what `wanted` lists, unless just that is there.
pub(super) fn install(
    folder: &Path,
    wanted: &str,
    install: impl FnOnce() -> Result<()>,
) -> Result<()> {
    // Tests are processes that run side by side: one makes it, the others wait.
    let lock = fs::File::create(folder.with_extension("lock"))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    let done = folder.join("requirements.txt");
    if fs::read_to_string(&done).is_ok_and(|have| have == wanted) {
        return Ok(());
    }
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    install()?;
    // Last, so that one broken off on the way is made anew.
    Ok(fs::write(&done, wanted)?)
}

/// Runs what installs something; where it fails, the error says what it said.
pub(super) fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {shown}"))?;
    if !status.success() {
        let (stdout, stderr) = (
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr),
        );
        bail!("{shown} failed ({status}):\n{stdout}{stderr}");
    }
    Ok(())
}
