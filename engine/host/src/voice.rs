//! What a guest says: log lines, and what it prints on stdout and stderr.
//!
//! Everything goes to the log under the target `plugin`, with the flow, the plugin, the instance
//! and the entry point. Secrets that were handed out are taken out, control characters are escaped
//! (a log line can't be forged or colour a terminal), and a guest that talks too much is cut short.
//! An error may have several lines, such as a traceback: who writes the log indents the further ones.
//!
//! The last lines on stderr are held until the call ends, or the guest says something else or waits for
//! somebody: if it crashes, they are in the error of that, and nowhere else.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use tracing::Level;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::redact::Redactor;
use crate::usage::Usage;

/// Bytes of one line that reach the log.
const LONGEST_LINE: usize = 8 << 10;
/// Line ends in an error of a guest's; all others are escaped.
const LINE_ENDS: usize = 100;
/// Lines at once, and lines per second after that.
const BURST: f64 = 500.0;
const PER_SECOND: f64 = 50.0;
/// Lines of stderr kept for the error of a trap.
const TAIL: usize = 8;

/// The log of one instance.
#[derive(Debug)]
pub(crate) struct Voice {
    flow: String,
    plugin: String,
    instance: u32,
    redactor: Arc<Redactor>,
    usage: Arc<Usage>,
    pace: Arc<Pace>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    entry_point: &'static str,
    /// The ends of stdout and stderr that no line end came for yet.
    partial: [Vec<u8>; 2],
    /// The last lines of stderr.
    tail: VecDeque<Printed>,
}

/// A line of stderr.
#[derive(Debug)]
struct Printed {
    text: String,
    /// Whether it is in the log.
    said: bool,
}

/// How much all instances of a callback may say: a fresh one after a crash gets no new allowance.
#[derive(Debug)]
pub(crate) struct Pace(Mutex<Allowance>);

#[derive(Debug)]
struct Allowance {
    /// Lines that may be said now.
    lines: f64,
    refilled: Instant,
    suppressed: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self(Mutex::new(Allowance {
            lines: BURST,
            refilled: Instant::now(),
            suppressed: 0,
        }))
    }
}

impl Pace {
    fn refilled(&self, now: Instant) -> MutexGuard<'_, Allowance> {
        let mut allowance = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let refill = now.duration_since(allowance.refilled).as_secs_f64() * PER_SECOND;
        allowance.lines = (allowance.lines + refill).min(BURST);
        allowance.refilled = now;
        allowance
    }

    /// Whether a line may be said; if so, how many were not before it.
    fn take(&self, now: Instant) -> Option<u64> {
        let mut allowance = self.refilled(now);
        if allowance.lines < 1.0 {
            allowance.suppressed += 1;
            return None;
        }
        allowance.lines -= 1.0;
        Some(std::mem::take(&mut allowance.suppressed))
    }

    /// How many lines were not said, where that may be said now.
    fn owed(&self, now: Instant) -> u64 {
        let mut allowance = self.refilled(now);
        if allowance.suppressed == 0 || allowance.lines < 1.0 {
            return 0;
        }
        allowance.lines -= 1.0;
        std::mem::take(&mut allowance.suppressed)
    }
}

/// Which of the two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

impl Voice {
    pub(crate) fn new(
        flow: &str,
        plugin: &str,
        instance: u32,
        redactor: Arc<Redactor>,
        usage: Arc<Usage>,
        pace: Arc<Pace>,
    ) -> Arc<Self> {
        let state = State {
            entry_point: "describe",
            partial: [Vec::new(), Vec::new()],
            tail: VecDeque::new(),
        };
        Arc::new(Self {
            flow: flow.into(),
            plugin: plugin.into(),
            instance,
            redactor,
            usage,
            pace,
            state: Mutex::new(state),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call begins.
    pub(crate) fn enter(&self, entry_point: &'static str) {
        self.state().entry_point = entry_point;
    }

    /// A call ended.
    pub(crate) fn leave(&self) {
        let mut state = self.state();
        self.end_lines(&mut state);
        self.say_held(&mut state);
        // Who goes silent after too much has nothing more to say it with.
        let suppressed = self.pace.owed(Instant::now());
        self.confess(state.entry_point, suppressed);
    }

    /// What was printed without a line end is a line, too.
    fn end_lines(&self, state: &mut State) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let rest = std::mem::take(&mut state.partial[stream as usize]);
            if !rest.is_empty() {
                self.printed(state, stream, &rest);
            }
        }
    }

    /// The last lines of stderr, for the error of a crash, which says those that are held.
    pub(crate) fn last_words(&self) -> Vec<String> {
        let mut state = self.state();
        self.end_lines(&mut state);
        let clean = |line: Printed| presentable(&self.redactor.clean(&line.text), 0);
        state.tail.drain(..).map(clean).collect()
    }

    /// The guest waits for somebody: what is held need not wait as well.
    pub(crate) fn waits(&self) {
        self.say_held(&mut self.state());
    }

    /// Logs what the guest says at once.
    pub(crate) fn say(&self, level: Level, text: &str) {
        let mut state = self.state();
        self.say_held(&mut state);
        self.write(&state, level, text);
    }

    fn say_held(&self, state: &mut State) {
        let mut tail = std::mem::take(&mut state.tail);
        for line in tail.iter_mut().filter(|line| !line.said) {
            line.said = true;
            self.write(state, Level::WARN, &line.text);
        }
        state.tail = tail;
    }

    fn write(&self, state: &State, level: Level, text: &str) {
        if !enabled(level) {
            return;
        }
        let Some(suppressed) = self.pace.take(Instant::now()) else {
            self.usage.silenced();
            return;
        };
        self.confess(state.entry_point, suppressed);
        let line_ends = if level == Level::ERROR { LINE_ENDS } else { 0 };
        let text = presentable(&self.redactor.clean(text), line_ends);
        self.emit(state.entry_point, level, &text);
    }

    /// Says what was not said.
    fn confess(&self, entry_point: &'static str, suppressed: u64) {
        if suppressed > 0 {
            let text = format!("{suppressed} lines of this plugin were left out: it logs too much");
            self.emit(entry_point, Level::WARN, &text);
        }
    }

    fn emit(&self, entry_point: &'static str, level: Level, text: &str) {
        let Self {
            flow,
            plugin,
            instance,
            ..
        } = self;
        macro_rules! emit {
            ($level:expr) => {
                tracing::event!(target: "plugin", $level, flow, plugin, instance, entry_point, "{text}")
            };
        }
        match level {
            Level::ERROR => emit!(Level::ERROR),
            Level::WARN => emit!(Level::WARN),
            Level::INFO => emit!(Level::INFO),
            Level::DEBUG => emit!(Level::DEBUG),
            Level::TRACE => emit!(Level::TRACE),
        }
    }

    fn print(&self, stream: Stream, bytes: &[u8]) {
        let mut state = self.state();
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let mut line = std::mem::take(&mut state.partial[stream as usize]);
            line.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            self.printed(&mut state, stream, &line);
        }
        let partial = &mut state.partial[stream as usize];
        // What is longer than a line may be is cut later anyway.
        let room = (2 * LONGEST_LINE).saturating_sub(partial.len());
        partial.extend_from_slice(&rest[..rest.len().min(room)]);
    }

