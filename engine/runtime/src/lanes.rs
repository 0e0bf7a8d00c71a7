//! Lanes: chains of callback instances that work at the same time.
//!
//! A flow with `concurrency: N` has up to N lanes, fewer where a callback's `start` says that fewer
//! instances may work. Lane 0 is started with the flow; it also gathers, filters and settles. The
//! others join, one after the other, when there is more work than those at it do in a moment.
//!
//! The messages of a pass are split into shares, and each lane takes the next share when it has done
//! one. Messages for the same place are always in the same share, in order, and a share is worked
//! through in order, so what is written to one path is written in the order of the messages.
//!
//! A lane that panics takes nothing with it: its messages fall on the [floor](crate::delivery::Floor)
//! and come back, and the lane is made anew.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use flow_config::{CallbackSpec, Flow};

use crate::job::{Job, JobEnd};
use crate::ports::{Callback, CallbackFactory, Failure};
use crate::processors::Processors;
use crate::shared::{Ability, Shared};
use crate::state::Overlay;
use crate::team::Seat;
use crate::work::{Report, work};

/// Messages in a share, where there are enough of them.
const SHARE: usize = 8;
/// Shares for each lane at most: the more there are, the less a slow one holds up the pass, and the
/// less there is to pipeline within one.
const SHARES: usize = 4;
/// After this long without an end in sight one more lane joins. A new lane may have to log in
/// somewhere, which is not worth it for what is done in less.
const JOIN: Duration = Duration::from_millis(10);

/// Processors that have to be unused for one more lane to join: where those at work compute all the
/// time, another would only add its log-in.
const ROOM: f64 = 0.75;

/// One chain of instances.
pub(crate) struct Lane {
    pub(crate) callbacks: Vec<Box<dyn Callback>>,
}

/// All lanes of a worker.
pub(crate) struct Lanes {
    factory: Arc<dyn CallbackFactory>,
    seat: Arc<Seat>,
    /// Whose callbacks a chain has, for who reads that one does not start.
    names: Vec<String>,
    /// How many lanes may work; none where other workers have all that may.
    cap: usize,
    /// How many the flow asks for.
    most: usize,
    lanes: Vec<Option<Lane>>,
    /// What each callback can do, known once lane 0 was started.
    pub(crate) abilities: Arc<Vec<Ability>>,
}

/// The plugin of a callback, and where the flow says so.
fn name(callback: &CallbackSpec) -> String {
    format!("plugin `{}` ({})", callback.plugin, callback.origin)
}

/// What a person has to change is said with the name of who asks for it.
fn of(name: &str, failure: Failure) -> Failure {
    match failure {
        Failure::Config(text) => Failure::Config(format!(
            "{text}\n  = note: said by {name}, which does not start"
        )),
        other => other,
    }
}

