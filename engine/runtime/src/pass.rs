//! One pass: filter, suppress, work, commit. Gathering, posting and settling have their own modules.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crate::clock::later;
use crate::content::{Body, Commit, Place, Refused, commit_all, sync_all};
use crate::delivery::{Delivery, Origin};
use crate::error::Error;
use crate::filter::{self, Age};
use crate::job::{Job, JobEnd, Live};
use crate::nodupe;
use crate::ports::{Event, Failure, Item, Location, PassCounts, Rejection};
use crate::state::Overlay;
use crate::store::Renewal;
use crate::verdict::{self, Stage, apply_verdicts};
use crate::work::{Report, fail_all, matching, put_entries, sub_batches, take_entries};
use crate::worker::Running;

/// What is in hand.
pub(crate) struct Pass {
    pub(crate) jobs: Vec<Job>,
    pub(crate) overlay: Arc<Overlay>,
    pub(crate) counts: PassCounts,
    /// Deliveries of the queue that can't be read: tag, key and why.
    pub(crate) unreadable: Vec<(u64, String, String)>,
    /// Entries of nodupe that were hit.
    pub(crate) renewed: Vec<Renewal>,
}

impl Pass {
    fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.unreadable.is_empty()
    }

    pub(crate) fn add(&mut self, delivery: Delivery) -> &mut Job {
        let index = self.jobs.len();
        self.jobs.push(Job::new(delivery, index));
        &mut self.jobs[index]
    }

    /// Room for so many more.
    pub(crate) fn room(&self, batch: usize) -> usize {
        batch.saturating_sub(self.jobs.len() + self.unreadable.len())
    }
}

impl Running {
    /// One pass. Says whether there was anything in hand.
    pub(crate) async fn pass(&mut self) -> Result<bool, Error> {
        let started = Instant::now();
        self.shared.local.next_pass();
        let overlay = if self.options.dry_run {
            Arc::clone(&self.dry_overlay)
        } else {
            Arc::default()
        };
        let mut pass = Pass {
            jobs: Vec::new(),
            overlay,
            counts: PassCounts::default(),
            unreadable: Vec::new(),
            renewed: Vec::new(),
        };
        self.gather(&mut pass).await?;
        let busy = !pass.is_empty();
        if busy {
            self.filter(&mut pass).await;
        }
        if self.options.dry_run {
            self.put_down(pass);
        } else {
            if busy {
                self.suppress(&mut pass).await?;
                self.work(&mut pass).await;
                self.commit(&mut pass).await;
                self.post(&mut pass).await;
            }
            self.settle(pass, started).await?;
        }
        match self.stop.take() {
            Some(error) => Err(error),
            None => Ok(busy),
        }
    }

    /// Ages, rules, placement, then `after_accept`.
    async fn filter(&mut self, pass: &mut Pass) {
        for job in pass.jobs.iter_mut().filter(|job| job.is_open()) {
            self.filter_one(job);
        }
        let abilities = Arc::clone(&self.lanes.abilities);
        let accepting = abilities
            .iter()
            .enumerate()
            .filter(|(_, a)| a.entry_points.after_accept);
        for (index, _) in accepting {
            let jobs = std::mem::take(&mut pass.jobs);
            let most = jobs.len().max(1);
            for mut chunk in sub_batches(jobs, most) {
                self.after_accept(&mut chunk, &pass.overlay, index).await;
                pass.jobs.append(&mut chunk);
            }
        }
    }

    fn filter_one(&self, job: &mut Job) {
        let flow = &self.shared.flow;
        let tried = matches!(job.delivery.origin(), Origin::Retry { .. });
        let Some(live) = job.live.first_mut() else {
            return;
        };
        match filter::ages(flow, &live.item.message, tried, self.shared.now()) {
            Age::Fine => {}
            Age::TooOld(rejection) => return self.reject(job, rejection),
            Age::TooYoung { due } => return job.finish(JobEnd::Wait(due)),
        }
        let message = &live.item.message;
        let rule = match filter::rules(&flow.filters, message) {
            Err(rejection) => return self.reject(job, rejection),
            Ok(found) => {
                if flow.download {
                    let path = message.rename.as_deref().unwrap_or(&message.rel_path);
                    let here = &self.shared.local.here;
                    match found.place(message, path, here, live.meta.born) {
                        Ok(placed) => {
                            live.item.location = Some(placed.location);
                            live.meta.root = placed.root;
                        }
                        Err(rejection) => return self.reject(job, rejection),
                    }
                }
                found.rule
            }
        };
        self.shared.tell(|| Event::Accepted {
            message: &live.item.message,
            rule: rule.map(|rule| rule.text.as_str()),
            location: live.item.location.as_ref(),
        });
    }

