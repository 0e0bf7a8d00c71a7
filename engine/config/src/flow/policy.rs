//! When a flow works, how fast, how often it tries again, and what it says about it.

use std::time::Duration;

/// Suppression of duplicates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nodupe {
    /// How long a message is remembered.
    pub ttl: Duration,
    /// What makes two messages the same.
    pub basis: NodupeBasis,
}

/// What makes two messages the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodupeBasis {
    /// Identity and relPath.
    Path,
    /// Identity and file name.
    Name,
    /// Identity alone.
    Data,
    /// File name alone.
    NameOnly,
    /// relPath alone.
    PathOnly,
}

/// What becomes of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries before a message is given up; zero: no limit.
    pub attempts: u32,
    /// Age at which a message that fails is given up; zero: never.
    pub ttl: Duration,
    /// Age at which a message that plugins have wait is given up; zero: never.
    pub wait_max: Duration,
    /// Whether a message tried again passes the filters again.
    pub refilter: bool,
    /// Whether a flow that ends by itself first waits until nothing is left to try.
    pub empty_before_exit: bool,
}

impl RetryPolicy {
    /// So many tries within so long.
    pub fn new(attempts: u32, ttl: Duration) -> Self {
        Self {
            attempts,
            ttl,
            wait_max: Duration::ZERO,
            refilter: false,
            empty_before_exit: false,
        }
    }
}

/// When a flow gathers, beside the pause `sleep` between two gathers that found nothing more.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Schedule {
    /// Every `sleep`.
    #[default]
    Sleep,
    /// At start, and this long after the last gather began.
    Interval(Duration),
    /// At these times of the day, sorted, each once. Those missed are left out.
    Times {
        /// Minutes since midnight.
        minutes: Vec<u16>,
        /// The zone they are meant in, an IANA name; `UTC` by default.
        timezone: String,
    },
}

/// How much a flow does.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Pace {
    /// The flow ends after so many messages; zero: never.
    pub message_count_max: u64,
    /// Most messages in a second; none: no limit.
    pub message_rate_max: Option<f64>,
    /// Fewer messages in a second are warned about; none: never.
    pub message_rate_min: Option<f64>,
}

/// What a flow says while it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogOptions {
    /// The least important line written.
    pub level: LogLevel,
    /// Which events of a message get a line.
    pub events: LogEvents,
    /// Whether those lines hold the whole message.
    pub message_dump: bool,
}

/// How important a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Nothing at all.
    None,
    /// What needs a person.
    Error,
    /// And what recovered by itself.
    Warning,
    /// And what an operator wants to see.
    Info,
    /// And every batch.
    Debug,
    /// And every message.
    Trace,
}

/// Events of a message, or of the flow, that may get a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEvents {
    /// The filters accepted it.
    pub after_accept: bool,
    /// Its content was moved.
    pub after_work: bool,
    /// It was posted.
    pub after_post: bool,
    /// Totals at housekeeping.
    pub on_housekeeping: bool,
    /// It was rejected (`logReject`).
    pub reject: bool,
    /// It was rejected as a duplicate (`logDuplicates`).
    pub nodupe: bool,
}

/// From when on `flow status` and `flow sanity` call a flow unwell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// Percent of the time without a connection to the broker.
    pub disconnected: u8,
    /// Nothing was done for this long: hung.
    pub hung: Duration,
    /// Nothing came for this long: idle.
    pub idle: Duration,
    /// Messages are this much behind.
    pub lag: Duration,
    /// Percent of messages rejected.
    pub reject: u8,
    /// Messages in retry.
    pub retry: u64,
    /// Fewer bytes in a second while transferring; zero: never.
    pub slow: u64,
}
