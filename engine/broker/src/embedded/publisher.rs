//! Posting to an exchange.

use std::sync::Arc;

use async_trait::async_trait;
use flow_message::v03;
use flow_runtime::ports::{Confirm, Failure, Outgoing, Publisher};

use super::Shared;
use super::store::Post;

/// An exchange being posted to.
///
/// A batch is one transaction: all of it is there, or nothing. Keys are remembered for 30 days.
///
/// # Cancel safety
/// A post that nobody waits for may or may not have happened; post it again with the same keys.
#[derive(Debug)]
pub struct EmbeddedPublisher {
    shared: Arc<Shared>,
    exchange: String,
    /// Whether the last batch had messages that went nowhere: said once, not with every batch.
    unrouted: bool,
}

impl EmbeddedPublisher {
    pub(super) fn new(shared: Arc<Shared>, exchange: String) -> Self {
        Self {
            shared,
            exchange,
            unrouted: false,
        }
    }

    fn tell_unrouted(&mut self, count: u64, topic: Option<&str>) {
        if count > 0 && !self.unrouted {
            tracing::warn!(
                exchange = self.exchange,
                topic,
                count,
                "No queue is bound to the exchange for these posts; they were accepted and dropped."
            );
        }
        self.unrouted = count > 0;
    }
}

#[async_trait]
impl Publisher for EmbeddedPublisher {
    async fn post(&mut self, batch: &[Outgoing]) -> Result<Vec<Confirm>, Failure> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let posts: Vec<Post> = batch
            .iter()
            .map(|outgoing| Post {
                topic: outgoing.topic.as_str().to_owned(),
                body: v03::encode(&outgoing.message),
                key: outgoing.key.clone(),
            })
            .collect();
        let (exchange, now) = (self.exchange.clone(), self.shared.now());
        let accepted = self
            .shared
            .threads
            .write(true, move |store| store.post(&exchange, &posts, now))
            .await?;
        self.tell_unrouted(accepted.unrouted, accepted.unrouted_topic.as_deref());
        Ok(accepted.confirms)
    }

    async fn close(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}
