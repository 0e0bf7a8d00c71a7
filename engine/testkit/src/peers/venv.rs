//! Virtual environments of Python, for peers that come from PyPI.
//!
//! One per peer, with pinned versions, made by the first test that needs it and used by all later
//! ones; they are in `flow-test-cache` beside the binaries, and go when the target directory does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};

/// What a machine needs so that an environment can be made.
pub(super) const INSTALL: &str = "it is installed with pip into a virtual environment, which needs \
    `apt-get install python3-venv` and a package index";

/// The `bin` of the environment `name` with what `requirements` (of pip) lists.
///
/// # Errors
/// There is no Python with `venv`, or pip can't install what is wanted.
pub(super) fn environment(name: &str, requirements: &str) -> Result<PathBuf> {
    let cache = cache()?;
    // Tests are processes that run side by side: one makes it, the others wait.
    let lock = fs::File::create(cache.join(format!("venv-{name}.lock")))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    let directory = cache.join(format!("venv-{name}"));
    let bin = directory.join("bin");
    let done = directory.join("requirements.txt");
    if fs::read_to_string(&done).is_ok_and(|have| have == requirements) {
        return Ok(bin);
    }
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    make(&directory)?;
    let wanted = directory.join("wanted.txt");
    fs::write(&wanted, requirements)?;
    run(Command::new(bin.join("python"))
        .args(["-m", "pip", "install", "--quiet"])
        .arg("--disable-pip-version-check")
        .arg("--requirement")
        .arg(&wanted))?;
    // Last, so that one broken off on the way is made anew.
    fs::rename(&wanted, &done)?;
    Ok(bin)
}

/// Where what tests installed is kept.
pub(super) fn cache() -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    // target/<profile>/deps/test
    let profile = test.ancestors().nth(2);
    let cache = profile
        .context("the test has no target directory")?
        .join("flow-test-cache");
    fs::create_dir_all(&cache)?;
    Ok(cache)
}

fn make(directory: &Path) -> Result<()> {
    let with = |python: &str| run(Command::new(python).args(["-m", "venv"]).arg(directory));
    // The system's Python may lack `venv` where another one has it.
    with("/usr/bin/python3").or_else(|_| {
        let _ = fs::remove_dir_all(directory);
        with("python3")
    })
}

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
