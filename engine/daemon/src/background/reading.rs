//! Reading flows that are to start, and telling whether what they are made of has changed.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::Path;

use flow_config::{Flow, FlowName, Report};

use crate::{Engine, Error};

/// A flow as its files say now.
pub(super) struct Read {
    pub(super) flow: Flow,
    /// What is doubtful in it.
    pub(super) warnings: Report,
    /// The same as long as the flow, its plugins and the credentials are. Only for this process.
    pub(super) print: u64,
}

/// Reads a flow. Blocks: a plugin may have to be compiled.
pub(super) fn read(engine: &Engine, name: &FlowName) -> Result<Read, Error> {
    let (flow, warnings) = engine.load(name, &[])?;
    let mut hasher = DefaultHasher::new();
    // Secrets are masked in it, so the file they come from counts as well.
    format!("{flow:?}").hash(&mut hasher);
    for callback in &flow.callbacks {
        let info = engine.plugin(&callback.plugin)?;
        info.sha256.hash(&mut hasher);
    }
    let credentials = engine.directories().config.join("credentials.conf");
    std::fs::read(credentials).ok().hash(&mut hasher);
    Ok(Read {
        flow,
        warnings,
        print: hasher.finish(),
    })
}

/// The same as long as the files in the directory of plugins are.
pub(super) fn plugins(config: &Path) -> u64 {
    let mut files: Vec<_> = std::fs::read_dir(config.join("plugins"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let about = entry.metadata().ok()?;
            Some((entry.file_name(), about.len(), about.modified().ok()))
        })
        .collect();
    files.sort();
    let mut hasher = DefaultHasher::new();
    files.hash(&mut hasher);
    hasher.finish()
}
