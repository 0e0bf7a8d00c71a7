//! Virtual environments of Python, for peers that come from PyPI: one per peer, with pinned versions.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::cache::{self, run};

/// What a machine needs so that an environment can be made.
pub(super) const INSTALL: &str = "it is installed with pip into a virtual environment, which needs \
    `apt-get install python3-venv` and a package index";

/// The `bin` of the environment `name` with what `requirements` (of pip) lists.
///
/// # Errors
/// There is no Python with `venv`, or pip can't install what is wanted.
pub(super) fn environment(name: &str, requirements: &str) -> Result<PathBuf> {
    environment_in(&cache::folder(&format!("venv-{name}"))?, requirements)
}

/// As [`environment`], in a folder of its own.
pub(super) fn environment_in(directory: &Path, requirements: &str) -> Result<PathBuf> {
    let bin = directory.join("bin");
    cache::install(directory, requirements, || {
        make(directory)?;
        let wanted = directory.join("wanted.txt");
        fs::write(&wanted, requirements)?;
        run(Command::new(bin.join("python"))
            .args(["-m", "pip", "install", "--quiet"])
            .arg("--disable-pip-version-check")
            .arg("--requirement")
            .arg(&wanted))
    })?;
    Ok(bin)
}

fn make(directory: &Path) -> Result<()> {
    let with = |python: &str| run(Command::new(python).args(["-m", "venv"]).arg(directory));
    // The system's Python may lack `venv` where another one has it.
    with("/usr/bin/python3").or_else(|_| {
        let _ = fs::remove_dir_all(directory);
        with("python3")
    })
}
