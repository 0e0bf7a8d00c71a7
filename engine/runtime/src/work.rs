//! The work of one lane: fetch, then look at what was fetched.
//!
//! Takes its share of the jobs in sub-batches; within one, a whole sub-batch goes through each
//! callback in one call, so that a plugin can pipeline it over one connection. Failures are written
//! into the jobs; nothing here decides what follows from them.
//!
//! The built-in transfers are two: content that came inside its message, and a file of this machine
//! (`file:`), which is copied. Every other scheme is a callback's. Operations on files are carried out
//! before (see [`steps`](crate::steps)).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crate::content::{self, Body, CallContent, Finished, Identify, Source, There, Written};
use crate::edit;
use crate::fileop;
use crate::filter::Placed;
use crate::inline;
use crate::job::{Job, JobEnd, Live, Meta};
use crate::lanes::Lane;
use crate::ports::{Content as _, Event, Failure, Item, PassCounts, Rejection, Worked};
use crate::shared::{Ability, Shared, scheme};
use crate::state::Overlay;
use crate::verdict::{self, Stage, apply_verdicts};

/// What a lane says beside its jobs.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) counts: PassCounts,
    /// One per call that failed as a whole.
    pub(crate) failed_calls: Vec<Failure>,
}

impl Report {
    pub(crate) fn add(&mut self, other: Self) {
        self.counts.fetched += other.counts.fetched;
        self.counts.sent += other.counts.sent;
        self.counts.derived += other.counts.derived;
        self.counts.bytes += other.counts.bytes;
        self.counts.sent_bytes += other.counts.sent_bytes;
        self.failed_calls.extend(other.failed_calls);
    }
}

/// A message and the number of its job in the sub-batch.
pub(crate) type Entry = (usize, Live);

/// A lane at work.
pub(crate) struct Worker<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) abilities: &'a [Ability],
    pub(crate) overlay: &'a Arc<Overlay>,
    pub(crate) lane: &'a mut Lane,
    pub(crate) report: Report,
}

/// Works on `jobs`, at most `most` in one call.
pub(crate) async fn work(
    shared: &Arc<Shared>,
    abilities: &[Ability],
    overlay: &Arc<Overlay>,
    lane: &mut Lane,
    jobs: Vec<Job>,
    most: usize,
) -> (Vec<Job>, Report) {
    let mut worker = Worker {
        shared,
        abilities,
        overlay,
        lane,
        report: Report::default(),
    };
    let mut done = Vec::with_capacity(jobs.len());
    for mut chunk in sub_batches(jobs, most) {
        worker.chunk(&mut chunk).await;
        done.append(&mut chunk);
    }
    (done, worker.report)
}

/// Splits jobs into calls: at most `most` in one, and those that have to be alone are.
pub(crate) fn sub_batches(jobs: Vec<Job>, most: usize) -> Vec<Vec<Job>> {
    let mut chunks: Vec<Vec<Job>> = Vec::new();
    let mut open = false;
    for job in jobs {
        let alone = job.delivery.is_alone();
        match chunks.last_mut() {
            Some(last) if open && !alone && last.len() < most => last.push(job),
            _ => chunks.push(vec![job]),
        }
        open = !alone;
    }
    chunks
}

/// Takes the messages of open jobs out of them, in order.
pub(crate) fn take_entries(jobs: &mut [Job]) -> Vec<Entry> {
    let open = jobs.iter_mut().enumerate().filter(|(_, job)| job.is_open());
    open.flat_map(|(number, job)| {
        std::mem::take(&mut job.live)
            .into_iter()
            .map(move |live| (number, live))
    })
    .collect()
}

/// Puts messages back into their jobs, but for those whose job has ended.
pub(crate) fn put_entries(jobs: &mut [Job], entries: Vec<Entry>) {
    for (number, live) in entries {
        if jobs[number].is_open() {
            jobs[number].live.push(live);
        }
    }
    jobs.iter_mut().for_each(Job::close_if_rejected);
}

/// Parts items from what callbacks don't see, for a call.
pub(crate) fn part(entries: Vec<Entry>) -> (Vec<(usize, Meta)>, Vec<Item>) {
    entries
        .into_iter()
        .map(|(number, live)| ((number, live.meta), live.item))
        .unzip()
}

/// Undoes [`part`].
pub(crate) fn join(metas: Vec<(usize, Meta)>, items: Vec<Item>) -> Vec<Entry> {
    metas
        .into_iter()
        .zip(items)
        .map(|((number, meta), item)| (number, Live { item, meta }))
        .collect()
}

