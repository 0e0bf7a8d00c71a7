//! Posting to an exchange.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_message::Transport;
use flow_runtime::ports::{Confirm, Failure, Outgoing, Publisher};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::dial::Server;
use super::link::{Hello, Link};
use super::packet::{Packet, Publish};
use super::reason::{FAILURE, NO_SUBSCRIBERS};
use super::{Options, Posting, packet, wire};
use crate::error::{Error, Kind};
use crate::form::{self, Form};
use crate::split;

/// How long after a reconnect a post that nobody is subscribed to is tried again.
///
/// A server may forget its shared subscriptions when it restarts, until their consumers are back:
/// Mosquitto does before 2.0.12. As long as a consumer waits at most before its next try.
const GRACE: Duration = Duration::from_secs(60);
/// How often it is tried.
const GRACE_STEP: Duration = Duration::from_millis(300);

/// Bytes made ready ahead of the network; what does not fit waits as it is.
const AHEAD: usize = 256 * 1024;

/// An exchange being posted to.
///
/// A batch is on its way as a whole, as far as the server lets so much be: `post` returns when each
/// message is confirmed. MQTT has no memory for keys, so what is posted twice is there twice; a
/// consumer sees the same key then.
///
/// The connection is opened by the first post and again by the next one after it was lost; there is no
/// session to resume. One that had been idle may have died unnoticed, so it is tried again at once.
///
/// # Cancel safety
/// A post that nobody waits for may or may not have happened, wholly or in part; post it again.
pub struct MqttPublisher {
    server: Arc<Server>,
    options: Options,
    posting: Posting,
    exchanges: Vec<String>,
    hello: Hello,
    link: Option<Link>,
    /// Whether the last batch had messages that went nowhere: said once, not with every batch.
    unrouted: bool,
    /// Somebody was subscribed, at some time.
    routed: bool,
    /// Until when it is hoped that those who were subscribed come back.
    hope: Option<Instant>,
    cut_told: bool,
}

impl std::fmt::Debug for MqttPublisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MqttPublisher")
            .field("server", &self.server)
            .field("posting", &self.posting)
            .field("connected", &self.link.is_some())
            .finish_non_exhaustive()
    }
}

/// What is on its way.
struct Batch<'a> {
    messages: &'a mut [Publish],
    confirmed: Vec<bool>,
    /// Those nobody was subscribed to.
    unrouted: Vec<usize>,
}

impl MqttPublisher {
    pub(super) fn new(server: Arc<Server>, options: Options, posting: Posting) -> Self {
        let hello = Hello {
            client_id: client_id(&options),
            clean_start: true,
            // Nobody reads between posts, so there is nobody to keep it alive for.
            keep_alive: Duration::ZERO,
            session_expiry: 0,
            receive_maximum: 1,
            qos: options.qos,
        };
        Self {
            server,
            options,
            exchanges: posting.exchanges(),
            posting,
            hello,
            link: None,
            unrouted: false,
            routed: false,
            hope: None,
            cut_told: false,
        }
    }

    fn prepare(&mut self, outgoing: &Outgoing) -> Result<Publish, Error> {
        let form = Form {
            format: self.posting.format,
            topic_prefix: &self.posting.topic_prefix,
            transport: Transport::Mqtt,
            exchange: &self.exchanges[split::number(&outgoing.message, self.exchanges.len())],
        };
        let written = form.encode(outgoing)?;
        form::tell_cut(&mut self.cut_told, &written, &self.posting.exchange);
        let mut packet = wire::publish(written);
        if !self.posting.message_ttl.is_zero() {
            let seconds = self.posting.message_ttl.as_secs().max(1);
            packet.expiry = Some(u32::try_from(seconds).unwrap_or(u32::MAX));
        }
        Ok(packet)
    }

