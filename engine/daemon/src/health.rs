//! How a flow is, in one word, and why: the states of sr3's `status`, from figures and thresholds.
//!
//! Pure: what is known goes in as a [`Standing`], a [`Health`] comes out, and time is an argument.
//! The states are judged from the top: the first that fits is the one. `include`, `new`, `shutdown`
//! and `cpuSlow` of sr3 have no meaning here; `failed` and `paused` are ours.

use std::fmt;
use std::time::Duration;

use flow_config::{Flow, Thresholds};
use serde::{Deserialize, Serialize};

use crate::figures::{Figures, Link};

/// Fewer messages than this in five minutes say nothing about how many are rejected.
const ENOUGH_MESSAGES: u64 = 10;
/// For so long after a pause it is believed that what it was for goes on.
const AFTER_PAUSE: i64 = 60_000;

/// How a flow is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Not started, because somebody disabled it.
    Disabled,
    /// Stopped by itself; a person has to look at it.
    Failed,
    /// About to run.
    Starting,
    /// Finishing what is in hand.
    Stopping,
    /// Does not run, and is not meant to.
    Stopped,
    /// Is meant to run, and does not.
    Missing,
    /// Some of its instances do not run.
    Partial,
    /// Has done nothing for too long.
    Hung,
    /// Another machine has the address it needs.
    WaitVip,
    /// Waits before it tries again what failed.
    Paused,
    /// A broker is away, or was for much of the time.
    Disconnected,
    /// Moves content too slowly.
    Slow,
    /// Too much waits to be tried again.
    Retry,
    /// Its messages are old when they come.
    Lagging,
    /// Rejects too much.
    Reject,
    /// Well, and got nothing for a while.
    Idle,
    /// Well, in a terminal.
    Foreground,
    /// Well.
    Running,
}

impl State {
    /// Every state, in the order they are judged in.
    pub const ALL: [Self; 18] = [
        Self::Disabled,
        Self::Failed,
        Self::Starting,
        Self::Stopping,
        Self::Stopped,
        Self::Missing,
        Self::Partial,
        Self::Hung,
        Self::WaitVip,
        Self::Paused,
        Self::Disconnected,
        Self::Slow,
        Self::Retry,
        Self::Lagging,
        Self::Reject,
        Self::Idle,
        Self::Foreground,
        Self::Running,
    ];

    /// Whether nobody has to look at it.
    pub fn is_well(self) -> bool {
        match self {
            Self::Disabled
            | Self::Starting
            | Self::Stopping
            | Self::Stopped
            | Self::WaitVip
            | Self::Idle
            | Self::Foreground
            | Self::Running => true,
            Self::Failed
            | Self::Missing
            | Self::Partial
            | Self::Hung
            | Self::Paused
            | Self::Disconnected
            | Self::Slow
            | Self::Retry
            | Self::Lagging
            | Self::Reject => false,
        }
    }

    /// As it is written: `waitVip`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Failed => "failed",
            Self::Starting => "starting",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Missing => "missing",
            Self::Partial => "partial",
            Self::Hung => "hung",
            Self::WaitVip => "waitVip",
            Self::Paused => "paused",
            Self::Disconnected => "disconnected",
            Self::Slow => "slow",
            Self::Retry => "retry",
            Self::Lagging => "lagging",
            Self::Reject => "reject",
            Self::Idle => "idle",
            Self::Foreground => "foreground",
            Self::Running => "running",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is known of a flow from outside: what was asked of it, and what became of that.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Process {
    /// Nobody wants it to run.
    #[default]
    Stopped,
    /// Nobody may start it.
    Disabled,
    /// It is being started.
    Starting,
    /// It is at work.
    Running,
    /// It was asked to stop.
    Stopping,
    /// It is at work in a terminal, where nobody else sees its figures.
    Foreground,
    /// It ended with this error.
    Failed(String),
    /// It is wanted, and is not there.
    Missing,
}

/// What a judgement is made of.
#[derive(Debug, Clone, Default)]
pub struct Standing<'a> {
    /// Whether it runs.
    pub process: Process,
    /// Instances at work, and wanted. `(0, 0)` where nobody counts.
    pub instances: (usize, usize),
    /// Another machine has its `vip`.
    pub waits_for_vip: bool,
    /// Of all its instances together; none: unknown.
    pub figures: Option<&'a Figures>,
}

/// From when on a flow counts as unwell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// `runStateThreshold_*`.
    pub thresholds: Thresholds,
    /// How long a flow may be silent at least: nothing wakes an idle one but its upkeep.
    pub quiet: Duration,
}

impl Limits {
    /// Those of a flow.
    pub fn of(flow: &Flow) -> Self {
        Self {
            thresholds: flow.thresholds,
            quiet: flow.housekeeping.mul_f64(1.5),
        }
    }
}

/// A judgement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// In one word.
    pub state: State,
    /// Why, where the word does not say it.
    pub reason: Option<String>,
}

