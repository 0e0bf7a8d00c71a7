//! An FTP server, started privately: pyftpdlib, which has what modern servers have and can be told to
//! behave like an old one.
//!
//! [`Ftp::USER`] lands in `/home` after the login; anonymous sees the same as `/`. A file whose name
//! starts with `half-` breaks off half-way the first time it is fetched.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::authority::Authority;

const SCRIPT: &str = include_str!("ftp.py");

const INSTALL: &str = "install it with `apt-get install python3-pyftpdlib python3-openssl`";

/// How the server talks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FtpManner {
    /// Without TLS.
    Plain,
    /// Without TLS, and without `FEAT`, `MLSD`, `MLST`, `MFMT` and `SITE CHMOD`.
    Old,
    /// TLS is wanted, after `AUTH TLS`.
    Tls,
    /// TLS from the first byte.
    Implicit,
}

/// A running FTP server; stopped when dropped.
#[derive(Debug)]
pub struct Ftp {
    home: tempfile::TempDir,
    authority: Authority,
    port: u16,
    child: Child,
}

impl Ftp {
    /// Who may do everything.
    pub const USER: &'static str = "alice";
    /// The password of [`Ftp::USER`].
    pub const PASSWORD: &'static str = "s3cret#Wonder&land";

    /// Starts a server that has no files yet.
    ///
    /// # Panics
    /// When pyftpdlib is not installed or does not start; the text says what to do.
    #[track_caller]
    pub fn start(manner: FtpManner) -> Self {
        match Self::try_start(manner) {
            Ok(server) => server,
            Err(error) => panic!("{error:#}"),
        }
    }

    fn try_start(manner: FtpManner) -> Result<Self> {
        let home = tempfile::Builder::new().prefix("flow-ftp-").tempdir()?;
        fs::create_dir_all(home.path().join("root/home"))?;
        let authority = Authority::create(home.path())?;
        // The system's Python has the system's packages; another one may have its own.
        let mut said = String::new();
        for python in ["/usr/bin/python3", "python3"] {
            let spawned = Command::new(python)
                .args(["-c", SCRIPT])
                .arg(home.path().join("root"))
                .arg(home.path().join("commands.log"))
                .arg(match manner {
                    FtpManner::Plain => "plain",
                    FtpManner::Old => "old",
                    FtpManner::Tls => "tls",
                    FtpManner::Implicit => "implicit",
                })
                .arg(authority.cert_file())
                .arg(authority.key_file())
                .args([Self::USER, Self::PASSWORD])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(fs::File::create(home.path().join("error.log"))?)
                .spawn();
            let Ok(mut child) = spawned else {
                continue;
            };
            let mut line = String::new();
            let out = child.stdout.take().context("its output is a pipe")?;
            // It ends when its input does, so this ends too.
            BufReader::new(out.take(64)).read_line(&mut line)?;
            if let Ok(port) = line.trim().parse() {
                return Ok(Self {
                    home,
                    authority,
                    port,
                    child,
                });
            }
            let _ = child.kill();
            child.wait()?;
            said = fs::read_to_string(home.path().join("error.log"))?;
        }
        bail!("this test needs pyftpdlib, which does not start; {INSTALL}; it said:\n{said}");
    }

    /// What the server calls `/`.
    pub fn root(&self) -> PathBuf {
        self.home.path().join("root")
    }

    /// Where one lands after the login.
    pub fn landing(&self) -> PathBuf {
        self.root().join("home")
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

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The certificate authority that signed the server's certificate, PEM.
    pub fn ca_file(&self) -> PathBuf {
        self.authority.ca_file()
    }

    /// Commands so far, a line each: connection number, command, argument.
    ///
    /// # Panics
    /// When the log can't be read.
    pub fn commands(&self) -> Vec<String> {
        let log = fs::read_to_string(self.home.path().join("commands.log"));
        log.expect("the server made its log")
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// Stops the server at once; connections are cut.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Ftp {
    fn drop(&mut self) {
        self.stop();
    }
}
