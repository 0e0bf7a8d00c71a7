//! MQTT 5: any server that speaks it, as a broker of exchanges and queues.
//!
//! # How it maps
//! A queue is a *shared subscription*: `$share/<queue>/<exchange>/<binding>`. Each instance of a queue
//! is a session of its own, with the client id `<queue>_i<instance>`, that lives on the server while
//! nobody is connected. What the server has sent and was not answered it sends again. `names` has the
//! spelling of topics and bindings. All of it is sr3's way, so both may work on one server.
//!
//! # What it does
//! - A message is acknowledged (PUBACK) when it is settled, never on arrival; the server sends no more
//!   than `prefetch` messages ahead of that. `settle` returns when the server has read the acks: they
//!   are followed by a ping, and a server answers in order.
//! - A released message is *held here and offered again*. MQTT can only give a message back by breaking
//!   the connection, which would bring back everything else too. If the process ends, the server
//!   offers it again to the same instance.
//! - A broken connection is not seen outside: another is opened, after waits that grow from half a
//!   second to a minute, half of them random; what the server sends again is recognised by its packet
//!   identifier and content, so that nothing held is delivered twice, and what was settled meanwhile is
//!   acknowledged then. After [`Options::patience`] without a connection `receive` fails.
//! - `key` of a delivery is `<queue>/<digest of topic and body>`: the same at every delivery, in every
//!   process and instance. The same bytes posted twice under the same topic have the same key.
//! - A message that several bindings of a queue select arrives once, and bindings mean what they mean
//!   for AMQP, although the server knows less: see `names`.
//! - A post returns when each message of the batch has its PUBACK; the whole batch is on its way, as far
//!   as the server allows.
//!
//! # What it does not
//! - The server divides messages among the instances of a queue, those that are not connected too. What
//!   was given to an instance stays with it: run as many as were declared, or delete those that are not
//!   run any more.
//! - There is no depth, no memory for keys ([`Confirm::Duplicate`] never comes), and no age limit for
//!   waiting messages ([`Declaration::message_ttl`] is not used). Unacknowledged messages may be passed
//!   by later ones after a reconnect.
//! - Bindings that a declaration no longer has stay subscribed at the server, as nobody can ask it for
//!   them; what they bring is dropped on arrival. [`MqttBroker::unbind`] removes them.
//! - A confirmed post is as durable as the server makes it. Mosquitto confirms what it has in memory: give
//!   it `persistence true`, `autosave_on_changes true`, `autosave_interval 1`, and
//!   `max_queued_messages 0`, as it drops what is beyond that number (1000 by default) and says nothing.
//! - Mosquitto before 2.0.12 (Debian 12 has 2.0.11) forgets shared subscriptions when it restarts, though
//!   not what waits in them, until their consumers are back. A post that reaches nobody is tried again
//!   for a minute after a reconnect if there was somebody before; where another queue gets the post,
//!   nobody can tell that one missed it. Use a later version.
//!
//! # Why a client of our own
//! Libraries for MQTT keep a session in a state machine of theirs, and ack-last with exact redelivery is
//! about that state: `rumqttc` (0.25) sends acks of a former connection on the next one, tells no poster
//! which PUBACK is his, and can lock up when a session is lost (bytebeamio/rumqtt#1014, #1056); others
//! are younger, or acknowledge on arrival. What is needed of the protocol is small: seven packets, in
//! `packet`.
//!
//! [`Confirm::Duplicate`]: flow_runtime::ports::Confirm::Duplicate
//! [`Declaration::message_ttl`]: crate::embedded::Declaration::message_ttl

mod consumer;
mod dial;
mod ledger;
mod link;
mod names;
mod packet;
mod publisher;
mod reason;
mod session;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flow_config::{SafeUrl, Secret};
use flow_message::Format;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::embedded::Declaration;
use crate::error::{Error, Kind};
use crate::split;
use consumer::Instances;
use dial::Server;
use link::{Hello, Link};
use names::Bindings;
use packet::Packet;
use reason::FAILURE;
use session::{Session, Shared};

