//! What the plugins of a flow have used: counted where they run, asked for by who shows it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

/// Plugins that count what they use.
pub trait Uses: Send + Sync + Debug {
    /// What the plugin of each callback of the flow has used since it was made.
    fn uses(&self) -> Vec<PluginUse>;
    /// The numbers the plugins keep themselves, by name.
    fn numbers(&self) -> BTreeMap<String, f64>;
}

/// What a plugin has used for one callback of a flow, all its instances together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PluginUse {
    /// Its name, with `#2` where the flow uses it for the second time, and so on.
    pub plugin: String,
    /// Most bytes of memory one instance had.
    pub memory: u64,
    /// HTTP requests it made, redirects that were followed among them.
    pub requests: u64,
    /// Bytes that came over its connections, and as answers to its requests.
    pub received: u64,
    /// Bytes it sent over its connections, and as bodies of its requests.
    pub sent: u64,
    /// Lines of its log that were left out because there were too many.
    pub silenced: u64,
    /// By entry point, those that were called.
    pub entries: Vec<EntryUse>,
}

/// What the calls of one entry point have used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntryUse {
    /// As flows and logs name it; `start` is the making of an instance.
    pub entry: String,
    /// Calls that began.
    pub calls: u64,
    /// Calls that ended with a failure the plugin reported.
    pub failures: u64,
    /// Calls that ended without an answer that can be used: crashes, too much memory or output.
    pub traps: u64,
    /// Calls that were ended at the time limit.
    pub deadlines: u64,
    /// Messages they were about; for `gather`, those it brought.
    pub messages: u64,
    /// From the beginning of calls to their end, waiting for peers included.
    pub time: Duration,
    /// The longest of them.
    pub longest: Duration,
    /// Of the time, what the plugin computed itself.
    pub computing: Duration,
}

impl PluginUse {
    /// Adds what it used elsewhere, or before.
    pub fn add(&mut self, other: &Self) {
        self.memory = self.memory.max(other.memory);
        self.requests += other.requests;
        self.received += other.received;
        self.sent += other.sent;
        self.silenced += other.silenced;
        for entry in &other.entries {
            match self.entries.iter_mut().find(|own| own.entry == entry.entry) {
                Some(own) => own.add(entry),
                None => self.entries.push(entry.clone()),
            }
        }
    }
}

impl EntryUse {
    fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.failures += other.failures;
        self.traps += other.traps;
        self.deadlines += other.deadlines;
        self.messages += other.messages;
        self.time += other.time;
        self.longest = self.longest.max(other.longest);
        self.computing += other.computing;
    }
}

/// Adds up what was used, a callback at a time.
pub fn sum(uses: impl IntoIterator<Item = PluginUse>) -> Vec<PluginUse> {
    let mut sum: Vec<PluginUse> = Vec::new();
    for used in uses {
        match sum.iter_mut().find(|own| own.plugin == used.plugin) {
            Some(own) => own.add(&used),
            None => sum.push(used),
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(plugin: &str, entry: &str, seconds: u64) -> PluginUse {
        let time = Duration::from_secs(seconds);
        PluginUse {
            plugin: plugin.into(),
            memory: seconds << 20,
            entries: vec![EntryUse {
                entry: entry.into(),
                calls: 1,
                time,
                longest: time,
                ..EntryUse::default()
            }],
            ..PluginUse::default()
        }
    }

    #[test]
    fn what_several_used_is_added_by_name() {
        let sum = sum([
            used("a", "send", 3),
            used("b", "post", 1),
            used("a", "send", 2),
            used("a", "stop", 1),
        ]);
        assert_eq!(sum.len(), 2);
        assert_eq!((sum[0].memory, sum[0].entries.len()), (3 << 20, 2));
        let send = &sum[0].entries[0];
        let seconds = (send.time.as_secs(), send.longest.as_secs());
        assert_eq!((send.calls, seconds), (2, (5, 3)));
    }
}
