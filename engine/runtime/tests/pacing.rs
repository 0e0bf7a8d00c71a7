//! How many messages a flow takes, how fast, when it asks, and when it ends.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flow_config::{Pace, Schedule};
use flow_runtime::ports::{Failure, Gathered, Verdict};
use flow_runtime::{Drain, Shelf};
use support::plugins::failing;
use support::{Bench, Plugin, message};
use tokio::time::Instant;

fn enqueue(bench: &Bench, count: usize) {
    for number in 0..count {
        let path = format!("m{number}");
        bench.world.enqueue(&path, message(&path));
    }
}

#[tokio::test(start_paused = true)]
async fn a_flow_ends_after_so_many_messages_and_leaves_the_rest() {
    for workers in [1, 3] {
        let mut bench = Bench::new();
        bench.options.once = false;
        bench.flow.batch = 4;
        bench.flow.instances = workers;
        bench.flow.pace.message_count_max = 10;
        enqueue(&bench, 25);
        let summary = bench.once().await.unwrap();
        assert_eq!((summary.gathered, summary.posted), (10, 10));
        let world = bench.world.lock();
        assert_eq!((world.acked.len(), world.queue.len()), (10, 15));
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_not_exceeded_however_many_workers_there_are() {
    for workers in [1, 3] {
        let mut bench = Bench::new();
        bench.flow.instances = workers;
        bench.flow.pace = Pace {
            message_rate_max: Some(20.0),
            ..Pace::default()
        };
        enqueue(&bench, 100);
        let started = Instant::now();
        let summary = bench.once().await.unwrap();
        assert_eq!(summary.posted, 100);
        let seconds = started.elapsed().as_secs_f64();
        assert!(
            (4.8..=5.3).contains(&seconds),
            "{seconds} s for 100 messages"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_the_wait_for_a_rate() {
    let mut bench = Bench::new();
    bench.options.once = false;
    bench.flow.pace.message_rate_max = Some(0.01);
    enqueue(&bench, 5);
    let drain = Drain::new();
    let running = tokio::spawn(bench.worker().run(drain.clone()));
    tokio::time::sleep(Duration::from_secs(30)).await;
    let asked = Instant::now();
    drain.request();
    let summary = running.await.unwrap().unwrap();
    assert_eq!(summary.posted, 1);
    assert!(asked.elapsed() < Duration::from_secs(1));
    assert_eq!(bench.world.lock().queue.len(), 4);
}

/// Times at which the origin of a flow was asked, in seconds from its start.
async fn asked(schedule: Schedule, sleep: Duration, span: Duration) -> Vec<u64> {
    let mut bench = Bench::new();
    bench.with_queue = false;
    bench.options.once = false;
    bench.flow.schedule = schedule;
    bench.flow.sleep = sleep;
    let times: Arc<Mutex<Vec<u64>>> = Arc::default();
    let started = Instant::now();
    bench.plugin(Plugin {
        gather: Some(Arc::new({
            let times = Arc::clone(&times);
            move |_, _| {
                times.lock().unwrap().push(started.elapsed().as_secs());
                Ok(Gathered::default())
            }
        })),
        ..Plugin::default()
    });
    let drain = Drain::new();
    let running = tokio::spawn(bench.worker().run(drain.clone()));
    tokio::time::sleep(span).await;
    let asked = Instant::now();
    drain.request();
    running.await.unwrap().unwrap();
    assert!(asked.elapsed() < Duration::from_secs(1), "a drain waits");
    times.lock().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn origins_are_asked_at_the_start_and_as_scheduled() {
    let hours = |hours: u64| hours * 3_600;
    let every = Schedule::Interval(Duration::from_secs(600));
    let found = asked(every, Duration::from_secs(1), Duration::from_secs(1_900)).await;
    assert_eq!(found, [0, 600, 1_200, 1_800]);
    // Test time starts at midnight.
    let times = Schedule::Times {
        minutes: vec![6 * 60 + 15, 18 * 60],
        timezone: "UTC".into(),
    };
    let day = Duration::from_secs(hours(31));
    let found = asked(times, Duration::from_secs(1), day).await;
    assert_eq!(found, [0, hours(6) + 900, hours(18), hours(30) + 900]);
    // Midnight is 19:00 of the day before in Toronto.
    let times = Schedule::Times {
        minutes: vec![20 * 60],
        timezone: "America/Toronto".into(),
    };
    let found = asked(
        times,
        Duration::from_secs(1),
        Duration::from_secs(hours(30)),
    )
    .await;
    assert_eq!(found, [0, hours(1), hours(25)]);
}

#[tokio::test(start_paused = true)]
async fn the_pages_of_a_scheduled_gather_follow_each_other() {
    let mut bench = Bench::new();
    bench.with_queue = false;
    bench.options.once = false;
    bench.flow.batch = 2;
    bench.flow.schedule = Schedule::Interval(Duration::from_secs(3_600));
    let pages = Arc::new(AtomicU32::new(0));
    bench.plugin(Plugin {
        gather: Some(Arc::new({
            let pages = Arc::clone(&pages);
            move |_, _| {
                let page = pages.fetch_add(1, Ordering::Relaxed);
                Ok(Gathered {
                    messages: vec![message(&format!("p{page}"))],
                    more: page % 3 < 2,
                })
            }
        })),
        ..Plugin::default()
    });
    let drain = Drain::new();
    let running = tokio::spawn(bench.worker().run(drain.clone()));
    tokio::time::sleep(Duration::from_secs(3_599)).await;
    assert_eq!(pages.load(Ordering::Relaxed), 3);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(pages.load(Ordering::Relaxed), 6);
    drain.request();
    running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_is_to_leave_nothing_waits_for_what_is_tried_again() {
    for (patient, left, posted) in [(false, 1, 2), (true, 0, 3)] {
        for workers in [1, 3] {
            let mut bench = Bench::new();
            bench.flow.instances = workers;
            bench.flow.batch = 1;
            bench.flow.retry.attempts = 10;
            bench.flow.retry.empty_before_exit = patient;
            let tries = AtomicU32::new(0);
            bench.plugin(Plugin {
                after_work: Some(Arc::new(move |batch, _, _| {
                    let judge = |path: &str| match path {
                        "m1" if tries.fetch_add(1, Ordering::Relaxed) < 3 => {
                            Verdict::Fail(Failure::temporary("busy"))
                        }
                        _ => Verdict::Keep,
                    };
                    Ok(batch
                        .iter()
                        .map(|item| judge(&item.message.rel_path))
                        .collect())
                })),
                ..Plugin::default()
            });
            enqueue(&bench, 3);
            let summary = bench.once().await.unwrap();
            assert_eq!(summary.posted, posted);
            assert_eq!(bench.store().count(Shelf::Retry).unwrap(), left);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_failed_passes_the_filters_again_only_if_asked_to() {
    for (again, expected) in [(false, (1, 0)), (true, (0, 1))] {
        let mut bench = Bench::new();
        bench.flow.retry.attempts = 5;
        bench.flow.retry.refilter = again;
        let calls = Arc::new(AtomicU32::new(0));
        bench.plugin(failing(&calls));
        bench.world.enqueue("a", message("fail/a"));
        bench.once().await.unwrap();
        assert_eq!(bench.store().count(Shelf::Retry).unwrap(), 1);
        // Meanwhile somebody changed the rules, and what was wrong was put right.
        bench.flow.filters.accept_unmatched = false;
        bench.plugins[0].after_work = Some(Arc::new(|batch, _, _| {
            Ok(batch.iter().map(|_| Verdict::Keep).collect())
        }));
        bench.offset = Duration::from_secs(86_400);
        let summary = bench.once().await.unwrap();
        assert_eq!((summary.posted, summary.rejected), expected);
        assert_eq!(bench.store().count(Shelf::Retry).unwrap(), 0);
        bench.world.enqueue("b", message("b"));
        assert_eq!(bench.once().await.unwrap().rejected, 1);
    }
}
