//! AMQP 0-9-1: RabbitMQ as a broker for flows on more than one machine, side by side with sr3.
//!
//! # What it does
//! - Queues, exchanges and bindings are declared as sr3 declares them, so both find each other's
//!   ([`Declaration`]); what is not asked for is not declared.
//! - Posts are persistent and confirmed, a batch at a time ([`AmqpPublisher`]).
//! - A queue is consumed with a prefetch; acks of a batch are one frame ([`AmqpConsumer`]).
//! - Two connections are shared by all consumers and publishers of an [`AmqpBroker`]: one to consume and
//!   manage, one to post. A broker that runs short of memory stops reading from connections that post;
//!   on one connection that would also hold up the acks that free its memory.
//! - A lost connection is made again when it is needed, channels, topology and consumers with it. Until
//!   then calls fail with [`Kind::Unreachable`]; the broker is left alone
//!   for a while after each failure, from a second to a minute, randomly shortened.
//!
//! # What it does not
//! - It waits for nothing longer than [`Options::timeout`], except for something to arrive in
//!   [`ready`](flow_runtime::ports::Consumer::ready).
//! - It can't list, only look at what it is given the name of: listing needs the management interface.
//! - It does not drop a post that is repeated with the same key, as the embedded broker does: the key goes
//!   with the message, as `message-id`, for consumers to tell.
//!
//! # Invariants
//! - A post is reported as posted only after the broker has confirmed it.
//! - No delivery is acked before it is settled, and none by the ack of another.
//! - No password is printed.

mod address;
mod consumer;
mod declaration;
mod frames;
mod gate;
mod link;
mod publisher;
mod tags;
mod topology;
mod trouble;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flow_config::SafeUrl;

use crate::error::{Error, Kind};
pub(crate) use address::Address;
use link::Link;

pub use consumer::AmqpConsumer;
pub use declaration::{Binding, Declaration, Declare, Posting, QueueKind};
pub use publisher::{AmqpPublisher, Posts};

/// How to talk to a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What connections are called in the broker's lists; `consuming` and `posting` are appended.
    pub name: String,
    /// How long connecting, or any one answer, may take.
    pub timeout: Duration,
    /// The longest time the broker is left alone after a failure.
    pub longest_pause: Duration,
    /// How long a silent broker counts as alive; the broker may ask for less. Zero: as it asks.
    pub heartbeat: Duration,
    /// Certificate authorities to trust beside those of the machine, PEM.
    pub ca_file: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "flow".to_owned(),
            timeout: Duration::from_secs(30),
            longest_pause: Duration::from_secs(60),
            heartbeat: Duration::from_secs(30),
            ca_file: None,
        }
    }
}

/// A broker as one user sees it.
///
/// Clones share its connections; so should all flows of a process that use the same broker as the same
/// user. Connections are made when they are needed and closed with the last clone, consumer and publisher,
/// or by [`close`](Self::close).
#[derive(Debug, Clone)]
pub struct AmqpBroker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// To consume, declare and look.
    consuming: Link,
    /// To post, and to declare what is posted to.
    posting: Link,
}

impl AmqpBroker {
    /// A broker at `amqp://` or `amqps://`, with the password in the URL. Connects to nothing yet.
    ///
    /// # Errors
    /// [`Kind::Address`]: the URL is not one of a broker.
    pub fn new(url: &SafeUrl, options: Options) -> Result<Self, Error> {
        let address = Address::of(url)?;
        let consuming = Link::new(address.clone(), options.clone(), "consuming");
        let posting = Link::new(address, options, "posting");
        Ok(Self {
            shared: Arc::new(Shared { consuming, posting }),
        })
    }

    /// Logs in, to find out whether that works.
    ///
    /// # Errors
    /// [`Kind::Unreachable`], [`Kind::Login`], or [`Kind::Denied`] for the vhost.
    pub async fn check(&self) -> Result<(), Error> {
        self.shared.consuming.channel().await.map(|_| ())
    }

