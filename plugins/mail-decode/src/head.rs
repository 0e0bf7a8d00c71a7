//! A header block while it comes in, and what each of its lines is.
//!
//! Lenient where mailers are careless: a missing blank line before the body, parameters folded
//! without indentation, the envelope line of a mailbox file.

use crate::entity::Surroundings;
use crate::job::{Incomplete, Job};
use crate::sink::Sink;

/// A header block being read.
#[derive(Default)]
pub(crate) struct Head {
    pub block: Vec<u8>,
    /// Inside a line whose start was read already.
    pub mid_line: bool,
    /// Part path of the entity; empty for the root of a mail.
    pub path: String,
    /// This is the header of a mail, not of a part.
    pub root: bool,
    pub around: Surroundings,
}

/// What a line of a header block is.
pub(crate) enum Line {
    Field,
    /// A continuation whose indentation got lost.
    Unindented,
    Envelope,
    Body,
}

impl Head {
    /// Adds a line, as far as there is room.
    pub(crate) fn append<S: Sink>(&mut self, line: &[u8], job: &mut Job<'_, S>) {
        let room = job.options.max_header.saturating_sub(self.block.len());
        if line.len() > room {
            job.lost(Incomplete::Header);
        }
        self.block.extend_from_slice(&line[..line.len().min(room)]);
    }

    /// Tells what a line is, from at most its first few KiB.
    pub(crate) fn line(&self, line: &[u8]) -> Line {
        let is_first = self.block.is_empty();
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return if is_first { Line::Body } else { Line::Field };
        }
        if is_first && self.root && (line.starts_with(b"From ") || line.starts_with(b">From ")) {
            return Line::Envelope;
        }
        // Some programs fold parameters without indenting them.
        let before = self.block.trim_ascii_end();
        if before.last() == Some(&b';') && is_parameter(line) {
            return Line::Unindented;
        }
        match memchr::memchr(b':', line) {
            Some(colon) if is_field_name(line[..colon].trim_ascii_end()) => Line::Field,
            _ => Line::Body,
        }
    }
}

fn is_field_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|b| matches!(b, 33..=126))
}

fn is_parameter(line: &[u8]) -> bool {
    memchr::memchr(b'=', line).is_some_and(|at| {
        at > 0
            && line[..at]
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'*' | b'-' | b'_'))
    })
}
