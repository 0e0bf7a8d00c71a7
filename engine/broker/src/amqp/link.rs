//! A connection to a broker that is made when it is needed and made again when it was lost.
//!
//! One task at a time connects; the others wait for it and use what it made. After a failure the broker
//! is left alone for a while, longer each time and never the same for two processes: whoever asks
//! meanwhile gets the last error at once, with the time left. So nobody waits longer than `timeout`, and
//! a broker that comes back is not run over.
//!
//! The client library's own recovery is off. It would keep channels alive across connections with the
//! tags of their deliveries renumbered beneath us, retry for a time we do not choose on a thread that
//! sleeps, and hide from a flow that its broker is away.

use std::fmt;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use lapin::tcp::{AsyncTcpStream, RustlsConnector};
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Channel, Connection, ConnectionProperties};
use tokio::time::{Instant, timeout};

use super::Options;
use super::address::Address;
use super::gate::{self, Gate};
use super::trouble::{Doing, too_long, trouble, unreachable};
use crate::error::{Error, Kind};

/// The pause after the first failure; it doubles from there.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// A connection that was lost sooner than this counts as a failure to connect.
const SHORT_LIFE: Duration = Duration::from_secs(5);

/// A connection, as needed.
pub(super) struct Link {
    address: Address,
    options: Options,
    /// What it is for, as the broker's list of connections shows it.
    purpose: &'static str,
    tls: OnceLock<Result<RustlsConnector, Error>>,
    /// Of the connection there is.
    gate: Gate,
    slot: tokio::sync::Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    live: Option<Live>,
    /// In a row.
    failures: u32,
    /// Until when the broker is left alone, and why.
    pause: Option<(Instant, Error)>,
}

#[derive(Clone)]
struct Live {
    connection: Arc<Connection>,
    since: Instant,
    socket: Socket,
}

/// The socket beneath a connection, to end it from outside: the library waits on it for ever.
#[derive(Clone, Default)]
struct Socket(Arc<Mutex<Option<TcpStream>>>);

impl Socket {
    fn keep(&self, stream: &impl AsFd) -> std::io::Result<()> {
        let copy = stream.as_fd().try_clone_to_owned()?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(copy.into());
        Ok(())
    }

    fn end(&self) {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(stream) = held {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("address", &self.address)
            .field("purpose", &self.purpose)
            .finish_non_exhaustive()
    }
}

impl Link {
    pub(super) fn new(address: Address, options: Options, purpose: &'static str) -> Self {
        Self {
            address,
            options,
            purpose,
            tls: OnceLock::new(),
            gate: Gate::default(),
            slot: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// What keeps the connection from writing.
    pub(super) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// How long any one answer may take.
    pub(super) fn limit(&self) -> Duration {
        self.options.timeout
    }

    /// A new channel, on the connection there is or on a new one.
    pub(super) async fn channel(&self) -> Result<Channel, Error> {
        let live = self.live().await?;
        match timeout(self.options.timeout, live.connection.create_channel()).await {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(error)) => Err(trouble(&self.address, Doing::OpenChannel, &error)),
            Err(_) => Err(self.late(&live, Doing::OpenChannel)),
        }
    }

    /// The connection. Others wait meanwhile, but only for it to be made.
    async fn live(&self) -> Result<Live, Error> {
        let mut slot = self.slot.lock().await;
        self.bury(&mut slot);
        if let Some(live) = &slot.live {
            return Ok(live.clone());
        }
        self.connect_into(&mut slot).await
    }

    /// Waits for an answer, as long as it may take.
    pub(super) async fn ask<T>(
        &self,
        doing: Doing<'_>,
        answer: impl Future<Output = lapin::Result<T>>,
    ) -> Result<T, Error> {
        match timeout(self.options.timeout, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(trouble(&self.address, doing, &error)),
            Err(_) => Err(self.overdue(doing).await),
        }
    }

    /// The error of an answer that did not come in time.
    pub(super) async fn overdue(&self, doing: Doing<'_>) -> Error {
        match &self.slot.lock().await.live {
            Some(live) => self.late(live, doing),
            None => too_long(&self.address, doing, false),
        }
    }

    /// The error of something that could not even be sent in time, or was sent to a broker that takes
    /// nothing. The connection is ended: what it still has to send would pile up with every try.
    pub(super) async fn stuck(&self, doing: Doing<'_>) -> Error {
        let mut slot = self.slot.lock().await;
        let Some(live) = slot.live.take() else {
            return too_long(&self.address, doing, false);
        };
        let error = self.late(&live, doing);
        live.socket.end();
        self.pause(&mut slot, &error)
    }

    /// Whether the broker has stopped taking posts.
    pub(super) async fn blocked(&self) -> bool {
        let slot = self.slot.lock().await;
        slot.live
            .as_ref()
            .is_some_and(|live| live.connection.status().blocked())
    }

    fn late(&self, live: &Live, doing: Doing<'_>) -> Error {
        too_long(&self.address, doing, live.connection.status().blocked())
    }

    /// Says goodbye.
    pub(super) async fn close(&self) {
        let live = self.slot.lock().await.live.take();
        if let Some(live) = live {
            let goodbye = live.connection.close(200, "OK".into());
            if timeout(self.options.timeout, goodbye).await.is_err() {
                live.socket.end();
            }
        }
    }

    /// Forgets a connection that is dead, and leaves the broker alone if it died young.
    fn bury(&self, slot: &mut Slot) {
        let dead = slot
            .live
            .take_if(|live| !live.connection.status().connected());
        let Some(dead) = dead else { return };
        dead.socket.end();
        if dead.since.elapsed() < SHORT_LIFE {
            let error = unreachable(
                &self.address,
                Doing::Connect,
                "the connection was lost as soon as it was made",
            );
            self.pause(slot, &error);
        } else {
            slot.failures = 0;
        }
        tracing::warn!(
            broker = %self.address,
            purpose = self.purpose,
            "The connection to the broker was lost."
        );
    }

    async fn connect_into(&self, slot: &mut Slot) -> Result<Live, Error> {
        if let Some((until, error)) = &slot.pause {
            let left = until.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                return Err(error.clone().after(left));
            }
        }
        match self.connect().await {
            Ok(live) => {
                slot.pause = None;
                slot.live = Some(live.clone());
                Ok(live)
            }
            Err(error) => Err(self.pause(slot, &error)),
        }
    }

