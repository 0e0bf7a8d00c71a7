//! A flow in the terminal follows its files: a rebuilt plugin or a changed flow is taken over
//! between passes, and one that can't be used is not.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use flow_config::Flow;
use flow_daemon::Engine;

use crate::args::SetArg;
use crate::context::Context;
use crate::render;

/// How often files are looked at. One is taken over when it is the same at two looks: a build writes
/// for a while.
const LOOK: Duration = Duration::from_millis(400);

/// When a file was last written, and how long it is; none: it is not there.
type Stamp = Option<(SystemTime, u64)>;

/// The files a run was made from.
pub(super) struct Files {
    name: String,
    known: Vec<(PathBuf, Stamp)>,
}

impl Files {
    /// Those of `flow`: its own, and one for every plugin it uses, which may not be there yet.
    pub(super) fn of(flow: &Flow, engine: &Engine) -> Self {
        let directory = engine.directories().config.join("plugins");
        let plugins = flow.callbacks.iter().map(|spec| {
            let found = engine.plugin_file(&spec.plugin).ok().flatten();
            found.unwrap_or_else(|| directory.join(format!("{}.wasm", spec.plugin)))
        });
        let mut paths: Vec<PathBuf> = std::iter::once(flow.file.clone()).chain(plugins).collect();
        paths.sort();
        paths.dedup();
        Self {
            name: flow.name.to_string(),
            known: stamped(paths),
        }
    }

    /// Waits for a change that can be used, and returns what is to run then. What can't be used is
    /// said once.
    pub(super) async fn changed(
        &mut self,
        context: &Context,
        engine: &Engine,
        set: &SetArg,
    ) -> (Engine, Flow) {
        let mut seen = self.known.clone();
        loop {
            tokio::time::sleep(LOOK).await;
            let now = stamped(self.known.iter().map(|(path, _)| path.clone()).collect());
            if now == self.known || now != seen {
                seen = now;
                continue;
            }
            let changed: Vec<String> = now
                .iter()
                .zip(&self.known)
                .filter(|(now, known)| now != known)
                .map(|((path, _), _)| path.display().to_string())
                .collect();
            let changed = changed.join(", ");
            self.known = now;
            let fresh = engine.fresh();
            match context.load(&fresh, &self.name, &set.set) {
                Ok(flow) => {
                    let text = format!("{changed} changed and is taken over after this pass");
                    context.console.talk(&text);
                    return (fresh, flow);
                }
                Err(error) => {
                    let why = render::error(&error, context.console.paint_err());
                    context.console.talk(&format!(
                        "{changed} changed, but can't be used; what was there before goes on\n{why}"
                    ));
                }
            }
        }
    }
}

fn stamped(paths: Vec<PathBuf>) -> Vec<(PathBuf, Stamp)> {
    paths
        .into_iter()
        .map(|path| {
            let stamp = stamp(&path);
            (path, stamp)
        })
        .collect()
}

fn stamp(path: &Path) -> Stamp {
    let found = std::fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len()))
}
