//! `connection`: byte streams to servers. The host checks the grant, resolves, dials and speaks TLS.
//!
//! Reads are cancel safe, so that one interrupted during `wake.wait` loses nothing. A peer that
//! trickles is given up after a while: see [`Stream::too_slow`].

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use wasmtime::component::Resource;

use super::content::CHUNK;
use crate::bindings::flow::plugin::connection::{Host, HostStream, Security};
use crate::bindings::flow::plugin::types::Failure;
use crate::error::Error;
use crate::grants::Address;
use crate::outside::{Failed, HttpRequest, HttpResponse, Outside, Peer};
use crate::store::{Guest, Interrupt, Setup};
use crate::tls;
use crate::upload::Upload;

/// Longest time limit a guest may set for a read or write: servers that push let half an hour pass.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(3600);
/// Time limits a peer may use up in one call before its pace is looked at.
const PATIENCE: u32 = 10;
/// Bytes per second below which a peer is too slow.
const SLOWEST: u64 = 1024;

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

enum Channel {
    Plain(TcpStream),
    Tls(Box<dyn Io>),
    /// What stands in for the network.
    Other(Box<dyn Peer>),
    /// A handshake failed half-way: nothing can be said any more.
    Broken,
}

/// A connection of a guest.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Stream {
    channel: Channel,
    host: String,
    port: u16,
    timeout: Duration,
    /// The flow's own `timeout`.
    usual: Duration,
    /// The call that `waited` and `received` count for.
    call: u64,
    waited: Duration,
    received: u64,
}

impl Stream {
    fn new(channel: Channel, host: &str, port: u16, timeout: Duration) -> Self {
        Self {
            channel,
            host: host.to_owned(),
            port,
            timeout,
            usual: timeout,
            call: 0,
            waited: Duration::ZERO,
            received: 0,
        }
    }

