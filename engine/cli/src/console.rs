//! The two streams: stdout is data, stderr is talk.
//!
//! Lines of talk never tear a progress bar: while bars are shown, talk goes through them.
//! Meaning never depends on colour.

use std::io::{self, BufRead, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indicatif::{MultiProgress, ProgressDrawTarget};

use crate::environment::Environment;
use crate::render::Paint;

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Both streams; cheap to clone.
#[derive(Clone)]
pub(crate) struct Console {
    shared: Arc<Shared>,
}

struct Shared {
    paint_out: Paint,
    paint_err: Paint,
    terminal_err: bool,
    terminal_in: bool,
    /// Set while bars are drawn.
    bars: Mutex<Option<MultiProgress>>,
}

impl Console {
    /// For this process.
    pub(crate) fn new(environment: &Environment, color: Color) -> Self {
        let paint = |terminal: bool| match color {
            Color::Always => Paint::on(),
            Color::Never => Paint::off(),
            Color::Auto if terminal && environment.get("NO_COLOR").is_none() => Paint::on(),
            Color::Auto => Paint::off(),
        };
        Self {
            shared: Arc::new(Shared {
                paint_out: paint(environment.stdout_terminal),
                paint_err: paint(environment.stderr_terminal),
                terminal_err: environment.stderr_terminal,
                terminal_in: environment.stdin_terminal,
                bars: Mutex::new(None),
            }),
        }
    }

    /// Colours for stdout.
    pub(crate) fn paint(&self) -> Paint {
        self.shared.paint_out
    }

    /// Colours for stderr.
    pub(crate) fn paint_err(&self) -> Paint {
        self.shared.paint_err
    }

    /// Writes data to stdout, with a final line end.
    ///
    /// # Errors
    /// Stdout can't be written; a closed pipe is told apart by `stop::is_closed_pipe`.
    pub(crate) fn print(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        if !text.is_empty() && !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
        out.flush()
    }

    /// Writes data to stdout as it is, which may be a part of a line.
    ///
    /// # Errors
    /// As [`print`](Self::print).
    pub(crate) fn print_part(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// Writes talk to stderr, whole lines. Talk nobody hears is not an error.
    pub(crate) fn talk(&self, text: &str) {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let bars = self.bars();
        let write = || {
            let mut line = String::with_capacity(text.len() + 1);
            line.push_str(text);
            line.push('\n');
            let _ = io::stderr().lock().write_all(line.as_bytes());
        };
        match bars.as_ref() {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }

    /// Starts drawing bars below the talk; none where nobody watches.
    pub(crate) fn show_bars(&self) -> Option<MultiProgress> {
        if !self.shared.terminal_err {
            return None;
        }
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        *self.bars() = Some(bars.clone());
        Some(bars)
    }

    /// Takes the bars away; returns what drew them.
    pub(crate) fn hide_bars(&self) -> Option<MultiProgress> {
        let bars = self.bars().take()?;
        let _ = bars.clear();
        Some(bars)
    }

    /// Draws no bars from now on: somebody is asked things.
    pub(crate) fn mute_bars(&self) {
        if let Some(bars) = self.hide_bars() {
            bars.set_draw_target(ProgressDrawTarget::hidden());
        }
    }

    fn bars(&self) -> MutexGuard<'_, Option<MultiProgress>> {
        let bars = self.shared.bars.lock();
        bars.unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the beginning of a line somebody is to finish.
    pub(crate) fn prompt(&self, text: &str) {
        let mut err = io::stderr().lock();
        let _ = err.write_all(text.as_bytes());
        let _ = err.flush();
    }

    /// Whether somebody can be asked.
    pub(crate) fn can_ask(&self) -> bool {
        self.shared.terminal_in && self.shared.terminal_err
    }

    /// Asks a yes-or-no question; none where nobody can answer.
    pub(crate) fn confirm(&self, question: &str) -> Option<bool> {
        if !(self.shared.terminal_in && self.shared.terminal_err) {
            return None;
        }
        let mut err = io::stderr().lock();
        let _ = write!(err, "{question} [y/N] ");
        let _ = err.flush();
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).ok()?;
        Some(matches!(
            answer.trim().to_ascii_lowercase().as_str(),
            "y" | "yes"
        ))
    }
}

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Console").finish_non_exhaustive()
    }
}