    fn reject(&self, job: &mut Job, rejection: Rejection) {
        self.shared.tell(|| Event::Rejected {
            message: &job.delivery.item().message,
            rejection: &rejection,
            stage: "filter",
        });
        job.finish(JobEnd::Rejected(rejection));
    }

    async fn after_accept(&mut self, jobs: &mut [Job], overlay: &Arc<Overlay>, index: usize) {
        let entries = take_entries(jobs);
        if entries.is_empty() {
            return;
        }
        let Some(lane) = self.lanes.first() else {
            jobs.iter_mut().for_each(|job| job.finish(JobEnd::Back));
            return;
        };
        let started = Instant::now();
        let state = self.shared.state(index, overlay);
        let (numbers, items): (Vec<_>, Vec<Item>) = entries
            .into_iter()
            .map(|(number, live)| ((number, live.meta), live.item))
            .unzip();
        let callback = &mut lane.callbacks[index];
        let answer = callback.after_accept(&items, state).await;
        let answer = matching(answer, items.len(), callback.name());
        let entries: Vec<_> = numbers
            .into_iter()
            .zip(items)
            .map(|((number, meta), item)| (number, Live { item, meta }))
            .collect();
        match answer {
            Ok(verdicts) => {
                let stage = Stage {
                    shared: &self.shared,
                    callback: index,
                    entry_point: "after_accept",
                    elapsed: started.elapsed(),
                };
                let outcome = apply_verdicts(&stage, jobs, entries, verdicts, HashMap::new());
                put_entries(jobs, outcome.entries);
            }
            Err(failure) => {
                self.note_plugin_failure(&failure);
                fail_all(jobs, &entries, &failure);
            }
        }
    }

    /// Ends what nodupe has seen. What passes is remembered once it settles.
    async fn suppress(&mut self, pass: &mut Pass) -> Result<(), Error> {
        let Some(policy) = self.shared.flow.nodupe else {
            return Ok(());
        };
        let now = self.shared.now();
        let open = pass.jobs.iter().filter(|job| job.is_open());
        let keys: Vec<Vec<u8>> = open
            .flat_map(|job| &job.live)
            .map(|live| nodupe::key(&policy, &live.item.message))
            .collect();
        let seen = self
            .shared
            .store
            .seen(keys.clone(), now.as_millisecond())
            .await?;
        let mut found = keys.into_iter().zip(seen);
        let mut in_hand: HashMap<Vec<u8>, usize> = HashMap::new();
        let expires = later(now, policy.ttl);
        for number in 0..pass.jobs.len() {
            let job = &mut pass.jobs[number];
            if !job.is_open() {
                continue;
            }
            let single = job.live.len() == 1;
            for live in std::mem::take(&mut job.live) {
                let (key, seen) = found
                    .next()
                    .expect("one answer for each message asked about");
                let end = match in_hand.get(&key) {
                    Some(first) if *first != number => Some(JobEnd::Duplicate(*first)),
                    Some(_) => Some(JobEnd::Rejected(duplicate())),
                    None => known_by(job, seen),
                };
                let Some(end) = end else {
                    in_hand.insert(key.clone(), number);
                    job.seen.push(key);
                    job.live.push(live);
                    continue;
                };
                pass.renewed.push(Renewal { key, expires });
                pass.counts.duplicates += 1;
                if single {
                    let rejection = duplicate();
                    self.shared.tell(|| Event::Rejected {
                        message: &live.item.message,
                        rejection: &rejection,
                        stage: "nodupe",
                    });
                    job.finish(end);
                } else {
                    verdict::reject(&self.shared, job, &live, duplicate(), "nodupe");
                }
            }
            job.close_if_rejected();
        }
        Ok(())
    }

    /// Fetches and transforms, in lanes.
    async fn work(&mut self, pass: &mut Pass) {
        let abilities = Arc::clone(&self.lanes.abilities);
        let works = self.shared.flow.download
            || abilities
                .iter()
                .any(|ability| ability.entry_points.after_work || ability.entry_points.send);
        if !works {
            return;
        }
        let (open, ended): (Vec<Job>, Vec<Job>) = std::mem::take(&mut pass.jobs)
            .into_iter()
            .partition(Job::is_open);
        let (
            done,
            Report {
                counts,
                failed_calls,
            },
        ) = self.lanes.work(&self.shared, &pass.overlay, open).await;
        pass.jobs = ended;
        pass.jobs.extend(done);
        pass.jobs.sort_by_key(|job| job.index);
        pass.counts.fetched += counts.fetched;
        pass.counts.derived += counts.derived;
        pass.counts.bytes += counts.bytes;
        for failure in &failed_calls {
            self.note_plugin_failure(failure);
        }
        if pass.counts.fetched > 0 {
            self.credentials_work();
        }
    }

