//! `--step` and `--break`: stops at messages and lets a person look, edit and decide.
//!
//! Commands come from the terminal, or from a file (`--commands`). One message is asked about at a
//! time; while somebody thinks, the flow waits.

mod command;
mod look;

use std::collections::HashSet;
use std::io::BufRead;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use async_trait::async_trait;
use flow_daemon::Drain;
use flow_runtime::ports::{Debugger, Failure, Rejection, Step, Stop};
use regex::Regex;
use tokio::sync::{Mutex, mpsc};

use crate::console::Console;
use crate::render::printable;
use crate::stop::Problem;

use command::{Command, HELP};

/// Where a flow can be stopped, in the order a message meets it.
pub(crate) const STAGES: [&str; 8] = [
    "gather",
    "accept",
    "after_accept",
    "download",
    "send",
    "after_work",
    "post",
    "settle",
];

/// `--break ENTRY_POINT[:REGEX]`.
#[derive(Debug, Clone)]
pub(crate) struct Break {
    stage: String,
    path: Option<Regex>,
}

impl std::str::FromStr for Break {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (stage, path) = match text.split_once(':') {
            Some((stage, path)) => (stage, Some(path)),
            None => (text, None),
        };
        if !STAGES.contains(&stage) {
            return Err(format!(
                "a flow stops before {}, and not before `{stage}`",
                STAGES.join(", ")
            ));
        }
        let path = path.map(Regex::new).transpose();
        Ok(Self {
            stage: stage.to_owned(),
            path: path.map_err(|error| error.to_string())?,
        })
    }
}

/// What somebody wants to see.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// Every stage.
    pub(crate) step: bool,
    /// These.
    pub(crate) breaks: Vec<Break>,
}

/// Asks a person, or reads what a person wrote down.
pub(crate) struct Prompt {
    console: Console,
    wanted: Wanted,
    drain: Drain,
    /// Nobody is asked any more: everything goes on.
    on: AtomicBool,
    /// Nobody is asked any more: everything goes back.
    quit: AtomicBool,
    talk: Mutex<Talk>,
}

struct Talk {
    lines: mpsc::UnboundedReceiver<String>,
    /// Tells the reader of the terminal to read one more line.
    more: Option<std::sync::mpsc::Sender<()>>,
    /// Messages that are not asked about any more, by key.
    passed: HashSet<String>,
}

impl std::fmt::Debug for Prompt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prompt").finish_non_exhaustive()
    }
}

impl Prompt {
    /// Commands from `script` (`-` is standard input), or else from the terminal.
    ///
    /// # Errors
    /// Nobody is at the terminal, or the script can't be read.
    pub(crate) fn new(
        console: Console,
        wanted: Wanted,
        script: Option<&Path>,
        drain: Drain,
    ) -> anyhow::Result<Self> {
        let (send, lines) = mpsc::unbounded_channel();
        let more = match script {
            Some(path) => {
                let text = match path.as_os_str() == "-" {
                    true => {
                        std::io::read_to_string(std::io::stdin()).context("can't read stdin")?
                    }
                    false => std::fs::read_to_string(path)
                        .with_context(|| format!("can't read {}", path.display()))?,
                };
                for line in text.lines() {
                    let _ = send.send(line.to_owned());
                }
                None
            }
            None if console.can_ask() => Some(listen(send)),
            None => {
                return Err(Problem::new(
                    "cli/no-terminal",
                    "nobody is at a terminal to say how a message goes on",
                )
                .note("nothing was run")
                .hint("`--commands FILE` takes the answers from a file, `--commands -` from stdin")
                .into());
            }
        };
        let talk = Talk {
            lines,
            more,
            passed: HashSet::new(),
        };
        Ok(Self {
            console,
            wanted,
            drain,
            on: AtomicBool::new(false),
            quit: AtomicBool::new(false),
            talk: Mutex::new(talk),
        })
    }

    fn is_wanted(&self, stop: &Stop<'_>) -> bool {
        let path = stop.item.map(|item| item.message.rel_path.as_str());
        let hit = |one: &Break| {
            let matches = |regex: &Regex| path.is_none_or(|path| regex.is_match(path));
            one.stage == stop.stage && one.path.as_ref().is_none_or(matches)
        };
        self.wanted.step || self.wanted.breaks.iter().any(hit)
    }

