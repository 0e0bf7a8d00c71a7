//! Messages a second through the loop itself: from a queue in memory to an exchange in memory, no
//! callbacks. `cargo run --release -p flow-runtime --example loop_throughput [messages] [batch] [SECONDS]`:
//! with SECONDS every message is remembered for so long (`nodupe_ttl`), and what has expired goes every
//! second.

#![allow(clippy::print_stdout, reason = "it prints its result")]
#![allow(dead_code, reason = "the tests use the rest of the flow")]

#[path = "../tests/support/flow.rs"]
mod flow;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use flow_message::{Identity, Message, Timestamp};
use flow_runtime::ports::{
    Callback, CallbackFactory, Confirm, Consumer, Event, Failure, Observer, Outgoing, Publisher,
    Received, Settlement,
};
use flow_runtime::{Drain, Options, Ports, Store, SystemClock, Worker};

struct Source {
    left: u64,
    tag: u64,
}

#[async_trait]
impl Consumer for Source {
    async fn receive(&mut self, limit: usize) -> Result<Vec<Received>, Failure> {
        let count = self.left.min(limit as u64);
        self.left -= count;
        Ok((0..count)
            .map(|_| {
                self.tag += 1;
                let path = format!("20261122/SOURCE/model/run-12/file-{}.grib", self.tag);
                let mut message = Message::new(
                    Timestamp::from_unix(1_767_225_600, 0),
                    "https://data.example.org/",
                    path,
                );
                message.size = Some(4_096);
                message.identity = Some(Identity {
                    method: "sha512".into(),
                    value: "x".repeat(88),
                });
                Received {
                    message: Ok(message),
                    tag: self.tag,
                    key: self.tag.to_string(),
                    redelivered: false,
                    route: None,
                }
            })
            .collect())
    }

    async fn ready(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    async fn settle(&mut self, _settlements: &[(u64, Settlement)]) -> Result<(), Failure> {
        Ok(())
    }

    async fn depth(&mut self) -> Result<Option<u64>, Failure> {
        Ok(None)
    }

    async fn close(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

/// Counts what it gets, and the longest time between two batches.
struct Sink(Arc<AtomicU64>, Arc<Mutex<(Instant, Duration)>>);

#[async_trait]
impl Publisher for Sink {
    async fn post(&mut self, batch: &[Outgoing]) -> Result<Vec<Confirm>, Failure> {
        self.0.fetch_add(batch.len() as u64, Ordering::Relaxed);
        let mut stall = self.1.lock().expect("nobody panics");
        let now = Instant::now();
        *stall = (now, stall.1.max(now - stall.0));
        Ok(vec![Confirm::Posted; batch.len()])
    }

    async fn close(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

struct NoCallbacks;

#[async_trait]
impl CallbackFactory for NoCallbacks {
    async fn create(&self, _index: usize, _instance: u32) -> Result<Box<dyn Callback>, Failure> {
        Err(Failure::Config("this flow has no callbacks".into()))
    }
}

struct Quiet;

impl Observer for Quiet {
    fn event(&self, _event: &Event<'_>) {}
}

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|text| text.parse::<u64>().expect("a number"));
    let count = arguments.next().unwrap_or(500_000);
    let mut flow = flow::plain_flow();
    flow.batch = usize::try_from(arguments.next().unwrap_or(100)).expect("a batch");
    flow.output = Some(flow::output());
    let rule = flow_config::Rule {
        text: "accept .*/SOURCE/.*".into(),
        regex: regex::Regex::new("^(?:.*/SOURCE/.*)").expect("a pattern"),
        conditions: flow_config::Conditions::default(),
        accept: true,
        placement: flow_config::Placement::default(),
        origin: "flow/test.yaml:1".into(),
    };
    flow.filters.rules = vec![rule].into();
    flow.callbacks.clear();
    if let Some(ttl) = arguments.next() {
        flow.nodupe = Some(flow_config::Nodupe {
            ttl: Duration::from_secs(ttl),
            basis: flow_config::NodupeBasis::Path,
        });
        flow.housekeeping = Duration::from_secs(1);
    }
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("flow.db");
    let posted = Arc::new(AtomicU64::new(0));
    let stall = Arc::new(Mutex::new((Instant::now(), Duration::ZERO)));
    let ports = Ports {
        consumer: Some(Box::new(Source {
            left: count,
            tag: 0,
        })),
        publisher: Some(Box::new(Sink(Arc::clone(&posted), Arc::clone(&stall)))),
        callbacks: Arc::new(NoCallbacks),
        store: Store::open(&path).expect("a store"),
        clock: Arc::new(SystemClock),
        observer: Arc::new(Quiet),
    };
    let options = Options {
        once: true,
        ..Options::new(directory.path())
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let started = Instant::now();
    let done = runtime.block_on(Worker::new(Arc::new(flow), ports, options).run(Drain::new()));
    let elapsed = started.elapsed();
    let posted = posted.load(Ordering::Relaxed);
    assert_eq!(done.expect("it runs").posted, posted);
    let stall = stall.lock().expect("nobody panics").1;
    println!(
        "{posted} messages in {elapsed:.2?}: {:.0}/s, longest pause {stall:.0?}, peak memory {} MiB, database {} MiB",
        count as f64 / elapsed.as_secs_f64(),
        peak() / 1_024,
        std::fs::metadata(&path).map_or(0, |file| file.len()) / 1_048_576,
    );
}

/// KiB this process had in memory at most.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kib.unwrap_or_default()
}
