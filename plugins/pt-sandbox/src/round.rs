//! The scans of one call: all under way at once, each looked at in its time.
//!
//! Requests of a guest are made one after the other, so what overlaps is the scanning: scans are asked
//! for first and their verdicts later, up to `max_in_flight` of them. After `hold` the call ends, and
//! messages without a verdict are put aside with a ticket.
//!
//! # Invariants
//! - Every message is asked about once at least, however short `hold` is, unless the sandbox is away.
//! - A scan is asked for once more at most where the sandbox has forgotten it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use flow_plugin::time::Time;
use flow_plugin::{Failure, Message, Result, log, metrics, open};

use crate::api::{Client, Trouble, safe_name};
use crate::options::Settings;
use crate::policy::{State, Verdict};
use crate::ticket::{self, Cache, Ticket, Under};

/// Questions about one scan that may fail in a row.
const FAILED_MAX: u32 = 3;
/// Scans of a call that may fail in a row before the rest is left for later.
const BROKEN_MAX: u32 = 3;
/// Uploads begin for so long, however short `hold` is.
const STARTS: Duration = Duration::from_secs(1);

/// How a message left the round.
#[derive(Debug)]
pub(crate) enum End {
    Verdict(Verdict),
    /// Put aside.
    Wait(Duration, String),
    Fail(Failure),
}

/// A message on its way.
#[derive(Debug)]
struct Task<'a> {
    number: usize,
    message: &'a Message,
    since: i64,
    sha256: Option<String>,
    scan_id: String,
    /// The scan was asked for by an earlier call.
    resumed: bool,
    /// It was asked for twice.
    again: bool,
    failed: u32,
    /// When the scan was asked for, in the time of the round.
    began: Duration,
    next: Duration,
    asked: bool,
}

/// Time of the round. What was slept counts even where clocks stand still.
#[derive(Debug)]
struct Watch {
    start: Instant,
    slept: Duration,
}

impl Watch {
    fn now(&self) -> Duration {
        self.start.elapsed().max(self.slept)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a guest is a fiber of its own: nothing else waits with it"
    )]
    fn sleep(&mut self, time: Duration) {
        std::thread::sleep(time);
        self.slept += time;
    }
}

/// The scans of one call.
#[derive(Debug)]
pub(crate) struct Round<'a> {
    settings: &'a Settings,
    client: &'a Client<'a>,
    cache: Option<Cache>,
    watch: Watch,
    queue: VecDeque<Task<'a>>,
    active: Vec<Task<'a>>,
    ends: Vec<Option<End>>,
    /// Scans of other calls.
    elsewhere: usize,
    broken: u32,
    /// Why nothing more is asked.
    away: Option<Failure>,
}

impl<'a> Round<'a> {
    pub(crate) fn new(settings: &'a Settings, client: &'a Client<'a>) -> Self {
        Self {
            settings,
            client,
            cache: Cache::new(settings),
            watch: Watch {
                start: Instant::now(),
                slept: Duration::ZERO,
            },
            queue: VecDeque::new(),
            active: Vec::new(),
            ends: Vec::new(),
            elsewhere: 0,
            broken: 0,
            away: None,
        }
    }