    async fn post_all(&mut self, batch: &mut Batch<'_>) -> Result<(), Error> {
        // Taken out, so that a post that is given up leaves no half of a batch on the connection.
        let mut idle = self.link.take();
        loop {
            let was_idle = idle.is_some();
            let mut link = match idle.take() {
                Some(link) => link,
                None => {
                    let link = Link::open(&self.server, &self.hello, self.options.timeout).await?;
                    self.hope = self.routed.then(|| Instant::now() + GRACE);
                    link
                }
            };
            match self.send_hopefully(&mut link, batch).await {
                Ok(()) => {
                    self.link = Some(link);
                    return Ok(());
                }
                Err(error) if was_idle && error.kind() == Kind::Unreachable => {
                    tracing::debug!(broker = %self.server, reason = %error, "The idle connection was dead; another is opened.");
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends, and again what nobody was subscribed to while those who were may come back.
    async fn send_hopefully(
        &mut self,
        link: &mut Link,
        batch: &mut Batch<'_>,
    ) -> Result<(), Error> {
        let deadline = Instant::now() + self.options.timeout;
        loop {
            let to_do = batch.confirmed.iter().filter(|done| !**done).count();
            batch.unrouted.clear();
            send(link, batch, &self.options).await?;
            if batch.unrouted.len() < to_do {
                self.routed = true;
                self.hope = None;
            }
            let hopeful = self.hope.is_some_and(|until| Instant::now() < until);
            if batch.unrouted.is_empty() || !hopeful {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Error::new(
                    Kind::Unreachable,
                    format!(
                        "`{}`: nobody is subscribed to exchange `{}` since the connection came back, \
                         somebody was before; the messages are posted again; see that the consumers \
                         run",
                        self.server, self.posting.exchange
                    ),
                ));
            }
            for at in &batch.unrouted {
                batch.confirmed[*at] = false;
            }
            sleep(GRACE_STEP).await;
        }
    }

    fn tell_unrouted(&mut self, count: usize) {
        if count > 0 && !self.unrouted {
            tracing::warn!(
                broker = %self.server,
                exchange = self.posting.exchange,
                count,
                "No queue is bound to the exchange for these posts; they were accepted and dropped."
            );
        }
        self.unrouted = count > 0;
    }
}

/// Sends what is not confirmed yet, and waits for the answers.
async fn send(link: &mut Link, batch: &mut Batch<'_>, options: &Options) -> Result<(), Error> {
    let limit = options.timeout;
    for (message, done) in batch.messages.iter().zip(&batch.confirmed) {
        let size = packet::size(message);
        if !done && size > link.limits.packet {
            return Err(Error::new(
                Kind::Unacceptable,
                format!(
                    "a message for `{}` takes {size} bytes, the server takes {}; it was not posted; \
                     inline less content, or raise the server's limit",
                    message.topic, link.limits.packet
                ),
            ));
        }
    }
    if options.qos == 0 {
        return throw(link, batch, limit).await;
    }
    let own = options.max_in_flight.map_or(usize::MAX, usize::from);
    let window = link.limits.in_flight.min(own).max(1);
    let mut to_send = 0;
    let mut in_flight: HashMap<u16, usize> = HashMap::new();
    let mut left = batch.confirmed.iter().filter(|done| !**done).count();
    let mut last_id = 0_u16;
    let mut deadline = Instant::now() + limit;
    while left > 0 {
        while to_send < batch.messages.len() && in_flight.len() < window && link.unsent() < AHEAD {
            let at = to_send;
            to_send += 1;
            if batch.confirmed[at] {
                continue;
            }
            // There is a free one: the window is no larger than their number.
            last_id = next_id(last_id, &in_flight);
            batch.messages[at].id = Some(last_id);
            link.publish(&batch.messages[at]);
            in_flight.insert(last_id, at);
        }
        let before = link.unsent();
        let packet = match timeout_at(deadline, link.next(true)).await {
            Ok(packet) => packet?,
            // Slow is not dead: a large message takes its time on a thin line.
            Err(_) if link.unsent() < before => {
                deadline = Instant::now() + limit;
                continue;
            }
            Err(_) => return Err(link.broken("it did not confirm in time")),
        };
        match packet {
            Packet::Puback(answer) => {
                let Some(at) = in_flight.remove(&answer.id) else {
                    return Err(link.broken("it confirmed what was not posted"));
                };
                let reason = answer.reasons.first().copied().unwrap_or(0);
                if reason >= FAILURE {
                    let what = format!("a message for `{}`", batch.messages[at].topic);
                    return Err(link.refused(&what, reason, answer.text.as_deref()));
                }
                if reason == NO_SUBSCRIBERS {
                    batch.unrouted.push(at);
                }
                batch.confirmed[at] = true;
                left -= 1;
                deadline = Instant::now() + limit;
            }
            Packet::Disconnect { reason, text } => {
                return Err(link.refused("to go on", reason, text.as_deref()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Sends what nobody confirms: it counts as posted once the machine has it.
async fn throw(link: &mut Link, batch: &mut Batch<'_>, limit: Duration) -> Result<(), Error> {
    for (message, done) in batch.messages.iter().zip(batch.confirmed.iter_mut()) {
        if *done {
            continue;
        }
        link.publish(message);
        if link.unsent() >= AHEAD {
            flush(link, limit).await?;
        }
        *done = true;
    }
    flush(link, limit).await
}

async fn flush(link: &mut Link, limit: Duration) -> Result<(), Error> {
    match timeout(limit, link.flush()).await {
        Ok(flushed) => flushed,
        Err(_) => Err(link.broken("it did not take what was sent in time")),
    }
}

fn next_id(last: u16, used: &HashMap<u16, usize>) -> u16 {
    let mut id = last;
    loop {
        id = id.checked_add(1).unwrap_or(1);
        if !used.contains_key(&id) {
            return id;
        }
    }
}

/// A name that no other publisher has: two with the same one would throw each other out.
fn client_id(options: &Options) -> String {
    let mut id = String::from("flow_post_");
    for _ in 0..4 {
        // A number below 65536, as no bits are left over in it.
        let part = ((options.random)() * 65_536.0) as u32;
        id.push_str(&format!("{part:04x}"));
    }
    id
}

#[async_trait]
impl Publisher for MqttPublisher {
    async fn post(&mut self, batch: &[Outgoing]) -> Result<Vec<Confirm>, Failure> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let mut messages = batch
            .iter()
            .map(|outgoing| self.prepare(outgoing))
            .collect::<Result<Vec<_>, Error>>()?;
        let mut batch = Batch {
            confirmed: vec![false; messages.len()],
            messages: &mut messages,
            unrouted: Vec::new(),
        };
        self.post_all(&mut batch).await?;
        let unrouted = batch.unrouted.len();
        self.tell_unrouted(unrouted);
        Ok(vec![Confirm::Posted; messages.len()])
    }

    async fn close(&mut self) -> Result<(), Failure> {
        if let Some(link) = self.link.take() {
            link.close(self.options.timeout.min(Duration::from_secs(2)))
                .await;
        }
        Ok(())
    }
}
