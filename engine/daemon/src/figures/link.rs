//! How reliably a connection worked lately.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// How far back it is looked, milliseconds.
const WINDOW: i64 = 300_000;
/// More changes than this within the window are forgotten; one that flaps so much is down anyway.
const CHANGES: usize = 256;

/// How a connection is and was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Link {
    /// Whether it worked when it was last used.
    pub up: bool,
    /// Since when it is as it is; milliseconds since 1970.
    pub since: i64,
    /// Percent of the last five minutes (or since the first try) in which it worked.
    pub percent: f64,
}

/// The changes of a connection within the window.
#[derive(Debug)]
pub(super) struct History {
    first: i64,
    up: bool,
    since: i64,
    /// Times in which it was down, oldest first; the running one is not among them.
    down: VecDeque<(i64, i64)>,
}

impl History {
    /// Of a connection first tried at `now`; [`turn`](Self::turn) says with what success.
    pub(super) fn new(now: i64) -> Self {
        Self {
            first: now,
            up: true,
            since: now,
            down: VecDeque::new(),
        }
    }

    pub(super) fn turn(&mut self, up: bool, now: i64) {
        if up == self.up {
            return;
        }
        if up {
            self.down.push_back((self.since, now));
            if self.down.len() > CHANGES {
                self.down.pop_front();
            }
        }
        self.up = up;
        self.since = now;
        while self.down.front().is_some_and(|(_, end)| now - end > WINDOW) {
            self.down.pop_front();
        }
    }

    pub(super) fn link(&self, now: i64) -> Link {
        let start = self.first.max(now - WINDOW);
        let whole = now - start;
        let running = (!self.up).then_some((self.since, now));
        let down: i64 = self
            .down
            .iter()
            .copied()
            .chain(running)
            .map(|(from, to)| (to.min(now) - from.max(start)).max(0))
            .sum();
        let percent = match whole {
            ..=0 if self.up => 100.0,
            ..=0 => 0.0,
            whole => 100.0 * (whole - down).max(0) as f64 / whole as f64,
        };
        Link {
            up: self.up,
            since: self.since,
            percent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_without_a_connection_is_counted_within_the_window() {
        let mut history = History::new(0);
        history.turn(true, 0);
        assert_eq!(history.link(0).percent, 100.0);
        history.turn(false, 60_000);
        assert_eq!(history.link(120_000).percent, 50.0);
        assert!(!history.link(120_000).up);
        history.turn(true, 120_000);
        assert_eq!(history.link(240_000).percent, 75.0);
        // The minute leaves the window by halves.
        assert_eq!(history.link(390_000).percent, 90.0);
        assert_eq!(history.link(600_000).percent, 100.0);
    }

    #[test]
    fn what_never_worked_worked_no_percent_of_the_time() {
        let mut history = History::new(5);
        history.turn(false, 5);
        let link = |now| (history.link(now).up, history.link(now).percent);
        assert_eq!(link(5), (false, 0.0));
        assert_eq!(link(1_000_000), (false, 0.0));
    }
}
