//! Why the engine could not do what it was asked.

use std::path::PathBuf;

use flow_config::{FlowName, Report};

/// An error of the engine as a whole; the parts' own errors are its sources.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The flow's file, or its credentials, can't be used as they are.
    #[error("the configuration has errors")]
    Findings(Report),
    /// No such flow.
    #[error("there is no flow `{0}`")]
    NoFlow(FlowName),
    /// A directory or file of the engine can't be used.
    #[error("can't use {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The background process of this state directory runs already.
    #[error("the background process runs already{}", .pid.map(|pid| format!(" as process {pid}")).unwrap_or_default())]
    Served {
        /// Its process id, where it is known.
        pid: Option<u32>,
    },
    /// The flow takes no lines.
    #[error("`{0}` is no helper: none of its plugins has the entry point `line`")]
    NoHelper(FlowName),
    /// There is no plugin of that name or file.
    #[error("there is no plugin `{name}`")]
    NoPlugin {
        /// The name asked for.
        name: String,
        /// Every name there is.
        known: Vec<String>,
    },
    /// A plugin can't be loaded, or did not start.
    #[error(transparent)]
    Plugin(#[from] flow_host::Error),
    /// The embedded broker can't be used.
    #[error(transparent)]
    Broker(#[from] flow_broker::Error),
    /// The flow's store can't be used.
    #[error(transparent)]
    Store(#[from] flow_runtime::StoreError),
    /// The flow stopped because it can't go on.
    #[error(transparent)]
    Flow(#[from] flow_runtime::Error),
    /// The test of a plugin says something that can't be.
    #[error("{file}:{line}: {what}")]
    Trial {
        /// Which.
        file: String,
        /// Where.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// Posting failed.
    #[error(transparent)]
    Post(#[from] flow_runtime::ports::Failure),
}
