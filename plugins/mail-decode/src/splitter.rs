//! The structure of a mail: header blocks, boundaries, and whose bytes are whose.
//!
//! Push style: bytes come in any pieces, and what is held back between them is at most one short
//! line. A nested mail is a body like any other that happens to be read by a splitter of its own,
//! so an outer boundary ends everything inside, and an encoded nested mail needs no special case.
//!
//! Bodies are not read line by line: only a line that starts with `--` can be a boundary, so the
//! bytes up to the next such line go on in one piece. The line end before a boundary belongs to
//! it (RFC 2046 §5.1.1) and is held back until the line is known.

use std::rc::Rc;

use crate::body::Body;
use crate::entity::Surroundings;
use crate::head::{Head, Line};
use crate::job::{Headers, Incomplete, Job};
use crate::sink::Sink;

/// How much of a line is looked at to tell what it is. Longer than any boundary taken.
const PEEK: usize = 4096;

/// Where a mail is within the outermost one.
pub(crate) struct Place {
    /// Directory of its parts, empty or ending in `/`.
    pub dir: Rc<str>,
    /// Part path of the mail itself; empty for the outermost.
    pub prefix: String,
    /// How many multiparts and mails are around it.
    pub depth: usize,
}

/// A multipart that is open.
pub(crate) struct Level {
    /// `None` until the first line that looks like one.
    pub boundary: Option<Vec<u8>>,
    pub path: String,
    pub children: usize,
    pub inside: Surroundings,
}

/// What the bytes that come next are.
pub(crate) enum State<S: Sink> {
    Head(Head),
    Body(Body<S>),
    /// Preamble, epilogue, or a part nobody wants.
    Skip,
}

/// A line end held back because it may belong to a boundary.
#[derive(Clone, Copy)]
pub(crate) enum LineEnd {
    None,
    Lf,
    CrLf,
}

/// Takes one mail apart.
pub(crate) struct Splitter<S: Sink> {
    pub(crate) place: Place,
    /// What the mail says about itself, if it is a nested one.
    pub(crate) nested: Option<Rc<Headers>>,
    pub(crate) levels: Vec<Level>,
    pub(crate) state: State<S>,
    pub(crate) line_start: bool,
    pub(crate) held: LineEnd,
    carry: Vec<u8>,
}

/// Where a delimiter line belongs: the level, and whether it closes it.
type Delimiter = (usize, bool);

impl<S: Sink> Splitter<S> {
    pub(crate) fn new(place: Place) -> Self {
        Self {
            place,
            nested: None,
            levels: Vec::new(),
            state: State::Head(Head {
                root: true,
                ..Head::default()
            }),
            line_start: true,
            held: LineEnd::None,
            carry: Vec::new(),
        }
    }

    pub(crate) fn feed(&mut self, data: &[u8], job: &mut Job<'_, S>) -> Result<(), S::Error> {
        if self.carry.is_empty() {
            let used = self.run(data, false, job)?;
            self.carry.extend_from_slice(&data[used..]);
            return Ok(());
        }
        let mut buffer = std::mem::take(&mut self.carry);
        buffer.extend_from_slice(data);
        let used = self.run(&buffer, false, job)?;
        buffer.drain(..used);
        self.carry = buffer;
        Ok(())
    }

    /// Ends the mail. Says whether it ended early: inside of a multipart.
    pub(crate) fn finish(&mut self, job: &mut Job<'_, S>) -> Result<bool, S::Error> {
        let buffer = std::mem::take(&mut self.carry);
        self.run(&buffer, true, job)?;
        if matches!(&self.state, State::Head(head) if head.root || !head.block.is_empty()) {
            self.begin(job)?;
        }
        self.end_body(job)?;
        let open = !self.levels.is_empty();
        self.leave(0, job);
        Ok(open)
    }

    /// Reads what can be read of `buffer`; returns how much that was.
    fn run(&mut self, buffer: &[u8], last: bool, job: &mut Job<'_, S>) -> Result<usize, S::Error> {
        let mut at = 0;
        while at < buffer.len() {
            let rest = &buffer[at..];
            let used = match self.state {
                State::Head(_) => self.head(rest, last, job)?,
                _ => self.body(rest, last, job)?,
            };
            match used {
                Some(used) => at += used,
                None => break,
            }
        }
        Ok(at)
    }

    /// Reads from a header block. `None`: more has to come first.
    fn head(
        &mut self,
        rest: &[u8],
        last: bool,
        job: &mut Job<'_, S>,
    ) -> Result<Option<usize>, S::Error> {
        let State::Head(head) = &mut self.state else {
            return Ok(None);
        };
        if head.mid_line {
            let end = memchr::memchr(b'\n', rest).map(|n| n + 1);
            let used = end.unwrap_or(rest.len());
            head.mid_line = end.is_none();
            head.append(&rest[..used], job);
            return Ok(Some(used));
        }
        let window = &rest[..rest.len().min(PEEK)];
        let end = memchr::memchr(b'\n', window);
        if end.is_none() && rest.len() < PEEK && !last {
            return Ok(None);
        }
        let used = end.map_or(window.len(), |n| n + 1);
        let is_whole = end.is_some() || last && window.len() == rest.len();
        let line = &window[..end.unwrap_or(window.len())];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if is_whole && line.is_empty() {
            self.begin(job)?;
            return Ok(Some(used));
        }
        if is_whole && let Some(delimiter) = self.delimiter(line) {
            self.cut_head(job)?;
            self.boundary(delimiter, job)?;
            return Ok(Some(used));
        }
        let State::Head(head) = &mut self.state else {
            return Ok(None);
        };
        match head.line(line) {
            Line::Field => head.append(&window[..used], job),
            Line::Unindented => {
                head.append(b" ", job);
                head.append(&window[..used], job);
            }
            // The envelope line of a mailbox file.
            Line::Envelope => {}
            Line::Body => {
                self.begin(job)?;
                return Ok(Some(0));
            }
        }
        head.mid_line = end.is_none();
        Ok(Some(used))
    }

