//! All flows of the background process: starting, stopping, reading again, telling how they are.
//!
//! Commands that change something come one after the other; looking never waits for them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use flow_config::FlowName;
use jiff::Timestamp;
use tokio::time::Instant;

use super::overview::overview;
use super::protocol::{Became, FlowStatus, Outcome, Process, Status};
use super::reading::{self, Read};
use super::room::Room;
use super::started::{Started, Wanted};
use super::task::{Phase, Task};
use super::words::words;
use super::{Journal, Weight};
use crate::health::Health;
use crate::metrics::{self, Sample};
use crate::{Engine, Error};

/// How long a command waits to hear whether flows started. They go on starting after that.
const PATIENCE: Duration = Duration::from_secs(5);

/// Starts, stops and shows flows. Clones are the same supervisor.
#[derive(Clone)]
pub struct Supervisor {
    shared: Arc<Shared>,
}

struct Shared {
    /// With what its directory of plugins held when it was made.
    engine: Mutex<(Engine, u64)>,
    journal: Arc<dyn Journal>,
    started: Option<Started>,
    room: Arc<Room>,
    tasks: Mutex<Tasks>,
    /// Whether flows that are new belong to what should run.
    all: AtomicBool,
    /// Set once everything ends: nothing starts any more.
    closing: AtomicBool,
    order: tokio::sync::Mutex<()>,
    since: Timestamp,
}

type Tasks = BTreeMap<FlowName, Arc<Task>>;
/// Flows with how reading them went.
type Readings = Vec<(FlowName, Result<Read, Error>)>;

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these, and if, the map is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn outcome(flow: &FlowName, result: Became, text: impl Into<String>) -> Outcome {
    Outcome {
        flow: flow.to_string(),
        result,
        text: text.into(),
    }
}

impl Supervisor {
    pub(super) fn new(engine: Engine, journal: Arc<dyn Journal>, started: Option<Started>) -> Self {
        let plugins = reading::plugins(&engine.directories().config);
        Self {
            shared: Arc::new(Shared {
                engine: Mutex::new((engine, plugins)),
                journal,
                started,
                room: Arc::default(),
                tasks: Mutex::default(),
                all: AtomicBool::new(false),
                closing: AtomicBool::new(false),
                order: tokio::sync::Mutex::default(),
                since: Timestamp::now(),
            }),
        }
    }

    /// Starts flows that do not run, and waits a while for how that goes. `all`: these are all there
    /// are, so that a reload starts those that are new.
    pub async fn start(&self, names: Vec<FlowName>, all: bool) -> Vec<Outcome> {
        let _order = self.shared.order.lock().await;
        if all {
            self.shared.all.store(true, Ordering::Relaxed);
        }
        let mut outcomes = Vec::new();
        let (mut wanted, mut waiting) = (Vec::new(), Vec::new());
        for name in names {
            let standing = self.task(&name).map(|task| task.standing());
            match standing {
                // Who asks for it does not want to wait.
                Some(standing) if standing.phase == Phase::Waiting => {
                    waiting.push(name.clone());
                    wanted.push(name);
                }
                Some(standing) if !standing.phase.is_over() => {
                    let result = match standing.phase {
                        Phase::Running => Became::Running,
                        phase => phase.became(),
                    };
                    outcomes.push(outcome(&name, result, standing.reason.unwrap_or_default()));
                }
                _ if self.engine().is_disabled(&name) => {
                    outcomes.push(outcome(&name, Became::Disabled, ""));
                }
                _ => wanted.push(name),
            }
        }
        self.halt(waiting, PATIENCE).await;
        outcomes.extend(self.begin(wanted).await);
        self.conclude(&outcomes);
        outcomes
    }

    /// Drains flows; what takes longer than `grace` is dropped.
    pub async fn stop(&self, names: Vec<FlowName>, grace: Duration) -> Vec<Outcome> {
        let _order = self.shared.order.lock().await;
        let outcomes = self.halt(names, grace).await;
        self.conclude(&outcomes);
        outcomes
    }

