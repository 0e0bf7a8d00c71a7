//! What the server says: a number, a verb, and what follows.

/// A line of the server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Command<'a> {
    /// As written, to be answered as written.
    pub(crate) sequence: &'a str,
    pub(crate) verb: Verb<'a>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verb<'a> {
    /// The interface version the server speaks; none where it is no number.
    Interface(Option<u32>),
    /// A queue file, by its path below the server's base directory.
    File(&'a str),
    Key,
    Quit,
    Unknown,
}

/// Longest number that is answered, digits.
const LONGEST: usize = 20;

impl<'a> Command<'a> {
    /// Reads a line; none where it has no number to answer to.
    pub(crate) fn read(line: &'a str) -> Option<Self> {
        let line = line.trim_start_matches([' ', '\t']);
        let (sequence, rest) = match line.find([' ', '\t']) {
            Some(at) => (&line[..at], line[at..].trim_start_matches([' ', '\t'])),
            None => (line, ""),
        };
        let digits = !sequence.is_empty() && sequence.bytes().all(|byte| byte.is_ascii_digit());
        if !digits || sequence.len() > LONGEST {
            return None;
        }
        // A path may have spaces, also at its end.
        let (verb, given) = rest.split_once(' ').unwrap_or((rest, ""));
        let verb = match verb.trim_end().to_ascii_uppercase().as_str() {
            "INTF" => Verb::Interface(given.trim().parse().ok()),
            "FILE" if !given.trim().is_empty() => Verb::File(given),
            "KEY" => Verb::Key,
            "QUIT" => Verb::Quit,
            _ => Verb::Unknown,
        };
        Some(Self { sequence, verb })
    }
}

#[cfg(test)]
mod tests {
    use super::{Command, Verb};

    #[test]
    fn commands() {
        for (line, sequence, verb) in [
            ("1 INTF 4", "1", Verb::Interface(Some(4))),
            ("1 INTF", "1", Verb::Interface(None)),
            ("1 INTF x", "1", Verb::Interface(None)),
            (
                "17 FILE Queue/12-34/2345678.msg",
                "17",
                Verb::File("Queue/12-34/2345678.msg"),
            ),
            ("17 FILE Queue/a b.msg", "17", Verb::File("Queue/a b.msg")),
            ("17 FILE Queue\\2.msg", "17", Verb::File("Queue\\2.msg")),
            ("17 FILE ", "17", Verb::Unknown),
            ("17 FILE", "17", Verb::Unknown),
            ("\t007  KEY abc def", "007", Verb::Key),
            ("2 quit", "2", Verb::Quit),
            ("3 VRFY user", "3", Verb::Unknown),
            ("4", "4", Verb::Unknown),
        ] {
            assert_eq!(
                Command::read(line),
                Some(Command { sequence, verb }),
                "{line}"
            );
        }
        for line in [
            "",
            " ",
            "FILE Queue/1.msg",
            "* said the server",
            "-1 FILE a",
            "1x FILE a",
            "123456789012345678901 QUIT",
        ] {
            assert_eq!(Command::read(line), None, "{line}");
        }
    }
}