pub use consumer::MqttConsumer;
pub use publisher::MqttPublisher;

/// First wait before another connection.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Longest wait before another connection.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// A session that never expires.
const NEVER: u32 = u32::MAX;
/// "No subscription existed", which is what an unsubscribe wants.
const NO_SUBSCRIPTION: u8 = 0x11;

/// How a broker behaves; the defaults are right for all but tests.
#[derive(Clone)]
pub struct Options {
    /// How long the server may take for an answer.
    pub timeout: Duration,
    /// How often the server hears from a consumer at least; it finds the dead by that.
    pub keep_alive: Duration,
    /// How long a connection may be away before a consumer calls it an error.
    pub patience: Duration,
    /// Quality of service, consumed and posted: 1, or 0, with which a lost connection loses messages.
    /// There is no 2 here: what it is for, flows do with keys.
    pub qos: u8,
    /// Begin the sessions of consumers anew, and forget what waited in them, when they first connect.
    pub clean_session: bool,
    /// Most posts on their way without a confirmation; none: as many as the server takes.
    pub max_in_flight: Option<u16>,
    /// A file of certificate authorities, PEM, to trust besides those of the machine.
    pub authorities: Option<PathBuf>,
    /// A number in `0.0..1.0`, for jitter and names.
    pub random: Arc<dyn Fn() -> f64 + Send + Sync>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(30),
            patience: Duration::from_secs(60),
            qos: 1,
            clean_session: false,
            max_in_flight: None,
            authorities: None,
            random: Arc::new(random),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("timeout", &self.timeout)
            .field("keep_alive", &self.keep_alive)
            .field("patience", &self.patience)
            .field("qos", &self.qos)
            .field("clean_session", &self.clean_session)
            .field("max_in_flight", &self.max_in_flight)
            .field("authorities", &self.authorities)
            .finish_non_exhaustive()
    }
}

/// An exchange to post to, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    /// The exchange's name, the first level of topics; empty: none.
    pub exchange: String,
    /// What messages are written as.
    pub format: Format,
    /// The first words of topics, as the flow that posts has them.
    pub topic_prefix: String,
    /// The exchanges that share the posts, chosen by `relPath` as sr3 chooses; empty: `exchange` alone.
    pub parts: Vec<String>,
    /// Messages go away after waiting this long at the server; zero: never.
    pub message_ttl: Duration,
}

impl Posting {
    /// An exchange that is posted to in v03.
    pub fn new(exchange: impl Into<String>) -> Self {
        Self {
            exchange: exchange.into(),
            format: Format::V03,
            topic_prefix: Format::V03.topic_prefix().to_owned(),
            parts: Vec::new(),
            message_ttl: Duration::ZERO,
        }
    }

    /// The exchanges it means.
    fn exchanges(&self) -> Vec<String> {
        split::exchanges(&self.exchange, &self.parts)
    }

    /// The same, in a format and with the topics that are usual for it.
    #[must_use]
    pub fn format(mut self, format: Format) -> Self {
        self.format = format;
        format.topic_prefix().clone_into(&mut self.topic_prefix);
        self
    }
}

/// The keys of a hasher are random, which is all that jitter asks for.
fn random() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 11;
    // 53 bits are what the fraction of an `f64` holds.
    bits as f64 / (1_u64 << 53) as f64
}

/// A server. Clones share the count of instances; so should all flows of a process.
#[derive(Debug, Clone)]
pub struct MqttBroker {
    server: Arc<Server>,
    options: Options,
    instances: Arc<Instances>,
}

