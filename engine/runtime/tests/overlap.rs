//! The end of one pass beside the work of the next, and what must not come of it.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flow_config::{Nodupe, NodupeBasis};
use flow_runtime::Drain;
use flow_runtime::ports::{Failure, Gathered, State};
use support::plugins::downloader;
use support::{Bench, Plugin, message};

const BATCH: usize = 10;

/// Batches of ten, and a broker that takes its time.
fn bench(post_takes: u64) -> Bench {
    let mut bench = Bench::new();
    bench.flow.batch = BATCH;
    bench.world.lock().post_takes = Duration::from_millis(post_takes);
    bench
}

fn slow_downloader(takes: u64) -> Plugin {
    Plugin {
        takes: Duration::from_millis(takes),
        ..downloader()
    }
}

/// Hands out `total` messages, `open` of them first, until each is settled.
fn origin(total: usize) -> (Plugin, Arc<Mutex<BTreeSet<String>>>) {
    let open: BTreeSet<String> = (0..total).map(|index| format!("m{index:03}")).collect();
    let open = Arc::new(Mutex::new(open));
    let (asked, told) = (Arc::clone(&open), Arc::clone(&open));
    let plugin = Plugin {
        gather: Some(Arc::new(move |limit, _| {
            let open = asked.lock().unwrap();
            Ok(Gathered {
                messages: open.iter().take(limit).map(|path| message(path)).collect(),
                more: open.len() > limit,
            })
        })),
        settled: Some(Arc::new(move |outcomes, _| {
            let mut open = told.lock().unwrap();
            for outcome in outcomes {
                open.remove(&outcome.item.message.rel_path);
            }
            Ok(())
        })),
        ..slow_downloader(50)
    };
    (plugin, open)
}

