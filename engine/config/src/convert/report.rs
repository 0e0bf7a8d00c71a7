//! What became of each line, as data and as text.

use std::fmt::{self, Write as _};
use std::path::PathBuf;

use serde::Serialize;

use crate::mask;

/// What became of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It means the same; it is only written in another way.
    Kept,
    /// It was carried over, and does not mean quite the same: look at it.
    Changed,
    /// It was left out, and nothing is lost by that.
    Dropped,
    /// The configuration means the same; it is about taking over from a flow of sr3 that runs.
    Noted,
    /// It could not be carried over. Somebody has to do it.
    Refused,
}

impl Fate {
    /// In lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Changed => "changed",
            Self::Dropped => "dropped",
            Self::Noted => "noted",
            Self::Refused => "refused",
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What became of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// The file it stands in.
    pub file: PathBuf,
    /// Counted from 1; none: it is about the flow as a whole.
    pub line: Option<usize>,
    /// In characters, counted from 1; none: the whole line.
    pub column: Option<usize>,
    /// What became of it.
    pub fate: Fate,
    /// The option as it was written.
    pub option: String,
    /// What it is now, or why it is not. Holds no password.
    pub text: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(column) = self.column {
            write!(f, ":{column}")?;
        }
        write!(f, ": {}: ", self.fate)?;
        if !self.option.is_empty() {
            write!(f, "`{}`: ", mask::quotable(&self.option))?;
        }
        // A last resort: texts are made without passwords.
        f.write_str(&mask::masked_url(&self.text))
    }
}

/// How many remarks of each fate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Tally {
    /// Same meaning.
    pub kept: usize,
    /// Other meaning.
    pub changed: usize,
    /// Left out.
    pub dropped: usize,
    /// To be known before the flow takes over.
    pub noted: usize,
    /// Could not be carried over.
    pub refused: usize,
}

impl Tally {
    pub(super) fn of(remarks: &[Remark]) -> Self {
        let mut tally = Self::default();
        for remark in remarks {
            match remark.fate {
                Fate::Kept => tally.kept += 1,
                Fate::Changed => tally.changed += 1,
                Fate::Dropped => tally.dropped += 1,
                Fate::Noted => tally.noted += 1,
                Fate::Refused => tally.refused += 1,
            }
        }
        tally
    }

    /// The worst there is: `Refused` before `Changed` before `Noted`; the others need nobody.
    pub fn worst(&self) -> Option<Fate> {
        [
            (self.refused, Fate::Refused),
            (self.changed, Fate::Changed),
            (self.noted, Fate::Noted),
            (self.dropped, Fate::Dropped),
            (self.kept, Fate::Kept),
        ]
        .into_iter()
        .find(|(count, _)| *count > 0)
        .map(|(_, fate)| fate)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} kept, {} changed, {} dropped, {} refused",
            self.kept, self.changed, self.dropped, self.refused
        )?;
        match self.noted {
            0 => Ok(()),
            noted => write!(f, ", {noted} noted"),
        }
    }
}

/// One remark a line; what is merely kept only if `all`.
pub(super) fn render(remarks: &[Remark], all: bool) -> String {
    let mut out = String::new();
    for remark in remarks {
        if all || remark.fate != Fate::Kept {
            let _ = writeln!(out, "{remark}");
        }
    }
    out
}
