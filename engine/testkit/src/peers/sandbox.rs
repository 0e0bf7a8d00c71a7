//! A PT Sandbox, played: the scanning part of its API over TLS, with faults to order.
//!
//! It is as strict as the product is said to be: a key in every request, uploads with their length,
//! no nulls, options within their ranges, and files that are gone after their time. Verdicts follow
//! from the content, so that a test can tell whose verdict it got. `ptsandbox` from PyPI, which
//! others wrote against the product, runs against it ([`Sandbox::client`]).
//!
//! It runs on a thread of the test: what it was asked is there to be looked at.

mod answers;
mod http;
mod plan;
mod scans;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::authority::Authority;
use super::venv;

pub use plan::{Delay, Fault, Kind, Plan, Sample, Verdict};
use scans::Scans;
pub use scans::{Asked, Scan};

const REQUIREMENTS: &str = include_str!("sandbox/client.txt");

/// What the server's tasks share with the test.
struct Shared {
    plan: Mutex<Plan>,
    scans: Mutex<Scans>,
}

impl Shared {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn scans(&self) -> MutexGuard<'_, Scans> {
        self.scans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running sandbox; stopped when dropped.
pub struct Sandbox {
    home: tempfile::TempDir,
    authority: Authority,
    shared: Arc<Shared>,
    address: SocketAddr,
    up: watch::Sender<bool>,
    /// Where the server says that it has done what `up` says.
    told: Mutex<mpsc::UnboundedReceiver<()>>,
    /// Dropped, it ends.
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Sandbox {
    /// The key of a source, which may scan.
    pub const KEY: &'static str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

    /// Starts one that answers at once.
    ///
    /// # Panics
    /// When it can't listen.
    #[track_caller]
    pub fn start() -> Self {
        Self::with(Plan::default())
    }

    /// Starts one that does as `plan` says.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[track_caller]
    pub fn with(plan: Plan) -> Self {
        Self::try_start(plan, Authority::create).expect("a sandbox can be played")
    }

    /// Starts one whose certificate is over.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[track_caller]
    pub fn expired() -> Self {
        Self::try_start(Plan::default(), Authority::create_expired)
            .expect("a sandbox can be played")
    }

    /// Starts one with a certificate that nobody signed but itself, as appliances have.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[track_caller]
    pub fn self_signed() -> Self {
        Self::try_start(Plan::default(), Authority::create_self_signed)
            .expect("a sandbox can be played")
    }

    fn try_start(plan: Plan, authority: fn(&Path) -> Result<Authority>) -> Result<Self> {
        let home = tempfile::Builder::new().prefix("flow-sandbox-").tempdir()?;
        let authority = authority(home.path())?;
        let acceptor = acceptor(&authority)?;
        let shared = Arc::new(Shared {
            plan: Mutex::new(plan),
            scans: Mutex::default(),
        });
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (up, is_up) = watch::channel(true);
        let (tell, told) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let server = Server {
            shared: Arc::clone(&shared),
            acceptor,
            address,
            is_up,
            tell,
        };
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = server.run(listener) => {}
                    _ = ended => {}
                }
            });
        });
        Ok(Self {
            home,
            authority,
            shared,
            address,
            up,
            told: Mutex::new(told),
            end: Some(end),
            thread: Some(thread),
        })
    }

    /// `https://localhost:port`.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// What a client has to trust, PEM.
    pub fn ca_file(&self) -> PathBuf {
        self.authority.ca_file()
    }

    /// A line of `credentials.conf` with the key.
    pub fn credential(&self) -> String {
        format!("{}/ api_key={}\n", self.url(), Self::KEY)
    }

    /// Changes what it does from now on.
    pub fn plan(&self, change: impl FnOnce(&mut Plan)) {
        change(&mut self.shared.plan());
    }

    /// Every request so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.scans().asked.clone()
    }

    /// How many requests had a path that ends so.
    pub fn count(&self, path: &str) -> usize {
        let scans = self.shared.scans();
        scans
            .asked
            .iter()
            .filter(|asked| asked.path.ends_with(path))
            .count()
    }

    /// Every scan asked for so far, in order.
    pub fn scans(&self) -> Vec<Scan> {
        self.shared.scans().list.clone()
    }

    /// Forgets uploads and scans, as after a loss of its data; the list of what was asked stays.
    pub fn forget(&self) {
        self.shared.scans().forget();
    }

    /// Every scan under way is over now.
    pub fn finish(&self) {
        self.shared.scans().finish();
    }

    /// Closes its port and every connection, in the middle of whatever they are in.
    pub fn down(&self) {
        self.turn(false);
    }

    /// Listens again, at the same address and with what it knew.
    pub fn up(&self) {
        self.turn(true);
    }

    fn turn(&self, up: bool) {
        let changed = self
            .up
            .send_if_modified(|is_up| std::mem::replace(is_up, up) != up);
        if changed {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = told.blocking_recv();
        }
    }

    /// `python` with the client others wrote against the product.
    ///
    /// # Panics
    /// When it can't be had; the text says what to do.
    #[track_caller]
    pub fn client(&self) -> Command {
        let bin = venv::environment("ptsandbox", REQUIREMENTS).unwrap_or_else(|error| {
            panic!("this test needs ptsandbox: {error:#}; {}", venv::INSTALL)
        });
        let mut command = Command::new(bin.join("python"));
        command
            .current_dir(self.home.path())
            .env("SANDBOX_HOST", format!("localhost:{}", self.address.port()))
            .env("SANDBOX_KEY", Self::KEY);
        command
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn acceptor(authority: &Authority) -> Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(authority.cert_file())?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(authority.key_file()).context("the key is PEM")?;
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The thread's side.
struct Server {
    shared: Arc<Shared>,
    acceptor: TlsAcceptor,
    address: SocketAddr,
    is_up: watch::Receiver<bool>,
    tell: mpsc::UnboundedSender<()>,
}

impl Server {
    async fn run(mut self, listener: std::net::TcpListener) {
        let mut listener = TcpListener::from_std(listener).ok();
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let accepted = async {
                match &listener {
                    Some(listener) => listener.accept().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = self.is_up.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    if *self.is_up.borrow_and_update() {
                        listener = self.listen().await;
                    } else {
                        listener = None;
                        connections.shutdown().await;
                    }
                    let _ = self.tell.send(());
                }
                Ok((stream, _)) = accepted => {
                    let _ = stream.set_nodelay(true);
                    let (shared, acceptor) = (Arc::clone(&self.shared), self.acceptor.clone());
                    connections.spawn(async move {
                        // Who does not trust the certificate hangs up.
                        if let Ok(stream) = acceptor.accept(stream).await {
                            http::serve(stream, &shared).await;
                        }
                    });
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }

    /// The address may be taken for a moment by a connection that goes out.
    async fn listen(&self) -> Option<TcpListener> {
        for _ in 0..500 {
            let socket = tokio::net::TcpSocket::new_v4().ok()?;
            let _ = socket.set_reuseaddr(true);
            if socket.bind(self.address).is_ok()
                && let Ok(listener) = socket.listen(1024)
            {
                return Some(listener);
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        None
    }
}
