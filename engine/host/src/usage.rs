//! What one callback of a flow uses: a few additions per call, none per message.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flow_runtime::usage::{EntryUse, PluginUse, Uses};

use crate::store::Metrics;

/// The entry points of the contract that are called, by their names in flows and logs.
pub(crate) const ENTRIES: [&str; 10] = [
    "gather",
    "wake",
    "settled",
    "after_accept",
    "download",
    "send",
    "after_work",
    "post",
    "request",
    "line",
];

/// What else there are calls of: `lifecycle`, before all others and after them.
const AROUND: [&str; 3] = ["start", "housekeeping", "stop"];

/// Everything there are calls of, in the order it is shown in.
fn calls() -> impl Iterator<Item = &'static str> {
    let (first, last) = AROUND.split_at(1);
    first.iter().chain(&ENTRIES).chain(last).copied()
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With an answer.
    Answer,
    /// With a failure the guest reported.
    Failure,
    /// Without an answer that can be used.
    Trap,
    /// At the time limit.
    Deadline,
}

/// What the instances of one callback used.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    name: String,
    entries: [Entry; ENTRIES.len() + AROUND.len()],
    memory: AtomicU64,
    requests: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    silenced: AtomicU64,
}

#[derive(Debug, Default)]
struct Entry {
    calls: AtomicU64,
    failures: AtomicU64,
    traps: AtomicU64,
    deadlines: AtomicU64,
    messages: AtomicU64,
    nanos: AtomicU64,
    longest: AtomicU64,
    computing: AtomicU64,
}

fn add(number: &AtomicU64, more: u64) {
    number.fetch_add(more, Ordering::Relaxed);
}

fn get(number: &AtomicU64) -> u64 {
    number.load(Ordering::Relaxed)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Usage {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        let index = calls().position(|known| known == name)?;
        self.entries.get(index)
    }

    /// A call begins.
    pub(crate) fn begun(&self, entry: &str, messages: usize) {
        if let Some(entry) = self.entry(entry) {
            add(&entry.calls, 1);
            add(&entry.messages, messages as u64);
        }
    }

    /// It ended, having taken `whole` and computed for `computing` of it, with an instance of
    /// `memory` bytes.
    pub(crate) fn ended(
        &self,
        entry: &str,
        end: End,
        (whole, computing): (Duration, Duration),
        memory: usize,
    ) {
        self.memory.fetch_max(memory as u64, Ordering::Relaxed);
        let Some(entry) = self.entry(entry) else {
            return;
        };
        add(&entry.nanos, nanos(whole));
        entry.longest.fetch_max(nanos(whole), Ordering::Relaxed);
        add(&entry.computing, nanos(computing));
        match end {
            End::Answer => {}
            End::Failure => add(&entry.failures, 1),
            End::Trap => add(&entry.traps, 1),
            End::Deadline => add(&entry.deadlines, 1),
        }
    }

    /// The answer of a call that had ended well can't be used.
    pub(crate) fn refused(&self, entry: &str) {
        if let Some(entry) = self.entry(entry) {
            add(&entry.traps, 1);
        }
    }

    /// A gather brought messages.
    pub(crate) fn gathered(&self, messages: usize) {
        if let Some(entry) = self.entry("gather") {
            add(&entry.messages, messages as u64);
        }
    }

    /// An HTTP request went out.
    pub(crate) fn asked(&self) {
        add(&self.requests, 1);
    }

    pub(crate) fn received(&self, bytes: usize) {
        add(&self.received, bytes as u64);
    }

    pub(crate) fn sent(&self, bytes: u64) {
        add(&self.sent, bytes);
    }

    pub(crate) fn silenced(&self) {
        add(&self.silenced, 1);
    }

    fn read(&self) -> PluginUse {
        let entries = calls().zip(&self.entries);
        let called = entries.filter(|(_, entry)| get(&entry.calls) > 0);
        PluginUse {
            plugin: self.name.clone(),
            memory: get(&self.memory),
            requests: get(&self.requests),
            received: get(&self.received),
            sent: get(&self.sent),
            silenced: get(&self.silenced),
            entries: called.map(|(name, entry)| entry.read(name)).collect(),
        }
    }
}

impl Entry {
    fn read(&self, name: &str) -> EntryUse {
        EntryUse {
            entry: name.to_owned(),
            calls: get(&self.calls),
            failures: get(&self.failures),
            traps: get(&self.traps),
            deadlines: get(&self.deadlines),
            messages: get(&self.messages),
            time: Duration::from_nanos(get(&self.nanos)),
            longest: Duration::from_nanos(get(&self.longest)),
            computing: Duration::from_nanos(get(&self.computing)),
        }
    }
}

/// What all callbacks of a flow used.
#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) callbacks: Vec<Arc<Usage>>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Uses for Book {
    fn uses(&self) -> Vec<PluginUse> {
        self.callbacks.iter().map(|usage| usage.read()).collect()
    }

    fn numbers(&self) -> std::collections::BTreeMap<String, f64> {
        self.metrics.snapshot()
    }
}