    fn peer(&self) -> Address<'_> {
        Address(&self.host, self.port)
    }

    fn io(&mut self) -> io::Result<&mut dyn Io> {
        match &mut self.channel {
            Channel::Plain(tcp) => Ok(tcp),
            Channel::Tls(tls) => Ok(&mut **tls),
            Channel::Other(_) | Channel::Broken => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    async fn receive(&mut self, max: usize) -> Result<Vec<u8>, Failure> {
        if let Channel::Other(peer) = &mut self.channel {
            return Ok(peer.read(max).await?);
        }
        // Most reads bring little; no need to clear 64 KiB for each.
        let mut buffer = Vec::with_capacity(max);
        let timeout = self.timeout;
        let read = async {
            let mut io = self.io()?.take(max as u64);
            io.read_buf(&mut buffer).await
        };
        match tokio::time::timeout(timeout, read).await {
            Ok(Ok(_)) => Ok(buffer),
            Ok(Err(error)) => Err(self.lost(&error)),
            Err(_) => Err(Failure::temporary(format!(
                "`{}` sent nothing for {timeout:?}",
                self.peer()
            ))),
        }
    }

    async fn transmit(&mut self, data: &[u8]) -> Result<(), Failure> {
        if let Channel::Other(peer) = &mut self.channel {
            return Ok(peer.write(data).await?);
        }
        let timeout = self.timeout;
        let write = async {
            let io = self.io()?;
            io.write_all(data).await?;
            io.flush().await
        };
        match tokio::time::timeout(timeout, write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.lost(&error)),
            Err(_) => Err(Failure::temporary(format!(
                "`{}` took nothing for {timeout:?}",
                self.peer()
            ))),
        }
    }

    fn lost(&self, error: &io::Error) -> Failure {
        let peer = self.peer();
        let what = match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted => {
                format!("`{peer}` reset the connection")
            }
            io::ErrorKind::UnexpectedEof => {
                format!("`{peer}` closed the connection in the middle of it")
            }
            io::ErrorKind::NotConnected => {
                format!("the connection to `{peer}` is broken since its TLS handshake failed")
            }
            _ => format!("the connection to `{peer}` failed: {error}"),
        };
        Failure::temporary(what)
    }

    /// Whether the peer sends, but so slowly that it only keeps the flow from its work.
    ///
    /// A time limit per read does not catch a peer that sends one byte just before each ends. So
    /// after ten limits' worth of waiting in one call, it has to have come to 1 KiB/s on average.
    fn too_slow(&mut self, call: u64, waited: Duration, received: usize) -> Option<Failure> {
        if self.call != call {
            (self.call, self.waited, self.received) = (call, Duration::ZERO, 0);
        }
        self.waited += waited;
        self.received += received as u64;
        let slow = self.waited > self.timeout * PATIENCE
            && self.received < self.waited.as_secs().max(1) * SLOWEST;
        slow.then(|| {
            Failure::temporary(format!(
                "`{}` is too slow: {} bytes in {:.1} s",
                self.peer(),
                self.received,
                self.waited.as_secs_f64()
            ))
        })
    }

    async fn secure(&mut self, trust: &tls::Trust) -> Result<(), Failure> {
        let peer = self.peer().to_string();
        let tcp = match std::mem::replace(&mut self.channel, Channel::Broken) {
            Channel::Plain(tcp) => tcp,
            Channel::Other(mut other) => {
                let done = other.start_tls().await;
                self.channel = Channel::Other(other);
                return Ok(done?);
            }
            tls @ Channel::Tls(_) => {
                self.channel = tls;
                return Err(Failure::Permanent(format!(
                    "the connection to `{peer}` speaks TLS already"
                )));
            }
            Channel::Broken => return Err(self.lost(&io::ErrorKind::NotConnected.into())),
        };
        let (tcp, early) = early_bytes(tcp).map_err(|error| self.lost(&error))?;
        if early {
            let text = format!("`{peer}` sent something between STARTTLS and the TLS handshake");
            let error = Error::new("plugin/tls", text)
                .note("nobody but an attacker does that; the connection was given up");
            return Err(Failure::temporary(error.to_string()));
        }
        self.channel = handshake(tcp, &self.host, &peer, self.timeout, trust).await?;
        Ok(())
    }
}

/// Dials and, if asked to, speaks TLS from the start.
async fn open(
    host: String,
    port: u16,
    tls: bool,
    timeout: Duration,
    trust: &tls::Trust,
) -> Result<Stream, Failure> {
    let peer = Address(&host, port).to_string();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let tcp = dial(bare, port, &peer, timeout).await?;
    // Protocols of short lines and answers suffer from waiting for more to send.
    let _ = tcp.set_nodelay(true);
    let channel = match tls {
        false => Channel::Plain(tcp),
        true => handshake(tcp, bare, &peer, timeout, trust).await?,
    };
    Ok(Stream::new(channel, bare, port, timeout))
}

/// Opens a connection to what stands in for the network.
async fn elsewhere(
    outside: &dyn Outside,
    host: String,
    port: u16,
    tls: bool,
    timeout: Duration,
) -> Result<Stream, Failure> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let peer = outside.connect(bare, port, tls).await?;
    Ok(Stream::new(Channel::Other(peer), bare, port, timeout))
}

/// The network itself, for what stands between it and a guest.
pub(crate) struct Network(pub(crate) Arc<Setup>);

#[async_trait]
impl Outside for Network {
    async fn connect(&self, host: &str, port: u16, tls: bool) -> Result<Box<dyn Peer>, Failed> {
        let Self(setup) = self;
        let stream = open(host.to_owned(), port, tls, setup.timeout, &setup.trust).await?;
        let trust = Arc::clone(&setup.trust);
        Ok(Box::new(Direct { stream, trust }))
    }

    async fn http(
        &self,
        request: HttpRequest,
        upload: Option<Upload>,
    ) -> Result<HttpResponse, Failed> {
        Ok(super::http::through(&self.0, request, upload).await?)
    }
}

