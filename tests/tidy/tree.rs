//! Where things are, and how large they may be.

use super::{expect_none, files, read, root, show};

/// What the top of the repository holds, dotfiles and built things aside.
const TOP: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "clippy.toml",
    "deny.toml",
    "engine",
    "examples",
    "plugins",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "sr-configs",
    "target",
    "tests",
];

/// Beyond this, a file is about more than one thing.
const LONGEST_FILE: usize = 700;

/// The version of the plugin contract. A released contract does not change: a new one gets a new
/// version, and the old files stay beside it in a folder of their own.
const CONTRACT: &str = "flow:plugin@0.1.0";

#[test]
fn the_top_holds_what_it_should() {
    let mut violations = Vec::new();
    for entry in std::fs::read_dir(root()).expect("the tree can be read") {
        let name = entry
            .expect("the tree can be read")
            .file_name()
            .to_string_lossy()
            .into_owned();
        if !name.starts_with('.') && !TOP.contains(&name.as_str()) {
            violations.push(format!("{name} does not belong at the top"));
        }
    }
    for needed in [
        "Cargo.lock",
        "LICENSE",
        "README.md",
        "engine/ARCHITECTURE.md",
        "tests/run",
        ".ci/run",
    ] {
        if !root().join(needed).exists() {
            violations.push(format!("{needed} is missing"));
        }
    }
    expect_none("the layout of the top is fixed", &violations);
}

#[test]
fn files_are_about_one_thing() {
    let mut violations = Vec::new();
    for directory in ["engine", "plugins", "tests"] {
        for path in files(directory, &["rs"]) {
            let lines = read(&path).lines().count();
            if lines > LONGEST_FILE {
                violations.push(format!(
                    "{} has {lines} lines: split it by concept",
                    show(&path)
                ));
            }
        }
    }
    expect_none(
        &format!("no file is longer than {LONGEST_FILE} lines"),
        &violations,
    );
}

#[test]
fn every_module_says_what_it_is_for() {
    let mut violations = Vec::new();
    for directory in ["engine", "plugins", "tests"] {
        for path in files(directory, &["rs"]) {
            let text = read(&path);
            let first = text.lines().next().unwrap_or_default();
            if !first.starts_with("//! ") || first.len() < 12 {
                violations.push(format!(
                    "{} does not open with `//! what it is for`",
                    show(&path)
                ));
            }
        }
    }
    expect_none("every source file opens with its purpose", &violations);
}

#[test]
fn the_contract_has_one_version() {
    let mut violations = Vec::new();
    let mut named = false;
    for path in files("plugins/wit", &["wit"]) {
        // Those that were released have their own, and what is WASI's has WASI's.
        let other = |part: std::path::Component<'_>| {
            part.as_os_str() == "released" || part.as_os_str() == "wasi"
        };
        if path.components().any(other) {
            continue;
        }
        for line in read(&path)
            .lines()
            .filter(|line| line.starts_with("package "))
        {
            named = true;
            if line.trim_end_matches(';') != format!("package {CONTRACT}") {
                violations.push(format!("{}: `{line}` is not {CONTRACT}", show(&path)));
            }
        }
    }
    assert!(named, "no file in plugins/wit names its package");
    expect_none("the contract's files agree on its version", &violations);
}

#[test]
fn what_was_released_of_the_contract_does_not_change() {
    let changed = flow_xtask::contract_changes(&root()).expect("the contract can be read");
    assert!(
        changed.is_empty(),
        "this version of the contract was released, and these are not what they were: {changed:?}; \
         a change is a new version, in plugins/wit and engine/host/src/surface.rs"
    );
}

#[test]
fn plugins_of_what_was_released_of_the_contract_still_fit() {
    let breaks = flow_xtask::contract_breaks(&root()).expect("the contract can be read");
    expect_none(
        "within a minor version the contract only grows (plugins/CONTRACT.md, Versions)",
        &breaks,
    );
}

#[test]
fn every_example_has_a_first_comment() {
    let mut violations = Vec::new();
    for path in files("sr-configs", &["yaml", "conf"]) {
        let text = read(&path);
        let name = path
            .strip_prefix(root().join("sr-configs"))
            .expect("found below it")
            .display()
            .to_string();
        if !text.starts_with(&format!("# {name} — ")) {
            violations.push(format!(
                "{} does not open with `# {name} — what it is for`",
                show(&path)
            ));
        }
    }
    expect_none("every example says what it shows", &violations);
}
