//! What can be typed at a stop.

use std::path::PathBuf;
use std::str::FromStr;

use flow_runtime::ports::Edit;
use serde_json::Value;

/// Shown by `?`.
pub(super) const HELP: &str = "\
  c, continue         to the next stop (so does an empty line)
  n, next             no more stops for this message
  e, end              no more stops at all
  p, print            the message, as on the wire
  h, headers          its headers, one per line
  x, content [BYTES]  the beginning of its content
  s, set FIELD=VALUE  sets a field or header: `set relPath a/b`, `set header x=y`, `set directory /d`
  u, unset FIELD      takes a header away
  r, reject [REASON]  the message goes no further (so does `skip`)
  f, fail [REASON]    as if this stage had failed: it is tried again later
  q, quit             stops the flow; what is not finished comes again at the next start";

/// Bytes of content shown.
const HEAD: usize = 512;

/// A command.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Command {
    Go,
    Next,
    End,
    Print,
    Headers,
    Content(usize),
    Edit(Edit),
    Reject(String),
    Fail(String),
    Quit,
    Help,
}

impl FromStr for Command {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let line = line.trim();
        let (verb, rest) = match line.split_once(char::is_whitespace) {
            Some((verb, rest)) => (verb, rest.trim()),
            None => (line, ""),
        };
        let or = |text: &str| match rest {
            "" => text.to_owned(),
            rest => rest.to_owned(),
        };
        Ok(match verb {
            "" | "c" | "continue" => Self::Go,
            "n" | "next" => Self::Next,
            "e" | "end" => Self::End,
            "p" | "print" | "show" => Self::Print,
            "h" | "headers" => Self::Headers,
            "x" | "content" if rest.is_empty() => Self::Content(HEAD),
            "x" | "content" => {
                let bytes = rest.parse();
                Self::Content(bytes.map_err(|_| format!("`{rest}` is no number of bytes"))?)
            }
            "s" | "set" => Self::Edit(set(rest)?),
            "u" | "unset" if !rest.is_empty() => {
                let name = rest.strip_prefix("header ").unwrap_or(rest).trim();
                Self::Edit(Edit::Header(name.to_owned(), None))
            }
            "r" | "reject" | "skip" => Self::Reject(or("rejected by hand")),
            "f" | "fail" => Self::Fail(or("failed by hand")),
            "q" | "quit" => Self::Quit,
            "?" | "help" => Self::Help,
            _ => return Err(format!("`{line}` is no command; `?` lists them")),
        })
    }
}

/// `relPath a/b`, `relPath=a/b`, `header x=y`.
fn set(rest: &str) -> Result<Edit, String> {
    let wrong = || "write it as `set FIELD=VALUE`, for example `set relPath=a/b`".to_owned();
    let (rest, header) = match rest.strip_prefix("header ") {
        Some(rest) => (rest.trim(), true),
        None => (rest, false),
    };
    let end = rest
        .find(|c: char| c == '=' || c.is_whitespace())
        .ok_or_else(wrong)?;
    let (name, value) = (&rest[..end], rest[end..].trim_start());
    let value = value.strip_prefix('=').unwrap_or(value).trim().to_owned();
    if name.is_empty() {
        return Err(wrong());
    }
    Ok(match name {
        "relPath" if !header => Edit::RelPath(value),
        "baseUrl" if !header => Edit::BaseUrl(value),
        "directory" if !header => Edit::Directory(PathBuf::from(value).display().to_string()),
        "filename" if !header => Edit::Filename(value),
        // Objects and lists as JSON, the rest as it stands.
        _ if value.starts_with(['{', '[']) => {
            let value: Value = serde_json::from_str(&value).map_err(|error| error.to_string())?;
            Edit::Header(name.to_owned(), Some(value))
        }
        _ => Edit::Header(name.to_owned(), Some(Value::String(value))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_by_letter_and_by_word() {
        for (line, command) in [
            ("", Command::Go),
            (" c ", Command::Go),
            ("end", Command::End),
            ("x 20", Command::Content(20)),
            ("skip", Command::Reject("rejected by hand".into())),
            ("r not wanted", Command::Reject("not wanted".into())),
            (
                "set relPath a/b c",
                Command::Edit(Edit::RelPath("a/b c".into())),
            ),
            (
                "set relPath=a/b",
                Command::Edit(Edit::RelPath("a/b".into())),
            ),
            (
                "set header x = y=z",
                Command::Edit(Edit::Header("x".into(), Some("y=z".into()))),
            ),
            (
                "s identity {\"method\":\"md5\"}",
                Command::Edit(Edit::Header(
                    "identity".into(),
                    Some(serde_json::json!({ "method": "md5" })),
                )),
            ),
            ("u x", Command::Edit(Edit::Header("x".into(), None))),
        ] {
            assert_eq!(line.parse(), Ok(command), "{line}");
        }
        for line in ["frobnicate", "set", "set x", "x many", "unset"] {
            assert!(line.parse::<Command>().is_err(), "{line}");
        }
    }
}
