//! Programs in turns, and the table of what they took.

use std::time::Duration;

use anyhow::Result;

use crate::Load;

/// What one run of one program came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// Of whatever is counted, in `time`.
    pub(crate) count: usize,
    pub(crate) time: Duration,
    /// User and system time of the program alone.
    pub(crate) cpu: Duration,
    /// Bytes.
    pub(crate) peak: u64,
    /// From the start of the program to its first result.
    pub(crate) first: Option<Duration>,
}

impl Run {
    fn rate(&self) -> f64 {
        self.count as f64 / self.time.as_secs_f64().max(1e-6)
    }

    /// Computing for one, in microseconds: moves less with what else the machine does.
    fn cost(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.count.max(1) as f64
    }
}

/// A program under comparison; without a run where it is not installed.
pub(crate) struct Subject<'a> {
    pub(crate) name: &'a str,
    pub(crate) run: Box<dyn FnMut() -> Result<Option<Run>> + 'a>,
}

/// A program under comparison.
pub(crate) fn subject<'a>(
    name: &'a str,
    run: impl FnMut() -> Result<Option<Run>> + 'a,
) -> Subject<'a> {
    Subject {
        name,
        run: Box::new(run),
    }
}

/// Runs the programs in turns, so that what else the machine does falls on all of them alike, and
/// prints what they took; the first is what the others are compared with.
pub(crate) fn compare(load: &Load, unit: &str, mut subjects: Vec<Subject<'_>>) -> Result<()> {
    let mut runs: Vec<Vec<Run>> = subjects.iter().map(|_| Vec::new()).collect();
    for round in 1..=load.runs {
        for (subject, runs) in subjects.iter_mut().zip(&mut runs) {
            if load.skips.iter().any(|skip| skip == subject.name) {
                continue;
            }
            eprintln!("{round}/{}: {}", load.runs, subject.name);
            runs.extend((subject.run)()?);
        }
    }
    let base = subjects.first().map_or("", |subject| subject.name);
    println!(
        "\n| program | {unit}/s, median (least–most) | of {base} | CPU, us each | its ratio | first after, ms | peak, MiB |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    let mut base: Option<Run> = None;
    for (number, (subject, mut runs)) in subjects.iter().zip(runs).enumerate() {
        runs.sort_by(|a, b| a.rate().total_cmp(&b.rate()));
        let (Some(least), Some(most)) = (runs.first(), runs.last()) else {
            println!("| {} | not measured | | | | | |", subject.name);
            continue;
        };
        let middle = runs[runs.len() / 2];
        if number == 0 {
            base = Some(middle);
        }
        let ratio = |of: fn(&Run) -> f64| {
            base.map_or_else(String::new, |base| {
                format!("{:.2}", of(&middle) / of(&base))
            })
        };
        let first = middle.first.map_or_else(String::new, |first| {
            format!("{:.0}", first.as_secs_f64() * 1e3)
        });
        let peak = runs.iter().map(|run| run.peak).max().unwrap_or_default();
        // Large files come at a few a second.
        let digits = if middle.rate() < 100.0 { 2 } else { 0 };
        println!(
            "| {} | {:.digits$} ({:.digits$}–{:.digits$}) | {} | {:.0} | {} | {first} | {:.0} |",
            subject.name,
            middle.rate(),
            least.rate(),
            most.rate(),
            ratio(Run::rate),
            middle.cost(),
            ratio(Run::cost),
            peak as f64 / 1_048_576.0,
        );
    }
    Ok(())
}
