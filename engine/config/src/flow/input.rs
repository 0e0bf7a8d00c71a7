//! What is consumed: a queue, its bindings, and how it is declared.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::SafeUrl;

/// A queue and the exchanges it is bound to.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// `embedded:` or a broker's URL, without a password.
    pub broker: SafeUrl,
    /// The queue's name.
    pub queue: String,
    /// What the queue is bound to; at least one.
    pub bindings: Vec<Binding>,
    /// The queue goes away after being unused this long; zero: never.
    pub expire: Duration,
    /// Messages that wait longer than this in the queue go away; zero: never. It is
    /// `messageAgeMax`, as they would be rejected anyway, and as sr3 declares the queue.
    pub message_ttl: Duration,
    /// Most unacknowledged messages held by one instance.
    pub prefetch: usize,
    /// Whether queue and exchange outlive a restart of the broker.
    pub durable: bool,
    /// Whether the queue goes away with its last consumer.
    pub auto_delete: bool,
    /// The type asked for (`x-queue-type`); none: what the broker makes by itself.
    pub queue_type: Option<QueueType>,
    /// More arguments of the queue's declaration (AMQP).
    pub arguments: BTreeMap<String, Argument>,
    /// What is declared before consuming.
    pub declare: Declare,
    /// How the broker's certificate is checked.
    pub tls: TlsRigour,
    /// What only MQTT has.
    pub mqtt: Mqtt,
}

impl Input {
    /// A queue bound to one topic of one exchange, with nothing special about it.
    pub fn new(
        broker: SafeUrl,
        queue: impl Into<String>,
        exchange: impl Into<String>,
        topic: impl Into<String>,
    ) -> Self {
        Self {
            broker,
            queue: queue.into(),
            bindings: vec![Binding {
                exchange: exchange.into(),
                topic: topic.into(),
            }],
            expire: Duration::ZERO,
            message_ttl: Duration::ZERO,
            prefetch: 200,
            durable: true,
            auto_delete: false,
            queue_type: None,
            arguments: BTreeMap::new(),
            declare: Declare::default(),
            tls: TlsRigour::Normal,
            mqtt: Mqtt::default(),
        }
    }

    /// The exchanges bound to, each once, in the order of the bindings.
    pub fn exchanges(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for binding in &self.bindings {
            if !names.contains(&binding.exchange.as_str()) {
                names.push(&binding.exchange);
            }
        }
        names
    }

    /// The topics bound to on `exchange`.
    pub fn topics<'a>(&'a self, exchange: &'a str) -> impl Iterator<Item = &'a str> {
        self.bindings
            .iter()
            .filter(move |binding| binding.exchange == exchange)
            .map(|binding| binding.topic.as_str())
    }
}

/// One pattern on one exchange.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Binding {
    /// The exchange; empty only for MQTT, where topics may start without one.
    pub exchange: String,
    /// The complete pattern, topicPrefix included, words separated by dots, `*` for any one word
    /// and a last `#` for any number. For MQTT too: the adapter translates.
    pub topic: String,
}

/// Types of AMQP queues. Streams keep what was acknowledged, so they are no queues for a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueType {
    /// On one node.
    Classic,
    /// Replicated.
    Quorum,
}

/// The value of a queue argument.
#[derive(Debug, Clone, PartialEq)]
pub enum Argument {
    /// `on`, `off`, `true`, `false`.
    Flag(bool),
    /// A whole number.
    Count(i64),
    /// Anything else.
    Text(String),
}

/// What a flow declares before it consumes. Off for what others own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declare {
    /// The exchange (`exchangeDeclare`).
    pub exchange: bool,
    /// The queue (`queueDeclare`).
    pub queue: bool,
    /// The bindings (`queueBind`).
    pub bindings: bool,
}

impl Default for Declare {
    fn default() -> Self {
        Self {
            exchange: true,
            queue: true,
            bindings: true,
        }
    }
}

/// How a peer's certificate is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsRigour {
    /// Chain and host name.
    #[default]
    Normal,
    /// Chain and host name, with TLS 1.3 or 1.2 only: the same as normal here.
    Strict,
    /// Not at all: for tests, and for peers on a wire nobody else is on.
    Lax,
}

/// What only an MQTT session has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mqtt {
    /// Quality of service, 0 to 2.
    pub qos: u8,
    /// Whether a session starts from nothing, which loses what came meanwhile.
    pub clean_session: bool,
    /// Most messages the broker may have under way to us; none: `prefetch`.
    pub receive_maximum: Option<u16>,
}

impl Default for Mqtt {
    fn default() -> Self {
        Self {
            qos: 1,
            clean_session: false,
            receive_maximum: None,
        }
    }
}
