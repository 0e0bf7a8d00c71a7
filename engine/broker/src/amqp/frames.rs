//! Sending many frames without waiting for each.
//!
//! The client library queues a frame when its future is first polled and resolves it when it was written
//! to the socket. So all are polled once, in order, which queues them in that order; then the last one is
//! waited for. Frames are written in order, so that the others are done by then, and whoever waits is woken
//! once and not for each.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::gate::Gate;

/// Frames queued before the connection may write them: what waking it costs is nothing beside so many, and
/// the broker has its first ones while the rest is queued.
const TOGETHER: usize = 100;

/// A frame on its way.
pub(super) type Sending<'a, T> = Pin<Box<dyn Future<Output = lapin::Result<T>> + Send + 'a>>;

/// A frame that is queued, or done with.
enum Queued<'a, T> {
    Waiting(Sending<'a, T>),
    Done(lapin::Result<T>),
}

impl<T> Queued<'_, T> {
    async fn done(self) -> lapin::Result<T> {
        match self {
            Self::Waiting(one) => one.await,
            Self::Done(result) => result,
        }
    }
}

/// Sends frames in order. Returns what they gave up to the first error, and that; those after it were
/// sent or not.
pub(super) async fn send_in_order<T: Send>(
    gate: &Gate,
    sending: Vec<Sending<'_, T>>,
) -> (Vec<T>, lapin::Result<()>) {
    let mut sent = Vec::with_capacity(sending.len());
    let mut queued = queue(gate, sending);
    let Some(last) = queued.pop() else {
        return (sent, Ok(()));
    };
    let last = last.done().await;
    for one in queued {
        match one.done().await {
            Ok(result) => sent.push(result),
            Err(error) => return (sent, Err(error)),
        }
    }
    match last {
        Ok(result) => sent.push(result),
        Err(error) => return (sent, Err(error)),
    }
    (sent, Ok(()))
}

fn queue<'a, T>(gate: &Gate, sending: Vec<Sending<'a, T>>) -> Vec<Queued<'a, T>> {
    // They are polled again by whoever waits, with a waker that counts.
    let mut context = Context::from_waker(Waker::noop());
    let mut queued = Vec::with_capacity(sending.len());
    let mut sending = sending.into_iter();
    while sending.len() > 0 {
        let shut = (sending.len() > 1).then(|| gate.shut());
        for mut one in sending.by_ref().take(TOGETHER) {
            queued.push(match one.as_mut().poll(&mut context) {
                Poll::Ready(result) => Queued::Done(result),
                Poll::Pending => Queued::Waiting(one),
            });
        }
        drop(shut);
    }
    queued
}