    /// Makes a queue what `declaration` says, as far as it says so: exchanges that are missing, the queue,
    /// its bindings. Bindings listed as no longer wanted are removed; messages stay.
    ///
    /// # Errors
    /// [`Kind::Mismatch`]: it is there with other arguments, and was left so. [`Kind::Missing`]: something
    /// is not there that was not to be declared. [`Kind::Denied`], [`Kind::Name`], and those of
    /// [`check`](Self::check).
    pub async fn declare(&self, declaration: &Declaration) -> Result<(), Error> {
        topology::declare(&self.shared.consuming, declaration).await
    }

    /// Sees to it that the exchanges to post to are there, on the connection that then posts to them.
    ///
    /// # Errors
    /// As [`declare`](Self::declare).
    pub async fn declare_exchange(&self, posting: &Posting) -> Result<(), Error> {
        for exchange in posting.exchanges() {
            declaration::check_name("exchange", &exchange)?;
            topology::declare_exchange(&self.shared.posting, &exchange, posting.durable).await?;
        }
        Ok(())
    }

    /// Consumes a queue, holding at most `prefetch` messages at a time: at least two batches, so that the
    /// next one arrives while one is worked on. At most 65 535 can be held.
    ///
    /// A broker that is away, or does not let us in now, is no error here but one of the first `receive`,
    /// which is tried again.
    ///
    /// # Errors
    /// [`Kind::Mismatch`] and [`Kind::Name`]: a person has to change the declaration.
    pub async fn consumer(
        &self,
        declaration: &Declaration,
        prefetch: usize,
    ) -> Result<AmqpConsumer, Error> {
        declaration.check()?;
        let mut consumer =
            AmqpConsumer::new(Arc::clone(&self.shared), declaration.clone(), prefetch);
        match consumer.open().await {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), Kind::Mismatch | Kind::Name | Kind::Address) => {
                return Err(error);
            }
            Err(error) => {
                tracing::warn!(queue = declaration.queue, "{error}");
            }
        }
        Ok(consumer)
    }

    /// Posts to an exchange, which is declared if a post finds it missing.
    ///
    /// # Errors
    /// [`Kind::Name`] for a name AMQP can't carry.
    pub fn publisher(&self, exchange: &str) -> Result<AmqpPublisher, Error> {
        self.publisher_to(Posting::new(exchange))
    }

    /// Posts to an exchange, or to several that share the posts.
    ///
    /// # Errors
    /// As [`publisher`](Self::publisher).
    pub fn publisher_to(&self, posting: Posting) -> Result<AmqpPublisher, Error> {
        AmqpPublisher::new(Arc::clone(&self.shared), posting)
    }

    /// Messages waiting in a queue, without those that consumers hold; none if there is no such queue.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub async fn depth(&self, queue: &str) -> Result<Option<u64>, Error> {
        topology::depth(&self.shared.consuming, queue).await
    }

    /// Removes the messages that wait in a queue, not those that consumers hold; returns how many.
    ///
    /// # Errors
    /// [`Kind::Missing`] and [`Kind::Denied`], and those of [`check`](Self::check).
    pub async fn purge(&self, queue: &str) -> Result<u64, Error> {
        topology::purge(&self.shared.consuming, queue).await
    }

    /// Removes a queue with everything in it; false if there was none. A consumer that still uses it
    /// declares it again, if its declaration says so.
    ///
    /// # Errors
    /// [`Kind::Denied`], and those of [`check`](Self::check).
    pub async fn delete_queue(&self, queue: &str) -> Result<bool, Error> {
        topology::delete_queue(&self.shared.consuming, queue).await
    }

    /// Removes an exchange, if it is there. Publishers that still use it declare it again, but queues that
    /// were bound to it are not bound again.
    ///
    /// # Errors
    /// [`Kind::Denied`], and those of [`check`](Self::check).
    pub async fn delete_exchange(&self, exchange: &str) -> Result<(), Error> {
        topology::delete_exchange(&self.shared.consuming, exchange).await
    }

    /// Removes an exchange that nothing is bound to; false if something is, and it stays.
    ///
    /// # Errors
    /// As [`delete_exchange`](Self::delete_exchange).
    pub async fn delete_unused_exchange(&self, exchange: &str) -> Result<bool, Error> {
        topology::delete_unused_exchange(&self.shared.consuming, exchange).await
    }

    /// Says goodbye to the broker. Consumers and publishers that are used afterwards connect again.
    pub async fn close(&self) {
        self.shared.posting.close().await;
        self.shared.consuming.close().await;
    }
}
