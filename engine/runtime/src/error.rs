//! Why a worker ended before it was asked to.

use std::path::PathBuf;

/// Why a flow stopped, or could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A person has to change something: an option, a grant, a setup.
    #[error("{0}")]
    Config(String),
    /// Credentials were refused. Only where the flow runs once; otherwise it pauses and goes on.
    #[error("{0}")]
    Auth(String),
    /// Something could not be reached. Only where the flow runs once; otherwise it waits.
    #[error("{0}")]
    Unavailable(String),
    /// An origin can never give some of what it was asked for; what it gave was dealt with.
    #[error("{0}")]
    Incomplete(String),
    /// Another process runs this flow on the same state.
    #[error(
        "this flow is already running: `{}` is locked by another process; stop that one first",
        .0.display()
    )]
    Running(PathBuf),
    /// The flow's own store failed; nothing was told to the origins of what was in hand.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The flow's own store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file can't be opened, locked or created.
    #[error("the flow's state `{}` can't be used: {reason}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The file was written by a newer version of this program.
    #[error(
        "the flow's state `{}` has format {found}, this version reads up to {known}; run the newer version",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format this version knows.
        known: i64,
    },
    /// A statement failed: disk full, file damaged, or locked for longer than the busy timeout.
    #[error("the flow's state could not be read or written: {0}")]
    Sqlite(rusqlite::Error),
    /// A row holds what this version can't read.
    #[error("the flow's state holds a row that can't be read: {0}")]
    Row(String),
    /// The thread that ran the statement went away.
    #[error("the flow's state could not be reached: {0}")]
    Thread(String),
}

// Not `#[from]`: the text has it already, and what is below it only repeats it with a number.
impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}
