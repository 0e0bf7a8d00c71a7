//! Posting to an exchange.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_message::codec::{self, Format, Incoming};
use flow_message::{Transport, v03};
use flow_runtime::ports::{Confirm, Failure, Outgoing, Publisher};

use super::Shared;
use super::store::Post;
use crate::error::Error;
use crate::form::{self, Form};
use crate::split;

/// An exchange to post to, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    /// The exchange's name.
    pub exchange: String,
    /// The exchanges that share the posts, chosen by `relPath` as sr3 chooses; empty: `exchange` alone.
    pub parts: Vec<String>,
    /// What messages are to hold. The broker keeps them in a form of its own: they come out of it as
    /// those do that another broker carried in this one.
    pub format: Format,
    /// The first words of topics, as the flow that posts has them.
    pub topic_prefix: String,
    /// Whether they survive a power cut; the end of a process they survive anyhow.
    pub persistent: bool,
    /// They go away after waiting this long; zero: never.
    pub message_ttl: Duration,
}

impl Posting {
    /// An exchange that is posted to in v03, for good.
    pub fn new(exchange: impl Into<String>) -> Self {
        Self {
            exchange: exchange.into(),
            parts: Vec::new(),
            format: Format::V03,
            topic_prefix: Format::V03.topic_prefix().to_owned(),
            persistent: true,
            message_ttl: Duration::ZERO,
        }
    }

    /// The exchanges it means.
    pub(super) fn exchanges(&self) -> Vec<String> {
        split::exchanges(&self.exchange, &self.parts)
    }
}

/// An exchange being posted to.
///
/// A batch is one transaction: all of it is there, or nothing. Keys are remembered for 30 days.
///
/// # Cancel safety
/// A post that nobody waits for may or may not have happened; post it again with the same keys.
#[derive(Debug)]
pub struct EmbeddedPublisher {
    shared: Arc<Shared>,
    posting: Posting,
    exchanges: Vec<String>,
    /// Whether the last batch had messages that went nowhere: said once, not with every batch.
    unrouted: bool,
    cut_told: bool,
}

impl EmbeddedPublisher {
    pub(super) fn new(shared: Arc<Shared>, posting: Posting) -> Self {
        Self {
            shared,
            exchanges: posting.exchanges(),
            posting,
            unrouted: false,
            cut_told: false,
        }
    }

    fn tell_unrouted(&mut self, count: u64, topic: Option<&str>) {
        if count > 0 && !self.unrouted {
            tracing::warn!(
                exchange = self.posting.exchange,
                topic,
                count,
                "No queue is bound to the exchange for these posts; they were accepted and dropped."
            );
        }
        self.unrouted = count > 0;
    }

    fn prepare(&mut self, outgoing: &Outgoing, expires: i64) -> Result<Post, Error> {
        let key = outgoing.key.clone();
        if self.posting.format == Format::V03 {
            return Ok(Post {
                topic: outgoing.topic.as_str().to_owned(),
                body: v03::encode(&outgoing.message),
                key,
                expires,
            });
        }
        let form = Form {
            format: self.posting.format,
            topic_prefix: &self.posting.topic_prefix,
            transport: Transport::Amqp,
            exchange: &self.posting.exchange,
        };
        let wire = form.encode(outgoing)?;
        let incoming = Incoming {
            content_type: Some(wire.content_type),
            headers: &wire.headers,
            body: &wire.body,
            topic: Some(wire.topic.as_str()),
        };
        let message = codec::decode(&incoming, None)
            .map_err(|error| form.refuse(&outgoing.message, &error.to_string()))?;
        form::tell_cut(&mut self.cut_told, &wire, &self.posting.exchange);
        Ok(Post {
            topic: wire.topic.as_str().to_owned(),
            body: v03::encode(&message),
            key,
            expires,
        })
    }
}

#[async_trait]
impl Publisher for EmbeddedPublisher {
    async fn post(&mut self, batch: &[Outgoing]) -> Result<Vec<Confirm>, Failure> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.shared.now();
        let expires = match self.posting.message_ttl {
            Duration::ZERO => 0,
            ttl => now.saturating_add(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX)),
        };
        let mut shares: Vec<(Vec<usize>, Vec<Post>)> =
            self.exchanges.iter().map(|_| Default::default()).collect();
        for (index, outgoing) in batch.iter().enumerate() {
            let share = split::number(&outgoing.message, shares.len());
            let post = self.prepare(outgoing, expires)?;
            shares[share].0.push(index);
            shares[share].1.push(post);
        }
        let (places, posts): (Vec<_>, Vec<_>) = shares.into_iter().unzip();
        let exchanges = self.exchanges.clone();
        let accepted = self
            .shared
            .threads
            .write(self.posting.persistent, move |store| {
                let shares = exchanges.iter().zip(&posts);
                shares
                    .filter(|(_, posts)| !posts.is_empty())
                    .map(|(exchange, posts)| store.post(exchange, posts, now))
                    .collect::<Result<Vec<_>, Error>>()
            })
            .await?;
        let unrouted = accepted.iter().map(|accepted| accepted.unrouted).sum();
        let topic = accepted
            .iter()
            .find_map(|accepted| accepted.unrouted_topic.as_deref());
        self.tell_unrouted(unrouted, topic);
        let mut confirms = vec![Confirm::Posted; batch.len()];
        let places = places.into_iter().flatten();
        let said = accepted.into_iter().flat_map(|accepted| accepted.confirms);
        for (place, confirm) in places.zip(said) {
            confirms[place] = confirm;
        }
        Ok(confirms)
    }

    async fn close(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}
