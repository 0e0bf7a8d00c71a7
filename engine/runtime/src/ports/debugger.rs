//! The port of a person who looks into a flow, and decides about messages by hand.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Content, Edit, Failure, Item, Rejection};

/// A message at which a [`Debugger`] is stopped.
pub struct Stop<'a> {
    /// What comes next: `gather`, `accept`, `after_accept`, `download`, `send`, `after_work`, `post`
    /// or `settle`.
    pub stage: &'a str,
    /// Whose entry point that is, where it is one's.
    pub callback: Option<&'a str>,
    /// The message; none before a gather.
    pub item: Option<&'a Item>,
    /// Opens its content by [`Item::id`], as far as that is here.
    pub content: Option<Arc<dyn Content>>,
    /// Why the last edit was refused, or how the message ends.
    pub note: Option<String>,
}

/// How a message goes on after a [`Stop`].
#[derive(Debug, Clone)]
pub enum Step {
    /// As if nobody had looked.
    Go,
    /// Changed; stops again.
    Edit(Vec<Edit>),
    /// Not.
    Reject(Rejection),
    /// As if the stage had failed.
    Fail(Failure),
    /// Back to its origin: nothing is decided about it.
    Back,
}

/// A person who looks into a flow, one message after the other.
#[async_trait]
pub trait Debugger: Send + Sync + std::fmt::Debug {
    /// Whether to stop before this stage at all. Asked for every stage of every pass.
    fn wants(&self, stage: &str, callback: Option<&str>) -> bool;
    /// Stops. The flow waits for the answer.
    async fn stop(&self, stop: Stop<'_>) -> Step;
}
