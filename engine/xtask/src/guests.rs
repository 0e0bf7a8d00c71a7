//! Compiles a workspace of guests to components.
//!
//! What was built is read from cargo's own messages, so a guest may be a library or an example
//! target; its name is the target's, with `-` for `_`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// What guests are compiled for.
pub const GUEST_TARGET: &str = "wasm32-wasip2";

/// Which profile guests are compiled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Quick to build, slow to run.
    Dev,
    /// What is shipped.
    Release,
}

/// Builds every component among the libraries of the workspace at `workspace` into `target` and
/// returns their names and paths, sorted by name. Members that make no component (an SDK) are
/// compiled and not returned.
///
/// # Errors
/// The workspace does not build, or the wasm target is missing and can't be added. The compiler's
/// own words have gone to stderr by then.
pub fn build_guests(
    workspace: &Path,
    target: &Path,
    profile: Profile,
) -> Result<Vec<(String, PathBuf)>> {
    build(workspace, target, profile, "--lib")
}

/// As [`build_guests`], but of the examples: where a workspace keeps many small guests.
///
/// # Errors
/// As [`build_guests`].
pub fn build_example_guests(
    workspace: &Path,
    target: &Path,
    profile: Profile,
) -> Result<Vec<(String, PathBuf)>> {
    build(workspace, target, profile, "--examples")
}

fn build(
    workspace: &Path,
    target: &Path,
    profile: Profile,
    which: &str,
) -> Result<Vec<(String, PathBuf)>> {
    ensure_target(workspace)?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(workspace)
        .args(["build", "--workspace", which])
        .args([
            "--target",
            GUEST_TARGET,
            "--message-format",
            "json-render-diagnostics",
        ])
        .arg("--target-dir")
        .arg(target)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    if profile == Profile::Release {
        command.arg("--release");
    }
    if workspace.join("Cargo.lock").exists() {
        command.arg("--locked");
    }
    scrub(&mut command);
    let output = command
        .output()
        .context("cargo, which builds the plugins, did not start")?;
    if !output.status.success() {
        bail!(
            "the plugins in {} did not build; the compiler's errors are above\n\
             if the {GUEST_TARGET} target is missing, run `rustup target add {GUEST_TARGET}`",
            workspace.display()
        );
    }
    let mut guests = Vec::new();
    for line in output.stdout.split(|byte| *byte == b'\n') {
        if let Ok(message) = serde_json::from_slice::<Value>(line) {
            guests.extend(component(&message));
        }
    }
    guests.sort();
    guests.dedup();
    Ok(guests)
}

/// Tells cargo to run the calling build script again when anything under `directories` changes,
/// build products excepted.
#[expect(
    clippy::print_stdout,
    reason = "this is how a build script talks to cargo"
)]
pub fn rerun_if_changed<P: AsRef<Path>>(directories: impl IntoIterator<Item = P>) {
    for directory in directories {
        for path in sources(directory.as_ref()) {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
}

/// What is in `directory`, without its `target`: cargo looks at all below a directory it is given,
/// so naming the directory itself would make every build a changed one. A new member of a
/// workspace is noticed by its line in `Cargo.toml`.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return vec![directory.to_owned()];
    };
    let mut paths: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.file_name() != Some(OsStr::new("target")))
        .collect();
    paths.sort();
    paths
}

/// The component one of cargo's messages announces, if it does.
fn component(message: &Value) -> Option<(String, PathBuf)> {
    if message["reason"] != "compiler-artifact" {
        return None;
    }
    let file = message["filenames"]
        .as_array()?
        .iter()
        .filter_map(Value::as_str)
        .find(|name| Path::new(name).extension() == Some(OsStr::new("wasm")))?;
    let name = message["target"]["name"].as_str()?.replace('_', "-");
    Some((name, PathBuf::from(file)))
}

