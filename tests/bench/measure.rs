//! Wall time and peak memory of one command.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use flow_testkit::{peak_memory, wait};

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) time: Duration,
    /// Bytes; the kernel's high-water mark, read every 20 ms.
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
    let pid = child.id();
    let ended = AtomicBool::new(false);
    let (status, time, peak) = std::thread::scope(|scope| {
        // Beside the wait, and seldom: on two cores a close watch slows what it watches.
        let watch = scope.spawn(|| {
            let mut peak = 0;
            while !ended.load(Ordering::Relaxed) {
                peak = peak.max(peak_memory(pid).unwrap_or(0));
                wait::pause(Duration::from_millis(20));
            }
            peak
        });
        let status = child.wait();
        let time = start.elapsed();
        ended.store(true, Ordering::Relaxed);
        (status, time, watch.join().unwrap_or(0))
    });
    let status = status?;
    if !status.success() {
        bail!(
            "{command:?} ended with {status}:\n{}",
            std::fs::read_to_string(log)?
        );
    }
    Ok(Measured { time, peak })
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
