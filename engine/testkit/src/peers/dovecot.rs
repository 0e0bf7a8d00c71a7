//! Dovecot 2.3, started privately: IMAP and POP3, plain, STARTTLS and TLS.
//!
//! Runs with or without root; as root, mail belongs to an unprivileged id because Dovecot refuses
//! to serve mail of root. Users are `name@example.com` style or plain; every password is the one
//! given to [`Dovecot::add_user`].

use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use super::authority::{Authority, write_private};
use super::maildir::{Maildir, StoredMail};

const INSTALL: &str = "install it with `apt-get install dovecot-imapd dovecot-pop3d`";

/// Owner of the mail when the test runs as root: an id no package uses.
const MAIL_ID: u32 = 61_234;

/// How long the server may take to start; it takes a tenth of a second.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A running Dovecot; stopped when dropped.
#[derive(Debug)]
pub struct Dovecot {
    home: tempfile::TempDir,
    authority: Authority,
    users: Vec<(String, String)>,
    ports: Ports,
    child: Option<Child>,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    imap: u16,
    imaps: u16,
    pop: u16,
    pops: u16,
}

impl Dovecot {
    /// The user every server starts with.
    pub const USER: &'static str = "alice@example.com";
    /// The password of [`Dovecot::USER`].
    pub const PASSWORD: &'static str = "s3cret-Wonder&land";

    /// Starts a server with the user [`Dovecot::USER`].
    ///
    /// # Panics
    /// When Dovecot is not installed or does not start; the text says what to do.
    #[track_caller]
    pub fn start() -> Self {
        match Self::try_start(&std::env::temp_dir()) {
            Ok(server) => server,
            Err(error) => panic!("{error:#}"),
        }
    }