    /// As [`stop`](Self::stop), for every flow.
    pub async fn stop_all(&self, grace: Duration) -> Vec<Outcome> {
        let _order = self.shared.order.lock().await;
        self.shared.closing.store(true, Ordering::Relaxed);
        let names = hold(&self.shared.tasks).keys().cloned().collect();
        let outcomes = self.halt(names, grace).await;
        self.conclude(&outcomes);
        outcomes
    }

    /// The process ends: all flows drain, but they should still run, so they stay written down.
    /// Waits for no command.
    pub(super) async fn drain(&self, grace: Duration) {
        self.shared.closing.store(true, Ordering::Relaxed);
        let names = hold(&self.shared.tasks).keys().cloned().collect();
        self.halt(names, grace).await;
    }

    /// Stops and starts flows. One that has errors now goes on as it was.
    pub async fn restart(&self, names: Vec<FlowName>, grace: Duration) -> Vec<Outcome> {
        let _order = self.shared.order.lock().await;
        self.refresh();
        let readings = self.read(names).await;
        let outcomes = self.replace(readings, true, grace).await;
        self.conclude(&outcomes);
        outcomes
    }

    /// Reads flows again; with no names all that should run. Those that changed are restarted, those
    /// that failed are tried, those that are gone are stopped, and one that has errors now goes on
    /// as it was.
    pub async fn reload(&self, names: Vec<FlowName>, grace: Duration) -> Vec<Outcome> {
        let _order = self.shared.order.lock().await;
        self.refresh();
        let engine = self.engine();
        let names = if names.is_empty() {
            let mut names: Vec<FlowName> = hold(&self.shared.tasks).keys().cloned().collect();
            if self.shared.all.load(Ordering::Relaxed) {
                let files = engine.flow_files().unwrap_or_default();
                let new = files
                    .into_iter()
                    .filter(|name| self.task(name).is_none() && !engine.is_disabled(name));
                names.extend(new);
            }
            names
        } else {
            names
        };
        let (there, gone): (Vec<_>, Vec<_>) = names
            .into_iter()
            .partition(|name| engine.source().path(name).exists());
        let mut outcomes = self.halt(gone, grace).await;
        for outcome in &mut outcomes {
            outcome.result = Became::Removed;
        }
        let readings = self.read(there).await;
        outcomes.extend(self.replace(readings, false, grace).await);
        self.conclude(&outcomes);
        outcomes.sort_by(|one, other| one.flow.cmp(&other.flow));
        outcomes
    }

    /// Tries what should run and does not, and restarts what hangs. Says nothing of flows that are well.
    pub async fn sanity(&self, grace: Duration) -> Vec<Outcome> {
        let unwell: Vec<FlowName> = hold(&self.shared.tasks)
            .iter()
            .filter(|(name, task)| match task.standing().phase {
                Phase::Failed => true,
                Phase::Running => task.is_hung(),
                // A post has done what it should.
                Phase::Ended => !name.kind.ends(),
                _ => false,
            })
            .map(|(name, _)| name.clone())
            .collect();
        let mut outcomes = if unwell.is_empty() {
            Vec::new()
        } else {
            self.restart(unwell, grace).await
        };
        for (name, task) in hold(&self.shared.tasks).iter() {
            let standing = task.standing();
            let told = outcomes.iter().any(|one| one.flow == name.to_string());
            if standing.phase == Phase::Waiting && !told {
                let reason = standing.reason.unwrap_or_default();
                outcomes.push(outcome(name, Became::Waiting, reason));
            }
        }
        // What ended meanwhile has done what it should.
        self.remember();
        outcomes
    }

