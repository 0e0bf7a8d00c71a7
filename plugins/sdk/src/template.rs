//! Text made of a message's fields: `{stem}_{pubTime:%Y%m%d}{suffix}`.
//!
//! `{field}` stands for a field, `{field|text}` for it or, where it is missing or empty, for that
//! text, `{field:%Y%m%d}` for a time in that form, and `{{` and `}}` for braces. Braces rather than
//! `${…}`, because the engine fills those in when it reads the flow.
//!
//! | Field | Meaning |
//! | --- | --- |
//! | `name`, `stem`, `suffix` | the file's name; without, and only, what begins at its last `.` |
//! | `path`, `directory` | relPath, and without the name |
//! | `url`, `baseUrl`, `host` | of the message |
//! | `pubTime`, `mtime` | times, for `:%…` |
//! | `size`, `contentType`, `retrievePath` | of the message |
//! | `1`, `2`, …, a name | a group of the plugin's regular expression, where it has one |
//! | anything else | the header of that name; what is no text, as JSON |
//!
//! The time now is not offered: what is made of it differs from try to try.

use std::borrow::Cow;

use crate::naming::{current_name, current_path};
use crate::time::Time;
use crate::{Message, Value};

/// Text with fields, taken apart once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field {
        name: String,
        /// For a time.
        format: Option<String>,
        otherwise: Option<String>,
    },
}

/// A field the message does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing(pub String);

impl Template {
    /// Takes `text` apart.
    ///
    /// # Errors
    /// A brace without its partner, an empty field, or a time that can't be written so.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut chars = text.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            match c {
                '{' | '}' if chars.peek().is_some_and(|(_, next)| *next == c) => {
                    chars.next();
                    plain.push(c);
                }
                '{' => {
                    let inner = text[at + 1..].split_once('}').map(|(inner, _)| inner);
                    let inner = inner.ok_or_else(|| format!("`{{` is never closed in `{text}`"))?;
                    if !plain.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    }
                    pieces.push(field(inner)?);
                    while chars
                        .next_if(|(next, _)| *next <= at + 1 + inner.len())
                        .is_some()
                    {}
                }
                '}' => return Err(format!("`}}` closes nothing in `{text}`; write `}}}}`")),
                c => plain.push(c),
            }
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }

    /// Fills the fields in. `more` is asked first, for groups of a regular expression.
    ///
    /// # Errors
    /// The first field that is missing and has no other text.
    pub fn render<'a>(
        &self,
        message: &'a Message,
        more: &dyn Fn(&str) -> Option<Cow<'a, str>>,
    ) -> Result<String, Missing> {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Field {
                    name,
                    format,
                    otherwise,
                } => {
                    let value = more(name)
                        .or_else(|| field_of(message, name))
                        .filter(|value| !value.is_empty() || otherwise.is_none());
                    let value = match (value, format) {
                        (Some(value), Some(format)) => Time::parse(&value)
                            .and_then(|time| time.format(format).ok())
                            .map(Cow::Owned),
                        (value, _) => value,
                    };
                    match (&value, otherwise) {
                        (Some(value), _) => out.push_str(value),
                        (None, Some(otherwise)) => out.push_str(otherwise),
                        (None, None) => return Err(Missing(name.clone())),
                    }
                }
            }
        }
        Ok(out)
    }
}

/// Reads what is between the braces.
fn field(inner: &str) -> Result<Piece, String> {
    let (front, otherwise) = match inner.split_once('|') {
        Some((front, otherwise)) => (front, Some(otherwise.to_owned())),
        None => (inner, None),
    };
    let (name, format) = match front.split_once(":%") {
        Some((name, format)) => (name, Some(format!("%{format}"))),
        None => (front, None),
    };
    if name.trim().is_empty() || name.contains('{') {
        return Err(format!("`{{{inner}}}` names no field"));
    }
    if let Some(format) = &format {
        Time::from_unix(0).format(format)?;
    }
    Ok(Piece::Field {
        name: name.trim().to_owned(),
        format,
        otherwise,
    })
}

