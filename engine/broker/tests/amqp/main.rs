//! The AMQP broker against a real RabbitMQ.
//!
//! Cases that only need a server share one, each with names of its own; they are grouped, so that a runner
//! that gives every test a process starts few servers. Cases that kill the server have their own.

#![expect(
    clippy::unwrap_used,
    reason = "cases are functions beside the tests, and what fails in them is a finding"
)]

mod common;
mod consuming;
mod fault;
mod formats;
mod login;
mod publishing;
mod topology;
