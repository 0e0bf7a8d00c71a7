//! Posting to an exchange.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_message::Transport;
use flow_runtime::ports::{Confirm, Failure, Outgoing, Publisher};
use futures_util::FutureExt as _;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, PublisherConfirm};
use tokio::time::timeout;

use super::Shared;
use super::declaration::Posting;
use super::frames::{Sending, send_in_order};
use super::topology::{self, name};
use super::trouble::{Doing, code, trouble, unreachable};
use super::wire;
use crate::error::{Error, Kind};
use crate::form::{self, Form};
use crate::split;

/// How much is handed to the client library at a time: it keeps a copy until it is written, and has no
/// limit of its own.
const WINDOW_MESSAGES: usize = 1000;
const WINDOW_BYTES: usize = 4 << 20;

/// What a publisher did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Posts {
    /// Messages the broker confirmed.
    pub confirmed: u64,
    /// Messages it refused: it ran into trouble, or a queue was full and set to refuse.
    pub refused: u64,
    /// Batches that failed, for whatever reason, and so were posted again or are to be.
    pub failed_batches: u64,
}

/// An exchange being posted to.
///
/// A batch is sent as a whole and then waited for: it is posted once the broker has confirmed every
/// message of it, which for a durable queue means that it is on its disk. If anything fails the batch
/// counts as not posted, though some of it may be there: AMQP has no transaction that would be fast enough,
/// and does not drop a repeat. Posts carry their key as `message-id`, by which a flow that consumes them
/// recognises repeats.
///
/// An exchange that is missing at the first post is declared, if that is wanted. One that vanishes later is
/// not: the batch fails until somebody declares it, and the bindings that went with it.
///
/// As with every AMQP broker, what no queue is bound for is confirmed and dropped.
///
/// # Cancel safety
/// A post that nobody waits for may or may not have happened; post it again.
pub struct AmqpPublisher {
    shared: Arc<Shared>,
    posting: Posting,
    exchanges: Vec<ShortString>,
    channel: Option<Channel>,
    posts: Posts,
    cut_told: bool,
    closed: bool,
}

impl fmt::Debug for AmqpPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmqpPublisher")
            .field("broker", self.shared.posting.address())
            .field("exchange", &self.posting.exchange)
            .field("posts", &self.posts)
            .finish_non_exhaustive()
    }
}

impl AmqpPublisher {
    pub(super) fn new(shared: Arc<Shared>, posting: Posting) -> Result<Self, Error> {
        let mut exchanges = Vec::new();
        for exchange in posting.exchanges() {
            super::declaration::check_name("exchange", &exchange)?;
            exchanges.push(name(&exchange)?);
        }
        Ok(Self {
            shared,
            posting,
            exchanges,
            channel: None,
            posts: Posts::default(),
            cut_told: false,
            closed: false,
        })
    }

    /// What was posted so far.
    pub fn posts(&self) -> Posts {
        self.posts
    }

    /// A channel with confirms.
    async fn channel(&mut self) -> Result<Channel, Error> {
        if let Some(channel) = &self.channel
            && channel.status().connected()
        {
            return Ok(channel.clone());
        }
        let link = &self.shared.posting;
        let channel = link.channel().await?;
        let selecting = channel.confirm_select(ConfirmSelectOptions::default());
        link.ask(Doing::Post(&self.posting.exchange), selecting)
            .await?;
        self.channel = Some(channel.clone());
        Ok(channel)
    }

    async fn declare(&self) -> Result<(), Error> {
        for exchange in self.posting.exchanges() {
            topology::declare_exchange(&self.shared.posting, &exchange, self.posting.durable)
                .await?;
        }
        Ok(())
    }

    /// Which exchange takes a message, chosen as sr3 chooses.
    fn exchange_for(&self, outgoing: &Outgoing) -> ShortString {
        let number = split::number(&outgoing.message, self.exchanges.len());
        self.exchanges[number].clone()
    }

