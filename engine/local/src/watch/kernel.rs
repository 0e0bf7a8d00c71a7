//! The watch that is told by the kernel: two threads, and the gather that empties what they fill.

use std::collections::{HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use flow_message::Message;
use flow_runtime::ports::{Failure, Gathered, State};
use tokio::sync::Notify;

use super::OnStart;
use super::listen::Listener;
use super::pending::Moment;
use super::recent::Recent;
use super::scan::{Scanner, before};
use super::shared::{Announce, Job, Shared};
use crate::announce::{Announcer, Made, Op, UNSURE, Work};

/// Under which key the flow's state has the time before which nothing was missed.
const UNTIL: &str = "watch.until";
/// How long a page is hashed; what is left comes with the next.
const PATIENCE: Duration = Duration::from_millis(250);
/// How long the first gather waits for the watches to be set.
const FIRST: Duration = Duration::from_secs(1);
/// How often it is looked whether the roots are still the directories that are watched.
const ROOTS: Duration = Duration::from_secs(1);

/// How often something is looked at again that may not be looked at.
const RETRY: Duration = Duration::from_secs(1);
/// Vanished paths that are looked for a second time, at most.
const VANISHED: usize = 10_000;

#[derive(Debug)]
pub(crate) struct Kernel {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// Taken, and not looked at yet.
    rest: VecDeque<(Work, Moment)>,
    recent: Recent,
    /// What was not there when it was looked at for the first time.
    vanished: HashSet<PathBuf>,
    look: Look,
    roots_checked: Instant,
    noted: Option<i128>,
}

/// How far the first look at the tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Begun,
    Going,
    /// Through since then; what waits may still be found to be written at this time.
    Through(Instant),
    Over,
}

