//! Text with `${…}` that depends on the message or the clock.
//!
//! Variables known when the file is read (environment, options) are gone by then; what is left:
//! `${%Y-%m-%d}` (strftime, UTC), `${%o-1h%Y%m%d}` (with an offset), `${1}` (groups of the
//! accepting rule), `${BUP}` (path of baseUrl), `${BUPL}` (its last element), `${SOURCE}`, and the
//! date names of sr3 (`${YYYYMMDD}`, `${YYYY-1d}`, …), and parts of the file name (`${CCCC}`,
//! `${WHATFN}`, …). `$${` is a literal `${`.
//!
//! A template is taken apart once, and filling it in can't fail. It fills in text, not paths:
//! values come from messages, so where a path is made of it use [`Template::render_path`].

mod bulletin;
pub(crate) mod variable;

use std::fmt;

use flow_message::{Message, Timestamp};
use jiff::fmt::strtime::BrokenDownTime;

use self::variable::{Late, Token, Unclosed, Variable};

/// Text with variables that are filled in per message.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    pieces: Vec<Piece>,
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(String),
    Late(Late),
}

/// What a template is filled in from.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The time for `${%…}`.
    pub now: Timestamp,
    /// The message in hand, if any.
    pub message: Option<&'a Message>,
    /// Groups of the accepting rule, `${1}` first.
    pub groups: &'a [Option<String>],
}

impl Template {
    /// Reads a template in which nothing is left to look up.
    ///
    /// # Errors
    /// An unclosed `${` or an unknown variable; the text says which.
    pub fn parse(text: &str) -> Result<Self, String> {
        let tokens = variable::split(text)
            .map_err(|Unclosed(at)| format!("`${{` at character {} is never closed", at + 1))?;
        let mut pieces = Vec::with_capacity(tokens.len());
        for token in tokens {
            match token {
                Token::Text(text) => pieces.push(Piece::Text(text.to_owned())),
                Token::Variable { body, .. } => match variable::classify(body) {
                    Ok(Variable::Late(late)) => pieces.push(Piece::Late(late)),
                    Ok(Variable::Named { name, .. }) => {
                        return Err(format!("`${{{name}}}` is not known"));
                    }
                    Err(why) => return Err(format!("`${{{body}}}` {why}")),
                },
            }
        }
        Ok(Self::from_pieces(pieces))
    }

    /// Joins neighbouring texts, and writes down what [`parse`](Self::parse) would read back.
    pub(crate) fn from_pieces(pieces: Vec<Piece>) -> Self {
        let mut joined: Vec<Piece> = Vec::with_capacity(pieces.len());
        for piece in pieces {
            match (joined.last_mut(), piece) {
                (Some(Piece::Text(before)), Piece::Text(text)) => before.push_str(&text),
                (_, piece) => joined.push(piece),
            }
        }
        let text = joined
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.replace("${", "$${"),
                Piece::Late(late) => format!("${{{late}}}"),
            })
            .collect();
        Self {
            text,
            pieces: joined,
        }
    }

    /// As written, without the variables that were known when the file was read.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it says the same for every message at any time.
    pub fn is_constant(&self) -> bool {
        self.pieces
            .iter()
            .all(|piece| matches!(piece, Piece::Text(_)))
    }

    /// The highest group it asks for; 0 for none.
    pub(crate) fn highest_group(&self) -> usize {
        let group = |piece: &Piece| match piece {
            Piece::Late(Late::Group(number)) => *number,
            _ => 0,
        };
        self.pieces.iter().map(group).max().unwrap_or(0)
    }

    /// The text before the first variable.
    pub(crate) fn fixed_start(&self) -> &str {
        match self.pieces.first() {
            Some(Piece::Text(text)) => text,
            _ => "",
        }
    }

    /// All that is text for certain.
    pub(crate) fn fixed_texts(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(text.as_str()),
            Piece::Late(_) => None,
        })
    }

    /// Fills the variables in. What is absent (a group that did not take part, no `source`) is
    /// empty.
    pub fn render(&self, context: &Context<'_>) -> String {
        let mut out = String::with_capacity(self.text.len() + 16);
        for piece in &self.pieces {
            piece.render(context, &mut out);
        }
        out
    }

    /// Fills the variables in where the result is used as a path.
    ///
    /// # Errors
    /// A value from the message would lead out of the path the template writes: by `..`, by making
    /// a relative path absolute, or by a NUL. The text says so; the message should be rejected.
    pub fn render_path(&self, context: &Context<'_>) -> Result<String, String> {
        let mut out = String::with_capacity(self.text.len() + 16);
        let mut filled = Vec::new();
        for piece in &self.pieces {
            let start = out.len();
            piece.render(context, &mut out);
            if matches!(piece, Piece::Late(_)) && out.len() > start {
                filled.push(start..out.len());
            }
        }
        let refuse = |why: &str| Err(format!("`{}` gives a path {why}: {out:?}", self.text));
        if out.contains('\0') {
            return refuse("with a NUL");
        }
        if out.starts_with('/') && filled.first().is_some_and(|first| first.start == 0) {
            return refuse("that is absolute only because of the message");
        }
        let mut start = 0;
        for element in out.split('/') {
            let end = start + element.len();
            let touched = filled
                .iter()
                .any(|range| range.start < end && range.end > start);
            if element == ".." && touched {
                return refuse("that leaves its directory");
            }
            start = end + 1;
        }
        Ok(out)
    }
}