/// A connection through the network itself.
struct Direct {
    stream: Stream,
    trust: Arc<tls::Trust>,
}

#[async_trait]
impl Peer for Direct {
    async fn read(&mut self, max: usize) -> Result<Vec<u8>, Failed> {
        Ok(self.stream.receive(max).await?)
    }

    async fn write(&mut self, data: &[u8]) -> Result<(), Failed> {
        Ok(self.stream.transmit(data).await?)
    }

    async fn start_tls(&mut self) -> Result<(), Failed> {
        Ok(self.stream.secure(&self.trust).await?)
    }

    fn set_timeout(&mut self, timeout: Duration) {
        self.stream.timeout = timeout;
    }
}

/// Resolves, and tries the addresses in turn, all within the time limit.
async fn dial(host: &str, port: u16, peer: &str, timeout: Duration) -> Result<TcpStream, Failure> {
    let end = Instant::now() + timeout;
    let addresses: Vec<SocketAddr> =
        match tokio::time::timeout(timeout, tokio::net::lookup_host((host, port))).await {
            Ok(Ok(addresses)) => addresses.collect(),
            Ok(Err(error)) => {
                let text = error.to_string();
                let why = text
                    .strip_prefix("failed to lookup address information: ")
                    .unwrap_or(&text);
                return Err(Failure::temporary(format!(
                    "the host name `{host}` can't be resolved: {why}"
                )));
            }
            Err(_) => {
                return Err(Failure::temporary(format!(
                    "the host name `{host}` was not resolved within {timeout:?}"
                )));
            }
        };
    let mut failure = Failure::temporary(format!("the host name `{host}` has no address"));
    for (index, address) in addresses.iter().enumerate() {
        // The first ones can't use up the time of the others.
        let share = end.saturating_duration_since(Instant::now())
            / u32::try_from(addresses.len() - index).unwrap_or(1);
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => return Ok(tcp),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                failure = Failure::temporary(format!(
                    "`{peer}` refused the connection: nothing listens there"
                ));
            }
            Ok(Err(error)) => {
                failure = Failure::temporary(format!("`{peer}` can't be reached: {error}"));
            }
            Err(_) => {
                failure = Failure::temporary(format!("`{peer}` did not answer within {timeout:?}"));
            }
        }
    }
    Err(failure)
}

/// Whether the peer sent something that nobody read yet.
///
/// A client speaks first in TLS: what is here before the handshake was sent in the clear, perhaps
/// by somebody in between, to be taken for what came through TLS. Asks the kernel, as tokio knows
/// only what it was told at its last turn.
fn early_bytes(tcp: TcpStream) -> io::Result<(TcpStream, bool)> {
    let tcp = tcp.into_std()?;
    let early = matches!(tcp.peek(&mut [0]), Ok(1..));
    Ok((TcpStream::from_std(tcp)?, early))
}

async fn handshake(
    tcp: TcpStream,
    host: &str,
    peer: &str,
    timeout: Duration,
    trust: &tls::Trust,
) -> Result<Channel, Failure> {
    let config = trust.config().map_err(Failure::Config)?;
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| Failure::Config(format!("`{host}` is no name a certificate can be for")))?;
    let connect = tokio_rustls::TlsConnector::from(config).connect(name, tcp);
    match tokio::time::timeout(timeout, connect).await {
        Ok(Ok(tls)) => Ok(Channel::Tls(Box::new(tls))),
        Ok(Err(error)) => Err(tls::insecure(peer, &error)),
        Err(_) => Err(Failure::temporary(format!(
            "`{peer}` did not finish the TLS handshake within {timeout:?}"
        ))),
    }
}

