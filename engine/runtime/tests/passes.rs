//! The loop over fake ports, one behaviour each.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use flow_config::{Filters, Nodupe, NodupeBasis, Rule, Template};
use flow_runtime::ports::{Failure, Fate, Gathered, Rejection, Verdict};
use flow_runtime::{Drain, Error, Shelf};
use regex::Regex;
use support::plugins::{downloader, gatherer, splitter};
use support::{Bench, message};

fn rule(accept: bool, regex: &str) -> Rule {
    Rule {
        text: regex.into(),
        conditions: flow_config::Conditions::default(),
        regex: Regex::new(&format!("^(?:{regex})")).unwrap(),
        accept,
        placement: flow_config::Placement::default(),
        origin: "flow/test.yaml:2".into(),
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_queue_pushes_a_moment_later_belongs_to_a_run_once() {
    let late = async |pushes| {
        let bench = Bench::new();
        bench.world.lock().pushes = pushes;
        bench.world.enqueue("k0", message("a/0"));
        let world = bench.world.clone();
        let later = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            world.enqueue("k1", message("a/1"));
        });
        let posted = bench.once().await.unwrap().posted;
        later.await.unwrap();
        posted
    };
    assert_eq!(late(true).await, 2);
    assert_eq!(late(false).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_once_does_not_wait_for_ever_for_what_a_broker_keeps_back() {
    let bench = Bench::new();
    bench.world.lock().pushes = true;
    bench.world.lock().held_back = 7;
    bench.world.enqueue("k0", message("a/0"));
    assert_eq!(bench.once().await.unwrap().posted, 1);
}

#[tokio::test(start_paused = true)]
async fn a_pass_over_large_content_ends_before_it_has_taken_all_it_may() {
    let passes = async |size: u64| {
        let mut bench = Bench::new();
        bench.flow.batch = 500;
        bench.flow.download = true;
        bench.plugin(downloader());
        for index in 0..250 {
            let mut message = message(&format!("a/{index}"));
            message.size = Some(size);
            bench.world.enqueue(&format!("k{index}"), message);
        }
        bench.once().await.unwrap();
        let world = bench.world.lock();
        let gathered = world.passes.iter().map(|pass| pass.gathered);
        gathered.collect::<Vec<_>>()
    };
    assert_eq!(passes(1 << 20).await, [100, 100, 50]);
    assert_eq!(passes(1 << 10).await, [250]);
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
        rules: vec![rule(false, r".*\.tmp$")].into(),
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
        rules: vec![accept].into(),
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
async fn a_dry_run_changes_nothing() {
    let mut bench = Bench::new();
    bench.options.dry_run = true;
    bench.flow.filters = Filters {
        rules: vec![rule(true, ".*/a")].into(),
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
async fn lanes_work_at_the_same_time_but_no_more_than_start_allows() {
    let lanes_of = |most: Option<u32>| async move {
        let mut bench = Bench::new();
        bench.flow.download = true;
        bench.flow.concurrency = 4;
        let mut plugin = downloader();
        plugin.start = Some(Arc::new(move |_| Ok(most)));
        plugin.takes = Duration::from_millis(50);
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

/// A message with the identity of `text`, which is not what the downloader brings.
fn identified(path: &str, text: &str, modified: i64) -> flow_message::Message {
    let mut message = message(path);
    let digest = ring::digest::digest(&ring::digest::SHA512, text.as_bytes());
    message.identity = Some(flow_message::Identity::of_digest("sha512", digest.as_ref()));
    message.size = Some(text.len() as u64);
    message.mtime = Some(flow_message::Timestamp::from_unix(modified, 0));
    message
}

#[tokio::test(start_paused = true)]
async fn a_file_gets_its_announced_mode_and_times_and_is_not_fetched_twice() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let mut bench = Bench::new();
    bench.flow.download = true;
    bench.flow.file_size_max = 100;
    bench.plugin(downloader());
    let mut first = identified("a", "content of a", 1_000_000_000);
    first.mode = Some(0o4640);
    bench.world.enqueue("first", first.clone());
    let mut large = message("large");
    large.size = Some(101);
    bench.world.enqueue("large", large);
    bench.once().await.unwrap();
    let found = std::fs::metadata(bench.files().join("a")).unwrap();
    assert_eq!(found.mtime(), 1_000_000_000);
    assert_eq!(found.permissions().mode() & 0o7777, 0o640);
    let code = |path: &str| {
        let world = bench.world.lock();
        let (_, fate) = world.fates.iter().rev().find(|(at, _)| at == path).unwrap();
        match fate {
            Fate::Rejected(rejection) => rejection.code,
            _ => 201,
        }
    };
    assert_eq!((code("a"), code("large")), (201, 413));

    // The same again.
    bench.world.enqueue("again", first.clone());
    bench.once().await.unwrap();
    assert_eq!(code("a"), 304);
    // As after a crash between its file and its ack: it goes on, and is not fetched.
    bench.world.enqueue("crashed", first.clone());
    bench.world.lock().queue[0].redelivered = true;
    let counts = bench.once().await.unwrap();
    assert_eq!((code("a"), counts.posted, counts.fetched), (201, 1, 0));
    // Of the same size and time, but something else.
    std::fs::write(bench.files().join("a"), "CONTENT OF A").unwrap();
    let touched = std::fs::File::open(bench.files().join("a")).unwrap();
    touched.set_modified(found.modified().unwrap()).unwrap();
    bench.world.enqueue("changed", first);
    let counts = bench.once().await.unwrap();
    assert_eq!((code("a"), counts.fetched), (201, 1));
    assert_eq!(bench.tree()["a"], "content of a");
    // Older than what is here.
    let older = identified("a", "content of b", 999_999_000);
    bench.world.enqueue("older", older);
    bench.once().await.unwrap();
    assert_eq!(code("a"), 406);
    // There and back again within a pass: what is there before it says nothing.
    bench
        .world
        .enqueue("b", identified("a", "other than a", 1_000_000_001));
    bench
        .world
        .enqueue("a", identified("a", "content of a", 1_000_000_002));
    let counts = bench.once().await.unwrap();
    assert_eq!((code("a"), counts.fetched), (201, 2));
}
