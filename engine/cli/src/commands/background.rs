//! What the commands about the background process share: reaching it, starting it, choosing flows,
//! and showing what became of them.

pub(crate) mod log;
pub(crate) mod reload;
pub(crate) mod restart;
pub(crate) mod run;
pub(crate) mod sanity;
pub(crate) mod serve;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod top;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use flow_config::FlowName;
use flow_daemon::Engine;
use flow_daemon::background::protocol::{Answer, Outcome, Request, Status};
use flow_daemon::background::{self, Client, GRACE, Trouble};

use crate::context::Context;
use crate::names;
use crate::render::{Align, Table, printable_lines};
use crate::stop::{Exit, Problem};

/// How long the process may take to come up or to go. It is milliseconds; a machine may be busy.
const COMING: Duration = Duration::from_secs(20);
/// How often it is looked whether it did.
const LOOK: Duration = Duration::from_millis(2);
/// How long it may take to answer, flows aside.
const ANSWERING: Duration = Duration::from_secs(10);

/// `--grace`.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct GraceArg {
    /// How long flows may take to finish what is in hand, in seconds; then they are dropped
    #[arg(long, value_name = "SECONDS", default_value_t = GRACE.as_secs(), hide_default_value = true)]
    grace: u64,
}

impl GraceArg {
    fn millis(self) -> u64 {
        self.grace.saturating_mul(1000)
    }

    /// How long to wait for the answer to what stops flows.
    fn patience(self) -> Duration {
        Duration::from_secs(self.grace).saturating_add(STARTING)
    }
}

/// How long starting flows may take: each may have a plugin to compile.
const STARTING: Duration = Duration::from_secs(120);

/// The background process, if it is there. One that is coming up or going is waited for.
///
/// # Errors
/// It is there, but does not answer.
pub(super) fn connect(engine: &Engine) -> anyhow::Result<Option<Client>> {
    let start = Instant::now();
    loop {
        let client = Client::connect(&engine.socket_file())
            .with_context(|| format!("can't use {}", engine.socket_file().display()))?;
        if let Some(mut client) = client {
            // A process that is killed can be connected to for a moment after its end.
            match client.ask(Request::Ping, ANSWERING) {
                Ok(_) | Err(Trouble::Refused(_)) => return Ok(Some(client)),
                Err(Trouble::Silent) => return Err(silent(engine).into()),
                Err(Trouble::Broken(_)) => {}
                Err(trouble) => return Err(trouble.into()),
            }
        } else if background::holder(&engine.lock_file()).is_none() {
            return Ok(None);
        }
        if start.elapsed() > COMING {
            return Err(silent(engine).into());
        }
        std::thread::park_timeout(LOOK);
    }
}

/// Refuses a process that runs the flows of another directory.
///
/// # Errors
/// It does.
fn same_configuration(engine: &Engine, running: &Status) -> anyhow::Result<()> {
    let Some(process) = &running.process else {
        return Ok(());
    };
    let own = &engine.directories().config;
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if real(Path::new(&process.config)) == real(own) {
        return Ok(());
    }
    Err(Problem::new(
        "run/other-configuration",
        format!(
            "process {} runs the flows of {}, not those of {}",
            process.pid,
            process.config,
            own.display()
        ),
    )
    .note(format!(
        "one process runs all flows of a state directory, here {}: nothing was done",
        engine.directories().state.display()
    ))
    .hint(format!(
        "`--config-dir {}` is about its flows; `--state-dir` (or FLOW_STATE_DIR) with a directory of \
         its own runs the others beside it",
        process.config
    ))
    .into())
}

/// Refuses to start a process that could not offer the metrics it is asked for. One that runs
/// already, as `there` says, keeps what it was started with.
///
/// # Errors
/// FLOW_METRICS is no address, one that is open to the network by mistake, or one in use.
fn check_metrics(context: &Context, there: bool) -> anyhow::Result<()> {
    if there {
        return Ok(());
    }
    serve::try_metrics(context)
}

