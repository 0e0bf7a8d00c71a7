//! Wall time, computing and memory of programs.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use flow_testkit::{peak_memory, wait};

use crate::compare::Run;

/// What `/proc` counts computing in.
const TICK: Duration = Duration::from_millis(10);

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) time: Duration,
    /// User and system time.
    pub(crate) cpu: Duration,
    /// Bytes; the kernel's high-water mark, read every 20 ms.
    pub(crate) peak: u64,
}

impl Measured {
    /// As a run that did `count` things.
    pub(crate) fn of(self, count: usize) -> Run {
        Run {
            count,
            time: self.time,
            cpu: self.cpu,
            peak: self.peak,
            first: None,
        }
    }

    /// This and then `other`.
    pub(crate) fn then(self, other: Self) -> Self {
        Self {
            time: self.time + other.time,
            cpu: self.cpu + other.cpu,
            peak: self.peak.max(other.peak),
        }
    }
}

/// Runs a command to its end, its words going to `log`.
///
/// # Errors
/// It can't be started, or does not end with 0.
pub(crate) fn measure(command: &mut Command, log: &Path) -> Result<Measured> {
    let before = children_cpu()?;
    let start = Instant::now();
    let mut child = start_quiet(command, log)?;
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
    let cpu = children_cpu()?.saturating_sub(before);
    Ok(Measured { time, cpu, peak })
}

/// Starts a command, its words going to `log`.
fn start_quiet(command: &mut Command, log: &Path) -> Result<Child> {
    let file = File::create(log)?;
    command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))
}

/// A program that runs until it is stopped, with everything it starts.
pub(crate) struct Service {
    child: Child,
}

impl Service {
    /// Starts a command, its words going to `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let child = start_quiet(command.process_group(0), log)?;
        Ok(Self { child })
    }

    /// Computing so far, its descendants' as well.
    pub(crate) fn cpu(&self) -> Duration {
        let ticks: u32 = self
            .members()
            .iter()
            .filter_map(|pid| stat(&pid.to_string()))
            .map(|fields| ticks(&fields, 11) + ticks(&fields, 12))
            .sum();
        TICK * ticks
    }

    /// The largest high-water mark of its processes, bytes.
    pub(crate) fn peak(&self) -> u64 {
        let members = self.members();
        let peaks = members.iter().filter_map(|pid| peak_memory(*pid));
        peaks.max().unwrap_or_default()
    }

    /// Bytes its processes have in memory now; a page that several of their mappings share counts
    /// once.
    pub(crate) fn memory(&self) -> u64 {
        let share = |pid: &u32| {
            let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
            let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
            Some(kilobytes * 1024)
        };
        self.members().iter().filter_map(share).sum()
    }

    /// The processes of its group.
    fn members(&self) -> Vec<u32> {
        let group = self.child.id().to_string();
        let Ok(entries) = std::fs::read_dir("/proc") else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid: &u32| {
                stat(&pid.to_string()).is_some_and(|fields| fields.get(2) == Some(&group))
            })
            .collect()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Each by its number: a group has no shell command that is everywhere.
        for signal in ["-TERM", "-KILL"] {
            for pid in self.members() {
                let _ = Command::new("kill")
                    .args([signal, &pid.to_string()])
                    .stderr(Stdio::null())
                    .status();
            }
            for _ in 0..200 {
                let _ = self.child.try_wait();
                if self.members().is_empty() {
                    break;
                }
                wait::pause(Duration::from_millis(20));
            }
        }
        let _ = self.child.wait();
    }
}

/// The fields of `/proc/PID/stat` from the state on.
fn stat(pid: &str) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

fn ticks(fields: &[String], number: usize) -> u32 {
    let field = fields.get(number).and_then(|field| field.parse().ok());
    field.unwrap_or_default()
}

/// Computing of all children that have ended and were waited for.
fn children_cpu() -> Result<Duration> {
    let fields = stat("self").context("/proc cannot be read")?;
    Ok(TICK * (ticks(&fields, 13) + ticks(&fields, 14)))
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