/// The answers of a call, if there is one for each message.
pub(crate) fn matching<T>(
    answer: Result<Vec<T>, Failure>,
    count: usize,
    plugin: &str,
) -> Result<Vec<T>, Failure> {
    let answers = answer?;
    if answers.len() == count {
        return Ok(answers);
    }
    Err(Failure::Plugin(format!(
        "plugin `{plugin}` answered {} times for {count} messages",
        answers.len()
    )))
}

/// Fails the jobs of all `entries`, which were in one call.
pub(crate) fn fail_all(jobs: &mut [Job], entries: &[Entry], failure: &Failure) {
    for (number, _) in entries {
        jobs[*number].finish(JobEnd::Failed(failure.clone(), entries.len()));
    }
}

impl Worker<'_> {
    async fn chunk(&mut self, jobs: &mut [Job]) {
        let mut entries = take_entries(jobs);
        if self.shared.flow.download && !self.shared.places.is_there() {
            entries = self
                .shared
                .stop_at_entries("download", None, jobs, entries)
                .await;
            entries = self.fetch(jobs, entries).await;
        }
        let sender = self.sender();
        if let Some(index) = sender
            && !entries.is_empty()
        {
            entries = self.deliver(jobs, entries, index).await;
        }
        for index in 0..self.lane.callbacks.len() {
            let points = self.abilities[index].entry_points;
            let sends = points.send && !points.download && sender != Some(index);
            if sends && !entries.is_empty() {
                entries = self.send(jobs, entries, index).await;
            }
            if points.after_work && !entries.is_empty() {
                entries = self.after_work(jobs, entries, index).await;
            }
        }
        self.store_held(jobs, &mut entries).await;
        put_entries(jobs, entries);
    }

    /// When downloads are identified.
    fn when_downloaded(&self) -> Identify {
        if self.shared.flow.output.is_none() {
            Identify::Never
        } else if self.abilities.iter().any(|a| a.entry_points.after_work) {
            Identify::Later
        } else {
            Identify::Streaming
        }
    }

    /// Makes files of the downloads that are left, and identifies them, where that was put off.
    async fn store_held(&mut self, jobs: &mut [Job], entries: &mut [Entry]) {
        if self.when_downloaded() != Identify::Later {
            return;
        }
        for (number, live) in entries {
            if !live.meta.derived
                && let Err(failure) = self.store_one(live).await
            {
                jobs[*number].finish(JobEnd::Failed(failure, 1));
            }
        }
    }

    async fn store_one(&mut self, live: &mut Live) -> Result<(), Failure> {
        let announced = live.item.message.identity.as_ref();
        let local = &self.shared.local;
        let identity = match (&live.meta.body, &live.item.location) {
            (Body::Held(held), Some(location)) => {
                let placed = Placed {
                    location: location.clone(),
                    root: live.meta.root.clone(),
                };
                let stored = content::store(local, &placed, held, announced)?;
                let identity = stored.identity.clone();
                live.meta.body = Body::Stored(stored);
                identity
            }
            (Body::Stored(stored), _) => {
                // It may be large, and others work on this thread.
                let (path, method) = (stored.path().to_owned(), local.method(announced));
                let identified =
                    tokio::task::spawn_blocking(move || (content::identify(&path, method), path));
                let (identity, path) = identified
                    .await
                    .map_err(|error| Failure::temporary(error.to_string()))?;
                identity.map_err(|error| {
                    let path = path.display();
                    Failure::temporary(format!("`{path}` can't be read: {error}"))
                })?
            }
            _ => None,
        };
        if identity.is_some() {
            Arc::make_mut(&mut live.item.message).identity = identity;
        }
        Ok(())
    }

    /// Fetches the content of what has none yet; the entries come back in their order.
    async fn fetch(&mut self, jobs: &mut [Job], entries: Vec<Entry>) -> Vec<Entry> {
        let mut ready: Vec<(usize, Entry)> = Vec::with_capacity(entries.len());
        let mut claimed: Vec<Vec<(usize, Entry)>> =
            self.abilities.iter().map(|_| Vec::new()).collect();
        for (order, (number, live)) in entries.into_iter().enumerate() {
            match self.route(live).await {
                Route::Ready(live) => ready.push((order, (number, live))),
                Route::Callback(index, live) => claimed[index].push((order, (number, live))),
                Route::Rejected(live, rejection) => {
                    self.reject(&mut jobs[number], &live, rejection);
                }
                Route::Failed(failure) => jobs[number].finish(JobEnd::Failed(failure, 1)),
            }
        }
        for (index, share) in claimed.into_iter().enumerate() {
            if !share.is_empty() {
                ready.extend(self.download(jobs, share, index).await);
            }
        }
        ready.sort_by_key(|(order, _)| *order);
        ready
            .into_iter()
            .map(|(_, entry)| entry)
            .filter(|(number, _)| jobs[*number].is_open())
            .collect()
    }

    /// Decides who fetches a message, and fetches it where that is built in.
    async fn route(&mut self, mut live: Live) -> Route {
        if !matches!(live.meta.body, Body::Away) {
            return Route::Ready(live);
        }
        let Some(location) = &live.item.location else {
            return Route::Ready(live);
        };
        if !self.shared.flow.events.include(&live.item.message) {
            let rejection = fileop::not_an_event(&live.item.message);
            return Route::Rejected(live, rejection);
        }
        let most = self.shared.flow.file_size_max;
        if let Some(size) = live
            .item
            .message
            .size
            .filter(|size| most > 0 && *size > most)
        {
            let reason = format!("{size} bytes are more than `fileSizeMax`, {most}");
            return Route::Rejected(live, Rejection { code: 413, reason });
        }
        if self.shared.flow.transfer.delete_destination {
            if live.item.message.file_op.is_some() {
                return Route::Ready(live);
            }
        } else if self.shared.local.overwrite {
            if let Some(rejection) = self.compare(&mut live).await {
                return Route::Rejected(live, rejection);
            }
            if !matches!(live.meta.body, Body::Away) {
                return Route::Ready(live);
            }
        } else {
            match content::is_announced(&location.path(), &live.item.message) {
                Some(true) => {
                    live.meta.body = Body::Here(location.path());
                    return Route::Ready(live);
                }
                Some(false) => {
                    let reason = format!(
                        "`{}` exists and `overwrite` is off",
                        location.path().display()
                    );
                    return Route::Rejected(live, Rejection { code: 204, reason });
                }
                None => {}
            }
        }
        let mut refused = None;
        if live.item.message.content.is_some() {
            let accept = self.shared.flow.transfer.accept_size_wrong;
            match inline::received(&live.item.message, accept) {
                Ok(bytes) => return self.store_inline(live, &bytes),
                Err(why) => {
                    tracing::debug!(
                        relPath = live.item.message.rel_path,
                        why,
                        "The content inside a message is not what it announces; it is fetched."
                    );
                    Arc::make_mut(&mut live.item.message).content = None;
                    refused = Some(why);
                }
            }
        }
        if let Some(index) = self
            .abilities
            .iter()
            .position(|ability| ability.downloads(&live.item.message))
        {
            return Route::Callback(index, live);
        }
        if scheme(&live.item.message.base_url) == Some("file") {
            return self.copy_file(live).await;
        }
        let scheme = scheme(&live.item.message.base_url).unwrap_or_default();
        let inside = refused.map_or_else(String::new, |why| {
            format!(", and the content inside the message can't be taken: {why}")
        });
        Route::Failed(Failure::Permanent(format!(
            "no callback of this flow downloads `{scheme}:` URLs{inside}"
        )))
    }

    /// Looks whether the content is here already. One that was in hand before may have got here by
    /// that, and goes on; otherwise it is done with.
    async fn compare(&mut self, live: &mut Live) -> Option<Rejection> {
        let path = live.item.location.as_ref()?.path();
        let message = &live.item.message;
        let own = content::file_path(message).is_some_and(|own| own == path);
        if own || live.meta.contested {
            return None;
        }
        message.identity.as_ref()?;
        let times = self.shared.flow.transfer.time_copy;
        let (at, asked) = (path.clone(), message.clone());
        let compared = tokio::task::spawn_blocking(move || content::compare(&at, &asked, times));
        match compared.await.unwrap_or(There::Other) {
            There::Other => None,
            There::Newer => Some(Rejection {
                code: 406,
                reason: format!("`{}` is newer than what is announced", path.display()),
            }),
            There::Same if live.meta.first => Some(Rejection {
                code: 304,
                reason: format!("`{}` is this content already", path.display()),
            }),
            There::Same => {
                live.meta.body = Body::Here(path);
                None
            }
        }
    }

    /// Writes content that came inside its message.
    fn store_inline(&mut self, live: Live, bytes: &[u8]) -> Route {
        let started = Instant::now();
        let call = self.call(std::iter::once(&live), usize::MAX, self.when_downloaded());
        let written = call.create(live.item.id).and_then(|mut writer| {
            writer.write(bytes)?;
            writer.finish()
        });
        self.finish_built_in(&call, live, written.map(|_| ()), started)
    }

    /// Copies a file of this machine; one that is where it should be stays.
    async fn copy_file(&mut self, mut live: Live) -> Route {
        let started = Instant::now();
        let Some(path) = content::file_path(&live.item.message) else {
            let url = live.item.message.url();
            return Route::Failed(Failure::Permanent(format!(
                "`{url}` is no file of this machine"
            )));
        };
        if live
            .item
            .location
            .as_ref()
            .is_some_and(|location| location.path() == path)
        {
            live.meta.body = Body::Here(path);
            return Route::Ready(live);
        }
        let call = self.call(std::iter::once(&live), usize::MAX, self.when_downloaded());
        let (target, id) = (Arc::clone(&call), live.item.id);
        let copied = tokio::task::spawn_blocking(move || content::copy(&path, &*target, id)).await;
        let copied = copied.unwrap_or_else(|error| Err(Failure::temporary(error.to_string())));
        self.finish_built_in(&call, live, copied, started)
    }

    fn finish_built_in(
        &mut self,
        call: &CallContent,
        mut live: Live,
        written: Result<(), Failure>,
        started: Instant,
    ) -> Route {
        if let Err(failure) = written {
            return Route::Failed(failure);
        }
        let Some(finished) = call.take().into_values().next() else {
            return Route::Failed(Failure::temporary("the content was not finished"));
        };
        self.keep(&mut live, finished, started);
        Route::Ready(live)
    }

    /// The content of one call.
    pub(crate) fn call<'a>(
        &self,
        lives: impl Iterator<Item = &'a Live>,
        callback: usize,
        identify: Identify,
    ) -> Arc<CallContent> {
        let sources = lives
            .map(|live| (live.item.id, source(&live.item, &live.meta)))
            .collect();
        let shared = self.shared;
        let (local, flow, observer) = (&shared.local, &shared.flow, &shared.observer);
        CallContent::new(local, flow, observer, callback, identify, sources)
    }

    async fn download(
        &mut self,
        jobs: &mut [Job],
        share: Vec<(usize, Entry)>,
        index: usize,
    ) -> Vec<(usize, Entry)> {
        let started = Instant::now();
        let (orders, entries): (Vec<usize>, Vec<Entry>) = share.into_iter().unzip();
        let when = self.when_downloaded();
        let call = self.call(entries.iter().map(|(_, live)| live), index, when);
        if self.abilities[index].entry_points.settled {
            for (number, live) in &entries {
                jobs[*number].tell.push((index, live.item.clone()));
            }
        }
        let (metas, items) = part(entries);
        let state = self.shared.state(index, self.overlay);
        let callback = &mut self.lane.callbacks[index];
        let answer = callback
            .download(&items, Arc::clone(&call) as _, state)
            .await;
        let answer = matching(answer, items.len(), callback.name());
        let mut finished: HashMap<u64, Finished> = call
            .take()
            .into_values()
            .map(|finished| (finished.item, finished))
            .collect();
        let answers = match answer {
            Ok(answers) => answers,
            // What was finished before the call failed is here, and good.
            Err(failure) => {
                self.report.failed_calls.push(failure.clone());
                let open = items
                    .iter()
                    .filter(|item| !finished.contains_key(&item.id))
                    .count();
                let mut answers = Vec::with_capacity(items.len());
                for ((number, _), item) in metas.iter().zip(&items) {
                    if finished.contains_key(&item.id) {
                        answers.push(Worked::Done(Vec::new()));
                    } else {
                        jobs[*number].finish(JobEnd::Failed(failure.clone(), open));
                        answers.push(Worked::Fail(failure.clone()));
                    }
                }
                answers
            }
        };
        let mut done = Vec::with_capacity(items.len());
        for ((order, (number, mut live)), answer) in
            orders.into_iter().zip(join(metas, items)).zip(answers)
        {
            self.worked(index, "download", &live, &answer, started);
            match answer {
                Worked::Done(edits) => match finished.remove(&live.item.id) {
                    Some(finished) => match edit::apply(edits, &mut live) {
                        Ok(()) => {
                            self.keep(&mut live, finished, started);
                            done.push((order, (number, live)));
                        }
                        Err(failure) => jobs[number].finish(JobEnd::Failed(failure, 1)),
                    },
                    None => {
                        let failure =
                            Failure::Plugin("the download is done, but wrote no content".into());
                        jobs[number].finish(JobEnd::Failed(failure, 1));
                    }
                },
                Worked::Reject(rejection) => self.reject(&mut jobs[number], &live, rejection),
                Worked::Fail(failure) => jobs[number].finish(JobEnd::Failed(failure, 1)),
            }
        }
        done
    }

    /// Ties fetched content to its message.
    fn keep(&mut self, live: &mut Live, finished: Finished, started: Instant) {
        let message = Arc::make_mut(&mut live.item.message);
        let (body, bytes) = match finished.written {
            Written::Held(held) => {
                let bytes = held.size();
                (Body::Held(held), bytes)
            }
            Written::Stored(stored) => {
                if stored.identity.is_some() {
                    message.identity.clone_from(&stored.identity);
                }
                let bytes = stored.size;
                (Body::Stored(stored), bytes)
            }
            Written::Dropped { size, identity } => {
                if identity.is_some() {
                    message.identity = identity;
                }
                (Body::Away, size)
            }
        };
        message.size = Some(bytes);
        // What was thrown away is announced where it still is.
        if !matches!(body, Body::Away) {
            message.retrieve_path = None;
            message.rename = None;
        }
        self.report.counts.fetched += 1;
        self.report.counts.bytes += bytes;
        if let Some(location) = &live.item.location {
            let path = location.path();
            self.shared.tell(|| Event::Fetched {
                message: &live.item.message,
                path: &path,
                bytes,
                elapsed: started.elapsed(),
            });
        }
        live.meta.body = body;
    }

    async fn after_work(
        &mut self,
        jobs: &mut [Job],
        entries: Vec<Entry>,
        index: usize,
    ) -> Vec<Entry> {
        let stopped = self
            .shared
            .stop_at_entries("after_work", Some(index), jobs, entries);
        let entries = stopped.await;
        if entries.is_empty() {
            return entries;
        }
        let started = Instant::now();
        // What is derived and stays is announced; nobody needs the fingerprint of what is not.
        let when = match self.shared.flow.output {
            Some(_) => Identify::Streaming,
            None => Identify::Never,
        };
        let call = self.call(entries.iter().map(|(_, live)| live), index, when);
        let (metas, items) = part(entries);
        let state = self.shared.state(index, self.overlay);
        let callback = &mut self.lane.callbacks[index];
        let answer = callback
            .after_work(&items, Arc::clone(&call) as _, state)
            .await;
        let answer = matching(answer, items.len(), callback.name());
        let entries = join(metas, items);
        match answer {
            Ok(verdicts) => {
                let stage = Stage {
                    shared: self.shared,
                    callback: index,
                    entry_point: "after_work",
                    elapsed: started.elapsed(),
                };
                let finished = call.take();
                let outcome = apply_verdicts(&stage, jobs, entries, verdicts, finished);
                self.report.counts.derived += outcome.derived;
                self.report.counts.bytes += outcome.bytes;
                outcome.entries
            }
            Err(failure) => {
                fail_all(jobs, &entries, &failure);
                self.report.failed_calls.push(failure);
                Vec::new()
            }
        }
    }

    pub(crate) fn reject(&self, job: &mut Job, live: &Live, rejection: Rejection) {
        verdict::reject(self.shared, job, live, rejection, "work");
    }
}

