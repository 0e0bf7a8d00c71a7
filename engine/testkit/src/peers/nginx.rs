//! nginx, started privately: files below [`Nginx::root`], over HTTP and TLS, with listings.
//!
//! The same files are served in several ways:
//!
//! | Path | What |
//! | --- | --- |
//! | `/` | listings in HTML |
//! | `/json/` | listings in JSON |
//! | `/private/` | wants [`Nginx::USER`] and [`Nginx::PASSWORD`] |
//! | `/slow/` | 256 KiB a second |
//! | `/away/` | redirects to `/` |

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::authority::Authority;
use crate::wait::pause;

const INSTALL: &str = "install it with `apt-get install nginx-light`";

/// How long the server may take to start; it takes a twentieth of a second.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A running nginx; stopped when dropped.
#[derive(Debug)]
pub struct Nginx {
    home: tempfile::TempDir,
    authority: Authority,
    http: u16,
    https: u16,
    child: Option<Child>,
}

impl Nginx {
    /// Who may read `/private/`.
    pub const USER: &'static str = "alice";
    /// The password of [`Nginx::USER`].
    pub const PASSWORD: &'static str = "s3cret#Wonder&land";

    /// Starts a server that has no files yet.
    ///
    /// # Panics
    /// When nginx is not installed or does not start; the text says what to do.
    #[track_caller]
    pub fn start() -> Self {
        match Self::try_start(&std::env::temp_dir()) {
            Ok(server) => server,
            Err(error) => panic!("{error:#}"),
        }
    }

    /// As [`start`](Self::start), with files and state below `parent` (a tmpfs, say).
    ///
    /// # Errors
    /// nginx is not installed or does not start.
    pub fn try_start(parent: &Path) -> Result<Self> {
        binary()?;
        let home = tempfile::Builder::new()
            .prefix("flow-nginx-")
            .tempdir_in(parent)
            .context("cannot make a directory for nginx")?;
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755))?;
        fs::create_dir(home.path().join("root"))?;
        fs::write(
            home.path().join("users"),
            format!("{}:{{PLAIN}}{}\n", Self::USER, Self::PASSWORD),
        )?;
        let authority = Authority::create(home.path())?;
        let mut server = Self {
            home,
            authority,
            http: 0,
            https: 0,
            child: None,
        };
        // Between picking a free port and using it, someone else may take it: then pick again.
        let mut last = anyhow!("not tried");
        for _ in 0..5 {
            (server.http, server.https) = pick_ports()?;
            match server.launch() {
                Ok(()) => return Ok(server),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Where its files are.
    pub fn root(&self) -> PathBuf {
        self.home.path().join("root")
    }

    /// Writes a file, with the directories above it.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn write(&self, path: &str, content: &[u8]) {
        let path = self.root().join(path);
        let parent = path.parent().expect("it is below the root");
        fs::create_dir_all(parent).expect("the directory is writable");
        fs::write(&path, content).expect("the directory is writable");
    }

    /// The certificate authority that signed the server's certificate, PEM.
    pub fn ca_file(&self) -> PathBuf {
        self.authority.ca_file()
    }

    /// `http://localhost:port`, without a slash.
    pub fn http(&self) -> String {
        format!("http://localhost:{}", self.http)
    }

    /// `https://localhost:port`, without a slash.
    pub fn https(&self) -> String {
        format!("https://localhost:{}", self.https)
    }

    /// Requests so far, a line each: method, path, status, protocol, connection number, range asked
    /// for.
    ///
    /// # Panics
    /// When the log can't be read.
    pub fn requests(&self) -> Vec<String> {
        let log = fs::read_to_string(self.home.path().join("access.log"));
        log.expect("nginx made its log")
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// Stops the server at once; connections are cut.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // A fast shutdown; its workers go with it, unlike after a kill.
            let _ = kill_process(Pid::from_child(&child), Signal::TERM);
            let _ = child.wait();
        }
    }

    /// Starts the server again, on its ports.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&mut self) {
        self.stop();
        if let Err(error) = self.launch() {
            panic!("{error:#}");
        }
    }

    fn launch(&mut self) -> Result<()> {
        let home = self.home.path();
        fs::write(home.join("nginx.conf"), self.config())?;
        let log = fs::File::create(home.join("error.log"))?;
        let child = Command::new(binary()?)
            .arg("-p")
            .arg(home)
            .arg("-e")
            .arg(home.join("error.log"))
            .arg("-c")
            .arg(home.join("nginx.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("cannot start nginx")?;
        self.child = Some(child);
        let start = Instant::now();
        let mut ended = false;
        while !ended && start.elapsed() < START_LIMIT {
            // It says nothing once it is there; who is asked is the server itself.
            if [self.http, self.https]
                .iter()
                .all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok())
            {
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
        bail!("nginx did not start, it said:\n{said}");
    }

    fn config(&self) -> String {
        let home = self.home.path().display();
        let web = self.home.path().join("root");
        let web = web.display();
        let Self { http, https, .. } = self;
        let user = match rustix::process::geteuid().is_root() {
            // Its workers have to read what tests write, whatever the umask is.
            true => "user root root;",
            false => "",
        };
        format!(
            "# Written by flow-testkit.
daemon off;
{user}
worker_processes 1;
pid {home}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
  log_format brief '$request_method $request_uri $status $server_protocol $connection $http_range';
  access_log {home}/access.log brief;
  client_body_temp_path {home}/tmp;
  proxy_temp_path {home}/tmp;
  fastcgi_temp_path {home}/tmp;
  uwsgi_temp_path {home}/tmp;
  scgi_temp_path {home}/tmp;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 100000;
  types {{ text/html html; text/plain txt; application/json json; }}
  default_type application/octet-stream;
  server {{
    listen 127.0.0.1:{http};
    listen 127.0.0.1:{https} ssl http2;
    server_name localhost;
    ssl_certificate {home}/cert.pem;
    ssl_certificate_key {home}/key.pem;
    root {web};
    autoindex on;
    location / {{ }}
    location /json/ {{ alias {web}/; autoindex_format json; }}
    location /slow/ {{ alias {web}/; limit_rate 256k; }}
    location /private/ {{
      alias {web}/;
      auth_basic private;
      auth_basic_user_file {home}/users;
    }}
    location /away/ {{ rewrite ^/away/(.*)$ /$1 redirect; }}
  }}
}}
"
        )
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.stop();
    }
}

fn binary() -> Result<PathBuf> {
    // `/usr/sbin` is not on the path of an ordinary user.
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|directory| directory.join("nginx"))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| anyhow!("this test needs nginx, which is not installed; {INSTALL}"))
}

fn pick_ports() -> Result<(u16, u16)> {
    let pick = || TcpListener::bind(("127.0.0.1", 0)).context("cannot pick free ports");
    let (one, other) = (pick()?, pick()?);
    Ok((one.local_addr()?.port(), other.local_addr()?.port()))
}
