//! One connection: from the handshake to its end.
//!
//! A link knows packets and time limits. It knows nothing of what they are for: sessions, queues and
//! what is sent again belong to its users. It never comes back; who loses one opens another.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use flow_config::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::timeout;

use super::dial::{Server, Stream};
use super::packet::{self, Connect, Packet, Publish, Welcome};
use super::reason::{FAILURE, explain};
use crate::error::{Error, Kind};

/// Room for what arrives; more is made when a packet is longer.
const READ: usize = 16 * 1024;

/// How a session is asked for.
#[derive(Debug, Clone)]
pub(super) struct Hello {
    pub(super) client_id: String,
    pub(super) clean_start: bool,
    pub(super) keep_alive: Duration,
    /// Seconds after the connection ends; all ones is never.
    pub(super) session_expiry: u32,
    pub(super) receive_maximum: u16,
    /// The quality of service that is needed.
    pub(super) qos: u8,
}

/// What the server allows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Publishes without an answer.
    pub(super) in_flight: usize,
    /// Bytes of one packet.
    pub(super) packet: usize,
    /// How often it wants to hear something; zero: never.
    pub(super) keep_alive: Duration,
    /// Whether it tells which subscription a message came for.
    pub(super) subscription_ids: bool,
    /// Whether it had the session already.
    pub(super) session_present: bool,
}

/// An open connection.
pub(super) struct Link {
    server: Arc<Server>,
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    input: BytesMut,
    output: BytesMut,
    /// Something was written that a layer below may hold back.
    unflushed: bool,
    pub(super) limits: Limits,
}

impl Link {
    /// Connects and logs in.
    pub(super) async fn open(
        server: &Arc<Server>,
        hello: &Hello,
        limit: Duration,
    ) -> Result<Self, Error> {
        match timeout(limit, Self::handshake(server, hello)).await {
            Ok(result) => result,
            Err(_) => Err(server.error(
                Kind::Unreachable,
                &format!("it did not answer within {} s", limit.as_secs()),
                "it will be tried again; check the address, the network and that the server runs",
            )),
        }
    }

    async fn handshake(server: &Arc<Server>, hello: &Hello) -> Result<Self, Error> {
        let (reader, writer) = tokio::io::split(server.dial().await?);
        let mut link = Self {
            server: Arc::clone(server),
            reader,
            writer,
            input: BytesMut::with_capacity(READ),
            output: BytesMut::new(),
            unflushed: false,
            limits: Limits {
                in_flight: usize::from(u16::MAX),
                packet: packet::LONGEST,
                keep_alive: hello.keep_alive,
                subscription_ids: true,
                session_present: false,
            },
        };
        packet::connect(
            &mut link.output,
            &Connect {
                client_id: &hello.client_id,
                clean_start: hello.clean_start,
                keep_alive: seconds(hello.keep_alive),
                session_expiry: hello.session_expiry,
                receive_maximum: hello.receive_maximum,
                user: server.user.as_deref(),
                password: server.password.as_ref().map(Secret::expose),
            },
        );
        match link.next(true).await? {
            Packet::Welcome(welcome) => link.welcomed(&welcome, hello.qos)?,
            Packet::Disconnect { reason, text } => {
                return Err(link.refused("the connection", reason, text.as_deref()));
            }
            _ => return Err(link.broken("it answered a connect with something else")),
        }
        Ok(link)
    }

    fn welcomed(&mut self, welcome: &Welcome, qos: u8) -> Result<(), Error> {
        let found = &welcome.properties;
        if welcome.reason >= FAILURE {
            return Err(self.refused("the connection", welcome.reason, found.reason.as_deref()));
        }
        if found.maximum_qos.is_some_and(|most| most < qos) {
            return Err(self.refused("messages that have to arrive", 0x9b, None));
        }
        if found.shared_subscriptions == Some(0) {
            return Err(self.refused("queues", 0x9e, None));
        }
        if found.wildcards == Some(0) {
            return Err(self.refused("bindings with `*` or `#`", 0xa2, None));
        }
        let limits = &mut self.limits;
        limits.session_present = welcome.session_present;
        limits.subscription_ids = found.subscription_ids != Some(0);
        if let Some(count) = found.receive_maximum {
            limits.in_flight = usize::from(count);
        }
        if let Some(bytes) = found.maximum_packet_size {
            limits.packet = usize::try_from(bytes).unwrap_or(packet::LONGEST);
        }
        if let Some(seconds) = found.server_keep_alive {
            limits.keep_alive = Duration::from_secs(u64::from(seconds));
        }
        Ok(())
    }

