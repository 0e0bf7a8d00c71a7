//! Gathers findings while files are read, and turns byte spans into lines and columns at the end.
//!
//! Only then is it known everything that must be hidden, so excerpts are made last.

use std::ops::Range;
use std::sync::Arc;

use crate::explain::Code;
use crate::mask::{self, MASK};
use crate::report::{Excerpt, Finding, Report, Severity};

/// Bytes `start..end` of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) file: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Span {
    pub(crate) fn new(file: usize, range: Range<usize>) -> Self {
        Self {
            file,
            start: range.start,
            end: range.end.max(range.start),
        }
    }

    /// The part of it that `range` is, counted from its start.
    pub(crate) fn part(self, range: Range<usize>) -> Self {
        let end = self.end;
        Self {
            file: self.file,
            start: (self.start + range.start).min(end),
            end: (self.start + range.end).min(end),
        }
    }
}

/// The name findings give to the command line.
pub(crate) const COMMAND_LINE: &str = "--set";

/// A text that was read.
#[derive(Debug)]
struct Text {
    /// As findings name it.
    name: String,
    text: Arc<str>,
    hidden: Vec<Range<usize>>,
}

/// A finding before its place is worked out.
#[derive(Debug)]
pub(crate) struct Draft {
    code: Code,
    severity: Severity,
    file: usize,
    span: Option<Span>,
    message: String,
    label: Option<String>,
    notes: Vec<String>,
    hints: Vec<String>,
}

impl Draft {
    pub(crate) fn label(&mut self, label: impl Into<String>) -> &mut Self {
        self.label = Some(label.into());
        self
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) -> &mut Self {
        self.notes.push(note.into());
        self
    }

    pub(crate) fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hints.push(hint.into());
        self
    }
}

/// The texts read so far and what was found in them.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    texts: Vec<Text>,
    drafts: Vec<Draft>,
}

impl Collector {
    /// Takes a text in; findings appear in the order of their texts.
    pub(crate) fn add(&mut self, name: impl Into<String>, text: impl Into<Arc<str>>) -> usize {
        self.texts.push(Text {
            name: name.into(),
            text: text.into(),
            hidden: Vec::new(),
        });
        self.texts.len() - 1
    }

    pub(crate) fn text(&self, file: usize) -> Arc<str> {
        Arc::clone(&self.texts[file].text)
    }

    pub(crate) fn name(&self, file: usize) -> &str {
        &self.texts[file].name
    }

    /// What stands at `span`.
    pub(crate) fn slice(&self, span: Span) -> &str {
        self.texts[span.file]
            .text
            .get(span.start..span.end)
            .unwrap_or("")
    }

    /// Never shows this part in an excerpt.
    pub(crate) fn hide(&mut self, span: Span) {
        self.texts[span.file].hidden.push(span.start..span.end);
    }

    pub(crate) fn error(
        &mut self,
        code: Code,
        span: Span,
        message: impl Into<String>,
    ) -> &mut Draft {
        self.push(Severity::Error, code, span.file, Some(span), message.into())
    }

    pub(crate) fn warning(
        &mut self,
        code: Code,
        span: Span,
        message: impl Into<String>,
    ) -> &mut Draft {
        self.push(
            Severity::Warning,
            code,
            span.file,
            Some(span),
            message.into(),
        )
    }

    /// An error about a text as a whole.
    pub(crate) fn error_in(
        &mut self,
        code: Code,
        file: usize,
        message: impl Into<String>,
    ) -> &mut Draft {
        self.push(Severity::Error, code, file, None, message.into())
    }

    /// A warning about a text as a whole.
    pub(crate) fn warning_in(
        &mut self,
        code: Code,
        file: usize,
        message: impl Into<String>,
    ) -> &mut Draft {
        self.push(Severity::Warning, code, file, None, message.into())
    }

    fn push(
        &mut self,
        severity: Severity,
        code: Code,
        file: usize,
        span: Option<Span>,
        message: String,
    ) -> &mut Draft {
        self.drafts.push(Draft {
            code,
            severity,
            file,
            span,
            message,
            label: None,
            notes: Vec::new(),
            hints: Vec::new(),
        });
        self.drafts.last_mut().expect("one was just pushed")
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.drafts
            .iter()
            .any(|draft| draft.severity == Severity::Error)
    }

