//! Topics and the patterns that select them.

use std::fmt;

use crate::Message;

/// The protocols whose topics differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// AMQP 0-9-1: words between points, at most 255 bytes.
    Amqp,
    /// MQTT: levels between slashes, the exchange being the first.
    Mqtt,
}

impl Transport {
    fn separator(self) -> char {
        match self {
            Self::Amqp => '.',
            Self::Mqtt => '/',
        }
    }

    /// Bytes a topic may have.
    fn longest(self) -> usize {
        match self {
            Self::Amqp => 255,
            Self::Mqtt => 65_535,
        }
    }

    /// Characters that would read as a pattern, or end a connection, and what is written for them.
    ///
    /// `%22` for `*` is what sr3 writes, although the number of `*` is 2A: bindings made for sr3 have
    /// to see the same topics from us. Both are read.
    fn escapes(self) -> &'static [(char, &'static str)] {
        match self {
            Self::Amqp => &[('#', "%23"), ('*', "%22")],
            Self::Mqtt => &[('#', "%23"), ('+', "%2B"), ('\0', "%00")],
        }
    }

    fn escape(self, text: &str, out: &mut String) {
        if is_plain(text) {
            out.push_str(text);
            return;
        }
        for c in text.chars() {
            match self.escapes().iter().find(|(plain, _)| *plain == c) {
                Some((_, escaped)) => out.push_str(escaped),
                None => out.push(c),
            }
        }
    }

    /// Undoes the escapes of a topic that was received.
    pub fn unescape(self, topic: &str) -> String {
        let undone = self
            .escapes()
            .iter()
            .fold(topic.to_owned(), |text, (plain, escaped)| {
                text.replace(escaped, plain.encode_utf8(&mut [0; 4]))
            });
        match self {
            Self::Amqp => undone.replace("%2A", "*"),
            Self::Mqtt => undone,
        }
    }
}

/// Whether nothing of a text has to be escaped, whatever the transport. That is so for nearly all, and
/// every message has its topic made more than once.
fn is_plain(text: &str) -> bool {
    let special = |byte| matches!(byte, b'#' | b'*' | b'+' | b'\0');
    !text.bytes().any(special)
}

/// A dotted topic such as `v03.20261122.SRC.model`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Topic(String);

impl Topic {
    /// The topic of `message` under `prefix`: the prefix, then the directories of `relPath`.
    ///
    /// The file name is no part of it. `#` and `*` inside a directory name are percent-encoded, as
    /// they would otherwise read as patterns; a `.` separates words as it does for sr3.
    pub fn of(prefix: &str, message: &Message) -> Self {
        let path = message.rel_path.trim_start_matches('/');
        let directories = path
            .rsplit_once('/')
            .map_or("", |(directories, _)| directories);
        let mut topic = String::with_capacity(prefix.len() + 1 + directories.len());
        for word in prefix.trim_matches(['.', '/']).split('/') {
            if !topic.is_empty() {
                topic.push('.');
            }
            topic.push_str(word);
        }
        for word in directories.split('/').filter(|word| !word.is_empty()) {
            if !topic.is_empty() {
                topic.push('.');
            }
            if is_plain(word) {
                topic.push_str(word);
                continue;
            }
            for c in word.chars() {
                match c {
                    '#' => topic.push_str("%23"),
                    '*' => topic.push_str("%2A"),
                    c => topic.push(c),
                }
            }
        }
        Self(topic)
    }

    /// The topic of `message` on a broker, and whether it lost its end because it was too long.
    ///
    /// Prefix and directories as in [`of`](Self::of); on MQTT, `exchange` before them. `prefix` may
    /// be written with points or slashes.
    pub fn derive(
        transport: Transport,
        exchange: &str,
        prefix: &str,
        message: &Message,
    ) -> (Self, bool) {
        let first = match transport {
            Transport::Mqtt => exchange,
            Transport::Amqp => "",
        };
        let path = &message.rel_path;
        let directories = path
            .rsplit_once('/')
            .map_or("", |(directories, _)| directories);
        let mut topic = String::with_capacity(64 + directories.len());
        let words = std::iter::once(first)
            .chain(prefix.split(['.', '/']))
            .chain(directories.split('/'));
        for word in words.filter(|word| !word.is_empty()) {
            if !topic.is_empty() {
                topic.push(transport.separator());
            }
            transport.escape(word, &mut topic);
        }
        Self::shorten(transport, topic)
    }

    /// A topic that is not derived, and whether it lost its end because it was too long. Patterns in
    /// it are escaped like those in names.
    pub fn given(transport: Transport, topic: &str) -> (Self, bool) {
        let mut escaped = String::with_capacity(topic.len());
        transport.escape(topic, &mut escaped);
        Self::shorten(transport, escaped)
    }

    fn shorten(transport: Transport, mut topic: String) -> (Self, bool) {
        let cut = topic.len() > transport.longest();
        topic.truncate(topic.floor_char_boundary(transport.longest()));
        (Self(topic), cut)
    }

    /// The topic as written on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Topic {
    fn from(topic: String) -> Self {
        Self(topic)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether `pattern` selects `topic`, as an AMQP 0-9-1 topic exchange decides it.
///
/// `*` stands for exactly one word, `#` for zero or more words.
pub fn topic_matches(pattern: &str, topic: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('.').collect();
    let topic: Vec<&str> = if topic.is_empty() {
        Vec::new()
    } else {
        topic.split('.').collect()
    };
    // Greedy with one point of return: enough for `#`, as for `*` in a glob.
    let (mut p, mut t) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    loop {
        if p < pattern.len() && pattern[p] == "#" {
            back = Some((p, t));
            p += 1;
        } else if t < topic.len()
            && p < pattern.len()
            && (pattern[p] == "*" || pattern[p] == topic[t])
        {
            p += 1;
            t += 1;
        } else if t == topic.len() && p == pattern.len() {
            return true;
        } else if let Some((at, taken)) = back
            && taken < topic.len()
        {
            back = Some((at, taken + 1));
            p = at + 1;
            t = taken + 1;
        } else {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::topic_matches;

    #[test]
    fn patterns_select_as_a_topic_exchange_does() {
        for (pattern, topic, expected) in [
            ("v03.#", "v03", true),
            ("v03.#", "v03.a.b", true),
            ("v03.*.b", "v03.a.b", true),
            ("v03.*.b", "v03.a.c.b", false),
            ("v03.#.b", "v03.a.c.b", true),
            ("v03.#.b", "v03.b", true),
            ("v03.#.b.#", "v03.a.b.c.b.d", true),
            ("#.x.*.y", "x.a.x.b.y", true),
            ("v03.*", "v03", false),
            ("#", "", true),
            ("*", "", false),
            ("v03.a", "v03.b", false),
        ] {
            assert_eq!(
                topic_matches(pattern, topic),
                expected,
                "{pattern} on {topic}"
            );
        }
    }
}
