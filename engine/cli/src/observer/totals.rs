//! What a run did in all.

use std::time::Duration;

use flow_runtime::ports::PassCounts;

use crate::render::{bytes, count, elapsed};

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

#[cfg(test)]
mod tests {
    use super::*;

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