    /// Notes a failure; returns it with the time to wait.
    fn pause(&self, slot: &mut Slot, error: &Error) -> Error {
        let longest = self.options.longest_pause;
        let doubled = FIRST_PAUSE.saturating_mul(1 << slot.failures.min(16));
        let pause = doubled.min(longest).mul_f64(rand::random_range(0.5..=1.0));
        slot.failures = slot.failures.saturating_add(1);
        slot.pause = Some((Instant::now() + pause, error.clone()));
        error.clone().after(pause)
    }

    async fn connect(&self) -> Result<Live, Error> {
        let address = &self.address;
        let tls = if address.tls {
            Some(self.connector()?)
        } else {
            None
        };
        let limit = self.options.timeout;
        let socket = Socket::default();
        let (held, host, port) = (socket.clone(), address.host.clone(), address.port);
        let connecting = Connection::connector(
            self.uri(),
            gate::runtime(&self.gate),
            // Runs on the library's own thread, which nothing but its own limit could stop.
            async move |_, runtime| {
                let dialing = async {
                    let found = tokio::net::lookup_host((host.as_str(), port)).await?;
                    let found: Vec<SocketAddr> = found.collect();
                    let stream = AsyncTcpStream::connect(&runtime, found).await?;
                    if let AsyncTcpStream::Plain(plain) = &stream {
                        let plain = plain.inner().get_ref();
                        plain.set_nodelay(true)?;
                        held.keep(plain)?;
                    }
                    match &tls {
                        Some(connector) => stream.into_rustls(connector, &host).await,
                        None => Ok(stream),
                    }
                };
                let dialed = timeout(limit, dialing).await;
                let dialed = dialed.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
                dialed.map_err(lapin::Error::from)
            },
            self.properties(),
        );
        match timeout(limit, connecting).await {
            Ok(Ok(connection)) => {
                tracing::info!(broker = %address, purpose = self.purpose, "Connected to the broker.");
                Ok(Live {
                    connection: Arc::new(connection),
                    since: Instant::now(),
                    socket,
                })
            }
            Ok(Err(error)) => Err(trouble(address, Doing::Connect, &error)),
            Err(_) => {
                socket.end();
                Err(too_long(address, Doing::Connect, false))
            }
        }
    }

    fn uri(&self) -> AMQPUri {
        let address = &self.address;
        AMQPUri {
            scheme: if address.tls {
                AMQPScheme::AMQPS
            } else {
                AMQPScheme::AMQP
            },
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo {
                    username: address.user.clone(),
                    password: address.password.expose().to_owned(),
                },
                host: address.host.clone(),
                port: address.port,
            },
            vhost: address.vhost.clone(),
            query: AMQPQueryString {
                heartbeat: u16::try_from(self.options.heartbeat.as_secs()).ok(),
                ..AMQPQueryString::default()
            },
        }
    }

    fn properties(&self) -> ConnectionProperties {
        let name = format!("{} {}", self.options.name, self.purpose);
        ConnectionProperties::default()
            .with_connection_name(name.into())
            .with_client_property("product".into(), "flow".into())
            .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into())
    }

    fn connector(&self) -> Result<RustlsConnector, Error> {
        self.tls
            .get_or_init(|| trust(self.options.ca_file.as_deref(), &self.address))
            .clone()
    }
}

/// The machine's certificate authorities, and those of a file.
fn trust(ca_file: Option<&Path>, address: &Address) -> Result<RustlsConnector, Error> {
    let roots = flow_trust::roots(ca_file).map_err(|why| {
        let file = ca_file.unwrap_or(Path::new("")).display();
        Error::new(
            Kind::Address,
            format!(
                "can't connect to `{address}`: `caFile` {file}: {why}; nothing was lost; name a PEM \
                 file with the authority's certificate"
            ),
        )
    })?;
    Ok(Arc::new(flow_trust::client_config(roots)).into())
}
