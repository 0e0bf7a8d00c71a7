//! What the server is told about a mail.
//!
//! | Told | What the server does |
//! | --- | --- |
//! | `OK` | goes on with the mail |
//! | `ADDHEADER "lines"` | puts header lines in, and goes on |
//! | `DISCARD` | drops the mail; nobody hears of it |
//! | `ERROR "text"` | returns the mail to its sender |
//! | `REJECTED "text"` | keeps the mail, and asks again later |
//! | `FAILURE` | goes on as if nobody had been asked |
//!
//! A line has 4096 bytes at most, its end included. Texts are cut where they don't fit, and never in the
//! middle of an escape.

/// Bytes of the longest line, without its end of two bytes where the server wants that.
const LONGEST: usize = 4094;
/// What is put behind a text that was cut.
const CUT: &str = "...(cut)";

/// What can be done about a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Response {
    Ok,
    /// Lines, divided by LF; one that begins with white space goes on from the line before it.
    AddHeader(String),
    Discard,
    Error(String),
    Rejected(String),
    Failure,
}

impl Response {
    /// Reads the scanner's word; none where it is none of those known.
    pub(crate) fn read(action: &str, text: &str) -> Option<Self> {
        let text = text.to_owned();
        Some(match action.to_ascii_lowercase().as_str() {
            "ok" => Self::Ok,
            "addheader" => Self::AddHeader(text),
            "discard" => Self::Discard,
            "error" => Self::Error(text),
            "rejected" => Self::Rejected(text),
            "failure" => Self::Failure,
            _ => return None,
        })
    }

    /// The word and the text it is read from.
    pub(crate) fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Ok => ("ok", ""),
            Self::AddHeader(text) => ("addheader", text),
            Self::Discard => ("discard", ""),
            Self::Error(text) => ("error", text),
            Self::Rejected(text) => ("rejected", text),
            Self::Failure => ("failure", ""),
        }
    }

    /// As the server of this interface version reads it, with `before` bytes in front.
    pub(crate) fn write(&self, interface: u32, before: usize) -> String {
        let room = LONGEST - before;
        match self {
            Self::Ok => "OK".into(),
            Self::Discard => "DISCARD".into(),
            Self::Failure => "FAILURE".into(),
            Self::Error(text) => quoted("ERROR ", text, "", room),
            Self::Rejected(text) => quoted("REJECTED ", text, "", room),
            // Not known yet then.
            Self::AddHeader(_) if interface < 2 => "OK".into(),
            Self::AddHeader(text) => {
                let end = if interface < 3 { "" } else { " OK" };
                let lines = header_lines(text);
                match lines.is_empty() {
                    true => "OK".into(),
                    false => add_header(&lines, end, room),
                }
            }
        }
    }
}

/// The lines of `text` that are header lines or go on from one.
fn header_lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut open = false;
    for line in text.split(['\n', '\r']) {
        let folded = line.starts_with([' ', '\t']) && !line.trim().is_empty();
        if !folded {
            open = line.split_once(':').is_some_and(|(name, _)| {
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())
            });
        }
        if open {
            lines.push(line);
        }
    }
    lines
}

fn add_header(lines: &[&str], end: &str, room: usize) -> String {
    const VERB: &str = "ADDHEADER ";
    let room = room - VERB.len() - 2 - end.len();
    let mut joined = String::new();
    for line in lines {
        let join = if joined.is_empty() { "" } else { "\\e" };
        let Some(left) = room.checked_sub(joined.len() + join.len()) else {
            break;
        };
        let whole = fitted(line, usize::MAX);
        let name = line.find(':').map_or(0, |at| at + 1);
        let written = fitted(line, left);
        // What is left of a line without its name is none.
        if written.len() < whole.len().min(name + CUT.len()) {
            break;
        }
        joined.push_str(join);
        joined.push_str(&written);
        if written.len() < whole.len() {
            break;
        }
    }
    format!("{VERB}\"{joined}\"{end}")
}

fn quoted(verb: &str, text: &str, end: &str, room: usize) -> String {
    let room = room - verb.len() - 2 - end.len();
    // What a person reads in a bounce is one line.
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{verb}\"{}\"{end}", fitted(&text, room))
}

