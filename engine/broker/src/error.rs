//! What can go wrong with a broker, and what it means for the data.
//!
//! Every message names the file, says what happened, whether anything was lost and what to do. The
//! kind answers the caller's question: retry, stop, or report a bug.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flow_runtime::ports::Failure;
use rusqlite::ErrorCode;

/// A broker could not do what it was asked for.
///
/// Unless the message says otherwise, the call had no effect at all and everything acknowledged
/// before it is safe.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: Kind,
    message: String,
    #[source]
    source: Option<Arc<rusqlite::Error>>,
    /// How long the broker should be left alone.
    retry_after: Option<Duration>,
}

/// What sort of error it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The file is a database of something else, or no database at all.
    NotABroker,
    /// The file was written by a newer version.
    Newer,
    /// The file is damaged.
    Corrupt,
    /// The file or its directory can't be written.
    ReadOnly,
    /// No room: on the disk, or within a quota.
    Full,
    /// Another process keeps the file locked.
    Busy,
    /// The operating system failed to read or write.
    Io,
    /// There is no such queue.
    NoQueue,
    /// The name of a queue or exchange can't be used.
    Name,
    /// The broker was closed, or its thread died.
    Stopped,
    /// SQLite refused something it should not: a bug here.
    Internal,
    /// The broker can't be reached, does not answer in time, or the connection to it was lost.
    Unreachable,
    /// The broker refused the user or the password.
    Login,
    /// The user may not do this there.
    Denied,
    /// An exchange or queue is not there, and was not to be declared.
    Missing,
    /// An exchange or queue is there, but not as declared.
    Mismatch,
    /// The broker's address can't be used.
    Address,
    /// The broker will never take this message.
    Unacceptable,
    /// The broker's certificate can't be trusted, or it speaks no TLS.
    Untrusted,
    /// The broker lacks something that is needed.
    Unsupported,
    /// Another client consumes as the same instance of a queue.
    TakenOver,
}

impl Error {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
            retry_after: None,
        }
    }

    /// The same, and the broker should be left alone for a while.
    #[must_use]
    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// What sort of error it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it may pass without anybody changing anything.
    pub fn passes(&self) -> bool {
        matches!(Failure::from(self.clone()), Failure::Temporary { .. })
    }

    /// What SQLite said, told as what it means for the broker at `path`.
    pub(crate) fn sqlite(path: &Path, source: rusqlite::Error) -> Self {
        let kind = kind_of(&source);
        let path = path.display();
        let message = match kind {
            Kind::NotABroker => format!(
                "`{path}` is not a SQLite database; it was left as it is; \
                 name another file, or move this one away to start with an empty broker"
            ),
            Kind::Corrupt => format!(
                "`{path}` is damaged; messages in it may be lost; stop every flow, keep a copy of the \
                 file with its `-wal`, and try `sqlite3 {path} .recover`, or move it away to start empty"
            ),
            Kind::ReadOnly => format!(
                "`{path}` can't be written; nothing was stored, what it holds is safe; \
                 make the file and its directory writable for this user"
            ),
            Kind::Full => format!(
                "no room on the disk of `{path}`; nothing of this call was stored, what was \
                 acknowledged before is safe; free some space and it goes on"
            ),
            Kind::Busy => format!(
                "`{path}` stays locked by another process; nothing of this call was stored; it will \
                 be tried again; look for a stopped `flow` or a database tool with an open transaction"
            ),
            Kind::Io => format!(
                "the disk of `{path}` failed to read or write; nothing of this call was confirmed, \
                 what was acknowledged before should be safe; check the disk and the mount"
            ),
            _ => format!("`{path}`: the broker met a database error it does not expect"),
        };
        Self {
            kind,
            message,
            source: Some(Arc::new(source)),
            retry_after: None,
        }
    }

    /// What the operating system said about `path`, a file beside the database.
    pub(crate) fn file(path: &Path, error: &std::io::Error) -> Self {
        use std::io::ErrorKind as E;
        let (kind, advice) = match error.kind() {
            E::PermissionDenied | E::ReadOnlyFilesystem => {
                (Kind::ReadOnly, "make the directory writable for this user")
            }
            E::StorageFull | E::QuotaExceeded => (Kind::Full, "free some space and it goes on"),
            _ => (
                Kind::Io,
                "check that the state directory exists and is on a local disk",
            ),
        };
        Self::new(
            kind,
            format!(
                "`{}`: {error}; nothing was stored, what the broker holds is safe; {advice}",
                path.display()
            ),
        )
    }

    pub(crate) fn stopped(path: &Path) -> Self {
        Self::new(
            Kind::Stopped,
            format!(
                "the broker `{}` is closed in this process; what was acknowledged is safe, this call \
                 may or may not have been stored",
                path.display()
            ),
        )
    }

    /// The message with what caused it, on one line.
    pub fn chain(&self) -> String {
        match &self.source {
            Some(source) => format!("{}: {source}", self.message),
            None => self.message.clone(),
        }
    }
}