    /// The next command; none where there are no more.
    async fn next(&self, talk: &mut Talk) -> Option<String> {
        if let Some(more) = &talk.more {
            self.console.prompt("(flow) ");
            let _ = more.send(());
        }
        let line = tokio::select! {
            line = talk.lines.recv() => line,
            () = self.drain.requested() => return Some("quit".into()),
        };
        match (&line, &talk.more) {
            // What was written down is shown where it was answered.
            (Some(line), None) => self.console.talk(&format!("(flow) {}", printable(line))),
            (None, Some(_)) => return Some("quit".into()),
            _ => {}
        }
        line
    }

    fn end_asking(&self) -> Step {
        self.quit.store(true, Ordering::Relaxed);
        self.console.talk(
            "quitting: what is in hand goes back undecided, and comes again at the next start",
        );
        self.drain.request();
        Step::Back
    }
}

/// Reads the terminal, a line each time it is asked to.
fn listen(send: mpsc::UnboundedSender<String>) -> std::sync::mpsc::Sender<()> {
    let (more, wanted) = std::sync::mpsc::channel();
    // It ends with the process: reading a terminal can't be called off.
    std::thread::spawn(move || {
        while wanted.recv().is_ok() {
            let mut line = String::new();
            match std::io::stdin().lock().read_line(&mut line) {
                Ok(1..) if send.send(line).is_ok() => {}
                _ => return,
            }
        }
    });
    more
}

#[async_trait]
impl Debugger for Prompt {
    fn wants(&self, stage: &str, _callback: Option<&str>) -> bool {
        if self.quit.load(Ordering::Relaxed) {
            return stage != "settle";
        }
        let listed = || self.wanted.breaks.iter().any(|one| one.stage == stage);
        !self.on.load(Ordering::Relaxed) && (self.wanted.step || listed())
    }

    async fn stop(&self, stop: Stop<'_>) -> Step {
        let mut talk = self.talk.lock().await;
        if self.quit.load(Ordering::Relaxed) {
            return Step::Back;
        }
        let key = stop.item.map(|item| item.key.clone()).unwrap_or_default();
        if self.on.load(Ordering::Relaxed) || !self.is_wanted(&stop) || talk.passed.contains(&key) {
            return Step::Go;
        }
        match (&stop.note, stop.stage) {
            (Some(refused), stage) if stage != "settle" => {
                self.console
                    .talk(&format!("not changed: {}", printable(refused)));
            }
            _ => self.console.talk(&look::headline(&stop)),
        }
        loop {
            let Some(line) = self.next(&mut talk).await else {
                self.console.talk("no more commands: everything goes on");
                self.on.store(true, Ordering::Relaxed);
                return Step::Go;
            };
            let command = match line.parse::<Command>() {
                Ok(command) => command,
                Err(why) => {
                    self.console.talk(&why);
                    continue;
                }
            };
            match command {
                Command::Go => return Step::Go,
                Command::Next => {
                    talk.passed.insert(key);
                    return Step::Go;
                }
                Command::End => {
                    self.on.store(true, Ordering::Relaxed);
                    return Step::Go;
                }
                Command::Quit => return self.end_asking(),
                Command::Help => self.console.talk(HELP),
                Command::Print => self.console.talk(&look::message(&stop)),
                Command::Headers => self.console.talk(&look::headers(&stop)),
                Command::Content(most) => self.console.talk(&look::content(&stop, most)),
                Command::Edit(_) | Command::Reject(_) | Command::Fail(_)
                    if stop.item.is_none() || stop.stage == "settle" =>
                {
                    self.console
                        .talk("there is nothing to decide here; `c` goes on");
                }
                Command::Edit(edit) => return Step::Edit(vec![edit]),
                Command::Reject(reason) => {
                    return Step::Reject(Rejection { code: 404, reason });
                }
                Command::Fail(reason) => return Step::Fail(Failure::temporary(reason)),
            }
        }
    }
}
