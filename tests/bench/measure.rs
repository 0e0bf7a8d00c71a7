//! Wall time and peak memory of one command.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use flow_testkit::{peak_memory, wait};

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) time: Duration,
    /// Bytes; the kernel's high-water mark, read every millisecond.
    pub(crate) peak: u64,
}

/// Runs a command to its end, its words going to `log`.
///
/// # Errors
/// It can't be started, or does not end with 0.
pub(crate) fn measure(command: &mut Command, log: &Path) -> Result<Measured> {
    let file = File::create(log)?;
    command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file);
    let start = Instant::now();
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    let mut peak = 0;
    loop {
        peak = peak.max(peak_memory(child.id()).unwrap_or(0));
        if let Some(status) = child.try_wait()? {
            let time = start.elapsed();
            if !status.success() {
                bail!(
                    "{command:?} ended with {status}:\n{}",
                    std::fs::read_to_string(log)?
                );
            }
            return Ok(Measured { time, peak });
        }
        wait::pause(Duration::from_millis(1));
    }
}

/// The run in the middle by time, with the largest memory of all.
pub(crate) fn median(mut runs: Vec<Measured>) -> Option<Measured> {
    runs.sort_by_key(|run| run.time);
    let peak = runs.iter().map(|run| run.peak).max()?;
    Some(Measured {
        peak,
        ..runs[runs.len() / 2]
    })
}