impl Health {
    /// Whether nobody has to look at it.
    pub fn is_well(&self) -> bool {
        self.state.is_well()
    }

    fn plain(state: State) -> Self {
        Self {
            state,
            reason: None,
        }
    }

    fn because(state: State, reason: impl Into<String>) -> Self {
        Self {
            state,
            reason: Some(reason.into()),
        }
    }
}

/// Judges a flow at `now`, milliseconds since 1970.
pub fn judge(standing: &Standing<'_>, limits: &Limits, now: i64) -> Health {
    let well = match &standing.process {
        Process::Disabled => return Health::plain(State::Disabled),
        Process::Failed(reason) => return Health::because(State::Failed, reason),
        Process::Starting => return Health::plain(State::Starting),
        Process::Stopping => return Health::plain(State::Stopping),
        Process::Stopped => return Health::plain(State::Stopped),
        Process::Missing => return Health::plain(State::Missing),
        Process::Foreground => State::Foreground,
        Process::Running => State::Running,
    };
    let (alive, wanted) = standing.instances;
    if wanted > 0 && alive == 0 {
        return Health::because(State::Missing, format!("none of {wanted} instances runs"));
    }
    if alive < wanted {
        let reason = format!("{alive} of {wanted} instances run");
        return Health::because(State::Partial, reason);
    }
    let Some(figures) = standing.figures else {
        return Health::plain(well);
    };
    if standing.waits_for_vip {
        return Health::plain(State::WaitVip);
    }
    unwell(figures, limits, now).unwrap_or_else(|| match well {
        State::Foreground => Health::plain(State::Foreground),
        _ => idle(figures, limits, now),
    })
}

/// What is wrong with a flow at work, if anything is.
fn unwell(figures: &Figures, limits: &Limits, now: i64) -> Option<Health> {
    let thresholds = &limits.thresholds;
    let trouble = figures
        .trouble
        .as_ref()
        .filter(|trouble| now <= trouble.until.saturating_add(AFTER_PAUSE));
    let silent = since(figures.last_activity, now);
    if trouble.is_none() && silent > thresholds.hung.max(limits.quiet) {
        let reason = format!("nothing happened for {}", span(silent));
        return Some(Health::because(State::Hung, reason));
    }
    let brokers = [
        (&figures.input, "the broker of `exchange`"),
        (&figures.output, "the broker of `post_exchange`"),
    ];
    let broker = brokers
        .into_iter()
        .find_map(|(link, what)| disconnected(link.as_ref()?, what, thresholds, now));
    // The reason of a pause says more than that a broker is away.
    if let Some(trouble) = trouble {
        let reason = trouble.reason.clone();
        let state = match broker {
            Some(_) => State::Disconnected,
            None => State::Paused,
        };
        return Some(Health::because(state, reason));
    }
    if let Some(reason) = broker {
        return Some(Health::because(State::Disconnected, reason));
    }
    let recent = &figures.recent;
    if let Some(rate) = recent
        .transfer_rate
        .filter(|rate| *rate < thresholds.slow as f64)
    {
        let reason = format!("{rate:.0} bytes a second while transferring");
        return Some(Health::because(State::Slow, reason));
    }
    if figures.waiting.retry > thresholds.retry {
        let reason = format!("{} messages wait to be tried again", figures.waiting.retry);
        return Some(Health::because(State::Retry, reason));
    }
    let lag = Duration::try_from_secs_f64(recent.lag).unwrap_or_default();
    if lag > thresholds.lag {
        let reason = format!("messages are {} old when they come", span(lag));
        return Some(Health::because(State::Lagging, reason));
    }
    let rejected = recent.rejected_percent;
    if recent.messages >= ENOUGH_MESSAGES && rejected >= f64::from(thresholds.reject) {
        let reason = format!("{rejected:.0}% of the messages are rejected");
        return Some(Health::because(State::Reject, reason));
    }
    None
}

fn disconnected(link: &Link, what: &str, thresholds: &Thresholds, now: i64) -> Option<String> {
    let away = 100.0 - link.percent;
    if !link.up {
        return Some(format!(
            "{what} is away since {}",
            span(since(link.since, now))
        ));
    }
    (away > 0.0 && away >= f64::from(thresholds.disconnected))
        .then(|| format!("{what} was away {away:.0}% of the last minutes"))
}

fn idle(figures: &Figures, limits: &Limits, now: i64) -> Health {
    let last = [figures.last_message, figures.last_transfer, figures.started]
        .into_iter()
        .flatten()
        .max()
        .unwrap_or(now);
    let quiet = since(last, now);
    if quiet > limits.thresholds.idle {
        Health::because(State::Idle, format!("nothing came for {}", span(quiet)))
    } else {
        Health::plain(State::Running)
    }
}

fn since(then: i64, now: i64) -> Duration {
    Duration::from_millis(u64::try_from(now.saturating_sub(then)).unwrap_or(0))
}

/// `90 s`, `12 min`, `3 h`, `4 d`.
fn span(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests;
