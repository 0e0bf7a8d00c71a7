//! Stopping at messages, and telling of them, for a person who looks into a flow.
//!
//! Only where [`Options::debugger`](crate::Options) is set; otherwise each stage of a pass asks once
//! whether it is, and that is all it costs. A flow that is debugged ends each pass before the next
//! one begins, so that what a person sees is in order.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crate::content::{CallContent, Identify};
use crate::edit;
use crate::job::{Job, JobEnd, Live};
use crate::ports::{Content, Event, Failure, Outgoing, Rejection, Step, Stop, Worked};
use crate::shared::Shared;
use crate::work::{Entry, Worker, source};
use crate::{post, verdict};

/// How a message goes on after a stop.
enum Way {
    On,
    Rejected(Rejection),
    Ended(JobEnd),
}

impl Shared {
    /// Whether somebody wants to look at messages before this stage.
    pub(crate) fn stops_at(&self, stage: &str, callback: Option<usize>) -> bool {
        let name = callback.and_then(|index| self.names.get(index));
        let debugger = self.debugger.as_ref();
        debugger.is_some_and(|debugger| debugger.wants(stage, name.map(String::as_str)))
    }

    /// Stops at each open message of `jobs`.
    pub(crate) async fn stop_at(&self, stage: &str, callback: Option<usize>, jobs: &mut [Job]) {
        if !self.stops_at(stage, callback) {
            return;
        }
        for job in jobs.iter_mut().filter(|job| job.is_open()) {
            for mut live in std::mem::take(&mut job.live) {
                match self.ask(stage, callback, &mut live).await {
                    Way::On if job.is_open() => job.live.push(live),
                    Way::On => {}
                    Way::Rejected(rejection) => verdict::reject(self, job, &live, rejection, stage),
                    Way::Ended(end) => job.finish(end),
                }
            }
            job.close_if_rejected();
        }
    }

    /// The same for messages that were taken out of their jobs.
    pub(crate) async fn stop_at_entries(
        &self,
        stage: &str,
        callback: Option<usize>,
        jobs: &mut [Job],
        entries: Vec<Entry>,
    ) -> Vec<Entry> {
        if !self.stops_at(stage, callback) {
            return entries;
        }
        let mut left = Vec::with_capacity(entries.len());
        for (number, mut live) in entries {
            let job = &mut jobs[number];
            if !job.is_open() {
                continue;
            }
            match self.ask(stage, callback, &mut live).await {
                Way::On => left.push((number, live)),
                Way::Rejected(rejection) => verdict::reject(self, job, &live, rejection, stage),
                Way::Ended(end) => job.finish(end),
            }
        }
        left.retain(|(number, _)| jobs[*number].is_open());
        left
    }

    /// Stops before a callback is asked for messages; says whether to ask it.
    pub(crate) async fn stop_before(&self, stage: &str, callback: usize) -> bool {
        if !self.stops_at(stage, Some(callback)) {
            return true;
        }
        let Some(debugger) = &self.debugger else {
            return true;
        };
        let stop = Stop {
            stage,
            callback: self.names.get(callback).map(String::as_str),
            item: None,
            content: None,
            note: None,
        };
        matches!(debugger.stop(stop).await, Step::Go)
    }

    async fn ask(&self, stage: &str, callback: Option<usize>, live: &mut Live) -> Way {
        let Some(debugger) = &self.debugger else {
            return Way::On;
        };
        let mut note = None;
        loop {
            let sources = HashMap::from([(live.item.id, source(&live.item, &live.meta))]);
            let content: Arc<dyn Content> = CallContent::new(
                &self.local,
                &self.flow,
                &self.observer,
                usize::MAX,
                Identify::Never,
                sources,
            );
            let stop = Stop {
                stage,
                callback: callback
                    .and_then(|index| self.names.get(index))
                    .map(String::as_str),
                item: Some(&live.item),
                content: Some(content),
                note: note.take(),
            };
            match debugger.stop(stop).await {
                Step::Go => return Way::On,
                Step::Reject(rejection) => return Way::Rejected(rejection),
                Step::Fail(failure) => return Way::Ended(JobEnd::Failed(failure, 1)),
                Step::Back => return Way::Ended(JobEnd::Back),
                Step::Edit(edits) => {
                    let before = live.item.clone();
                    if let Err(failure) = edit::apply(edits, live) {
                        live.item = before;
                        note = Some(failure.to_string());
                    }
                }
            }
        }
    }

    /// Stops at a message that is about to be posted, as it will be.
    pub(crate) async fn stop_at_post(
        &self,
        live: Live,
        outgoing: &mut Outgoing,
    ) -> Result<(), JobEnd> {
        if !self.stops_at("post", None) {
            return Ok(());
        }
        let mut live = live;
        live.item.message = outgoing.message.clone();
        match self.ask("post", None, &mut live).await {
            Way::On => {
                let old = post::topic_of(&self.flow, &outgoing.message);
                if outgoing.topic == old {
                    outgoing.topic = post::topic_of(&self.flow, &live.item.message);
                }
                outgoing.message = live.item.message;
                Ok(())
            }
            Way::Rejected(rejection) => Err(JobEnd::Rejected(rejection)),
            Way::Ended(end) => Err(end),
        }
    }

    /// Shows how what is in hand ends, before that is stored and told.
    pub(crate) async fn stop_at_settle(&self, jobs: &[Job]) {
        let Some(debugger) = self.debugger.as_ref() else {
            return;
        };
        if !self.stops_at("settle", None) {
            return;
        }
        for job in jobs {
            let stop = Stop {
                stage: "settle",
                callback: None,
                item: Some(job.delivery.item()),
                content: None,
                note: Some(ending(job.end.as_ref())),
            };
            // Nothing is left to be decided, so whatever is answered, it ends so.
            let _ = debugger.stop(stop).await;
        }
    }
}

impl Worker<'_> {
    /// Tells what a callback that moves content said.
    pub(crate) fn worked(
        &self,
        index: usize,
        entry_point: &str,
        live: &Live,
        answer: &Worked,
        started: Instant,
    ) {
        self.shared.tell(|| Event::Judged {
            message: &live.item.message,
            callback: &self.shared.names[index],
            entry_point,
            verdict: match answer {
                Worked::Done(_) => "done",
                Worked::Reject(_) => "reject",
                Worked::Fail(_) => "fail",
            },
            elapsed: started.elapsed(),
        });
    }
}

fn ending(end: Option<&JobEnd>) -> String {
    let failed = |failure: &Failure| format!("failed: {failure}");
    match end {
        None => "done".into(),
        Some(JobEnd::Rejected(rejection)) => {
            format!("rejected: {} ({})", rejection.reason, rejection.code)
        }
        Some(JobEnd::Failed(failure, _)) => failed(failure),
        Some(JobEnd::Wait(_)) => "waits until it is old enough".into(),
        Some(JobEnd::Held(_, reason)) => format!("waits: {reason}"),
        Some(JobEnd::Dead(reason)) => format!("is given up: {reason}"),
        Some(JobEnd::Duplicate(_) | JobEnd::Same(_)) => "the same as one before it".into(),
        Some(JobEnd::Known) => "known already".into(),
        Some(JobEnd::Back) => "goes back to its origin".into(),
    }
}