    async fn post_batch(&mut self, batch: Vec<Ready>) -> Result<(), Error> {
        let channel = self.channel().await?;
        let mut confirms = Vec::with_capacity(batch.len());
        let mut rest = batch.into_iter();
        while rest.len() > 0 {
            let (mut count, mut bytes) = (0, 0);
            for ready in rest.as_slice().iter().take(WINDOW_MESSAGES) {
                count += 1;
                bytes += ready.body.len();
                if bytes >= WINDOW_BYTES {
                    break;
                }
            }
            let window = rest.by_ref().take(count);
            let sending = window.map(|ready| ready.send(&channel)).collect();
            let sending = send_in_order(self.shared.posting.gate(), sending);
            match timeout(self.patience(bytes), sending).await {
                Ok((sent, result)) => {
                    confirms.extend(sent);
                    if let Err(error) = result {
                        return Err(self.why(confirms, error).await);
                    }
                }
                Err(_) => {
                    let doing = Doing::Post(&self.posting.exchange);
                    return Err(self.shared.posting.stuck(doing).await);
                }
            }
        }
        self.wait(confirms).await
    }

    /// How long sending so many bytes may take: the limit for an answer, and more for what is large.
    fn patience(&self, bytes: usize) -> Duration {
        self.shared.posting.limit() * u32::try_from(1 + bytes / WINDOW_BYTES).unwrap_or(u32::MAX)
    }

    /// Waits for the confirms. As long as some come within the limit of an answer, it goes on.
    ///
    /// A broker confirms in order as a rule, so that once the last is there all are, and this is woken
    /// once for all of them.
    async fn wait(&mut self, confirms: Vec<PublisherConfirm>) -> Result<(), Error> {
        let total = confirms.len() as u64;
        let mut refused = 0;
        let mut rest = confirms;
        while let Some(mut last) = rest.pop() {
            let limit = self.shared.posting.limit();
            let done = match (&mut last).now_or_never() {
                Some(done) => Ok(done),
                None => timeout(limit, &mut last).await,
            };
            match done {
                Ok(done) => refused += self.refusals(done).await?,
                Err(_) => {
                    let before = rest.len();
                    let mut still = Vec::with_capacity(before + 1);
                    for mut confirm in rest {
                        match (&mut confirm).now_or_never() {
                            Some(done) => refused += self.refusals(done).await?,
                            None => still.push(confirm),
                        }
                    }
                    if still.len() == before {
                        return Err(self.unanswered().await);
                    }
                    rest = still;
                    rest.push(last);
                }
            }
        }
        self.posts.refused += refused;
        if refused > 0 {
            return Err(unreachable(
                self.shared.posting.address(),
                Doing::Post(&self.posting.exchange),
                &format!(
                    "the broker refused {refused} of {total} messages; a queue is full and refuses \
                     more, or the broker has trouble storing them; its log says which"
                ),
            ));
        }
        self.posts.confirmed += total;
        Ok(())
    }

    /// How many messages a confirm refuses: one or none.
    async fn refusals(&self, confirm: lapin::Result<Confirmation>) -> Result<u64, Error> {
        match confirm {
            Ok(Confirmation::Nack(_)) => Ok(1),
            Ok(_) => Ok(0),
            Err(error) => Err(self.why(Vec::new(), error).await),
        }
    }

    /// The error of confirms that do not come.
    async fn unanswered(&self) -> Error {
        let (link, doing) = (&self.shared.posting, Doing::Post(&self.posting.exchange));
        if link.blocked().await {
            link.stuck(doing).await
        } else {
            // Perhaps only the queues of this exchange have trouble.
            link.overdue(doing).await
        }
    }

