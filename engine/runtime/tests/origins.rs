//! The loop over fake origins: when they are asked, and what follows when they fail.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use flow_config::{Input, SafeUrl};
use flow_runtime::ports::{Failure, Gathered};
use flow_runtime::{Drain, Error, Shelf};
use support::plugins::{downloader, failing};
use support::{Bench, Plugin, message};

#[tokio::test(start_paused = true)]
async fn a_gather_that_fails_forgets_how_far_it_read() {
    let mut bench = Bench::new();
    bench.with_queue = false;
    bench.options.once = false;
    let tries = Arc::new(AtomicU32::new(0));
    bench.plugin(Plugin {
        gather: Some(Arc::new(move |_, state| {
            let from = state.get("uid")?.map_or(0, |value| value[0]);
            state.put("uid", Some(vec![from + 1]), None)?;
            if tries.fetch_add(1, Ordering::Relaxed) == 0 {
                return Err(Failure::temporary("connection reset"));
            }
            Ok(Gathered {
                messages: vec![message(&format!("mail-{from}"))],
                more: false,
            })
        })),
        ..Plugin::default()
    });
    bench.until(|world| world.posted.len() >= 2).await.unwrap();
    assert_eq!(bench.world.posted_paths()[..2], ["mail-0", "mail-1"]);
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_calls_is_asked_at_once_and_a_queue_interrupts_the_wait() {
    let mut bench = Bench::new();
    bench.options.once = false;
    bench.flow.sleep = Duration::from_secs(3600);
    let calls = Arc::new(tokio::sync::Notify::new());
    let count = Arc::new(AtomicU32::new(0));
    bench.plugin(Plugin {
        gather: Some(Arc::new({
            let count = Arc::clone(&count);
            move |_, _| {
                let number = count.fetch_add(1, Ordering::Relaxed);
                Ok(Gathered {
                    messages: vec![message(&format!("mail-{number}"))],
                    more: false,
                })
            }
        })),
        wake: Some(Arc::clone(&calls)),
        ..Plugin::default()
    });
    let began = tokio::time::Instant::now();
    let drain = Drain::new();
    let run = tokio::spawn(bench.worker().run(drain.clone()));
    let posted = |count: usize| {
        let world = bench.world.clone();
        async move {
            while world.lock().posted.len() < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    };
    posted(1).await;
    calls.notify_one();
    posted(2).await;
    bench.world.enqueue("q", message("queued"));
    posted(3).await;
    assert!(began.elapsed() < Duration::from_secs(600));
    assert_eq!(bench.world.posted_paths(), ["mail-0", "mail-1", "queued"]);
    drain.request();
    run.await.unwrap().unwrap();
    let interrupted = bench
        .world
        .lock()
        .events
        .iter()
        .filter(|e| *e == "interrupted")
        .count();
    assert_eq!(interrupted, 2);
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_repeats_itself_does_not_keep_the_flow_busy() {
    let mut bench = Bench::new();
    bench.with_queue = false;
    bench.plugin(Plugin {
        gather: Some(Arc::new(|_, _| {
            Ok(Gathered {
                messages: vec![message("fail")],
                more: true,
            })
        })),
        ..failing(&Arc::default())
    });
    // It ends at all, and the message is in retry, tried once.
    bench.once().await.unwrap();
    assert_eq!(
        bench.store().list(Shelf::Retry, 0, 9).unwrap()[0].attempt,
        1
    );
}

/// A plugin that could gather, and counts how often it is asked; it downloads as well.
fn asked(count: &Arc<AtomicU32>) -> Plugin {
    let count = Arc::clone(count);
    Plugin {
        gather: Some(Arc::new(move |_, _| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(Gathered {
                messages: vec![message("gathered")],
                more: false,
            })
        })),
        wake: Some(Arc::default()),
        settled: Some(Arc::new(|_, _| Ok(()))),
        ..downloader()
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_is_not_polled_beside_unless_the_flow_says_where() {
    for (poll_url, expected) in [
        (None, ["queued"].as_slice()),
        (Some("fake://me@origin/"), &["gathered", "queued"]),
    ] {
        let mut bench = Bench::new();
        bench.options.once = false;
        bench.flow.download = true;
        bench.flow.sleep = Duration::from_secs(3600);
        let broker = SafeUrl::parse("embedded:").unwrap();
        bench.flow.input = Some(Input::new(broker, "q_test", "xs_in", "v03.#"));
        bench.flow.poll_url = poll_url.map(|url| SafeUrl::parse(url).unwrap());
        let count = Arc::new(AtomicU32::new(0));
        bench.plugin(asked(&count));
        bench.world.enqueue("q", message("queued"));
        let drain = Drain::new();
        let run = tokio::spawn(bench.worker().run(drain.clone()));
        while bench.world.lock().posted.len() < expected.len() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        // Time enough to be idle in.
        tokio::time::sleep(Duration::from_secs(60)).await;
        drain.request();
        run.await.unwrap().unwrap();
        let posted = bench.world.posted_paths();
        let name = |path: &String| path.rsplit('/').next().unwrap().to_owned();
        let mut posted: Vec<String> = posted.iter().map(name).collect();
        posted.sort();
        assert_eq!(posted, expected);
        let polls = poll_url.is_some();
        assert_eq!(count.load(Ordering::Relaxed) > 0, polls);
        let waited = bench
            .world
            .lock()
            .events
            .iter()
            .any(|event| event == "wait");
        assert_eq!(waited, polls);
    }
}

/// Runs a flow whose origin fails once with `failure`, until that stops it or a message was posted;
/// also for how many seconds it paused, each time.
async fn fails_once(failure: Failure, once: bool) -> (Result<(), Error>, Vec<u64>) {
    let mut bench = Bench::new();
    bench.options.once = once;
    let failure = std::sync::Mutex::new(Some(failure));
    bench.plugin(Plugin {
        gather: Some(Arc::new(move |_, _| match failure.lock().unwrap().take() {
            Some(failure) => Err(failure),
            None => Ok(Gathered {
                messages: vec![message("later")],
                more: false,
            }),
        })),
        ..Plugin::default()
    });
    let result = bench
        .until(|world| !world.posted.is_empty())
        .await
        .map(drop);
    let world = bench.world.lock();
    assert_eq!(world.posted.is_empty(), result.is_err());
    (
        result,
        world
            .pauses
            .iter()
            .map(|(_, wait)| wait.as_secs())
            .collect(),
    )
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_fails_is_waited_for_but_not_by_a_flow_run_once() {
    let auth = || Failure::Auth("no such user".into());
    let away = || Failure::temporary("connection refused");
    let (result, pauses) = fails_once(auth(), true).await;
    assert!(matches!(result, Err(Error::Auth(reason)) if reason == "no such user"));
    assert!(pauses.is_empty(), "it ends instead: {pauses:?}");
    let (result, pauses) = fails_once(away(), true).await;
    assert!(matches!(result, Err(Error::Unavailable(_))));
    assert!(pauses.is_empty(), "it ends instead: {pauses:?}");

    let (result, pauses) = fails_once(auth(), false).await;
    assert!(result.is_ok());
    assert_eq!(pauses, [45], "an account is not burnt by trying");
    let (result, pauses) = fails_once(away(), false).await;
    assert!(result.is_ok());
    assert_eq!(pauses.len(), 1);

    for once in [true, false] {
        let (result, pauses) = fails_once(Failure::Config("no folder".into()), once).await;
        assert!(matches!(result, Err(Error::Config(_))));
        assert!(pauses.is_empty(), "waiting changes nothing: {pauses:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_page_with_more_to_come_is_not_the_end() {
    let mut bench = Bench::new();
    bench.with_queue = false;
    let pages = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&pages);
    bench.plugin(Plugin {
        gather: Some(Arc::new(move |_, _| {
            let page = count.fetch_add(1, Ordering::Relaxed);
            let messages = match page {
                200 | 300 => vec![message(&format!("page-{page}"))],
                _ => Vec::new(),
            };
            Ok(Gathered {
                messages,
                more: page < 400,
            })
        })),
        ..Plugin::default()
    });
    let counts = bench.once().await.unwrap();
    assert_eq!(counts.posted, 2);
    assert_eq!(pages.load(Ordering::Relaxed), 401);
}
