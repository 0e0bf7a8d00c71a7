//! A YAML text as a tree whose every key and value knows its bytes.
//!
//! Built from the events of `granit-parser`, the parser beneath `serde-saphyr`. That crate's own
//! `Spanned<T>` needs a Rust type to read into, stops at the first error, and forgets where map
//! keys are; all findings at once, duplicate keys and did-you-mean need exactly those, and the
//! events have them. `marked-yaml` has spans, but only their start for scalars.
//!
//! Scalars stay text: what `5` or `off` means depends on the option it is given to. Only what a
//! flow needs is accepted: one document, keys that are text, no tags but `!!str`.

use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span as EventSpan, Tag};

use crate::collect::{Collector, Span};
use crate::explain as code;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value: Value,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// Text; `true` if quoted or a block.
    Scalar(String, bool),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) value: Node,
}

impl Node {
    /// What to call it in a message.
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Scalar(..) => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// A tree larger than this is no configuration; it keeps aliases from growing without end.
const MOST_NODES: usize = 50_000;
/// Flows nest about five deep; deeper is a mistake or an attack on the stack.
const DEEPEST: usize = 64;

/// Reads the text `file` of `out`. None: there is no document in it.
///
/// # Errors
/// The text is no YAML; the finding is in `out`. Duplicate keys are findings and no error.
pub(crate) fn parse(out: &mut Collector, file: usize) -> Result<Option<Node>, Stop> {
    let text = out.text(file);
    let mut options = granit_parser::options! { disallow_directives: true };
    options.flow_nesting_limit = DEEPEST;
    options.block_nesting_limit = DEEPEST;
    options.set_emit_comments(false);
    let mut reader = Reader {
        parser: Parser::new_from_str_with_options(&text, options),
        out,
        file,
        anchors: HashMap::new(),
        nodes: 0,
    };
    reader.document()
}

/// A finding was made after which nothing can be read.
#[derive(Debug)]
pub(crate) struct Stop;

struct Reader<'a, 'b> {
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    out: &'b mut Collector,
    file: usize,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl<'a> Reader<'a, '_> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Stop> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                let span = self.span(&span);
                Ok((event, span))
            }
            Some(Err(error)) => {
                self.syntax_error(&error);
                Err(Stop)
            }
            None => Ok((Event::StreamEnd, Span::new(self.file, 0..0))),
        }
    }

    fn span(&self, span: &EventSpan) -> Span {
        Span::new(self.file, span.byte_range().unwrap_or(0..0))
    }

    fn document(&mut self) -> Result<Option<Node>, Stop> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentEnd => {}
                Event::DocumentStart(..) if root.is_some() => {
                    self.out
                        .error(code::SYNTAX, span, "the file holds more than one document")
                        .label("a second one starts here")
                        .hint("one file is one flow: move the rest to a file of its own");
                    return Err(Stop);
                }
                Event::DocumentStart(..) => {
                    let (event, span) = self.next()?;
                    root = Some(self.node(event, span)?);
                }
                _ => return Ok(root),
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span) -> Result<Node, Stop> {
        self.count(1, span)?;
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && !self.is_text(tag.as_deref(), span)?;
                let value = if plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL") {
                    Value::Null
                } else {
                    Value::Scalar(text.into_owned(), !plain)
                };
                Ok(self.anchored(anchor, Node { span, value }))
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.is_text(tag.as_deref(), span)?;
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, end) => {
                            let span = Span {
                                end: end.end.max(span.end),
                                ..span
                            };
                            let node = Node {
                                span,
                                value: Value::List(items),
                            };
                            return Ok(self.anchored(anchor, node));
                        }
                        (event, span) => items.push(self.node(event, span)?),
                    }
                }
            }
            Event::MappingStart(_, anchor, tag) => {
                self.is_text(tag.as_deref(), span)?;
                let (entries, end) = self.mapping()?;
                let span = Span {
                    end: end.max(span.end),
                    ..span
                };
                Ok(self.anchored(
                    anchor,
                    Node {
                        span,
                        value: Value::Map(entries),
                    },
                ))
            }
            Event::Alias(id) => {
                let Some(node) = self.anchors.get(&id).cloned() else {
                    self.out
                        .error(code::SYNTAX, span, "an alias inside its own anchor");
                    return Err(Stop);
                };
                self.count(size(&node), span)?;
                Ok(Node { span, ..node })
            }
            _ => {
                self.out
                    .error(code::SYNTAX, span, "the file is not valid YAML");
                Err(Stop)
            }
        }
    }

    fn mapping(&mut self) -> Result<(Vec<Entry>, usize), Stop> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                return Ok((entries, span.end));
            }
            let node = self.node(event, span)?;
            let (event, span) = self.next()?;
            let value = self.node(event, span)?;
            let key_span = node.span;
            let key = match node.value {
                Value::Scalar(key, _) => key,
                _ => {
                    let is = node.kind();
                    self.out.error(
                        code::WRONG_TYPE,
                        key_span,
                        format!("a key has to be a word, this is {is}"),
                    );
                    continue;
                }
            };
            if let Some(first) = entries.iter().find(|entry| entry.key == key) {
                let first = self.out.position(first.key_span).0;
                self.out
                    .error(
                        code::DUPLICATE_KEY,
                        key_span,
                        format!("`{key}` is set twice"),
                    )
                    .label(format!("first set in line {first}"))
                    .hint("keep one of the two");
                continue;
            }
            entries.push(Entry {
                key,
                key_span,
                value,
            });
        }
    }

    fn anchored(&mut self, anchor: usize, node: Node) -> Node {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        node
    }

    fn count(&mut self, nodes: usize, span: Span) -> Result<(), Stop> {
        self.nodes += nodes;
        if self.nodes > MOST_NODES {
            self.out.error(
                code::SYNTAX,
                span,
                format!("the file holds more than {MOST_NODES} values"),
            );
            return Err(Stop);
        }
        Ok(())
    }

    /// Whether a tag says that this is text; any other tag ends the reading.
    fn is_text(&mut self, tag: Option<&Tag>, span: Span) -> Result<bool, Stop> {
        match tag {
            None => Ok(false),
            Some(tag) if tag.core_suffix() == Some("str") => Ok(true),
            Some(tag) => {
                self.out
                    .error(
                        code::SYNTAX,
                        span,
                        format!("the tag `{}` means nothing here", tag.original()),
                    )
                    .hint("remove it; quote a value that has to start with `!`");
                Err(Stop)
            }
        }
    }

    fn syntax_error(&mut self, error: &ScanError) {
        let text = self.out.text(self.file);
        let at = error.marker().byte_offset().unwrap_or(0).min(text.len());
        let width = text[at..]
            .chars()
            .next()
            .filter(|c| *c != '\n')
            .map_or(0, char::len_utf8);
        let span = Span::new(self.file, at..at + width);
        if is_tab(error.kind()) {
            // The parser may notice the tab only at what follows it, or name the start of the value
            // that the tab is taken to go on with.
            let line = text[..at].rfind('\n').map_or(0, |at| at + 1);
            let before = text[line..].find(['\t', '\n']).map(|found| line + found);
            let tab = before
                .filter(|tab| text[*tab..].starts_with('\t'))
                .or_else(|| text[at..].find('\t').map(|found| at + found))
                .unwrap_or(at);
            self.out
                .error(
                    code::TAB,
                    Span::new(self.file, tab..tab + 1),
                    "a tab where YAML wants blanks",
                )
                .label("replace the tab with blanks")
                .hint("set the editor to indent YAML with two blanks");
            return;
        }
        let (what, hint) = explain(error.kind());
        let draft = self.out.error(
            code::SYNTAX,
            span,
            format!("the file is not valid YAML: {what}"),
        );
        if let Some(hint) = hint {
            draft.hint(hint);
        }
    }
}

fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::Null | Value::Scalar(..) => 0,
        Value::List(items) => items.iter().map(size).sum(),
        Value::Map(entries) => entries.iter().map(|entry| 1 + size(&entry.value)).sum(),
    }
}

fn is_tab(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation
            | ErrorKind::TabAtBlockScalarStart
            | ErrorKind::TabInPlainScalar
    )
}

/// The parser's reason in the words of someone who writes flows, and what usually helps.
fn explain(kind: &ErrorKind) -> (String, Option<&'static str>) {
    const QUOTE: &str = "put the value in single quotes: '…'";
    const INDENT: &str = "keys of one mapping start in the same column; so do the `-` of a list";
    let (what, hint) = match kind {
        ErrorKind::UnknownAnchor => (
            "`*` starts an alias, and there is no anchor of this name".into(),
            Some(QUOTE),
        ),
        ErrorKind::MissingAnchorOrAliasName | ErrorKind::UnexpectedCharacter { .. } => (
            format!("a value can't start like this ({kind})"),
            Some(QUOTE),
        ),
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => {
            ("`: ` inside a value that is not quoted".into(), Some(QUOTE))
        }
        ErrorKind::UnclosedQuotedScalar => ("a quote is opened and never closed".into(), None),
        ErrorKind::UnknownQuotedScalarEscape => (
            "an unknown escape in double quotes".into(),
            Some("write patterns in single quotes, where `\\` means itself"),
        ),
        ErrorKind::UnclosedFlowCollection { open } => {
            (format!("`{open}` is opened and never closed"), Some(QUOTE))
        }
        ErrorKind::ExpectedFlowSequenceSeparator | ErrorKind::ExpectedFlowMappingSeparator => (
            "expected `,` or the closing bracket".into(),
            Some("inside `[…]` and `{…}`, put a value with `${…}` in single quotes"),
        ),
        ErrorKind::InvalidIndentation
        | ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::ExpectedBlockSequenceEntry
        | ErrorKind::BlockSequenceEntryNotAllowed
        | ErrorKind::MappingKeyNotAllowed => (kind.to_string(), Some(INDENT)),
        ErrorKind::SimpleKeyExpected => ("a line that is no `key: value`".into(), Some(INDENT)),
        ErrorKind::RecursionLimitExceeded => (format!("nested more than {DEEPEST} deep"), None),
        ErrorKind::DirectiveDisallowed => ("a line can't start with `%`".into(), Some(QUOTE)),
        other => (other.to_string(), None),
    };
    (what, hint)
}
