//! What a queue and an exchange should be: data, checked for what AMQP can carry.

use std::time::Duration;

use flow_message::Format;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use serde_json::Value;

use crate::error::{Error, Kind};
use crate::split;

/// What binds a queue to an exchange.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Binding {
    /// The exchange.
    pub exchange: String,
    /// A complete pattern, with `*` for one word and `#` for any number.
    pub pattern: String,
}

/// How RabbitMQ keeps a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QueueKind {
    /// On one node. Never written into the declaration, so that it fits queues that sr3 declared.
    #[default]
    Classic,
    /// On several nodes; needs a durable queue.
    Quorum,
    /// As a log; RabbitMQ keeps what was acked.
    Stream,
}

/// What to do about the topology; what is not done has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declare {
    /// Create exchanges that are not there.
    pub exchange: bool,
    /// Create the queue, or check that it is as declared.
    pub queue: bool,
    /// Make the bindings and remove those no longer wanted.
    pub bind: bool,
}

/// A queue as it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct Declaration {
    /// The queue's name.
    pub queue: String,
    /// Bindings it shall have. Others it may have are left alone, as AMQP can't list them.
    pub bindings: Vec<Binding>,
    /// Bindings it shall not have any more.
    pub unbind: Vec<Binding>,
    /// The queue goes away after being unused this long; zero: never.
    pub expire: Duration,
    /// A message goes away after waiting this long; zero: never.
    pub message_ttl: Duration,
    /// How it is kept.
    pub kind: QueueKind,
    /// Survives a restart of the broker.
    pub durable: bool,
    /// Goes away with its last consumer.
    pub auto_delete: bool,
    /// Arguments beyond these, by their names in AMQP: texts, numbers and booleans.
    pub arguments: Vec<(String, Value)>,
    /// What of all this to do.
    pub declare: Declare,
}

impl Declaration {
    /// A durable queue that is kept for ever, and so are its messages, bound to one exchange; everything
    /// is declared.
    pub fn new(
        queue: impl Into<String>,
        exchange: impl Into<String>,
        bindings: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            queue: queue.into(),
            bindings: Vec::new(),
            unbind: Vec::new(),
            expire: Duration::ZERO,
            message_ttl: Duration::ZERO,
            kind: QueueKind::Classic,
            durable: true,
            auto_delete: false,
            arguments: Vec::new(),
            declare: Declare {
                exchange: true,
                queue: true,
                bind: true,
            },
        }
        .bind(exchange, bindings)
    }

    /// The same, bound to an exchange as well.
    #[must_use]
    pub fn bind(
        mut self,
        exchange: impl Into<String>,
        patterns: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let exchange = exchange.into();
        self.bindings
            .extend(patterns.into_iter().map(|pattern| Binding {
                exchange: exchange.clone(),
                pattern: pattern.into(),
            }));
        self
    }

    /// The same, without bindings it may have from before.
    #[must_use]
    pub fn unbind(mut self, bindings: impl IntoIterator<Item = Binding>) -> Self {
        self.unbind.extend(bindings);
        self
    }

    /// The same, going away after being unused for `expire`.
    #[must_use]
    pub fn expire(mut self, expire: Duration) -> Self {
        self.expire = expire;
        self
    }

    /// The same, with messages going away after waiting for `message_ttl`.
    #[must_use]
    pub fn message_ttl(mut self, message_ttl: Duration) -> Self {
        self.message_ttl = message_ttl;
        self
    }

    /// The same, kept otherwise.
    #[must_use]
    pub fn kind(mut self, kind: QueueKind) -> Self {
        self.kind = kind;
        self
    }

    /// The same, declaring only some of it.
    #[must_use]
    pub fn declaring(mut self, declare: Declare) -> Self {
        self.declare = declare;
        self
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        check_name("queue", &self.queue)?;
        for binding in self.bindings.iter().chain(&self.unbind) {
            check_name("exchange", &binding.exchange)?;
            if binding.pattern.len() > LONGEST_NAME {
                return Err(Error::new(
                    Kind::Name,
                    format!(
                        "a binding has at most {LONGEST_NAME} bytes, `{}` of the queue `{}` has {}; \
                         nothing was declared; shorten the subtopic",
                        binding.pattern,
                        self.queue,
                        binding.pattern.len()
                    ),
                ));
            }
        }
        self.table().map(|_| ())
    }

    /// The arguments as they go over the wire.
    pub(super) fn table(&self) -> Result<FieldTable, Error> {
        let mut table = FieldTable::default();
        for (name, duration) in [
            ("x-expires", self.expire),
            ("x-message-ttl", self.message_ttl),
        ] {
            if !duration.is_zero() {
                let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
                table.insert(name.into(), AMQPValue::LongLongInt(millis));
            }
        }
        let kind = match self.kind {
            QueueKind::Classic => None,
            QueueKind::Quorum => Some("quorum"),
            QueueKind::Stream => Some("stream"),
        };
        if let Some(kind) = kind {
            table.insert("x-queue-type".into(), AMQPValue::LongString(kind.into()));
        }
        for (name, value) in &self.arguments {
            let value = match value {
                Value::Bool(value) => Some(AMQPValue::Boolean(*value)),
                Value::Number(number) => number
                    .as_i64()
                    .map(AMQPValue::LongLongInt)
                    .or_else(|| number.as_f64().map(AMQPValue::Double)),
                Value::String(text) => Some(AMQPValue::LongString(text.as_str().into())),
                _ => None,
            };
            let (Some(value), Ok(short)) = (value, ShortString::try_new(name.as_str())) else {
                return Err(Error::new(
                    Kind::Name,
                    format!(
                        "the argument `{name}` of the queue `{}` can't be sent; nothing was declared; \
                         it takes a text, a number or true and false",
                        self.queue
                    ),
                ));
            };
            table.insert(short, value);
        }
        Ok(table)
    }
}

