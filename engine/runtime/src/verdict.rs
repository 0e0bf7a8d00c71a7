//! Carrying out what callbacks decide.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::later;
use crate::content::{Body, Finished, Written};
use crate::filter;
use crate::job::{Job, JobEnd, Live, Meta};
use crate::ports::{Event, Failure, Item, NewMessage, Rejection, Verdict};
use crate::shared::Shared;
use crate::work::Entry;
use crate::{edit, post};

/// A callback that can't wait shorter would keep the flow busy with nothing else.
const WAIT_MIN: Duration = Duration::from_millis(100);
/// A callback that wants to wait longer is asked again then.
const WAIT_MAX: Duration = Duration::from_secs(24 * 3600);

/// The call the verdicts come from.
pub(crate) struct Stage<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) callback: usize,
    pub(crate) entry_point: &'static str,
    pub(crate) elapsed: Duration,
}

/// What goes on after a call.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) entries: Vec<Entry>,
    pub(crate) derived: u64,
    pub(crate) bytes: u64,
}

/// Carries out one verdict per entry. What was written and is in none of them is gone.
pub(crate) fn apply_verdicts(
    stage: &Stage<'_>,
    jobs: &mut [Job],
    entries: Vec<Entry>,
    verdicts: Vec<Verdict>,
    mut finished: HashMap<u64, Finished>,
) -> Outcome {
    let mut outcome = Outcome::default();
    for ((number, live), verdict) in entries.into_iter().zip(verdicts) {
        let job = &mut jobs[number];
        stage.judged(&live, &verdict);
        let kept = match verdict {
            Verdict::Keep => Ok(vec![live]),
            Verdict::Update(edits) => stage.update(edits, live),
            Verdict::Reject(rejection) => {
                reject(stage.shared, job, &live, rejection, stage.entry_point);
                Ok(Vec::new())
            }
            Verdict::Fail(failure) => Err(failure),
            Verdict::Replace(made) => stage.make(job, &live, made, &mut finished),
            Verdict::Wait { after, reason } => {
                let due = later(stage.shared.now(), after.clamp(WAIT_MIN, WAIT_MAX));
                job.finish(JobEnd::Held(due, reason));
                Ok(Vec::new())
            }
            Verdict::Add(made) => stage.make(job, &live, made, &mut finished).map(|mut made| {
                made.insert(0, live);
                made
            }),
        };
        match kept {
            Ok(lives) => outcome
                .entries
                .extend(lives.into_iter().map(|live| (number, live))),
            Err(failure) => job.finish(JobEnd::Failed(failure, 1)),
        }
    }
    // The failure of one message is that of its whole job.
    outcome
        .entries
        .retain(|(number, _)| jobs[*number].is_open());
    for (_, live) in &outcome.entries {
        if let (true, Body::Stored(stored)) = (live.meta.fresh, &live.meta.body) {
            outcome.bytes += stored.size;
        }
        outcome.derived += u64::from(live.meta.fresh);
    }
    for (_, live) in &mut outcome.entries {
        live.meta.fresh = false;
    }
    outcome
}

/// A message goes no further.
pub(crate) fn reject(
    shared: &Shared,
    job: &mut Job,
    live: &Live,
    rejection: Rejection,
    stage: &str,
) {
    shared.tell(|| Event::Rejected {
        message: &live.item.message,
        rejection: &rejection,
        stage,
    });
    job.note_rejected(rejection);
}

