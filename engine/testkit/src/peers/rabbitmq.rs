//! RabbitMQ, started privately: AMQP plain and TLS on loopback, own node, own epmd, and no management
//! but where it is asked for.
//!
//! Starting takes some seconds, nearly all of it the Erlang machine, so the tests of one binary share a
//! server in a `static` and each has a vhost of its own. Vhosts and users are in a
//! definitions file that the server reads when it starts, because every `rabbitmqctl` costs a second.
//!
//! # What ends it
//! A guard: a shell that waits for its standard input to end, which it does with the test's process,
//! however that ends, and then kills the server and epmd and removes the directory. Dropping the value
//! does the same earlier. So a server in a `static`, which is never dropped, ends too.

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

use super::authority::{Authority, write_private};
use crate::wait::pause;

const INSTALL: &str = "install it with `apt-get install rabbitmq-server`";

/// How long the server may take to start; it takes about five seconds, more on a loaded machine.
const START_LIMIT: Duration = Duration::from_secs(120);

/// Where the real scripts are: those on the path are wrappers that want the system's user and files.
const SCRIPTS: [&str; 3] = [
    "/usr/lib/rabbitmq/bin",
    "/usr/local/lib/rabbitmq/bin",
    "/opt/rabbitmq/sbin",
];

/// Waits for the test's process to end, then ends everything. A line names what runs now, `server` or
/// `epmd`, and its process group, or none; the directory is the first argument.
const GUARD: &str = "trap '' INT TERM HUP; server=; epmd=; \
    while read -r what group; do \
        case $what in server) server=$group;; epmd) epmd=$group;; esac; \
    done; \
    for group in $server $epmd; do kill -s KILL -- \"-$group\" 2>/dev/null; done; \
    n=0; while [ -e \"$1\" ] && [ $n -lt 20 ]; do rm -rf -- \"$1\" 2>/dev/null; n=$((n+1)); done";

/// Somebody who may log in.
#[derive(Debug, Clone)]
struct User {
    name: String,
    password: String,
    /// Patterns of what they may configure, write and read, the same in every vhost.
    permissions: [String; 3],
}

/// What a server starts with.
#[derive(Debug, Clone, Default)]
pub struct RabbitMqSetup {
    vhosts: Vec<String>,
    users: Vec<User>,
    exchanges: Vec<String>,
    management: bool,
}

impl RabbitMqSetup {
    /// The user [`RabbitMq::USER`], who may do everything, and the vhost `/`.
    pub fn new() -> Self {
        Self {
            vhosts: vec!["/".to_owned()],
            users: vec![User {
                name: RabbitMq::USER.to_owned(),
                password: RabbitMq::PASSWORD.to_owned(),
                permissions: [".*"; 3].map(str::to_owned),
            }],
            exchanges: Vec::new(),
            management: false,
        }
    }

    /// With these vhosts as well.
    #[must_use]
    pub fn vhosts(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.vhosts.extend(names.into_iter().map(Into::into));
        self
    }

    /// With a user as well, who in every vhost may configure, write and read what the patterns match.
    #[must_use]
    pub fn user(
        mut self,
        name: &str,
        password: &str,
        configure: &str,
        write: &str,
        read: &str,
    ) -> Self {
        self.users.push(User {
            name: name.to_owned(),
            password: password.to_owned(),
            permissions: [configure, write, read].map(str::to_owned),
        });
        self
    }

    /// With these topic exchanges in every vhost, durable ones.
    #[must_use]
    pub fn exchanges(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.exchanges.extend(names.into_iter().map(Into::into));
        self
    }

    /// With the management API, where [`RabbitMq::USER`] may make users then. It takes some seconds more.
    #[must_use]
    pub fn management(mut self) -> Self {
        self.management = true;
        self
    }

    fn definitions(&self) -> Value {
        let users: Vec<Value> = self
            .users
            .iter()
            .map(|user| {
                let tags = match self.management && user.name == RabbitMq::USER {
                    true => "administrator",
                    false => "",
                };
                json!({"name": user.name, "password": user.password, "tags": tags})
            })
            .collect();
        let vhosts: Vec<Value> = self
            .vhosts
            .iter()
            .map(|name| json!({"name": name}))
            .collect();
        let permissions: Vec<Value> = self
            .vhosts
            .iter()
            .flat_map(|vhost| {
                self.users.iter().map(move |user| {
                    let [configure, write, read] = &user.permissions;
                    json!({
                        "user": user.name, "vhost": vhost,
                        "configure": configure, "write": write, "read": read,
                    })
                })
            })
            .collect();
        let exchanges: Vec<Value> = self
            .vhosts
            .iter()
            .flat_map(|vhost| {
                self.exchanges.iter().map(move |name| {
                    json!({
                        "name": name, "vhost": vhost, "type": "topic", "durable": true,
                        "auto_delete": false, "internal": false, "arguments": {},
                    })
                })
            })
            .collect();
        json!({
            "users": users, "vhosts": vhosts, "permissions": permissions, "exchanges": exchanges,
        })
    }
}

