//! What a person sees of a running flow: log lines, the life of messages, progress, totals.
//!
//! Everything goes to stderr through the [`Console`]. Formatting is in pure functions below this
//! module; here is only who hears what.

mod lines;
mod log;
mod progress;
mod totals;
mod trace;
mod wanted;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use flow_config::Flow;
use flow_runtime::ports::{Event, Observer};
use flow_runtime::usage::Uses;

use crate::args::LogLevel;
use crate::console::Console;

pub(crate) use log::{dated_line, init as init_log, init_logs, say_more};
pub(crate) use totals::Totals;
pub(crate) use wanted::Wanted;

use progress::Progress;
use trace::Book;

/// The observer of `flow foreground`.
pub(crate) struct Foreground {
    console: Console,
    flow: String,
    level: LogLevel,
    wanted: Wanted,
    started: Instant,
    totals: Mutex<Totals>,
    progress: Mutex<Progress>,
    /// Who knows what the plugins used.
    uses: Mutex<Option<Arc<dyn Uses>>>,
    /// Set with `--trace`.
    book: Option<Mutex<Book>>,
}

impl Foreground {
    /// Says what happens in `flow` down to `level`; with `trace`, every step of every message.
    pub(crate) fn new(console: Console, flow: &Flow, level: LogLevel, trace: bool) -> Self {
        let wanted = Wanted::of_watched(flow);
        let flow = flow.name.to_string();
        let progress = Progress::new(&console, &flow, level);
        Self {
            console,
            flow,
            level,
            wanted,
            started: Instant::now(),
            totals: Mutex::default(),
            progress: Mutex::new(progress),
            uses: Mutex::default(),
            book: trace.then(Mutex::default),
        }
    }

    /// Takes the bars away and returns what was counted.
    pub(crate) fn finish(&self) -> Totals {
        lock(&self.progress).finish();
        self.console.hide_bars();
        for used in lock(&self.uses).iter().flat_map(|uses| uses.uses()) {
            self.say(
                LogLevel::Debug,
                &lines::columns("used", &totals::used(&used)),
            );
        }
        let mut totals = *lock(&self.totals);
        totals.elapsed = self.started.elapsed();
        totals
    }

    fn say(&self, level: LogLevel, text: &str) {
        if level <= self.level {
            let paint = self.console.paint_err();
            self.console
                .talk(&log::line(paint, level, &self.flow, text));
        }
    }
}

impl Observer for Foreground {
    fn event(&self, event: &Event<'_>) {
        if let Event::Pass(counts) = event {
            let mut totals = lock(&self.totals);
            totals.add(counts);
            lock(&self.progress).status(&totals);
        }
        if let Event::Plugins(uses) = event {
            *lock(&self.uses) = Some(Arc::clone(uses));
        }
        if let Event::Progress {
            what,
            done,
            total,
            unit,
        } = event
        {
            let line =
                lock(&self.progress).update(what, *done, *total, unit, self.started.elapsed());
            if let Some(line) = line {
                self.say(LogLevel::Info, &line);
            }
            return;
        }
        if let Event::Retrying { message, .. }
        | Event::Dead { message, .. }
        | Event::Rejected { message, .. } = event
        {
            lock(&self.progress).forget(&message.rel_path);
        }
        if let Some(book) = &self.book {
            let told = lock(book).tell(event, self.started.elapsed());
            if let Some(text) = told {
                self.say(LogLevel::Info, &text);
                return;
            }
        }
        if let Some((level, text)) = self.wanted.line(event, self.level) {
            self.say(level, &text);
        }
    }

    fn wants_messages(&self) -> bool {
        self.level > LogLevel::Off
    }
}

/// A panic in one line of talk must not silence the rest.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
