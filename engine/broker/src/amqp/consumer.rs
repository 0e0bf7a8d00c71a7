//! Consuming a queue.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use flow_runtime::ports::{Consumer, Failure, Received, Route, Settlement};
use futures_core::Stream;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::FieldTable;

use super::Shared;
use super::declaration::Declaration;
use super::frames::{Sending, send_in_order};
use super::gate::Gate;
use super::tags::{Frame, Tags};
use super::trouble::Doing;
use super::{topology, wire};
use crate::error::{Error, Kind};

/// The part of a tag that is the broker's; above it is the number of the session.
const TAG_BITS: u32 = 48;

/// One consumer of a queue.
///
/// It keeps its session by itself: when connection, channel or queue go away it makes a new session at
/// the next [`receive`](Consumer::receive), declaring again what its [`Declaration`] says. Tags of an
/// older session are void: settling them does nothing, because the broker offers those messages again.
///
/// AMQP has no answer to an ack: it is on its way when [`settle`](Consumer::settle) returns, and may get
/// lost with the connection. So what was acked last, and what is acked under a void tag, is remembered
/// until it had its turn to come again; then it is acked again and not handed out. Only what another
/// consumer gets instead, or what comes after a restart of this process, is done twice.
///
/// # Cancel safety
/// All methods are cancel safe.
pub struct AmqpConsumer {
    shared: Arc<Shared>,
    declaration: Declaration,
    prefetch: u16,
    session: Option<Session>,
    /// How many sessions there were.
    sessions: u64,
    /// Arrived, and not handed out yet.
    inbox: VecDeque<Delivery>,
    /// Handed out by earlier sessions and not settled, by whole tag, with their keys.
    void: BTreeMap<u64, String>,
    /// Keys of what was acked last in this session, oldest first. The broker waits for at most `prefetch`
    /// acks, so those that got lost with a connection are among as many.
    acked: VecDeque<String>,
    /// Keys of what is done but may be offered again, and how often.
    done: HashMap<String, u32>,
    /// Whether deliveries say how they came.
    routes: bool,
    closed: bool,
}

struct Session {
    channel: lapin::Channel,
    stream: lapin::Consumer,
    tags: Tags,
}

impl fmt::Debug for AmqpConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmqpConsumer")
            .field("broker", self.shared.consuming.address())
            .field("queue", &self.declaration.queue)
            .field("sessions", &self.sessions)
            .field("held", &self.session.as_ref().map(|now| now.tags.len()))
            .finish_non_exhaustive()
    }
}

impl AmqpConsumer {
    pub(super) fn new(shared: Arc<Shared>, declaration: Declaration, prefetch: usize) -> Self {
        Self {
            shared,
            declaration,
            prefetch: u16::try_from(prefetch.max(1)).unwrap_or(u16::MAX),
            session: None,
            sessions: 0,
            inbox: VecDeque::new(),
            void: BTreeMap::new(),
            acked: VecDeque::new(),
            done: HashMap::new(),
            routes: false,
            closed: false,
        }
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.closed {
            return Err(Error::new(
                Kind::Stopped,
                format!(
                    "the consumer of the queue `{}` is closed; what it held is offered again",
                    self.declaration.queue
                ),
            ));
        }
        Ok(())
    }

