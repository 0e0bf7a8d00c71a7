//! What went wrong with a plugin, in words a person can act on.
//!
//! Every error has a stable code (`plugin/…`) and prints in full: what happened, then notes and a
//! hint on lines of their own, so that the text stands by itself in a log, in `status` and in the
//! retry store.

use std::fmt;

use flow_runtime::ports::Failure;

/// An error of this crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    code: &'static str,
    message: String,
    notes: Vec<String>,
    hint: Option<String>,
}

impl Error {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            notes: Vec::new(),
            hint: None,
        }
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The stable code, e.g. `plugin/deadline`.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// What happened, in one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What else there is to know, a line each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What to do about it.
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The plugin itself failed: the messages in hand are tried again.
    pub(crate) fn of_plugin(&self) -> Failure {
        Failure::Plugin(self.to_string())
    }

    /// Trying this message again is of no use.
    pub(crate) fn for_good(&self) -> Failure {
        Failure::Permanent(self.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.message, self.code)?;
        for note in &self.notes {
            write!(f, "\n  = note: {note}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  = hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