impl MqttBroker {
    /// Takes note of a server: `mqtt://user@host:port/`, or `mqtts://` for TLS. Connects to nothing.
    ///
    /// A password given apart is preferred to one in the URL.
    ///
    /// # Errors
    /// [`Kind::Address`] for a URL that is not one of an MQTT broker,
    /// [`Kind::Unsupported`] for a quality of service there is not.
    pub fn open(url: &SafeUrl, password: Option<Secret>, options: Options) -> Result<Self, Error> {
        if options.qos > 1 {
            return Err(Error::new(
                Kind::Unsupported,
                format!(
                    "QoS {} is not spoken here; nothing was done; set `qos: 1`: a message that comes \
                     twice is recognised by its key",
                    options.qos
                ),
            ));
        }
        let server = Server::new(url, password, options.authorities.clone())?;
        Ok(Self {
            server: Arc::new(server),
            options,
            instances: Arc::default(),
        })
    }

    /// Connects, logs in and leaves again.
    ///
    /// # Errors
    /// Why that does not work.
    pub async fn check(&self) -> Result<(), Error> {
        let hello = visitor();
        let link = Link::open(&self.server, &hello, self.options.timeout).await?;
        link.close(self.options.timeout).await;
        Ok(())
    }

    /// Begins the session of instance 1 of a queue if it is not there, and subscribes it.
    ///
    /// # Errors
    /// [`Kind::Name`] for names MQTT can't carry, and what the server says.
    pub async fn declare(&self, declaration: &Declaration) -> Result<(), Error> {
        self.declare_instances(declaration, 1).await
    }

    /// Begins the sessions of instances 1 to `count` of a queue, so that none of them misses anything.
    ///
    /// An instance in use by this process is declared already and is left in peace.
    ///
    /// # Errors
    /// As [`declare`](Self::declare); the instances before the one that failed are declared.
    pub async fn declare_instances(
        &self,
        declaration: &Declaration,
        count: u32,
    ) -> Result<(), Error> {
        for number in 1..=count {
            let Ok(_instance) = self.instances.take(&declaration.queue, Some(number)) else {
                continue;
            };
            // Nothing is to be delivered to a connection that is about to go.
            let (mut session, _commands) = self.session(declaration, number, 1)?;
            let link = session.connect().await?;
            link.close(self.options.timeout).await;
        }
        Ok(())
    }

    /// Consumes a queue as the instance with the lowest number that this process does not use, which
    /// is 1 for the first. It holds at most `prefetch` messages at a time.
    ///
    /// # Errors
    /// As [`declare`](Self::declare).
    pub async fn consumer(
        &self,
        declaration: &Declaration,
        prefetch: usize,
    ) -> Result<MqttConsumer, Error> {
        self.open_consumer(declaration, prefetch, None).await
    }

    /// As [`consumer`](Self::consumer), as a certain instance.
    ///
    /// # Errors
    /// As [`consumer`](Self::consumer); [`Kind::TakenOver`] if this process uses
    /// it already.
    pub async fn consumer_as(
        &self,
        declaration: &Declaration,
        prefetch: usize,
        instance: u32,
    ) -> Result<MqttConsumer, Error> {
        self.open_consumer(declaration, prefetch, Some(instance))
            .await
    }

    async fn open_consumer(
        &self,
        declaration: &Declaration,
        prefetch: usize,
        instance: Option<u32>,
    ) -> Result<MqttConsumer, Error> {
        let instance = self.instances.take(&declaration.queue, instance)?;
        let (mut session, commands) = self.session(declaration, instance.number, prefetch)?;
        session.begins_anew = self.options.clean_session;
        MqttConsumer::open(session, commands, instance).await
    }

    /// Posts to an exchange; nothing is declared, as MQTT has no exchanges. An empty name is none.
    ///
    /// # Errors
    /// [`Kind::Name`] for a name MQTT can't carry.
    pub fn publisher(&self, exchange: &str) -> Result<MqttPublisher, Error> {
        self.publisher_to(Posting::new(exchange))
    }

    /// Posts to an exchange, in the form asked for.
    ///
    /// # Errors
    /// As [`publisher`](Self::publisher).
    pub fn publisher_to(&self, posting: Posting) -> Result<MqttPublisher, Error> {
        for exchange in posting.exchanges() {
            names::check_name("exchange", &exchange)?;
        }
        Ok(MqttPublisher::new(
            Arc::clone(&self.server),
            self.options.clone(),
            posting,
        ))
    }

