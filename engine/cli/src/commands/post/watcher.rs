//! What is seen of a posting: a line that counts on a terminal, the messages themselves of a dry run.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use flow_runtime::ports::{Event, Observer};
use indicatif::{ProgressBar, ProgressStyle};

use crate::console::Console;
use crate::render::{bytes, count, plural, printable};

/// Between two looks at the clock, messages.
const STEP: u64 = 64;

/// What was posted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Posted {
    pub(super) messages: u64,
    /// Of the files they announce.
    pub(super) bytes: u64,
}

/// The observer of `flow post`.
pub(super) struct Watcher {
    console: Console,
    dry_run: bool,
    started: Instant,
    messages: AtomicU64,
    bytes: AtomicU64,
    bar: Mutex<Option<ProgressBar>>,
    /// Why a message of a dry run could not be printed.
    failed: Mutex<Option<io::Error>>,
}

impl Watcher {
    pub(super) fn new(console: Console, dry_run: bool) -> Self {
        let bars = if dry_run { None } else { console.show_bars() };
        let bar = bars.map(|all| {
            let bar = all.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            bar.set_message("looking");
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self {
            console,
            dry_run,
            started: Instant::now(),
            messages: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            bar: Mutex::new(bar),
            failed: Mutex::new(None),
        }
    }

    /// Takes the line away and returns what was counted.
    pub(super) fn finish(&self) -> Posted {
        let bar = self
            .bar
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(bar) = bar {
            bar.finish_and_clear();
            self.console.hide_bars();
        }
        self.posted()
    }

    /// Why messages of a dry run could not be printed, if so.
    pub(super) fn not_printed(&self) -> Option<io::Error> {
        self.lock_failed().take()
    }

    fn lock_failed(&self) -> MutexGuard<'_, Option<io::Error>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn posted(&self) -> Posted {
        Posted {
            messages: self.messages.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    fn show(&self, number: u64) {
        let bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(bar) = bar.as_ref() else { return };
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let rate = number.saturating_mul(1000) / elapsed.max(1);
        let size = bytes(self.bytes.load(Ordering::Relaxed));
        let text = plural(number, "message");
        bar.set_message(format!("posted {text} ({size}), {}/s", count(rate)));
    }
}

impl Observer for Watcher {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Posted { message, .. } => {
                let size = message.size.unwrap_or_default();
                self.bytes.fetch_add(size, Ordering::Relaxed);
                let number = self.messages.fetch_add(1, Ordering::Relaxed) + 1;
                if number.is_multiple_of(STEP) {
                    self.show(number);
                }
            }
            Event::Accepted { message, .. } if self.dry_run => {
                let text = flow_message::v03::to_value(message).to_string();
                let mut failed = self.lock_failed();
                if failed.is_none() {
                    // Where one could not be printed, the rest is of no use.
                    *failed = self.console.print(&text).err();
                }
            }
            Event::Dead { message, reason } => {
                let name = printable(&message.rel_path);
                self.console.talk(&format!("{name}: {}", printable(reason)));
            }
            Event::Retrying {
                message, failure, ..
            } => {
                let name = printable(&message.rel_path);
                let reason = printable(failure.brief());
                self.console.talk(&format!("{name}: {reason}"));
            }
            _ => {}
        }
    }

    fn wants_messages(&self) -> bool {
        true
    }
}
