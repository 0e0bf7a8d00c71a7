//! Embeds the plugins, the catalogue of configurations, and the templates of plugin projects.
//!
//! `FLOW_PLUGINS_DIR` names a directory of components to embed instead of building them, for
//! packagers and for machines without the wasm target.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use flow_xtask::{
    Profile, build_guests, embed_catalogue, embed_plugins, embed_texts, rerun_if_changed,
};

fn main() {
    if let Err(error) = run() {
        for line in format!("{error:#}").lines() {
            println!("cargo::error={line}");
        }
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")?)
        .join("../..")
        .canonicalize()?;
    let out = PathBuf::from(variable("OUT_DIR")?);
    println!("cargo::rerun-if-env-changed=FLOW_PLUGINS_DIR");
    rerun_if_changed([
        root.join("plugins"),
        root.join("sr-configs"),
        root.join(".cargo"),
        root.join("engine/cli/templates"),
    ]);

    let plugins = match std::env::var_os("FLOW_PLUGINS_DIR") {
        Some(directory) => prebuilt(Path::new(&directory))?,
        // Always as shipped: an unoptimised guest is an order of magnitude slower, and the engine's
        // own profile says nothing about it.
        None => build_guests(
            &root.join("plugins"),
            &shared_target(&out)?,
            Profile::Release,
        )?,
    };
    embed_plugins(&out.join("plugins.rs"), &plugins)?;
    embed_catalogue(&out.join("catalogue.rs"), &root.join("sr-configs"))?;
    embed_templates(&root, &out)?;
    Ok(())
}

/// What `flow plugin new` writes: the templates, and the kits that projects carry with them, which
/// are the folders `sdk*` of `plugins/` and the contract.
fn embed_templates(root: &Path, out: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let templates = root.join("engine/cli/templates");
    let every = |directory: &Path| -> std::io::Result<Vec<String>> {
        let entries = std::fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
        Ok(entries
            .iter()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect())
    };
    let file = out.join("templates.rs");
    embed_texts(&file, "TEMPLATES", &templates, &every(&templates)?)?;
    let plugins = root.join("plugins");
    let mut kits = every(&plugins)?;
    kits.retain(|name| name == "sdk" || name.starts_with("sdk-"));
    kits.extend(["wit".to_owned(), "Cargo.toml".to_owned()]);
    embed_texts(&out.join("kits.rs"), "KITS", &plugins, &kits)?;
    Ok(())
}

fn variable(name: &str) -> Result<std::ffi::OsString, String> {
    std::env::var_os(name).ok_or_else(|| format!("cargo did not set {name}"))
}

/// `target/plugins`, beside the engine's profiles, so that all of them share one build of the
/// guests: `OUT_DIR` is `<target>/[<triple>/]<profile>/build/<package>/out`.
fn shared_target(out: &Path) -> Result<PathBuf, String> {
    out.ancestors()
        .find(|path| path.join("CACHEDIR.TAG").exists())
        .or_else(|| out.ancestors().nth(4))
        .map(|target| target.join("plugins"))
        .ok_or_else(|| format!("{} is not below a target directory", out.display()))
}

fn prebuilt(directory: &Path) -> Result<Vec<(String, PathBuf)>, Box<dyn std::error::Error>> {
    let mut plugins = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path().canonicalize()?;
        if path.extension() == Some(OsStr::new("wasm"))
            && let Some(name) = path.file_stem().and_then(OsStr::to_str)
        {
            plugins.push((name.replace('_', "-"), path));
        }
    }
    plugins.sort();
    rerun_if_changed([directory]);
    Ok(plugins)
}