impl Stage<'_> {
    fn judged(&self, live: &Live, verdict: &Verdict) {
        if !self.shared.observer.wants_messages() {
            return;
        }
        let words;
        let verdict = match verdict {
            Verdict::Keep => "keep",
            Verdict::Update(_) => "update",
            Verdict::Reject(_) => "reject",
            Verdict::Fail(_) => "fail",
            Verdict::Replace(made) => {
                words = format!("replace by {}", made.len());
                &words
            }
            Verdict::Add(made) => {
                words = format!("add {}", made.len());
                &words
            }
            Verdict::Wait { .. } => "wait",
        };
        self.shared.observer.event(&Event::Judged {
            message: &live.item.message,
            callback: &self.shared.names[self.callback],
            entry_point: self.entry_point,
            verdict,
            elapsed: self.elapsed,
        });
    }

    fn update(&self, edits: Vec<crate::ports::Edit>, mut live: Live) -> Result<Vec<Live>, Failure> {
        edit::apply(edits, &mut live)?;
        Ok(vec![live])
    }

    /// Makes messages in the place of, or beside, `parent`.
    fn make(
        &self,
        job: &mut Job,
        parent: &Live,
        made: Vec<NewMessage>,
        finished: &mut HashMap<u64, Finished>,
    ) -> Result<Vec<Live>, Failure> {
        let mut lives = Vec::with_capacity(made.len());
        for NewMessage {
            mut message,
            content,
        } in made
        {
            if message.base_url.is_empty() {
                message.base_url.clone_from(&parent.item.message.base_url);
            }
            post::drop_password(&mut message.base_url);
            // Keys are counted for unwanted messages as well, so that a redo numbers the same.
            let key = job.next_key();
            let item = Item {
                id: self.shared.id(),
                key,
                attempt: parent.item.attempt,
                message: Arc::new(message),
                location: None,
                other: None,
            };
            let mut live = Live {
                item,
                meta: Meta {
                    derived: true,
                    fresh: true,
                    ..Meta::new(parent.meta.born)
                },
            };
            match content {
                Some(handle) => self.attach(&mut live, parent, handle, finished)?,
                None => {
                    if let Err(rejection) = self.judge_bare(job, &mut live) {
                        reject(self.shared, job, &live, rejection, self.entry_point);
                        continue;
                    }
                }
            }
            lives.push(live);
        }
        Ok(lives)
    }

    /// Ties content written in this call to the message made for it.
    fn attach(
        &self,
        live: &mut Live,
        parent: &Live,
        handle: u64,
        finished: &mut HashMap<u64, Finished>,
    ) -> Result<(), Failure> {
        let found = finished
            .remove(&handle)
            .filter(|found| found.item == parent.item.id);
        let Some((stored, derivation)) = found.and_then(|found| match found.written {
            // Only downloads are held, or thrown away.
            Written::Held(_) | Written::Dropped { .. } => None,
            Written::Stored(stored) => Some((stored, found.derivation?)),
        }) else {
            return Err(Failure::Plugin(format!(
                "content {handle} was not derived from this message"
            )));
        };
        let message = Arc::make_mut(&mut live.item.message);
        message.size = Some(stored.size);
        message.identity = stored.identity.clone();
        live.item.location = Some(derivation.placed.location);
        live.meta.root = derivation.placed.root;
        live.meta.hash = Some(derivation.hash);
        live.meta.body = Body::Stored(stored);
        Ok(())
    }

    /// Whether a message made without content is wanted. Before the work the flow's own rules
    /// decide, and say where its content will go; after it those of the callback do.
    fn judge_bare(&self, job: &Job, live: &mut Live) -> Result<(), Rejection> {
        let flow = &self.shared.flow;
        let message = &live.item.message;
        if self.entry_point == "after_work" {
            let filters = flow
                .callbacks
                .get(self.callback)
                .and_then(|spec| spec.filters.as_ref());
            return filters.map_or(Ok(()), |filters| {
                filter::rules(filters, message).map(|_| ())
            });
        }
        let found = filter::rules(&flow.filters, message)?;
        if self.shared.places.is_anywhere() {
            let (places, born) = (&self.shared.places, job.delivery.born());
            let placed = places.place(&found, message, &self.shared.local, born)?;
            live.item.location = Some(placed.location);
            live.meta.root = placed.root;
        }
        Ok(())
    }
}
