//! `flow log [FLOW]`: the end of a log, and what comes after.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use crate::console::Console;
use crate::context::Context;
use crate::journal;
use crate::stop::Exit;

/// Arguments of `flow log`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Prints the end of a flow's log, or without a name that of the background process: which flows were \
started and stopped, which could not start and why. A log begins anew every day and when it is large; older ones lie \
beside it in <state>/log as kind/name.log.1 and so on, and are looked into as far as needed.

Examples:
  flow log
  flow log poll/mail -n 100
  flow log poll/mail -f

Exit codes: 0 done, 1 there is no log yet, 2 could not run.")]
pub(crate) struct Args {
    /// Which flow: `kind/name`; none means the background process
    #[arg(value_name = "FLOW")]
    flow: Option<String>,
    /// Go on as lines are added, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// How many lines
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    lines: usize,
}

/// How often a log is looked at for more.
const LOOK: Duration = Duration::from_millis(100);
/// Read at a time.
const BLOCK: u64 = 64 << 10;

/// Prints it.
///
/// # Errors
/// There is no such flow, or the log can't be read.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.engine()?;
    let name = match &args.flow {
        Some(name) => Some(context.one(&engine, name)?),
        None => None,
    };
    let path = engine.log_file(name.as_ref());
    if !path.exists() && !args.follow {
        let what = name.map_or("the background process".to_owned(), |name| {
            format!("`{name}`")
        });
        let text = format!("{what} has no log yet: it has not run in the background");
        context.console.talk(&text);
        return Ok(Exit::No);
    }
    let reading = || format!("can't read {}", path.display());
    let mut end = 0;
    let mut lines = Vec::new();
    if let Some(mut file) = open(&path).with_context(reading)? {
        (lines, end) = tail(&mut file, args.lines).with_context(reading)?;
    }
    // A log that just began anew says little.
    let mut number = 1;
    while lines.len() < args.lines {
        let Some(mut file) = open(&journal::older(&path, number)).with_context(reading)? else {
            break;
        };
        let (mut older, _) = tail(&mut file, args.lines - lines.len()).with_context(reading)?;
        older.append(&mut lines);
        lines = older;
        number += 1;
    }
    if !lines.is_empty() {
        context.console.print(&lines.join("\n"))?;
    }
    if args.follow {
        follow(&path, end, &context.console).with_context(reading)?;
    }
    Ok(Exit::Done)
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The last `count` lines, and where they end.
fn tail(file: &mut File, count: usize) -> io::Result<(Vec<String>, u64)> {
    let end = file.seek(SeekFrom::End(0))?;
    let mut text: Vec<u8> = Vec::new();
    let mut start = end;
    while start > 0 && text.iter().filter(|byte| **byte == b'\n').count() <= count {
        let size = start.min(BLOCK);
        start -= size;
        file.seek(SeekFrom::Start(start))?;
        let mut block = Vec::new();
        file.take(size).read_to_end(&mut block)?;
        block.append(&mut text);
        text = block;
    }
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.len().saturating_sub(count);
    Ok((
        lines[first..].iter().map(ToString::to_string).collect(),
        end,
    ))
}

/// Prints what is added after `at`, also when the log begins anew.
fn follow(path: &Path, mut at: u64, console: &Console) -> io::Result<()> {
    let mut file = open(path)?;
    loop {
        if let Some(open) = &mut file {
            open.seek(SeekFrom::Start(at))?;
            let mut added = Vec::new();
            open.take(BLOCK).read_to_end(&mut added)?;
            if !added.is_empty() {
                at += added.len() as u64;
                console.print_part(&String::from_utf8_lossy(&added))?;
                continue;
            }
        }
        // What is left of the old one was read above.
        let moved = match (&file, std::fs::metadata(path)) {
            (_, Err(_)) => false,
            (None, Ok(_)) => true,
            (Some(old), Ok(new)) => old.metadata()?.ino() != new.ino() || new.len() < at,
        };
        if moved {
            file = open(path)?;
            at = 0;
            continue;
        }
        std::thread::park_timeout(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_found_across_blocks() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.log");
        let text: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
        std::fs::write(&path, &text).expect("writable");
        let mut file = File::open(&path).expect("there");
        let check = |file: &mut File, count: usize| {
            let (lines, end) = tail(file, count).expect("readable");
            assert_eq!(end, text.len() as u64);
            let wanted: Vec<&str> = text.lines().collect();
            assert_eq!(lines, wanted[wanted.len().saturating_sub(count)..]);
        };
        for count in [0, 1, 20, 15_000, 20_000, 30_000] {
            check(&mut file, count);
        }
        std::fs::write(&path, "").expect("writable");
        assert_eq!(tail(&mut file, 5).expect("readable"), (Vec::new(), 0));
    }
}