/// A running RabbitMQ; stopped when dropped, or when the test's process ends.
#[derive(Debug)]
pub struct RabbitMq {
    /// Removed by us or by the guard, whoever comes first.
    home: PathBuf,
    authority: Authority,
    ports: Ports,
    management: bool,
    node: String,
    server: Option<Child>,
    epmd: Option<Child>,
    guard: Option<(Child, ChildStdin)>,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    amqp: u16,
    amqps: u16,
    epmd: u16,
    distribution: u16,
    management: u16,
    management_tls: u16,
}

impl RabbitMq {
    /// The user every server has, who may do everything.
    pub const USER: &'static str = "flow";
    /// The password of [`RabbitMq::USER`].
    pub const PASSWORD: &'static str = "s3cret-Wonder&land";

    /// Starts a server with the vhost `/` only.
    ///
    /// # Panics
    /// When RabbitMQ is not installed or does not start; the text says what to do.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(&RabbitMqSetup::new())
    }

    /// Starts a server with vhosts and users of one's own.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[track_caller]
    pub fn start_with(setup: &RabbitMqSetup) -> Self {
        match Self::try_start(setup, &std::env::temp_dir()) {
            Ok(server) => server,
            Err(error) => panic!("{error:#}"),
        }
    }

    /// As [`start_with`](Self::start_with), with its data below `parent` (a tmpfs, say).
    ///
    /// # Errors
    /// RabbitMQ is not installed or does not start.
    pub fn try_start(setup: &RabbitMqSetup, parent: &Path) -> Result<Self> {
        script("rabbitmq-server")?;
        let home = tempfile::Builder::new()
            .prefix("flow-rabbitmq-")
            .tempdir_in(parent)
            .context("cannot make a directory for rabbitmq")?
            .keep();
        let authority = Authority::create(&home)?;
        write_private(
            &home.join("definitions.json"),
            &setup.definitions().to_string(),
        )?;
        // The cookie keeps others away from the node; it need not be known to anybody.
        let unique = home
            .file_name()
            .map(|name| name.to_string_lossy().replace(['-', '.'], ""))
            .unwrap_or_default();
        let cookie = home.join(".erlang.cookie");
        write_private(&cookie, &unique)?;
        fs::set_permissions(&cookie, std::os::unix::fs::PermissionsExt::from_mode(0o400))?;
        let mut server = Self {
            authority,
            ports: pick_ports()?,
            management: setup.management,
            node: format!("{unique}@localhost"),
            server: None,
            epmd: None,
            guard: None,
            home,
        };
        server.start_guard()?;
        // Between picking a free port and using it, someone else may take it: then pick again.
        let mut last = anyhow!("not tried");
        for _ in 0..3 {
            match server.launch() {
                Ok(()) => return Ok(server),
                Err(error) => last = error,
            }
            server.kill();
            server.kill_epmd();
            server.ports = pick_ports()?;
        }
        Err(last)
    }

    /// The port for plain AMQP on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.ports.amqp
    }

    /// The port for AMQP over TLS; the certificate is for `localhost`.
    pub fn tls_port(&self) -> u16 {
        self.ports.amqps
    }

    /// The port of the management API on 127.0.0.1, where it was asked for.
    pub fn management_port(&self) -> u16 {
        self.ports.management
    }

    /// The same over TLS; the certificate is for `localhost`.
    pub fn management_tls_port(&self) -> u16 {
        self.ports.management_tls
    }

    /// The certificate authority that signed the server's certificate, PEM.
    pub fn ca_file(&self) -> PathBuf {
        self.authority.ca_file()
    }

    /// The URL of a vhost for [`RabbitMq::USER`], password included.
    pub fn url(&self, vhost: &str) -> String {
        self.url_for(Self::USER, Self::PASSWORD, vhost)
    }

    /// The URL of a vhost for somebody else.
    pub fn url_for(&self, user: &str, password: &str, vhost: &str) -> String {
        format!(
            "amqp://{}:{}@127.0.0.1:{}/{}",
            escape(user),
            escape(password),
            self.ports.amqp,
            escape(vhost)
        )
    }

    /// Runs `rabbitmqctl` with these arguments and returns what it said. Takes a second or two.
    ///
    /// # Panics
    /// When it fails; the text is what it said.
    #[track_caller]
    pub fn control(&self, arguments: &[&str]) -> String {
        match self.try_control(arguments) {
            Ok(said) => said,
            Err(error) => panic!("{error:#}"),
        }
    }

    fn try_control(&self, arguments: &[&str]) -> Result<String> {
        let output: Output = self
            .command(&script("rabbitmqctl")?)
            .arg("--quiet")
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .context("cannot run rabbitmqctl")?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "rabbitmqctl {arguments:?} failed: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(said)
    }

    /// Kills the server at once, as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.server.take() {
            signal(&child, Signal::KILL);
            let _ = child.wait();
            let _ = self.tell_guard("server", None);
        }
    }

    /// Starts the server again after [`kill`](Self::kill) or [`stop`](Self::stop), on its ports and with
    /// its data.
    ///
    /// # Panics
    /// When it does not start.
    #[track_caller]
    pub fn restart(&mut self) {
        self.stop();
        if let Err(error) = self.launch() {
            panic!("{error:#}");
        }
    }

    /// Stops the server as an administrator would; clients are told.
    pub fn stop(&mut self) {
        let Some(child) = self.server.as_mut() else {
            return;
        };
        signal(child, Signal::TERM);
        let asked = Instant::now();
        while child.try_wait().is_ok_and(|ended| ended.is_none()) {
            if asked.elapsed() > Duration::from_secs(20) {
                break;
            }
            pause(Duration::from_millis(20));
        }
        self.kill();
    }

    fn launch(&mut self) -> Result<()> {
        if self.epmd.is_none() {
            self.start_epmd()?;
        }
        write_private(&self.home.join("rabbitmq.conf"), &self.config())?;
        // Nothing of the system's choice is started.
        let plugins = match self.management {
            true => "[rabbitmq_management].\n",
            false => "[].\n",
        };
        write_private(&self.home.join("plugins"), plugins)?;
        let log = fs::File::create(self.home.join("server.log"))?;
        let child = self
            .command(&script("rabbitmq-server")?)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start rabbitmq-server")?;
        self.tell_guard("server", Some(&child))?;
        let child = self.server.insert(child);
        let started = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                bail!("rabbitmq ended with {status}, it said:\n{}", self.said());
            }
            // The port for TLS is the last to be opened.
            let open = |port: u16| TcpStream::connect(("127.0.0.1", port)).is_ok();
            let managed =
                !self.management || open(self.ports.management_tls) && open(self.ports.management);
            if managed && open(self.ports.amqps) && open(self.ports.amqp) {
                return Ok(());
            }
            if started.elapsed() > START_LIMIT {
                bail!(
                    "rabbitmq did not listen within {START_LIMIT:?}, it said:\n{}",
                    self.said()
                );
            }
            pause(Duration::from_millis(20));
        }
    }

    /// The environment every program of this node needs.
    fn command(&self, program: &Path) -> Command {
        let home = &self.home;
        let mut command = Command::new(program);
        command
            .env_clear()
            // What the Erlang machine drops when it is killed, it drops where it runs.
            .current_dir(home)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home)
            .env("LANG", "C.UTF-8")
            .env("ERL_EPMD_PORT", self.ports.epmd.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODENAME", &self.node)
            .env("RABBITMQ_DIST_PORT", self.ports.distribution.to_string())
            .env("RABBITMQ_CONF_ENV_FILE", home.join("none"))
            .env("RABBITMQ_CONFIG_FILE", home.join("rabbitmq.conf"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", home.join("none"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", home.join("plugins"))
            .env("RABBITMQ_MNESIA_BASE", home.join("data"))
            .env("RABBITMQ_LOG_BASE", home.join("log"))
            .env("RABBITMQ_LOGS", "-")
            .env("RABBITMQ_PID_FILE", home.join("pid"))
            .env("RABBITMQ_GENERATED_CONFIG_DIR", home.join("generated"))
            // Runs the Erlang machine in the place of the script, so that it is our child.
            .env("RUNNING_UNDER_SYSTEMD", "true")
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none",
            );
        command
    }

    fn config(&self) -> String {
        let home = self.home.display();
        let Ports {
            amqp,
            amqps,
            management,
            management_tls,
            ..
        } = self.ports;
        let managed = match self.management {
            false => String::new(),
            true => format!(
                "management.tcp.ip = 127.0.0.1
management.tcp.port = {management}
management.ssl.ip = 127.0.0.1
management.ssl.port = {management_tls}
management.ssl.cacertfile = {home}/ca.pem
management.ssl.certfile = {home}/cert.pem
management.ssl.keyfile = {home}/key.pem
"
            ),
        };
        format!(
            "# Written by flow-testkit.
listeners.tcp.1 = 127.0.0.1:{amqp}
listeners.ssl.1 = 127.0.0.1:{amqps}
ssl_options.cacertfile = {home}/ca.pem
ssl_options.certfile = {home}/cert.pem
ssl_options.keyfile = {home}/key.pem
ssl_options.verify = verify_none
load_definitions = {home}/definitions.json
log.console = true
log.console.level = info
disk_free_limit.absolute = 1MB
vm_memory_high_watermark.relative = 0.6
collect_statistics_interval = 60000
{managed}"
        )
    }

    fn start_epmd(&mut self) -> Result<()> {
        let child = Command::new("epmd")
            .args(["-address", "127.0.0.1", "-port"])
            .arg(self.ports.epmd.to_string())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start epmd, which comes with Erlang")?;
        self.tell_guard("epmd", Some(&child))?;
        self.epmd = Some(child);
        Ok(())
    }

    fn kill_epmd(&mut self) {
        if let Some(mut child) = self.epmd.take() {
            signal(&child, Signal::KILL);
            let _ = child.wait();
            let _ = self.tell_guard("epmd", None);
        }
    }

    fn start_guard(&mut self) -> Result<()> {
        let mut guard = Command::new("sh")
            .args(["-c", GUARD, "guard"])
            .arg(&self.home)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the guard of rabbitmq")?;
        let lifeline = guard.stdin.take().context("stdin was asked for")?;
        self.guard = Some((guard, lifeline));
        Ok(())
    }

    /// Names what has to end with us; none: it ended already, and its number may be another's by then.
    fn tell_guard(&mut self, what: &str, child: Option<&Child>) -> Result<()> {
        if let Some((_, lifeline)) = &mut self.guard {
            let group = child.map(|child| child.id().to_string());
            writeln!(lifeline, "{what} {}", group.unwrap_or_default())
                .context("the guard of rabbitmq is gone")?;
        }
        Ok(())
    }

    fn said(&self) -> String {
        fs::read_to_string(self.home.join("server.log")).unwrap_or_default()
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        self.kill();
        self.kill_epmd();
        if let Some((mut guard, lifeline)) = self.guard.take() {
            drop(lifeline);
            let _ = guard.wait();
        }
    }
}

