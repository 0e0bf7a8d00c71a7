//! Lanes: chains of callback instances that work at the same time.
//!
//! A flow with `concurrency: N` has up to N lanes, fewer where a callback's `start` says that fewer
//! instances may work. Lane 0 is started with the flow; it also gathers, filters and settles. The
//! others start when there is work for them. Messages for the same place always go to the same
//! lane, in order, and a lane works through its share in order, so what is written to one path is
//! written in the order of the messages.
//!
//! A lane that panics takes nothing with it: its messages fall on the [floor](crate::delivery::Floor)
//! and come back, and the lane is made anew.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use tokio::task::JoinSet;

use flow_config::Flow;

use crate::job::{Job, JobEnd};
use crate::ports::{Callback, CallbackFactory, Failure};
use crate::shared::{Ability, Shared};
use crate::state::Overlay;
use crate::work::{Report, work};

/// One chain of instances.
pub(crate) struct Lane {
    pub(crate) callbacks: Vec<Box<dyn Callback>>,
}

/// All lanes of a worker.
pub(crate) struct Lanes {
    factory: Arc<dyn CallbackFactory>,
    /// How many callbacks a chain has.
    length: usize,
    /// How many lanes may work.
    cap: usize,
    lanes: Vec<Option<Lane>>,
    /// What each callback can do, known once lane 0 was started.
    pub(crate) abilities: Arc<Vec<Ability>>,
}

impl Lanes {
    pub(crate) fn new(factory: Arc<dyn CallbackFactory>, shared: &Shared) -> Self {
        Self {
            factory,
            length: shared.flow.callbacks.len(),
            cap: shared.flow.concurrency.max(1),
            lanes: Vec::new(),
            abilities: Arc::default(),
        }
    }

    /// Lane 0; [`ensure`](Self::ensure) comes first.
    pub(crate) fn first(&mut self) -> Option<&mut Lane> {
        self.lanes.first_mut().and_then(Option::as_mut)
    }

    /// Starts lane 0, if it does not run.
    pub(crate) async fn ensure_first(&mut self, flow: &Flow) -> Result<(), Failure> {
        if self.first().is_some() {
            return Ok(());
        }
        let lane = self.start(0).await?;
        let abilities = lane
            .callbacks
            .iter()
            .map(|callback| Ability::of(&**callback, flow))
            .collect();
        self.abilities = Arc::new(abilities);
        if self.lanes.is_empty() {
            self.lanes.push(None);
        }
        self.lanes[0] = Some(lane);
        Ok(())
    }

    /// Makes and starts a chain.
    async fn start(&mut self, number: u32) -> Result<Lane, Failure> {
        let mut callbacks = Vec::with_capacity(self.length);
        for index in 0..self.length {
            let mut callback = self.factory.create(index, number).await?;
            if let Some(most) = callback.start().await? {
                self.cap = self
                    .cap
                    .min(usize::try_from(most).unwrap_or(usize::MAX))
                    .max(1);
            }
            callbacks.push(callback);
        }
        Ok(Lane { callbacks })
    }

    /// Starts lanes until `wanted` run, or as many as may; says how many do.
    async fn ensure(&mut self, wanted: usize) -> usize {
        let mut running = 1;
        while running < wanted.min(self.cap) {
            if self.lanes.len() == running {
                self.lanes.push(None);
            }
            if self.lanes[running].is_none() {
                let number = u32::try_from(running).unwrap_or(u32::MAX);
                match self.start(number).await {
                    Ok(lane) => self.lanes[running] = Some(lane),
                    Err(failure) => {
                        // The lanes there are do the work; the next pass tries again.
                        tracing::warn!(lane = running, reason = %failure, "A lane could not be started.");
                        break;
                    }
                }
            }
            running += 1;
        }
        running.min(self.cap)
    }

