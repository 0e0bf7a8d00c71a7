//! Fake ports. What they stand for (brokers, origins) lives in a [`World`] that outlives workers, so
//! a test can crash one and start another.

#![allow(dead_code, reason = "each test file uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

pub(crate) mod flow;
pub(crate) mod plugins;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use flow_config::{CallbackSpec, Limits};
use flow_message::{Message, Timestamp};
use flow_runtime::ports::{
    Callback, CallbackFactory, Clock, Confirm, Consumer, Content, EntryPoints, Event, Failure,
    Gathered, Item, Observer, Outcome, Outgoing, PassCounts, Publisher, Received, Route,
    Settlement, State, Verdict, Worked,
};
use flow_runtime::{Drain, Links, Options, Ports, Store, Worker};
use tokio::sync::Notify;

/// 2026-01-01, where test time starts.
pub(crate) const START: i64 = 1_767_225_600;

/// A clock over tokio's, which a paused runtime advances by itself.
pub(crate) struct TestClock {
    base: Timestamp,
    zero: tokio::time::Instant,
}

impl TestClock {
    /// Starts `offset` after [`START`].
    pub(crate) fn new(offset: Duration) -> Self {
        let seconds = START + i64::try_from(offset.as_secs()).unwrap();
        Self {
            base: Timestamp::from_unix(seconds, 0),
            zero: tokio::time::Instant::now(),
        }
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let span = jiff::SignedDuration::try_from(self.zero.elapsed()).unwrap();
        Timestamp::from(self.base.as_jiff() + span)
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    fn random(&self) -> f64 {
        0.5
    }
}

/// A delivery in a fake queue.
#[derive(Debug, Clone)]
pub(crate) struct Queued {
    pub(crate) key: String,
    pub(crate) message: Result<Message, String>,
    pub(crate) tag: Option<u64>,
    pub(crate) redelivered: bool,
}

type CheckFn = dyn Fn(&World, &str, Option<&Outcome>) + Send + Sync;

/// What outlives workers.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) queue: Vec<Queued>,
    pub(crate) acked: Vec<String>,
    pub(crate) released: Vec<String>,
    /// Posts that were not there before, in order.
    pub(crate) posted: Vec<Outgoing>,
    pub(crate) keys: HashSet<String>,
    pub(crate) repeats: usize,
    /// How long a post takes.
    pub(crate) post_takes: Duration,
    /// Failures the publisher has ahead.
    pub(crate) post_failures: Vec<Failure>,
    /// Called before each ack and each settled call; panics where something is not durable yet.
    pub(crate) check: Option<Arc<CheckFn>>,
    pub(crate) settled: Vec<Outcome>,
    pub(crate) pauses: Vec<(String, Duration)>,
    pub(crate) events: Vec<String>,
    pub(crate) passes: Vec<PassCounts>,
    /// How often the observer wants to hear what waits, and what it heard: retry and dead letters.
    pub(crate) wants_waiting: Option<Duration>,
    pub(crate) waiting: Vec<(u64, u64)>,
    /// How messages ended, by path.
    pub(crate) fates: Vec<(String, flow_runtime::ports::Fate)>,
    /// What deliveries say of how they came, once they are asked.
    pub(crate) route: Option<Route>,
    pub(crate) asked_routes: bool,
    /// Whether the queue pushes, and how many messages it has that never come.
    pub(crate) pushes: bool,
    pub(crate) held_back: u64,
    pub(crate) next_tag: u64,
    pub(crate) queue_wanted: Arc<Notify>,
    pub(crate) stopped: usize,
    /// Steps fakes may take before the process is killed.
    pub(crate) steps_left: Option<usize>,
    pub(crate) kill: Arc<Notify>,
}

