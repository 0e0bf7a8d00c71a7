//! `flow` beside `mbsync` and `getmail6` on one mailbox of one server.
//!
//! With `--runs 0` it only serves the mailbox until its standard input ends, for a profiler or for
//! trying by hand.

mod subjects;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use flow_testkit::generate::{Generated, mails};
use flow_testkit::{Dovecot, Flow};

use crate::measure::{Measured, median};
use crate::place;

/// What is measured: defaults are those of the issue.
#[derive(Debug, Clone)]
struct Load {
    mails: usize,
    size: usize,
    runs: usize,
    /// Programs left out, by the names in the table.
    skips: Vec<String>,
}

/// Runs it and prints its tables.
pub(crate) fn run(arguments: impl Iterator<Item = String>) -> Result<()> {
    let load = load(arguments)?;
    let place = place();
    let server = Dovecot::try_start(&place)?;
    eprintln!(
        "{} mails of {} bytes on average, in {}",
        load.mails,
        load.size,
        place.display()
    );
    let sent: Vec<Generated> = mails(load.mails, load.size, 9).collect();
    let bytes: usize = sent.iter().map(|mail| mail.raw.len()).sum();
    for mail in &sent {
        server.add_mail(Dovecot::USER, "INBOX", &mail.raw);
    }
    if load.runs == 0 {
        println!(
            "imap://{}@127.0.0.1:{}/INBOX",
            Dovecot::USER.replace('@', "%40"),
            server.imap_port()
        );
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
        return Ok(());
    }
    let bench = subjects::Bench {
        server: &server,
        place: &place,
        mails: sent.len(),
        parts: parts(&sent),
    };
    // Once without counting: the server builds its index, the plugins are compiled.
    bench.flow_download().context("flow does not run")?;

    type Subject<'a> = (&'a str, Box<dyn Fn() -> Result<Option<Measured>> + 'a>);
    let subjects: Vec<Subject<'_>> = vec![
        ("mbsync", Box::new(|| bench.mbsync())),
        (
            "flow, download to disk",
            Box::new(|| bench.flow_download().map(Some)),
        ),
        (
            "flow, poll + download + decode + post",
            Box::new(|| bench.flow_pipeline().map(Some)),
        ),
        ("getmail6", Box::new(|| bench.getmail())),
    ];
    // In turns, so that what else the machine does falls on all of them alike.
    let mut measured: Vec<Vec<Measured>> = subjects.iter().map(|_| Vec::new()).collect();
    for round in 1..=load.runs {
        for ((name, run), measured) in subjects.iter().zip(&mut measured) {
            if load.skips.iter().any(|skip| skip == name) {
                continue;
            }
            eprintln!("{round}/{}: {name}", load.runs);
            measured.extend(run()?);
        }
    }
    let results: Vec<_> = subjects
        .iter()
        .map(|(name, _)| *name)
        .zip(measured.into_iter().map(median))
        .collect();
    println!(
        "{} mails, {:.1} MB, median of {}:\n",
        sent.len(),
        bytes as f64 / 1e6,
        load.runs
    );
    table(&results, sent.len(), bytes);
    start_up(&bench)
}

fn parts(sent: &[Generated]) -> usize {
    sent.iter().map(|mail| mail.parts.len()).sum()
}

fn table(results: &[(&str, Option<Measured>)], mails: usize, bytes: usize) {
    let rate = |measured: &Measured| mails as f64 / measured.time.as_secs_f64();
    let base = results[0].1.as_ref().map(rate);
    println!("| program | mail/s | MB/s | seconds | of mbsync | peak memory |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    for (name, measured) in results {
        let Some(measured) = measured else {
            println!("| {name} | not measured | | | | |");
            continue;
        };
        let seconds = measured.time.as_secs_f64();
        let ratio = base.map_or("-".to_owned(), |base| {
            format!("{:.2}", rate(measured) / base)
        });
        println!(
            "| {name} | {:.0} | {:.1} | {seconds:.2} | {ratio} | {:.0} MiB |",
            rate(measured),
            bytes as f64 / 1e6 / seconds,
            measured.peak as f64 / 1_048_576.0
        );
    }
}

fn start_up(bench: &subjects::Bench<'_>) -> Result<()> {
    let help = median((0..21).map(|_| bench.help()).collect::<Result<_>>()?);
    let mut gathers: Vec<Duration> = (0..7)
        .map(|_| bench.first_gather())
        .collect::<Result<_>>()?;
    gathers.sort();
    let help = help.context("measured a moment ago")?;
    println!("\n| start | milliseconds |\n| --- | ---: |");
    println!("| `flow --help` | {:.1} |", help.time.as_secs_f64() * 1e3);
    println!(
        "| `flow foreground` to first gather, warm cache | {:.1} |",
        gathers[gathers.len() / 2].as_secs_f64() * 1e3
    );
    Ok(())
}

fn load(mut arguments: impl Iterator<Item = String>) -> Result<Load> {
    let mut load = Load {
        mails: 2_000,
        size: 50_000,
        runs: 3,
        skips: Vec::new(),
    };
    while let Some(name) = arguments.next() {
        let value = arguments
            .next()
            .with_context(|| format!("{name} needs a value"))?;
        let number = || {
            let parsed: Result<usize, _> = value.parse();
            parsed.with_context(|| format!("{name} needs a number, not `{value}`"))
        };
        match name.as_str() {
            "--mails" => load.mails = number()?,
            "--size" => load.size = number()?,
            "--runs" => load.runs = number()?,
            "--skip" => load.skips.push(value),
            other => bail!(
                "unknown option {other}; known are --mails, --size, --runs, --skip and --place"
            ),
        }
    }
    Ok(load)
}

/// A fresh installation below `place`.
fn installation(place: &Path) -> Flow {
    Flow::new_in(place)
}