    /// Ends the sessions of all instances of a queue, with everything in them; false if there were
    /// none. A consumer that still uses one declares it again.
    ///
    /// Instances are looked for from 0 up, until one is missing (other than 0).
    ///
    /// # Errors
    /// What the server says.
    pub async fn delete_queue(&self, queue: &str) -> Result<bool, Error> {
        names::check_name("queue", queue)?;
        let mut any = false;
        for number in 0.. {
            // The session is taken up, to see that it is there, and ends with the connection.
            let hello = Hello {
                client_id: names::client_id(queue, number),
                clean_start: false,
                ..visitor()
            };
            let link = Link::open(&self.server, &hello, self.options.timeout).await?;
            let found = link.limits.session_present;
            link.close(self.options.timeout).await;
            any |= found;
            if !found && number > 0 {
                break;
            }
        }
        Ok(any)
    }

    /// Removes bindings that a declaration has no more from the first `count` instances of a queue.
    /// Those that were not there are removed as well.
    ///
    /// # Errors
    /// What the server says.
    pub async fn unbind(&self, old: &Declaration, count: u32) -> Result<(), Error> {
        let filters = Bindings::of(old)?.filters();
        for number in 1..=count {
            let hello = self.hello(old, number, 1);
            let mut link = Link::open(&self.server, &hello, self.options.timeout).await?;
            for (id, (filter, _)) in (1_u16..).zip(&filters) {
                link.unsubscribe(id, filter);
            }
            timeout(self.options.timeout, unsubscribed(&mut link, filters.len()))
                .await
                .map_err(|_| link.broken("it did not answer an unsubscribe in time"))??;
            link.close(self.options.timeout).await;
        }
        Ok(())
    }

    fn hello(&self, declaration: &Declaration, instance: u32, prefetch: usize) -> Hello {
        Hello {
            client_id: names::client_id(&declaration.queue, instance),
            clean_start: false,
            keep_alive: self.options.keep_alive,
            session_expiry: expiry(declaration.expire),
            receive_maximum: u16::try_from(prefetch.max(1)).unwrap_or(u16::MAX),
            qos: self.options.qos,
        }
    }

    fn session(
        &self,
        declaration: &Declaration,
        instance: u32,
        prefetch: usize,
    ) -> Result<(Session, mpsc::Sender<session::Command>), Error> {
        let bindings = Bindings::of(declaration)?;
        let (commands, inbox) = mpsc::channel(4);
        let session = Session::new(
            Arc::clone(&self.server),
            self.options.clone(),
            declaration.queue.clone(),
            self.hello(declaration, instance, prefetch),
            bindings,
            Arc::new(Shared::new()),
            inbox,
        );
        Ok((session, commands))
    }
}

/// Somebody who leaves no trace.
fn visitor() -> Hello {
    Hello {
        client_id: String::new(),
        clean_start: true,
        keep_alive: Duration::ZERO,
        session_expiry: 0,
        receive_maximum: 1,
        qos: 1,
    }
}

async fn unsubscribed(link: &mut Link, mut missing: usize) -> Result<(), Error> {
    while missing > 0 {
        match link.next(true).await? {
            Packet::Unsuback(answer) => {
                let reason = answer.reasons.first().copied().unwrap_or(NO_SUBSCRIPTION);
                if reason >= FAILURE {
                    return Err(link.refused("to unsubscribe", reason, answer.text.as_deref()));
                }
                missing -= 1;
            }
            Packet::Disconnect { reason, text } => {
                return Err(link.refused("to go on", reason, text.as_deref()));
            }
            // A message that waits is delivered again to whom it is for.
            _ => {}
        }
    }
    Ok(())
}

/// Seconds after which the server forgets a session nobody uses; zero: never.
fn expiry(expire: Duration) -> u32 {
    if expire.is_zero() {
        NEVER
    } else {
        u32::try_from(expire.as_secs().max(1)).map_or(NEVER - 1, |seconds| seconds.min(NEVER - 1))
    }
}
