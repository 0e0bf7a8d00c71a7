//! Where the files of a state directory are that are not stores: markers, logs, the control socket.
//!
//! Only names; nothing here opens or makes anything, but for looking whether a marker or a lock is
//! there.

use std::path::PathBuf;

use flow_config::FlowName;
use flow_runtime::Store;

use crate::Engine;

impl Engine {
    /// The file that says that a flow is disabled, by being there.
    pub fn disabled_marker(&self, name: &FlowName) -> PathBuf {
        let flows = self.directories().state.join("flows");
        flows.join(format!("{name}.disabled"))
    }

    /// Whether a flow is disabled: it is not started, and can't be by its name either.
    pub fn is_disabled(&self, name: &FlowName) -> bool {
        self.disabled_marker(name).exists()
    }

    /// The socket the background process answers at.
    pub fn socket_file(&self) -> PathBuf {
        self.directories().state.join("flow.sock")
    }

    /// Locked by the background process for as long as it lives; holds its process id.
    pub fn lock_file(&self) -> PathBuf {
        self.directories().state.join("flow.lock")
    }

    /// Names the flows that should run in the background, a line each.
    pub fn started_file(&self) -> PathBuf {
        self.directories().state.join("flow.started")
    }

    /// Where a flow's log is; with none, that of the background process itself.
    pub fn log_file(&self, name: Option<&FlowName>) -> PathBuf {
        let logs = self.directories().state.join("log");
        match name {
            Some(name) => logs.join(format!("{name}.log")),
            None => logs.join("flow.log"),
        }
    }

    /// Whether some process runs the flow right now.
    pub fn is_running(&self, name: &FlowName) -> bool {
        Store::is_running(&self.store_file(name))
    }
}
