//! Who may import whom, from `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use super::{expect_none, root};

/// For each crate of the engine, the crates of ours it may use. Lower layers only; `broker` and
/// `host` do not know each other.
const MAY_USE: &[(&str, &[&str])] = &[
    ("flow-message", &[]),
    ("flow-trust", &[]),
    ("flow-config", &["flow-message"]),
    ("flow-runtime", &["flow-config", "flow-message"]),
    (
        "flow-broker",
        &["flow-runtime", "flow-config", "flow-message", "flow-trust"],
    ),
    (
        "flow-transfer",
        &["flow-runtime", "flow-config", "flow-message", "flow-trust"],
    ),
    ("flow-local", &["flow-runtime", "flow-message"]),
    ("flow-listen", &["flow-runtime"]),
    (
        "flow-host",
        &["flow-runtime", "flow-config", "flow-message", "flow-trust"],
    ),
    (
        "flow-daemon",
        &[
            "flow-host",
            "flow-broker",
            "flow-transfer",
            "flow-local",
            "flow-listen",
            "flow-runtime",
            "flow-config",
            "flow-trust",
            "flow-message",
        ],
    ),
    (
        "flow",
        // The loopback server of `flow demo`.
        &[
            "flow-testkit",
            "flow-daemon",
            "flow-host",
            "flow-broker",
            "flow-transfer",
            "flow-local",
            "flow-listen",
            "flow-runtime",
            "flow-config",
            "flow-message",
        ],
    ),
    ("flow-testkit", &["flow-message"]),
    ("flow-xtask", &[]),
    ("flow-tests", &["flow-testkit", "flow-message"]),
];

/// For tests and build scripts.
const ALSO_IN_TESTS: &[&str] = &["flow-testkit", "flow-xtask"];

/// Libraries that belong to one place, so that everything else stays free of them.
const CONFINED: &[(&str, &[&str])] = &[
    ("wasmtime", &["flow-host"]),
    ("wasmtime-wasi", &["flow-host"]),
    ("rusqlite", &["flow-runtime", "flow-broker", "flow-tests"]),
    // The bare echo that the benches compare with is the library alone.
    ("lapin", &["flow-broker", "flow-tests"]),
    ("clap", &["flow"]),
    ("rcgen", &["flow-testkit"]),
    ("rustls-native-certs", &["flow-trust"]),
    (
        "anyhow",
        &["flow", "flow-testkit", "flow-xtask", "flow-tests"],
    ),
];

/// package → (dependency, kind), kind being `normal`, `dev` or `build`.
fn dependencies(manifest: &str) -> BTreeMap<String, BTreeSet<(String, String)>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(root())
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
            "--manifest-path",
            manifest,
        ])
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("normal").to_owned();
    let packages = metadata["packages"]
        .as_array()
        .expect("a list of packages")
        .iter();
    packages
        .map(|package| {
            let dependencies = package["dependencies"].as_array().into_iter().flatten();
            let dependencies = dependencies
                .map(|one| (text(&one["name"]), text(&one["kind"])))
                .collect();
            (text(&package["name"]), dependencies)
        })
        .collect()
}

#[test]
fn crates_import_lower_layers_only() {
    let packages = dependencies("Cargo.toml");
    let known: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let mut violations = Vec::new();
    for (package, dependencies) in &packages {
        let Some(allowed) = known.get(package.as_str()) else {
            violations.push(format!(
                "{package} has no layer: give it one in {}",
                file!()
            ));
            continue;
        };
        for (dependency, kind) in dependencies
            .iter()
            .filter(|(name, _)| packages.contains_key(name))
        {
            let in_tests = kind != "normal" && ALSO_IN_TESTS.contains(&dependency.as_str());
            if !allowed.contains(&dependency.as_str()) && !in_tests {
                violations.push(format!("{package} may not use {dependency} ({kind})"));
            }
        }
    }
    expect_none("a crate imports lower layers only", &violations);
}

#[test]
fn heavy_libraries_stay_in_their_place() {
    let mut violations = Vec::new();
    for (package, dependencies) in dependencies("Cargo.toml") {
        for (library, homes) in CONFINED {
            // What only a test uses reaches nobody.
            let used = dependencies
                .iter()
                .any(|(name, kind)| name == library && kind != "dev");
            if used && !homes.contains(&package.as_str()) {
                violations.push(format!(
                    "{package} uses {library}, which belongs to {}",
                    homes.join(", ")
                ));
            }
        }
    }
    expect_none("one place for each heavy library", &violations);
}

#[test]
fn plugins_know_the_sdk_and_nothing_else_of_ours() {
    let packages = dependencies("plugins/Cargo.toml");
    let engine = dependencies("Cargo.toml");
    let mut violations = Vec::new();
    for (package, dependencies) in &packages {
        for (dependency, _) in dependencies {
            let ours = packages.contains_key(dependency) || engine.contains_key(dependency);
            // The SDK's macros are a crate of their own, as macros have to be.
            let kit = dependency == "flow-plugin"
                || (package == "flow-plugin" && dependency == "flow-plugin-macros");
            if ours && !kit {
                violations.push(format!("{package} may not use {dependency}"));
            }
        }
    }
    expect_none(
        "a plugin imports the SDK, never another plugin or the engine",
        &violations,
    );
}

#[test]
fn the_architecture_names_every_crate() {
    let text = super::read(&root().join("engine/ARCHITECTURE.md"));
    let mut violations = Vec::new();
    for entry in std::fs::read_dir(root().join("engine")).expect("the engine is there") {
        let path = entry.expect("the engine can be read").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.join("Cargo.toml").is_file() && !text.contains(&format!("| `{name}` |")) {
            violations.push(format!("engine/{name} is not in the code map"));
        }
    }
    expect_none(
        "engine/ARCHITECTURE.md has a line for every crate",
        &violations,
    );
}