    /// `(line, column)` of the start of `span`, counted from 1, the column in characters.
    pub(crate) fn position(&self, span: Span) -> (usize, usize) {
        let text = &self.texts[span.file].text;
        let start = floor_boundary(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line = text[..line_start].bytes().filter(|b| *b == b'\n').count() + 1;
        (line, text[line_start..start].chars().count() + 1)
    }

    /// `file:line` of `span`; just the name for the command line.
    pub(crate) fn file_line(&self, span: Span) -> String {
        let name = self.name(span.file);
        if name == COMMAND_LINE {
            return name.to_owned();
        }
        format!("{name}:{}", self.position(span).0)
    }

    /// `file:line:col` of `span`; just the name for the command line.
    pub(crate) fn file_line_column(&self, span: Span) -> String {
        let name = self.name(span.file);
        if name == COMMAND_LINE {
            return name.to_owned();
        }
        let (line, column) = self.position(span);
        format!("{name}:{line}:{column}")
    }

    /// Everything found, in file order.
    pub(crate) fn finish(&mut self) -> Report {
        let mut drafts = std::mem::take(&mut self.drafts);
        drafts.sort_by_key(|draft| (draft.file, draft.span.map_or(0, |span| span.start)));
        drafts
            .into_iter()
            .map(|draft| self.finding(draft))
            .collect::<Vec<_>>()
            .into()
    }

    fn finding(&self, draft: Draft) -> Finding {
        let name = self.texts[draft.file].name.clone();
        let on_command_line = name == COMMAND_LINE;
        let place = draft.span.map(|span| self.position(span));
        let source = draft.span.and_then(|span| self.excerpt(span));
        Finding {
            code: draft.code.name(),
            severity: draft.severity,
            file: name,
            line: place.map(|(line, _)| line).filter(|_| !on_command_line),
            column: place.map(|(_, column)| column).filter(|_| !on_command_line),
            length: source.as_ref().map_or(0, |excerpt| excerpt.length),
            message: draft.message,
            label: draft.label,
            notes: draft.notes,
            hints: draft.hints,
            source,
        }
    }

    /// The first line of `span`, masked. None for a text without any line.
    fn excerpt(&self, span: Span) -> Option<Excerpt> {
        let Text { text, hidden, .. } = &self.texts[span.file];
        if text.is_empty() {
            return None;
        }
        let start = floor_boundary(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let line = text[line_start..line_end].trim_end_matches('\r');
        let hidden: Vec<Range<usize>> = hidden
            .iter()
            .filter(|range| range.start < line_end && range.end > line_start)
            .map(|range| {
                let from = floor_boundary(text, range.start).max(line_start) - line_start;
                let to = floor_boundary(text, range.end).min(line_start + line.len());
                from..to.saturating_sub(line_start)
            })
            .collect();
        let masks = mask::secret_ranges(line, &hidden);
        let from = (start - line_start).min(line.len());
        let to = floor_boundary(text, span.end)
            .saturating_sub(line_start)
            .clamp(from, line.len());
        let column = shown_column(line, &masks, from, false);
        let end = shown_column(line, &masks, to, true);
        Some(Excerpt {
            text: mask::replace(line, &masks)
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect(),
            start: column,
            length: end.saturating_sub(column).max(1),
        })
    }
}

/// Where byte `offset` of `line` is once `masks` are applied, in characters. Inside a mask: its
/// start, or its end for the `end` of a span.
fn shown_column(line: &str, masks: &[Range<usize>], offset: usize, end: bool) -> usize {
    let (mut column, mut at) = (0, 0);
    for range in masks
        .iter()
        .take_while(|range| range.start < offset || (!end && range.start == offset))
    {
        column += line[at..range.start].chars().count();
        if offset < range.end {
            return if end { column + MASK.len() } else { column };
        }
        column += MASK.len();
        at = range.end;
    }
    column + line[at..offset].chars().count()
}

fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
