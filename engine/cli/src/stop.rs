//! How the command ends: exit codes, and errors with a code and a hint.

use std::process::ExitCode;

/// What the exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done,
    /// It ran, and the answer is no: findings, failed messages, nothing found.
    No,
    /// It could not run: usage, configuration, internal error.
    CouldNot,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl Exit {
    /// The number the shell sees.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::No => 1,
            Self::CouldNot => 2,
        }
    }
}

/// An error of the command itself, with what `flow explain` knows it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// `area/kebab-slug`.
    pub code: &'static str,
    /// What happened and where.
    pub message: String,
    /// What it means.
    pub notes: Vec<String>,
    /// What to do.
    pub hints: Vec<String>,
}

impl Problem {
    /// A problem without notes.
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            notes: Vec::new(),
            hints: Vec::new(),
        }
    }

    /// Adds what it means.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Adds what to do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

/// Whether the error is that nobody reads our stdout any more.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
