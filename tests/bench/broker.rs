//! A private RabbitMQ, and the program that posts to it and waits for what arrives.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use flow_testkit::{Flow, RabbitMq, RabbitMqSetup, without_password};

use crate::compare::Run;
use crate::measure::Service;
use crate::place;

/// A user, and its password.
const PLAIN: &str = "bench";

/// A broker at [`place`].
pub(crate) struct Broker {
    server: RabbitMq,
    tool: PathBuf,
}

/// Something that is waited for.
pub(crate) struct Waiting {
    child: Child,
    count: usize,
}

/// From closing or posting one to its arrival.
pub(crate) struct Latency {
    pub(crate) half: Duration,
    pub(crate) most: Duration,
    pub(crate) worst: Duration,
}

impl Broker {
    pub(crate) fn start() -> Result<Self> {
        let tool = std::env::current_exe()?.with_file_name("flow-bench-amqp");
        let setup = RabbitMqSetup::new().user(PLAIN, PLAIN, ".*", ".*", ".*");
        let server = RabbitMq::try_start(&setup, &place())?;
        Ok(Self { server, tool })
    }

    /// With a password of letters, for who takes it as it stands in the URL.
    pub(crate) fn plain_url(&self) -> String {
        self.server.url_for(PLAIN, PLAIN, "/")
    }

    /// With the password, for `credentials.conf`.
    pub(crate) fn secret_url(&self) -> String {
        self.server.url("/")
    }

    /// Without the password, for flows, and as sr3 looks for it in its credentials.
    pub(crate) fn url(&self) -> String {
        without_password(&self.secret_url()).replace("/%2F", "/")
    }

    /// An installation that can log in.
    pub(crate) fn installation(&self) -> Flow {
        let flow = Flow::new_in(&place());
        flow.credentials(&format!("{}\n", self.secret_url()));
        flow
    }

    fn tool(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.tool);
        command.arg(self.secret_url()).args(arguments);
        command
    }

    fn ask(&self, arguments: &[&str]) -> Result<String> {
        let output = self
            .tool(arguments)
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("cannot start {}", self.tool.display()))?;
        ensure!(output.status.success(), "{arguments:?} failed");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    pub(crate) fn declare(&self, queue: &str, exchange: &str) -> Result<()> {
        self.ask(&["declare", queue, exchange]).map(drop)
    }

    pub(crate) fn fill(&self, exchange: &str, count: usize) -> Result<()> {
        self.ask(&["fill", exchange, &count.to_string()]).map(drop)
    }

    pub(crate) fn purge(&self, queue: &str) -> Result<()> {
        self.ask(&["purge", queue]).map(drop)
    }

    /// The command of the bare echo.
    pub(crate) fn echo(&self, queue: &str, exchange: &str) -> Command {
        self.tool(&["echo", queue, exchange])
    }

    /// Begins to wait for `count` in `queue`.
    pub(crate) fn wait(&self, queue: &str, count: usize) -> Result<Waiting> {
        let child = self
            .tool(&["wait", queue, &count.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Waiting { child, count })
    }

    /// Moves `count` messages with a program that runs until it is stopped. Timed from the first
    /// arrival, so that starting does not count.
    pub(crate) fn moved(&self, queue: &str, count: usize, mut command: Command) -> Result<Run> {
        self.purge(queue)?;
        let waiting = self.wait(queue, count)?;
        let started = SystemTime::now();
        let log = tempfile::NamedTempFile::new()?;
        let service = Service::start(&mut command, log.path())?;
        let mut run = waiting
            .end(started)
            .with_context(|| std::fs::read_to_string(log.path()).unwrap_or_default())?;
        run.cpu = service.cpu();
        run.peak = service.peak();
        Ok(run)
    }

    /// How long one message takes from `exchange` to `queue`, through `command`.
    pub(crate) fn single(
        &self,
        exchange: &str,
        queue: &str,
        count: usize,
        mut command: Command,
    ) -> Result<Latency> {
        self.purge(queue)?;
        let log = tempfile::NamedTempFile::new()?;
        let _service = Service::start(&mut command, log.path())?;
        // The first ones only show that it runs.
        self.ask(&["single", exchange, queue, "3"])?;
        latency(&self.ask(&["single", exchange, queue, &count.to_string()])?)
    }

    /// How long it takes from closing a file in `directory` to its message in `queue`.
    pub(crate) fn files(&self, directory: &str, queue: &str, count: usize) -> Result<Latency> {
        latency(&self.ask(&["files", directory, queue, &count.to_string()])?)
    }
}

fn latency(said: &str) -> Result<Latency> {
    let numbers: Vec<u64> = said
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let [half, most, worst] = numbers[..] else {
        anyhow::bail!("`{said}` is not three numbers");
    };
    Ok(Latency {
        half: Duration::from_micros(half),
        most: Duration::from_micros(most),
        worst: Duration::from_micros(worst),
    })
}

impl Waiting {
    /// Waits. `started` is when the program was; the rate counts from the first arrival.
    pub(crate) fn end(self, started: SystemTime) -> Result<Run> {
        let output = self.child.wait_with_output()?;
        ensure!(output.status.success(), "the messages did not arrive");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let numbers: Vec<u64> = said
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        let [first, there, last] = numbers[..] else {
            anyhow::bail!("`{said}` is not three numbers");
        };
        let at = |micros| SystemTime::UNIX_EPOCH + Duration::from_micros(micros);
        Ok(Run {
            count: self.count.saturating_sub(usize::try_from(there)?),
            time: at(last).duration_since(at(first))?,
            cpu: Duration::ZERO,
            peak: 0,
            first: Some(at(first).duration_since(started).unwrap_or_default()),
        })
    }
}

/// A place for the words of programs.
pub(crate) fn log() -> Result<(tempfile::TempDir, PathBuf)> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("log");
    File::create(&path)?;
    Ok((directory, path))
}