/// A world shared with fakes.
#[derive(Clone, Default)]
pub(crate) struct Shared(pub(crate) Arc<Mutex<World>>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    pub(crate) fn enqueue(&self, key: &str, message: Message) {
        let mut world = self.lock();
        world.queue.push(Queued {
            key: key.into(),
            message: Ok(message),
            tag: None,
            redelivered: false,
        });
        world.queue_wanted.notify_one();
    }

    /// A point where a process may be killed: between any two things a fake does.
    pub(crate) async fn step(&self) {
        let killed = {
            let mut world = self.lock();
            match world.steps_left.as_mut() {
                Some(0) => {
                    world.kill.notify_one();
                    true
                }
                Some(left) => {
                    *left -= 1;
                    false
                }
                None => false,
            }
        };
        if killed {
            std::future::pending::<()>().await;
        }
        tokio::task::yield_now().await;
    }

    pub(crate) fn posted_paths(&self) -> Vec<String> {
        self.lock()
            .posted
            .iter()
            .map(|post| post.message.rel_path.clone())
            .collect()
    }
}

pub(crate) fn message(path: &str) -> Message {
    Message::new(Timestamp::from_unix(START - 60, 0), "fake://origin/", path)
}

/// A consumer with the tags it holds.
pub(crate) struct FakeConsumer(pub(crate) Shared, HashSet<u64>);

impl FakeConsumer {
    pub(crate) fn new(world: Shared) -> Self {
        Self(world, HashSet::new())
    }
}

impl Drop for FakeConsumer {
    /// What was not acked is offered again.
    fn drop(&mut self) {
        let mut world = self.0.lock();
        for queued in &mut world.queue {
            if queued.tag.is_some_and(|tag| self.1.contains(&tag)) {
                queued.tag = None;
                queued.redelivered = true;
            }
        }
        world.queue_wanted.notify_one();
    }
}

#[async_trait]
impl Consumer for FakeConsumer {
    fn with_routes(&mut self) {
        self.0.lock().asked_routes = true;
    }

    fn is_pushed(&self) -> bool {
        self.0.lock().pushes
    }

    async fn receive(&mut self, limit: usize) -> Result<Vec<Received>, Failure> {
        self.0.step().await;
        let mut world = self.0.lock();
        let world = &mut *world;
        let mut received = Vec::new();
        for queued in world
            .queue
            .iter_mut()
            .filter(|queued| queued.tag.is_none())
            .take(limit)
        {
            world.next_tag += 1;
            queued.tag = Some(world.next_tag);
            self.1.insert(world.next_tag);
            received.push(Received {
                message: queued.message.clone(),
                tag: world.next_tag,
                key: queued.key.clone(),
                redelivered: queued.redelivered,
                route: world.route.clone(),
            });
        }
        Ok(received)
    }

    async fn ready(&mut self) -> Result<(), Failure> {
        loop {
            let wanted = {
                let world = self.0.lock();
                if world.queue.iter().any(|queued| queued.tag.is_none()) {
                    return Ok(());
                }
                Arc::clone(&world.queue_wanted)
            };
            wanted.notified().await;
        }
    }

    async fn settle(&mut self, settlements: &[(u64, Settlement)]) -> Result<(), Failure> {
        self.0.step().await;
        for (tag, settlement) in settlements {
            let (at, key, check) = {
                let world = self.0.lock();
                let at = world
                    .queue
                    .iter()
                    .position(|queued| queued.tag == Some(*tag));
                let at = at.unwrap_or_else(|| panic!("tag {tag} was settled before"));
                (at, world.queue[at].key.clone(), world.check.clone())
            };
            let mut world = self.0.lock();
            match settlement {
                Settlement::Ack => {
                    if let Some(check) = check {
                        check(&world, &key, None);
                    }
                    world.queue.remove(at);
                    world.acked.push(key);
                }
                Settlement::Release => {
                    world.queue[at].tag = None;
                    world.queue[at].redelivered = true;
                    world.released.push(key);
                }
            }
        }
        self.0.step().await;
        Ok(())
    }

    async fn depth(&mut self) -> Result<Option<u64>, Failure> {
        let world = self.0.lock();
        Ok(Some(world.queue.len() as u64 + world.held_back))
    }

