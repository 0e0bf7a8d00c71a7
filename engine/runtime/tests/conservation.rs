//! Conservation: whatever fails, and wherever the worker is killed, every message ends exactly once.
//!
//! A random plan says where messages come from, what becomes of each at every stage, and after how
//! many polls each worker is dropped on the spot. The world (queue, origin, broker, store, files)
//! survives. Then workers run undisturbed, with time passing, until nothing waits any more, and the
//! books are checked. While they run, every ack and every outcome told is checked to come after its
//! durable step.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use flow_config::{Nodupe, NodupeBasis};
use flow_message::Message;
use flow_runtime::ports::{
    Failure, Fate, Gathered, Item, NewMessage, Outcome, Rejection, Verdict, Worked,
};
use flow_runtime::{Shelf, Store};
use proptest::prelude::*;
use support::{Bench, Plugin, World, fill, message, read_all};

/// What a message is meant to come to.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Destiny {
    /// Posted, as so many parts; zero: as itself.
    Posted(usize),
    /// Rejected by `after_accept`.
    RejectedEarly,
    /// Rejected by `after_work`.
    RejectedLate,
    /// Permanently failing in `download`.
    Dead,
    /// As `Dead`, but only the first time: given up or posted, never both.
    DeadOnce,
    /// Every call it is in traps.
    Poison,
}

/// Where it fails before it comes to that, once each.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Trip {
    Accept,
    Download,
    Work,
    TrapDownload,
    TrapWork,
}

#[derive(Debug, Clone)]
struct Plan {
    messages: Vec<(Destiny, Vec<Trip>)>,
    from_queue: bool,
    nodupe: bool,
    lanes: usize,
    workers: usize,
    batch: usize,
    post_failures: usize,
    settled_failures: usize,
    /// When each of the first workers is killed.
    kills: Vec<Kill>,
}

fn plans() -> impl Strategy<Value = Plan> {
    let destiny = prop_oneof![
        3 => Just(Destiny::Posted(0)),
        3 => (1usize..4).prop_map(Destiny::Posted),
        1 => Just(Destiny::RejectedEarly),
        1 => Just(Destiny::RejectedLate),
        1 => Just(Destiny::Dead),
        1 => Just(Destiny::DeadOnce),
        1 => Just(Destiny::Poison),
    ];
    let trip = prop_oneof![
        Just(Trip::Accept),
        Just(Trip::Download),
        Just(Trip::Work),
        Just(Trip::TrapDownload),
        Just(Trip::TrapWork),
    ];
    let messages = prop::collection::vec((destiny, prop::collection::vec(trip, 0..3)), 1..8);
    let kill = prop_oneof![
        (1usize..40).prop_map(Kill::Polls),
        (0usize..60).prop_map(Kill::Steps)
    ];
    let kills = prop::collection::vec(kill, 0..6);
    (
        messages,
        any::<bool>(),
        any::<bool>(),
        (1usize..4, 1usize..4),
        1usize..9,
        0usize..3,
        0usize..3,
        kills,
    )
        .prop_map(
            |(
                messages,
                from_queue,
                nodupe,
                (lanes, workers),
                batch,
                post_failures,
                settled_failures,
                kills,
            )| Plan {
                messages,
                from_queue,
                nodupe,
                lanes,
                workers,
                batch,
                post_failures,
                settled_failures,
                kills,
            },
        )
}

/// The trips still ahead of each message, by its path.
#[derive(Clone)]
struct Course {
    destinies: Arc<HashMap<String, Destiny>>,
    trips: Arc<Mutex<HashMap<String, Vec<Trip>>>>,
    met: Arc<Mutex<HashSet<String>>>,
}

impl Course {
    fn new(plan: &Plan) -> Self {
        let named = plan.messages.iter().enumerate();
        let destinies = named
            .clone()
            .map(|(index, (destiny, _))| (path(index), *destiny))
            .collect();
        let trips = named
            .map(|(index, (_, trips))| (path(index), trips.clone()))
            .collect();
        Self {
            destinies: Arc::new(destinies),
            trips: Arc::new(Mutex::new(trips)),
            met: Arc::default(),
        }
    }

