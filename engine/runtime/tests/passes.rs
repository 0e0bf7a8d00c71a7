//! The loop over fake ports, one behaviour each.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use flow_config::{Filters, Nodupe, NodupeBasis, Rule, Template};
use flow_runtime::ports::{Edit, Failure, Fate, Gathered, NewMessage, Rejection, Verdict, Worked};
use flow_runtime::{Drain, Error, Shelf};
use regex::Regex;
use support::{Bench, Plugin, fill, message, read_all};

/// A plugin that downloads `content of <relPath>`.
fn downloader() -> Plugin {
    Plugin {
        download: Some(Arc::new(|batch, content, _| {
            batch
                .iter()
                .map(|item| {
                    fill(
                        content,
                        item.id,
                        &format!("content of {}", item.message.rel_path),
                    )?;
                    Ok(Worked::Done(Vec::new()))
                })
                .collect()
        })),
        settled: Some(Arc::new(|_, _| Ok(()))),
        ..Plugin::default()
    }
}

/// A plugin that gathers `paths` until they are settled as anything.
fn gatherer(paths: &'static [&'static str]) -> Plugin {
    Plugin {
        gather: Some(Arc::new(move |limit, _| {
            let messages = paths.iter().take(limit).map(|path| message(path)).collect();
            Ok(Gathered {
                messages,
                more: false,
            })
        })),
        settled: Some(Arc::new(|_, _| Ok(()))),
        ..Plugin::default()
    }
}

/// Replaces each message by `parts`, each with content.
fn splitter(parts: &'static [&'static str]) -> Plugin {
    Plugin {
        after_work: Some(Arc::new(move |batch, content, _| {
            batch
                .iter()
                .map(|item| {
                    let whole = read_all(content, item.id)?;
                    let mut made = Vec::new();
                    for part in parts {
                        let path = format!("{}/{part}", item.message.rel_path);
                        let Some(mut writer) = content.derive(item.id, &path, None)? else {
                            continue;
                        };
                        writer.write(format!("{part} of {whole}").as_bytes())?;
                        let mut new = item.message.clone();
                        new.rel_path = path;
                        made.push(NewMessage {
                            message: new,
                            content: Some(writer.finish()?),
                        });
                    }
                    Ok(Verdict::Replace(made))
                })
                .collect()
        })),
        ..Plugin::default()
    }
}

