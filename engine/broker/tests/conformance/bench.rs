//! What a broker under test has to offer, and what all cases use.

use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

use flow_broker::embedded::Declaration;
use flow_message::{Message, Timestamp, Topic};
use flow_runtime::ports::{Consumer, Failure, Outgoing, Publisher, Received, Settlement};
use flow_testkit::Cutter;

/// Longest wait for anything that has to happen.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// How a broker is by nature.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a set of flags is what it is"
)]
pub(crate) struct Abilities {
    /// `depth` tells a number.
    pub(crate) depth: bool,
    /// A second post with the same key is dropped.
    pub(crate) remembers_keys: bool,
    /// What is confirmed is on the disk. If not, `save` puts it there.
    pub(crate) confirm_is_durable: bool,
    /// What a consumer held when it ended goes to the other consumers of the queue.
    pub(crate) passes_on: bool,
    /// Consumers and publishers live on when the broker starts again. If not, they are part of it.
    pub(crate) clients_outlive: bool,
    /// What is held when the connection is lost stays held, and is not delivered again.
    pub(crate) holds_over_cuts: bool,
    /// There are users, and what they may do.
    pub(crate) users: bool,
}

/// Who posts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// The right user with a wrong password.
    Impostor,
    /// A user who may not post to `x`.
    Guest,
}

/// A broker for one test, with nobody else in sight.
pub(crate) trait Bench: Sized {
    const ABILITIES: Abilities;

    /// Starts it, empty.
    async fn start() -> Self;
    /// The same, for a case that ends it: nobody else uses it.
    async fn start_own() -> Self {
        Self::start().await
    }
    async fn consumer(
        &self,
        declaration: &Declaration,
        prefetch: usize,
    ) -> Result<Box<dyn Consumer>, Failure>;
    async fn publisher(&self, exchange: &str) -> Result<Box<dyn Publisher>, Failure>;
    async fn declare(&self, declaration: &Declaration) -> Result<(), Failure>;
    async fn delete_queue(&self, queue: &str) -> Result<bool, Failure>;
    /// As `publisher`; only where there are users.
    async fn publisher_as(&self, who: Who, exchange: &str) -> Result<Box<dyn Publisher>, Failure>;
    /// As `consumer`; only where there are users.
    async fn consumer_as(
        &self,
        who: Who,
        declaration: &Declaration,
    ) -> Result<Box<dyn Consumer>, Failure>;
    /// Has one body delivered that is no message.
    async fn post_raw(&self, exchange: &str, topic: &str, body: &[u8]);
    /// Puts on disk what was confirmed; only where confirming does not.
    async fn save(&self);
    /// Whether queues take posts again at once after a restart, before their consumers are back; none
    /// where that depends.
    fn remembers_queues(&self) -> Option<bool> {
        Some(true)
    }
    /// Ends it in an instant, as `kill -9` does.
    async fn kill(&mut self);
    /// Starts it again, after `kill` with what was on the disk, else as it was stopped.
    async fn restart(&mut self);
    /// The proxy that its consumers and publishers go through; none without a network.
    fn cutter(&self) -> Option<&Cutter>;
}

/// A message about `path`, as a flow posts it.
pub(crate) fn outgoing(path: &str) -> Outgoing {
    let message = Message::new(Timestamp::from_unix(1, 0), "https://example.org/", path);
    let topic = Topic::of("v03", &message);
    Outgoing {
        message: message.into(),
        topic,
        key: None,
    }
}

pub(crate) fn numbered(range: std::ops::Range<usize>) -> Vec<Outgoing> {
    range
        .map(|number| outgoing(&format!("a/{number}")))
        .collect()
}

/// Queue `q`, with all that is posted to exchange `x`.
pub(crate) fn everything() -> Declaration {
    Declaration::new("q", "x", ["#"])
}

pub(crate) fn path(received: &Received) -> String {
    received.message.as_ref().unwrap().rel_path.clone()
}

pub(crate) fn paths(received: &[Received]) -> Vec<String> {
    received.iter().map(path).collect()
}

pub(crate) fn all(received: &[Received], settlement: Settlement) -> Vec<(u64, Settlement)> {
    received
        .iter()
        .map(|received| (received.tag, settlement))
        .collect()
}

/// Fails the test instead of waiting for ever.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LIMIT, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {LIMIT:?} in vain: {what}"),
    }
}

/// Receives as the loop does: after a temporary failure, such as over a cut, later again.
pub(crate) async fn receive(consumer: &mut dyn Consumer, limit: usize) -> Vec<Received> {
    match consumer.receive(limit).await {
        Ok(received) => received,
        Err(Failure::Temporary { retry_after, .. }) => {
            tokio::time::sleep(retry_after.unwrap_or(Duration::from_millis(20))).await;
            Vec::new()
        }
        Err(failure) => panic!("not temporary: {failure:?}"),
    }
}

/// Takes `count` messages, waiting for each.
pub(crate) async fn take(consumer: &mut dyn Consumer, count: usize) -> Vec<Received> {
    soon(&format!("{count} messages"), async {
        let mut taken = Vec::new();
        while taken.len() < count {
            consumer.ready().await.unwrap();
            taken.extend(receive(consumer, count - taken.len()).await);
        }
        taken
    })
    .await
}

/// Takes and acks everything up to a message that is posted now: what was there before it.
///
/// Queues keep their order, so nothing that was to come can hide behind it.
pub(crate) async fn drain<B: Bench>(bench: &B, consumer: &mut dyn Consumer) -> Vec<String> {
    let mut publisher = bench.publisher("x").await.unwrap();
    post_until_confirmed(&mut *publisher, &[outgoing("last/of/all")]).await;
    soon("the last message", async {
        let mut seen = Vec::new();
        loop {
            consumer.ready().await.unwrap();
            let received = receive(consumer, 100).await;
            seen.extend(paths(&received));
            // Over a cut the broker is told later.
            let _ = consumer.settle(&all(&received, Settlement::Ack)).await;
            if seen.last().is_some_and(|path| path == "last/of/all") {
                // Over a cut it may have been posted twice.
                seen.retain(|path| path != "last/of/all");
                return seen;
            }
        }
    })
    .await
}

pub(crate) async fn post(publisher: &mut dyn Publisher, batch: &[Outgoing]) {
    let confirms = soon("a post", publisher.post(batch)).await.unwrap();
    assert_eq!(confirms.len(), batch.len());
}

/// Posts as the loop does: the whole batch again until it is confirmed.
pub(crate) async fn post_until_confirmed(publisher: &mut dyn Publisher, batch: &[Outgoing]) -> u32 {
    soon("a post over failures", async {
        let mut failures = 0;
        loop {
            match publisher.post(batch).await {
                Ok(confirms) => {
                    assert_eq!(confirms.len(), batch.len());
                    return failures;
                }
                Err(failure) => {
                    assert!(matches!(failure, Failure::Temporary { .. }), "{failure:?}");
                    failures += 1;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    })
    .await
}

/// Waits until a consumer that outlived a restart is connected again: only then it can tell acks.
pub(crate) async fn reconnected(consumer: &mut dyn Consumer, settled: u64) {
    soon("a reconnect", async {
        while consumer
            .settle(&[(settled, Settlement::Ack)])
            .await
            .is_err()
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// Whether a future is pending when asked once.
pub(crate) async fn is_pending<F: Future>(future: F) -> bool {
    tokio::pin!(future);
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await
}
