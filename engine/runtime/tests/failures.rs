//! The loop over fake ports that fail: what is tried again, what is given up, what is waited for.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use flow_message::Timestamp;
use flow_runtime::ports::{Edit, Failure, Fate, Verdict, Worked};
use flow_runtime::{Drain, Error, Shelf};
use support::plugins::{downloader, failing, gatherer, splitter};
use support::{Bench, Plugin, message};

#[tokio::test(start_paused = true)]
async fn failures_are_retried_later_and_settle_twice() {
    let mut bench = Bench::new();
    bench.with_queue = false;
    let tries = Arc::new(AtomicU32::new(0));
    let mut plugin = gatherer(&["x"]);
    plugin.after_work = Some(Arc::new(move |batch, _, _| {
        let busy = Failure::Temporary {
            reason: "busy".into(),
            retry_after: Some(Duration::from_secs(40)),
        };
        let first = tries.fetch_add(1, Ordering::Relaxed) == 0;
        Ok(batch
            .iter()
            .map(|_| {
                if first {
                    Verdict::Fail(busy.clone())
                } else {
                    Verdict::Keep
                }
            })
            .collect())
    }));
    bench.plugin(plugin);
    let counts = bench.once().await.unwrap();
    assert_eq!((counts.retrying, counts.posted), (1, 0));
    let entry = &bench.store().list(Shelf::Retry, 0, 9).unwrap()[0];
    assert_eq!((entry.attempt, entry.reason.as_str()), (1, "busy"));
    assert_eq!(entry.at.as_second(), support::START + 42);
    // Not due: gathered again, and recognised.
    bench.offset = Duration::from_secs(10);
    bench.once().await.unwrap();
    assert_eq!(bench.world.lock().settled.len(), 1);
    bench.offset = Duration::from_secs(60);
    let counts = bench.once().await.unwrap();
    assert_eq!(counts.posted, 1);
    assert_eq!(bench.store().count(Shelf::Retry).unwrap(), 0);
    let world = bench.world.lock();
    let fates: Vec<_> = world.settled.iter().map(|outcome| &outcome.fate).collect();
    assert_eq!(fates, [&Fate::Retrying("busy".into()), &Fate::Posted]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_told_soon_after_it_changed() {
    let mut bench = Bench::new();
    bench.with_queue = false;
    bench.options.once = false;
    bench.world.lock().wants_waiting = Some(Duration::from_secs(3600));
    let tries = AtomicU32::new(0);
    let mut plugin = gatherer(&["x"]);
    plugin.after_work = Some(Arc::new(move |batch, _, _| {
        let first = tries.fetch_add(1, Ordering::Relaxed) == 0;
        let verdict = || match first {
            true => Verdict::Fail(Failure::Temporary {
                reason: "busy".into(),
                retry_after: Some(Duration::from_secs(40)),
            }),
            false => Verdict::Keep,
        };
        Ok(batch.iter().map(|_| verdict()).collect())
    }));
    bench.plugin(plugin);
    let drain = Drain::new();
    let running = tokio::spawn(bench.worker().run(drain.clone()));
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(bench.world.lock().waiting, [(0, 0), (1, 0)]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.world.lock().waiting.last(), Some(&(0, 0)));
    assert!(bench.world.lock().waiting.len() < 6, "not at every pass");
    drain.request();
    running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn waiting_is_no_failure_and_loses_no_try() {
    let mut bench = Bench::new();
    bench.with_queue = false;
    let asked = Arc::new(AtomicU32::new(0));
    let mut plugin = gatherer(&["x"]);
    let seen = Arc::clone(&asked);
    plugin.after_accept = Some(Arc::new(move |batch, _| {
        let times = seen.fetch_add(1, Ordering::Relaxed);
        let verdict = |attempt| match times {
            // More often than there are tries.
            0..9 => {
                assert_eq!(attempt, 0);
                Verdict::Wait {
                    after: Duration::from_secs(if times == 0 { 0 } else { 60 }),
                    reason: "not before noon".into(),
                }
            }
            _ => Verdict::Keep,
        };
        Ok(batch.iter().map(|item| verdict(item.attempt)).collect())
    }));
    bench.plugin(plugin);
    let counts = bench.once().await.unwrap();
    assert_eq!((counts.retrying, counts.posted), (1, 0));
    let entry = &bench.store().list(Shelf::Retry, 0, 9).unwrap()[0];
    assert_eq!(
        (entry.attempt, entry.reason.as_str()),
        (0, "not before noon")
    );
    // Not at all would be at once, again and again.
    assert_eq!(entry.at.as_second(), support::START);
    assert!(entry.at > Timestamp::from_unix(support::START, 0));
    for minute in 1..9 {
        bench.offset = Duration::from_secs(minute * 61);
        let counts = bench.once().await.unwrap();
        assert_eq!((counts.retrying, counts.posted), (1, 0), "{minute}");
    }
    bench.offset = Duration::from_secs(9 * 61);
    let counts = bench.once().await.unwrap();
    assert_eq!((counts.retrying, counts.posted), (0, 1));
    assert_eq!(asked.load(Ordering::Relaxed), 10);
    assert_eq!(bench.store().count(Shelf::Retry).unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_too_long_is_given_up() {
    let mut bench = Bench::new();
    bench.flow.retry.wait_max = Duration::from_secs(100);
    let mut plugin = gatherer(&["x"]);
    plugin.after_accept = Some(Arc::new(|batch, _| {
        let wait = || Verdict::Wait {
            after: Duration::from_secs(70),
            reason: "not before noon".into(),
        };
        Ok(batch.iter().map(|_| wait()).collect())
    }));
    bench.with_queue = false;
    bench.plugin(plugin);
    // The last look is as late as it may be, though the plugin wanted a later one.
    for (second, due) in [(0, 70), (71, 100)] {
        bench.offset = Duration::from_secs(second);
        let counts = bench.once().await.unwrap();
        assert_eq!((counts.retrying, counts.dead), (1, 0), "{second}");
        let entry = &bench.store().list(Shelf::Retry, 0, 9).unwrap()[0];
        assert_eq!(entry.at.as_second(), support::START + due);
    }
    bench.offset = Duration::from_secs(101);
    let counts = bench.once().await.unwrap();
    assert_eq!((counts.retrying, counts.dead), (0, 1));
    assert_eq!(bench.store().count(Shelf::Retry).unwrap(), 0);
    let dead = bench.store().list(Shelf::Dead, 0, 9).unwrap();
    assert_eq!(
        dead[0].reason,
        "not before noon (given up after waiting for 101s, `waitMax`)"
    );
}

#[tokio::test(start_paused = true)]
async fn one_failing_part_takes_the_whole_mail_to_retry() {
    let mut bench = Bench::new();
    bench.flow.download = true;
    bench.plugin(downloader());
    bench.plugin(splitter(&["good", "bad"]));
    let tries = Arc::new(AtomicU32::new(0));
    bench.plugin(Plugin {
        after_work: Some(Arc::new(move |batch, _, _| {
            let first = tries.fetch_add(1, Ordering::Relaxed) == 0;
            let fails = |path: &str| first && path.ends_with("bad");
            Ok(batch
                .iter()
                .map(|item| match fails(&item.message.rel_path) {
                    true => Verdict::Fail(Failure::temporary("scanner away")),
                    false => Verdict::Keep,
                })
                .collect())
        })),
        ..Plugin::default()
    });
    bench.world.enqueue("m", message("INBOX/7"));
    let counts = bench.once().await.unwrap();
    assert_eq!((counts.retrying, counts.posted), (1, 0));
    assert!(bench.tree().is_empty(), "{:?}", bench.tree());
    assert_eq!(bench.world.lock().acked, ["m"]);
    bench.offset = Duration::from_secs(60);
    assert_eq!(bench.once().await.unwrap().posted, 2);
    assert_eq!(bench.tree().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_poison_message_ends_alone_in_the_dead_letters() {
    let mut bench = Bench::new();
    bench.flow.retry.attempts = 3;
    bench.plugin(Plugin {
        after_work: Some(Arc::new(|batch, _, _| {
            if batch.iter().any(|item| item.message.rel_path == "poison") {
                return Err(Failure::Plugin("unreachable executed".into()));
            }
            Ok(batch.iter().map(|_| Verdict::Keep).collect())
        })),
        ..Plugin::default()
    });
    for path in ["a", "b", "poison", "c"] {
        bench.world.enqueue(path, message(path));
    }
    for hour in 0..4 {
        bench.offset = Duration::from_secs(3600 * hour);
        bench.once().await.unwrap();
    }
    assert_eq!(bench.world.posted_paths(), ["a", "b", "c"]);
    let dead = bench.store().list(Shelf::Dead, 0, 9).unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].key, "poison");
    assert!(dead[0].reason.contains("unreachable executed"));
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_pause_the_flow_and_lose_nothing() {
    let mut bench = Bench::new();
    let tries = Arc::new(AtomicU32::new(0));
    bench.plugin(Plugin {
        send: Some(Arc::new(move |batch, _, _| {
            if tries.fetch_add(1, Ordering::Relaxed) < 2 {
                return Err(Failure::Auth("LOGIN failed".into()));
            }
            Ok(batch
                .iter()
                .map(|_| Worked::Done(vec![Edit::Size(Some(9))]))
                .collect())
        })),
        ..Plugin::default()
    });
    bench.options.once = false;
    bench.world.enqueue("a", message("a"));
    bench.until(|world| !world.posted.is_empty()).await.unwrap();
    let world = bench.world.lock();
    assert_eq!(world.posted[0].message.size, Some(9));
    let pauses: Vec<_> = world
        .pauses
        .iter()
        .map(|(_, wait)| wait.as_secs())
        .collect();
    assert_eq!(pauses, [45, 90]);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_setup_stops_the_flow_and_keeps_the_messages() {
    let mut bench = Bench::new();
    bench.plugin(Plugin {
        after_accept: Some(Arc::new(|_, _| {
            Err(Failure::Config("`allow.connect` lacks a host".into()))
        })),
        ..Plugin::default()
    });
    bench.options.once = false;
    bench.world.enqueue("a", message("a"));
    let error = bench.once().await.unwrap_err();
    assert!(matches!(error, Error::Config(_)), "{error}");
    let entry = bench.store().show(Shelf::Retry, "a").unwrap().unwrap();
    assert_eq!(
        (entry.attempt, entry.reason.as_str()),
        (0, "`allow.connect` lacks a host")
    );
    assert_eq!(bench.world.lock().stopped, 1);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_away_is_waited_for() {
    let mut bench = Bench::new();
    bench.options.once = false;
    bench.world.lock().post_failures = vec![Failure::temporary("connection refused"); 3];
    bench.world.enqueue("a", message("a"));
    bench.until(|world| !world.acked.is_empty()).await.unwrap();
    assert_eq!(bench.world.posted_paths(), ["a"]);
    assert_eq!(bench.world.lock().pauses.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_drain_gives_back_what_could_not_be_posted() {
    let mut bench = Bench::new();
    bench.options.once = false;
    bench.plugin(gatherer(&["gathered"]));
    bench.world.lock().post_failures = vec![Failure::temporary("connection refused"); 1000];
    bench.world.enqueue("queued", message("queued"));
    bench.until(|world| !world.pauses.is_empty()).await.unwrap();
    assert_eq!(bench.world.lock().released, ["queued"]);
    let kept = bench.store().list(Shelf::Retry, 0, 9).unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(
        (
            kept[0].attempt,
            kept[0].message.as_ref().unwrap().rel_path.as_str()
        ),
        (0, "gathered")
    );
    assert!(bench.world.lock().settled.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_the_broker_cannot_take_does_not_keep_the_rest() {
    let bench = Bench::new();
    for path in ["a", "b.unpostable", "c", "d"] {
        bench.world.enqueue(path, message(path));
    }
    let counts = bench.once().await.unwrap();
    assert_eq!((counts.posted, counts.dead), (3, 1));
    assert_eq!(bench.world.posted_paths(), ["a", "c", "d"]);
    assert_eq!(
        bench.store().list(Shelf::Dead, 0, 9).unwrap()[0].key,
        "b.unpostable"
    );
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_panics_gives_its_messages_back() {
    let mut bench = Bench::new();
    bench.flow.concurrency = 4;
    let tries = Arc::new(AtomicU32::new(0));
    bench.plugin(Plugin {
        after_work: Some(Arc::new(move |batch, _, _| {
            let panics = batch.iter().any(|item| item.message.rel_path == "f3");
            assert!(
                !panics || tries.fetch_add(1, Ordering::Relaxed) > 0,
                "as an adapter might"
            );
            Ok(batch.iter().map(|_| Verdict::Keep).collect())
        })),
        ..Plugin::default()
    });
    for index in 0..20 {
        bench
            .world
            .enqueue(&index.to_string(), message(&format!("f{index}")));
    }
    let counts = bench.once().await.unwrap();
    assert!(counts.retrying > 0);
    bench.offset = Duration::from_secs(600);
    bench.once().await.unwrap();
    let mut posted = bench.world.posted_paths();
    posted.sort();
    posted.dedup();
    assert_eq!(posted.len(), 20);
    assert_eq!(bench.world.lock().acked.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn five_plugin_failures_in_a_minute_pause_the_flow() {
    let mut bench = Bench::new();
    bench.options.once = false;
    bench.flow.batch = 1;
    let broken = Arc::new(AtomicU32::new(5));
    bench.plugin(Plugin {
        after_work: Some(Arc::new(move |batch, _, _| {
            if broken.load(Ordering::Relaxed) > 0 {
                broken.fetch_sub(1, Ordering::Relaxed);
                return Err(Failure::Plugin("out of memory".into()));
            }
            Ok(batch.iter().map(|_| Verdict::Keep).collect())
        })),
        ..Plugin::default()
    });
    for index in 0..6 {
        bench
            .world
            .enqueue(&index.to_string(), message(&format!("f{index}")));
    }
    bench.until(|world| world.posted.len() >= 6).await.unwrap();
    let world = bench.world.lock();
    assert_eq!(world.pauses.len(), 1, "{:?}", world.pauses);
    assert_eq!(world.pauses[0].1, Duration::from_secs(60));
    assert!(
        world.pauses[0].0.contains("5 times within a minute"),
        "{:?}",
        world.pauses
    );
}

#[tokio::test(start_paused = true)]
async fn outcomes_that_could_not_be_told_are_told_later() {
    let mut bench = Bench::new();
    bench.with_queue = false;
    let away = Arc::new(AtomicU32::new(1));
    let mut plugin = gatherer(&["x"]);
    plugin.settled = Some(Arc::new({
        let away = Arc::clone(&away);
        move |_, state| {
            state.put("told", Some(vec![1]), None)?;
            match away.load(Ordering::Relaxed) {
                0 => Ok(()),
                _ => Err(Failure::temporary("connection reset")),
            }
        }
    }));
    bench.plugin(plugin);
    bench.once().await.unwrap();
    assert_eq!(bench.world.lock().settled.len(), 1);
    away.store(0, Ordering::Relaxed);
    // Told first, so that the second gather finds nothing pending.
    bench.once().await.unwrap();
    let fates: Vec<_> = bench
        .world
        .lock()
        .settled
        .iter()
        .map(|outcome| outcome.fate.clone())
        .collect();
    assert_eq!(fates[..2], [Fate::Posted, Fate::Posted]);
}

#[tokio::test(start_paused = true)]
async fn what_is_stored_and_delivered_again_is_acked_and_not_worked_on() {
    let mut bench = Bench::new();
    let calls = Arc::new(AtomicU32::new(0));
    bench.plugin(failing(&calls));
    bench.world.enqueue("r", message("fail"));
    bench.world.enqueue("d", message("die"));
    bench.once().await.unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    // The acks were lost.
    for (key, path) in [("r", "fail"), ("d", "die")] {
        bench.world.lock().queue.push(support::Queued {
            key: key.into(),
            message: Ok(message(path)),
            tag: None,
            redelivered: true,
        });
    }
    bench.once().await.unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    assert_eq!(bench.world.lock().acked, ["r", "d", "r", "d"]);
    let store = bench.store();
    assert_eq!(
        (
            store.count(Shelf::Retry).unwrap(),
            store.count(Shelf::Dead).unwrap()
        ),
        (1, 1)
    );
    // A new message that equals the dead one has its own chance; one in retry is in good hands.
    bench.world.enqueue("r", message("fail"));
    bench.world.enqueue("d", message("die"));
    bench.once().await.unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn requeued_dead_letters_go_through_again() {
    let mut bench = Bench::new();
    let calls = Arc::new(AtomicU32::new(0));
    bench.plugin(failing(&calls));
    bench.world.enqueue("d", message("die"));
    bench.once().await.unwrap();
    bench.plugins[0] = Plugin::default();
    let now = Timestamp::from_unix(support::START, 0);
    assert_eq!(bench.store().requeue(Shelf::Dead, None, now).unwrap(), 1);
    bench.once().await.unwrap();
    assert_eq!(bench.world.posted_paths(), ["die"]);
    let store = bench.store();
    assert_eq!(
        (
            store.count(Shelf::Retry).unwrap(),
            store.count(Shelf::Dead).unwrap()
        ),
        (0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_row_requeued_while_the_flow_runs_is_taken_within_seconds() {
    let mut bench = Bench::new();
    bench.options.once = false;
    let calls = Arc::new(AtomicU32::new(0));
    bench.plugin(failing(&calls));
    bench.world.enqueue("r", message("fail"));
    let drain = Drain::new();
    let run = tokio::spawn(bench.worker().run(drain.clone()));
    while bench.world.lock().acked.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let began = tokio::time::Instant::now();
    let store = bench.store();
    let now = Timestamp::from_unix(support::START, 0);
    assert_eq!(
        store
            .requeue(Shelf::Retry, Some(&["r".into()]), now)
            .unwrap(),
        1
    );
    while calls.load(Ordering::Relaxed) < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
    drain.request();
    run.await.unwrap().unwrap();
}
