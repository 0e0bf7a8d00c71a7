//! Rates: sums over short steps of time, of which the last ones are kept.

use std::collections::VecDeque;

use flow_runtime::ports::PassCounts;
use serde::{Deserialize, Serialize};

/// The length of a step, milliseconds.
const STEP: i64 = 5_000;
/// Over how long rates are taken, milliseconds.
const RATES: i64 = 60_000;
/// Over how long lag and rejections are, milliseconds.
const SHARES: i64 = 300_000;

/// What a flow did lately. Rates are those of the last minute, the rest is that of five.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recent {
    /// Messages taken in hand, a second.
    pub message_rate: f64,
    /// Messages posted, a second.
    pub post_rate: f64,
    /// Files fetched, made or sent, a second.
    pub file_rate: f64,
    /// Bytes fetched or made, a second.
    pub byte_rate_in: f64,
    /// Bytes sent, a second.
    pub byte_rate_out: f64,
    /// Bytes moved in a second of those in which content was moved; none: it was not.
    pub transfer_rate: Option<f64>,
    /// Messages taken in hand in those five minutes.
    pub messages: u64,
    /// The mean age of messages taken from the queue, seconds.
    pub lag: f64,
    /// The age of the oldest of them, seconds.
    pub lag_longest: f64,
    /// Percent of the messages that were rejected, duplicates aside.
    pub rejected_percent: f64,
}

#[derive(Debug, Default)]
struct Step {
    start: i64,
    sum: PassCounts,
    /// Bytes moved, and the milliseconds of the passes that moved them.
    moved: (u64, u64),
}

#[derive(Debug, Default)]
pub(super) struct Ring(VecDeque<Step>);

impl Ring {
    pub(super) fn add(&mut self, counts: &PassCounts, now: i64) {
        let start = now - now.rem_euclid(STEP);
        // A clock that was set back goes on in the newest step.
        if self.0.back().is_none_or(|step| step.start < start) {
            self.0.push_back(Step {
                start,
                ..Step::default()
            });
            while self
                .0
                .front()
                .is_some_and(|step| step.start + STEP < now - SHARES)
            {
                self.0.pop_front();
            }
        }
        let step = self.0.back_mut().expect("pushed above if it was empty");
        step.sum.add(counts);
        let bytes = counts.bytes + counts.sent_bytes;
        if bytes > 0 {
            step.moved.0 += bytes;
            step.moved.1 += u64::try_from(counts.elapsed.as_millis()).unwrap_or(u64::MAX);
        }
    }

    pub(super) fn recent(&self, now: i64, started: Option<i64>) -> Recent {
        let rates = self.since(now - RATES);
        let shares = self.since(now - SHARES);
        let lived = started.map_or(RATES, |started| now - started);
        let seconds = lived.clamp(1_000, RATES) as f64 / 1000.0;
        let a_second = |count: u64| count as f64 / seconds;
        let sum = &rates.sum;
        let rejected = shares.sum.rejected.saturating_sub(shares.sum.duplicates);
        let (bytes, millis) = shares.moved;
        Recent {
            message_rate: a_second(sum.gathered),
            post_rate: a_second(sum.posted),
            file_rate: a_second(sum.fetched + sum.derived + sum.sent),
            byte_rate_in: a_second(sum.bytes),
            byte_rate_out: a_second(sum.sent_bytes),
            transfer_rate: (bytes > 0).then(|| bytes as f64 * 1000.0 / millis.max(1) as f64),
            messages: shares.sum.gathered,
            lag: shares.sum.lag.mean().as_secs_f64(),
            lag_longest: shares.sum.lag.longest.as_secs_f64(),
            rejected_percent: match shares.sum.gathered {
                0 => 0.0,
                gathered => 100.0 * rejected as f64 / gathered as f64,
            },
        }
    }

    fn since(&self, from: i64) -> Step {
        let mut all = Step::default();
        for step in self.0.iter().rev().take_while(|step| step.start >= from) {
            all.sum.add(&step.sum);
            all.moved.0 += step.moved.0;
            all.moved.1 += step.moved.1;
        }
        all
    }
}