    /// Declares what is to be declared and starts a session, unless there is one.
    pub(super) async fn open(&mut self) -> Result<(), Error> {
        if let Some(session) = &self.session {
            if session.channel.status().connected() {
                return Ok(());
            }
            self.lose("its channel was closed");
        }
        let link = &self.shared.consuming;
        topology::declare(link, &self.declaration).await?;
        let channel = link.channel().await?;
        let queue = &self.declaration.queue;
        let doing = Doing::Consume(queue);
        let limiting = channel.basic_qos(self.prefetch, BasicQosOptions::default());
        link.ask(doing, limiting).await?;
        let starting = channel.basic_consume(
            topology::name(queue)?,
            "flow".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let stream = link.ask(doing, starting).await?;
        self.sessions += 1;
        self.session = Some(Session {
            channel,
            stream,
            tags: Tags::default(),
        });
        Ok(())
    }

    /// The session is over: what it delivered is offered again.
    fn lose(&mut self, why: &str) {
        let Some(mut session) = self.session.take() else {
            return;
        };
        let held = session.tags.take();
        tracing::warn!(
            broker = %self.shared.consuming.address(),
            queue = self.declaration.queue,
            in_hand = held.len(),
            why,
            "The session with the queue ended; what it delivered will be delivered again."
        );
        self.inbox.clear();
        for key in self.acked.drain(..) {
            *self.done.entry(key).or_default() += 1;
        }
        let epoch = self.sessions << TAG_BITS;
        // The loop settles what it has before it takes more, so older ones have had their time.
        let last = self.sessions.saturating_sub(1);
        self.void.retain(|tag, _| tag >> TAG_BITS >= last);
        self.void
            .extend(held.into_iter().map(|(tag, key)| (epoch | tag, key)));
    }

    /// Takes what has arrived into the inbox, up to `room`; pending if that is nothing.
    fn poll_arrivals(&mut self, context: &mut Context<'_>, room: usize) -> Poll<()> {
        while self.inbox.len() < room {
            let Some(session) = &mut self.session else {
                return Poll::Ready(());
            };
            match Pin::new(&mut session.stream).poll_next(context) {
                Poll::Ready(Some(Ok(delivery))) => self.inbox.push_back(delivery),
                Poll::Ready(Some(Err(error))) => self.lose(&error.to_string()),
                Poll::Ready(None) => self.lose("the broker ended it; was the queue deleted?"),
                Poll::Pending if self.inbox.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(())
    }

    /// Hands out what has arrived, less what is done already: tags of those are returned as well.
    fn hand_out(&mut self, limit: usize) -> (Vec<Received>, Vec<u64>) {
        let mut received = Vec::with_capacity(limit.min(self.inbox.len()));
        let mut repeats = Vec::new();
        let epoch = self.sessions << TAG_BITS;
        let Some(session) = &mut self.session else {
            return (received, repeats);
        };
        while received.len() < limit {
            let Some(delivery) = self.inbox.pop_front() else {
                break;
            };
            let Delivery {
                delivery_tag,
                exchange,
                routing_key,
                redelivered,
                properties,
                data,
                ..
            } = delivery;
            let key = wire::key(
                &self.declaration.queue,
                &properties,
                exchange.as_str(),
                routing_key.as_str(),
                &data,
            );
            if !redelivered {
                // What was to be offered again has come by now: it was in front.
                self.done.clear();
            } else if take_one(&mut self.done, &key) {
                session.tags.hold(delivery_tag, key);
                repeats.push(delivery_tag);
                continue;
            }
            session.tags.hold(delivery_tag, key.clone());
            received.push(Received {
                message: wire::decode(&properties, routing_key.as_str(), &data),
                tag: epoch | delivery_tag,
                key,
                redelivered,
                route: self.routes.then(|| Route {
                    exchange: exchange.to_string(),
                    topic: routing_key.to_string(),
                }),
            });
        }
        (received, repeats)
    }

    /// Sends what settles deliveries of this session. If it can't be sent the session is over, and the
    /// broker offers them again.
    async fn send(&mut self, settlements: Vec<(u64, Settlement)>) {
        let Some(session) = &mut self.session else {
            return;
        };
        let (frames, keys) = session.tags.settle(settlements);
        if frames.is_empty() {
            return;
        }
        self.acked.extend(keys);
        let surplus = self.acked.len().saturating_sub(self.prefetch.into());
        self.acked.drain(..surplus);
        let gate = self.shared.consuming.gate();
        let sent = send(gate, &session.channel, &frames);
        let why = match tokio::time::timeout(self.shared.consuming.limit(), sent).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "acks could not be sent in time".to_owned(),
        };
        self.lose(&why);
    }
}

/// Takes one from a count; says whether there was one.
fn take_one(counts: &mut HashMap<String, u32>, key: &str) -> bool {
    let Some(count) = counts.get_mut(key) else {
        return false;
    };
    *count -= 1;
    if *count == 0 {
        counts.remove(key);
    }
    true
}

async fn send(gate: &Gate, channel: &lapin::Channel, frames: &[Frame]) -> lapin::Result<()> {
    let sending = frames
        .iter()
        .map(|frame| -> Sending<'_, ()> {
            let Frame { tag, multiple, .. } = *frame;
            match frame.settlement {
                Settlement::Ack => Box::pin(channel.basic_ack(tag, BasicAckOptions { multiple })),
                Settlement::Release => {
                    let options = BasicNackOptions {
                        multiple,
                        requeue: true,
                    };
                    Box::pin(channel.basic_nack(tag, options))
                }
            }
        })
        .collect();
    send_in_order(gate, sending).await.1
}

#[async_trait]
impl Consumer for AmqpConsumer {
    fn with_routes(&mut self) {
        self.routes = true;
    }