    /// How things are. Flows that are not the process's business are left to who asks.
    pub fn status(&self) -> Status {
        let flows: Vec<FlowStatus> = hold(&self.shared.tasks)
            .values()
            .map(|task| task.status())
            .collect();
        let engine = self.engine();
        Status {
            process: Some(Process {
                pid: std::process::id(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                since: self.shared.since.to_string(),
                config: engine.directories().config.display().to_string(),
                memory: memory(),
            }),
            flows,
        }
    }

    fn engine(&self) -> Engine {
        hold(&self.shared.engine).0.clone()
    }

    fn task(&self, name: &FlowName) -> Option<Arc<Task>> {
        hold(&self.shared.tasks).get(name).cloned()
    }

    /// Plugins are kept once they are loaded, so new files want a new engine.
    fn refresh(&self) {
        let mut held = hold(&self.shared.engine);
        let now = reading::plugins(&held.0.directories().config);
        if held.1 != now {
            *held = (held.0.fresh(), now);
        }
    }

    /// Reads flows, off the async threads: a plugin may have to be compiled.
    async fn read(&self, names: Vec<FlowName>) -> Readings {
        let engine = self.engine();
        let read = move || {
            let readings = names.into_iter().map(|name| {
                let reading = reading::read(&engine, &name);
                (name, reading)
            });
            readings.collect()
        };
        // Reading does not panic; if it does, nothing is started.
        tokio::task::spawn_blocking(read).await.unwrap_or_default()
    }

    async fn begin(&self, names: Vec<FlowName>) -> Vec<Outcome> {
        let readings = self.read(names).await;
        let begun: Vec<_> = readings
            .into_iter()
            .map(|(name, reading)| self.launch(name, reading))
            .collect();
        settle(begun).await
    }

    /// Starts what was read.
    fn launch(&self, name: FlowName, reading: Result<Read, Error>) -> (FlowName, Arc<Task>) {
        let journal = &self.shared.journal;
        let task = match reading {
            Ok(_) if self.shared.closing.load(Ordering::Relaxed) => {
                Task::failed(name.clone(), "the background process is ending".into())
            }
            Ok(read) => {
                if !read.warnings.is_empty() {
                    let text = read.warnings.render(false);
                    journal.note(Some(&name), Weight::Warning, text.trim_end());
                }
                let (journal, room) = (Arc::clone(journal), Arc::clone(&self.shared.room));
                Task::start(self.engine(), journal, room, read.flow, read.print)
            }
            Err(error) => {
                let reason = words(&error);
                journal.note(
                    Some(&name),
                    Weight::Error,
                    &format!("not started:\n{reason}"),
                );
                Task::failed(name.clone(), reason)
            }
        };
        let task = Arc::new(task);
        hold(&self.shared.tasks).insert(name.clone(), Arc::clone(&task));
        (name, task)
    }

    /// Stops and starts those whose files changed, or all of them.
    async fn replace(&self, readings: Readings, all: bool, grace: Duration) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        let mut changed = Vec::new();
        for (name, reading) in readings {
            let task = self.task(&name);
            let phase = task.as_ref().map(|task| task.standing().phase);
            let runs = phase.is_some_and(|phase| !phase.is_over());
            // One that waits after a failure has nothing to lose; one that ended is as it should be.
            let well = match phase {
                Some(Phase::Waiting) => false,
                Some(Phase::Ended) => true,
                _ => runs,
            };
            let print = task.and_then(|task| task.print);
            match reading {
                Err(error) if well => {
                    let text = words(&error);
                    let note = format!("goes on as it was, for its file has errors now:\n{text}");
                    self.shared.journal.note(Some(&name), Weight::Error, &note);
                    outcomes.push(outcome(&name, Became::Kept, text));
                }
                Ok(read) if well && !all && print == Some(read.print) => {
                    outcomes.push(outcome(&name, Became::Unchanged, ""));
                }
                reading => changed.push((name, reading, runs)),
            }
        }
        let running = changed.iter().filter(|(_, _, runs)| *runs);
        let names = running.map(|(name, _, _)| name.clone()).collect();
        let halted = self.halt(names, grace).await;
        let begun: Vec<_> = changed
            .into_iter()
            .map(|(name, reading, _)| self.launch(name, reading))
            .collect();
        for mut one in settle(begun).await {
            let ran = halted.iter().any(|halted| halted.flow == one.flow);
            if ran && one.result == Became::Started {
                one.result = Became::Restarted;
            }
            outcomes.push(one);
        }
        outcomes.sort_by(|one, other| one.flow.cmp(&other.flow));
        outcomes
    }

