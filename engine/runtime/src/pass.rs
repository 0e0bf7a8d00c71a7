//! One pass: filter, suppress, work, commit. Gathering, posting and settling have their own modules.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::clock::later;
use crate::delivery::{Delivery, Origin};
use crate::error::Error;
use crate::fileop;
use crate::filter::{self, Age};
use crate::finish::{Behind, Hand};
use crate::gather::Found;
use crate::job::{Job, JobEnd, Live};
use crate::nodupe;
use crate::places;
use crate::ports::{Event, Item, PassCounts, Rejection};
use crate::state::Overlay;
use crate::store::{Pending, Renewal};
use crate::team::Claim;
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
    /// Outcomes that were told while it was in hand, by callback and key.
    pub(crate) told: Vec<(String, String)>,
    /// Outcomes to be told again.
    pub(crate) again: Vec<Pending>,
    /// Its callbacks wrote something: work that left traces is not simply given back.
    pub(crate) traces: bool,
    /// Keeps other workers of the flow away from what is in hand.
    pub(crate) claim: Option<Claim>,
}

impl Pass {
    fn new(overlay: Arc<Overlay>) -> Self {
        Self {
            jobs: Vec::new(),
            overlay,
            counts: PassCounts::default(),
            unreadable: Vec::new(),
            renewed: Vec::new(),
            told: Vec::new(),
            again: Vec::new(),
            traces: false,
            claim: None,
        }
    }

    /// Nothing in hand, and nothing to be stored.
    fn is_idle(&self) -> bool {
        self.is_empty() && self.told.is_empty() && self.again.is_empty() && self.overlay.is_empty()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.unreadable.is_empty()
    }

    pub(crate) fn add(&mut self, delivery: Delivery) -> &mut Job {
        let index = self.jobs.len();
        self.jobs.push(Job::new(delivery, index));
        &mut self.jobs[index]
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.jobs.len() + self.unreadable.len()
    }

    /// Room for so many more.
    pub(crate) fn room(&self, batch: usize) -> usize {
        batch.saturating_sub(self.len())
    }
}

impl Running {
    /// One pass: this one up to its work, and the end of the last one beside it. Says whether there
    /// was anything in hand.
    pub(crate) async fn pass(&mut self) -> Result<bool, Error> {
        let started = Instant::now();
        self.shared.local.next_pass();
        let mut behind = self.behind.take();
        let mut pass = self.ahead.take().unwrap_or_else(|| {
            Pass::new(match &behind {
                _ if self.options.dry_run => Arc::clone(&self.dry_overlay),
                Some(behind) => Overlay::after(&behind.overlay),
                None => Arc::default(),
            })
        });
        let ending = behind.is_some();
        let result = self.front(&mut pass, &mut behind).await;
        pass.traces = !pass.overlay.is_empty();
        self.end_last(&mut behind, Some(&mut pass)).await?;
        result?;
        let busy = ending || !pass.is_empty();
        if self.options.dry_run {
            self.put_down(pass);
        } else if !pass.is_idle() {
            self.heed(&pass.jobs);
            if let Some(finisher) = self.finisher.take() {
                self.behind = Some(finisher.begin(pass, &self.lanes, started));
            }
        }
        if !busy || self.stop.is_some() || self.shared.debugger.is_some() {
            self.end_behind().await?;
        }
        match self.stop.take() {
            Some(error) => Err(error),
            None => Ok(busy),
        }
    }

    /// Gathers, filters and works; before it meets what the last pass still decides about, that one
    /// ends.
    async fn front(&mut self, pass: &mut Pass, behind: &mut Option<Behind>) -> Result<(), Error> {
        let hand = behind
            .as_ref()
            .map(|behind| Arc::clone(&behind.hand))
            .unwrap_or_default();
        let found = Behind::beside(behind, self.gather(pass, &hand)).await?;
        if found.unsure {
            self.end_last(behind, Some(pass)).await?;
        }
        Behind::beside(behind, self.drop_known(&mut pass.jobs, &found)).await?;
        if pass.is_empty() {
            return Ok(());
        }
        Behind::beside(behind, self.filter(pass)).await;
        if self.options.dry_run {
            return Ok(());
        }
        let keys = self.nodupe_keys(pass);
        if hand.saw_any(&keys) || hand.meets(&pass.jobs) || self.operates(&pass.jobs) {
            self.end_last(behind, Some(pass)).await?;
        }
        let keys = match self.seat.is_alone() {
            true => keys,
            false => self.claim(pass, behind, keys, &found).await?,
        };
        Behind::beside(behind, self.suppress(pass, keys)).await?;
        self.work(pass, behind, &hand).await;
        Ok(())
    }