    /// Works on `jobs` in as many lanes as there are; they come back in their order.
    pub(crate) async fn work(
        &mut self,
        shared: &Arc<Shared>,
        overlay: &Arc<Overlay>,
        jobs: Vec<Job>,
    ) -> (Vec<Job>, Report) {
        let count = self.ensure(jobs.len()).await;
        if count == 1 {
            let abilities = Arc::clone(&self.abilities);
            let most = jobs.len().max(1);
            let Some(lane) = self.first() else {
                // It ended during this pass. What it had no chance to work on is not done.
                let mut jobs = jobs;
                jobs.iter_mut().for_each(|job| job.finish(JobEnd::Back));
                return (jobs, Report::default());
            };
            return work(shared, &abilities, overlay, lane, jobs, most).await;
        }
        let most = shared.flow.batch.div_ceil(count).max(1);
        let mut tasks = JoinSet::new();
        for (number, share) in split(jobs, count).into_iter().enumerate() {
            if share.is_empty() {
                continue;
            }
            let Some(mut lane) = self.lanes.get_mut(number).and_then(Option::take) else {
                continue;
            };
            let (shared, overlay) = (Arc::clone(shared), Arc::clone(overlay));
            let abilities = Arc::clone(&self.abilities);
            tasks.spawn(async move {
                let done = work(&shared, &abilities, &overlay, &mut lane, share, most).await;
                (number, lane, done)
            });
        }
        let mut jobs = Vec::new();
        let mut report = Report::default();
        while let Some(done) = tasks.join_next().await {
            match done {
                Ok((number, lane, (done, said))) => {
                    self.lanes[number] = Some(lane);
                    jobs.extend(done);
                    report.add(said);
                }
                Err(error) => {
                    tracing::error!(%error, "A lane ended unexpectedly; its messages are tried again.");
                    report.failed_calls.push(Failure::Plugin(format!(
                        "a lane ended unexpectedly: {error}"
                    )));
                }
            }
        }
        jobs.sort_by_key(|job| job.index);
        (jobs, report)
    }

    /// Upkeep of every instance that runs.
    pub(crate) async fn housekeeping(
        &mut self,
        shared: &Shared,
        overlay: &Arc<Overlay>,
    ) -> Vec<Failure> {
        let mut failures = Vec::new();
        for lane in self.lanes.iter_mut().flatten() {
            for (index, callback) in lane.callbacks.iter_mut().enumerate() {
                if !callback.entry_points().lifecycle {
                    continue;
                }
                if let Err(failure) = callback.housekeeping(shared.state(index, overlay)).await {
                    tracing::warn!(plugin = callback.name(), reason = %failure, "Housekeeping failed.");
                    failures.push(failure);
                }
            }
        }
        failures
    }

    /// Stops every instance that runs.
    pub(crate) async fn stop(&mut self) {
        for lane in &mut self.lanes {
            let Some(lane) = lane else { continue };
            for callback in &mut lane.callbacks {
                callback.stop().await;
            }
        }
        self.lanes.clear();
    }
}

/// Splits jobs over lanes: what goes to one place stays together and in order.
fn split(jobs: Vec<Job>, count: usize) -> Vec<Vec<Job>> {
    let mut shares: Vec<Vec<Job>> = (0..count).map(|_| Vec::new()).collect();
    for job in jobs {
        shares[lane_of(&job, count)].push(job);
    }
    shares
}

fn lane_of(job: &Job, count: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    match job.live.first().map(|live| &live.item) {
        // Different relPaths may end in one file.
        Some(item) => match &item.location {
            Some(location) => location.path().hash(&mut hasher),
            None => item.message.rel_path.hash(&mut hasher),
        },
        None => job.delivery.item().message.rel_path.hash(&mut hasher),
    }
    usize::try_from(hasher.finish() % count as u64).expect("less than the count, which is a usize")
}

#[cfg(test)]
mod tests {
    use super::split;
    use crate::delivery::Floor;
    use crate::delivery::tests::delivery;
    use crate::job::{Job, JobEnd};
    use crate::ports::Location;

    #[test]
    fn one_place_is_one_lane_in_order() {
        let floor = Floor::default();
        let jobs = (0..100)
            .map(|index| {
                let mut job = Job::new(delivery(&index.to_string(), &floor), index);
                job.live[0].item.location = Some(Location {
                    directory: "/data".into(),
                    filename: format!("file-{}", index % 10),
                });
                job.live[0].item.message.rel_path = format!("path-{index}");
                job
            })
            .collect();
        let shares = split(jobs, 4);
        assert!(shares.iter().filter(|share| !share.is_empty()).count() > 1);
        for file in 0..10 {
            let lanes: Vec<Vec<usize>> = shares
                .iter()
                .map(|share| {
                    share
                        .iter()
                        .map(|job| job.index)
                        .filter(|index| index % 10 == file)
                        .collect()
                })
                .filter(|lane: &Vec<usize>| !lane.is_empty())
                .collect();
            assert_eq!(lanes.len(), 1);
            assert!(lanes[0].is_sorted() && lanes[0].len() == 10);
        }
        for mut job in shares.into_iter().flatten() {
            job.finish(JobEnd::Back);
            let _ = job.delivery.back();
        }
    }
}
