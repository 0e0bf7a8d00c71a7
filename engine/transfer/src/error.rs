//! What went wrong between here and a server, by what can be done about it.

use std::time::Duration;

use flow_runtime::ports::{Failure, Rejection, Worked};

/// Why an operation on a remote tree did not work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Error {
    kind: Kind,
    reason: String,
}

/// What can be done about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The connection broke or fell silent: another one, now, may do; a fetch goes on where it was.
    Broken,
    /// Worth another try later, after the delay the server asked for.
    Temporary {
        /// What the server asked for.
        retry_after: Option<Duration>,
    },
    /// There is no such thing, or not any more: the message has nothing to announce.
    NotFound,
    /// The server refuses these credentials, or wants some.
    Auth,
    /// Never going to work for this message.
    Permanent,
    /// The protocol, or this server, has no such operation.
    Unsupported,
    /// A person has to change the configuration.
    Config,
}

impl Error {
    /// Of a kind, with a reason for people: what happened and where, lower case, without secrets.
    pub fn new(kind: Kind, reason: impl Into<String>) -> Self {
        Self {
            kind,
            reason: reason.into(),
        }
    }

    /// As [`Kind::Broken`].
    pub fn broken(reason: impl Into<String>) -> Self {
        Self::new(Kind::Broken, reason)
    }

    /// As [`Kind::Temporary`], without a delay.
    pub fn temporary(reason: impl Into<String>) -> Self {
        Self::new(Kind::Temporary { retry_after: None }, reason)
    }

    /// As [`Kind::NotFound`].
    pub fn not_found(reason: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, reason)
    }

    /// As [`Kind::Auth`].
    pub fn auth(reason: impl Into<String>) -> Self {
        Self::new(Kind::Auth, reason)
    }

    /// As [`Kind::Permanent`].
    pub fn permanent(reason: impl Into<String>) -> Self {
        Self::new(Kind::Permanent, reason)
    }

    /// As [`Kind::Unsupported`]; `what` is done to things, e.g. `` `rename` ``.
    pub fn unsupported(what: &str) -> Self {
        Self::new(
            Kind::Unsupported,
            format!("this protocol has no way to {what}"),
        )
    }

    /// As [`Kind::Config`].
    pub fn config(reason: impl Into<String>) -> Self {
        Self::new(Kind::Config, reason)
    }

    /// What can be done about it.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The same, with `context` in front: what was attempted.
    #[must_use]
    pub fn about(mut self, context: &str) -> Self {
        self.reason = format!("{context}: {}", self.reason);
        self
    }

    /// Whether another connection may do better at once.
    pub fn is_broken(&self) -> bool {
        self.kind == Kind::Broken
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let Error { kind, reason } = error;
        match kind {
            Kind::Broken => Self::temporary(reason),
            Kind::Temporary { retry_after } => Self::Temporary {
                reason,
                retry_after,
            },
            Kind::NotFound | Kind::Permanent | Kind::Unsupported => Self::Permanent(reason),
            Kind::Auth => Self::Auth(reason),
            Kind::Config => Self::Config(reason),
        }
    }
}

/// What an error means for the message it came up with.
///
/// What is gone is no failure of the flow: nobody could do anything with such a dead letter, so it is
/// rejected (410), as in sr3.
impl From<Error> for Worked {
    fn from(error: Error) -> Self {
        match error.kind {
            Kind::NotFound => Self::Reject(Rejection {
                code: 410,
                reason: error.reason,
            }),
            _ => Self::Fail(error.into()),
        }
    }
}
