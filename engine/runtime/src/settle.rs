//! Ending what was in hand, durably.
//!
//! The order is the whole point. One transaction stores everything the pass decided: retry rows,
//! dead letters, what nodupe saw, the pairs of callbacks, and the outcomes callbacks still have to
//! be told. Then the callbacks are told, which is noted with the next transaction (of the pass in
//! hand, or else one of its own), and the queue gets its acks. A crash before the first transaction
//! redoes the pass; after it, redelivered messages are recognised by their keys and outcomes are told
//! (again) at the next start.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use flow_message::Timestamp;

use crate::clock::{from_millis, later};
use crate::delivery::{Again, Delivery, End, Ended, Origin};
use crate::error::Error;
use crate::finish::{Finished, Finisher};
use crate::job::{Job, JobEnd};
use crate::pass::Pass;
use crate::ports::{Failure, Fate, Rejection, Settlement};
use crate::retry::{self, Next};
use crate::shared::Ability;
use crate::store::{Batch, DeadRow, Pending, RetryRow, Seen};
use crate::trouble::Trouble;

impl Finisher {
    /// Decides how everything in hand ends, and stores it.
    pub(crate) async fn settle(&mut self, pass: Pass, started: Instant) -> Result<Finished, Error> {
        let Pass {
            jobs,
            overlay,
            counts,
            unreadable,
            renewed,
            told,
            again,
            traces,
            claim,
        } = pass;
        let config = jobs.iter().find_map(|job| match &job.end {
            Some(JobEnd::Failed(failure @ Failure::Config(_), _)) => Some(failure.clone()),
            _ => None,
        });
        if let Some(failure) = config {
            self.stop_for(&failure);
        }
        let now = self.shared.now();
        let mut batch = Batch {
            state: overlay.writes(),
            renewed,
            told,
            ..Batch::default()
        };
        let mut acks = Vec::with_capacity(jobs.len() + unreadable.len());
        let ended = self.end_all(jobs, &mut batch, now);
        for ended in &ended {
            self.book(ended, &mut batch, &mut acks, traces, now);
        }
        for (tag, key, reason) in &unreadable {
            tracing::error!(
                key,
                reason,
                "A message can't be read and goes to the dead letters."
            );
            batch.dead.push(unreadable_row(key, reason, now));
            acks.push((*tag, Settlement::Ack));
        }
        let new = batch.pending.len();
        batch.pending.extend(again);
        let due = batch.retry.iter().map(|row| row.due).min();
        let batch = Arc::new(batch);
        self.store_batch(&batch).await?;
        self.shared.inbox.served(batch.taken.len());
        let mut tell = Arc::try_unwrap(batch)
            .map_or_else(|shared| shared.pending.clone(), |batch| batch.pending);
        tell.truncate(new);
        Ok(Finished {
            ended,
            unreadable: unreadable.len() as u64,
            counts,
            started,
            acks,
            tell,
            due,
            claim,
        })
    }

    /// Decides how each job ends, in order: a duplicate ends as the one it equals.
    fn end_all(&mut self, jobs: Vec<Job>, batch: &mut Batch, now: Timestamp) -> Vec<Ended> {
        let mut all = Vec::with_capacity(jobs.len());
        let mut ends: HashMap<usize, usize> = HashMap::with_capacity(jobs.len());
        for mut job in jobs {
            let (index, seen) = (job.index, std::mem::take(&mut job.seen));
            let ended = self.end_one(
                job,
                |index| ends.get(&index).map(|at: &usize| &all[*at]),
                now,
            );
            if let (Some(policy), Some(_)) = (&self.shared.flow.nodupe, ended.fate()) {
                let holder = &ended.inner.item.key;
                let expires = later(now, policy.ttl);
                batch.seen.extend(seen.into_iter().map(|key| Seen {
                    key,
                    holder: holder.clone(),
                    expires,
                }));
            }
            ends.insert(index, all.len());
            all.push(ended);
        }
        for delivery in self.floor.sweep() {
            tracing::error!(
                key = delivery.item().key,
                "A message was dropped while it was worked on; it is tried again."
            );
            let failure = Failure::Plugin("the lane working on it ended unexpectedly".into());
            let together = if delivery.is_alone() { 1 } else { 2 };
            all.push(self.failed(delivery, &failure, together, now));
        }
        all
    }

