//! What commands and the background process say to each other: a line of JSON each way.
//!
//! `{"version": 1, "request": …}` is answered by `{"version": 1, "answer": …}`, as often as wanted on
//! one connection. A request of another version is refused in words, so that a newer command can
//! tell an older process from a broken one. [`Status`] is also what `flow status --format json`
//! prints, and stays.

use serde::{Deserialize, Serialize};

use crate::figures::Figures;
use crate::health::State;

/// Of this protocol.
pub const VERSION: u32 = 1;

/// A line from a command.
#[derive(Debug, Serialize, Deserialize)]
pub struct Call {
    /// [`VERSION`].
    pub version: u32,
    /// What to do.
    pub request: Request,
}

/// A line from the background process.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reply {
    /// [`VERSION`].
    pub version: u32,
    /// How it went.
    pub answer: Answer,
}

/// What to do. Flows are named `kind/name`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Start flows that do not run.
    Start {
        /// Which.
        flows: Vec<String>,
        /// Whether these are all there are: then a reload starts those that are new.
        all: bool,
    },
    /// Drain flows, and drop those that take longer.
    Stop {
        /// Which.
        flows: Vec<String>,
        /// How long they may take.
        grace_ms: u64,
    },
    /// As `Stop`, for every flow, and end the process.
    End {
        /// How long they may take.
        grace_ms: u64,
    },
    /// Stop and start flows, those with errors excepted.
    Restart {
        /// Which.
        flows: Vec<String>,
        /// How long they may take to stop.
        grace_ms: u64,
    },
    /// Read flows again and restart what has changed.
    Reload {
        /// Which; none: all that should run, and with `all` of `Start` those that are new.
        flows: Vec<String>,
        /// How long they may take to stop.
        grace_ms: u64,
    },
    /// Mend what should run and does not.
    Sanity {
        /// How long what hangs may take to stop.
        grace_ms: u64,
    },
    /// Tell how things are.
    Status,
    /// Say something.
    Ping,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// What became of each flow.
    Done(Vec<Outcome>),
    /// How things are.
    Status(Status),
    /// The request can't be carried out.
    Refused(String),
}

/// What became of a flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// `kind/name`.
    pub flow: String,
    /// What.
    pub result: Became,
    /// Why: findings, the reason of a failure. Several lines.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

/// What became of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Became {
    /// It runs now.
    Started,
    /// It is on its way, but did not say so in time.
    Starting,
    /// It ran already.
    Running,
    /// `flow foreground` runs it; it is taken over when that ends.
    Foreground,
    /// It is disabled.
    Disabled,
    /// It has errors, or can't go on.
    Failed,
    /// It failed, and is tried again by itself.
    Waiting,
    /// It was stopped, and finished what was in hand.
    Stopped,
    /// It was stopped before it had finished; the rest is done again at the next start.
    Dropped,
    /// It did not run.
    NotRunning,
    /// It has done all there was, and ended.
    Ended,
    /// It was stopped and started.
    Restarted,
    /// Its file says what it said before.
    Unchanged,
    /// Its file has errors now; it goes on as it was.
    Kept,
    /// Its file is gone; it was stopped.
    Removed,
}

impl Became {
    /// The word for it, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Foreground => "foreground",
            Self::Disabled => "disabled",
            Self::Failed => "failed",
            Self::Waiting => "waiting",
            Self::Stopped => "stopped",
            Self::Dropped => "dropped",
            Self::NotRunning => "not-running",
            Self::Ended => "ended",
            Self::Restarted => "restarted",
            Self::Unchanged => "unchanged",
            Self::Kept => "kept",
            Self::Removed => "removed",
        }
    }

    /// Whether somebody should look.
    pub fn is_bad(self) -> bool {
        matches!(
            self,
            Self::Failed | Self::Waiting | Self::Dropped | Self::Kept
        )
    }
}

/// How things are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The background process; none when there is none.
    pub process: Option<Process>,
    /// Every flow there is a file for or that runs, sorted.
    pub flows: Vec<FlowStatus>,
}

/// The background process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its process id.
    pub pid: u32,
    /// The version of flow.
    pub version: String,
    /// When it started, RFC 3339.
    pub since: String,
    /// The directory of its flows.
    pub config: String,
    /// Bytes of memory.
    pub memory: u64,
}

/// A flow, as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlowStatus {
    /// `kind/name`.
    pub flow: String,
    /// In one word.
    pub state: State,
    /// Why, where the word does not say it.
    pub reason: Option<String>,
    /// When it was last started or stopped, RFC 3339; none for flows that nobody started.
    pub since: Option<String>,
    /// How often it was started again after it failed.
    pub restarts: u32,
    /// What it did since it was started; none where that is not known.
    pub figures: Option<Figures>,
}

impl FlowStatus {
    /// A flow that is not the background process's business.
    pub fn idle(flow: String, state: State) -> Self {
        Self {
            flow,
            state,
            reason: None,
            since: None,
            restarts: 0,
            figures: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_as_documented_and_come_back() {
        let call = Call {
            version: VERSION,
            request: Request::Stop {
                flows: vec!["poll/a".into()],
                grace_ms: 30_000,
            },
        };
        let line = serde_json::to_string(&call).expect("it is JSON");
        assert_eq!(
            line,
            r#"{"version":1,"request":{"stop":{"flows":["poll/a"],"grace_ms":30000}}}"#
        );
        let back: Call = serde_json::from_str(&line).expect("it reads back");
        assert_eq!(back.request, call.request);
        let status = Call {
            version: VERSION,
            request: Request::Status,
        };
        assert_eq!(
            serde_json::to_string(&status).expect("it is JSON"),
            r#"{"version":1,"request":"status"}"#
        );
    }

    #[test]
    fn every_result_has_the_word_it_has_in_json() {
        for result in [
            Became::Started,
            Became::NotRunning,
            Became::Kept,
            Became::Unchanged,
        ] {
            let json = serde_json::to_string(&result).expect("it is JSON");
            assert_eq!(json, format!("\"{}\"", result.as_str()));
        }
    }
}