    /// Has every message scanned; the ends are in their order.
    pub(crate) fn run(mut self, messages: &[&'a Message]) -> Vec<End> {
        self.ends.resize_with(messages.len(), || None);
        for (number, message) in messages.iter().enumerate() {
            if let Err(failure) = self.take(message, number) {
                self.ends[number] = Some(End::Fail(failure));
            }
        }
        // Those of this call are among them.
        let most = self.settings.in_flight + self.active.len();
        self.elsewhere = ticket::put_aside(most)
            .unwrap_or(0)
            .saturating_sub(self.active.len());
        while self.step() {}
        self.put_aside();
        let lost = || End::Fail(Failure::temporary("the scan was not looked at"));
        self.ends
            .into_iter()
            .map(|end| end.unwrap_or_else(lost))
            .collect()
    }

    /// Takes a message in: it may have a scan already.
    fn take(&mut self, message: &'a Message, number: usize) -> Result<()> {
        let size = open(message.id)?.size();
        if size > self.settings.max_size {
            let why = format!("its {size} bytes are more than `max_size`");
            self.ends[number] = Some(End::Verdict(Verdict::unscanned(State::Unscanned, why)));
            return Ok(());
        }
        let ticket = Ticket::of(&message.key)?;
        let now = Time::now().unix();
        let since = ticket.as_ref().map_or(now, |ticket| ticket.since.min(now));
        let mut task = Task {
            number,
            message,
            since,
            sha256: None,
            scan_id: String::new(),
            resumed: false,
            again: false,
            failed: 0,
            began: Duration::ZERO,
            next: Duration::ZERO,
            asked: false,
        };
        match ticket.and_then(|ticket| ticket.scan) {
            Some(Under { scan_id, sha256 }) => {
                (task.scan_id, task.sha256, task.resumed) = (scan_id, Some(sha256), true);
                self.active.push(task);
            }
            None => self.queue.push_back(task),
        }
        Ok(())
    }

    /// Begins a scan and asks about another, or waits; says whether there is more to do in this call.
    fn step(&mut self) -> bool {
        if self.away.is_some() {
            return false;
        }
        let started = self.may_start() && self.start_next();
        let now = self.watch.now();
        let soonest = (0..self.active.len()).min_by_key(|at| self.active[*at].next);
        let Some(at) = soonest else {
            return started || self.may_start();
        };
        let task = &self.active[at];
        let over = now >= self.settings.hold;
        if task.next <= now && (!over || !task.asked) {
            let task = self.active.swap_remove(at);
            self.check(task);
            return true;
        }
        if started || self.may_start() {
            return true;
        }
        if over {
            // Those that were never asked about come first.
            match self.active.iter().position(|task| !task.asked) {
                Some(at) => {
                    let task = self.active.swap_remove(at);
                    self.check(task);
                    return true;
                }
                None => return false,
            }
        }
        let until = task.next.min(self.settings.hold);
        self.watch.sleep(until.saturating_sub(now));
        true
    }

    fn may_start(&self) -> bool {
        let room = self.elsewhere + self.active.len() < self.settings.in_flight;
        // Tickets of messages that never come again do not stop everything.
        let room = room || self.active.is_empty();
        let time = self.watch.now() < self.settings.hold.max(STARTS);
        !self.queue.is_empty() && room && (time || self.active.is_empty() && self.nothing_done())
    }

    fn nothing_done(&self) -> bool {
        self.ends.iter().all(Option::is_none)
    }

    /// Begins the next scan; says whether there was one.
    fn start_next(&mut self) -> bool {
        let Some(mut task) = self.queue.pop_front() else {
            return false;
        };
        match self.start(&mut task) {
            Ok(Some(verdict)) => {
                self.broken = 0;
                self.end(task, verdict);
            }
            Ok(None) => {
                self.broken = 0;
                task.began = self.watch.now();
                task.next = task.began;
                self.active.push(task);
            }
            Err(trouble) => self.failed(task, trouble),
        }
        true
    }

    /// Has content scanned; a verdict may be there at once.
    fn start(&mut self, task: &mut Task<'a>) -> std::result::Result<Option<Verdict>, Trouble> {
        if let Some(cache) = &self.cache {
            let sha256 = ticket::fingerprint(task.message)?;
            let known = cache.get(&sha256)?;
            task.sha256 = Some(sha256);
            if known.is_some() {
                metrics::count("verdicts_remembered", 1);
                return Ok(known);
            }
        }
        let name = task.message.filename.as_deref();
        let name = safe_name(name.unwrap_or(&task.message.rel_path));
        let content = || open(task.message.id);
        let started = if self.settings.one_step {
            self.client.scan_file(content()?, &name)?
        } else {
            let uri = self.client.upload(content()?)?;
            match self.client.create(&uri, &name) {
                // It was dropped there meanwhile.
                Err(Trouble::Gone) => {
                    let uri = self.client.upload(content()?)?;
                    self.client.create(&uri, &name)?
                }
                other => other?,
            }
        };
        metrics::count("scans_started", 1);
        task.scan_id = started.scan_id;
        // One that was not asked for here may be anybody's: it is asked about by its id.
        Ok(started.verdict.filter(|_| self.settings.held))
    }

    fn check(&mut self, mut task: Task<'a>) {
        task.asked = true;
        match self.client.check(&task.scan_id) {
            Ok(Some(verdict)) => match self.is_same(&mut task) {
                Ok(true) => self.end(task, verdict),
                Ok(false) => {
                    log::warn(format!(
                        "`{}` has changed since its scan was asked for; it is scanned again",
                        task.message.rel_path
                    ));
                    self.ask_again(task);
                }
                Err(failure) => self.fail(&task, failure),
            },
            Ok(None) => {
                task.failed = 0;
                task.next = self.watch.now() + self.interval(&task);
                self.active.push(task);
            }
            Err(Trouble::Gone) if !task.again => {
                log::warn(format!(
                    "the sandbox has forgotten the scan `{}` of `{}`; it is asked for again",
                    task.scan_id, task.message.rel_path
                ));
                self.ask_again(task);
            }
            Err(Trouble::Failure(Failure::Temporary(_))) if task.failed + 1 < FAILED_MAX => {
                task.failed += 1;
                task.next = self.watch.now() + self.interval(&task);
                self.active.push(task);
            }
            Err(trouble) => self.failed(task, trouble),
        }
    }

    /// Whether the content is still that which the scan is about.
    fn is_same(&self, task: &mut Task<'a>) -> Result<bool> {
        if !task.resumed {
            return Ok(true);
        }
        let now = ticket::fingerprint(task.message)?;
        let same = task.sha256.as_ref() == Some(&now);
        task.sha256 = Some(now);
        Ok(same)
    }

    fn ask_again(&mut self, mut task: Task<'a>) {
        (task.again, task.resumed, task.asked) = (true, false, false);
        task.scan_id.clear();
        self.queue.push_front(task);
    }

    /// Time until a scan is asked about again: the longer it takes, the less a moment counts.
    fn interval(&self, task: &Task<'_>) -> Duration {
        let age = match task.resumed {
            true => Duration::from_secs(self.age(task)),
            false => self.watch.now().saturating_sub(task.began),
        };
        (age / 40).clamp(self.settings.poll, self.settings.poll_max)
    }

    fn age(&self, task: &Task<'_>) -> u64 {
        u64::try_from(Time::now().unix() - task.since).unwrap_or(0)
    }

    fn is_late(&self, task: &Task<'_>) -> bool {
        let give_up = self.settings.give_up;
        give_up.is_some_and(|give_up| self.age(task) >= give_up.as_secs().max(1))
    }

    fn end(&mut self, task: Task<'a>, verdict: Verdict) {
        let sha256 = task.sha256.as_ref();
        let noted = match (&self.cache, sha256) {
            (Some(cache), Some(sha256)) => cache.put(sha256, &verdict),
            _ => Ok(()),
        };
        let noted = noted.and_then(|()| Ticket::forget(&task.message.key));
        if let Err(failure) = noted {
            log::warn(format!("a verdict could not be noted: {failure:?}"));
        }
        self.ends[task.number] = Some(End::Verdict(verdict));
    }

    fn failed(&mut self, mut task: Task<'a>, trouble: Trouble) {
        let failure = match trouble {
            Trouble::Refused(why) => {
                let verdict = Verdict::unscanned(State::Error, why);
                return self.end(task, verdict);
            }
            Trouble::Gone => {
                task.scan_id.clear();
                Failure::temporary("the sandbox forgets what it is given before it is scanned")
            }
            Trouble::Away(failure) => {
                self.away = Some(failure.clone());
                failure
            }
            Trouble::Failure(failure) => {
                self.broken += 1;
                let all = !matches!(failure, Failure::Temporary(_) | Failure::Permanent(_));
                if all || self.broken >= BROKEN_MAX {
                    self.away = Some(failure.clone());
                }
                failure
            }
        };
        self.fail(&task, failure);
    }

    /// Leaves a message for another try, with what is known of it.
    fn fail(&mut self, task: &Task<'a>, failure: Failure) {
        let waited = matches!(failure, Failure::Temporary(_)) && self.is_late(task);
        self.ends[task.number] = Some(match waited {
            true => End::Verdict(self.late(task, failure.reason())),
            false => End::Fail(self.keep(task).err().unwrap_or(failure)),
        });
    }

    fn late(&self, task: &Task<'_>, why: &str) -> Verdict {
        if let Err(failure) = Ticket::forget(&task.message.key) {
            log::warn(format!("a ticket could not be forgotten: {failure:?}"));
        }
        Verdict {
            scan_id: task.scan_id.clone(),
            late: true,
            ..Verdict::unscanned(
                State::Error,
                format!("no verdict in {} s: {why}", self.age(task)),
            )
        }
    }

    fn keep(&self, task: &Task<'_>) -> Result<()> {
        let scan = match task.scan_id.as_str() {
            "" => None,
            scan_id => Some(Under {
                scan_id: scan_id.to_owned(),
                sha256: match &task.sha256 {
                    Some(sha256) => sha256.clone(),
                    None => ticket::fingerprint(task.message)?,
                },
            }),
        };
        let ticket = Ticket {
            since: task.since,
            scan,
        };
        ticket.keep(&task.message.key, self.settings)
    }

    /// Ends the call for those without a verdict.
    fn put_aside(&mut self) {
        for task in std::mem::take(&mut self.active) {
            let end = match (&self.away, self.is_late(&task)) {
                // It may be over by now, but nobody says so.
                (Some(failure), _) => {
                    let failure = failure.clone();
                    self.fail(&task, failure);
                    continue;
                }
                (None, true) => End::Verdict(self.late(&task, "the scan is still under way")),
                (None, false) => match self.keep(&task) {
                    Ok(()) => End::Wait(self.interval(&task), "the sandbox is scanning it".into()),
                    Err(failure) => End::Fail(failure),
                },
            };
            self.ends[task.number] = Some(end);
        }
        for task in std::mem::take(&mut self.queue) {
            if let Some(failure) = self.away.clone() {
                self.fail(&task, failure);
                continue;
            }
            let end = if self.is_late(&task) {
                End::Verdict(self.late(&task, "too many scans are under way"))
            } else {
                match self.keep(&task) {
                    Ok(()) => End::Wait(
                        self.settings.poll,
                        format!(
                            "{} scans are under way, the most there may be",
                            self.settings.in_flight
                        ),
                    ),
                    Err(failure) => End::Fail(failure),
                }
            };
            self.ends[task.number] = Some(end);
        }
    }
}