/// An exchange to post to, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    /// The exchange's name.
    pub exchange: String,
    /// The exchanges that share the posts, chosen by `relPath` as sr3 chooses; empty: `exchange` alone.
    pub parts: Vec<String>,
    /// Create exchanges that are not there.
    pub declare: bool,
    /// Survives a restart of the broker.
    pub durable: bool,
    /// What messages are written as.
    pub format: Format,
    /// The first words of topics, as the flow that posts has them.
    pub topic_prefix: String,
    /// Whether messages survive a restart of the broker, where their queue does.
    pub persistent: bool,
    /// They go away after waiting this long in a queue; zero: never.
    pub message_ttl: Duration,
}

impl Posting {
    /// A durable exchange, declared if it is not there, posted to in v03.
    pub fn new(exchange: impl Into<String>) -> Self {
        Self {
            exchange: exchange.into(),
            parts: Vec::new(),
            declare: true,
            durable: true,
            format: Format::V03,
            topic_prefix: Format::V03.topic_prefix().to_owned(),
            persistent: true,
            message_ttl: Duration::ZERO,
        }
    }

    /// The same, in a format and with the topics that are usual for it.
    #[must_use]
    pub fn format(mut self, format: Format) -> Self {
        self.format = format;
        format.topic_prefix().clone_into(&mut self.topic_prefix);
        self
    }

    /// The exchanges it means.
    pub(super) fn exchanges(&self) -> Vec<String> {
        split::exchanges(&self.exchange, &self.parts)
    }
}

/// The longest name of a queue or exchange, in bytes.
const LONGEST_NAME: usize = 255;

/// Refuses names AMQP could not carry.
pub(super) fn check_name(what: &str, name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Err(Error::new(
            Kind::Name,
            format!(
                "the name of a {what} has 1 to {LONGEST_NAME} bytes, `{name}` has {}; nothing was \
                 done; shorten it",
                name.len()
            ),
        ));
    }
    // Exchanges of the broker's own may be used, but it names such queues itself.
    if what == "queue" && name.starts_with("amq.") {
        return Err(Error::new(
            Kind::Name,
            format!(
                "the queue `{name}` begins with `amq.`, which the broker keeps for itself; nothing \
                 was done; choose another name"
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arguments_are_as_sr3_declares_them() {
        let mut declaration = Declaration::new("q", "x", ["#"])
            .expire(Duration::from_secs(300))
            .message_ttl(Duration::from_millis(1500))
            .kind(QueueKind::Quorum);
        declaration.arguments = vec![
            ("x-max-length".to_owned(), json!(7)),
            ("x-overflow".to_owned(), json!("reject-publish")),
        ];
        let table = declaration.table().expect("arguments");
        let text = |text: &str| AMQPValue::LongString(text.into());
        let expected = [
            ("x-expires", AMQPValue::LongLongInt(300_000)),
            ("x-max-length", AMQPValue::LongLongInt(7)),
            ("x-message-ttl", AMQPValue::LongLongInt(1500)),
            ("x-overflow", text("reject-publish")),
            ("x-queue-type", text("quorum")),
        ]
        .map(|(name, value)| (ShortString::from(name), value));
        assert_eq!(*table.inner(), expected.into());
        declaration.arguments = vec![("x-odd".to_owned(), json!([1]))];
        let error = declaration.check().expect_err("a list");
        assert!(error.to_string().contains("`x-odd`"), "{error}");
    }

    #[test]
    fn names_amqp_can_not_carry_are_refused() {
        for name in ["", "amq.topic", &"x".repeat(256)] {
            let declaration = Declaration::new(name, "x", ["#"]);
            assert_eq!(declaration.check().expect_err(name).kind(), Kind::Name);
        }
    }

    #[test]
    fn the_parts_of_an_exchange_take_its_place() {
        let mut posting = Posting::new("xs_feed");
        assert_eq!(posting.exchanges(), ["xs_feed"]);
        posting.parts = ["xs_feed00", "xs_feed01"].map(String::from).to_vec();
        assert_eq!(posting.exchanges(), posting.parts);
    }
}
