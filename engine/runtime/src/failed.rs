//! Posting what goes no further (`post_failed`): those who wait for it hear of it now, not when they
//! lose patience.
//!
//! A message that is given up, or rejected while it was worked on, is posted as it came, without its
//! content, with the field `failed`, which says why. Whether it is given up is decided here then, before
//! the posts, so that nothing is announced as failed and tried again.
//!
//! What rules and nodupe turn away is not announced: that is what they are for.
//!
//! # Invariants
//! - As with all posts, the broker has it before the outcome is stored. After a crash between the two it
//!   is said again, under the same key.
//! - It changes nothing about the outcome: dead letters are kept as without it.

use std::sync::Arc;

use flow_message::Message;
use serde_json::Value;

use crate::delivery::Delivery;
use crate::edit::set_header;
use crate::finish::Finisher;
use crate::job::{Job, JobEnd, Live, Meta};
use crate::ports::{Failure, Item};
use crate::retry::{self, Next};

/// The field that says why a message goes no further.
const FIELD: &str = "failed";

impl Finisher {
    /// Adds what is said of those that go no further to what is posted, where the flow asks for that.
    pub(crate) fn announce_failed(&self, jobs: &mut [Job]) {
        let output = self.shared.flow.output.as_ref();
        if self.publisher.is_none() || !output.is_some_and(|output| output.failed) {
            return;
        }
        for job in jobs {
            let Some(reason) = self.why_failed(job) else {
                continue;
            };
            match live(&job.delivery, &reason) {
                Ok(live) => job.live.push(live),
                Err(failure) => tracing::warn!(
                    key = job.delivery.item().key,
                    reason = %failure,
                    "It can't be announced that a message goes no further."
                ),
            }
            if !matches!(job.end, Some(JobEnd::Rejected(_))) {
                job.end = Some(JobEnd::Dead(reason));
            }
        }
    }

    /// Why a message goes no further; none where it does, or is tried again.
    fn why_failed(&self, job: &Job) -> Option<String> {
        let shared = &self.shared;
        let (policy, now) = (&shared.flow.retry, shared.now());
        match &job.end {
            Some(JobEnd::Rejected(rejection)) if job.worked => Some(rejection.reason.clone()),
            Some(JobEnd::Failed(failure, together)) => {
                let random = shared.clock.random();
                match retry::next(policy, &job.delivery, failure, *together, now, random) {
                    Next::Dead(reason) => Some(reason),
                    Next::Again(_) => None,
                }
            }
            Some(JobEnd::Held(due, reason)) => retry::wait(policy, &job.delivery, *due, now)
                .err()
                .map(|given_up| format!("{reason} ({given_up})")),
            _ => None,
        }
    }
}

/// What is posted about a message.
fn live(delivery: &Delivery, reason: &str) -> Result<Live, Failure> {
    let item = delivery.item();
    let mut message = Message {
        content: None,
        ..Message::clone(&item.message)
    };
    set_header(
        &mut message,
        FIELD.into(),
        Some(Value::String(reason.into())),
    )?;
    Ok(Live {
        item: Item {
            key: format!("{}/{FIELD}", item.key),
            message: Arc::new(message),
            location: None,
            other: None,
            ..item.clone()
        },
        meta: Meta::new(delivery.born()),
    })
}