    /// Claims what is in hand, which nodupe knows by `keys`; waits for the workers that decide about
    /// some of it. Returns the keys of what is in hand then. Once a drain is requested nothing is
    /// waited for: what is in hand goes back.
    async fn claim(
        &mut self,
        pass: &mut Pass,
        behind: &mut Option<Behind>,
        keys: Vec<Vec<u8>>,
        found: &Found,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let seat = Arc::clone(&self.seat);
        let hand = Arc::new(Hand::of_open(&pass.jobs, &keys));
        let mut waited = false;
        loop {
            let changed = seat.changed();
            tokio::pin!(changed);
            changed.as_mut().enable();
            pass.claim = seat.claim(&hand);
            if pass.claim.is_some() {
                break;
            }
            // Who waits must not be waited for.
            self.end_last(behind, Some(pass)).await?;
            waited = true;
            tokio::select! {
                () = changed => {}
                () = self.drain.requested() => {
                    pass.jobs.iter_mut().for_each(|job| job.finish(JobEnd::Back));
                    return Ok(Vec::new());
                }
            }
        }
        if !waited {
            return Ok(keys);
        }
        self.drop_known(&mut pass.jobs, found).await?;
        Ok(self.nodupe_keys(pass))
    }

    /// Ages, rules, placement, then `after_accept`.
    async fn filter(&mut self, pass: &mut Pass) {
        self.shared.stop_at("accept", None, &mut pass.jobs).await;
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
        let real;
        let mut matched = if flow.listing.realpath_filter {
            real = places::with_real_path(flow, &live.item.message);
            filter::rules(&flow.filters, &real)
        } else {
            filter::rules(&flow.filters, &live.item.message)
        };
        if matched.is_err()
            && self.shared.places.is_anywhere()
            && let Some(removal) = fileop::removal_of_old(flow, &live.item.message, live.meta.born)
        {
            live.item.message = Arc::new(removal);
            matched = filter::rules(&flow.filters, &live.item.message);
        }
        // What failed was accepted before, whatever the rules say by now.
        if matched.is_err() && tried && job.delivery.item().attempt > 0 && !flow.retry.refilter {
            matched = Ok(filter::unmatched(&flow.filters));
        }
        let message = &live.item.message;
        let rule = match matched {
            Err(rejection) => return self.reject(job, rejection),
            Ok(found) => {
                let places = &self.shared.places;
                if places.is_anywhere() {
                    match places.place(&found, message, &self.shared.local, live.meta.born) {
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
        self.shared.stop_at("after_accept", Some(index), jobs).await;
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

    /// What nodupe knows the messages in hand by, in order.
    fn nodupe_keys(&self, pass: &Pass) -> Vec<Vec<u8>> {
        let Some(policy) = self.shared.flow.nodupe else {
            return Vec::new();
        };
        let open = pass.jobs.iter().filter(|job| job.is_open());
        open.flat_map(|job| &job.live)
            .map(|live| nodupe::key(&policy, &live.item.message))
            .collect()
    }

    /// Ends what nodupe has seen. What passes is remembered once it settles.
    async fn suppress(&mut self, pass: &mut Pass, keys: Vec<Vec<u8>>) -> Result<(), Error> {
        let Some(policy) = self.shared.flow.nodupe else {
            return Ok(());
        };
        let now = self.shared.now();
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

    /// Fetches and transforms, in lanes; where there is more to gather and lanes to spare, that is
    /// done meanwhile.
    async fn work(&mut self, pass: &mut Pass, behind: &mut Option<Behind>, hand: &Hand) {
        let abilities = Arc::clone(&self.lanes.abilities);
        let works = self.shared.flow.download
            || abilities
                .iter()
                .any(|ability| ability.entry_points.after_work || ability.entry_points.send);
        if !works {
            return;
        }
        let own = self.may_look_ahead().then(|| Hand::of(&pass.jobs));
        let (mut open, ended): (Vec<Job>, Vec<Job>) = std::mem::take(&mut pass.jobs)
            .into_iter()
            .partition(Job::is_open);
        pass.jobs = ended;
        open.iter_mut().for_each(|job| job.worked = true);
        let mut places = HashSet::new();
        for live in open.iter_mut().flat_map(|job| &mut job.live) {
            let place = live.item.location.as_ref().map(|location| location.path());
            live.meta.contested = place.is_some_and(|place| !places.insert(place));
        }
        let mut report = Report::default();
        let mut rest = VecDeque::from(open);
        loop {
            let (step, ordered) = self.next_step(&mut rest).await;
            let work = self.lanes.begin(&self.shared, &pass.overlay, step, ordered);
            if let Some(own) = &own
                && rest.is_empty()
                && work.is_shared()
                && self.may_look_ahead()
            {
                let mut next = Pass::new(Overlay::after(&pass.overlay));
                let ahead = self.look_ahead(&mut next, [hand, own]);
                Behind::beside(behind, ahead).await;
                self.ahead = Some(next);
            }
            let (mut done, said) = Behind::beside(behind, self.lanes.finish(work)).await;
            report.add(said);
            if !rest.is_empty() {
                self.end_step(&mut done, &mut rest).await;
            }
            pass.jobs.append(&mut done);
            if rest.is_empty() {
                break;
            }
        }
        pass.jobs.sort_by_key(|job| job.index);
        let Report {
            counts,
            failed_calls,
        } = report;
        pass.counts.fetched += counts.fetched;
        pass.counts.sent += counts.sent;
        pass.counts.derived += counts.derived;
        pass.counts.bytes += counts.bytes;
        pass.counts.sent_bytes += counts.sent_bytes;
        for failure in &failed_calls {
            self.note_plugin_failure(failure);
        }
        if pass.counts.fetched + pass.counts.sent > 0 {
            self.credentials_work();
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
