//! Prints what a callback that does nothing costs per message, conversion of the items included,
//! and how long loading a plugin takes.
//!
//! `cargo run --release -p flow-host --example noop [-- PLUGIN.wasm]`: without a file, the guest
//! `noop` of `tests/guests` is built and used. A file given is only loaded.
#![expect(clippy::print_stdout, reason = "a benchmark prints its numbers")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use flow_config::{CallbackSpec, Flow, FlowName, Kind, Limits};
use flow_host::{Catalogue, Credential, FlowPlugins, Host, HostOptions, Secrets, Surroundings};
use flow_message::{Identity, Message, Timestamp};
use flow_runtime::ports::{
    CallbackFactory, Clock, Event, Failure, Item, Location, Observer, State,
};

struct Nothing;

#[async_trait]
impl Secrets for Nothing {
    fn credential(&self, _: &str) -> Result<Credential, Failure> {
        Err(Failure::Config("none".into()))
    }
}

impl Observer for Nothing {
    fn event(&self, _: &Event<'_>) {}
}

#[async_trait]
impl Clock for Nothing {
    fn now(&self) -> Timestamp {
        std::time::SystemTime::now().into()
    }
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
    fn random(&self) -> f64 {
        0.5
    }
}

impl State for Nothing {
    fn get(&self, _: &str) -> Result<Option<Vec<u8>>, Failure> {
        Ok(None)
    }
    fn put(&self, _: &str, _: Option<Vec<u8>>, _: Option<Duration>) -> Result<(), Failure> {
        Ok(())
    }
    fn list(&self, _: &str, _: &str, _: usize) -> Result<Vec<String>, Failure> {
        Ok(Vec::new())
    }
}

fn flow() -> Flow {
    let name = FlowName {
        kind: Kind::Flow,
        name: "bench".into(),
    };
    Flow {
        callbacks: vec![CallbackSpec {
            plugin: "noop".into(),
            options: Default::default(),
            filters: None,
            limits: Limits::default(),
            sha256: None,
            minisign: None,
            pins: Vec::new(),
            origin: String::new(),
        }],
        concurrency: 1,
        timeout: Duration::from_secs(1),
        fsync: false,
        ..Flow::new(name)
    }
}

/// A message as a mail poll makes it: every named field, and twelve headers.
fn item(id: u64) -> Item {
    let now: Timestamp = std::time::SystemTime::now().into();
    let mut message = Message::new(
        now,
        "imaps://me@imap.example.com/INBOX",
        format!("1717171717/{id}.eml"),
    );
    message.size = Some(48_213);
    message.mtime = Some(now);
    message.mode = Some(0o644);
    message.source = Some("mail".into());
    message.content_type = Some("message/rfc822".into());
    message.identity = Some(Identity {
        method: "sha512".into(),
        value: "c2hhNTEyIG9mIHNvbWV0aGluZyBpbXBvcnRhbnQ=".into(),
    });
    for header in 0..12 {
        message.extra.insert(
            format!("header-{header}"),
            format!("the value of header {header} of {id}").into(),
        );
    }
    let location = Location {
        directory: PathBuf::from("/data/mail/2026-11-22"),
        filename: format!("{id}.eml"),
    };
    Item {
        id,
        key: format!("key-of-message-{id}"),
        attempt: 0,
        message: message.into(),
        location: Some(location),
        other: None,
    }
}

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let home = std::env::temp_dir().join(format!("flow-noop-{}", std::process::id()));
    let options = HostOptions {
        cache_dir: Some(home.join("cache")),
    };
    if let Some(file) = std::env::args_os().nth(1) {
        load(&options, Path::new(&file));
    } else {
        let target = root.join("target/guests");
        let guests = flow_xtask::build_example_guests(
            &root.join("tests/guests"),
            &target,
            flow_xtask::Profile::Release,
        )
        .expect("the guests build");
        let (_, noop) = guests
            .iter()
            .find(|(name, _)| name == "noop")
            .expect("there is a guest `noop`");
        load(&options, noop);
        let host = Host::new(options).expect("a host");
        let catalogue = Catalogue::new(host, &[], noop.parent().map(Path::to_owned));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(measure(&catalogue));
    }
    let _ = std::fs::remove_dir_all(home);
}

/// Loads a file three times: compiled, and twice from the cache.
fn load(options: &HostOptions, file: &Path) {
    let bytes = std::fs::read(file).expect("the plugin is readable");
    for round in ["compiled", "cached", "cached"] {
        let host = Host::new(options.clone()).expect("a host");
        let started = Instant::now();
        let plugin = host.load("plugin", &bytes).expect("it loads");
        let elapsed = started.elapsed();
        println!(
            "load {:>9} {:>8.2} ms   {} KiB",
            round,
            elapsed.as_secs_f64() * 1e3,
            plugin.size() / 1024
        );
    }
}

async fn measure(catalogue: &Catalogue) {
    let nothing = Arc::new(Nothing);
    let surroundings = Surroundings {
        secrets: nothing.clone(),
        observer: nothing.clone(),
        clock: nothing.clone(),
        world: None,
    };
    let plugins = FlowPlugins::new(catalogue, &flow(), &surroundings).expect("the plugin loads");
    let mut callback = plugins.create(0, 0).await.expect("an instance");
    callback.start().await.expect("it starts");
    for batch in [1, 10, 100] {
        let items: Vec<_> = (0..batch).map(item).collect();
        let rounds = 20_000 / batch;
        let mut best = f64::MAX;
        for _ in 0..10 {
            let started = Instant::now();
            for _ in 0..rounds {
                let verdicts = callback
                    .after_accept(&items, nothing.clone())
                    .await
                    .expect("an answer");
                assert_eq!(verdicts.len(), items.len());
            }
            best = best.min(started.elapsed().as_secs_f64() / (rounds * batch) as f64);
        }
        println!("batch {batch:>4}: {:.2} us/message", best * 1e6);
    }
}
