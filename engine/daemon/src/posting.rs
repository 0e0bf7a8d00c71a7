//! Posting paths that are named on a command line: a flow of kind post that lives as long as the
//! command.
//!
//! It is named anew each time, so that a file posted twice is two posts, and any number of commands
//! post at the same time. Nothing of it remains: what could not be posted is the caller's to post
//! again. Only a flow that remembers something (nodupe, plugins) keeps its own name and store.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use flow_config::{Flow, FlowName, Kind, Manifest, Report};
use flow_runtime::ports::Observer;
use flow_runtime::{Drain, Store, Summary};

use crate::engine::{Engine, RunOptions, Running};
use crate::{Error, unready};

/// Paths as they become known; may block.
pub type Paths = Box<dyn Iterator<Item = io::Result<PathBuf>> + Send>;

/// Stores left behind by commands that were killed are removed after this long.
const LEFT: Duration = Duration::from_secs(24 * 3600);

impl Engine {
    /// A flow that posts, made of `option=value` alone; its paths are given to
    /// [`post`](Self::post).
    ///
    /// # Errors
    /// [`Error::Findings`] with everything that is wrong with it.
    pub fn poster(&self, set: &[(String, String)]) -> Result<(Flow, Report), Error> {
        let none: BTreeMap<String, Manifest> = BTreeMap::new();
        let file = Path::new("flow post");
        let loaded = self
            .source()
            .load_text(&passing(), file, "path: '-'\n", &none, set)
            .map_err(Error::Findings)?;
        let found = unready::found(&loaded.flow);
        if found.is_empty() {
            return Ok((loaded.flow, loaded.warnings));
        }
        Err(Error::Findings(found))
    }

    /// Posts `paths`, or those `flow` names itself, and ends.
    ///
    /// # Errors
    /// The flow can't start or go on, or something could not be announced; what was posted before
    /// stays posted.
    pub async fn post(
        &self,
        mut flow: Flow,
        paths: Option<Paths>,
        options: RunOptions,
        observer: Arc<dyn Observer>,
        drain: Drain,
    ) -> Result<Summary, Error> {
        let remembers = flow.nodupe.is_some() || !flow.callbacks.is_empty();
        let directory = self.directories().state.join("posting");
        let file = if remembers {
            self.store_file(&flow.name)
        } else {
            flow.name = passing();
            remove_left(&directory);
            directory.join(format!("{}.db", flow.name.name))
        };
        let running = Running {
            paths,
            ..Running::new(Store::open(&file)?)
        };
        let posted = self.run_with(flow, options, observer, drain, running).await;
        if !remembers {
            for path in Store::files(&file) {
                // It is of no use to anybody, and goes later if it does not now.
                let _ = std::fs::remove_file(path);
            }
        }
        posted
    }
}

/// A name no other command has.
fn passing() -> FlowName {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    FlowName {
        kind: Kind::Post,
        name: format!("command-{}-{:x}", std::process::id(), now.as_nanos()),
    }
}

fn remove_left(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let old = entry
            .metadata()
            .and_then(|found| found.modified())
            .is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age > LEFT));
        if old {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
