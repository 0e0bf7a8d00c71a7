//! Mosquitto 2, started privately: MQTT, plain and over TLS.
//!
//! Passwords are required. [`Mosquitto::USER`] may do everything; [`Mosquitto::GUEST`] may read all and
//! write below `guests/` only. Mosquitto confirms what it has in memory and writes it to disk later:
//! here only when asked to by [`save`](Mosquitto::save) or [`stop`](Mosquitto::stop), so that tests
//! decide what a [`kill`](Mosquitto::kill) loses.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::authority::{Authority, write_private};
use crate::wait;

const INSTALL: &str = "install it with `apt-get install --no-install-recommends mosquitto`";

/// How long the server may take to start; it takes some milliseconds.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A running Mosquitto; stopped when dropped.
#[derive(Debug)]
pub struct Mosquitto {
    home: tempfile::TempDir,
    authority: Authority,
    settings: String,
    port: u16,
    tls_port: u16,
    child: Option<Child>,
}

impl Mosquitto {
    /// The user who may do everything.
    pub const USER: &'static str = "feeder";
    /// The password of [`Mosquitto::USER`]; not fit for a URL as it is.
    pub const PASSWORD: &'static str = "p@ss/w:rd";
    /// The user who may read everything and write below `guests/`.
    pub const GUEST: &'static str = "guest";
    /// The password of [`Mosquitto::GUEST`].
    pub const GUEST_PASSWORD: &'static str = "guest-word";

    /// Starts a server.
    ///
    /// # Panics
    /// When Mosquitto is not installed or does not start; the text says what to do.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Starts a server with more lines in its configuration.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[track_caller]
    pub fn start_with(settings: &str) -> Self {
        match Self::try_start(settings) {
            Ok(server) => server,
            Err(error) => panic!("{error:#}"),
        }
    }