    fn is_pushed(&self) -> bool {
        true
    }

    async fn receive(&mut self, limit: usize) -> Result<Vec<Received>, Failure> {
        self.check_open()?;
        self.open().await?;
        loop {
            poll_fn(|context| {
                let _ = self.poll_arrivals(context, limit);
                Poll::Ready(())
            })
            .await;
            if self.session.is_none() {
                // It ended just now; the next one has nothing yet.
                self.open().await?;
                return Ok(Vec::new());
            }
            let (received, repeats) = self.hand_out(limit);
            if repeats.is_empty() {
                return Ok(received);
            }
            let acks = repeats.into_iter().map(|tag| (tag, Settlement::Ack));
            self.send(acks.collect()).await;
            if !received.is_empty() {
                return Ok(received);
            }
        }
    }

    /// Returns at once when the session is over, so that `receive` makes a new one or says what is wrong.
    /// Never returns while as many messages as `prefetch` allows are held: settle some first.
    async fn ready(&mut self) -> Result<(), Failure> {
        self.check_open()?;
        poll_fn(|context| self.poll_arrivals(context, 1)).await;
        Ok(())
    }

    async fn settle(&mut self, settlements: &[(u64, Settlement)]) -> Result<(), Failure> {
        self.check_open()?;
        let alive = self
            .session
            .as_ref()
            .is_some_and(|session| session.channel.status().connected());
        if !alive {
            self.lose("its channel was closed");
        }
        let epoch = self.sessions;
        let mut current = Vec::new();
        for (tag, settlement) in settlements {
            if self.session.is_some() && tag >> TAG_BITS == epoch {
                current.push((tag & ((1 << TAG_BITS) - 1), *settlement));
            } else if let Some(key) = self.void.remove(tag)
                && *settlement == Settlement::Ack
            {
                *self.done.entry(key).or_default() += 1;
            }
        }
        self.send(current).await;
        Ok(())
    }

    async fn depth(&mut self) -> Result<Option<u64>, Failure> {
        let queue = &self.declaration.queue;
        Ok(topology::depth(&self.shared.consuming, queue).await?)
    }

    async fn close(&mut self) -> Result<(), Failure> {
        self.closed = true;
        self.inbox.clear();
        if let Some(session) = self.session.take()
            && session.channel.status().connected()
        {
            // What is held goes back to its place, and acks that were sent are through when this returns.
            let closing = session.channel.close(200, "OK".into());
            let queue = &self.declaration.queue;
            let closed = self.shared.consuming.ask(Doing::Consume(queue), closing);
            if let Err(error) = closed.await {
                tracing::debug!(queue, %error, "The session ended before it could be closed.");
            }
        }
        Ok(())
    }
}
