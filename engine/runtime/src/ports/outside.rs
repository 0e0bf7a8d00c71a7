//! What crosses between a flow and those outside its loop: requests, lines, and what they submit.

use std::sync::Arc;

use async_trait::async_trait;
use flow_message::Message;

use super::{Failure, State};

/// An HTTP request somebody makes of a flow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HttpRequest {
    /// `GET`, `POST`, …
    pub method: String,
    /// Below the path the flow listens at, without the query.
    pub path: String,
    /// Without the question mark.
    pub query: String,
    /// As they came, in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// All of it.
    pub body: Vec<u8>,
    /// Who asks.
    pub peer: String,
}

/// The answer to one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HttpResponse {
    /// Three digits.
    pub status: u16,
    /// In their order.
    pub headers: Vec<(String, String)>,
    /// All of it.
    pub body: Vec<u8>,
}

/// Takes messages from outside the loop.
#[async_trait]
pub trait Submit: Send + Sync {
    /// Returns once they are durable in the flow's store.
    async fn submit(&self, messages: Vec<Message>) -> Result<(), Failure>;
}

/// Those who started a flow as their helper, or are connected to it, and read lines.
#[async_trait]
pub trait Lines: Send + Sync {
    /// Writes one line, whole and flushed; `text` has no line end.
    async fn write(&self, peer: u64, text: &str) -> Result<(), Failure>;
}

/// What a call from outside the loop brings beside what it is about.
#[derive(Clone)]
pub struct Desk {
    /// Takes messages.
    pub submit: Arc<dyn Submit>,
    /// The callback's pairs. What is written is durable with what is submitted next, and at the
    /// latest when the call has ended.
    pub state: Arc<dyn State>,
}