/// `text` with its escapes, cut to `room` bytes.
fn fitted(text: &str, room: usize) -> String {
    let mut written = String::new();
    // Where it is cut if it does not fit.
    let mut fits = 0;
    for c in text.chars() {
        match c {
            '\\' => written.push_str("\\\\"),
            '"' => written.push_str("\\\""),
            '\r' => written.push_str("\\r"),
            '\n' => written.push_str("\\n"),
            '\t' => written.push_str("\\t"),
            c if c.is_control() => {}
            c => written.push(c),
        }
        if written.len() + CUT.len() <= room {
            fits = written.len();
        } else if written.len() > room {
            written.truncate(fits);
            if fits + CUT.len() <= room {
                written.push_str(CUT);
            }
            break;
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(action: &str, text: &str, interface: u32) -> String {
        Response::read(action, text).unwrap().write(interface, 3)
    }

    #[test]
    fn every_word_in_every_version() {
        for (action, text, interface, expected) in [
            ("ok", "whatever", 4, "OK"),
            ("OK", "", 1, "OK"),
            ("discard", "x", 4, "DISCARD"),
            ("failure", "x", 4, "FAILURE"),
            (
                "error",
                "no \"such\"\nthing",
                4,
                r#"ERROR "no \"such\" thing""#,
            ),
            ("rejected", "later\\", 1, r#"REJECTED "later\\""#),
            ("addheader", "X-A: 1", 1, "OK"),
            ("addheader", "X-A: 1", 2, r#"ADDHEADER "X-A: 1""#),
            (
                "addheader",
                "X-A: 1\r\nX-B: \"2\"\n\tmore",
                3,
                r#"ADDHEADER "X-A: 1\eX-B: \"2\"\e\tmore" OK"#,
            ),
            ("addheader", "X-A: 1", 9, r#"ADDHEADER "X-A: 1" OK"#),
            ("addheader", "", 4, "OK"),
            (
                "addheader",
                "no header\n goes on\nX Y: 1\nX-A: \u{0}1",
                4,
                r#"ADDHEADER "X-A: 1" OK"#,
            ),
        ] {
            assert_eq!(write(action, text, interface), expected, "{action} {text}");
        }
        for unknown in ["", "clean", "drop", "discard now", "REJECT"] {
            assert_eq!(Response::read(unknown, ""), None);
        }
    }

    #[test]
    fn a_line_fits_and_no_escape_is_cut() {
        for tail in ["x", "\"", "\\", "é", "\t", "\"x"] {
            for action in ["error", "rejected", "addheader"] {
                for length in [3_990, 4_040, 4_060, 4_070, 4_080, 4_090, 10_000] {
                    let text = format!("X-A: {}", tail.repeat(length / tail.len()));
                    let line = write(action, &text, 4);
                    assert!(line.len() + 3 <= LONGEST, "{}", line.len());
                    let inner = &line[line.find('"').unwrap() + 1..line.rfind('"').unwrap()];
                    let mut chars = inner.chars();
                    while let Some(c) = chars.next() {
                        assert_ne!(c, '"');
                        if c == '\\' {
                            assert!("\\\"rnte".contains(chars.next().unwrap()));
                        }
                    }
                    // White space is one space in what a person reads.
                    if length == 10_000 && (action == "addheader" || tail != "\t") {
                        assert!(inner.ends_with(CUT), "{inner}");
                        assert!(line.len() > LONGEST - 20);
                    }
                }
            }
        }
    }

    #[test]
    fn many_lines_are_cut_between_or_in_one() {
        let text: String = (0..500)
            .map(|number| format!("X-Line-{number}: value\n"))
            .collect();
        let line = write("addheader", &text, 4);
        assert!(line.len() + 3 <= LONGEST);
        assert!(line.ends_with("\" OK"));
        let inner = &line["ADDHEADER \"".len()..line.len() - 4];
        for one in inner.split("\\e") {
            assert!(one.starts_with("X-Line-"), "{one}");
        }
    }
}
