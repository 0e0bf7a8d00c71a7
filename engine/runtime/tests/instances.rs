//! Several workers of one flow: what they share, and what only one of them does.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flow_config::{Nodupe, NodupeBasis};
use flow_message::Identity;
use flow_runtime::ports::{Failure, Fate, Gathered, Rejection, Worked};
use flow_runtime::{Drain, Shelf, Store};
use support::plugins::downloader;
use support::{Bench, Plugin, fill, message};

fn bench(workers: usize) -> Bench {
    let mut bench = Bench::new();
    bench.flow.instances = workers;
    bench.flow.batch = 1;
    bench.flow.download = true;
    bench
}

fn slow() -> Plugin {
    Plugin {
        takes: Duration::from_secs(10),
        ..downloader()
    }
}

#[tokio::test(start_paused = true)]
async fn workers_share_a_queue_and_work_at_the_same_time() {
    for (workers, seconds) in [(1, 120), (4, 30)] {
        let mut bench = bench(workers);
        bench.plugin(slow());
        for number in 0..12 {
            let path = format!("m{number}");
            bench.world.enqueue(&path, message(&path));
        }
        let started = tokio::time::Instant::now();
        let summary = bench.once().await.unwrap();
        assert_eq!(started.elapsed().as_secs(), seconds);
        assert_eq!((summary.gathered, summary.posted), (12, 12));
        let world = bench.world.lock();
        assert_eq!((world.queue.len(), world.acked.len()), (0, 12));
        assert_eq!(world.repeats, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_two_workers_hold_at_the_same_time_is_posted_once() {
    let mut bench = bench(4);
    bench.flow.nodupe = Some(Nodupe {
        ttl: Duration::from_secs(3_600),
        basis: NodupeBasis::Path,
    });
    bench.plugin(slow());
    for number in 0..8 {
        let mut same = message("same");
        same.identity = Some(Identity {
            method: "arbitrary".into(),
            value: "1".into(),
        });
        bench.world.enqueue(&format!("k{number}"), same);
    }
    let summary = bench.once().await.unwrap();
    assert_eq!((summary.posted, summary.rejected), (1, 7));
    assert_eq!(bench.world.lock().acked.len(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_of_what_another_worker_failed_with_waits_with_it() {
    let mut bench = bench(2);
    bench.flow.nodupe = Some(Nodupe {
        ttl: Duration::from_secs(3_600),
        basis: NodupeBasis::Path,
    });
    bench.flow.retry.attempts = 5;
    bench.plugin(Plugin {
        download: Some(Arc::new(|batch, _, _| {
            let busy = |_| Worked::Fail(Failure::temporary("busy"));
            Ok(batch.iter().map(busy).collect())
        })),
        ..slow()
    });
    bench.world.enqueue("a", message("same"));
    bench.world.enqueue("b", message("same"));
    let summary = bench.once().await.unwrap();
    assert_eq!((summary.posted, summary.retrying), (0, 1));
    assert_eq!(bench.world.lock().acked.len(), 2);
    assert_eq!(bench.store().count(Shelf::Retry).unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_path_is_written_by_one_worker_at_a_time() {
    let mut bench = bench(3);
    let open: Arc<Mutex<HashSet<String>>> = Arc::default();
    bench.plugin(Plugin {
        download: Some(Arc::new(move |batch, content, _| {
            // The fake waits before this call, and the content has its final name after it; what is
            // there by now was committed by whoever had it before.
            for item in batch {
                let path = item.location.as_ref().unwrap().path();
                let before = std::fs::read_to_string(&path).unwrap_or_default();
                assert!(before.is_empty() || open.lock().unwrap().contains(&before));
                let text = format!("{before}{}", item.key);
                fill(content, item.id, &text)?;
                open.lock().unwrap().insert(text);
            }
            Ok(batch.iter().map(|_| Worked::Done(Vec::new())).collect())
        })),
        ..slow()
    });
    for key in ["a", "b", "c", "d", "e"] {
        bench.world.enqueue(key, message("one"));
    }
    bench.once().await.unwrap();
    let text = bench.tree()["one"].clone();
    let mut keys: Vec<char> = text.chars().collect();
    keys.sort_unstable();
    // Each saw what the one before it wrote.
    assert_eq!(keys, ['a', 'b', 'c', 'd', 'e']);
}

#[tokio::test(start_paused = true)]
async fn one_worker_gathers_and_tries_again() {
    let mut bench = bench(3);
    bench.flow.poll_url = Some(flow_config::SafeUrl::parse("fake://origin/").unwrap());
    let asked = Arc::new(Mutex::new(0));
    let count = Arc::clone(&asked);
    bench.plugin(Plugin {
        gather: Some(Arc::new(move |_, _| {
            *count.lock().unwrap() += 1;
            Ok(Gathered {
                messages: vec![message("gathered")],
                more: false,
            })
        })),
        ..downloader()
    });
    for number in 0..6 {
        let path = format!("m{number}");
        bench.world.enqueue(&path, message(&path));
    }
    let summary = bench.once().await.unwrap();
    assert_eq!(*asked.lock().unwrap(), 1);
    assert_eq!(summary.posted, 7);
}

#[tokio::test(start_paused = true)]
async fn no_more_instances_of_a_plugin_work_than_it_allows() {
    let mut bench = bench(3);
    bench.flow.concurrency = 4;
    bench.flow.batch = 10;
    let working = Arc::new(Mutex::new(HashSet::new()));
    bench.plugin(Plugin {
        start: Some(Arc::new(|_| Ok(Some(2)))),
        takes: Duration::from_secs(1),
        download: Some(Arc::new({
            let working = Arc::clone(&working);
            move |batch, content, _| {
                working.lock().unwrap().insert(std::thread::current().id());
                for item in batch {
                    fill(content, item.id, "x")?;
                }
                Ok(batch.iter().map(|_| Worked::Done(Vec::new())).collect())
            }
        })),
        ..Plugin::default()
    });
    for number in 0..20 {
        let path = format!("m{number}");
        bench.world.enqueue(&path, message(&path));
    }
    let started = tokio::time::Instant::now();
    let summary = bench.once().await.unwrap();
    assert_eq!(summary.posted, 20);
    // Two passes of ten, one in each of two workers with one lane: one call each.
    assert_eq!(started.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn all_workers_end_when_a_drain_is_requested_or_one_has_to_stop() {
    let mut bench = bench(3);
    bench.options.once = false;
    bench.plugin(downloader());
    let drain = Drain::new();
    let running = tokio::spawn(bench.worker().run(drain.clone()));
    tokio::time::sleep(Duration::from_secs(5)).await;
    drain.request();
    running.await.unwrap().unwrap();
    assert_eq!(bench.world.lock().stopped, 3);
    assert!(!Store::is_running(bench.store().path()));

    bench.plugins[0].download = Some(Arc::new(|_, _, _| {
        Err(Failure::Config("no such folder".into()))
    }));
    bench.world.enqueue("a", message("a"));
    let failed = bench.worker().run(Drain::new()).await;
    assert!(
        matches!(failed, Err(flow_runtime::Error::Config(_))),
        "{failed:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_redelivery_to_another_worker_is_recognised() {
    let mut bench = bench(2);
    bench.plugin(slow());
    bench.world.enqueue("same", message("a"));
    bench.world.enqueue("same", message("a"));
    bench.flow.nodupe = Some(Nodupe {
        ttl: Duration::from_secs(3_600),
        basis: NodupeBasis::Path,
    });
    bench.once().await.unwrap();
    let world = bench.world.lock();
    assert_eq!((world.posted.len(), world.repeats), (1, 0));
    let fates: Vec<_> = world
        .fates
        .iter()
        .filter(|(_, fate)| matches!(fate, Fate::Rejected(Rejection { .. })))
        .collect();
    assert!(fates.is_empty(), "{fates:?}");
}