    async fn close(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

pub(crate) struct FakePublisher(pub(crate) Shared);

#[async_trait]
impl Publisher for FakePublisher {
    async fn post(&mut self, batch: &[Outgoing]) -> Result<Vec<Confirm>, Failure> {
        self.0.step().await;
        let takes = self.0.lock().post_takes;
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        if let Some(failure) = { self.0.lock().post_failures.pop() } {
            return Err(failure);
        }
        let mut confirms = Vec::new();
        for outgoing in batch {
            {
                let mut world = self.0.lock();
                if outgoing.message.rel_path.ends_with(".unpostable") {
                    return Err(Failure::Permanent("the broker can't take it".into()));
                }
                let key = outgoing.key.clone().expect("posts carry keys");
                if world.keys.insert(key) {
                    world.posted.push(outgoing.clone());
                    confirms.push(Confirm::Posted);
                } else {
                    world.repeats += 1;
                    confirms.push(Confirm::Duplicate);
                }
            }
            self.0.step().await;
        }
        Ok(confirms)
    }

    async fn close(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

type GatherFn = dyn Fn(usize, &dyn State) -> Result<Gathered, Failure> + Send + Sync;
type JudgeFn = dyn Fn(&[Item], &dyn State) -> Result<Vec<Verdict>, Failure> + Send + Sync;
type WorkFn =
    dyn Fn(&[Item], &dyn Content, &dyn State) -> Result<Vec<Worked>, Failure> + Send + Sync;
type LookFn =
    dyn Fn(&[Item], &dyn Content, &dyn State) -> Result<Vec<Verdict>, Failure> + Send + Sync;
type SettledFn = dyn Fn(&[Outcome], &dyn State) -> Result<(), Failure> + Send + Sync;
type StartFn = dyn Fn(u32) -> Result<Option<u32>, Failure> + Send + Sync;

/// A plugin made of closures; what is none it does not export.
#[derive(Clone, Default)]
pub(crate) struct Plugin {
    pub(crate) gather: Option<Arc<GatherFn>>,
    pub(crate) after_accept: Option<Arc<JudgeFn>>,
    pub(crate) download: Option<Arc<WorkFn>>,
    pub(crate) send: Option<Arc<WorkFn>>,
    pub(crate) after_work: Option<Arc<LookFn>>,
    pub(crate) settled: Option<Arc<SettledFn>>,
    pub(crate) start: Option<Arc<StartFn>>,
    /// Fires when the origin calls.
    pub(crate) wake: Option<Arc<Notify>>,
    /// How long a download takes.
    pub(crate) takes: Duration,
}

pub(crate) struct FakeFactory {
    pub(crate) world: Shared,
    pub(crate) plugins: Vec<Plugin>,
}

#[async_trait]
impl CallbackFactory for FakeFactory {
    async fn create(&self, index: usize, instance: u32) -> Result<Box<dyn Callback>, Failure> {
        let plugin = self.plugins[index].clone();
        Ok(Box::new(FakeCallback {
            world: self.world.clone(),
            plugin,
            name: format!("plugin-{index}"),
            instance,
            schemes: vec!["fake".into()],
        }))
    }
}

struct FakeCallback {
    world: Shared,
    plugin: Plugin,
    name: String,
    instance: u32,
    schemes: Vec<String>,
}

#[async_trait]
impl Callback for FakeCallback {
    fn name(&self) -> &str {
        &self.name
    }

    fn entry_points(&self) -> EntryPoints {
        EntryPoints {
            lifecycle: true,
            gather: self.plugin.gather.is_some(),
            wake: self.plugin.wake.is_some(),
            settled: self.plugin.settled.is_some(),
            after_accept: self.plugin.after_accept.is_some(),
            download: self.plugin.download.is_some(),
            send: self.plugin.send.is_some(),
            after_work: self.plugin.after_work.is_some(),
            post: false,
            request: false,
            line: false,
        }
    }

    fn schemes(&self) -> &[String] {
        &self.schemes
    }

    async fn start(&mut self) -> Result<Option<u32>, Failure> {
        self.plugin
            .start
            .as_ref()
            .map_or(Ok(None), |start| start(self.instance))
    }

    async fn gather(&mut self, limit: usize, state: Arc<dyn State>) -> Result<Gathered, Failure> {
        self.world.step().await;
        (self.plugin.gather.as_ref().unwrap())(limit, &*state)
    }

    async fn wait(&mut self, timeout: Duration, wanted: Arc<Notify>) -> Result<bool, Failure> {
        let calls = self.plugin.wake.clone().unwrap();
        self.world.lock().events.push("wait".into());
        tokio::select! {
            () = calls.notified() => Ok(true),
            () = wanted.notified() => {
                self.world.lock().events.push("interrupted".into());
                Ok(false)
            }
            () = tokio::time::sleep(timeout) => Ok(false),
        }
    }

    async fn settled(
        &mut self,
        outcomes: &[Outcome],
        state: Arc<dyn State>,
    ) -> Result<(), Failure> {
        self.world.step().await;
        {
            let mut world = self.world.lock();
            if let Some(check) = world.check.clone() {
                outcomes
                    .iter()
                    .for_each(|outcome| check(&world, &outcome.item.key, Some(outcome)));
            }
            world.settled.extend_from_slice(outcomes);
        }
        let result = (self.plugin.settled.as_ref().unwrap())(outcomes, &*state);
        self.world.step().await;
        result
    }

    async fn after_accept(
        &mut self,
        batch: &[Item],
        state: Arc<dyn State>,
    ) -> Result<Vec<Verdict>, Failure> {
        self.world.step().await;
        (self.plugin.after_accept.as_ref().unwrap())(batch, &*state)
    }

    async fn download(
        &mut self,
        batch: &[Item],
        content: Arc<dyn Content>,
        state: Arc<dyn State>,
    ) -> Result<Vec<Worked>, Failure> {
        self.world.step().await;
        if !self.plugin.takes.is_zero() {
            tokio::time::sleep(self.plugin.takes).await;
        }
        let result = (self.plugin.download.as_ref().unwrap())(batch, &*content, &*state);
        self.world.step().await;
        result
    }

    async fn send(
        &mut self,
        batch: &[Item],
        content: Arc<dyn Content>,
        state: Arc<dyn State>,
    ) -> Result<Vec<Worked>, Failure> {
        self.world.step().await;
        (self.plugin.send.as_ref().unwrap())(batch, &*content, &*state)
    }

    async fn after_work(
        &mut self,
        batch: &[Item],
        content: Arc<dyn Content>,
        state: Arc<dyn State>,
    ) -> Result<Vec<Verdict>, Failure> {
        self.world.step().await;
        let result = (self.plugin.after_work.as_ref().unwrap())(batch, &*content, &*state);
        self.world.step().await;
        result
    }

    async fn housekeeping(&mut self, _state: Arc<dyn State>) -> Result<(), Failure> {
        self.world
            .lock()
            .events
            .push(format!("housekeeping {}", self.instance));
        Ok(())
    }

    async fn stop(&mut self) {
        self.world.lock().stopped += 1;
    }
}

pub(crate) struct Watcher {
    pub(crate) world: Shared,
    pub(crate) messages: bool,
}

impl Observer for Watcher {
    fn event(&self, event: &Event<'_>) {
        let mut world = self.world.lock();
        match event {
            Event::Pass(counts) => world.passes.push(**counts),
            Event::Waiting { retry, dead, .. } => world.waiting.push((*retry, *dead)),
            Event::Paused { reason, wait } => world.pauses.push(((*reason).to_owned(), *wait)),
            other => {
                if let Event::Settled { message, fate } = other {
                    let path = message.rel_path.clone();
                    world.fates.push((path, (*fate).clone()));
                }
                let text = format!("{other:?}");
                let name = text.split([' ', '{']).next().unwrap_or_default().to_owned();
                world.events.push(name);
            }
        }
    }

    fn wants_messages(&self) -> bool {
        self.messages
    }

    fn wants_waiting(&self) -> Option<Duration> {
        self.world.lock().wants_waiting
    }
}

/// Everything to run one flow in one world.
pub(crate) struct Bench {
    pub(crate) world: Shared,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) flow: flow_config::Flow,
    pub(crate) plugins: Vec<Plugin>,
    pub(crate) offset: Duration,
    pub(crate) with_queue: bool,
    pub(crate) options: Options,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut flow = flow::plain_flow();
        flow.output = Some(flow::output());
        let options = Options {
            once: true,
            ..Options::new(directory.path().join("files"))
        };
        Self {
            world: Shared::default(),
            directory,
            flow,
            plugins: Vec::new(),
            offset: Duration::ZERO,
            with_queue: true,
            options,
        }
    }

    pub(crate) fn plugin(&mut self, plugin: Plugin) {
        self.flow
            .callbacks
            .push(callback(&format!("plugin-{}", self.plugins.len())));
        self.plugins.push(plugin);
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(self.directory.path().join("state/flow.db")).unwrap()
    }

    pub(crate) fn files(&self) -> std::path::PathBuf {
        self.directory.path().join("files")
    }

    /// Names and contents of all files, relative to [`files`](Self::files).
    pub(crate) fn tree(&self) -> HashMap<String, String> {
        let mut found = HashMap::new();
        let mut open = vec![self.files()];
        while let Some(directory) = open.pop() {
            let Ok(entries) = std::fs::read_dir(&directory) else {
                continue;
            };
            for entry in entries {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    let name = path
                        .strip_prefix(self.files())
                        .unwrap()
                        .to_str()
                        .unwrap()
                        .to_owned();
                    let content =
                        String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
                    found.insert(name, content);
                }
            }
        }
        found
    }

    pub(crate) fn worker(&self) -> Worker {
        let world = self.world.clone();
        let links = || Links {
            consumer: self
                .with_queue
                .then(|| Box::new(FakeConsumer::new(world.clone())) as Box<dyn Consumer>),
            publisher: self
                .flow
                .output
                .as_ref()
                .map(|_| Box::new(FakePublisher(world.clone())) as Box<dyn Publisher>),
        };
        let more = (1..self.flow.instances).map(|_| links()).collect();
        let Links {
            consumer,
            publisher,
        } = links();
        let ports = Ports {
            consumer,
            publisher,
            callbacks: Arc::new(FakeFactory {
                world: world.clone(),
                plugins: self.plugins.clone(),
            }),
            store: self.store(),
            clock: Arc::new(TestClock::new(self.offset)),
            observer: Arc::new(Watcher {
                world: world.clone(),
                messages: true,
            }),
        };
        Worker::new(Arc::new(self.flow.clone()), ports, self.options.clone()).joined_by(more)
    }

    /// Runs once, from the bench's time on.
    pub(crate) async fn once(&self) -> Result<PassCounts, flow_runtime::Error> {
        self.worker().run(Drain::new()).await
    }

    /// Runs until there is `enough` in the world, then drains; a worker may end before.
    pub(crate) async fn until(
        &self,
        enough: impl Fn(&World) -> bool,
    ) -> Result<PassCounts, flow_runtime::Error> {
        let drain = Drain::new();
        let run = tokio::spawn(self.worker().run(drain.clone()));
        while !run.is_finished() && !enough(&self.world.lock()) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        drain.request();
        run.await.unwrap()
    }
}

/// Writes `text` as the content of an item being downloaded.
pub(crate) fn fill(content: &dyn Content, id: u64, text: &str) -> Result<(), Failure> {
    let mut writer = content.create(id)?;
    writer.write(text.as_bytes())?;
    writer.finish().map(|_| ())
}

/// Reads the whole content of an item.
pub(crate) fn read_all(content: &dyn Content, id: u64) -> Result<String, Failure> {
    let (mut reader, length) = content.open(id)?;
    let mut bytes = Vec::new();
    loop {
        let more = reader.read(7)?;
        if more.is_empty() {
            break;
        }
        bytes.extend(more);
    }
    assert_eq!(bytes.len() as u64, length);
    Ok(String::from_utf8(bytes).unwrap())
}

/// A use of `plugin` without options.
fn callback(plugin: &str) -> CallbackSpec {
    CallbackSpec {
        plugin: plugin.into(),
        options: std::collections::BTreeMap::new(),
        filters: None,
        limits: Limits::default(),
        sha256: None,
        minisign: None,
        pins: Vec::new(),
        origin: "flow/test.yaml:1".into(),
    }
}