    /// Gives the content of what survived its final names, flushed.
    async fn commit(&mut self, pass: &mut Pass) {
        let mut commits = Vec::new();
        let mut whose = Vec::new();
        for (number, job) in pass.jobs.iter_mut().enumerate() {
            for (place, live) in job.live.iter_mut().enumerate() {
                if let Some(commit) = self.to_commit(live) {
                    whose.push((number, place));
                    commits.push(commit);
                }
            }
        }
        if commits.is_empty() {
            return;
        }
        let done = self.commit_files(commits).await;
        match done {
            Ok(done) => {
                for ((number, place), result) in whose.into_iter().zip(done) {
                    self.committed(&mut pass.jobs[number], place, result);
                }
                for job in &mut pass.jobs {
                    job.live.retain(|live| !live.meta.refused);
                    job.close_if_rejected();
                }
            }
            Err(failure) => {
                for (number, _) in whose {
                    pass.jobs[number].finish(JobEnd::Failed(failure.clone(), 1));
                }
            }
        }
    }

    fn to_commit(&self, live: &mut Live) -> Option<Commit> {
        if !matches!(live.meta.body, Body::Stored(_)) {
            return None;
        }
        let placed = live.placed()?;
        let Body::Stored(stored) = std::mem::take(&mut live.meta.body) else {
            return None;
        };
        let place = match live.meta.hash.clone() {
            Some(hash) => Place::Beside { hash },
            None if self.shared.local.overwrite => Place::Replace,
            None => Place::Keep,
        };
        Some(Commit {
            stored,
            placed,
            place,
        })
    }

    async fn commit_files(
        &mut self,
        commits: Vec<Commit>,
    ) -> Result<Vec<Result<Location, Refused>>, Failure> {
        let flush = self.shared.flow.fsync;
        if flush {
            sync_all(
                commits
                    .iter()
                    .map(|commit| commit.stored.path().to_owned())
                    .collect(),
            )
            .await?;
        }
        let local = Arc::clone(&self.shared.local);
        tokio::task::spawn_blocking(move || commit_all(&local, commits, flush))
            .await
            .map_err(|error| Failure::temporary(error.to_string()))?
    }

    fn committed(&self, job: &mut Job, place: usize, result: Result<Location, Refused>) {
        let Some(live) = job.live.get_mut(place) else {
            return;
        };
        match result {
            Ok(location) => {
                let path = location.path();
                if live.meta.derived {
                    self.shared.tell(|| Event::Derived {
                        message: &live.item.message,
                        from: &job.delivery.item().message,
                        path: Some(&path),
                        bytes: live.item.message.size.unwrap_or_default(),
                    });
                }
                live.item.location = Some(location);
                live.meta.body = Body::Here(path);
            }
            Err(Refused::Rejected(rejection)) => {
                live.meta.refused = true;
                self.shared.tell(|| Event::Rejected {
                    message: &live.item.message,
                    rejection: &rejection,
                    stage: "work",
                });
                job.note_rejected(rejection);
            }
            Err(Refused::Failed(failure)) => job.finish(JobEnd::Failed(failure, 1)),
        }
    }

    /// Ends a dry run's pass: nothing happened.
    fn put_down(&mut self, pass: Pass) {
        self.totals.gathered += pass.counts.gathered;
        for job in pass.jobs {
            if matches!(job.end, Some(JobEnd::Rejected(_))) {
                self.totals.rejected += 1;
            }
            let _ = job.delivery.back();
        }
    }
}

fn duplicate() -> Rejection {
    Rejection {
        code: 304,
        reason: "duplicate: seen before within `nodupe_ttl`".into(),
    }
}

/// How a message ends that nodupe has seen, if it does.
fn known_by(job: &Job, seen: Option<(String, bool)>) -> Option<JobEnd> {
    let (holder, in_retry) = seen?;
    match job.delivery.origin() {
        // Messages from retry are the holders, or were in hand before.
        Origin::Retry { .. } => None,
        _ if in_retry => Some(JobEnd::Known),
        // Its own entry: it settled, and the queue was not told any more.
        Origin::Queue { .. } if holder == job.delivery.item().key => Some(JobEnd::Known),
        _ => Some(JobEnd::Rejected(duplicate())),
    }
}
