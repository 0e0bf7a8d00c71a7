//! The task behind a consumer: keeps its connection, and opens another when it is lost.
//!
//! The task owns the connection; the [`Ledger`] it shares with the consumer. It ends when the
//! consumer is closed or dropped, and says good-bye to the server then; the session and what waits in
//! it stay there.
//!
//! Back pressure is the protocol's: the server sends no more than `prefetch` messages without an
//! answer. Messages of QoS 0 need none, and Mosquitto 2.0 forgets to count what it restored from its disk;
//! while too many wait, nothing is read.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flow_runtime::retry::backoff;
use ring::digest::{Context, SHA256};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::dial::Server;
use super::ledger::{Arrival, Ledger};
use super::link::{Hello, Link};
use super::names::Bindings;
use super::packet::{Packet, Publish};
use super::reason::FAILURE;
use super::{FIRST_WAIT, LONGEST_WAIT, Options};
use crate::error::{Error, Kind};

/// A connection that lasted this long was a good one: the next wait is short again.
const STEADY: Duration = Duration::from_secs(10);

/// Messages that may wait, however small the prefetch: while nothing is read, a lost connection is not
/// noticed either.
const ROOM: usize = 1000;

/// What the consumer asks of the task.
pub(super) enum Command {
    /// Tell the server what was acked, and answer once it has that.
    Tell(oneshot::Sender<Result<(), Error>>),
    /// End.
    Close(oneshot::Sender<()>),
}

/// Whether there is a connection.
#[derive(Debug, Clone)]
pub(super) enum Health {
    Up,
    Down { since: Instant, error: Error },
}

/// What the consumer and the task have in common.
#[derive(Debug)]
pub(super) struct Shared {
    ledger: Mutex<Ledger>,
    health: Mutex<Health>,
    /// Something arrived, or the health changed.
    pub(super) news: Notify,
    /// Something was handed out.
    pub(super) taken: Notify,
    /// A person may have changed something: try again now.
    pub(super) again: Notify,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            ledger: Mutex::default(),
            health: Mutex::new(Health::Up),
            news: Notify::new(),
            taken: Notify::new(),
            again: Notify::new(),
        }
    }

    // Nothing panics while one of these is held.
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn health(&self) -> Health {
        self.health
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn up(&self) {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = Health::Up;
        self.news.notify_one();
    }

    fn down(&self, error: Error) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let since = match &*health {
            Health::Down { since, .. } => *since,
            Health::Up => Instant::now(),
        };
        *health = Health::Down { since, error };
        drop(health);
        self.news.notify_one();
    }
}

/// How a connection ended.
enum Ended {
    Closed,
    Lost(Error),
}

/// A ping that has no answer yet, and who waits for it.
struct Ping {
    due: Instant,
    acks: Vec<u64>,
    reply: Option<oneshot::Sender<Result<(), Error>>>,
}

pub(super) struct Session {
    pub(super) server: Arc<Server>,
    pub(super) options: Options,
    pub(super) queue: String,
    pub(super) hello: Hello,
    pub(super) bindings: Bindings,
    pub(super) prefetch: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) commands: mpsc::Receiver<Command>,
    /// The first connect forgets what the server has of it.
    pub(super) begins_anew: bool,
    /// The server had the session at the last connect.
    known: bool,
    /// Copies dropped because no binding wants them any more; said once.
    unwanted: u64,
}

impl Session {
    pub(super) fn new(
        server: Arc<Server>,
        options: Options,
        queue: String,
        hello: Hello,
        bindings: Bindings,
        shared: Arc<Shared>,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        Self {
            prefetch: usize::from(hello.receive_maximum),
            server,
            options,
            queue,
            hello,
            bindings,
            shared,
            commands,
            begins_anew: false,
            known: false,
            unwanted: 0,
        }
    }

    /// Connects, resumes the session or begins it, and subscribes.
    pub(super) async fn connect(&mut self) -> Result<Link, Error> {
        let hello = Hello {
            clean_start: self.begins_anew,
            ..self.hello.clone()
        };
        let mut link = Link::open(&self.server, &hello, self.options.timeout).await?;
        self.begins_anew = false;
        if !link.limits.session_present {
            self.shared.ledger().orphan();
            if self.known {
                tracing::warn!(
                    broker = %self.server,
                    queue = self.queue,
                    "The server has lost the session; what waited in it is gone, the queue is declared again."
                );
            }
        }
        self.known = true;
        match timeout(self.options.timeout, self.subscribe(&mut link)).await {
            Ok(result) => result.map(|()| link),
            Err(_) => Err(link.broken("it did not answer a subscription in time")),
        }
    }