    fn destiny(&self, item: &Item) -> Destiny {
        self.destinies[root_of(&item.message.rel_path)]
    }

    /// Whether nobody asked before.
    fn first_time(&self, item: &Item) -> bool {
        self.met
            .lock()
            .unwrap()
            .insert(item.message.rel_path.clone())
    }

    /// Whether the item trips here, now; it will not again.
    fn trips(&self, item: &Item, trip: Trip) -> bool {
        let mut trips = self.trips.lock().unwrap();
        let trips = trips.get_mut(root_of(&item.message.rel_path)).unwrap();
        match trips.iter().position(|other| *other == trip) {
            Some(at) => {
                trips.remove(at);
                true
            }
            None => false,
        }
    }

    fn plugin(&self) -> Plugin {
        Plugin {
            after_accept: Some(Arc::new({
                let course = self.clone();
                move |batch, _| Ok(batch.iter().map(|item| course.accept(item)).collect())
            })),
            download: Some(Arc::new({
                let course = self.clone();
                move |batch, content, _| {
                    batch
                        .iter()
                        .map(|item| course.download(item, content))
                        .collect()
                }
            })),
            after_work: Some(Arc::new({
                let course = self.clone();
                move |batch, content, _| {
                    batch
                        .iter()
                        .map(|item| course.work(item, content))
                        .collect()
                }
            })),
            ..Plugin::default()
        }
    }

    fn accept(&self, item: &Item) -> Verdict {
        if self.trips(item, Trip::Accept) {
            return Verdict::Fail(Failure::temporary("tripped in after_accept"));
        }
        match self.destiny(item) {
            Destiny::RejectedEarly => Verdict::Reject(Rejection {
                code: 415,
                reason: "early".into(),
            }),
            _ => Verdict::Keep,
        }
    }

    fn download(
        &self,
        item: &Item,
        content: &dyn flow_runtime::ports::Content,
    ) -> Result<Worked, Failure> {
        if self.trips(item, Trip::TrapDownload) {
            let mut unfinished = content.create(item.id)?;
            unfinished.write(b"half")?;
            return Err(Failure::Plugin("trapped in download".into()));
        }
        if self.trips(item, Trip::Download) {
            return Ok(Worked::Fail(Failure::temporary("tripped in download")));
        }
        match self.destiny(item) {
            Destiny::DeadOnce if self.first_time(item) => {
                Ok(Worked::Fail(Failure::Permanent("gone for a moment".into())))
            }
            Destiny::Dead => Ok(Worked::Fail(Failure::Permanent("no such mail".into()))),
            _ => {
                fill(
                    content,
                    item.id,
                    &format!("content of {}", item.message.rel_path),
                )?;
                Ok(Worked::Done(Vec::new()))
            }
        }
    }

    fn work(
        &self,
        item: &Item,
        content: &dyn flow_runtime::ports::Content,
    ) -> Result<Verdict, Failure> {
        if self.destiny(item) == Destiny::Poison || self.trips(item, Trip::TrapWork) {
            return Err(Failure::Plugin("trapped in after_work".into()));
        }
        if self.trips(item, Trip::Work) {
            return Ok(Verdict::Fail(Failure::temporary("tripped in after_work")));
        }
        match self.destiny(item) {
            Destiny::RejectedLate => Ok(Verdict::Reject(Rejection {
                code: 415,
                reason: "late".into(),
            })),
            Destiny::Posted(parts) if parts > 0 => {
                let whole = read_all(content, item.id)?;
                let mut made = Vec::new();
                for part in 0..parts {
                    // Equal names from all messages: they must not get in each other's way.
                    let rel_path = format!("{}/part-{part}.txt", item.message.rel_path);
                    let mut writer = content
                        .derive(item.id, &rel_path, None)?
                        .expect("all are wanted");
                    writer.write(format!("part {part} of {whole}").as_bytes())?;
                    let mut message = Message::clone(&item.message);
                    message.rel_path = rel_path;
                    made.push(NewMessage {
                        message,
                        content: Some(writer.finish()?),
                    });
                }
                Ok(Verdict::Replace(made))
            }
            _ => Ok(Verdict::Keep),
        }
    }
}

