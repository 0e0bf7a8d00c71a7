//! Files in the configuration directory that look as if they were meant as flows, and are none.
//!
//! Nothing reads them, which is as it should be: files to include may be called as anybody likes, and
//! lie anywhere but in the directory of a kind. Here they are only named, with what would make flows
//! of them.

use std::path::{Path, PathBuf};

use flow_config::{FlowName, Kind, NameError};

use crate::names;

/// How files end that are nearly called as flows are.
const NEARLY: [&str; 3] = ["yml", "YAML", "conf"];

/// All of them, each with the reason.
pub(crate) fn all(config: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for directory in entries(config).into_iter().filter(|path| path.is_dir()) {
        let kind = directory.file_name().unwrap_or_default().to_string_lossy();
        match kind.parse::<Kind>() {
            Ok(kind) => found.extend(in_kind(kind, &directory)),
            // What is mistyped, or of sr3; any other may hold files to include.
            Err(
                error @ (NameError::KindGone(..)
                | NameError::UnknownKind {
                    suggestion: Some(_),
                    ..
                }),
            ) => found.push(format!("{} is passed over: {error}", directory.display())),
            Err(_) => {}
        }
    }
    found
}

/// Those in the directory of a kind.
fn in_kind(kind: Kind, directory: &Path) -> Vec<String> {
    let told = |file: PathBuf| {
        let stem = file.file_stem()?.to_string_lossy();
        if stem.starts_with('.') || !file.is_file() {
            return None;
        }
        match file.extension()?.to_str()? {
            "yaml" => {
                let error = format!("{kind}/{stem}").parse::<FlowName>().err()?;
                Some(format!("{} is passed over: {error}", file.display()))
            }
            end if NEARLY.contains(&end) => Some(instead(&file)),
            _ => None,
        }
    };
    entries(directory).into_iter().filter_map(told).collect()
}

/// What to do where the file of a flow is there, but not called as flows are.
pub(crate) fn hint(config: &Path, typed: &str) -> Option<String> {
    let name = names::typed(typed);
    let name = NEARLY
        .iter()
        .find_map(|end| name.strip_suffix(end)?.strip_suffix('.'))
        .unwrap_or(name);
    // It goes into a path: a pattern, or a way out of the directory, names no file.
    name.parse::<FlowName>().ok()?;
    NEARLY
        .iter()
        .map(|end| config.join(format!("{name}.{end}")))
        .find(|file| file.is_file())
        .map(|file| instead(&file))
}

/// How a file becomes that of a flow.
fn instead(file: &Path) -> String {
    let shown = file.display();
    if file.extension().is_some_and(|end| end == "conf") {
        return format!("{shown} is no flow: `flow convert` reads files of sr3");
    }
    let renamed = file.with_extension("yaml");
    format!("{shown} is no flow: rename it to {}", renamed.display())
}

/// What is in a directory, sorted; nothing where it can't be read, which is said elsewhere.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}
