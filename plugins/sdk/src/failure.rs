//! Makers and views of what went wrong.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::{Failure, Fetched, Rejection, Sent, TemporaryFailure, Verdict, Waiting};

impl Failure {
    /// Worth another try.
    pub fn temporary(reason: impl Into<String>) -> Self {
        Self::Temporary(TemporaryFailure {
            reason: reason.into(),
            retry_after_ms: None,
        })
    }

    /// Worth another try, but not before `delay`, which the peer asked for.
    pub fn retry_after(reason: impl Into<String>, delay: Duration) -> Self {
        let retry_after_ms = Some(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
        Self::Temporary(TemporaryFailure {
            reason: reason.into(),
            retry_after_ms,
        })
    }

    /// Never going to work for this message.
    pub fn permanent(reason: impl Into<String>) -> Self {
        Self::Permanent(reason.into())
    }

    /// Credentials were refused.
    pub fn auth(reason: impl Into<String>) -> Self {
        Self::Auth(reason.into())
    }

    /// A person has to change something.
    pub fn config(reason: impl Into<String>) -> Self {
        Self::Config(reason.into())
    }

    /// What happened, for people. (`Display` is generated and shows the variant as well.)
    pub fn reason(&self) -> &str {
        match self {
            Self::Temporary(temporary) => &temporary.reason,
            Self::Permanent(reason) | Self::Auth(reason) | Self::Config(reason) => reason,
            Self::Interrupted => "interrupted by the host",
        }
    }

    /// The same failure, with what was being done in front: `context: reason`.
    #[must_use]
    pub fn context(self, context: impl fmt::Display) -> Self {
        match self {
            Self::Temporary(t) => Self::Temporary(TemporaryFailure {
                reason: format!("{context}: {}", t.reason),
                ..t
            }),
            Self::Permanent(reason) => Self::Permanent(format!("{context}: {reason}")),
            Self::Auth(reason) => Self::Auth(format!("{context}: {reason}")),
            Self::Config(reason) => Self::Config(format!("{context}: {reason}")),
            Self::Interrupted => Self::Interrupted,
        }
    }

    /// Wraps it for interfaces that speak [`io::Error`]; [`Failure::from`] takes it out again.
    pub fn into_io(self) -> io::Error {
        io::Error::other(Carried(self))
    }
}

impl From<io::Error> for Failure {
    /// The failure inside, if [`Failure::into_io`] made the error; otherwise a temporary one.
    fn from(error: io::Error) -> Self {
        match error.downcast::<Carried>() {
            Ok(carried) => carried.0,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Self::temporary("the peer closed the connection in the middle of an answer")
            }
            Err(error) => Self::temporary(error.to_string()),
        }
    }
}

#[derive(Debug)]
struct Carried(Failure);

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.reason())
    }
}

impl std::error::Error for Carried {}

impl Rejection {
    /// A rejection, with a code as in sr3's reports.
    pub fn new(code: u16, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
        }
    }
}

impl Verdict {
    /// Goes no further, on purpose.
    pub fn rejected(code: u16, reason: impl Into<String>) -> Self {
        Self::Reject(Rejection::new(code, reason))
    }

    /// Not now, though nothing is wrong: again after `delay`, without losing a try.
    pub fn wait(reason: impl Into<String>, delay: Duration) -> Self {
        Self::Wait(Waiting {
            reason: reason.into(),
            after_ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
        })
    }
}

impl Fetched {
    /// Not to be had, on purpose or for good.
    pub fn rejected(code: u16, reason: impl Into<String>) -> Self {
        Self::Reject(Rejection::new(code, reason))
    }
}

impl Sent {
    /// Not wanted there.
    pub fn rejected(code: u16, reason: impl Into<String>) -> Self {
        Self::Reject(Rejection::new(code, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_survives_the_way_through_io() {
        let failure = Failure::config("port 25 is not granted");
        assert_eq!(Failure::from(failure.clone().into_io()), failure);
        assert_eq!(
            Failure::from(Failure::Interrupted.into_io()),
            Failure::Interrupted
        );
        let foreign = Failure::from(io::Error::new(io::ErrorKind::BrokenPipe, "pipe"));
        assert!(matches!(foreign, Failure::Temporary(_)), "{foreign:?}");
    }

    #[test]
    fn context_keeps_the_kind_and_the_delay() {
        let failure = Failure::retry_after("busy", Duration::from_secs(3)).context("logging in");
        let Failure::Temporary(temporary) = failure else {
            panic!("{failure:?}")
        };
        assert_eq!(temporary.reason, "logging in: busy");
        assert_eq!(temporary.retry_after_ms, Some(3000));
    }
}
