//! OpenSSH's server, started privately, for SFTP alone: whoever logs in is the user the tests run as,
//! with the key of [`Sftp::key_file`], and lands in [`Sftp::landing`].

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use crate::wait::pause;

const INSTALL: &str = "install it with `apt-get install openssh-server`";

/// How long the server may take to start.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A running sshd; stopped when dropped.
#[derive(Debug)]
pub struct Sftp {
    home: tempfile::TempDir,
    user: String,
    port: u16,
    child: Option<Child>,
}

impl Sftp {
    /// Starts a server that has no files yet.
    ///
    /// # Panics
    /// When sshd is not installed or does not start; the text says what to do.
    #[track_caller]
    pub fn start() -> Self {
        match Self::try_start() {
            Ok(server) => server,
            Err(error) => panic!("{error:#}"),
        }
    }

    fn try_start() -> Result<Self> {
        binary()?;
        let home = tempfile::Builder::new().prefix("flow-sshd-").tempdir()?;
        fs::create_dir(home.path().join("home"))?;
        for name in ["host", "user"] {
            make_key(&home.path().join(name))?;
        }
        fs::copy(
            home.path().join("user.pub"),
            home.path().join("authorized_keys"),
        )?;
        let user = Command::new("id").arg("-un").output()?.stdout;
        let mut server = Self {
            user: String::from_utf8(user)?.trim().to_owned(),
            home,
            port: 0,
            child: None,
        };
        // Between picking a free port and using it, someone else may take it: then pick again.
        let mut last = anyhow!("not tried");
        for _ in 0..5 {
            let listener =
                TcpListener::bind(("127.0.0.1", 0)).context("cannot pick a free port")?;
            server.port = listener.local_addr()?.port();
            drop(listener);
            match server.launch() {
                Ok(()) => return Ok(server),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Where one lands after the login.
    pub fn landing(&self) -> PathBuf {
        self.home.path().join("home")
    }

    /// Writes a file below [`landing`](Self::landing), with the directories above it.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn write(&self, path: &str, content: &[u8]) {
        let path = self.landing().join(path);
        let parent = path.parent().expect("it is below the root");
        fs::create_dir_all(parent).expect("the directory is writable");
        fs::write(&path, content).expect("the directory is writable");
    }

    /// Who may log in.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The private key that opens the door.
    pub fn key_file(&self) -> PathBuf {
        self.home.path().join("user")
    }

    /// The server's public key, as `known_hosts` has it.
    ///
    /// # Panics
    /// When it can't be read.
    pub fn host_key(&self) -> String {
        let text = fs::read_to_string(self.home.path().join("host.pub"));
        let text = text.expect("it was made at the start");
        text.split_whitespace()
            .take(2)
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Stops the server, and starts it again on its port with another host key.
    ///
    /// # Panics
    /// When it does not start.
    pub fn change_host_key(&mut self) {
        self.stop();
        let host = self.home.path().join("host");
        fs::remove_file(&host).expect("it was made at the start");
        if let Err(error) = make_key(&host).and_then(|()| self.launch()) {
            panic!("{error:#}");
        }
    }

    /// Makes a key nobody knows.
    ///
    /// # Panics
    /// When `ssh-keygen` does not work.
    pub fn stranger_key(&self) -> PathBuf {
        let path = self.home.path().join("stranger");
        if let Err(error) = make_key(&path) {
            panic!("{error:#}");
        }
        path
    }

    /// Stops listening; connections that are there go on.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn launch(&mut self) -> Result<()> {
        let home = self.home.path();
        if rustix::process::geteuid().is_root() {
            // Where sshd confines its helpers; packages leave it to the start of the service.
            let _ = fs::DirBuilder::new().mode(0o755).create("/run/sshd");
        }
        let shown = home.display();
        fs::write(
            home.join("sshd_config"),
            format!(
                "# Written by flow-testkit.
Port {}
ListenAddress 127.0.0.1
HostKey {shown}/host
AuthorizedKeysFile {shown}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 100
Subsystem sftp internal-sftp
ForceCommand internal-sftp -d {shown}/home
",
                self.port
            ),
        )?;
        let child = Command::new(binary()?)
            .args(["-D", "-f"])
            .arg(home.join("sshd_config"))
            .arg("-E")
            .arg(home.join("error.log"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start sshd")?;
        self.child = Some(child);
        let start = Instant::now();
        let mut ended = false;
        while !ended && start.elapsed() < START_LIMIT {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return Ok(());
            }
            ended = match &mut self.child {
                Some(child) => child.try_wait()?.is_some(),
                None => true,
            };
            pause(Duration::from_millis(5));
        }
        self.stop();
        let said = fs::read_to_string(self.home.path().join("error.log")).unwrap_or_default();
        bail!("sshd did not start, it said:\n{said}");
    }
}

impl Drop for Sftp {
    fn drop(&mut self) {
        self.stop();
    }
}

fn make_key(path: &Path) -> Result<()> {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("this test needs ssh-keygen; {INSTALL}"))?;
    if !made.status.success() {
        bail!("ssh-keygen: {}", String::from_utf8_lossy(&made.stderr));
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(())
}

fn binary() -> Result<PathBuf> {
    // `/usr/sbin` is not on the path of an ordinary user; sshd wants to be called by its full path.
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|directory| directory.join("sshd"))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| anyhow!("this test needs sshd, which is not installed; {INSTALL}"))
}