fn path(index: usize) -> String {
    format!("m{index}")
}

/// The gathered message's path, of it or of what was made of it.
fn root_of(path: &str) -> &str {
    path.split('/').next().unwrap()
}

/// When a worker is killed.
#[derive(Debug, Clone, Copy)]
enum Kill {
    /// After so many polls: each is a point where it was waiting for something.
    Polls(usize),
    /// After so many steps of the fakes, in whatever lane.
    Steps(usize),
}

/// Drops a future after so many polls.
struct Killed<F> {
    inner: Option<Pin<Box<F>>>,
    polls: usize,
}

impl<F: Future> Future for Killed<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            self.inner = None;
            return Poll::Ready(None);
        }
        self.polls -= 1;
        let inner = self.inner.as_mut().expect("not polled after the end");
        inner.as_mut().poll(context).map(Some)
    }
}

/// Runs a worker until it is killed; says whether it was.
fn cut_short(bench: &Bench, kill: Kill) -> bool {
    let dead = Arc::new(tokio::sync::Notify::new());
    let (steps, polls) = match kill {
        Kill::Polls(polls) => (None, polls),
        Kill::Steps(steps) => (Some(steps), usize::MAX),
    };
    {
        let mut world = bench.world.lock();
        world.steps_left = steps;
        world.kill = Arc::clone(&dead);
    }
    let killed = live(async {
        tokio::select! {
            biased;
            () = dead.notified() => true,
            ended = Killed { inner: Some(Box::pin(bench.once())), polls } => ended.is_none(),
        }
    });
    bench.world.lock().steps_left = None;
    killed
}

/// A life of its own: dropping the runtime joins what still runs on other threads, as the end of a
/// process would end it.
fn live<T>(life: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(life)
}

/// The world's keys of a message.
fn keys_of(destiny: Destiny, key: &str) -> Vec<String> {
    match destiny {
        Destiny::Posted(0) | Destiny::DeadOnce => vec![format!("flow/test:{key}")],
        Destiny::Posted(parts) => (0..parts)
            .map(|part| format!("flow/test:{key}/{part}"))
            .collect(),
        _ => Vec::new(),
    }
}

/// Panics unless what is said to the origin of `key` is durable.
fn check_durable(
    world: &World,
    store: &Store,
    destiny: Destiny,
    key: &str,
    outcome: Option<&Outcome>,
) {
    let on = |shelf| store.show(shelf, key).unwrap().is_some();
    let posted = || {
        let keys = keys_of(destiny, key);
        !keys.is_empty() && keys.iter().all(|key| world.keys.contains(key))
    };
    let rejected = matches!(destiny, Destiny::RejectedEarly | Destiny::RejectedLate);
    let durable = match outcome.map(|outcome| &outcome.fate) {
        None => posted() || rejected || on(Shelf::Retry) || on(Shelf::Dead),
        Some(Fate::Posted) => posted(),
        // Seen again after it settled.
        Some(Fate::Rejected(Rejection { code: 304, .. })) => {
            posted() || rejected || on(Shelf::Dead)
        }
        Some(Fate::Rejected(_)) => rejected,
        Some(Fate::Retrying(_)) => on(Shelf::Retry),
        Some(Fate::Dead(_)) => on(Shelf::Dead),
    };
    assert!(
        durable,
        "{key} ({destiny:?}) was told {outcome:?} too early"
    );
}