impl Piece {
    fn render(&self, context: &Context<'_>, out: &mut String) {
        match self {
            Self::Text(text) => out.push_str(text),
            Self::Late(late) => late.render(context, out),
        }
    }
}

impl Late {
    fn render(&self, context: &Context<'_>, out: &mut String) {
        match self {
            Self::Group(number) => {
                if let Some(Some(text)) = context.groups.get(number - 1) {
                    out.push_str(text);
                }
            }
            Self::Time { shift, format } => {
                let now = context.now.as_jiff();
                let time = now.checked_add(*shift).unwrap_or(now);
                let zoned = time.to_zoned(jiff::tz::TimeZone::UTC);
                // The format was tried when it was read; writing to a string can't fail.
                let _ = BrokenDownTime::from(&zoned).format(format, &mut *out);
            }
            Self::Name(part) => out.push_str(&part.of(context.message, context.now)),
            Self::BasePath => out.push_str(context.message.map_or("", |m| base_path(&m.base_url))),
            Self::BasePathLast => {
                let path = context.message.map_or("", |m| base_path(&m.base_url));
                out.push_str(path.rsplit('/').next().unwrap_or(""));
            }
            Self::Source => {
                out.push_str(
                    context
                        .message
                        .and_then(|m| m.source.as_deref())
                        .unwrap_or(""),
                );
            }
        }
    }
}

/// The path of a base URL, with its first `/` and without its last.
fn base_path(url: &str) -> &str {
    let after_scheme = match url.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |slash| &rest[slash..]),
        None => url.split_once(':').map_or(url, |(_, rest)| rest),
    };
    let end = after_scheme.find(['?', '#']).unwrap_or(after_scheme.len());
    after_scheme[..end].trim_end_matches('/')
}

/// What stands between the braces.
impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(number) => write!(f, "{number}"),
            Self::Time { shift, format } if shift.is_zero() && format.starts_with('%') => {
                f.write_str(format)
            }
            Self::Time { shift, format } => {
                let sign = if shift.is_negative() { '-' } else { '+' };
                let span = shift.unsigned_abs();
                write!(f, "%o{sign}{}s", span.as_secs())?;
                if span.subsec_millis() > 0 {
                    write!(f, "{}ms", span.subsec_millis())?;
                }
                f.write_str(format)
            }
            Self::Name(part) => f.write_str(part.name()),
            Self::BasePath => f.write_str("BUP"),
            Self::BasePathLast => f.write_str("BUPL"),
            Self::Source => f.write_str("SOURCE"),
        }
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

#[cfg(test)]
#[path = "template/tests.rs"]
mod tests;