/// What is known of an item's content.
pub(crate) fn source(item: &Item, meta: &Meta) -> Source {
    let path = meta.body.path().map(std::path::Path::to_owned);
    let held = match &meta.body {
        Body::Held(held) => Some(held.clone()),
        _ => None,
    };
    Source {
        held,
        key: item.key.clone(),
        born: meta.born,
        message: item.message.clone(),
        placed: item.location.clone().map(|location| Placed {
            location,
            root: meta.root.clone(),
        }),
        path: path.or_else(|| {
            content::file_path(&item.message).filter(|_| item.message.content.is_none())
        }),
    }
}

/// Who fetches a message.
enum Route {
    /// Nobody has to, or it is done.
    Ready(Live),
    Callback(usize, Live),
    Rejected(Live, Rejection),
    Failed(Failure),
}

#[cfg(test)]
mod tests {
    use super::sub_batches;
    use crate::delivery::Floor;
    use crate::delivery::tests::delivery_alone;
    use crate::job::Job;

    #[test]
    fn sub_batches_keep_order_and_leave_the_suspects_alone() {
        let floor = Floor::default();
        let alone = [false, false, true, true, false, false, false];
        let jobs = alone
            .iter()
            .enumerate()
            .map(|(index, alone)| {
                Job::new(delivery_alone(&index.to_string(), *alone, &floor), index)
            })
            .collect();
        let chunks = sub_batches(jobs, 2);
        let indexes: Vec<Vec<usize>> = chunks
            .iter()
            .map(|chunk| chunk.iter().map(|job| job.index).collect())
            .collect();
        assert_eq!(indexes, [vec![0, 1], vec![2], vec![3], vec![4, 5], vec![6]]);
        for job in chunks.into_iter().flatten() {
            let _ = job.delivery.back();
        }
    }
}