impl Lanes {
    pub(crate) fn new(
        factory: Arc<dyn CallbackFactory>,
        shared: &Shared,
        seat: &Arc<Seat>,
    ) -> Self {
        Self {
            factory,
            seat: Arc::clone(seat),
            names: shared.flow.callbacks.iter().map(name).collect(),
            cap: shared.flow.concurrency.max(1),
            most: shared.flow.concurrency.max(1),
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
            .map(|callback| Ability::of(&**callback, flow, self.seat.leads()))
            .collect();
        self.abilities = Arc::new(abilities);
        if self.lanes.is_empty() {
            self.lanes.push(None);
        }
        self.lanes[0] = Some(lane);
        Ok(())
    }

    /// Whether other workers have all the instances that may work, and this one none.
    pub(crate) fn is_idle(&self) -> bool {
        self.cap == 0
    }

    /// Makes and starts a chain.
    async fn start(&mut self, number: u32) -> Result<Lane, Failure> {
        let mut callbacks = Vec::with_capacity(self.names.len());
        // No two lanes of a flow have the same number.
        let ordinal = u32::try_from(self.seat.number() * self.most).unwrap_or(u32::MAX);
        let ordinal = ordinal.saturating_add(number);
        for (index, name) in self.names.iter().enumerate() {
            let mut callback = self.factory.create(index, ordinal).await?;
            let started = callback.start().await;
            if let Some(most) = started.map_err(|failure| of(name, failure))? {
                let most = usize::try_from(most).unwrap_or(usize::MAX).max(1);
                self.cap = self.cap.min(self.seat.share(most));
            }
            callbacks.push(callback);
        }
        Ok(Lane { callbacks })
    }

    /// Takes a lane to work in it, started if it does not run; none where it can't be.
    async fn take(&mut self, number: usize) -> Option<Lane> {
        if self.lanes.len() <= number {
            self.lanes.resize_with(number + 1, || None);
        }
        if let Some(lane) = self.lanes[number].take() {
            return Some(lane);
        }
        let ordinal = u32::try_from(number).unwrap_or(u32::MAX);
        match self.start(ordinal).await {
            Ok(lane) => Some(lane),
            Err(failure) => {
                // The lanes there are do the work; the next pass tries again.
                tracing::warn!(lane = number, reason = %failure, "A lane could not be started.");
                None
            }
        }
    }

    /// Begins to work on `jobs`, in every lane that runs but lane 0, which is still free; `ordered`,
    /// one lane works on all of them.
    pub(crate) fn begin(
        &mut self,
        shared: &Arc<Shared>,
        overlay: &Arc<Overlay>,
        jobs: Vec<Job>,
        ordered: bool,
    ) -> Work {
        let count = match ordered {
            true => 1,
            false => self.cap.min(jobs.len()).max(1),
        };
        let shares = match count {
            1 => 1,
            _ => (jobs.len() / SHARE).clamp(count, count * SHARES),
        };
        let crew = Crew {
            shared: Arc::clone(shared),
            overlay: Arc::clone(overlay),
            abilities: Arc::clone(&self.abilities),
            shares: Arc::new(Mutex::new(split(jobs, shares).into())),
            most: shared.flow.batch.max(1),
        };
        let mut tasks = JoinSet::new();
        let running = self.lanes.iter().take_while(|lane| lane.is_some()).count();
        for number in 1..running.min(count) {
            if let Some(lane) = self.lanes[number].take() {
                tasks.spawn(crew.clone().work(number, lane));
            }
        }
        Work {
            crew,
            tasks,
            count,
            running,
        }
    }

    /// Lane 0 joins in the work, and others as it is worth it. The jobs come back in their order.
    pub(crate) async fn finish(&mut self, work: Work) -> (Vec<Job>, Report) {
        let Work {
            crew,
            mut tasks,
            count,
            running,
        } = work;
        if let Some(lane) = self.lanes.first_mut().and_then(Option::take) {
            tasks.spawn(crew.clone().work(0, lane));
        }
        let mut next = running.max(1);
        let clock = Arc::clone(&crew.shared.clock);
        let mut processors = Processors::now();
        let mut jobs = Vec::new();
        let mut report = Report::default();
        loop {
            let done = tokio::select! {
                biased;
                done = tasks.join_next() => done,
                () = clock.sleep(JOIN), if next < count && crew.has_work() => {
                    if processors.left(JOIN).is_some_and(|left| left < ROOM) {
                        continue;
                    }
                    match self.take(next).await {
                        Some(lane) => drop(tasks.spawn(crew.clone().work(next, lane))),
                        None => next = count,
                    }
                    next += 1;
                    continue;
                }
            };
            match done {
                None => break,
                Some(Ok((number, lane, done, said))) => {
                    self.lanes[number] = Some(lane);
                    jobs.extend(done);
                    report.add(said);
                }
                Some(Err(error)) => {
                    tracing::error!(%error, "A lane ended unexpectedly; its messages are tried again.");
                    report.failed_calls.push(Failure::Plugin(format!(
                        "a lane ended unexpectedly: {error}"
                    )));
                }
            }
        }
        // Left where lanes ended unexpectedly: what none had a chance to work on is not done.
        while let Some(mut share) = crew.next() {
            share.iter_mut().for_each(|job| job.finish(JobEnd::Back));
            jobs.append(&mut share);
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
                    tracing::warn!(
                        plugin = callback.name(),
                        reason = failure.brief(),
                        "Housekeeping failed."
                    );
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

/// Work that has begun.
pub(crate) struct Work {
    crew: Crew,
    tasks: JoinSet<(usize, Lane, Vec<Job>, Report)>,
    /// How many lanes may take part, lane 0 included.
    count: usize,
    /// How many ran when it began.
    running: usize,
}

impl Work {
    /// Whether other lanes than lane 0 may take part.
    pub(crate) fn is_shared(&self) -> bool {
        self.count > 1
    }
}

/// What the lanes at work on one pass share.
#[derive(Clone)]
struct Crew {
    shared: Arc<Shared>,
    overlay: Arc<Overlay>,
    abilities: Arc<Vec<Ability>>,
    /// Not taken yet.
    shares: Arc<Mutex<VecDeque<Vec<Job>>>>,
    /// Most messages in one call.
    most: usize,
}

impl Crew {
    fn shares(&self) -> MutexGuard<'_, VecDeque<Vec<Job>>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<Vec<Job>> {
        self.shares().pop_front()
    }

    fn has_work(&self) -> bool {
        !self.shares().is_empty()
    }

    /// Works on share after share, as long as there are any.
    async fn work(self, number: usize, mut lane: Lane) -> (usize, Lane, Vec<Job>, Report) {
        let mut jobs = Vec::new();
        let mut report = Report::default();
        while let Some(share) = self.next() {
            let (done, said) = work(
                &self.shared,
                &self.abilities,
                &self.overlay,
                &mut lane,
                share,
                self.most,
            )
            .await;
            jobs.extend(done);
            report.add(said);
        }
        (number, lane, jobs, report)
    }
}

/// Splits jobs into shares: what goes to one place stays together and in order.
fn split(jobs: Vec<Job>, count: usize) -> Vec<Vec<Job>> {
    let mut shares: Vec<Vec<Job>> = (0..count).map(|_| Vec::new()).collect();
    for job in jobs {
        shares[share_of(&job, count)].push(job);
    }
    shares.retain(|share| !share.is_empty());
    shares
}

fn share_of(job: &Job, count: usize) -> usize {
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
    use std::sync::Arc;

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
                Arc::make_mut(&mut job.live[0].item.message).rel_path = format!("path-{index}");
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
