//! Takes text with `${…}` apart and says what each variable is.
//!
//! `$${` is a literal `${`. The end of a variable is the `}` that closes it, so that a default may
//! hold variables itself: `${INBOX:-${HOME}/inbox}`.

use std::ops::Range;

use jiff::SignedDuration;
use jiff::fmt::strtime::BrokenDownTime;

use super::bulletin::Part;

/// A piece of text as it was written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// Stands for itself.
    Text(&'a str),
    /// What is between `${` and `}`; `at` covers those too.
    Variable { body: &'a str, at: Range<usize> },
}

/// A `${` that nothing closes, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unclosed(pub(crate) usize);

/// Splits `text` at its variables.
pub(crate) fn split(text: &str) -> Result<Vec<Token<'_>>, Unclosed> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find('$') {
        let dollar = at + found;
        let tail = &text[dollar..];
        if tail.starts_with("$${") {
            tokens.push(Token::Text(&text[at..dollar]));
            tokens.push(Token::Text("${"));
            at = dollar + 3;
        } else if let Some(inner) = tail.strip_prefix("${") {
            tokens.push(Token::Text(&text[at..dollar]));
            let length = closing(inner).ok_or(Unclosed(dollar))?;
            let end = dollar + 2 + length + 1;
            tokens.push(Token::Variable {
                body: &inner[..length],
                at: dollar..end,
            });
            at = end;
        } else {
            tokens.push(Token::Text(&text[at..=dollar]));
            at = dollar + 1;
        }
    }
    tokens.push(Token::Text(&text[at..]));
    tokens.retain(|token| *token != Token::Text(""));
    Ok(tokens)
}

/// Where the `}` of a variable is whose `${` is already behind.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'{' if at > 0 && bytes[at - 1] == b'$' => depth += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// What a variable is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Variable<'a> {
    /// Known only with the message or the clock.
    Late(Late),
    /// To be looked up when the file is read.
    Named {
        name: &'a str,
        default: Option<&'a str>,
    },
}

/// A variable that is filled in per message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Late {
    /// `${1}`: a group of the accepting rule, counted from 1.
    Group(usize),
    /// `${%…}` and its older spellings: the time, shifted, in this format.
    Time {
        shift: SignedDuration,
        format: String,
    },
    /// `${CCCC}`, `${WHATFN}` and their like: a part of the file name.
    Name(Part),
    /// `${BUP}`: the path of baseUrl.
    BasePath,
    /// `${BUPL}`: the last element of that path.
    BasePathLast,
    /// `${SOURCE}`: the field `source`.
    Source,
}

/// Names that are filled in per message, for did-you-mean.
pub(crate) const LATE_NAMES: [&str; 11] = [
    "BUP",
    "BUPL",
    "baseUrlPath",
    "baseUrlPathLast",
    "SOURCE",
    "YYYYMMDD",
    "YYYY",
    "MM",
    "DD",
    "HH",
    "JJJ",
];

/// Says what `body` is.
///
/// # Errors
/// Why it is no variable, to follow "`${body}` ".
pub(crate) fn classify(body: &str) -> Result<Variable<'_>, String> {
    if let Some(format) = body.strip_prefix('%') {
        return time(format).map(Variable::Late);
    }
    if !body.is_empty() && body.bytes().all(|b| b.is_ascii_digit()) {
        return match body.parse() {
            Ok(0) => Err("is no group: groups are counted from `${1}`".to_owned()),
            Ok(number) if number < 100 => Ok(Variable::Late(Late::Group(number))),
            _ => Err("is a group no rule can have".to_owned()),
        };
    }
    match body {
        "BUP" | "baseUrlPath" => return Ok(Variable::Late(Late::BasePath)),
        "BUPL" | "baseUrlPathLast" => return Ok(Variable::Late(Late::BasePathLast)),
        "SOURCE" => return Ok(Variable::Late(Late::Source)),
        _ => {}
    }
    if let Some(part) = Part::named(body) {
        return Ok(Variable::Late(Late::Name(part)));
    }
    if let Some(late) = named_date(body)? {
        return Ok(Variable::Late(late));
    }
    let (name, default) = match body.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (body, None),
    };
    let mut letters = name.chars();
    let good = letters
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_');
    if good {
        Ok(Variable::Named { name, default })
    } else {
        Err("is not the name of a variable".to_owned())
    }
}

/// What follows `${%`: `o-1h%Y%m%d`, or a format whose first `%` is the one already taken.
fn time(text: &str) -> Result<Late, String> {
    let signed = text
        .strip_prefix('o')
        .filter(|rest| rest.starts_with(['-', '+']));
    let (shift, format) = match signed {
        Some(rest) => {
            let end = rest.find('%').unwrap_or(rest.len());
            (shift(&rest[..end])?, rest[end..].to_owned())
        }
        None => (SignedDuration::ZERO, format!("%{text}")),
    };
    check_format(&format)?;
    Ok(Late::Time { shift, format })
}

/// `-1h`, `+2d`, `-90m`.
fn shift(text: &str) -> Result<SignedDuration, String> {
    let wrong =
        || format!("has the offset `{text}`: write a sign, a number and a unit, such as `-1h`");
    let (back, span) = match (text.strip_prefix('-'), text.strip_prefix('+')) {
        (Some(span), _) => (true, span),
        (_, Some(span)) => (false, span),
        _ => return Err(wrong()),
    };
    let span = crate::units::duration(span).map_err(|_| wrong())?;
    let span = SignedDuration::try_from(span).map_err(|_| wrong())?;
    Ok(if back { -span } else { span })
}

/// A format is tried once here, so that filling it in later can't fail.
fn check_format(format: &str) -> Result<(), String> {
    if format.is_empty() {
        return Err(
            "has an offset and no time format: write one such as `%Y%m%d` after it".to_owned(),
        );
    }
    let sample = jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC);
    let mut out = String::new();
    if BrokenDownTime::from(&sample)
        .format(format, &mut out)
        .is_err()
    {
        return Err(format!(
            "has a time format `{format}` that is not understood"
        ));
    }
    Ok(())
}

/// The date names of sr3, `YYYYMMDD-70m` included.
fn named_date(body: &str) -> Result<Option<Late>, String> {
    const NAMES: [(&str, &str); 6] = [
        ("YYYYMMDD", "%Y%m%d"),
        ("YYYY", "%Y"),
        ("MM", "%m"),
        ("DD", "%d"),
        ("HH", "%H"),
        ("JJJ", "%j"),
    ];
    let (name, offset) = match body.find(['-', '+']) {
        Some(at) => body.split_at(at),
        None => (body, ""),
    };
    let Some((_, format)) = NAMES.iter().find(|(known, _)| *known == name) else {
        return Ok(None);
    };
    let shift = if offset.is_empty() {
        SignedDuration::ZERO
    } else {
        shift(offset)?
    };
    Ok(Some(Late::Time {
        shift,
        format: (*format).to_owned(),
    }))
}
