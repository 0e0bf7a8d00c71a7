//! A plain AMQP client, for messages as no flow writes them and for counting what arrived.
//!
//! It reads nothing into what it carries, and waits for each step.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicPublishOptions,
    ConfirmSelectOptions, ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind,
};
use tokio::runtime::Runtime;

/// Posts that are not confirmed yet, at most.
const WINDOW: usize = 500;
/// How long one arrival is waited for before it counts as none.
const LULL: Duration = Duration::from_millis(500);

/// A connection.
pub struct Wire {
    runtime: Runtime,
    connection: Connection,
    channel: Channel,
}

/// A message as it goes over the wire.
#[derive(Debug, Clone)]
pub struct Raw {
    /// Its routing key.
    pub topic: String,
    /// What the body is said to be; nothing if empty.
    pub content_type: String,
    /// Headers of the message, texts all.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Raw {
    /// A message of v03, its body as it stands.
    pub fn v03(topic: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            topic: topic.to_owned(),
            content_type: "application/json".to_owned(),
            headers: Vec::new(),
            body: body.into(),
        }
    }
}

impl Wire {
    /// Connects.
    ///
    /// # Panics
    /// When the broker does not answer, as everything here.
    #[track_caller]
    pub fn open(url: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime can be made");
        let opened = runtime.block_on(async {
            let connection = Connection::connect(url, ConnectionProperties::default()).await?;
            let channel = connection.create_channel().await?;
            let confirm = ConfirmSelectOptions::default();
            channel.confirm_select(confirm).await?;
            Ok::<_, lapin::Error>((connection, channel))
        });
        let (connection, channel) = opened.expect("the broker answers");
        Self {
            runtime,
            connection,
            channel,
        }
    }

    /// Makes a durable exchange and a durable queue that gets all of it.
    ///
    /// # Panics
    /// When the broker refuses.
    #[track_caller]
    pub fn queue(&self, queue: &str, exchange: &str) {
        let made = self.runtime.block_on(async {
            let durable = ExchangeDeclareOptions {
                durable: true,
                ..ExchangeDeclareOptions::default()
            };
            let none = FieldTable::default;
            self.channel
                .exchange_declare(exchange.into(), ExchangeKind::Topic, durable, none())
                .await?;
            let durable = QueueDeclareOptions {
                durable: true,
                ..QueueDeclareOptions::default()
            };
            self.channel
                .queue_declare(queue.into(), durable, none())
                .await?;
            let bind = QueueBindOptions::default();
            self.channel
                .queue_bind(queue.into(), exchange.into(), "#".into(), bind, none())
                .await
        });
        made.expect("the broker makes it");
    }

    /// Deletes an exchange, bindings and all.
    ///
    /// # Panics
    /// When the broker refuses.
    #[track_caller]
    pub fn delete_exchange(&self, exchange: &str) {
        let options = ExchangeDeleteOptions::default();
        let deleting = self.channel.exchange_delete(exchange.into(), options);
        self.runtime.block_on(deleting).expect("it is there");
    }

    /// Posts, persistently; returns when queues have all of it.
    ///
    /// # Panics
    /// When the broker refuses one, or has no queue for it.
    #[track_caller]
    pub fn post(&self, exchange: &str, messages: impl IntoIterator<Item = Raw>) {
        let posted = self.runtime.block_on(async {
            let mut flying = VecDeque::new();
            for message in messages {
                if flying.len() >= WINDOW
                    && let Some(confirm) = flying.pop_front()
                {
                    expect_taken(&confirm.await?);
                }
                let mut headers = FieldTable::default();
                for (name, value) in message.headers {
                    let value = lapin::types::AMQPValue::LongString(value.into());
                    headers.insert(name.into(), value);
                }
                let mut properties = BasicProperties::default()
                    .with_delivery_mode(2)
                    .with_headers(headers);
                if !message.content_type.is_empty() {
                    properties = properties.with_content_type(message.content_type.into());
                }
                let topic = message.topic.into();
                let options = BasicPublishOptions {
                    mandatory: true,
                    ..BasicPublishOptions::default()
                };
                let body = &message.body;
                let posting =
                    self.channel
                        .basic_publish(exchange.into(), topic, options, body, properties);
                flying.push_back(posting.await?);
            }
            for confirm in flying {
                expect_taken(&confirm.await?);
            }
            Ok::<_, lapin::Error>(())
        });
        posted.expect("the broker takes it");
    }

    /// How many messages are ready in a queue.
    ///
    /// # Panics
    /// When there is no such queue.
    #[track_caller]
    pub fn depth(&self, queue: &str) -> usize {
        let passive = QueueDeclareOptions {
            passive: true,
            durable: true,
            ..QueueDeclareOptions::default()
        };
        let asking = self
            .channel
            .queue_declare(queue.into(), passive, FieldTable::default());
        let queue = self.runtime.block_on(asking).expect("it is there");
        usize::try_from(queue.message_count()).expect("it fits")
    }

    /// Takes the body of the next message of a queue, if there is one.
    ///
    /// # Panics
    /// When there is no such queue.
    #[track_caller]
    pub fn get(&self, queue: &str) -> Option<Vec<u8>> {
        let options = BasicGetOptions { no_ack: true };
        let getting = self.channel.basic_get(queue.into(), options);
        let got = self.runtime.block_on(getting).expect("it is there");
        got.map(|got| got.delivery.data)
    }

    /// Takes bodies from a queue until `enough` says so of those taken so far, or `limit` has passed.
    ///
    /// # Panics
    /// When the broker does not deliver.
    #[track_caller]
    pub fn take(
        &self,
        queue: &str,
        limit: Duration,
        mut enough: impl FnMut(&[Vec<u8>]) -> bool,
    ) -> Vec<Vec<u8>> {
        let deadline = Instant::now() + limit;
        let taken = self.runtime.block_on(async {
            let channel = self.connection.create_channel().await?;
            let options = BasicConsumeOptions::default();
            let none = FieldTable::default();
            let mut arrivals = channel
                .basic_consume(queue.into(), "".into(), options, none)
                .await?;
            let mut bodies = Vec::new();
            while Instant::now() < deadline {
                match tokio::time::timeout(LULL, arrivals.next()).await {
                    Ok(Some(arrival)) => {
                        let arrival = arrival?;
                        arrival.ack(BasicAckOptions::default()).await?;
                        bodies.push(arrival.data);
                    }
                    Ok(None) => break,
                    Err(_) if enough(&bodies) => break,
                    Err(_) => {}
                }
            }
            channel.close(200, "done".into()).await?;
            Ok::<_, lapin::Error>(bodies)
        });
        taken.expect("the broker delivers")
    }
}

fn expect_taken(posted: &Confirmation) {
    let taken = matches!(posted, Confirmation::Ack(None));
    assert!(taken, "nobody gets it: {posted:?}");
}