/// Hands out `total` messages, each once in its life, page by page.
fn pages(total: usize) -> Plugin {
    let next = AtomicU64::new(0);
    Plugin {
        gather: Some(Arc::new(move |limit, _| {
            let from = next.load(Ordering::Relaxed) as usize;
            let to = (from + limit).min(total);
            next.store(to as u64, Ordering::Relaxed);
            Ok(Gathered {
                messages: (from..to).map(|n| message(&format!("m{n:03}"))).collect(),
                more: to < total,
            })
        })),
        ..slow_downloader(50)
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_pass_works_while_the_last_one_is_posted() {
    let mut bench = bench(100);
    bench.flow.download = true;
    bench.plugin(slow_downloader(100));
    for index in 0..4 * BATCH {
        let name = index.to_string();
        bench.world.enqueue(&name, message(&format!("f{name}")));
    }
    let start = tokio::time::Instant::now();
    let counts = bench.once().await.unwrap();
    assert_eq!((counts.fetched, counts.posted), (40, 40));
    // Four passes of 200 ms each, but for what overlaps.
    let elapsed = start.elapsed();
    assert!(elapsed < Duration::from_millis(600), "{elapsed:?}");
    let world = bench.world.lock();
    assert!(world.queue.is_empty());
    let paths = world.posted.iter().map(|post| &post.message.rel_path);
    let numbers: Vec<usize> = paths
        .map(|path| path.rsplit('f').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(numbers, (0..40).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn pages_are_gathered_while_the_lanes_work() {
    let mut bench = bench(0);
    bench.flow.download = true;
    bench.flow.concurrency = 2;
    bench.with_queue = false;
    bench.plugin(pages(45));
    let counts = bench.once().await.unwrap();
    assert_eq!((counts.gathered, counts.posted), (45, 45));
    let world = bench.world.lock();
    // The second page is there before the first is fetched.
    let gatherings: Vec<usize> = positions(&world.events, "Gathering");
    let fetched: Vec<usize> = positions(&world.events, "Fetched");
    assert!(gatherings[1] < fetched[0], "{:?}", world.events);
    assert_eq!(world.repeats, 0);
}

fn positions(events: &[String], name: &str) -> Vec<usize> {
    let named = events
        .iter()
        .enumerate()
        .filter(|(_, event)| *event == name);
    named.map(|(at, _)| at).collect()
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_of_what_is_being_posted_is_a_duplicate() {
    let mut bench = bench(100);
    bench.flow.nodupe = Some(Nodupe {
        ttl: Duration::from_secs(3600),
        basis: NodupeBasis::Path,
    });
    for index in 0..4 * BATCH {
        bench.world.enqueue(&index.to_string(), message("the/same"));
    }
    let counts = bench.once().await.unwrap();
    assert_eq!(
        (counts.gathered, counts.posted, counts.rejected),
        (40, 1, 39)
    );
    assert_eq!(bench.world.lock().acked.len(), 40);
}

#[tokio::test(start_paused = true)]
async fn what_is_written_to_one_path_is_written_in_order() {
    let mut bench = bench(100);
    bench.flow.download = true;
    bench.flow.concurrency = 3;
    bench.plugin(slow_downloader(5));
    for index in 0..3 * BATCH {
        let mut message = message("the/same");
        message.retrieve_path = Some(format!("version {index}"));
        bench.world.enqueue(&index.to_string(), message);
    }
    let counts = bench.once().await.unwrap();
    assert_eq!((counts.fetched, counts.posted), (30, 30));
    let world = bench.world.lock();
    let posted = world.posted.iter().map(|post| post.key.clone().unwrap());
    let expected = (0..30).map(|index| format!("flow/test:{index}"));
    assert!(posted.eq(expected));
    assert_eq!(bench.tree().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_offers_again_what_it_was_not_told_about_gets_it_done_once() {
    for concurrency in [1, 3] {
        let mut bench = bench(100);
        bench.flow.download = true;
        bench.flow.concurrency = concurrency;
        bench.with_queue = false;
        let (plugin, open) = origin(45);
        bench.plugin(plugin);
        let counts = bench.once().await.unwrap();
        assert_eq!(counts.posted, 45);
        assert!(open.lock().unwrap().is_empty());
        let world = bench.world.lock();
        assert_eq!((world.posted.len(), world.repeats), (45, 0));
        assert_eq!(world.settled.len(), 45);
    }
}

#[tokio::test(start_paused = true)]
async fn what_callbacks_write_is_not_undone_by_what_they_wrote_before() {
    fn add(state: &dyn State, more: u64) -> Result<u64, Failure> {
        let text = state.get("sum")?.unwrap_or_else(|| b"0".to_vec());
        let sum: u64 = String::from_utf8(text).unwrap().parse().unwrap();
        state.put("sum", Some((sum + more).to_string().into_bytes()), None)?;
        Ok(sum)
    }
    let mut bench = bench(100);
    bench.flow.download = true;
    bench.flow.concurrency = 2;
    bench.with_queue = false;
    let expected = Arc::new(AtomicU64::new(0));
    let last = Arc::new(AtomicU64::new(0));
    let mut plugin = pages(45);
    let gather = plugin.gather.take().unwrap();
    let (expect, seen) = (Arc::clone(&expected), Arc::clone(&last));
    plugin.gather = Some(Arc::new(move |limit, state| {
        seen.store(add(state, 1000)?, Ordering::Relaxed);
        expect.fetch_add(1000, Ordering::Relaxed);
        gather(limit, state)
    }));
    let expect = Arc::clone(&expected);
    plugin.settled = Some(Arc::new(move |outcomes, state| {
        add(state, outcomes.len() as u64)?;
        expect.fetch_add(outcomes.len() as u64, Ordering::Relaxed);
        Ok(())
    }));
    bench.plugin(plugin);
    assert_eq!(bench.once().await.unwrap().posted, 45);
    let before = expected.load(Ordering::Relaxed);
    assert_eq!(before % 1000, 45);
    // What the next run finds is what was written last.
    bench.offset = Duration::from_secs(3600);
    bench.once().await.unwrap();
    assert_eq!(last.load(Ordering::Relaxed), before);
}

#[tokio::test(start_paused = true)]
async fn a_drain_loses_nothing_of_what_was_gathered_ahead() {
    let mut bench = bench(30);
    bench.flow.download = true;
    bench.flow.concurrency = 2;
    bench.flow.sleep = Duration::from_secs(1);
    bench.with_queue = false;
    let (plugin, open) = origin(95);
    bench.plugin(plugin);
    let mut runs = 0;
    while !open.lock().unwrap().is_empty() {
        runs += 1;
        assert!(runs < 50, "it does not end");
        bench.options.once = false;
        let drain = Drain::new();
        let stop = drain.clone();
        let worker = bench.worker();
        let (result, ()) = tokio::join!(worker.run(drain), async {
            tokio::time::sleep(Duration::from_millis(70 + 13 * runs)).await;
            stop.request();
        });
        result.unwrap();
        bench.offset += Duration::from_secs(5);
    }
    assert!(runs > 2, "the drain came too late");
    let world = bench.world.lock();
    assert_eq!((world.posted.len(), world.repeats), (95, 0));
    assert_eq!(bench.store().count(flow_runtime::Shelf::Retry).unwrap(), 0);
}
