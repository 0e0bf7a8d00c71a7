//! Posting through a plugin, to what is no broker.
//!
//! It has an instance of its own, because posting goes on while the lanes work on the next pass.
//! Each message has a result of its own: what was not taken goes to retry, and comes again with the
//! same key.

use std::sync::Arc;

use crate::finish::Finisher;
use crate::job::JobEnd;
use crate::pass::Pass;
use crate::ports::{Callback, CallbackFactory, Confirm, Event, Failure, Item, Outgoing, Side};
use crate::shared::Shared;
use crate::team::Seat;
use crate::work::matching;

/// The instance that posts, made when first needed.
pub(crate) struct Poster {
    factory: Arc<dyn CallbackFactory>,
    /// No other instance of the flow has this number.
    number: u32,
    callback: Option<Box<dyn Callback>>,
}

impl Poster {
    pub(crate) fn new(factory: Arc<dyn CallbackFactory>, shared: &Shared, seat: &Seat) -> Self {
        let lanes = seat.count() * shared.flow.concurrency.max(1);
        Self {
            factory,
            number: u32::try_from(lanes + seat.number()).unwrap_or(u32::MAX),
            callback: None,
        }
    }

    /// The instance, started.
    async fn take(&mut self, index: usize) -> Result<Box<dyn Callback>, Failure> {
        if let Some(callback) = self.callback.take() {
            return Ok(callback);
        }
        let mut callback = self.factory.create(index, self.number).await?;
        callback.start().await?;
        Ok(callback)
    }

    /// Ends the instance.
    pub(crate) async fn stop(&mut self) {
        if let Some(mut callback) = self.callback.take() {
            callback.stop().await;
        }
    }
}

impl Finisher {
    /// Gives messages to the plugin that posts. `owners` are the jobs they are of, `keys` what they
    /// are known by there, with the tries before this one.
    pub(crate) async fn hand_over(
        &mut self,
        pass: &mut Pass,
        outgoing: Vec<Outgoing>,
        owners: &[usize],
        keys: Vec<(String, u32)>,
        index: usize,
    ) {
        let mut callback = match self.poster.take(index).await {
            Ok(callback) => callback,
            Err(failure) => {
                let count = owners.len();
                for owner in owners {
                    pass.jobs[*owner].finish(JobEnd::Failed(failure.clone(), count));
                }
                self.heed_post(&failure);
                return;
            }
        };
        let mut topics = Vec::with_capacity(outgoing.len());
        let items = outgoing.into_iter().zip(keys);
        let items: Vec<Item> = items
            .map(|(outgoing, (key, attempt))| {
                topics.push(outgoing.topic);
                Item {
                    id: self.shared.id(),
                    key,
                    attempt,
                    message: outgoing.message,
                    location: None,
                    other: None,
                }
            })
            .collect();
        // One that a plugin did not survive is by itself from then on.
        let most = self.shared.flow.batch.max(1);
        let mut start = 0;
        while start < items.len() {
            let alone = |at: usize| pass.jobs[owners[at]].delivery.is_alone();
            let mut end = start + 1;
            while !alone(start) && end < items.len() && end - start < most && !alone(end) {
                end += 1;
            }
            let part = &items[start..end];
            let state = self.shared.state(index, &pass.overlay);
            let answer = callback.post(part, state).await;
            match matching(answer, part.len(), callback.name()) {
                Ok(results) => {
                    for (at, result) in (start..end).zip(results) {
                        match result {
                            Ok(()) => {
                                pass.counts.posted += 1;
                                self.shared.tell(|| Event::Posted {
                                    message: &items[at].message,
                                    exchange: callback.name(),
                                    topic: topics[at].as_str(),
                                    confirm: Confirm::Posted,
                                });
                            }
                            Err(failure) => {
                                self.heed_post(&failure);
                                pass.jobs[owners[at]].finish(JobEnd::Failed(failure, 1));
                            }
                        }
                    }
                    self.shared.connection(Side::Output, true);
                }
                Err(failure) => {
                    self.shared.connection(Side::Output, false);
                    tracing::warn!(
                        plugin = callback.name(),
                        reason = %failure,
                        "Nothing of a batch could be posted."
                    );
                    for &owner in &owners[start..end] {
                        pass.jobs[owner].finish(JobEnd::Failed(failure.clone(), part.len()));
                    }
                    self.heed_post(&failure);
                }
            }
            start = end;
        }
        self.poster.callback = Some(callback);
    }

    /// What is about the flow rather than about a message.
    fn heed_post(&mut self, failure: &Failure) {
        match failure {
            Failure::Config(_) => self.stop_for(failure),
            Failure::Auth(_) => self.pause_for(failure),
            Failure::Plugin(_) => self.fallen.push(failure.clone()),
            Failure::Temporary { .. } | Failure::Permanent(_) => {}
        }
    }
}