fn bench_for(plan: &Plan, course: &Course) -> Bench {
    let mut bench = Bench::new();
    bench.flow.download = true;
    bench.flow.batch = plan.batch;
    bench.flow.concurrency = plan.lanes;
    bench.flow.instances = plan.workers;
    // Enough for every trip and for the traps of others.
    bench.flow.retry.attempts = 40;
    bench.flow.nodupe = plan.nodupe.then_some(Nodupe {
        ttl: Duration::from_secs(1 << 30),
        basis: NodupeBasis::Path,
    });
    bench.with_queue = plan.from_queue;
    let mut plugin = course.plugin();
    if !plan.from_queue {
        let world = bench.world.clone();
        let count = plan.messages.len();
        plugin.gather = Some(Arc::new(move |limit, _| {
            // An origin that offers what it was told nothing about, then what is in retry.
            let told = |path: &String| {
                let world = world.lock();
                let of = |outcome: &&Outcome| outcome.item.message.rel_path == *path;
                world
                    .settled
                    .iter()
                    .rfind(of)
                    .map(|outcome| outcome.fate.clone())
            };
            let open = |path: &String| told(path).is_none();
            let retrying = |path: &String| matches!(told(path), Some(Fate::Retrying(_)));
            let mut offer: Vec<String> = (0..count).map(path).filter(open).collect();
            let more = offer.len() > limit;
            offer.extend((0..count).map(path).filter(retrying));
            let messages = offer.iter().take(limit).map(|path| message(path)).collect();
            Ok(Gathered { messages, more })
        }));
    }
    let failures = Arc::new(Mutex::new(plan.settled_failures));
    plugin.settled = Some(Arc::new(move |_, _| {
        let mut failures = failures.lock().unwrap();
        if *failures > 0 {
            *failures -= 1;
            return Err(Failure::temporary("connection reset"));
        }
        Ok(())
    }));
    bench.plugin(plugin);
    bench.world.lock().post_failures = vec![Failure::temporary("refused"); plan.post_failures];
    bench
}

fn run(plan: &Plan) {
    let course = Course::new(plan);
    let mut bench = bench_for(plan, &course);
    let keys: Arc<Mutex<HashMap<String, String>>> = Arc::default();
    if plan.from_queue {
        for index in 0..plan.messages.len() {
            keys.lock().unwrap().insert(path(index), path(index));
            bench.world.enqueue(&path(index), message(&path(index)));
        }
    }
    let store = bench.store();
    bench.world.lock().check = Some(Arc::new({
        let (course, keys, store) = (course, Arc::clone(&keys), store.clone());
        move |world, key, outcome| {
            let path = match outcome {
                Some(outcome) => outcome.item.message.rel_path.clone(),
                None => key.to_owned(),
            };
            keys.lock().unwrap().insert(path.clone(), key.to_owned());
            check_durable(world, &store, course.destinies[&path], key, outcome);
        }
    }));
    for (life, kill) in plan.kills.iter().enumerate() {
        bench.offset = Duration::from_secs(7_200 * life as u64);
        cut_short(&bench, *kill);
    }
    let mut quiet = 0;
    for life in 0..200u64 {
        bench.offset = Duration::from_secs(7_200 * (plan.kills.len() as u64 + life));
        // Trouble with the broker ends a single run early; the next goes on.
        let done = live(bench.once()).is_ok();
        let open = store.count(Shelf::Retry).unwrap() + bench.world.lock().queue.len() as u64;
        quiet = if done && open == 0 { quiet + 1 } else { 0 };
        if quiet == 3 {
            break;
        }
    }
    assert_eq!(quiet, 3, "messages are left over");
    check_books(plan, &bench, &store, &keys.lock().unwrap());
}

