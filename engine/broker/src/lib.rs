//! Brokers: where posts go and queues are consumed, behind the ports of `flow-runtime`.
//!
//! A broker gives a [`Consumer`](flow_runtime::ports::Consumer) for each queue and a
//! [`Publisher`](flow_runtime::ports::Publisher) for each exchange. What they mean is the same for
//! every broker: topic exchanges, durable queues, bindings with `*` and `#`, a delivery that is
//! offered again until it is acked, a post that is durable once it is confirmed. One module per
//! broker:
//!
//! - [`embedded`]: SQLite, shared by the `flow` processes of one machine. The default.
//! - [`amqp`]: AMQP 0-9-1, that is RabbitMQ, for more than one machine.
//! - [`mqtt`]: any MQTT 5 server.
//!
//! Beside them [`management`] makes users at RabbitMQ, for a command and no flow.
//!
//! What this crate deliberately does not do: it reads no configuration and no environment (paths,
//! names and the clock are passed in), and it decides nothing about retry. It says by the kind of an
//! error whether another try can help; the loop decides.

pub mod amqp;
pub mod embedded;
mod error;
mod form;
pub mod management;
pub mod mqtt;
mod split;

pub use error::{Error, Kind};
