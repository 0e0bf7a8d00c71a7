//! The tools that make plugins in Python and JavaScript, for tests that build such plugins.
//!
//! What a project names in its `requirements-dev.txt` and `package.json` is installed once, into the
//! cache beside the binaries, and put into a project by links: a test then needs no package index.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{cache, venv};

const NPM: &str = "npm installs it, which needs `apt-get install nodejs npm` and a package index";

/// Gives a Python project its `.venv`.
///
/// # Panics
/// When the tools are neither there nor to be had; the text says what to do.
#[track_caller]
pub fn link_python_tools(project: &Path) {
    let work = || -> Result<()> {
        let wanted = fs::read_to_string(project.join("requirements-dev.txt"))?;
        let bin = venv::environment("componentize", &wanted)?;
        let environment = bin.parent().context("`bin` is in an environment")?;
        Ok(symlink(environment, project.join(".venv"))?)
    };
    if let Err(error) = work() {
        panic!(
            "this test needs componentize-py: {error:#}; {}",
            venv::INSTALL
        );
    }
}

/// Gives a JavaScript project its `node_modules`; `kit` is where the plugin kit lies.
///
/// # Panics
/// As [`link_python_tools`].
#[track_caller]
pub fn link_js_tools(project: &Path, kit: &Path) {
    let work = || -> Result<()> {
        let text = fs::read_to_string(project.join("package.json"))?;
        let installed = packages(&text)?;
        let modules = project.join("node_modules");
        fs::create_dir_all(&modules)?;
        for entry in fs::read_dir(installed)? {
            let entry = entry?;
            symlink(entry.path(), modules.join(entry.file_name()))?;
        }
        Ok(symlink(kit, modules.join("flow-plugin"))?)
    };
    if let Err(error) = work() {
        panic!("this test needs componentize-qjs: {error:#}; {NPM}");
    }
}

/// The `node_modules` with what a package.json wants, the kit left out.
fn packages(text: &str) -> Result<PathBuf> {
    let mut wanted: serde_json::Value = serde_json::from_str(text)?;
    let tools = wanted["devDependencies"]
        .as_object_mut()
        .context("package.json has no devDependencies")?;
    tools.remove("flow-plugin");
    let wanted = serde_json::json!({ "private": true, "devDependencies": tools }).to_string();

    let directory = cache::folder("npm")?;
    cache::install(&directory, &wanted, || {
        fs::write(directory.join("package.json"), &wanted)?;
        cache::run(
            Command::new("npm")
                .args(["install", "--silent", "--no-fund", "--no-audit"])
                .current_dir(&directory),
        )
    })?;
    Ok(directory.join("node_modules"))
}