/// The background process, which is started if it is not there.
///
/// # Errors
/// It does not come up.
pub(super) fn connect_or_start(context: &Context, engine: &Engine) -> anyhow::Result<Client> {
    if let Some(client) = connect(engine)? {
        return Ok(client);
    }
    let mut child = spawn(context, engine)?;
    let start = Instant::now();
    loop {
        if let Ok(Some(client)) = Client::connect(&engine.socket_file()) {
            return Ok(client);
        }
        // One that another command started at the same time is as good, and ours leaves it alone.
        let ended = child.try_wait().context("can't look after a process")?;
        let other = || background::holder(&engine.lock_file()).is_some();
        if ended.is_some_and(|status| !status.success() && !other()) || start.elapsed() > COMING {
            let log = engine.log_file(None);
            return Err(Problem::new(
                "run/no-background",
                "the background process did not come up",
            )
            .hint(format!("{} says why", log.display()))
            .into());
        }
        std::thread::park_timeout(LOOK);
    }
}

/// Starts this program as the background process.
fn spawn(context: &Context, engine: &Engine) -> anyhow::Result<Child> {
    let program = std::env::current_exe().context("can't find this program")?;
    let log = engine.log_file(None);
    if let Some(directory) = log.parent() {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("can't make {}", directory.display()))?;
    }
    // For what the process says before its log is open, and should it ever panic in a strange place.
    let output = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&log)
        .with_context(|| format!("can't write {}", log.display()))?;
    let directories = engine.directories();
    let mut command = Command::new(program);
    command
        .arg("background")
        .arg("--config-dir")
        .arg(&directories.config)
        .arg("--state-dir")
        .arg(&directories.state)
        .args(["--color", "never"])
        .env("FLOW_CACHE_DIR", &directories.cache)
        // Many threads that each keep free memory to themselves are dear in a process that idles.
        .env("MALLOC_ARENA_MAX", "2")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(output.try_clone().context("can't write the log")?)
        .stderr(output);
    if let Some(level) = context.level_asked_for() {
        command.args(["--log-level", level.as_str()]);
    }
    command
        .spawn()
        .context("can't start the background process")
}

/// Waits until the background process is gone.
///
/// # Errors
/// It does not go.
fn wait_for_the_end(engine: &Engine, limit: Duration) -> anyhow::Result<()> {
    let start = Instant::now();
    while background::holder(&engine.lock_file()).is_some() {
        if start.elapsed() > limit {
            return Err(silent(engine).into());
        }
        std::thread::park_timeout(LOOK);
    }
    Ok(())
}

/// Asks for something to be done.
///
/// # Errors
/// It was refused, or nobody answered.
pub(super) fn ask(
    engine: &Engine,
    client: &mut Client,
    request: Request,
    patience: Duration,
) -> anyhow::Result<Vec<Outcome>> {
    match answer(engine, client, request, patience)? {
        Answer::Done(outcomes) => Ok(outcomes),
        other => Err(unexpected(&other).into()),
    }
}

/// Starts flows, in the background process that is there or in a new one; with `all` these are all
/// there are.
///
/// # Errors
/// The process does not come up, or does not answer.
fn start_flows(
    context: &Context,
    engine: &Engine,
    flows: Vec<String>,
    all: bool,
) -> anyhow::Result<Vec<Outcome>> {
    let mut client = connect_or_start(context, engine)?;
    let request = Request::Start { flows, all };
    ask(engine, &mut client, request, STARTING)
}

/// How things are; without flows where there is no background process.
///
/// # Errors
/// It is there, but does not answer.
pub(super) fn running(engine: &Engine) -> anyhow::Result<Status> {
    let Some(mut client) = connect(engine)? else {
        return Ok(Status::default());
    };
    status_of(engine, &mut client)
}

