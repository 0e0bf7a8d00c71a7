//! A sink in memory, and a way to show what a mail became.
#![allow(dead_code, reason = "each test file uses its own share")]

use std::convert::Infallible;
use std::fmt::Write as _;

use mail_decode::{Decoder, Options, Outcome, Sink};

/// Keeps parts as bytes.
pub struct Memory {
    pub wanted: fn(&str) -> bool,
    /// Largest piece written, and how often something was written.
    pub largest: usize,
    pub writes: usize,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            wanted: |_| true,
            largest: 0,
            writes: 0,
        }
    }
}

impl Sink for Memory {
    type Writer = Vec<u8>;
    type Content = Vec<u8>;
    type Error = Infallible;

    fn open(&mut self, rel_path: &str, _: &str) -> Result<Option<Vec<u8>>, Infallible> {
        Ok((self.wanted)(rel_path).then(Vec::new))
    }

    fn write(&mut self, writer: &mut Vec<u8>, data: &[u8]) -> Result<(), Infallible> {
        self.largest = self.largest.max(data.len());
        self.writes += 1;
        writer.extend_from_slice(data);
        Ok(())
    }

    fn finish(&mut self, writer: Vec<u8>) -> Result<Vec<u8>, Infallible> {
        Ok(writer)
    }
}

/// Decodes `mail` in pieces of `size`.
pub fn run(mail: &[u8], options: &Options, size: usize) -> Outcome<Vec<u8>> {
    let mut sink = Memory::default();
    let mut decoder = Decoder::new("in/7", options, &mut sink);
    for piece in mail.chunks(size.max(1)) {
        let Ok(()) = decoder.feed(piece);
    }
    let Ok(outcome) = decoder.finish();
    outcome
}

/// Decodes with the defaults, at once.
pub fn decode(mail: &[u8]) -> Outcome<Vec<u8>> {
    run(mail, &Options::default(), usize::MAX)
}

/// Everything that came of a mail, as text.
pub fn listing(outcome: &Outcome<Vec<u8>>) -> String {
    let mut out = String::new();
    for (name, value) in &outcome.mail {
        let _ = writeln!(out, "{name}: {value}");
    }
    if outcome.empty {
        out.push_str("(empty)\n");
    }
    if outcome.truncated {
        out.push_str("(truncated)\n");
    }
    if let Some(incomplete) = outcome.incomplete {
        let _ = writeln!(out, "(incomplete: {})", incomplete.reason());
    }
    for part in &outcome.parts {
        let _ = writeln!(out, "\n== {} [{}]", part.rel_path, part.content_type);
        let nested = part.nested.iter().flat_map(|headers| headers.iter());
        for (name, value) in part.headers.iter().chain(nested) {
            let _ = writeln!(out, "{name}: {value}");
        }
        match std::str::from_utf8(&part.content) {
            Ok(text) if !text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\r')) => {
                for line in text.split_inclusive('\n') {
                    let (line, end) = match line.strip_suffix('\n') {
                        Some(line) => (line, ""),
                        None => (line, "\\"),
                    };
                    let _ = writeln!(out, "| {}{end}", line.replace('\r', "\\r"));
                }
            }
            _ => {
                for line in part.content.chunks(32) {
                    let hex: Vec<String> = line.iter().map(|b| format!("{b:02x}")).collect();
                    let _ = writeln!(out, "# {}", hex.join(" "));
                }
            }
        }
    }
    out
}
