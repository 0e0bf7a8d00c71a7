//! Findings and how a person reads them.
//!
//! A [`Finding`] is complete by itself: it carries the source line it points at, already masked,
//! so that rendering needs no files and can't leak. A [`Report`] is what is wrong with one flow,
//! all of it, in file order. It is the error type of this crate.

use std::fmt::{self, Write as _};

use serde::Serialize;

use crate::{Origin, explain as code};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing starts.
    Error,
    /// It starts, but probably does not do what was meant.
    Warning,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is wrong, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `area/kebab-slug`; [`explain`](crate::explain) has a page for each.
    pub code: &'static str,
    /// Error or warning.
    pub severity: Severity,
    /// The file, relative to the configuration directory where it lies in it; `--set` for the
    /// command line.
    pub file: String,
    /// Counted from 1; none: the file as a whole, or the command line.
    pub line: Option<usize>,
    /// In characters, counted from 1.
    pub column: Option<usize>,
    /// In characters.
    pub length: usize,
    /// What happened.
    pub message: String,
    /// What to say at the spot.
    pub label: Option<String>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
    /// What to do.
    pub hints: Vec<String>,
    /// The line pointed at, secrets masked.
    pub source: Option<Excerpt>,
}

/// A source line to show, secrets masked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Excerpt {
    /// The line.
    pub text: String,
    /// Characters before the marked part. Differs from the column where something is masked.
    pub start: usize,
    /// Characters marked.
    pub length: usize,
}

impl Finding {
    /// A finding about a file as a whole.
    pub(crate) fn about(code: crate::explain::Code, file: String, message: String) -> Self {
        Self {
            code: code.name(),
            severity: Severity::Error,
            file,
            line: None,
            column: None,
            length: 0,
            message,
            label: None,
            notes: Vec::new(),
            hints: Vec::new(),
            source: None,
        }
    }

    /// For an option that is read but not carried out, or not with this value; none where nobody wrote
    /// it. `hint` says what to do instead.
    pub fn not_yet(option: &str, origin: &Origin, what: &str, hint: &str) -> Option<Self> {
        let place = match origin {
            Origin::Default | Origin::Kind => return None,
            Origin::File(place) | Origin::Environment { file: place, .. } => place.as_str(),
            Origin::CommandLine => "--set",
        };
        let mut parts = place.rsplitn(3, ':');
        let column = parts.next().and_then(|column| column.parse().ok());
        let line = parts.next().and_then(|line| line.parse().ok());
        let file = match (line, parts.next()) {
            (Some(_), Some(file)) => file,
            _ => place,
        };
        let message = format!("`{option}`: flow has no way to {what}");
        let mut finding = Self::about(code::NOT_YET, file.to_owned(), message);
        (finding.line, finding.column) = (line, column);
        finding.notes.push("nothing was started".to_owned());
        Some(finding.with_hint(hint))
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// `file:line:col`, as far as there is one.
    pub fn location(&self) -> String {
        match (self.line, self.column) {
            (Some(line), Some(column)) => format!("{}:{line}:{column}", self.file),
            (Some(line), None) => format!("{}:{line}", self.file),
            _ => self.file.clone(),
        }
    }

    fn render(&self, out: &mut String, paint: Paint) {
        let severity = self.severity.as_str();
        let head = paint.severity(self.severity, &format!("{severity}[{}]", self.code));
        let _ = writeln!(out, "{head}{}", paint.bold(&format!(": {}", self.message)));
        let width = self.line.map_or(0, |line| line.to_string().len()).max(2);
        let indent = " ".repeat(width);
        let _ = writeln!(out, "{indent}{} {}", paint.frame("-->"), self.location());
        if let Some(excerpt) = &self.source {
            let bar = paint.frame("|");
            let number = self.line.map(|line| line.to_string()).unwrap_or_default();
            let number = paint.frame(&format!(" {number:>width$}"));
            let blank = " ".repeat(excerpt.start);
            let carets = paint.severity(self.severity, &"^".repeat(excerpt.length.max(1)));
            let label = self
                .label
                .as_deref()
                .map(|label| format!(" {label}"))
                .unwrap_or_default();
            let label = paint.severity(self.severity, &label);
            let _ = writeln!(out, "{indent}  {bar}");
            let _ = writeln!(
                out,
                "{}",
                format!("{number} {bar} {}", excerpt.text).trim_end()
            );
            let _ = writeln!(out, "{indent}  {bar} {blank}{carets}{label}");
        } else if let Some(label) = &self.label {
            let _ = writeln!(out, "{indent}  {} {label}", paint.frame("= note:"));
        }
        for note in &self.notes {
            let _ = writeln!(out, "{indent}  {} {note}", paint.frame("= note:"));
        }
        for hint in &self.hints {
            let _ = writeln!(out, "{indent}  {} {hint}", paint.frame("= hint:"));
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.render(&mut text, Paint(false));
        f.write_str(text.trim_end())
    }
}

/// Everything found in one flow, in file order. As an error it holds at least one error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Report {
    findings: Vec<Finding>,
}

impl Report {
    /// The findings, in file order.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// Whether something was found that keeps the flow from starting.
    pub fn has_errors(&self) -> bool {
        self.errors() > 0
    }

    /// How many findings are errors.
    pub fn errors(&self) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.severity == Severity::Error)
            .count()
    }

    /// Adds the findings of another report after these, to show several flows at once.
    pub fn extend(&mut self, other: Self) {
        self.findings.extend(other.findings);
    }

    /// All findings as text for a person, separated by blank lines, ending in a line break;
    /// `colour`: with ANSI escapes. Meaning never depends on the colour.
    pub fn render(&self, colour: bool) -> String {
        let mut out = String::new();
        for (index, finding) in self.findings.iter().enumerate() {
            if index > 0 {
                out.push('\n');
            }
            finding.render(&mut out, Paint(colour));
        }
        out
    }
}

impl From<Vec<Finding>> for Report {
    fn from(findings: Vec<Finding>) -> Self {
        Self { findings }
    }
}

impl From<Finding> for Report {
    fn from(finding: Finding) -> Self {
        Self {
            findings: vec![finding],
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

impl std::error::Error for Report {}

/// Wraps text in ANSI escapes, or not.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn with(self, escape: &str, text: &str) -> String {
        if self.0 && !text.is_empty() {
            format!("\u{1b}[{escape}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    fn severity(self, severity: Severity, text: &str) -> String {
        self.with(
            if severity == Severity::Error {
                "1;31"
            } else {
                "1;33"
            },
            text,
        )
    }

    fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    fn frame(self, text: &str) -> String {
        self.with("1;34", text)
    }
}
