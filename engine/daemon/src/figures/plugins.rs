//! What the plugins of a flow used, as values that travel.

use std::time::Duration;

use flow_runtime::usage::{EntryUse, PluginUse};
use serde::{Deserialize, Serialize};

/// What a plugin used for one callback since the meter was made, all its instances together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plugin {
    /// Its name, with `#2` where the flow uses it for the second time, and so on.
    pub plugin: String,
    /// Most bytes of memory one instance had.
    pub memory_peak: u64,
    /// HTTP requests it made, redirects that were followed among them.
    pub requests: u64,
    /// Bytes that came over its connections, and as answers to its requests.
    pub bytes_in: u64,
    /// Bytes it sent over its connections, and as bodies of its requests.
    pub bytes_out: u64,
    /// Lines of its log that were left out because there were too many.
    pub lines_dropped: u64,
    /// By entry point, those that were called.
    pub entries: Vec<Entry>,
}

/// What the calls of one entry point used. Times are seconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// As flows and logs name it; `start` is the making of an instance.
    pub entry: String,
    /// Calls that began.
    pub calls: u64,
    /// Calls that ended with a failure the plugin reported.
    pub failures: u64,
    /// Calls that ended without an answer that can be used.
    pub traps: u64,
    /// Calls that were ended at the time limit.
    pub deadlines: u64,
    /// Messages they were about; for `gather`, those it brought.
    pub messages: u64,
    /// From the beginning of calls to their end, waiting for peers included.
    pub time: f64,
    /// The longest of them.
    pub longest: f64,
    /// Of the time, what the plugin computed itself.
    pub computing: f64,
}

impl From<PluginUse> for Plugin {
    fn from(used: PluginUse) -> Self {
        Self {
            plugin: used.plugin,
            memory_peak: used.memory,
            requests: used.requests,
            bytes_in: used.received,
            bytes_out: used.sent,
            lines_dropped: used.silenced,
            entries: used.entries.into_iter().map(Entry::from).collect(),
        }
    }
}

impl From<EntryUse> for Entry {
    fn from(used: EntryUse) -> Self {
        // A millionth of a second is as fine as anybody reads it.
        let seconds = |time: Duration| time.as_micros() as f64 / 1e6;
        Self {
            entry: used.entry,
            calls: used.calls,
            failures: used.failures,
            traps: used.traps,
            deadlines: used.deadlines,
            messages: used.messages,
            time: seconds(used.time),
            longest: seconds(used.longest),
            computing: seconds(used.computing),
        }
    }
}