    /// Sends what there is to send, and waits for the next packet; without `read` only sends, and
    /// waits for ever once all is sent.
    ///
    /// # Cancel safety
    /// Nothing is lost: what was read or written is noted before the next wait.
    pub(super) async fn next(&mut self, read: bool) -> Result<Packet, Error> {
        loop {
            if read
                && let Some(packet) = packet::decode(&mut self.input)
                    .map_err(|why| self.broken(&format!("it sent {why}")))?
            {
                return Ok(packet);
            }
            let sending = !self.output.is_empty() || self.unflushed;
            let (reader, input) = (&mut self.reader, &mut self.input);
            let (writer, output, unflushed) =
                (&mut self.writer, &mut self.output, &mut self.unflushed);
            let done = tokio::select! {
                count = reader.read_buf(input), if read => count.map(|count| count > 0),
                end = send(writer, output, unflushed), if sending => end.map(|()| true),
                () = std::future::pending(), if !read => Ok(true),
            };
            match done {
                Ok(true) => {}
                Ok(false) => return Err(self.broken("it closed the connection")),
                Err(error) => return Err(self.broken(&format!("the connection broke: {error}"))),
            }
        }
    }

    /// Sends all there is to send.
    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        send(&mut self.writer, &mut self.output, &mut self.unflushed)
            .await
            .map_err(|error| self.broken(&format!("the connection broke: {error}")))
    }

    pub(super) fn publish(&mut self, message: &Publish) {
        packet::publish(&mut self.output, message);
    }

    pub(super) fn puback(&mut self, id: u16) {
        packet::puback(&mut self.output, id);
    }

    /// Subscribes; the answer has the same `id`.
    pub(super) fn subscribe(&mut self, id: u16, filter: &str, subscription: u32, qos: u8) {
        let subscription = Some(subscription).filter(|_| self.limits.subscription_ids);
        packet::subscribe(&mut self.output, id, filter, subscription, qos);
    }

    pub(super) fn unsubscribe(&mut self, id: u16, filter: &str) {
        packet::unsubscribe(&mut self.output, id, filter);
    }

    pub(super) fn ping(&mut self) {
        packet::ping(&mut self.output);
    }

    /// Bytes that wait to be sent.
    pub(super) fn unsent(&self) -> usize {
        self.output.len()
    }

    /// Says good-bye; the session stays as long as the hello asked for.
    pub(super) async fn close(mut self, limit: Duration) {
        packet::disconnect(&mut self.output);
        // The server finds out by itself if this does not reach it.
        let _ = timeout(limit, async {
            self.flush().await?;
            let _ = self.writer.shutdown().await;
            Ok::<(), Error>(())
        })
        .await;
    }

    /// The server said no.
    pub(super) fn refused(&self, what: &str, reason: u8, text: Option<&str>) -> Error {
        refused(&self.server, what, reason, text)
    }

    /// The connection is of no use any more.
    pub(super) fn broken(&self, what: &str) -> Error {
        Error::new(
            Kind::Unreachable,
            format!(
                "`{}`: {what}; nothing is lost: what was not confirmed is posted again, what was not \
                 acknowledged is delivered again",
                self.server
            ),
        )
    }
}

/// Writes everything and sees that it leaves. Cancel safe: what was written is gone from `output`.
async fn send(
    writer: &mut WriteHalf<Box<dyn Stream>>,
    output: &mut BytesMut,
    unflushed: &mut bool,
) -> std::io::Result<()> {
    while !output.is_empty() {
        *unflushed = true;
        if writer.write_buf(output).await? == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
    }
    writer.flush().await?;
    *unflushed = false;
    Ok(())
}

/// The server said no to something, with a reason code.
fn refused(server: &Server, what: &str, reason: u8, text: Option<&str>) -> Error {
    let (why, kind) = explain(reason);
    let advice = match kind {
        Kind::Login => "set the user in the broker's URL and its password in `credentials.conf`",
        Kind::Denied => {
            "let this user write to the exchange and read from the queue in the server's ACL, and \
             check the user and its password: some servers do not tell the two apart"
        }
        Kind::Unsupported => "change the server's settings, or use another broker",
        Kind::Full => "it will be tried again; raise the quota or let consumers catch up",
        Kind::TakenOver => {
            "only one process may consume an instance of a queue: look for another one that does"
        }
        Kind::Unacceptable => "change the message or the server's limits",
        _ => "it will be tried again; look in the server's log",
    };
    let said = text.map_or_else(String::new, |text| format!(", it says: {}", plain(text)));
    Error::new(
        kind,
        format!(
            "`{server}` refused {what}: {why} (0x{reason:02x}){said}; nothing is lost; {advice}"
        ),
    )
}

/// Text of a peer, fit for one line.
fn plain(text: &str) -> String {
    text.chars()
        .take(200)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// A keep-alive as MQTT has it; what is not zero stays so.
fn seconds(duration: Duration) -> u16 {
    if duration.is_zero() {
        0
    } else {
        u16::try_from(duration.as_secs().max(1)).unwrap_or(u16::MAX)
    }
}