    /// As [`start`](Self::start), with mail and state below `parent` (a tmpfs, say).
    ///
    /// # Errors
    /// Dovecot is not installed or does not start.
    pub fn try_start(parent: &Path) -> Result<Self> {
        binary()?;
        let home = tempfile::Builder::new()
            .prefix("flow-dovecot-")
            .tempdir_in(parent)
            .context("cannot make a directory for dovecot")?;
        // The server's unprivileged processes have to get through.
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755))?;
        let authority = Authority::create(home.path())?;
        let ports = Ports {
            imap: 0,
            imaps: 0,
            pop: 0,
            pops: 0,
        };
        let mut server = Self {
            home,
            authority,
            users: Vec::new(),
            ports,
            child: None,
        };
        server.add_user(Self::USER, Self::PASSWORD)?;
        // Between picking a free port and using it, someone else may take it: then pick again.
        let mut last = anyhow!("not tried");
        for _ in 0..5 {
            server.ports = pick_ports()?;
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

    /// Port for IMAP, with STARTTLS.
    pub fn imap_port(&self) -> u16 {
        self.ports.imap
    }

    /// Port for IMAP over TLS.
    pub fn imaps_port(&self) -> u16 {
        self.ports.imaps
    }

    /// Port for POP3, with STLS.
    pub fn pop_port(&self) -> u16 {
        self.ports.pop
    }

    /// Port for POP3 over TLS.
    pub fn pops_port(&self) -> u16 {
        self.ports.pops
    }

    /// The port for a URL scheme: `imap`, `imaps`, `pop` or `pops`.
    ///
    /// # Panics
    /// For any other scheme.
    pub fn port(&self, scheme: &str) -> u16 {
        match scheme {
            "imap" => self.ports.imap,
            "imaps" => self.ports.imaps,
            "pop" => self.ports.pop,
            "pops" => self.ports.pops,
            other => panic!("dovecot serves no `{other}` here"),
        }
    }

    /// Adds a user; works while the server runs.
    ///
    /// # Errors
    /// The password file or the mailbox can't be written.
    pub fn add_user(&mut self, user: &str, password: &str) -> Result<()> {
        self.users.push((user.to_owned(), password.to_owned()));
        let mut text = String::new();
        for (user, password) in &self.users {
            writeln!(text, "{user}:{{PLAIN}}{password}::::::")?;
        }
        let file = self.home.path().join("users");
        fs::write(&file, text)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644))?;
        self.maildir(user).create("INBOX")
    }

    /// Makes a folder.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn add_folder(&self, user: &str, folder: &str) {
        self.maildir(user)
            .create(folder)
            .expect("the mail directory is writable");
    }

    /// Puts a mail into a folder, past the server, which notices.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn add_mail(&self, user: &str, folder: &str, raw: &[u8]) {
        self.write_mail(user, folder, |out| out.write_all(raw));
    }

    /// As [`add_mail`](Self::add_mail), for a mail too large to hold.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn write_mail(
        &self,
        user: &str,
        folder: &str,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) {
        self.maildir(user)
            .add(folder, write)
            .expect("the mail directory is writable");
    }

    /// The mails in a folder, in order of adding.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn mails(&self, user: &str, folder: &str) -> Vec<StoredMail> {
        self.maildir(user)
            .mails(folder)
            .expect("the mail directory is readable")
    }

    /// Gives a folder a new UIDVALIDITY and its mails new UIDs. Clients must not be connected.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn set_uid_validity(&self, user: &str, folder: &str, uid_validity: u32) {
        self.maildir(user)
            .set_uid_validity(folder, uid_validity)
            .expect("the mail directory is writable");
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

    /// Stops the server as an administrator would; connections are closed.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        signal(&child, Signal::TERM);
        let (sender, ended) = mpsc::channel();
        let group = Pid::from_child(&child);
        let waiter = std::thread::spawn(move || {
            let _ = child.wait();
            let _ = sender.send(());
        });
        if ended.recv_timeout(Duration::from_secs(5)).is_err() {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = waiter.join();
        // Login and mail processes outlive their master for a moment.
        let _ = kill_process_group(group, Signal::KILL);
    }

    /// Kills the server and all its processes at once.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal(&child, Signal::KILL);
            let _ = child.wait();
        }
    }

    fn maildir(&self, user: &str) -> Maildir {
        let owner = is_root().then_some(MAIL_ID);
        Maildir::new(self.home.path().join("mail").join(user), owner)
    }

    fn launch(&mut self) -> Result<()> {
        let config = self.home.path().join("dovecot.conf");
        let run = self.home.path().join("run");
        if run.exists() {
            // A killed master leaves its sockets and pid file behind.
            fs::remove_dir_all(&run)?;
        }
        fs::create_dir_all(&run)?;
        fs::set_permissions(&run, fs::Permissions::from_mode(0o755))?;
        write_private(&config, &self.config()?)?;
        let mut child = Command::new(binary()?)
            .arg("-F")
            .arg("-c")
            .arg(&config)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start dovecot")?;
        let stderr = child.stderr.take().context("stderr was asked for")?;
        self.child = Some(child);
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            // Read on to the end, or the server would block on a full pipe.
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut said = String::new();
        loop {
            match lines.recv_timeout(START_LIMIT) {
                // Logged once all sockets listen.
                Ok(line) if line.contains("starting up") => return Ok(()),
                Ok(line) => {
                    said.push_str(&line);
                    said.push('\n');
                }
                Err(_) => {
                    self.kill();
                    bail!("dovecot did not start, it said:\n{said}");
                }
            }
        }
    }

    fn config(&self) -> Result<String> {
        let home = self.home.path().display();
        let Ports {
            imap,
            imaps,
            pop,
            pops,
        } = self.ports;
        let mut text = format!(
            "# Written by flow-testkit.
protocols = imap pop3
listen = 127.0.0.1
base_dir = {home}/run
state_dir = {home}/state
log_path = /dev/stderr
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_failure_delay = 0
ssl = yes
ssl_cert = <{home}/cert.pem
ssl_key = <{home}/key.pem
ssl_min_protocol = TLSv1.2
mail_location = maildir:{home}/mail/%u
mail_max_userip_connections = 100
maildir_stat_dirs = no
mailbox_list_index = no
first_valid_uid = 1
namespace inbox {{
  inbox = yes
}}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {home}/users
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop}
  }}
  inet_listener pop3s {{
    port = {pops}
    ssl = yes
  }}
}}
"
        );
        let mut owner = (MAIL_ID, MAIL_ID);
        if !is_root() {
            // Everything under the one id there is, and no chroot, which only root may do.
            owner = (
                rustix::process::geteuid().as_raw(),
                rustix::process::getegid().as_raw(),
            );
            let user = name_of(owner.0)?;
            let group = group_of(owner.1)?;
            write!(
                text,
                "default_login_user = {user}
default_internal_user = {user}
default_internal_group = {group}
"
            )?;
            for service in ["anvil", "imap-login", "pop3-login", "stats"] {
                write!(text, "service {service} {{\n  chroot =\n}}\n")?;
            }
        }
        let (uid, gid) = owner;
        write!(
            text,
            "userdb {{
  driver = static
  args = uid={uid} gid={gid} home={home}/mail/%u allow_all_users=yes
}}
"
        )?;
        Ok(text)
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        self.kill();
    }
}

fn signal(child: &Child, signal: Signal) {
    // It may have ended by itself; there is nothing to do about that here.
    let _ = kill_process_group(Pid::from_child(child), signal);
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn binary() -> Result<PathBuf> {
    // `/usr/sbin` is not on the path of an ordinary user.
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|directory| directory.join("dovecot"))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| anyhow!("this test needs dovecot, which is not installed; {INSTALL}"))
}

fn pick_ports() -> Result<Ports> {
    let listeners: Vec<TcpListener> = (0..4)
        .map(|_| TcpListener::bind(("127.0.0.1", 0)))
        .collect::<io::Result<_>>()
        .context("cannot pick free ports")?;
    let port = |index: usize| -> Result<u16> { Ok(listeners[index].local_addr()?.port()) };
    Ok(Ports {
        imap: port(0)?,
        imaps: port(1)?,
        pop: port(2)?,
        pops: port(3)?,
    })
}

fn name_of(id: u32) -> Result<String> {
    lookup("/etc/passwd", id)
}

fn group_of(id: u32) -> Result<String> {
    lookup("/etc/group", id)
}

fn lookup(file: &str, id: u32) -> Result<String> {
    let text = fs::read_to_string(file)?;
    text.lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
        })
        .with_context(|| format!("id {id} has no name in {file}, and dovecot wants one"))
}
