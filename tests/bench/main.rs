//! Times `flow` beside its peers, in one run each. See README.md here; started by `tests/bench/run`.
//!
//! Everything is on loopback and, where there is one, on a tmpfs, so that the disk's fsync is not
//! what is measured, unless `--place` names a directory on one. The programs run in turns, each
//! several times, and the run in the middle counts. Figures move from machine to machine; the ratio
//! is what counts. Nothing here is a test: what is checked is only that every program did all of its
//! work.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that prints a table"
)]

mod broker;
mod callback;
mod compare;
mod download;
mod idle;
mod instance;
mod mail;
mod measure;
mod post;
mod scan;
mod shovel;
mod sr3;
mod watch;
mod winnow;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).collect();
    settle(&mut arguments)?;
    let mut arguments = arguments.into_iter().peekable();
    let named = arguments.next_if(|first| !first.starts_with('-'));
    match named.as_deref() {
        None | Some("mail") => mail::run(arguments),
        Some("shovel") => shovel::run(&Load::new(arguments, 40_000)?),
        Some("post") => post::run(&Load::new(arguments, 20_000)?),
        Some("download") => download::run(&Load::new(arguments, 5_000)?),
        Some("watch") => watch::run(&Load::new(arguments, 100_000)?),
        Some("callback") => callback::run(&Load::new(arguments, 40_000)?),
        Some("scan") => scan::run(&Load::new(arguments, 2_000)?),
        Some("idle") => idle::run(&Load::new(arguments, 0)?),
        Some("winnow") => winnow::run(&Load::new(arguments, 40_000)?),
        Some(other) => bail!(
            "there is no bench `{other}`; there are mail, shovel, post, download, watch, winnow, idle, scan and callback"
        ),
    }
}

/// How much is done, and how often.
#[derive(Debug)]
pub(crate) struct Load {
    /// Messages or files.
    pub(crate) count: usize,
    pub(crate) runs: usize,
    /// Programs left out, by the names in the table.
    pub(crate) skips: Vec<String>,
}

impl Load {
    fn new(mut arguments: impl Iterator<Item = String>, count: usize) -> Result<Self> {
        let mut load = Self {
            count,
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
                "--count" => load.count = number()?,
                "--runs" => load.runs = number()?,
                "--skip" => load.skips.push(value),
                other => {
                    bail!("unknown option {other}; known are --count, --runs, --skip and --place")
                }
            }
        }
        Ok(load)
    }
}

/// What `--place` names.
static PLACE: OnceLock<PathBuf> = OnceLock::new();
/// Characters of it at most: 108 bytes are all a socket's path may have, and Dovecot makes some.
const LONGEST: usize = 58;

/// Takes `--place DIR` out of the arguments, whatever the bench, for [`place`].
fn settle(arguments: &mut Vec<String>) -> Result<()> {
    let Some(at) = arguments.iter().position(|name| name == "--place") else {
        return Ok(());
    };
    let named = arguments.drain(at..arguments.len().min(at + 2)).nth(1);
    let named = named.context("--place needs a value")?;
    let directory = Path::new(&named).canonicalize();
    let directory = directory.with_context(|| format!("--place {named} is no directory"))?;
    ensure!(
        directory.as_os_str().len() <= LONGEST,
        "--place {} is too long for sockets below it: {LONGEST} characters at most",
        directory.display()
    );
    PLACE.get_or_init(|| directory);
    Ok(())
}

/// Where broker, mailbox, files and results lie: what `--place` names, else a tmpfs if the machine
/// has one.
pub(crate) fn place() -> PathBuf {
    let shared = Path::new("/dev/shm");
    match PLACE.get() {
        Some(named) => named.clone(),
        None if shared.is_dir() => shared.to_owned(),
        None => std::env::temp_dir(),
    }
}

/// A program of the search path, if it is installed.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
}