    /// Why sending failed. A frame that comes after the end of its channel only hears that it is closed;
    /// the confirms of those before it hear the reason.
    async fn why(&self, confirms: Vec<PublisherConfirm>, mut error: lapin::Error) -> Error {
        for confirm in confirms {
            if code(&error).is_some() {
                break;
            }
            if let Ok(Err(reason)) = timeout(self.shared.posting.limit(), confirm).await {
                error = reason;
            }
        }
        let doing = Doing::Post(&self.posting.exchange);
        trouble(self.shared.posting.address(), doing, &error)
    }

    /// Nothing of a batch is sent before all of it is written: a message that can't be would have the
    /// others posted twice.
    fn prepare(&mut self, batch: &[Outgoing]) -> Result<Vec<Ready>, Error> {
        let mut ready = Vec::with_capacity(batch.len());
        for outgoing in batch {
            let form = Form {
                format: self.posting.format,
                topic_prefix: &self.posting.topic_prefix,
                transport: Transport::Amqp,
                exchange: &self.posting.exchange,
            };
            let written = form.encode(outgoing)?;
            form::tell_cut(&mut self.cut_told, &written, &self.posting.exchange);
            let properties = wire::properties(&written, outgoing.key.as_deref()).map(|found| {
                let (persistent, ttl) = (self.posting.persistent, self.posting.message_ttl);
                wire::staying(found, persistent, ttl)
            });
            let refused = |why: String| form.refuse(&outgoing.message, &why);
            ready.push(Ready {
                exchange: self.exchange_for(outgoing),
                topic: wire::short(written.topic.as_str()).map_err(refused)?,
                properties: properties.map_err(refused)?,
                body: written.body,
            });
        }
        Ok(ready)
    }
}

/// A message ready to be sent.
struct Ready {
    exchange: ShortString,
    topic: ShortString,
    properties: BasicProperties,
    body: Vec<u8>,
}

impl Ready {
    fn send(self, channel: &Channel) -> Sending<'_, PublisherConfirm> {
        Box::pin(async move {
            let options = BasicPublishOptions::default();
            let (exchange, topic) = (self.exchange, self.topic);
            channel
                .basic_publish(exchange, topic, options, &self.body, self.properties)
                .await
        })
    }
}

#[async_trait]
impl Publisher for AmqpPublisher {
    async fn post(&mut self, batch: &[Outgoing]) -> Result<Vec<Confirm>, Failure> {
        if self.closed {
            return Err(Failure::from(Error::new(
                Kind::Stopped,
                format!(
                    "the publisher of the exchange `{}` is closed; the batch was not posted",
                    self.posting.exchange
                ),
            )));
        }
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let ready = match self.prepare(batch) {
            Ok(ready) => ready,
            Err(error) => {
                self.posts.failed_batches += 1;
                return Err(error.into());
            }
        };
        let mut result = self.post_batch(ready).await;
        // An exchange that vanished took its bindings with it: made anew, it would swallow what is posted
        // until the queues are bound again. Waiting for that loses nothing.
        if let Err(error) = &result
            && error.kind() == Kind::Missing
            && self.posting.declare
            && self.posts.confirmed == 0
        {
            self.channel = None;
            result = match self.declare().await.and_then(|()| self.prepare(batch)) {
                Ok(ready) => self.post_batch(ready).await,
                Err(error) => Err(error),
            };
        }
        match result {
            Ok(()) => Ok(vec![Confirm::Posted; batch.len()]),
            Err(error) => {
                // Confirms that still come are for a batch that is posted again.
                self.channel = None;
                self.posts.failed_batches += 1;
                Err(error.into())
            }
        }
    }

    async fn close(&mut self) -> Result<(), Failure> {
        self.closed = true;
        if let Some(channel) = self.channel.take()
            && channel.status().connected()
        {
            let closing = channel.close(200, "OK".into());
            let doing = Doing::Post(&self.posting.exchange);
            if let Err(error) = self.shared.posting.ask(doing, closing).await {
                // All that was posted was confirmed.
                tracing::debug!(%error, "The channel ended before it could be closed.");
            }
        }
        Ok(())
    }
}