    fn printed(&self, state: &mut State, stream: Stream, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end();
        // There is no environment of a plugin in which anybody could follow that advice.
        if text.is_empty() || text.starts_with("note: run with `RUST_BACKTRACE=") {
            return;
        }
        if stream == Stream::Stdout {
            self.say_held(state);
            return self.write(state, Level::INFO, text);
        }
        state.tail.push_back(Printed {
            text: text.to_owned(),
            said: false,
        });
        if state.tail.len() > TAIL
            && let Some(line) = state.tail.pop_front()
            && !line.said
        {
            self.write(state, Level::WARN, &line.text);
        }
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        // A call that was cancelled does not end.
        self.waits();
    }
}

fn enabled(level: Level) -> bool {
    match level {
        Level::ERROR => tracing::enabled!(target: "plugin", Level::ERROR),
        Level::WARN => tracing::enabled!(target: "plugin", Level::WARN),
        Level::INFO => tracing::enabled!(target: "plugin", Level::INFO),
        Level::DEBUG => tracing::enabled!(target: "plugin", Level::DEBUG),
        Level::TRACE => tracing::enabled!(target: "plugin", Level::TRACE),
    }
}

/// What is said at once, without control characters but the first `line_ends`, of bearable length.
fn presentable(text: &str, mut line_ends: usize) -> String {
    let mut end = text.len().min(LONGEST_LINE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut line = String::with_capacity(end);
    for c in text[..end].chars() {
        let ends = c == '\n' && line_ends > 0;
        line_ends -= usize::from(ends);
        if c.is_control() && c != '\t' && !ends {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    if end < text.len() {
        line.push_str(&format!("… ({} bytes cut)", text.len() - end));
    }
    line
}

/// Stdout or stderr of a guest.
#[derive(Debug, Clone)]
pub(crate) struct Printer {
    pub(crate) voice: Arc<Voice>,
    pub(crate) stream: Stream,
}

impl IsTerminal for Printer {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printer {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Asked for by WASI 0.3 only, which is not linked.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Printer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.voice.print(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

#[async_trait::async_trait]
impl Pollable for Printer {
    async fn ready(&mut self) {}
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Pace, presentable};

    #[test]
    fn what_is_not_said_is_counted_and_said_later() {
        let pace = Pace::default();
        let now = Instant::now();
        let said = (0..700).filter(|_| pace.take(now).is_some()).count();
        assert_eq!(said, 500);
        assert_eq!(pace.owed(now), 0, "there is no line to say it with");
        let later = now + Duration::from_secs(1);
        assert_eq!(pace.owed(later), 200);
        assert_eq!(pace.owed(later), 0);
        assert_eq!(pace.take(later), Some(0));
    }

    #[test]
    fn a_line_is_one_line() {
        assert_eq!(
            presentable("a\nERROR forged\u{1b}[31m\tb é", 0),
            "a\\nERROR forged\\u{1b}[31m\tb é"
        );
        assert_eq!(presentable("a\nb\nc", 1), "a\nb\\nc");
        let long = presentable(&"é".repeat(5000), 0);
        assert!(
            long.ends_with("é… (1808 bytes cut)"),
            "{}",
            &long[long.len() - 40..]
        );
    }
}