fn rule(accept: bool, regex: &str) -> Rule {
    Rule {
        text: regex.into(),
        regex: Regex::new(&format!("^(?:{regex})")).unwrap(),
        accept,
        placement: flow_config::Placement::default(),
        origin: "flow/test.yaml:2".into(),
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_queue_has_is_posted_and_acked() {
    let bench = Bench::new();
    for index in 0..250 {
        bench
            .world
            .enqueue(&format!("k{index}"), message(&format!("a/{index}")));
    }
    let counts = bench.once().await.unwrap();
    assert_eq!((counts.gathered, counts.posted), (250, 250));
    let world = bench.world.lock();
    assert_eq!(world.acked.len(), 250);
    assert!(world.queue.is_empty());
    assert!(
        world
            .posted
            .iter()
            .enumerate()
            .all(|(i, p)| p.message.rel_path == format!("a/{i}"))
    );
    assert_eq!(world.posted[0].topic.as_str(), "v03.a");
    assert_eq!(world.posted[7].key.as_deref(), Some("flow/test:k7"));
}

#[tokio::test(start_paused = true)]
async fn filters_reject_and_headers_are_set() {
    let mut bench = Bench::new();
    bench.flow.filters = Filters {
        rules: vec![rule(false, r".*\.tmp$")],
        accept_unmatched: true,
        ..Filters::default()
    };
    bench.flow.header = vec![("source".into(), Template::parse("me").unwrap())];
    bench.world.enqueue("a", message("a.tmp"));
    bench.world.enqueue("b", message("b.txt"));
    let counts = bench.once().await.unwrap();
    assert_eq!((counts.rejected, counts.posted), (1, 1));
    let world = bench.world.lock();
    assert_eq!(world.acked, ["a", "b"]);
    assert_eq!(world.posted[0].message.source.as_deref(), Some("me"));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_cannot_be_read_is_a_dead_letter() {
    let bench = Bench::new();
    bench.world.lock().queue.push(support::Queued {
        key: "bad".into(),
        message: Err("not a JSON object".into()),
        tag: None,
        redelivered: false,
    });
    let counts = bench.once().await.unwrap();
    assert_eq!((counts.gathered, counts.dead), (1, 1));
    assert_eq!(bench.world.lock().acked, ["bad"]);
    let entry = bench.store().show(Shelf::Dead, "bad").unwrap().unwrap();
    assert_eq!(entry.reason, "the message can't be read: not a JSON object");
}

#[tokio::test(start_paused = true)]
async fn a_mail_is_downloaded_split_and_announced() {
    let mut bench = Bench::new();
    bench.flow.download = true;
    bench.plugin(downloader());
    bench.plugin(splitter(&["one.pdf", "two.pdf"]));
    bench.world.enqueue("m", message("INBOX/7"));
    let counts = bench.once().await.unwrap();
    assert_eq!((counts.fetched, counts.derived, counts.posted), (1, 2, 2));
    let files = bench
        .files()
        .to_str()
        .unwrap()
        .trim_start_matches('/')
        .to_owned();
    let tree = bench.tree();
    assert_eq!(tree.len(), 2, "{tree:?}");
    assert_eq!(tree["one.pdf"], "one.pdf of content of INBOX/7");
    let world = bench.world.lock();
    let first = &world.posted[0];
    assert_eq!(first.key.as_deref(), Some("flow/test:m/0"));
    assert_eq!(first.message.base_url, "file:///");
    assert_eq!(first.message.rel_path, format!("{files}/one.pdf"));
    assert_eq!(first.message.size, Some(29));
    assert_eq!(first.message.identity.as_ref().unwrap().method, "sha512");
    assert_eq!(world.settled.len(), 1);
    assert_eq!(world.settled[0].fate, Fate::Posted);
    assert_eq!(world.settled[0].item.message.rel_path, "INBOX/7");
    assert_eq!(world.acked, ["m"]);
}

#[tokio::test(start_paused = true)]
async fn parts_of_different_mails_do_not_overwrite_each_other() {
    let mut bench = Bench::new();
    bench.flow.download = true;
    bench.plugin(downloader());
    bench.plugin(splitter(&["report.pdf"]));
    for mail in ["1", "2", "3"] {
        bench.world.enqueue(mail, message(&format!("INBOX/{mail}")));
    }
    bench.once().await.unwrap();
    let tree = bench.tree();
    assert_eq!(tree.len(), 3, "{tree:?}");
    assert_eq!(tree["report.pdf"], "report.pdf of content of INBOX/1");
    let posted = bench.world.posted_paths();
    for (mail, path) in ["1", "2", "3"].iter().zip(posted) {
        let content = std::fs::read_to_string(format!("/{path}")).unwrap();
        assert_eq!(content, format!("report.pdf of content of INBOX/{mail}"));
    }
    // The same again, as after a crash: the same names, the same bytes, and no copies.
    bench.world.lock().keys.clear();
    for mail in ["3", "2", "1"] {
        bench.world.enqueue(mail, message(&format!("INBOX/{mail}")));
    }
    bench.once().await.unwrap();
    assert_eq!(bench.tree(), tree);
    let posted = bench.world.posted_paths();
    assert_eq!(
        posted[..3],
        [posted[5].clone(), posted[4].clone(), posted[3].clone()]
    );
}

#[tokio::test(start_paused = true)]
async fn a_callbacks_filters_choose_and_place_what_it_derives() {
    let mut bench = Bench::new();
    bench.flow.download = true;
    bench.plugin(downloader());
    bench.plugin(splitter(&["a.pdf", "b.exe"]));
    let mut accept = rule(true, r".*\.pdf$");
    accept.placement.directory = Some(Template::parse("inbox").unwrap());
    bench.flow.callbacks[1].filters = Some(Filters {
        rules: vec![accept],
        ..Filters::default()
    });
    bench.world.enqueue("m", message("INBOX/7"));
    bench.once().await.unwrap();
    assert_eq!(
        bench.tree().into_keys().collect::<Vec<_>>(),
        ["inbox/a.pdf"]
    );
    // A mail without anything wanted is done all the same.
    bench.flow.callbacks[1].filters = Some(Filters::default());
    bench.world.enqueue("n", message("INBOX/8"));
    let counts = bench.once().await.unwrap();
    assert_eq!((counts.posted, counts.rejected, counts.dead), (0, 0, 0));
    assert_eq!(bench.world.lock().settled[1].fate, Fate::Posted);
}

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
async fn duplicates_are_rejected_but_not_those_of_something_in_retry() {
    let mut bench = Bench::new();
    bench.with_queue = false;
    bench.flow.nodupe = Some(Nodupe {
        ttl: Duration::from_secs(3600),
        basis: NodupeBasis::NameOnly,
    });
    let mut plugin = gatherer(&["a/x", "b/x", "c/y", "d/y"]);
    let busy = Arc::new(AtomicU32::new(1));
    plugin.after_work = Some(Arc::new({
        let busy = Arc::clone(&busy);
        move |batch, _, _| {
            let busy = busy.load(Ordering::Relaxed) == 1;
            let judge = |path: &str| match busy && path.ends_with('y') {
                true => Verdict::Fail(Failure::temporary("busy")),
                false => Verdict::Keep,
            };
            Ok(batch
                .iter()
                .map(|item| judge(&item.message.rel_path))
                .collect())
        }
    }));
    bench.plugin(plugin);
    let counts = bench.once().await.unwrap();
    assert_eq!(
        (
            counts.posted,
            counts.rejected,
            counts.retrying,
            counts.duplicates
        ),
        (1, 1, 1, 2)
    );
    let fates = |bench: &Bench| -> Vec<(String, &'static str)> {
        let world = bench.world.lock();
        let mut fates: Vec<_> = world
            .settled
            .iter()
            .map(|outcome| {
                let fate = match &outcome.fate {
                    Fate::Posted => "posted",
                    Fate::Rejected(Rejection { code: 304, .. }) => "duplicate",
                    Fate::Rejected(_) => "rejected",
                    Fate::Retrying(_) => "retrying",
                    Fate::Dead(_) => "dead",
                };
                (outcome.item.message.rel_path.clone(), fate)
            })
            .collect();
        fates.sort();
        fates
    };
    let expected = [("a/x", "posted"), ("b/x", "duplicate"), ("c/y", "retrying")];
    assert_eq!(
        fates(&bench),
        expected.map(|(path, fate)| (path.to_owned(), fate))
    );
    bench.world.lock().settled.clear();
    busy.store(0, Ordering::Relaxed);
    bench.offset = Duration::from_secs(60);
    bench.once().await.unwrap();
    assert_eq!(bench.world.posted_paths(), ["a/x", "c/y"]);
    bench.world.lock().settled.clear();
    // All settled: seen again, they are duplicates for good.
    bench.offset = Duration::from_secs(120);
    bench.once().await.unwrap();
    let again = fates(&bench);
    assert_eq!(again.len(), 4);
    assert!(
        again.iter().all(|(_, fate)| *fate == "duplicate"),
        "{again:?}"
    );
    // Until they are forgotten.
    bench.offset = Duration::from_secs(4000);
    bench.world.lock().keys.clear();
    assert_eq!(bench.once().await.unwrap().posted, 2);
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
    let drain = Drain::new();
    let run = tokio::spawn(bench.worker().run(drain.clone()));
    while bench.world.lock().posted.is_empty() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    drain.request();
    run.await.unwrap().unwrap();
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
    let drain = Drain::new();
    let run = tokio::spawn(bench.worker().run(drain.clone()));
    while bench.world.lock().acked.is_empty() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    drain.request();
    run.await.unwrap().unwrap();
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
    let drain = Drain::new();
    let run = tokio::spawn(bench.worker().run(drain.clone()));
    while bench.world.lock().pauses.is_empty() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    drain.request();
    run.await.unwrap().unwrap();
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
async fn a_dry_run_changes_nothing() {
    let mut bench = Bench::new();
    bench.options.dry_run = true;
    bench.flow.filters = Filters {
        rules: vec![rule(true, ".*/a")],
        ..Filters::default()
    };
    let mut plugin = gatherer(&["g/a"]);
    plugin.gather = Some(Arc::new(|_, state| {
        let seen = state.get("seen")?.is_some();
        state.put("seen", Some(vec![1]), None)?;
        let messages = if seen { vec![] } else { vec![message("g/a")] };
        Ok(Gathered {
            messages,
            more: true,
        })
    }));
    bench.plugin(plugin);
    bench.world.enqueue("a", message("q/a"));
    bench.world.enqueue("b", message("q/b"));
    let counts = bench.once().await.unwrap();
    assert_eq!((counts.gathered, counts.rejected, counts.posted), (3, 1, 0));
    {
        let world = bench.world.lock();
        assert!(world.posted.is_empty() && world.acked.is_empty() && world.settled.is_empty());
        assert_eq!(world.queue.len(), 2);
        assert_eq!(world.released, ["a", "b"]);
        assert_eq!(
            world
                .events
                .iter()
                .filter(|event| *event == "Accepted")
                .count(),
            2
        );
    }
    // Nothing was remembered either.
    assert_eq!(bench.once().await.unwrap().gathered, 3);
}

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
    let drain = Drain::new();
    let run = tokio::spawn(bench.worker().run(drain.clone()));
    while bench.world.lock().posted.len() < 2 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    drain.request();
    run.await.unwrap().unwrap();
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
async fn lanes_work_at_the_same_time_but_no_more_than_start_allows() {
    let lanes_of = |most: Option<u32>| async move {
        let mut bench = Bench::new();
        bench.flow.download = true;
        bench.flow.concurrency = 4;
        let mut plugin = downloader();
        plugin.start = Some(Arc::new(move |_| Ok(most)));
        bench.plugin(plugin);
        for index in 0..40 {
            bench
                .world
                .enqueue(&index.to_string(), message(&format!("f{index}")));
        }
        let counts = bench.once().await.unwrap();
        assert_eq!((counts.fetched, counts.posted), (40, 40));
        let expected: Vec<_> = (0..40).map(|index| format!("f{index}")).collect();
        let posted: Vec<_> = bench
            .world
            .posted_paths()
            .iter()
            .map(|path| path.rsplit('/').next().unwrap().to_owned())
            .collect();
        assert_eq!(posted, expected);
        bench.world.lock().stopped
    };
    assert_eq!(lanes_of(None).await, 4);
    assert_eq!(lanes_of(Some(1)).await, 1);
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
    let drain = Drain::new();
    let run = tokio::spawn(bench.worker().run(drain.clone()));
    while bench.world.lock().posted.len() < 6 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    drain.request();
    run.await.unwrap().unwrap();
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
async fn existing_files_stay_where_overwriting_is_off() {
    let mut bench = Bench::new();
    bench.flow.download = true;
    bench.flow.overwrite = false;
    bench.plugin(downloader());
    std::fs::create_dir_all(bench.files()).unwrap();
    std::fs::write(bench.files().join("other"), "older").unwrap();
    std::fs::write(bench.files().join("same"), "content of same").unwrap();
    for path in ["new", "other", "same"] {
        bench.world.enqueue(path, message(path));
    }
    let counts = bench.once().await.unwrap();
    assert_eq!((counts.posted, counts.rejected), (2, 1));
    let tree = bench.tree();
    assert_eq!(tree["other"], "older");
    assert_eq!(tree["new"], "content of new");
    assert_eq!(tree.len(), 3, "{tree:?}");
}

#[tokio::test(start_paused = true)]
async fn content_in_the_message_and_local_files_need_no_callback() {
    let mut bench = Bench::new();
    bench.flow.download = true;
    bench.flow.fsync = true;
    let mut inline = message("deep/inline.txt");
    inline.content = Some(flow_message::Inline {
        encoding: flow_message::InlineEncoding::Base64,
        value: "aGVsbG8=".into(),
    });
    let source = bench.directory.path().join("source.txt");
    std::fs::write(&source, "copied").unwrap();
    let mut local = message(source.to_str().unwrap());
    local.base_url = "file:///".into();
    let mut remote = message("x");
    remote.base_url = "gopher://host/".into();
    bench.world.enqueue("inline", inline);
    bench.world.enqueue("local", local);
    bench.world.enqueue("remote", remote);
    let counts = bench.once().await.unwrap();
    assert_eq!((counts.fetched, counts.posted, counts.dead), (2, 2, 1));
    assert_eq!(bench.tree()["inline.txt"], "hello");
    assert_eq!(bench.tree()["source.txt"], "copied");
    let dead = &bench.store().list(Shelf::Dead, 0, 1).unwrap()[0];
    assert_eq!(
        dead.reason,
        "no callback of this flow downloads `gopher:` URLs"
    );
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_runs_is_not_started_twice() {
    let bench = Bench::new();
    let lock = bench.store().lock().unwrap();
    assert!(matches!(bench.once().await, Err(Error::Running(_))));
    drop(lock);
    bench.once().await.unwrap();
}

/// Fails what is named `fail…` for now and `die…` for good; counts its calls.
fn failing(calls: &Arc<AtomicU32>) -> Plugin {
    let calls = Arc::clone(calls);
    Plugin {
        after_work: Some(Arc::new(move |batch, _, _| {
            calls.fetch_add(1, Ordering::Relaxed);
            let judge = |path: &str| match path {
                path if path.starts_with("fail") => Verdict::Fail(Failure::temporary("busy")),
                path if path.starts_with("die") => Verdict::Fail(Failure::Permanent("gone".into())),
                _ => Verdict::Keep,
            };
            Ok(batch
                .iter()
                .map(|item| judge(&item.message.rel_path))
                .collect())
        })),
        ..Plugin::default()
    }
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
    let now = flow_message::Timestamp::from_unix(support::START, 0);
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
    let now = flow_message::Timestamp::from_unix(support::START, 0);
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

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_what_is_in_hand_but_not_for_ever() {
    let mut bench = Bench::new();
    bench.options.once = false;
    bench.options.grace = Duration::from_secs(20);
    bench.world.enqueue("a", message("a"));
    // The fake is stuck after its first step, as a peer that never answers.
    bench.world.lock().steps_left = Some(1);
    let drain = Drain::new();
    let run = tokio::spawn(bench.worker().run(drain.clone()));
    tokio::time::sleep(Duration::from_secs(5)).await;
    drain.request();
    let began = tokio::time::Instant::now();
    run.await.unwrap().unwrap();
    assert!(began.elapsed() >= Duration::from_secs(20));
    assert!(began.elapsed() < Duration::from_secs(60));
    let world = bench.world.lock();
    assert!(world.acked.is_empty());
    assert!(world.queue[0].redelivered);
    assert!(world.events.contains(&"Stopped".to_owned()));
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
