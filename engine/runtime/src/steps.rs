//! The order of downloads and operations on files.
//!
//! A pass without operations is worked on in one step. Otherwise each step is the operations next in
//! order, carried out one after the other, and the downloads that follow them, in lanes; what a step
//! wrote has its final names before the next one begins. So whatever the messages say one after the
//! other happens one after the other.
//!
//! This deliberately does not order anything across workers that share a queue.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::content::{Body, Refused};
use crate::fileop::{self, Outcome};
use crate::job::{Job, JobEnd, Live};
use crate::ports::Failure;
use crate::shared::Shared;
use crate::verdict;
use crate::worker::Running;

impl Running {
    /// Whether something in hand is an operation on files.
    pub(crate) fn operates(&self, jobs: &[Job]) -> bool {
        jobs.iter().any(|job| self.is_operation(job))
    }

    fn is_operation(&self, job: &Job) -> bool {
        let thrown_away = self.shared.flow.transfer.delete_destination;
        !thrown_away && self.shared.places.is_anywhere() && job.live.iter().any(is_operation)
    }

    /// Takes the next step from `rest`, and says whether it has to be worked on in order. Operations
    /// on files here are carried out already.
    pub(crate) async fn next_step(&mut self, rest: &mut VecDeque<Job>) -> (Vec<Job>, bool) {
        let mut step = Vec::new();
        if self.shared.places.is_there() {
            // They are sent like content, but one after the other.
            let ordered = rest.front().is_some_and(|job| self.is_operation(job));
            while let Some(job) = rest.pop_front_if(|job| self.is_operation(job) == ordered) {
                step.push(job);
            }
            return (step, ordered);
        }
        while let Some(job) = rest.pop_front_if(|job| self.is_operation(job)) {
            step.push(job);
        }
        let left = carry_out(&self.shared, &mut step).await;
        if left.is_empty() {
            while let Some(job) = rest.pop_front_if(|job| !self.is_operation(job)) {
                step.push(job);
            }
        }
        // What has to be fetched is, before what comes after it.
        for job in left.into_iter().rev() {
            rest.push_front(job);
        }
        (step, false)
    }

    /// Gives what a step wrote its final names, before the next one.
    pub(crate) async fn end_step(&mut self, done: &mut [Job], rest: &mut VecDeque<Job>) {
        if let Some(finisher) = self.finisher.as_mut() {
            finisher.commit(done).await;
        }
        // What comes later must not be overtaken by what was not done.
        if done.iter().any(|job| job.end == Some(JobEnd::Back)) {
            rest.iter_mut().for_each(|job| job.finish(JobEnd::Back));
        }
    }
}

/// Carries out the operations of `jobs`, in order. Returns those after the first whose content
/// has to be fetched, untouched.
async fn carry_out(shared: &Shared, jobs: &mut Vec<Job>) -> Vec<Job> {
    if jobs.is_empty() {
        return Vec::new();
    }
    let mut operations = Vec::new();
    let mut whose = Vec::new();
    for (number, job) in jobs.iter_mut().enumerate() {
        let mut place = 0;
        while place < job.live.len() {
            let live = &job.live[place];
            if !is_operation(live) {
                place += 1;
                continue;
            }
            match fileop::of(shared, live) {
                Ok(operation) => {
                    operations.push(operation);
                    whose.push((number, place));
                    place += 1;
                }
                Err(rejection) => {
                    let live = job.live.remove(place);
                    verdict::reject(shared, job, &live, rejection, "work");
                }
            }
        }
    }
    let (local, flush) = (Arc::clone(&shared.local), shared.flow.fsync);
    let count = operations.len();
    let done =
        tokio::task::spawn_blocking(move || fileop::carry_out(&local, operations, flush)).await;
    let outcomes = done.unwrap_or_else(|error| {
        let failure = Failure::temporary(error.to_string());
        let refused = || Outcome::Refused(Refused::Failed(failure.clone()));
        std::iter::repeat_with(refused).take(count).collect()
    });
    let stopped = whose
        .get(outcomes.len())
        .map_or(jobs.len(), |(number, _)| *number);
    let mut refused = Vec::new();
    for ((number, place), outcome) in whose.into_iter().zip(outcomes) {
        let live = &mut jobs[number].live[place];
        match outcome {
            Outcome::Done => {
                if let Some(location) = &live.item.location {
                    live.meta.body = Body::Here(location.path());
                }
            }
            Outcome::Download => live.meta.fetch = true,
            Outcome::Refused(why) => refused.push((number, place, why)),
        }
    }
    for (number, place, why) in refused.into_iter().rev() {
        let job = &mut jobs[number];
        match why {
            Refused::Failed(failure) => job.finish(JobEnd::Failed(failure, 1)),
            Refused::Rejected(rejection) if place < job.live.len() => {
                let live = job.live.remove(place);
                verdict::reject(shared, job, &live, rejection, "work");
            }
            Refused::Rejected(_) => {}
        }
    }
    jobs.iter_mut().for_each(Job::close_if_rejected);
    jobs.split_off(stopped)
}

/// Whether it is an operation that was not carried out yet.
fn is_operation(live: &Live) -> bool {
    live.item.message.file_op.is_some()
        && live.item.location.is_some()
        && !live.meta.fetch
        && matches!(live.meta.body, Body::Away)
}