/// How things are in the process.
///
/// # Errors
/// It does not answer.
fn status_of(engine: &Engine, client: &mut Client) -> anyhow::Result<Status> {
    match answer(engine, client, Request::Status, ANSWERING)? {
        Answer::Status(status) => Ok(status),
        other => Err(unexpected(&other).into()),
    }
}

/// What the process answers.
fn answer(
    engine: &Engine,
    client: &mut Client,
    request: Request,
    patience: Duration,
) -> anyhow::Result<Answer> {
    client
        .ask(request, patience)
        .map_err(|trouble| match trouble {
            Trouble::Silent => silent(engine).into(),
            trouble => trouble.into(),
        })
}

/// An answer to something else.
fn unexpected(answer: &Answer) -> Trouble {
    Trouble::Answer(format!("{answer:?}"))
}

fn silent(engine: &Engine) -> Problem {
    let pid = background::holder(&engine.lock_file()).flatten();
    let pid = pid
        .map(|pid| format!(" (process {pid})"))
        .unwrap_or_default();
    Problem::new(
        "run/background-silent",
        format!("the background process{pid} does not answer"),
    )
    .note("flows lose nothing when it is killed")
    .hint("`flow sanity` kills it and starts what should run")
}

/// That there is no background process, which a command needs.
fn nobody(context: &Context) {
    context.console.talk("nothing runs in the background");
}

/// The flows that names and patterns select among files and what runs.
///
/// # Errors
/// One of them selects nothing.
fn select(
    context: &Context,
    engine: &Engine,
    patterns: &[String],
    running: &Status,
) -> anyhow::Result<Vec<String>> {
    let mut all: Vec<String> = running.flows.iter().map(|flow| flow.flow.clone()).collect();
    all.extend(engine.flow_files()?.iter().map(ToString::to_string));
    all.sort();
    all.dedup();
    let mut selected = Vec::new();
    for pattern in patterns {
        let found = names::select(pattern, &all);
        if found.is_empty() {
            // Says what is near.
            context.select(engine, std::slice::from_ref(pattern))?;
        }
        selected.extend(found.into_iter().cloned());
    }
    selected.sort();
    selected.dedup();
    Ok(selected)
}

/// Whether a person means one flow, and not some.
fn is_exact(pattern: &str) -> bool {
    !pattern.contains(['*', '?'])
}

fn texts(names: &[FlowName]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// Prints what became of flows; the reasons go to stderr.
///
/// # Errors
/// Stdout can't be written.
fn show(context: &Context, outcomes: &[Outcome], json: bool) -> anyhow::Result<Exit> {
    let console = &context.console;
    if json {
        console.print(&serde_json::to_string_pretty(outcomes)?)?;
    } else {
        console.print(&table(outcomes).render(console.paint()))?;
        for outcome in outcomes.iter().filter(|outcome| !outcome.text.is_empty()) {
            let text = printable_lines(&outcome.text, "    ");
            console.talk(&format!("{}: {text}", outcome.flow));
        }
    }
    if outcomes.iter().any(|outcome| outcome.result.is_bad()) {
        Ok(Exit::No)
    } else {
        Ok(Exit::Done)
    }
}

fn table(outcomes: &[Outcome]) -> Table {
    let mut table = Table::new(&[("", Align::Left), ("", Align::Left)]);
    for outcome in outcomes {
        table.row([&outcome.flow, outcome.result.as_str()]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_told_from_a_pattern() {
        assert!(is_exact("poll/mail"));
        assert!(is_exact("mail"));
        assert!(!is_exact("poll/*"));
        assert!(!is_exact("mail-?"));
    }

    #[test]
    fn waiting_takes_the_grace_into_account() {
        let grace = GraceArg { grace: 7 };
        assert_eq!(grace.millis(), 7000);
        assert!(grace.patience() > Duration::from_secs(7));
        assert_eq!(GraceArg { grace: u64::MAX }.millis(), u64::MAX);
    }
}
