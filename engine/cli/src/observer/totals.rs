//! What a run did in all.

use std::time::Duration;

use flow_runtime::ports::PassCounts;
use flow_runtime::usage::PluginUse;

use crate::render::{bytes, count, elapsed, plural, printable};

/// The sum of all passes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Summed counts.
    pub counts: PassCounts,
    /// Wall time of the run.
    pub elapsed: Duration,
}

impl Totals {
    /// Adds a pass.
    pub(crate) fn add(&mut self, pass: &PassCounts) {
        self.counts.add(pass);
    }

    /// Whether something did not get through.
    pub(crate) fn has_failures(&self) -> bool {
        self.counts.retrying > 0 || self.counts.dead > 0
    }

    /// `12 gathered, 12 fetched (1.2 MiB), 34 derived, 34 posted`; what is zero is left out.
    pub(crate) fn sentence(&self) -> String {
        let c = &self.counts;
        let mut parts = vec![format!("{} gathered", count(c.gathered))];
        let mut push = |number: u64, text: &str| {
            if number > 0 {
                parts.push(format!("{} {text}", count(number)));
            }
        };
        push(c.rejected, "rejected");
        push(c.fetched, &format!("fetched ({})", bytes(c.bytes)));
        push(c.sent, &format!("sent ({})", bytes(c.sent_bytes)));
        push(c.derived, "derived");
        push(c.posted, "posted");
        push(c.duplicates, "known already");
        push(c.retrying, "to retry");
        push(c.dead, "given up");
        parts.join(", ")
    }

    /// The last line of a run.
    pub(crate) fn summary(&self) -> String {
        format!("{} in {}", self.sentence(), elapsed(self.elapsed))
    }
}

/// What a plugin used in a run, in one line.
pub(super) fn used(used: &PluginUse) -> String {
    let mut calls = 0;
    let mut bad = 0;
    let (mut time, mut computing) = (Duration::ZERO, Duration::ZERO);
    for entry in &used.entries {
        calls += entry.calls;
        bad += entry.traps + entry.deadlines;
        time += entry.time;
        computing += entry.computing;
    }
    let mut line = format!(
        "{}  {} in {}, {} of it computing, {} of memory at most",
        printable(&used.plugin),
        plural(calls, "call"),
        elapsed(time),
        elapsed(computing),
        bytes(used.memory)
    );
    if used.requests > 0 {
        line.push_str(&format!(", {}", plural(used.requests, "request")));
    }
    if used.received + used.sent > 0 {
        let (came, went) = (bytes(used.received), bytes(used.sent));
        line.push_str(&format!(", {came} received, {went} sent"));
    }
    if bad > 0 {
        line.push_str(&format!(", {} without an answer", plural(bad, "call")));
    }
    line
}

#[cfg(test)]
mod tests {
    use flow_runtime::usage::EntryUse;

    use super::*;

    #[test]
    fn what_a_plugin_used_is_one_line() {
        let entry = |name: &str, traps| EntryUse {
            entry: name.into(),
            calls: 6,
            traps,
            time: Duration::from_millis(700),
            computing: Duration::from_millis(20),
            ..EntryUse::default()
        };
        let mail = PluginUse {
            plugin: "mail".into(),
            memory: 3 << 20,
            received: 2048,
            entries: vec![entry("gather", 0), entry("download", 1)],
            ..PluginUse::default()
        };
        assert_eq!(
            used(&mail),
            "mail  12 calls in 1.40s, 40ms of it computing, 3.0 MiB of memory at most, \
             2.0 KiB received, 0 B sent, 1 call without an answer"
        );
    }

    #[test]
    fn totals_add_up_and_leave_zeros_out() {
        let mut totals = Totals {
            elapsed: Duration::from_millis(1240),
            ..Totals::default()
        };
        assert_eq!(totals.summary(), "0 gathered in 1.24s");
        let pass = PassCounts {
            gathered: 6,
            fetched: 6,
            bytes: 3000,
            posted: 9,
            ..PassCounts::default()
        };
        totals.add(&pass);
        totals.add(&PassCounts {
            retrying: 1,
            ..pass
        });
        assert_eq!(
            totals.summary(),
            "12 gathered, 12 fetched (5.9 KiB), 18 posted, 1 to retry in 1.24s"
        );
        assert!(totals.has_failures());
    }
}