    async fn subscribe(&mut self, link: &mut Link) -> Result<(), Error> {
        let filters = self.bindings.filters();
        for (id, (filter, number)) in (1_u16..).zip(&filters) {
            link.subscribe(id, filter, *number, self.hello.qos);
        }
        let mut missing = filters.len();
        while missing > 0 {
            match link.next(true).await? {
                Packet::Suback(answer) => {
                    let filter = filters
                        .get(usize::from(answer.id).wrapping_sub(1))
                        .map_or("", |(filter, _)| filter);
                    let what = format!("the subscription `{filter}`");
                    let reason = answer.reasons.first().copied().unwrap_or(FAILURE);
                    if reason >= FAILURE {
                        return Err(link.refused(&what, reason, answer.text.as_deref()));
                    }
                    if reason < self.hello.qos {
                        return Err(link.refused(&what, 0x9b, answer.text.as_deref()));
                    }
                    missing -= 1;
                }
                // What waited comes before the answer.
                Packet::Publish(message) => self.arrive(message, link)?,
                Packet::Disconnect { reason, text } => {
                    return Err(link.refused("to go on", reason, text.as_deref()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Serves until the consumer is gone.
    pub(super) async fn run(mut self, link: Link) {
        let mut link = link;
        let mut step = 0;
        loop {
            let since = Instant::now();
            let error = match self.serve(link).await {
                Ended::Closed => return,
                Ended::Lost(error) => error,
            };
            if since.elapsed() >= STEADY {
                step = 0;
            }
            tracing::warn!(broker = %self.server, queue = self.queue, reason = %error, "The connection to the broker is lost.");
            self.shared.ledger().lost();
            self.shared.down(error);
            link = loop {
                if !self.pause(step).await {
                    return;
                }
                step += 1;
                match self.reconnect().await {
                    Some(Ok(link)) => break link,
                    Some(Err(error)) => {
                        self.shared.ledger().lost();
                        tracing::debug!(broker = %self.server, queue = self.queue, reason = %error, "Another try failed.");
                        self.shared.down(error);
                    }
                    None => return,
                }
            };
            tracing::info!(broker = %self.server, queue = self.queue, "Connected to the broker again.");
            self.shared.up();
        }
    }

    /// Another connection; none once the consumer is gone.
    async fn reconnect(&mut self) -> Option<Result<Link, Error>> {
        // Commands wait meanwhile, which is no longer than two of the time limits.
        let result = self.connect().await;
        if self.commands.is_closed() && self.commands.is_empty() {
            return None;
        }
        Some(result)
    }

    /// Waits before the next try; false once the consumer is gone.
    async fn pause(&mut self, step: u32) -> bool {
        let person_wanted = matches!(
            self.shared.health(),
            Health::Down { error, .. } if !error.passes()
        );
        let wait = backoff(FIRST_WAIT, LONGEST_WAIT, step, (self.options.random)());
        let over = sleep(wait);
        tokio::pin!(over);
        loop {
            tokio::select! {
                // Where a person has to change something the flow says when to try again.
                () = &mut over, if !person_wanted => return true,
                () = self.shared.again.notified(), if person_wanted => return true,
                command = self.commands.recv() => match command {
                    Some(Command::Tell(reply)) => {
                        let _ = reply.send(Err(self.untold()));
                    }
                    Some(Command::Close(reply)) => {
                        let _ = reply.send(());
                        return false;
                    }
                    None => return false,
                },
            }
        }
    }

    fn untold(&self) -> Error {
        Error::new(
            Kind::Unreachable,
            format!(
                "`{}`: the connection is away, so the server can't be told yet what was done; nothing \
                 is lost: it is told after the next connect, or delivers again",
                self.server
            ),
        )
    }

    async fn serve(&mut self, mut link: Link) -> Ended {
        let beat = match link.limits.keep_alive {
            Duration::ZERO => Duration::from_secs(3600),
            // Ahead of time, as the server counts from when it has read it.
            every => every.mul_f64(0.7),
        };
        let mut next_beat = Instant::now() + beat;
        let mut pings: VecDeque<Ping> = VecDeque::new();
        loop {
            let room = self.shared.ledger().waiting() < ROOM.max(self.prefetch * 2);
            let due = pings.front().map(|ping| ping.due);
            let result = tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Tell(reply)) => {
                        let acks = self.tell(&mut link);
                        pings.push_back(self.ping(&mut link, acks, Some(reply)));
                        Ok(())
                    }
                    Some(Command::Close(reply)) => {
                        self.farewell(link).await;
                        let _ = reply.send(());
                        return Ended::Closed;
                    }
                    None => {
                        self.farewell(link).await;
                        return Ended::Closed;
                    }
                },
                packet = link.next(room || !pings.is_empty()) => match packet {
                    Ok(packet) => self.heed(packet, &mut link, &mut pings),
                    Err(error) => Err(error),
                },
                () = self.shared.taken.notified(), if !room => Ok(()),
                () = sleep_until(next_beat) => {
                    next_beat = Instant::now() + beat;
                    let acks = self.tell(&mut link);
                    pings.push_back(self.ping(&mut link, acks, None));
                    Ok(())
                }
                () = sleep_until(due.unwrap_or(next_beat)), if due.is_some() => {
                    Err(link.broken("it does not answer any more"))
                }
            };
            if let Err(error) = result {
                for reply in pings.into_iter().filter_map(|ping| ping.reply) {
                    let _ = reply.send(Err(error.clone()));
                }
                return Ended::Lost(error);
            }
        }
    }

    /// Acks reach the server before the good-bye does.
    async fn farewell(&self, mut link: Link) {
        self.tell(&mut link);
        link.close(self.options.timeout.min(Duration::from_secs(2)))
            .await;
    }

    /// Queues what the server is to be told; gives all that it was told and may not have read.
    fn tell(&self, link: &mut Link) -> Vec<u64> {
        let mut ledger = self.shared.ledger();
        let mut told = ledger.answered();
        for (tag, id) in ledger.untold() {
            link.puback(id);
            told.push(tag);
        }
        told
    }

    /// A server answers in order: once it answers this, it has read what was sent before.
    fn ping(
        &self,
        link: &mut Link,
        acks: Vec<u64>,
        reply: Option<oneshot::Sender<Result<(), Error>>>,
    ) -> Ping {
        link.ping();
        Ping {
            due: Instant::now() + self.options.timeout,
            acks,
            reply,
        }
    }

    fn heed(
        &mut self,
        packet: Packet,
        link: &mut Link,
        pings: &mut VecDeque<Ping>,
    ) -> Result<(), Error> {
        match packet {
            Packet::Publish(message) => self.arrive(message, link),
            Packet::Pong => {
                if let Some(ping) = pings.pop_front() {
                    self.shared.ledger().forget(&ping.acks);
                    if let Some(reply) = ping.reply {
                        let _ = reply.send(Ok(()));
                    }
                }
                Ok(())
            }
            Packet::Disconnect { reason, text } => {
                Err(link.refused("to go on", reason, text.as_deref()))
            }
            _ => Ok(()),
        }
    }

    fn arrive(&mut self, message: Publish, link: &mut Link) -> Result<(), Error> {
        if !self.bindings.want(&message) {
            if let Some(id) = message.id {
                link.puback(id);
            }
            self.unwanted += 1;
            tracing::debug!(
                queue = self.queue,
                topic = message.topic,
                so_far = self.unwanted,
                "No binding of the queue wants this copy of a message; it was dropped."
            );
            return Ok(());
        }
        let key = key_of(&self.queue, &message);
        let arrival = self.shared.ledger().arrive(key, message);
        match arrival {
            Arrival::Offered => self.shared.news.notify_one(),
            Arrival::Known => {}
            Arrival::Done(id) => link.puback(id),
            Arrival::Clash => return Err(link.broken("it used a packet identifier twice")),
        }
        Ok(())
    }
}

/// The key of a delivery: its queue and what it says, as MQTT gives messages no name.
///
/// Packet identifiers won't do: they are used again, and a server may number anew. So the same
/// announcement posted twice has one key; it names its time to the nanosecond, so that means the same
/// thing was posted twice.
fn key_of(queue: &str, message: &Publish) -> String {
    let mut context = Context::new(&SHA256);
    let parts = [message.topic.as_bytes(), &message.payload];
    let headers = message
        .headers
        .iter()
        .flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
    for part in parts.into_iter().chain(headers) {
        context.update(&part.len().to_be_bytes());
        context.update(part);
    }
    let digest = context.finish();
    let mut key = format!("{queue}/");
    for byte in &digest.as_ref()[..16] {
        use std::fmt::Write as _;
        let _ = write!(key, "{byte:02x}");
    }
    key
}