    fn end_one<'a>(
        &self,
        job: Job,
        earlier: impl Fn(usize) -> Option<&'a Ended>,
        now: Timestamp,
    ) -> Ended {
        let Job {
            delivery,
            end,
            tell,
            ..
        } = job;
        let mut ended = match end {
            None => delivery.posted(),
            Some(JobEnd::Rejected(rejection)) => delivery.rejected(rejection),
            Some(JobEnd::Failed(failure, together)) => {
                self.failed(delivery, &failure, together, now)
            }
            Some(JobEnd::Wait(due)) => held(delivery, due, "younger than `fileAgeMin`"),
            Some(JobEnd::Held(due, reason)) => {
                match retry::wait(&self.shared.flow.retry, &delivery, due, now) {
                    Ok(due) => held(delivery, due, &reason),
                    Err(given_up) => delivery.dead(format!("{reason} ({given_up})")),
                }
            }
            Some(JobEnd::Dead(reason)) => delivery.dead(reason),
            Some(JobEnd::Duplicate(index)) => match earlier(index).map(|ended| &ended.end) {
                Some(End::Settled(_)) => {
                    let reason = "duplicate: seen in the same batch".to_owned();
                    delivery.rejected(Rejection { code: 304, reason })
                }
                Some(End::Retrying(..) | End::Known) => delivery.known(),
                Some(End::Back) | None => delivery.back(),
            },
            Some(JobEnd::Same(index)) => match earlier(index).map(|ended| &ended.end) {
                Some(End::Back) | None => delivery.back(),
                Some(_) => delivery.known(),
            },
            Some(JobEnd::Known) => delivery.known(),
            Some(JobEnd::Back) => delivery.back(),
        };
        ended.tell = tell;
        ended
    }

    fn failed(
        &self,
        delivery: Delivery,
        failure: &Failure,
        together: usize,
        now: Timestamp,
    ) -> Ended {
        let random = self.shared.clock.random();
        match retry::next(
            &self.shared.flow.retry,
            &delivery,
            failure,
            together,
            now,
            random,
        ) {
            Next::Again(again) => delivery.retrying(again, failure),
            Next::Dead(reason) => Ended {
                told: matches!(failure, Failure::Plugin(_)),
                ..delivery.dead(reason)
            },
        }
    }

    /// Books one end: rows for the store, an ack for the queue.
    fn book(
        &self,
        ended: &Ended,
        batch: &mut Batch,
        acks: &mut Vec<(u64, Settlement)>,
        traces: bool,
        now: Timestamp,
    ) {
        let inner = &ended.inner;
        let mut settlement = Settlement::Ack;
        match &ended.end {
            End::Settled(fate) => {
                if matches!(inner.origin, Origin::Retry { .. }) {
                    batch.done.push(inner.item.key.clone());
                }
                if let Fate::Dead(reason) = fate {
                    batch.dead.push(self.dead_row(ended, reason, now));
                }
            }
            End::Retrying(again, failure) => {
                batch
                    .retry
                    .push(self.retry_row(ended, *again, failure.to_string()));
            }
            End::Known => {}
            End::Back => {
                let again = Again {
                    due: now,
                    attempt: inner.item.attempt,
                    alone: inner.alone,
                };
                let row = || self.retry_row(ended, again, "taken up, but not finished".into());
                match inner.origin {
                    Origin::Queue { .. } if !traces => settlement = Settlement::Release,
                    // An origin may forget what it has handed out.
                    Origin::Queue { .. } | Origin::Gather { .. } | Origin::Inbox { .. } => {
                        batch.retry.push(row());
                    }
                    Origin::Retry { .. } => {}
                }
            }
        }
        if let Origin::Queue { tag } = inner.origin {
            acks.push((tag, settlement));
        }
        if let Origin::Inbox { row, .. } = inner.origin {
            batch.taken.push(row);
        }
        self.book_telling(ended, batch);
    }

    /// Books whom to tell: the callback that gathered it, and those that downloaded it.
    fn book_telling(&self, ended: &Ended, batch: &mut Batch) {
        let Some(fate) = ended.fate() else { return };
        let gatherer = match &ended.inner.origin {
            Origin::Gather { callback } => Some(*callback),
            Origin::Inbox { submitter, .. } => self.shared.callback_named(submitter),
            Origin::Retry {
                gatherer: Some(name),
            } => self.shared.callback_named(name),
            _ => None,
        };
        let gathered = gatherer.map(|index| (index, &ended.inner.item));
        let downloaded = ended.tell.iter().map(|(index, item)| (*index, item));
        for (index, item) in gathered.into_iter().chain(downloaded) {
            let callback = &self.shared.names[index];
            let known =
                |pending: &Pending| pending.callback == *callback && pending.key == item.key;
            if !tells(&self.abilities, index) || batch.pending.iter().rev().take(4).any(known) {
                continue;
            }
            batch.pending.push(Pending {
                callback: callback.clone(),
                key: item.key.clone(),
                message: item.message.clone(),
                attempt: item.attempt,
                fate: fate.clone(),
                tries: 0,
            });
        }
    }

    fn gatherer_name(&self, origin: &Origin) -> Option<String> {
        match origin {
            Origin::Queue { .. } => None,
            Origin::Gather { callback } => self.shared.names.get(*callback).cloned(),
            Origin::Inbox { submitter, .. } => Some(submitter.clone()),
            Origin::Retry { gatherer } => gatherer.clone(),
        }
    }

    fn retry_row(&self, ended: &Ended, again: Again, reason: String) -> RetryRow {
        let inner = &ended.inner;
        RetryRow {
            key: inner.item.key.clone(),
            gatherer: self.gatherer_name(&inner.origin),
            message: inner.item.message.clone(),
            attempt: again.attempt,
            alone: again.alone,
            born: inner.born.as_millisecond(),
            due: again.due.as_millisecond(),
            reason,
        }
    }

    fn dead_row(&self, ended: &Ended, reason: &str, now: Timestamp) -> DeadRow {
        let inner = &ended.inner;
        DeadRow {
            key: inner.item.key.clone(),
            gatherer: self.gatherer_name(&inner.origin),
            message: Some(inner.item.message.clone()),
            attempt: inner.item.attempt.saturating_add(1),
            born: inner.born.as_millisecond(),
            died: now.as_millisecond(),
            reason: reason.to_owned(),
        }
    }

    /// Commits, and waits for a store that can't be written: nothing may be acked before.
    async fn store_batch(&mut self, batch: &Arc<Batch>) -> Result<(), Error> {
        let mut step = 0;
        loop {
            let Err(error) = self.shared.store.commit(Arc::clone(batch)).await else {
                return Ok(());
            };
            tracing::error!(%error, "Outcomes can't be stored; nothing is acknowledged.");
            let failure = Failure::temporary(error.to_string());
            let wait = self
                .shared
                .trouble_delay(Trouble::Connection, step, &failure);
            step += 1;
            self.shared.paused(&error.to_string(), wait);
            if self.once || !self.wait(wait).await {
                return Err(error.into());
            }
        }
    }
}

/// Whether the callback of this number wants to know how messages ended.
pub(crate) fn tells(abilities: &[Ability], index: usize) -> bool {
    abilities
        .get(index)
        .is_some_and(|ability| ability.entry_points.settled)
}

fn unreadable_row(key: &str, reason: &str, now: Timestamp) -> DeadRow {
    DeadRow {
        key: key.to_owned(),
        gatherer: None,
        message: None,
        attempt: 1,
        born: now.as_millisecond(),
        died: now.as_millisecond(),
        reason: format!("the message can't be read: {reason}"),
    }
}

/// A delivery that comes again at `due` (milliseconds) as if for the first time.
fn held(delivery: Delivery, due: i64, reason: &str) -> Ended {
    let again = Again {
        due: from_millis(due),
        attempt: delivery.item().attempt,
        alone: delivery.is_alone(),
    };
    delivery.retrying(again, &Failure::temporary(reason))
}