    /// As [`start_with`](Self::start_with).
    ///
    /// # Errors
    /// Mosquitto is not installed or does not start.
    pub fn try_start(settings: &str) -> Result<Self> {
        let home = tempfile::Builder::new()
            .prefix("flow-mosquitto-")
            .tempdir()
            .context("cannot make a directory for mosquitto")?;
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755))?;
        let authority = Authority::create(home.path())?;
        write_private(
            &home.path().join("acl"),
            &format!(
                "user {}\ntopic readwrite #\nuser {}\ntopic read #\ntopic readwrite guests/#\n",
                Self::USER,
                Self::GUEST
            ),
        )?;
        let mut server = Self {
            home,
            authority,
            settings: settings.to_owned(),
            port: 0,
            tls_port: 0,
            child: None,
        };
        server.set_password(Self::USER, Self::PASSWORD)?;
        server.set_password(Self::GUEST, Self::GUEST_PASSWORD)?;
        // Between picking a free port and using it, someone else may take it: then pick again.
        let mut last = anyhow!("not tried");
        for _ in 0..5 {
            (server.port, server.tls_port) = pick_ports()?;
            match server.launch() {
                Ok(()) => return Ok(server),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The certificate authority that signed the server's certificate, PEM.
    pub fn ca_file(&self) -> PathBuf {
        self.authority.ca_file()
    }

    /// The plain port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port for TLS.
    pub fn tls_port(&self) -> u16 {
        self.tls_port
    }

    /// The URL of the plain port, without a password.
    pub fn url(&self) -> String {
        format!("mqtt://{}@127.0.0.1:{}/", Self::USER, self.port)
    }

    /// Gives a user a password; the server notices at its next start.
    ///
    /// # Errors
    /// `mosquitto_passwd` is missing or refuses.
    pub fn set_password(&self, user: &str, password: &str) -> Result<()> {
        let file = self.home.path().join("passwords");
        let mut command = Command::new(binary("mosquitto_passwd")?);
        if !file.exists() {
            command.arg("-c");
        }
        let output = command
            .arg("-b")
            .arg(&file)
            .args([user, password])
            .output()
            .context("cannot run mosquitto_passwd")?;
        if !output.status.success() {
            bail!(
                "mosquitto_passwd failed: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }

    /// Has the server write everything to its disk, and waits for that.
    ///
    /// # Panics
    /// When it does not within a few seconds.
    pub fn save(&self) {
        let file = self.home.path().join("data/mosquitto.db");
        // It writes a new file and renames it, so a finished one is a new one.
        let identity = || {
            fs::metadata(&file)
                .ok()
                .map(|found| (found.ino(), found.mtime(), found.mtime_nsec()))
        };
        let before = identity();
        let child = self.child.as_ref().expect("the server runs");
        signal(child, Signal::USR1);
        wait::until("mosquitto to save", Duration::from_secs(10), || {
            (identity() != before && identity().is_some()).then_some(())
        });
    }

    /// Starts the server again after [`stop`](Self::stop) or [`kill`](Self::kill), on its ports.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&mut self) {
        self.stop();
        if let Err(error) = self.launch() {
            panic!("{error:#}");
        }
    }

    /// Stops the server as an administrator would; it saves everything.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        signal(&child, Signal::TERM);
        let (sender, ended) = mpsc::channel();
        let pid = Pid::from_child(&child);
        let waiter = std::thread::spawn(move || {
            let _ = child.wait();
            let _ = sender.send(());
        });
        if ended.recv_timeout(Duration::from_secs(10)).is_err() {
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = waiter.join();
    }

    /// Kills the server at once; what it did not save is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal(&child, Signal::KILL);
            let _ = child.wait();
        }
    }

    fn launch(&mut self) -> Result<()> {
        let home = self.home.path();
        let data = home.join("data");
        fs::create_dir_all(&data)?;
        // As root it would become `mosquitto`, who may not be there.
        let user = if rustix::process::geteuid().is_root() {
            "user root\n"
        } else {
            ""
        };
        let path = home.display();
        let Self {
            port,
            tls_port,
            settings,
            ..
        } = self;
        write_private(
            &home.join("mosquitto.conf"),
            &format!(
                "# Written by flow-testkit.
{user}per_listener_settings false
allow_anonymous false
password_file {path}/passwords
acl_file {path}/acl
persistence true
persistence_location {path}/data/
autosave_interval 0
max_queued_messages 0
max_inflight_messages 0
log_dest stderr
log_type all
{settings}
listener {port} 127.0.0.1
listener {tls_port} 127.0.0.1
cafile {path}/ca.pem
certfile {path}/cert.pem
keyfile {path}/key.pem
"
            ),
        )?;
        let mut child = Command::new(binary("mosquitto")?)
            .arg("-c")
            .arg(home.join("mosquitto.conf"))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start mosquitto")?;
        let stderr = child.stderr.take().context("stderr was asked for")?;
        self.child = Some(child);
        let (sender, lines) = mpsc::channel();
        let log = home.join("log");
        std::thread::spawn(move || {
            use std::io::Write;
            let mut file = fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(log)
                .ok();
            // Read on to the end, or the server would block on a full pipe.
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Some(file) = &mut file {
                    let _ = writeln!(file, "{line}");
                }
                let _ = sender.send(line);
            }
        });
        let mut said = String::new();
        loop {
            match lines.recv_timeout(START_LIMIT) {
                // Logged once all sockets listen.
                Ok(line) if line.ends_with(" running") => return Ok(()),
                Ok(line) => {
                    said.push_str(&line);
                    said.push('\n');
                }
                Err(_) => {
                    self.kill();
                    bail!("mosquitto did not start, it said:\n{said}");
                }
            }
        }
    }

    /// Its version, as numbers.
    ///
    /// # Panics
    /// When it does not say.
    pub fn version(&self) -> (u32, u32, u32) {
        let output = binary("mosquitto")
            .and_then(|binary| Ok(Command::new(binary).arg("-h").output()?))
            .expect("it was started before");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut numbers = text
            .split_once("version ")
            .and_then(|(_, rest)| rest.split_whitespace().next())
            .unwrap_or_default()
            .split('.')
            .map_while(|number| number.parse().ok());
        match (numbers.next(), numbers.next(), numbers.next()) {
            (Some(major), Some(minor), Some(patch)) => (major, minor, patch),
            _ => panic!("mosquitto does not say its version: {text}"),
        }
    }

    /// What the server logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

fn signal(child: &Child, signal: Signal) {
    // It may have ended by itself; there is nothing to do about that here.
    let _ = kill_process(Pid::from_child(child), signal);
}

fn binary(name: &str) -> Result<PathBuf> {
    // `/usr/sbin` is not on the path of an ordinary user.
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|directory: PathBuf| directory.join(name))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| anyhow!("this test needs {name}, which is not installed; {INSTALL}"))
}

fn pick_ports() -> Result<(u16, u16)> {
    let pick = || TcpListener::bind(("127.0.0.1", 0)).context("cannot pick a free port");
    let (plain, tls) = (pick()?, pick()?);
    Ok((plain.local_addr()?.port(), tls.local_addr()?.port()))
}
