//! Runs the `flow` binary as a person would: own directories, captured streams, real signals.
//!
//! Nothing of the caller's environment reaches the binary but `PATH`. Compiled plugins are shared
//! between tests (one cache directory beside the binary), everything else is per test.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// Longest a command may take that a test does not say otherwise of.
pub(crate) const RUN_LIMIT: Duration = Duration::from_secs(120);

/// A private installation of `flow`: configuration, state and home in a temporary directory.
#[derive(Debug)]
pub struct Flow {
    home: tempfile::TempDir,
    binary: PathBuf,
    environment: Vec<(String, String)>,
}

impl Default for Flow {
    fn default() -> Self {
        Self::new()
    }
}

impl Flow {
    /// A fresh installation.
    ///
    /// # Panics
    /// When there is no `flow` binary; the text says how to build one.
    #[track_caller]
    pub fn new() -> Self {
        Self::new_in(&std::env::temp_dir())
    }

    /// As [`new`](Self::new), below `parent` (a tmpfs, say).
    ///
    /// # Panics
    /// As [`new`](Self::new).
    #[track_caller]
    pub fn new_in(parent: &Path) -> Self {
        let home = tempfile::Builder::new()
            .prefix("flow-test-")
            .tempdir_in(parent)
            .expect("the temporary directory is writable");
        let flow = Self {
            home,
            binary: binary(),
            environment: Vec::new(),
        };
        for directory in [flow.config_dir(), flow.state_dir()] {
            fs::create_dir_all(directory).expect("the temporary directory is writable");
        }
        flow
    }

    /// The home directory; `${HOME}` in flows.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// A path below the home directory.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.home.path().join(relative)
    }

    /// Where flows and credentials are.
    pub fn config_dir(&self) -> PathBuf {
        self.path("config")
    }

    /// Where databases are.
    pub fn state_dir(&self) -> PathBuf {
        self.path("state")
    }

    /// Where compiled plugins are, shared by all tests.
    pub fn cache_dir(&self) -> PathBuf {
        self.binary.with_file_name("flow-test-cache")
    }

    /// The binary that runs.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Sets an environment variable for all commands to come.
    pub fn env(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Writes the flow `kind/name`.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn add_flow(&self, name: &str, yaml: &str) {
        self.write(&format!("config/{name}.yaml"), yaml.as_bytes());
    }

    /// Adds settings to the flow `kind/name`.
    ///
    /// # Panics
    /// When there is no such flow.
    #[track_caller]
    pub fn amend(&self, name: &str, settings: &[(&str, &str)]) {
        let path = self.config_dir().join(format!("{name}.yaml"));
        let mut text = fs::read_to_string(&path).expect("the flow was added before");
        for (option, value) in settings {
            text.push_str(&format!("{option}: {value}\n"));
        }
        fs::write(&path, text).expect("the temporary directory is writable");
    }

    /// Writes `credentials.conf`, mode 600.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn credentials(&self, text: &str) {
        crate::peers::write_private(&self.config_dir().join("credentials.conf"), text)
            .expect("the temporary directory is writable");
    }

    /// Writes a file below the home directory.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn write(&self, relative: &str, data: &[u8]) {
        let path = self.path(relative);
        let parent = path.parent().expect("below the home directory");
        fs::create_dir_all(parent).expect("the temporary directory is writable");
        fs::write(&path, data).expect("the temporary directory is writable");
    }

    /// A command ready to run, for tests that need more than [`run`](Self::run) and
    /// [`spawn`](Self::spawn).
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home())
            .env("LC_ALL", "C.UTF-8")
            .env("NO_COLOR", "1")
            .env("FLOW_CONFIG_DIR", self.config_dir())
            .env("FLOW_STATE_DIR", self.state_dir())
            .env("FLOW_CACHE_DIR", self.cache_dir())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.home())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    /// When it takes longer than two minutes.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Finished {
        self.spawn(arguments).finish(RUN_LIMIT)
    }

    /// Starts a command.
    ///
    /// # Panics
    /// When the binary can't be run at all.
    #[track_caller]
    pub fn spawn(&self, arguments: &[&str]) -> Running {
        Running::start(
            self.command(arguments),
            &format!("flow {}", arguments.join(" ")),
        )
    }

    /// Replaces what differs from run to run: directories, ports, process ids, times.
    pub fn filter(&self, text: &str) -> String {
        let home = self.home().display().to_string();
        let mut text = text.replace(&home, "[HOME]");
        let rules = [
            (r"127\.0\.0\.1:\d+", "127.0.0.1:[PORT]"),
            (r"localhost:\d+", "localhost:[PORT]"),
            (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z?", "[TIME]"),
            (r"\b\d{8}T\d{6}(\.\d+)?", "[TIME]"),
            (r"\b\d\d:\d\d:\d\d(\.\d+)?Z?", "[TIME]"),
            (r"\b\d+(\.\d+)? ?(ns|µs|us|ms)\b", "[ELAPSED]"),
        ];
        for (pattern, replacement) in rules {
            let regex = regex::Regex::new(pattern).expect("a constant pattern");
            text = regex.replace_all(&text, replacement).into_owned();
        }
        text
    }
}

