//! Failures on their way into a guest.

use std::time::Duration;

use flow_runtime::ports;

use crate::bindings::flow::plugin::types::{Failure, TemporaryFailure};
use crate::error::Error;

impl From<ports::Failure> for Failure {
    fn from(failure: ports::Failure) -> Self {
        match failure {
            ports::Failure::Temporary {
                reason,
                retry_after,
            } => {
                let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                Self::Temporary(TemporaryFailure {
                    reason,
                    retry_after_ms: retry_after.map(millis),
                })
            }
            ports::Failure::Permanent(reason) | ports::Failure::Plugin(reason) => {
                Self::Permanent(reason)
            }
            ports::Failure::Auth(reason) => Self::Auth(reason),
            ports::Failure::Config(reason) => Self::Config(reason),
        }
    }
}

impl Failure {
    /// Worth another try.
    pub(crate) fn temporary(reason: impl Into<String>) -> Self {
        Self::Temporary(TemporaryFailure {
            reason: reason.into(),
            retry_after_ms: None,
        })
    }

    /// The flow's or the plugin's setup is wrong.
    pub(crate) fn config(error: &Error) -> Self {
        Self::Config(error.to_string())
    }

    /// The guest did what the contract forbids; trying again is of no use.
    pub(crate) fn misuse(error: &Error) -> Self {
        Self::Permanent(error.to_string())
    }
}