    /// Drains flows, all at the same time, and forgets them.
    async fn halt(&self, names: Vec<FlowName>, grace: Duration) -> Vec<Outcome> {
        let deadline = Instant::now() + grace;
        let tasks: Vec<_> = names
            .into_iter()
            .map(|name| {
                let task = self.task(&name);
                (name, task)
            })
            .collect();
        for (_, task) in &tasks {
            if let Some(task) = task {
                task.drain();
            }
        }
        let mut outcomes = Vec::new();
        for (name, task) in tasks {
            let Some(task) = task else {
                outcomes.push(outcome(&name, Became::NotRunning, ""));
                continue;
            };
            let result = if task.ended_by(deadline).await {
                Became::Stopped
            } else {
                let text = "took longer than the grace time and was dropped; \
                            what was in hand is done again at the next start";
                self.shared.journal.note(Some(&name), Weight::Warning, text);
                Became::Dropped
            };
            hold(&self.shared.tasks).remove(&name);
            outcomes.push(outcome(&name, result, ""));
        }
        outcomes
    }

    /// After something was asked for: writes down which flows should run, and tells the log of the
    /// process what became of those it was about.
    fn conclude(&self, outcomes: &[Outcome]) {
        self.remember();
        for outcome in outcomes {
            let weight = match outcome.result {
                // Nothing happened.
                Became::Running | Became::NotRunning | Became::Unchanged => continue,
                result if result.is_bad() => Weight::Warning,
                _ => Weight::Info,
            };
            let reason = outcome.text.lines().next().unwrap_or_default();
            let reason = match reason {
                "" => String::new(),
                reason => format!(": {reason}"),
            };
            let text = format!("{}: {}{reason}", outcome.flow, outcome.result.as_str());
            self.shared.journal.note(None, weight, &text);
        }
    }

    /// Writes down which flows should run.
    fn remember(&self) {
        let Some(started) = &self.shared.started else {
            return;
        };
        let wanted = Wanted {
            flows: hold(&self.shared.tasks)
                .iter()
                .filter(|(_, task)| task.standing().phase != Phase::Ended)
                .map(|(name, _)| name.clone())
                .collect(),
            all: self.shared.all.load(Ordering::Relaxed),
        };
        if let Err(error) = started.write(&wanted) {
            let text = format!("what should run can't be written down: {error}");
            self.shared.journal.note(None, Weight::Warning, &text);
        }
    }
}

#[async_trait]
impl metrics::Source for Supervisor {
    async fn flows(&self) -> Vec<Sample> {
        let status = self.status();
        // With the configuration directory away, what runs is still told.
        let status = overview(&self.engine(), status.clone()).unwrap_or(status);
        let samples = status.flows.into_iter().map(|flow| Sample {
            flow: flow.flow,
            health: Health {
                state: flow.state,
                reason: flow.reason,
            },
            restarts: flow.restarts.into(),
            figures: flow.figures,
        });
        samples.collect()
    }
}

/// Waits for how starts went, but not for ever.
async fn settle(begun: Vec<(FlowName, Arc<Task>)>) -> Vec<Outcome> {
    let deadline = Instant::now() + PATIENCE;
    let mut outcomes = Vec::with_capacity(begun.len());
    for (name, task) in begun {
        let standing = tokio::time::timeout_at(deadline, task.settled())
            .await
            .unwrap_or_else(|_| task.standing());
        let text = standing.reason.unwrap_or_default();
        outcomes.push(outcome(&name, standing.phase.became(), text));
    }
    outcomes
}

/// Bytes this process has in memory; zero where the system does not say.
fn memory() -> u64 {
    let Ok(text) = std::fs::read_to_string("/proc/self/statm") else {
        return 0;
    };
    let pages = text.split_whitespace().nth(1).and_then(|n| n.parse().ok());
    let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    pages.map_or(0, |pages: u64| pages * page)
}