/// Runs something that waits for a peer, unless the host needs the instance.
async fn unless<T>(
    interrupt: &mut Option<Interrupt>,
    work: impl Future<Output = Result<T, Failure>> + Send,
) -> Result<T, Failure> {
    let Some(pending) = interrupt else {
        return work.await;
    };
    let result = tokio::select! {
        biased;
        result = work => return result,
        () = pending.fired() => Err(Failure::Interrupted),
    };
    // Once only: what the guest does next, it does to leave the connection usable.
    *interrupt = None;
    result
}

impl Host for Guest {
    async fn connect(
        &mut self,
        host: String,
        port: u16,
        security: Security,
    ) -> wasmtime::Result<Result<Resource<Stream>, Failure>> {
        let setup = &self.setup;
        if let Err(error) = setup.grants.connect(&setup.plugin, &host, port) {
            return Ok(Err(Failure::config(&error)));
        }
        if let Err(error) = self.connections.room(&setup.plugin, "connections") {
            return Ok(Err(Failure::misuse(&error)));
        }
        let _away = self.away();
        let tls = matches!(security, Security::Tls);
        let connected = match &self.place.outside {
            None => {
                let work = open(host, port, tls, setup.timeout, &setup.trust);
                unless(&mut self.call.interrupt, work).await
            }
            Some(outside) => {
                let work = elsewhere(&**outside, host, port, tls, setup.timeout);
                unless(&mut self.call.interrupt, work).await
            }
        };
        match connected {
            Ok(stream) => {
                let stream = self.table.push(stream)?;
                self.connections.one_more();
                Ok(Ok(stream))
            }
            Err(failure) => Ok(Err(failure)),
        }
    }
}

impl HostStream for Guest {
    async fn read(
        &mut self,
        stream: Resource<Stream>,
        max: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, Failure>> {
        let _away = self.away();
        let waiting = self.call.interrupt.is_some();
        let stream = self.table.get_mut(&stream)?;
        let max = usize::try_from(max).unwrap_or(CHUNK).clamp(1, CHUNK);
        let before = Instant::now();
        let result = unless(&mut self.call.interrupt, stream.receive(max)).await;
        if let Ok(bytes) = &result {
            self.setup.usage.received(bytes.len());
        }
        // A peer may say as little as it likes while it is only listened to.
        if let (Ok(bytes), false) = (&result, waiting)
            && let Some(failure) = stream.too_slow(self.call.number, before.elapsed(), bytes.len())
        {
            return Ok(Err(failure));
        }
        Ok(result)
    }

    async fn write(
        &mut self,
        stream: Resource<Stream>,
        data: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Failure>> {
        let _away = self.away();
        let result = self.table.get_mut(&stream)?.transmit(&data).await;
        if result.is_ok() {
            self.setup.usage.sent(data.len() as u64);
        }
        Ok(result)
    }

    async fn start_tls(
        &mut self,
        stream: Resource<Stream>,
    ) -> wasmtime::Result<Result<(), Failure>> {
        let _away = self.away();
        Ok(self.table.get_mut(&stream)?.secure(&self.setup.trust).await)
    }

    fn set_timeout(&mut self, stream: Resource<Stream>, ms: u64) -> wasmtime::Result<()> {
        let stream = self.table.get_mut(&stream)?;
        stream.timeout = match ms {
            0 => stream.usual,
            ms => Duration::from_millis(ms).min(LONGEST_TIMEOUT),
        };
        let timeout = stream.timeout;
        if let Channel::Other(peer) = &mut stream.channel {
            peer.set_timeout(timeout);
        }
        Ok(())
    }

    fn drop(&mut self, stream: Resource<Stream>) -> wasmtime::Result<()> {
        let mut stream = self.table.delete(stream)?;
        self.connections.one_less();
        if let Channel::Tls(tls) = &mut stream.channel {
            // Says goodbye, if that needs no waiting.
            let _ = Pin::new(tls).poll_shutdown(&mut Context::from_waker(Waker::noop()));
        }
        Ok(())
    }
}