    /// A boundary came within a header block: its entity has no body.
    fn cut_head(&mut self, job: &mut Job<'_, S>) -> Result<(), S::Error> {
        if matches!(&self.state, State::Head(head) if !head.block.is_empty()) {
            self.begin(job)?;
        }
        Ok(())
    }

    /// Reads from a body. `None`: more has to come first.
    fn body(
        &mut self,
        rest: &[u8],
        last: bool,
        job: &mut Job<'_, S>,
    ) -> Result<Option<usize>, S::Error> {
        if self.levels.is_empty() {
            self.data(rest, job)?;
            return Ok(Some(rest.len()));
        }
        if self.line_start {
            if rest == b"-" && !last {
                return Ok(None);
            }
            if rest.starts_with(b"--") {
                let window = &rest[..rest.len().min(PEEK)];
                let end = memchr::memchr(b'\n', window);
                if end.is_none() && rest.len() < PEEK && !last {
                    return Ok(None);
                }
                let is_whole = end.is_some() || window.len() == rest.len();
                if is_whole
                    && let Some(delimiter) = self.delimiter(&window[..end.unwrap_or(window.len())])
                {
                    self.held = LineEnd::None;
                    self.boundary(delimiter, job)?;
                    return Ok(Some(end.map_or(window.len(), |n| n + 1)));
                }
            }
            self.line_start = false;
            self.release(job)?;
        }
        for dash in memchr::memchr_iter(b'-', rest) {
            if dash > 0 && rest[dash - 1] == b'\n' && rest.get(dash + 1) == Some(&b'-') {
                let data = &rest[..dash - 1];
                let (data, held) = match data.strip_suffix(b"\r") {
                    Some(data) => (data, LineEnd::CrLf),
                    None => (data, LineEnd::Lf),
                };
                self.data(data, job)?;
                self.held = held;
                self.line_start = true;
                return Ok(Some(dash));
            }
        }
        let keep = if last { 0 } else { delimiter_start(rest) };
        let used = rest.len() - keep;
        self.data(&rest[..used], job)?;
        Ok((used > 0).then_some(used))
    }

    fn data(&mut self, data: &[u8], job: &mut Job<'_, S>) -> Result<(), S::Error> {
        match &mut self.state {
            State::Body(body) if !data.is_empty() => body.feed(data, job),
            _ => Ok(()),
        }
    }

    fn release(&mut self, job: &mut Job<'_, S>) -> Result<(), S::Error> {
        match std::mem::replace(&mut self.held, LineEnd::None) {
            LineEnd::None => Ok(()),
            LineEnd::Lf => self.data(b"\n", job),
            LineEnd::CrLf => self.data(b"\r\n", job),
        }
    }

    /// Matches a line against every open boundary, the innermost first. The whole line has to
    /// match: one boundary may be the start of another.
    fn delimiter(&mut self, line: &[u8]) -> Option<Delimiter> {
        let text = line.strip_prefix(b"--")?.trim_ascii_end();
        let innermost = self.levels.len().checked_sub(1)?;
        for (at, level) in self.levels.iter_mut().enumerate().rev() {
            let Some(boundary) = &level.boundary else {
                // The header names no boundary: the first line that looks like one is it.
                if at == innermost
                    && !text.is_empty()
                    && !text.ends_with(b"--")
                    && !text.iter().any(u8::is_ascii_whitespace)
                {
                    level.boundary = Some(text.to_vec());
                    return Some((at, false));
                }
                continue;
            };
            if text == boundary.as_slice() {
                return Some((at, false));
            }
            if text.strip_suffix(b"--") == Some(boundary) {
                return Some((at, true));
            }
        }
        None
    }

    fn boundary(&mut self, (at, closes): Delimiter, job: &mut Job<'_, S>) -> Result<(), S::Error> {
        self.end_body(job)?;
        self.leave(at + 1, job);
        self.line_start = true;
        self.held = LineEnd::None;
        if closes {
            // An empty multipart is empty, not without its boundary.
            self.levels.truncate(at);
            self.state = State::Skip;
            return Ok(());
        }
        let level = &mut self.levels[at];
        level.children += 1;
        self.state = State::Head(Head {
            path: child_path(&level.path, level.children),
            around: level.inside,
            ..Head::default()
        });
        Ok(())
    }

    /// Leaves the levels from `depth` on, which were never closed.
    fn leave(&mut self, depth: usize, job: &mut Job<'_, S>) {
        for level in self.levels.drain(depth..) {
            if level.children == 0 {
                job.lost(Incomplete::Boundary);
            }
        }
    }

    fn end_body(&mut self, job: &mut Job<'_, S>) -> Result<(), S::Error> {
        match std::mem::replace(&mut self.state, State::Skip) {
            State::Body(body) => body.finish(job),
            _ => Ok(()),
        }
    }
}

/// How many bytes at the end may be the start of a line end and two dashes.
fn delimiter_start(rest: &[u8]) -> usize {
    [b"\r\n-".as_slice(), b"\n-", b"\r\n", b"\n", b"\r"]
        .iter()
        .find(|tail| rest.ends_with(tail))
        .map_or(0, |tail| tail.len())
}

/// The part path of a child.
pub(crate) fn child_path(parent: &str, number: usize) -> String {
    if parent.is_empty() {
        number.to_string()
    } else {
        format!("{parent}.{number}")
    }
}
