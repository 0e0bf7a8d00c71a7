//! Fills in the variables that are known when a file is read, and points at those that are not.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::collect::{Collector, Span};
use crate::explain as code;
use crate::flow::FlowName;
use crate::mask;
use crate::suggest::closest;
use crate::template::Piece;
use crate::template::variable::{self, LATE_NAMES, Late, Token, Unclosed, Variable};

/// What is known when a file is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Variables<'a> {
    pub(crate) env: &'a BTreeMap<String, String>,
    pub(crate) hostname: &'a str,
    pub(crate) name: &'a FlowName,
    /// Names that come from other options of the flow; they win over the environment.
    pub(crate) own: Option<&'a Own>,
}

/// Values of variables that come from other options, each with the variables of the environment that
/// went into it.
pub(crate) type Own = BTreeMap<String, (String, Vec<String>)>;

/// Names that are known without being in the environment.
const OWN_NAMES: [&str; 4] = ["CONFIG", "COMPONENT", "HOSTNAME", "name"];
/// How deep a default may hold another variable.
const DEEPEST: usize = 8;

impl Variables<'_> {
    fn look_up(&self, name: &str) -> Option<String> {
        if let Some((value, _)) = self.own(name) {
            return Some(value.clone());
        }
        match name {
            "CONFIG" | "name" => Some(self.name.name.clone()),
            "COMPONENT" => Some(self.name.kind.to_string()),
            "HOSTNAME" if !self.hostname.is_empty() => Some(self.hostname.to_owned()),
            name => self.env.get(name).cloned(),
        }
    }
}

impl<'a> Variables<'a> {
    fn own(&self, name: &str) -> Option<&'a (String, Vec<String>)> {
        self.own.and_then(|own| own.get(name))
    }
}

/// A text whose early variables are filled in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expanded {
    pub(crate) pieces: Vec<Piece>,
    /// The early variables that were in it.
    pub(crate) names: Vec<String>,
}

impl Expanded {
    /// `value`, made of this, as it may be shown: not if a variable in it sounds like a secret.
    pub(crate) fn shown(names: &[String], value: &str) -> String {
        if names.iter().any(|name| mask::sounds_secret(name)) {
            return mask::MASK.to_owned();
        }
        mask::masked_url(value)
    }

    /// The text, if nothing late is in it.
    pub(crate) fn constant(&self) -> Option<String> {
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => Some(text.as_str()),
                Piece::Late(_) => None,
            })
            .collect()
    }
}

/// Where in the file the part `range` of a value is; the whole value if that can't be told.
pub(crate) fn inside(out: &Collector, span: Span, value: &str, range: Range<usize>) -> Span {
    let written = out.slice(span);
    if written == value {
        span.part(range)
    } else if written.len() >= 2 && written.get(1..written.len() - 1) == Some(value) {
        span.part(range.start + 1..range.end + 1)
    } else {
        span
    }
}

/// Fills `text`, the value of `option` at `span`, in. None: findings were made.
///
/// `late`: whether variables that need a message may stay.
pub(crate) fn expand(
    out: &mut Collector,
    variables: &Variables<'_>,
    option: &str,
    span: Span,
    text: &str,
    late: bool,
) -> Option<Expanded> {
    let mut work = Work {
        out,
        variables,
        option,
        span,
        whole: text,
        late,
        good: true,
    };
    let mut expanded = Expanded::default();
    work.fill(text, 0, 0, &mut expanded);
    work.good.then_some(expanded)
}

struct Work<'a, 'v> {
    out: &'a mut Collector,
    variables: &'a Variables<'v>,
    option: &'a str,
    span: Span,
    whole: &'a str,
    late: bool,
    good: bool,
}

impl Work<'_, '_> {
    /// Fills in `text`, which starts at byte `offset` of the whole value.
    fn fill(&mut self, text: &str, offset: usize, depth: usize, into: &mut Expanded) {
        let tokens = match variable::split(text) {
            Ok(tokens) => tokens,
            Err(Unclosed(at)) => {
                let place = self.place(offset + at..offset + at + 2);
                self.good = false;
                self.out
                    .error(
                        code::UNCLOSED_VARIABLE,
                        place,
                        format!("`${{` in `{}` is never closed", self.option),
                    )
                    .label("the `}` is missing")
                    .hint("a literal `${` is written `$${`");
                return;
            }
        };
        for token in tokens {
            match token {
                Token::Text(text) => into.pieces.push(Piece::Text(text.to_owned())),
                Token::Variable { body, at } => {
                    let range = at.start + offset..at.end + offset;
                    self.variable(body, range, depth, into);
                }
            }
        }
    }

    fn variable(&mut self, body: &str, range: Range<usize>, depth: usize, into: &mut Expanded) {
        match variable::classify(body) {
            Ok(Variable::Late(late)) if self.late => into.pieces.push(Piece::Late(late)),
            Ok(Variable::Late(late)) => self.not_here(body, &late, range),
            Ok(Variable::Named { name, default }) => {
                match (self.variables.look_up(name), default) {
                    (Some(value), default) if default.is_none() || !value.is_empty() => {
                        if let Some((_, names)) = self.variables.own(name) {
                            into.names.extend(names.iter().cloned());
                        } else if !OWN_NAMES.contains(&name) {
                            into.names.push(name.to_owned());
                        }
                        into.pieces.push(Piece::Text(value));
                    }
                    (_, Some(default)) if depth < DEEPEST => {
                        let start = range.start + 2 + name.len() + 2;
                        self.fill(default, start, depth + 1, into);
                    }
                    (_, Some(_)) => {
                        self.wrong(body, "holds variables too deep in each other", range);
                    }
                    (_, None) => self.unknown(name, range),
                }
            }
            Err(why) => self.wrong(body, &why, range),
        }
    }

    fn place(&self, range: Range<usize>) -> Span {
        inside(self.out, self.span, self.whole, range)
    }

    fn wrong(&mut self, body: &str, why: &str, range: Range<usize>) {
        self.good = false;
        let place = self.place(range);
        let body = mask::quotable(body);
        self.out
            .error(
                code::BAD_TEMPLATE,
                place,
                format!("`${{{body}}}` in `{}` {why}", self.option),
            )
            .hint("a literal `${` is written `$${`");
    }

    fn not_here(&mut self, body: &str, late: &Late, range: Range<usize>) {
        self.good = false;
        let place = self.place(range);
        let label = match late {
            Late::Time { .. } => "changes with the time",
            _ => "is different for every message",
        };
        self.out
            .error(
                code::VARIABLE_NOT_HERE,
                place,
                format!(
                    "`${{{body}}}` can't be used in `{}`, which is read once",
                    self.option
                ),
            )
            .label(label);
    }

    fn unknown(&mut self, name: &str, range: Range<usize>) {
        self.good = false;
        let place = self.place(range);
        let known = self.variables.env.keys().map(String::as_str);
        let of_options = self.variables.own.into_iter().flat_map(|own| own.keys());
        let names = known
            .chain(OWN_NAMES)
            .chain(of_options.map(String::as_str))
            .chain(LATE_NAMES);
        // What changes later can't be suggested for itself.
        let suggestion = closest(name, names.filter(|known| *known != name));
        let draft = self.out.error(
            code::UNKNOWN_VARIABLE,
            place,
            format!("the variable `{name}` in `{}` is not set", self.option),
        );
        match suggestion {
            Some(close) => draft.label(format!("did you mean `${{{close}}}`?")),
            None => draft.label("not in the environment"),
        };
        draft.hint(format!(
            "set it where flow is started, or give a default: `${{{name}:-value}}`"
        ));
    }
}
