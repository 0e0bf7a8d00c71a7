//! How far long work is: bars on a terminal, a line now and then elsewhere.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use crate::args::LogLevel;
use crate::console::Console;
use crate::render::{bytes, count, printable};

use super::Totals;
use super::lines::columns;

/// Work that takes less is not worth a line where there are no bars.
const FIRST_LINE: Duration = Duration::from_secs(2);
/// Between two lines about the same work.
const NEXT_LINE: Duration = Duration::from_secs(10);

/// All long work of one run.
pub(super) struct Progress {
    flow: String,
    bars: Option<Bars>,
    works: BTreeMap<String, Work>,
}

struct Bars {
    all: MultiProgress,
    status: ProgressBar,
}

struct Work {
    bar: Option<ProgressBar>,
    next_line: Duration,
    said: bool,
}

impl Progress {
    /// Bars where somebody watches, unless asked to be quiet.
    pub(super) fn new(console: &Console, flow: &str, level: LogLevel) -> Self {
        let bars = if level >= LogLevel::Info {
            console.show_bars()
        } else {
            None
        };
        let bars = bars.map(|all| {
            let status = all.add(ProgressBar::new_spinner());
            status.set_style(style("{spinner} {msg}"));
            status.set_message(format!("{flow}: waiting for messages"));
            status.enable_steady_tick(Duration::from_millis(120));
            Bars { all, status }
        });
        Self {
            flow: flow.to_owned(),
            bars,
            works: BTreeMap::new(),
        }
    }

    /// Shows the totals below everything.
    pub(super) fn status(&self, totals: &Totals) {
        if let Some(bars) = &self.bars {
            bars.status
                .set_message(format!("{}: {}", self.flow, totals.sentence()));
        }
    }

    /// Notes how far some work is; the line to log, if one is due.
    pub(super) fn update(
        &mut self,
        what: &str,
        done: u64,
        total: u64,
        unit: &str,
        now: Duration,
    ) -> Option<String> {
        let bars = self.bars.as_ref();
        let work = self.works.entry(what.to_owned()).or_insert_with(|| Work {
            bar: bars.map(|bars| bar(bars, what, total, unit)),
            next_line: now + FIRST_LINE,
            said: false,
        });
        let finished = total > 0 && done >= total;
        let line = match &work.bar {
            Some(bar) => {
                bar.set_length(total);
                bar.set_position(done);
                None
            }
            None if now >= work.next_line || (finished && work.said) => {
                work.next_line = now + NEXT_LINE;
                work.said = true;
                Some(columns("progress", &sentence(what, done, total, unit)))
            }
            None => None,
        };
        if finished
            && let Some(work) = self.works.remove(what)
            && let Some(bar) = work.bar
        {
            bar.finish_and_clear();
        }
        line
    }

    /// That work is over, as it failed: it may begin anew.
    pub(super) fn forget(&mut self, what: &str) {
        if let Some(bar) = self.works.remove(what).and_then(|work| work.bar) {
            bar.finish_and_clear();
        }
    }

    /// Takes the bars away.
    pub(super) fn finish(&mut self) {
        for work in std::mem::take(&mut self.works).into_values() {
            if let Some(bar) = work.bar {
                bar.finish_and_clear();
            }
        }
        if let Some(bars) = self.bars.take() {
            bars.status.finish_and_clear();
        }
    }
}

fn bar(bars: &Bars, what: &str, total: u64, unit: &str) -> ProgressBar {
    let bar = bars
        .all
        .insert_before(&bars.status, ProgressBar::new(total));
    let template = match (total, unit) {
        (0, "bytes") => "{spinner} {msg}  {bytes}, {bytes_per_sec}",
        (0, _) => "{spinner} {msg}  {human_pos}, {rate}",
        (_, "bytes") => "{bar:30} {bytes}/{total_bytes}  {msg}, {bytes_per_sec}, {eta} left",
        (_, _) => "{bar:30} {human_pos}/{human_len}  {msg}, {rate}, {eta} left",
    };
    bar.set_style(style(template).progress_chars("=> "));
    bar.set_message(printable(what).into_owned());
    bar
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("the templates above are valid")
        // The library's own rate has four decimals.
        .with_key("rate", |state: &ProgressState, out: &mut dyn Write| {
            let _ = write!(out, "{:.0}/s", state.per_sec());
        })
}

/// `INBOX: 1200 of 2000 messages (60 %)`.
fn sentence(what: &str, done: u64, total: u64, unit: &str) -> String {
    let what = printable(what);
    let unit = printable(unit);
    let amount = |number: u64| {
        if unit == "bytes" {
            bytes(number)
        } else {
            count(number)
        }
    };
    let noun = if unit == "bytes" {
        String::new()
    } else {
        format!(" {unit}")
    };
    if total == 0 {
        return format!("{what}: {}{noun}", amount(done));
    }
    let percent = u128::from(done) * 100 / u128::from(total);
    format!(
        "{what}: {} of {}{noun} ({percent} %)",
        amount(done),
        amount(total)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_terminal_lines_come_now_and_then() {
        let mut progress = Progress {
            flow: "flow/mail".into(),
            bars: None,
            works: BTreeMap::new(),
        };
        let mut at = |second, done| {
            progress.update("INBOX", done, 2000, "messages", Duration::from_secs(second))
        };
        assert_eq!(at(0, 0), None);
        assert_eq!(at(1, 100), None, "short work says nothing");
        assert_eq!(
            at(3, 1200).as_deref(),
            Some("progress  INBOX: 1200 of 2000 messages (60 %)")
        );
        assert_eq!(at(4, 1300), None, "throttled");
        assert_eq!(
            at(5, 2000).as_deref(),
            Some("progress  INBOX: 2000 of 2000 messages (100 %)")
        );
        assert_eq!(at(6, 2000), None, "the next piece of work starts quietly");
    }

    #[test]
    fn what_failed_begins_anew() {
        let mut progress = Progress {
            flow: "flow/mail".into(),
            bars: None,
            works: BTreeMap::new(),
        };
        let at = Duration::from_secs;
        assert_eq!(progress.update("a/b", 1, 9, "bytes", at(0)), None);
        progress.forget("a/b");
        assert_eq!(progress.update("a/b", 1, 9, "bytes", at(60)), None);
        assert!(progress.update("a/b", 2, 9, "bytes", at(63)).is_some());
    }

    #[test]
    fn sizes_and_unknown_totals() {
        assert_eq!(
            sentence("12.eml", 5 << 20, 200 << 20, "bytes"),
            "12.eml: 5.0 MiB of 200.0 MiB (2 %)"
        );
        assert_eq!(sentence("INBOX", 40, 0, "messages"), "INBOX: 40 messages");
    }
}