fn signal(child: &Child, signal: Signal) {
    // It may have ended by itself; there is nothing to do about that here.
    let _ = kill_process_group(Pid::from_child(child), signal);
}

fn script(name: &str) -> Result<PathBuf> {
    SCRIPTS
        .iter()
        .map(|directory| Path::new(directory).join(name))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| anyhow!("this test needs RabbitMQ, which is not installed; {INSTALL}"))
}

fn pick_ports() -> Result<Ports> {
    let listeners: Vec<TcpListener> = (0..6)
        .map(|_| TcpListener::bind(("127.0.0.1", 0)))
        .collect::<std::io::Result<_>>()
        .context("cannot pick free ports")?;
    let port = |index: usize| -> Result<u16> { Ok(listeners[index].local_addr()?.port()) };
    Ok(Ports {
        amqp: port(0)?,
        amqps: port(1)?,
        epmd: port(2)?,
        distribution: port(3)?,
        management: port(4)?,
        management_tls: port(5)?,
    })
}

/// Escapes all but letters and digits, as a URL's user, password or vhost.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guard_ends_everything_when_the_process_ends() {
        let mut server = RabbitMq::start();
        let (mut guard, lifeline) = server.guard.take().expect("it was started");
        // As when this process is killed.
        drop(lifeline);
        assert!(guard.wait().expect("it ends").success());
        for child in [server.server.as_mut(), server.epmd.as_mut()] {
            let status = child.expect("it was started").wait().expect("it ends");
            assert!(!status.success(), "{status}");
        }
        assert!(TcpStream::connect(("127.0.0.1", server.port())).is_err());
        assert!(!server.home.exists());
    }
}