fn kind_of(error: &rusqlite::Error) -> Kind {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => Kind::NotABroker,
        Some(ErrorCode::DatabaseCorrupt) => Kind::Corrupt,
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            Kind::ReadOnly
        }
        Some(ErrorCode::DiskFull) => Kind::Full,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Kind::Busy,
        Some(ErrorCode::SystemIoFailure) => Kind::Io,
        _ => Kind::Internal,
    }
}

impl From<Error> for Failure {
    /// Whether the flow tries again or stops for a person.
    fn from(error: Error) -> Self {
        match error.kind {
            Kind::Full
            | Kind::Busy
            | Kind::Io
            | Kind::Stopped
            | Kind::Internal
            | Kind::Unreachable
            | Kind::TakenOver
            | Kind::Missing => Self::Temporary {
                reason: error.chain(),
                retry_after: error.retry_after,
            },
            // A person has to act, at the broker and perhaps not here: the flow waits for it.
            Kind::Login | Kind::Denied => Self::Auth(error.chain()),
            Kind::Unacceptable => Self::Permanent(error.chain()),
            Kind::Mismatch
            | Kind::Address
            | Kind::NotABroker
            | Kind::Newer
            | Kind::Corrupt
            | Kind::ReadOnly
            | Kind::NoQueue
            | Kind::Name
            | Kind::Untrusted
            | Kind::Unsupported => Self::Config(error.chain()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: i32) -> Error {
        let source = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
        Error::sqlite(Path::new("state/broker.db"), source)
    }

    #[test]
    fn each_code_says_what_it_means_and_whether_to_try_again() {
        use rusqlite::ffi;
        for (code, kind, temporary) in [
            (ffi::SQLITE_FULL, Kind::Full, true),
            (ffi::SQLITE_BUSY, Kind::Busy, true),
            (ffi::SQLITE_IOERR, Kind::Io, true),
            (ffi::SQLITE_IOERR_FSYNC, Kind::Io, true),
            (ffi::SQLITE_CORRUPT, Kind::Corrupt, false),
            (ffi::SQLITE_NOTADB, Kind::NotABroker, false),
            (ffi::SQLITE_READONLY, Kind::ReadOnly, false),
            (ffi::SQLITE_CANTOPEN, Kind::ReadOnly, false),
        ] {
            let error = failure(code);
            assert_eq!(error.kind(), kind, "{code}");
            assert!(error.to_string().contains("state/broker.db"), "{error}");
            assert_eq!(
                matches!(Failure::from(error), Failure::Temporary { .. }),
                temporary,
                "{code}"
            );
        }
    }

    #[test]
    fn the_text_of_a_full_disk() {
        assert_eq!(
            failure(rusqlite::ffi::SQLITE_FULL).to_string(),
            "no room on the disk of `state/broker.db`; nothing of this call was stored, what was \
             acknowledged before is safe; free some space and it goes on"
        );
    }
}