/// Removes what an outer cargo set for its own build: it would change the guests' compiler flags,
/// wrap their compiler with clippy, or make both builds wait for one directory.
fn scrub(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        let outer = matches!(
            text,
            "CARGO_ENCODED_RUSTFLAGS"
                | "RUSTFLAGS"
                | "RUSTC"
                | "RUSTDOC"
                | "TARGET"
                | "HOST"
                | "OUT_DIR"
                | "CARGO_TARGET_DIR"
                | "CARGO_BUILD_TARGET"
                | "CARGO_BUILD_TARGET_DIR"
                | "CARGO_BUILD_RUSTFLAGS"
                | "CARGO_MAKEFLAGS"
                | "MAKEFLAGS"
                | "MFLAGS"
        ) || [
            "RUSTC_W",
            "CARGO_CFG_",
            "CARGO_FEATURE_",
            "CARGO_PROFILE_",
            "CARGO_PKG_",
            "CARGO_MANIFEST_",
        ]
        .iter()
        .any(|prefix| text.starts_with(prefix));
        if outer {
            command.env_remove(&name);
        }
    }
}

/// Makes sure the compiler that `workspace` selects can compile guests.
fn ensure_target(workspace: &Path) -> Result<()> {
    if has_target(workspace) {
        return Ok(());
    }
    let added = Command::new("rustup")
        .current_dir(workspace)
        .args(["target", "add", GUEST_TARGET])
        .stdin(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if added && has_target(workspace) {
        return Ok(());
    }
    bail!(
        "the plugins are compiled for {GUEST_TARGET}, which this Rust toolchain lacks and which could not be added\n\
         run `rustup target add {GUEST_TARGET}`, then build again"
    )
}

fn has_target(workspace: &Path) -> bool {
    let mut command = Command::new("rustc");
    command
        .current_dir(workspace)
        .args(["--print", "target-libdir", "--target", GUEST_TARGET]);
    scrub(&mut command);
    let Ok(output) = command.output() else {
        return false;
    };
    output.status.success() && Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_component_is_recognised_in_cargos_messages() {
        let message = json!({
            "reason": "compiler-artifact",
            "target": {"name": "mail_decode", "kind": ["cdylib", "rlib"]},
            "filenames": ["/t/mail_decode.wasm", "/t/libmail_decode.rlib"],
        });
        assert_eq!(
            component(&message),
            Some(("mail-decode".into(), PathBuf::from("/t/mail_decode.wasm")))
        );
        let library = json!({
            "reason": "compiler-artifact",
            "target": {"name": "flow_plugin"},
            "filenames": ["/t/libflow_plugin.rlib"],
        });
        assert_eq!(component(&library), None);
        assert_eq!(
            component(&json!({"reason": "build-finished", "success": true})),
            None
        );
    }

    #[test]
    fn what_the_outer_cargo_set_does_not_reach_the_inner_one() {
        let mut command = Command::new("true");
        scrub(&mut command);
        let removed: Vec<_> = command
            .get_envs()
            .filter(|(_, value)| value.is_none())
            .map(|(name, _)| name)
            .collect();
        // Cargo sets these two for every test it runs.
        assert!(
            removed.contains(&OsStr::new("CARGO_PKG_NAME")),
            "{removed:?}"
        );
        assert!(
            removed.contains(&OsStr::new("CARGO_MANIFEST_DIR")),
            "{removed:?}"
        );
        assert!(!removed.contains(&OsStr::new("PATH")), "{removed:?}");
    }

    #[test]
    fn build_products_do_not_count_as_sources() {
        let directory = std::env::temp_dir().join(format!("flow-xtask-{}", std::process::id()));
        for path in ["member/src/lib.rs", "target/debug/x.wasm", "Cargo.toml"] {
            let path = directory.join(path);
            std::fs::create_dir_all(path.parent().expect("has a parent")).expect("temp dir");
            std::fs::write(path, "").expect("temp file");
        }
        assert_eq!(
            sources(&directory),
            [directory.join("Cargo.toml"), directory.join("member")]
        );
        std::fs::remove_dir_all(directory).expect("temp dir");
    }
}