fn check_books(plan: &Plan, bench: &Bench, store: &Store, keys: &HashMap<String, String>) {
    let world = bench.world.lock();
    let mut expected = Vec::new();
    let mut dead = Vec::new();
    for (index, (destiny, _)) in plan.messages.iter().enumerate() {
        let key = keys
            .get(&path(index))
            .unwrap_or_else(|| panic!("{} ended nowhere", path(index)));
        let once_dead =
            *destiny == Destiny::DeadOnce && store.show(Shelf::Dead, key).unwrap().is_some();
        if once_dead {
            dead.push(key.clone());
            continue;
        }
        expected.extend(keys_of(*destiny, key));
        if matches!(destiny, Destiny::Dead | Destiny::Poison) {
            dead.push(key.clone());
        }
    }
    // Posted: every part exactly once, and nothing else.
    let mut posted: Vec<String> = world
        .posted
        .iter()
        .map(|post| post.key.clone().unwrap())
        .collect();
    posted.sort();
    expected.sort();
    assert_eq!(posted, expected);
    // Dead: exactly those.
    let mut found: Vec<String> = store
        .list(Shelf::Dead, 0, 1_000)
        .unwrap()
        .into_iter()
        .map(|entry| entry.key)
        .collect();
    found.sort();
    dead.sort();
    assert_eq!(found, dead);
    // Told: everything gathered heard its end, and the last thing it heard is true.
    if !plan.from_queue {
        for (index, (destiny, _)) in plan.messages.iter().enumerate() {
            let path = path(index);
            let told = |outcome: &&Outcome| outcome.item.message.rel_path == path;
            let last = world
                .settled
                .iter()
                .rfind(told)
                .expect("it was told something");
            let right = match (destiny, &last.fate) {
                (Destiny::Posted(_) | Destiny::DeadOnce, Fate::Posted) => true,
                (Destiny::DeadOnce, Fate::Dead(_)) => true,
                (Destiny::RejectedEarly | Destiny::RejectedLate, Fate::Rejected(_)) => true,
                (Destiny::Dead | Destiny::Poison, Fate::Dead(_)) => true,
                // Offered once more before the origin knew.
                (_, Fate::Rejected(Rejection { code: 304, .. })) => plan.nodupe,
                _ => false,
            };
            assert!(right, "{path} ({destiny:?}) was told {:?} last", last.fate);
        }
    }
    check_files(bench, &world);
}

/// What was posted is there, whole; nothing unfinished is.
fn check_files(bench: &Bench, world: &World) {
    let tree = bench.tree();
    for post in &world.posted {
        let content = std::fs::read_to_string(format!("/{}", post.message.rel_path)).unwrap();
        assert_eq!(post.message.size, Some(content.len() as u64));
        assert!(content.contains("content of m"), "{content}");
    }
    let mut paths: Vec<&String> = world
        .posted
        .iter()
        .map(|post| &post.message.rel_path)
        .collect();
    paths.sort();
    paths.dedup();
    assert_eq!(
        paths.len(),
        world.posted.len(),
        "two posts share a file: {paths:?}"
    );
    let unfinished: Vec<_> = tree.keys().filter(|name| name.ends_with(".tmp")).collect();
    assert!(unfinished.is_empty(), "{unfinished:?}");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(64),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_message_ends_exactly_once(plan in plans()) {
        run(&plan);
    }
}

/// Kills the worker at every point of one busy pass.
#[test]
fn killed_at_every_point() {
    let at = |kill: Kill, from_queue: bool, number: usize| Plan {
        messages: vec![
            (Destiny::Posted(2), vec![]),
            (Destiny::Posted(0), vec![Trip::Work]),
            (Destiny::RejectedLate, vec![]),
            (Destiny::Dead, vec![]),
            (Destiny::DeadOnce, vec![]),
        ],
        from_queue,
        nodupe: number.is_multiple_of(2),
        lanes: 1 + number % 3,
        workers: 1 + number % 2,
        batch: if number % 4 == 1 { 2 } else { 10 },
        post_failures: 0,
        settled_failures: 0,
        kills: vec![kill],
    };
    for from_queue in [true, false] {
        for number in 0..50 {
            for kill in [Kill::Polls(number + 1), Kill::Steps(number)] {
                run(&at(kill, from_queue, number));
            }
        }
    }
}
