//! Sending many frames without waiting for each.
//!
//! The client library queues a frame when its future is first polled and resolves it when it was written
//! to the socket. So all are polled once, in order, which queues them in that order; then each is waited
//! for, which costs little as most are done by the time the first one is.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// A frame on its way.
pub(super) type Sending<'a, T> = Pin<Box<dyn Future<Output = lapin::Result<T>> + Send + 'a>>;

/// A frame that is queued, or done with.
enum Queued<'a, T> {
    Waiting(Sending<'a, T>),
    Done(lapin::Result<T>),
}

/// Sends frames in order. Returns what they gave up to the first error, and that; those after it were
/// sent or not.
pub(super) async fn send_in_order<T: Send>(
    sending: Vec<Sending<'_, T>>,
) -> (Vec<T>, lapin::Result<()>) {
    let mut sent = Vec::with_capacity(sending.len());
    for one in queue(sending) {
        let result = match one {
            Queued::Waiting(one) => one.await,
            Queued::Done(result) => result,
        };
        match result {
            Ok(result) => sent.push(result),
            Err(error) => return (sent, Err(error)),
        }
    }
    (sent, Ok(()))
}

fn queue<T>(sending: Vec<Sending<'_, T>>) -> Vec<Queued<'_, T>> {
    // They are polled again by whoever waits, with a waker that counts.
    let mut context = Context::from_waker(Waker::noop());
    sending
        .into_iter()
        .map(|mut one| match one.as_mut().poll(&mut context) {
            Poll::Ready(result) => Queued::Done(result),
            Poll::Pending => Queued::Waiting(one),
        })
        .collect()
}