impl Kernel {
    pub(crate) fn start(
        roots: Vec<PathBuf>,
        announcer: Arc<Announcer>,
        (on_start, made): (OnStart, i128),
        settle: Duration,
        state: &dyn State,
    ) -> Result<Self, Failure> {
        let until: Option<i128> = state
            .get(UNTIL)?
            .and_then(|value| String::from_utf8(value).ok()?.parse().ok());
        let shared = Arc::new(Shared::new(roots, announcer, settle)?);
        let (announce, since) = match (on_start, until) {
            (OnStart::Everything, _) => (Announce::All, None),
            (OnStart::Changed, Some(until)) => (Announce::Since(before(until)), Some(until)),
            (OnStart::Changed, None) => (Announce::Since(made), Some(made)),
            (OnStart::Nothing, _) => (Announce::Nothing, None),
        };
        shared.give(Job::Whole(announce), since);
        let mut kernel = Self {
            shared,
            threads: Vec::new(),
            rest: VecDeque::new(),
            recent: Recent::default(),
            vanished: HashSet::new(),
            look: Look::Begun,
            roots_checked: Instant::now(),
            noted: None,
        };
        let listener = Listener::new(Arc::clone(&kernel.shared));
        kernel.spawn("flow-watch", || listener.run())?;
        let scanner = Scanner::new(Arc::clone(&kernel.shared));
        kernel.spawn("flow-watch-scan", || scanner.run())?;
        Ok(kernel)
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
        // What it says is said by the flow.
        let span = tracing::Span::current();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || span.in_scope(run))
            .map_err(|error| Failure::temporary(format!("no thread to watch with: {error}")))?;
        self.threads.push(thread);
        Ok(())
    }

    fn trouble(&self) -> Result<(), Failure> {
        let mut trouble = self
            .shared
            .trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        trouble.take().map_or(Ok(()), Err)
    }

    pub(crate) async fn gather(
        &mut self,
        limit: usize,
        state: &dyn State,
    ) -> Result<Gathered, Failure> {
        match self.look {
            Look::Begun => {
                self.look = Look::Going;
                self.settle_in(FIRST).await;
            }
            Look::Going | Look::Through(_) => self.settle_in(PATIENCE).await,
            Look::Over => {}
        }
        if self.roots_checked.elapsed() >= ROOTS {
            self.roots_checked = Instant::now();
            self.shared.check_roots();
            self.shared.retry_closed();
        }
        let mut messages = Vec::new();
        loop {
            self.trouble()?;
            self.take(limit - messages.len());
            if self.rest.is_empty() {
                break;
            }
            let works: Vec<Work> = self.rest.iter().map(|(work, _)| work.clone()).collect();
            let announcer = Arc::clone(&self.shared.announcer);
            // Dropping this future keeps what is in `rest`.
            let span = tracing::Span::current();
            let page = move || span.in_scope(|| announcer.page(&works, PATIENCE));
            let made = tokio::task::spawn_blocking(page)
                .await
                .map_err(|panic| Failure::Permanent(format!("reading files failed: {panic}")))?;
            let done: Vec<_> = self.rest.drain(..made.len()).collect();
            for (made, (work, since)) in made.into_iter().zip(done) {
                if let Some(message) = self.judge(made, work, since) {
                    messages.push(message);
                }
            }
            if !messages.is_empty() {
                break;
            }
        }
        if self.rest.is_empty() && self.shared.queue.is_empty() && self.shared.jobs().idle() {
            self.shared.pending().all_told();
            self.end_look();
        }
        let more = self.look != Look::Over || !messages.is_empty() && self.is_due();
        if !messages.is_empty() || self.noted.is_none() {
            self.note(state)?;
        }
        self.shared.announcer.mix(&mut messages);
        Ok(Gathered { messages, more })
    }

    /// The tree was looked through: what was found that may be written at this time is still looked at
    /// again, so that a flow that runs once leaves nothing behind that was there before it.
    fn end_look(&mut self) {
        let since = match self.look {
            Look::Begun | Look::Going => Instant::now(),
            Look::Through(since) => since,
            Look::Over => return,
        };
        let waits = self.shared.pending().len() > 0;
        self.look = match waits && since.elapsed() < 2 * UNSURE {
            true => Look::Through(since),
            false => Look::Over,
        };
    }

    /// Waits a little until everything is watched, or the scan has found something.
    async fn settle_in(&self, patience: Duration) {
        let deadline = tokio::time::Instant::now() + patience;
        while !self.shared.jobs().idle() && self.shared.queue.is_empty() {
            let changed = self.shared.notify.notified();
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return;
            }
        }
        // Whatever it was rung for is looked at now.
        self.shared.notify.notify_one();
    }

    /// Takes what is due: what was told comes before what was found.
    fn take(&mut self, limit: usize) {
        let room = limit.saturating_sub(self.rest.len());
        let told = self.shared.pending().take(room, Instant::now());
        let room = room - told.len();
        self.rest.extend(told);
        if room > 0 {
            let now = Moment::now();
            let found = self.shared.queue.take(room);
            self.rest.extend(found.into_iter().map(|work| (work, now)));
        }
    }

    fn judge(&mut self, made: Made, work: Work, since: Moment) -> Option<Message> {
        let Work { path, op } = work;
        match &op {
            Op::Remove { directory: true }
            | Op::Rename {
                directory: true, ..
            } => self.recent.clear(),
            Op::Remove { .. } => self.recent.forget(&path),
            Op::Rename { from, .. } => self.recent.forget(from),
            Op::Write { .. } | Op::Mkdir => {}
        }
        match made {
            Made::Message { message, print } => {
                let known = print.is_some_and(|print| self.recent.knows(&path, print));
                let again = known && matches!(op, Op::Write { .. } | Op::Mkdir);
                (!again).then_some(*message)
            }
            Made::Nothing | Made::Impossible => None,
            Made::Vanished => {
                self.look_elsewhere(path, op, since);
                None
            }
            // It keeps what is noted from going past it.
            Made::Closed => {
                let due = Instant::now() + RETRY;
                let mut pending = self.shared.pending();
                match op {
                    Op::Mkdir => pending.hold_directory(&path, due, since),
                    Op::Write { new, unsure } => {
                        pending.hold(path, due, (new, false, unsure), since);
                    }
                    _ => pending.hold(path, due, (false, false, false), since),
                }
                None
            }
            Made::Later(wait) => {
                if let Op::Write { new, unsure } = op {
                    let due = Instant::now() + wait;
                    // It may have been told of before, so its removal will be.
                    let fresh = false;
                    self.shared
                        .pending()
                        .hold(path, due, (new, fresh, unsure), since);
                }
                None
            }
        }
    }

    /// Something is not where it was: a directory above it may have been renamed, as the kernel has
    /// told meanwhile or is about to tell. Renamed itself, or removed, it is told of anyway.
    fn look_elsewhere(&mut self, path: PathBuf, op: Op, since: Moment) {
        let now = Moment::now();
        let mut pending = self.shared.pending();
        let elsewhere = pending.now_at(&path);
        match (op, elsewhere) {
            (Op::Mkdir, Some(path)) => pending.mkdir(path, now),
            (Op::Write { new, unsure }, elsewhere) => {
                if elsewhere.is_none() && !self.vanished.insert(path.clone()) {
                    self.vanished.remove(&path);
                    return;
                }
                let due = now.steady + UNSURE;
                // Under another name it was not asked for yet, so it is known once the kernel has
                // told all it has to tell now.
                let held = Moment {
                    wall: since.wall,
                    ..now
                };
                let path = elsewhere.unwrap_or(path);
                pending.hold(path, due, (new, false, unsure), held);
            }
            _ => {}
        }
        if self.vanished.len() > VANISHED {
            self.vanished.clear();
        }
    }

    /// When it is tried again to look at what may not be read.
    fn retry_due(&self) -> Option<Instant> {
        let closed = !self.shared.closed().is_empty();
        closed.then(|| self.roots_checked + ROOTS)
    }

    fn is_due(&self) -> bool {
        let told = self.shared.pending().next_due();
        let told = told.into_iter().chain(self.retry_due()).min();
        !self.rest.is_empty()
            || !self.shared.queue.is_empty()
            || told.is_some_and(|due| due <= Instant::now())
    }

    /// Remembers until when nothing was missed.
    pub(crate) fn note(&mut self, state: &dyn State) -> Result<(), Failure> {
        let now = Moment::now();
        let told = self.shared.pending().safe(now);
        let jobs = self.shared.jobs();
        let scanned = if jobs.idle() && self.shared.queue.is_empty() && self.rest.is_empty() {
            Some(told)
        } else {
            jobs.since
        };
        drop(jobs);
        let Some(until) = scanned.map(|scanned| scanned.min(told)) else {
            return Ok(());
        };
        if self.noted != Some(until) {
            state.put(UNTIL, Some(until.to_string().into_bytes()), None)?;
            self.noted = Some(until);
        }
        Ok(())
    }

    /// Waits until something is due; says whether it is.
    pub(crate) async fn wait(&self, timeout: Duration, wanted: &Notify) -> bool {
        let deadline = Instant::now() + timeout;
        loop {
            let rung = self.shared.notify.notified();
            if self.is_due() || self.in_trouble() {
                return true;
            }
            let next = self.shared.pending().next_due();
            let next = next.into_iter().chain(self.retry_due()).min();
            let until = next.map_or(deadline, |next| next.min(deadline));
            tokio::select! {
                () = rung => {}
                () = wanted.notified() => return false,
                () = tokio::time::sleep_until(until.into()) => {
                    if until == deadline {
                        return false;
                    }
                }
            }
        }
    }

    fn in_trouble(&self) -> bool {
        let trouble = self.shared.trouble.lock();
        trouble.unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(crate) async fn stop(&mut self) {
        self.shared.close();
        let threads = std::mem::take(&mut self.threads);
        let join = move || threads.into_iter().for_each(|thread| drop(thread.join()));
        // A thread that panicked has said so.
        let _ = tokio::task::spawn_blocking(join).await;
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        self.shared.close();
    }
}