/// The field `name` of a message, by the names of [this module's](self) table.
pub fn field_of<'a>(message: &'a Message, name: &str) -> Option<Cow<'a, str>> {
    let borrowed = |text: Option<&'a str>| text.map(Cow::Borrowed);
    match name {
        "name" => borrowed(Some(current_name(message))),
        "stem" => borrowed(Some(halves(current_name(message)).0)),
        "suffix" => borrowed(Some(halves(current_name(message)).1)),
        "path" => Some(current_path(message)),
        "directory" => borrowed(Some(
            message
                .rel_path
                .rsplit_once('/')
                .map_or("", |(dirs, _)| dirs),
        )),
        "url" => Some(Cow::Owned(message.url())),
        "baseUrl" => borrowed(Some(&message.base_url)),
        "relPath" => borrowed(Some(&message.rel_path)),
        "host" => borrowed(Some(host(&message.base_url))),
        "pubTime" => borrowed(Some(&message.pub_time)),
        "mtime" => borrowed(message.mtime.as_deref()),
        "size" => message.size.map(|size| Cow::Owned(size.to_string())),
        "contentType" => borrowed(message.content_type.as_deref()),
        "retrievePath" => borrowed(message.retrieve_path.as_deref()),
        _ => message
            .headers
            .iter()
            .find(|header| header.name == name)
            .map(|header| match &header.value {
                Value::Text(text) | Value::Json(text) => Cow::Borrowed(text.as_str()),
            }),
    }
}

/// A name before and from its last `.`; one that only begins with it has no suffix.
fn halves(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(at) if at > 0 => name.split_at(at),
        _ => (name, ""),
    }
}

/// The host of a URL, without user and port.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    let place = authority
        .rsplit_once('@')
        .map_or(authority, |(_, place)| place);
    match place.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or(""),
        None => place.split(':').next().unwrap_or(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Header;

    fn message() -> Message {
        let mut message = Message::new(1, "https://me@data.example.com:8443/base/", "a/b/x.tar.gz");
        message.pub_time = "20240305T070809.5".to_owned();
        message.size = Some(17);
        message.headers = vec![
            Header::text("source", "me"),
            Header::text("empty", ""),
            Header::json("list", "[1,2]"),
        ];
        message
    }

    fn check(template: &str, expected: Result<&str, &str>) {
        let message = message();
        let more = |name: &str| (name == "1").then_some(Cow::Borrowed("one"));
        let rendered = Template::parse(template)
            .unwrap()
            .render(&message, &more)
            .map_err(|Missing(name)| name);
        assert_eq!(
            rendered.as_deref().map_err(String::as_str),
            expected,
            "{template}"
        );
    }

    #[test]
    fn fields_are_filled_in() {
        check("{stem}_{pubTime:%Y%m%d}{suffix}", Ok("x.tar_20240305.gz"));
        check("{directory}/{name} {path}", Ok("a/b/x.tar.gz a/b/x.tar.gz"));
        check(
            "{host} {baseUrl}",
            Ok("data.example.com https://me@data.example.com:8443/base/"),
        );
        check("{size} {1} {source} {list}", Ok("17 one me [1,2]"));
        check(
            "{source|nobody} {other|nobody} {empty|nobody}",
            Ok("me nobody nobody"),
        );
        check("[{empty}]", Ok("[]"));
        check("{{{size}}}", Ok("{17}"));
        check("{mtime:%Y|never}", Ok("never"));
        check("{other}", Err("other"));
        check("{source:%Y}", Err("source"));
        check("ж{1}ж", Ok("жoneж"));
        check("", Ok(""));
    }

    #[test]
    fn the_name_is_the_one_it_is_stored_under() {
        let mut message = message();
        message.directory = Some("/data".to_owned());
        message.filename = Some("y.txt".to_owned());
        let text = |template: &str| {
            Template::parse(template)
                .unwrap()
                .render(&message, &|_| None)
        };
        assert_eq!(text("{name} {path}").unwrap(), "y.txt a/b/y.txt");
    }

    #[test]
    fn mistakes_are_named() {
        for (template, expected) in [
            ("a{b", "`{` is never closed in `a{b`"),
            ("a}b", "`}` closes nothing in `a}b`; write `}}`"),
            ("{}", "`{}` names no field"),
            ("{|x}", "`{|x}` names no field"),
            ("{pubTime:%B}", "`%B` is no part of a time"),
        ] {
            assert_eq!(Template::parse(template).unwrap_err(), expected);
        }
    }

    #[test]
    fn hosts() {
        for (url, expected) in [
            ("file:/", ""),
            ("http://[::1]:80/", "::1"),
            ("amqp://u@h", "h"),
            ("", ""),
        ] {
            assert_eq!(host(url), expected);
        }
    }
}