/// Finds the binary: `FLOW_BIN`, or the one built beside the running test.
#[track_caller]
fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("FLOW_BIN") {
        let path = PathBuf::from(path);
        assert!(
            path.is_file(),
            "FLOW_BIN names {}, which is no file",
            path.display()
        );
        return path;
    }
    let test = std::env::current_exe().expect("a running test has a path");
    // target/<profile>/deps/test or target/<profile>/program
    let candidates = test
        .ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join("flow"));
    let tried: Vec<PathBuf> = candidates.collect();
    tried
        .iter()
        .find(|path| path.is_file())
        .cloned()
        .unwrap_or_else(|| {
            panic!(
                "no `flow` binary at {}; run `cargo build -p flow` first, or name one in FLOW_BIN",
                tried[1].display()
            )
        })
}

/// How a command ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The exit code; none after a signal.
    pub code: Option<i32>,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// Data.
    pub stdout: String,
    /// Talk.
    pub stderr: String,
    command: String,
}

impl Finished {
    /// Fails the test unless the command ended with `code`.
    ///
    /// # Panics
    /// With both streams, when it did not.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert!(
            self.code == Some(code),
            "`{}` ended with code {:?} (signal {:?}), not {code}\n--- stdout\n{}--- stderr\n{}",
            self.command,
            self.code,
            self.signal,
            self.stdout,
            self.stderr
        );
        self
    }
}

/// A command under way; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: Capture,
    stderr: Capture,
    command: String,
}

impl Running {
    /// Starts `command`, which failures call `name`.
    #[track_caller]
    pub(crate) fn start(mut command: Command, name: &str) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run `{name}` as {command:?}: {error}"));
        Self {
            stdout: Capture::of(child.stdout.take().expect("asked for")),
            stderr: Capture::of(child.stderr.take().expect("asked for")),
            child,
            command: name.to_owned(),
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line on stderr that contains `text`, and returns it. Lines before it are passed
    /// over.
    ///
    /// # Panics
    /// When it does not come in time, or the command ends first.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str, limit: Duration) -> String {
        let start = Instant::now();
        loop {
            let left = limit.saturating_sub(start.elapsed());
            match self.stderr.lines.recv_timeout(left) {
                Ok(line) if line.contains(text) => return line,
                Ok(_) => {}
                Err(reason) => {
                    let how = match reason {
                        RecvTimeoutError::Timeout => format!("did not say it in {limit:?}"),
                        RecvTimeoutError::Disconnected => "ended without saying it".to_owned(),
                    };
                    panic!(
                        "waited for `{text}`, but `{}` {how}\n--- stdout\n{}--- stderr\n{}",
                        self.command,
                        self.stdout.text(),
                        self.stderr.text()
                    );
                }
            }
        }
    }

    /// What it wrote to stderr so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// What it wrote to stdout so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Asks it to drain and end (SIGTERM).
    pub fn terminate(&self) {
        // It may have ended by itself, which the caller will see.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
    }

    /// Has it stand still until [`resume`](Self::resume) (SIGSTOP): its connections stay.
    pub fn pause(&self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::STOP);
    }

    /// Has it go on (SIGCONT).
    pub fn resume(&self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::CONT);
    }

    /// Presses Ctrl-C (SIGINT).
    pub fn interrupt(&self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::INT);
    }

    /// `kill -9`; returns once it is gone.
    pub fn kill(mut self) -> Finished {
        let _ = self.child.kill();
        self.finish(Duration::from_secs(10))
    }

    /// The most memory it ever held, in bytes; none once it has ended.
    pub fn peak_memory(&self) -> Option<u64> {
        peak_memory(self.child.id())
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it takes longer than `limit`.
    #[track_caller]
    pub fn finish(mut self, limit: Duration) -> Finished {
        let start = Instant::now();
        let status: ExitStatus = loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                break status;
            }
            if start.elapsed() > limit {
                let _ = self.child.kill();
                panic!(
                    "`{}` did not end in {limit:?}\n--- stdout\n{}--- stderr\n{}",
                    self.command,
                    self.stdout.text(),
                    self.stderr.text()
                );
            }
            wait::pause(Duration::from_millis(2));
        };
        self.stdout.join();
        self.stderr.join();
        Finished {
            code: status.code(),
            signal: status.signal(),
            stdout: self.stdout.text(),
            stderr: self.stderr.text(),
            command: std::mem::take(&mut self.command),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A URL as flows name it: without the password, which `credentials.conf` has.
///
/// # Panics
/// When there is none in it.
#[track_caller]
pub fn without_password(url: &str) -> String {
    let (user, place) = url.rsplit_once('@').expect("a user");
    let (user, _) = user.rsplit_once(':').expect("a password");
    format!("{user}@{place}")
}

/// The most memory a process ever held, in bytes, as the kernel counts it (VmHWM).
pub fn peak_memory(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// A stream read to its end on a thread of its own, so that nothing blocks on a full pipe.
#[derive(Debug)]
struct Capture {
    text: Arc<Mutex<String>>,
    lines: Receiver<String>,
    reader: Option<JoinHandle<()>>,
}

impl Capture {
    fn of(stream: impl std::io::Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let (sender, lines) = channel();
        let shared = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream
                .read_until(b'\n', &mut line)
                .is_ok_and(|read| read > 0)
            {
                let read = String::from_utf8_lossy(&line).into_owned();
                shared
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push_str(&read);
                // Nobody may be waiting for lines.
                let _ = sender.send(read);
                line.clear();
            }
        });
        Self {
            text,
            lines,
            reader: Some(reader),
        }
    }

    fn text(&self) -> String {
        self.text
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn join(&mut self) {
        if let Some(reader) = self.reader.take() {
            // A reader that panicked has lost nothing but its tail.
            let _ = reader.join();
        }
    }
}
