//! The broker as its users see it, within one process.

#![expect(clippy::unwrap_used, reason = "this is a test, its helpers included")]

mod common;

use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::Poll;
use std::time::Duration;

use common::{everything, outgoing};
use flow_broker::Kind;
use flow_broker::embedded::{Binding, Declaration, EmbeddedBroker, Options};
use flow_message::Timestamp;
use flow_runtime::ports::{Confirm, Consumer, Publisher, Received, Settlement};
use tokio::task::JoinSet;

fn open(directory: &Path) -> EmbeddedBroker {
    EmbeddedBroker::open(directory.join("broker.db"), Options::default()).unwrap()
}

fn paths(received: &[Received]) -> Vec<&str> {
    received
        .iter()
        .map(|received| received.message.as_ref().unwrap().rel_path.as_str())
        .collect()
}

fn all(received: &[Received], settlement: Settlement) -> Vec<(u64, Settlement)> {
    received
        .iter()
        .map(|received| (received.tag, settlement))
        .collect()
}

#[tokio::test]
async fn a_message_goes_to_each_queue_bound_for_it_once() {
    let directory = tempfile::tempdir().unwrap();
    let broker = open(directory.path());
    let mut reports = broker
        .consumer(
            &Declaration::new("reports", "x", ["v03.*.reports", "v03.#.reports"]),
            10,
        )
        .await
        .unwrap();
    let mut rest = broker
        .consumer(&Declaration::new("all", "x", ["#"]), 10)
        .await
        .unwrap();
    let mut publisher = broker.publisher("x").unwrap();
    let confirms = publisher
        .post(&[
            outgoing("2026/reports/a.pdf", None),
            outgoing("2026/images/b.png", None),
        ])
        .await
        .unwrap();
    assert_eq!(confirms, [Confirm::Posted, Confirm::Posted]);

    assert_eq!(
        paths(&reports.receive(10).await.unwrap()),
        ["2026/reports/a.pdf"]
    );
    let received = rest.receive(10).await.unwrap();
    assert_eq!(
        paths(&received),
        ["2026/reports/a.pdf", "2026/images/b.png"]
    );
    rest.settle(&all(&received, Settlement::Ack)).await.unwrap();
    assert_eq!(rest.depth().await.unwrap(), Some(0));

    let queues = broker.queues().await.unwrap();
    let reports = queues.iter().find(|queue| queue.name == "reports").unwrap();
    assert_eq!(
        (reports.ready, reports.leased, reports.consumers),
        (0, 1, 1)
    );
    assert!(reports.oldest.is_some());
    let binding = |pattern: &str| Binding {
        exchange: "x".into(),
        pattern: pattern.into(),
    };
    assert_eq!(
        reports.bindings,
        [binding("v03.#.reports"), binding("v03.*.reports")]
    );
}

#[tokio::test]
async fn what_was_not_acked_comes_again_with_its_key_and_in_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let broker = open(directory.path());
    let mut consumer = broker.consumer(&everything(), 10).await.unwrap();
    let mut publisher = broker.publisher("x").unwrap();
    publisher
        .post(&["a", "b", "c"].map(|path| outgoing(path, None)))
        .await
        .unwrap();

    let first = consumer.receive(10).await.unwrap();
    assert!(first.iter().all(|received| !received.redelivered));
    let settlements = [
        (first[0].tag, Settlement::Release),
        (first[1].tag, Settlement::Ack),
    ];
    consumer.settle(&settlements).await.unwrap();
    // The rest is held until the session ends.
    let again = consumer.receive(10).await.unwrap();
    assert_eq!(paths(&again), ["a"]);
    assert!(again[0].redelivered);
    assert_eq!(again[0].key, first[0].key);
    assert!(first[0].key.starts_with("q/"), "{}", first[0].key);
    consumer.close().await.unwrap();
    assert!(consumer.receive(1).await.is_err());

    let mut next = broker.consumer(&everything(), 10).await.unwrap();
    let last = next.receive(10).await.unwrap();
    assert_eq!(paths(&last), ["a", "c"]);
    assert_eq!(last[1].key, first[2].key);
    next.settle(&all(&last, Settlement::Ack)).await.unwrap();
    // Settling once more changes nothing.
    next.settle(&all(&last, Settlement::Release)).await.unwrap();
    assert_eq!(next.depth().await.unwrap(), Some(0));
}

#[tokio::test]
async fn a_consumer_that_is_dropped_releases_what_it_holds() {
    let directory = tempfile::tempdir().unwrap();
    let broker = open(directory.path());
    let mut dropped = broker.consumer(&everything(), 10).await.unwrap();
    broker
        .publisher("x")
        .unwrap()
        .post(&[outgoing("a", None)])
        .await
        .unwrap();
    assert_eq!(dropped.receive(1).await.unwrap().len(), 1);
    let mut waiting = broker.consumer(&everything(), 10).await.unwrap();
    assert!(waiting.receive(1).await.unwrap().is_empty());
    drop(dropped);
    waiting.ready().await.unwrap();
    let received = waiting.receive(1).await.unwrap();
    assert_eq!(paths(&received), ["a"]);
    assert!(received[0].redelivered);
}

#[tokio::test]
async fn prefetch_bounds_what_is_held() {
    let directory = tempfile::tempdir().unwrap();
    let broker = open(directory.path());
    let mut consumer = broker.consumer(&everything(), 2).await.unwrap();
    broker
        .publisher("x")
        .unwrap()
        .post(&["a", "b", "c"].map(|path| outgoing(path, None)))
        .await
        .unwrap();
    let held = consumer.receive(10).await.unwrap();
    assert_eq!(held.len(), 2);
    assert!(consumer.receive(10).await.unwrap().is_empty());
    // There is something in the queue, but no room for it.
    tokio::select! {
        biased;
        _ = consumer.ready() => panic!("ready although full"),
        () = tokio::task::yield_now() => {}
    }
    consumer
        .settle(&all(&held[..1], Settlement::Ack))
        .await
        .unwrap();
    consumer.ready().await.unwrap();
    assert_eq!(paths(&consumer.receive(10).await.unwrap()), ["c"]);
}

#[tokio::test]
async fn a_waiting_consumer_wakes_for_its_queue() {
    let directory = tempfile::tempdir().unwrap();
    let broker = open(directory.path());
    let mut consumer = broker.consumer(&everything(), 10).await.unwrap();
    let waiting = tokio::spawn(async move {
        consumer.ready().await.unwrap();
        consumer.receive(10).await.unwrap().len()
    });
    broker
        .publisher("x")
        .unwrap()
        .post(&[outgoing("a", None)])
        .await
        .unwrap();
    assert_eq!(waiting.await.unwrap(), 1);
}

#[tokio::test]
async fn without_a_watch_other_openings_are_noticed_by_looking() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("broker.db");
    let options = Options {
        watch: false,
        ..Options::default()
    };
    let here = EmbeddedBroker::open(&path, options).unwrap();
    let there = EmbeddedBroker::open(&path, Options::default()).unwrap();
    let mut consumer = here.consumer(&everything(), 10).await.unwrap();
    assert!(consumer.receive(1).await.unwrap().is_empty());
    there
        .publisher("x")
        .unwrap()
        .post(&[outgoing("a", None)])
        .await
        .unwrap();
    consumer.ready().await.unwrap();
    assert_eq!(consumer.receive(1).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_repeated_key_is_a_duplicate_for_its_exchange() {
    let directory = tempfile::tempdir().unwrap();
    let broker = open(directory.path());
    for exchange in ["x", "y"] {
        broker
            .declare(&Declaration::new(exchange, exchange, ["#"]))
            .await
            .unwrap();
    }
    let mut x = broker.publisher("x").unwrap();
    let batch = [
        outgoing("a", Some("k")),
        outgoing("a", Some("k")),
        outgoing("a", None),
    ];
    assert_eq!(
        x.post(&batch).await.unwrap(),
        [Confirm::Posted, Confirm::Duplicate, Confirm::Posted]
    );
    assert_eq!(x.post(&batch[..1]).await.unwrap(), [Confirm::Duplicate]);
    let mut y = broker.publisher("y").unwrap();
    assert_eq!(y.post(&batch[..1]).await.unwrap(), [Confirm::Posted]);

    assert_eq!(broker.forget_keys("x").await.unwrap(), 1);
    assert_eq!(x.post(&batch[..1]).await.unwrap(), [Confirm::Posted]);
    assert_eq!(broker.peek("x", 10).await.unwrap().len(), 3);
}

#[tokio::test]
async fn posts_that_go_nowhere_are_counted_and_may_be_repeated() {
    let directory = tempfile::tempdir().unwrap();
    let broker = open(directory.path());
    let mut publisher = broker.publisher("x").unwrap();
    assert_eq!(
        publisher.post(&[outgoing("a", Some("k"))]).await.unwrap(),
        [Confirm::Posted]
    );
    let exchanges = broker.exchanges().await.unwrap();
    assert_eq!(
        (
            exchanges[0].name.as_str(),
            exchanges[0].unrouted,
            exchanges[0].queues
        ),
        ("x", 1, 0)
    );

    broker.declare(&everything()).await.unwrap();
    assert_eq!(
        publisher.post(&[outgoing("a", Some("k"))]).await.unwrap(),
        [Confirm::Posted]
    );
    let peeked = broker.peek("q", 10).await.unwrap();
    assert_eq!(peeked.len(), 1);
    assert_eq!(peeked[0].topic, "v03");
    assert_eq!((peeked[0].leased, peeked[0].deliveries), (false, 0));
    assert_eq!(broker.exchanges().await.unwrap()[0].unrouted, 1);
}

#[tokio::test]
async fn a_declaration_replaces_the_bindings() {
    let directory = tempfile::tempdir().unwrap();
    let broker = open(directory.path());
    let mut publisher = broker.publisher("x").unwrap();
    broker
        .declare(&Declaration::new("q", "x", ["v03.a", "v03.b"]))
        .await
        .unwrap();
    publisher
        .post(&[outgoing("a/1", None), outgoing("b/1", None)])
        .await
        .unwrap();
    broker
        .declare(&Declaration::new("q", "x", ["v03.b", "v03.c"]))
        .await
        .unwrap();
    publisher
        .post(&[
            outgoing("a/2", None),
            outgoing("b/2", None),
            outgoing("c/2", None),
        ])
        .await
        .unwrap();
    let found: Vec<String> = broker
        .peek("q", 10)
        .await
        .unwrap()
        .into_iter()
        .map(|peeked| peeked.message.unwrap().rel_path)
        .collect();
    assert_eq!(found, ["a/1", "b/1", "b/2", "c/2"]);
}

#[tokio::test]
async fn a_queue_deleted_in_use_is_declared_again() {
    let directory = tempfile::tempdir().unwrap();
    let broker = open(directory.path());
    let mut consumer = broker.consumer(&everything(), 10).await.unwrap();
    let mut publisher = broker.publisher("x").unwrap();
    publisher.post(&[outgoing("a", None)]).await.unwrap();
    let old = consumer.receive(1).await.unwrap();
    assert!(broker.delete_queue("q").await.unwrap());
    assert!(!broker.delete_queue("q").await.unwrap());
    consumer.ready().await.unwrap();
    assert!(consumer.receive(10).await.unwrap().is_empty());
    publisher.post(&[outgoing("b", None)]).await.unwrap();
    consumer.ready().await.unwrap();
    let new = consumer.receive(10).await.unwrap();
    assert_eq!(paths(&new), ["b"]);
    assert_ne!(new[0].key, old[0].key);
    // The old delivery has nothing left to settle; the new one has.
    consumer.settle(&all(&old, Settlement::Ack)).await.unwrap();
    consumer.settle(&all(&new, Settlement::Ack)).await.unwrap();
    assert_eq!(consumer.depth().await.unwrap(), Some(0));
}

#[tokio::test]
async fn consumers_follow_a_queue_that_another_declared_again() {
    let directory = tempfile::tempdir().unwrap();
    let broker = open(directory.path());
    let mut first = broker.consumer(&everything(), 10).await.unwrap();
    let mut second = broker.consumer(&everything(), 10).await.unwrap();
    broker.delete_queue("q").await.unwrap();
    assert!(first.receive(1).await.unwrap().is_empty());
    assert!(second.receive(1).await.unwrap().is_empty());
    let waiting = tokio::spawn(async move {
        second.ready().await.unwrap();
        second.receive(1).await.unwrap().len()
    });
    // The current thread's runtime runs the other task up to its wait.
    tokio::task::yield_now().await;
    broker
        .publisher("x")
        .unwrap()
        .post(&[outgoing("a", None)])
        .await
        .unwrap();
    assert_eq!(waiting.await.unwrap(), 1);
}

#[tokio::test]
async fn a_queue_can_be_bound_to_several_exchanges() {
    let directory = tempfile::tempdir().unwrap();
    let broker = open(directory.path());
    let both = everything().and("y", "v03.b").and("y", "v03.c");
    let mut consumer = broker.consumer(&both, 10).await.unwrap();
    for (exchange, path) in [("x", "a/1"), ("y", "b/2"), ("y", "d/3"), ("y", "c/4")] {
        let mut publisher = broker.publisher(exchange).unwrap();
        publisher.post(&[outgoing(path, None)]).await.unwrap();
    }
    assert_eq!(
        paths(&consumer.receive(10).await.unwrap()),
        ["a/1", "b/2", "c/4"]
    );
    // A declaration replaces those bindings too.
    let _only = broker.consumer(&everything(), 10).await.unwrap();
    let queues = broker.queues().await.unwrap();
    assert_eq!(queues[0].bindings.len(), 1);
}

#[tokio::test]
async fn purge_takes_what_waits_and_leaves_what_is_held() {
    let directory = tempfile::tempdir().unwrap();
    let broker = open(directory.path());
    let mut consumer = broker.consumer(&everything(), 1).await.unwrap();
    broker
        .publisher("x")
        .unwrap()
        .post(&["a", "b", "c"].map(|path| outgoing(path, None)))
        .await
        .unwrap();
    let held = consumer.receive(1).await.unwrap();
    assert_eq!(broker.purge("q").await.unwrap(), 2);
    consumer
        .settle(&all(&held, Settlement::Release))
        .await
        .unwrap();
    assert_eq!(paths(&consumer.receive(1).await.unwrap()), ["a"]);
    assert_eq!(
        broker.purge("none").await.unwrap_err().kind(),
        Kind::NoQueue
    );
    assert_eq!(
        broker.peek("none", 1).await.unwrap_err().kind(),
        Kind::NoQueue
    );
}

#[tokio::test]
async fn unused_queues_and_old_messages_expire() {
    let directory = tempfile::tempdir().unwrap();
    let seconds = Arc::new(AtomicI64::new(1_000_000));
    let clock = Arc::clone(&seconds);
    let options = Options {
        clock: Arc::new(move || Timestamp::from_unix(clock.load(Ordering::SeqCst), 0)),
        ..Options::default()
    };
    let broker = EmbeddedBroker::open(directory.path().join("broker.db"), options).unwrap();
    let short = Declaration::new("short", "x", ["#"]).expire(Duration::from_secs(60));
    let aging = Declaration::new("aging", "x", ["#"]).message_ttl(Duration::from_secs(60));
    let mut consumer = broker.consumer(&short, 10).await.unwrap();
    broker.declare(&aging).await.unwrap();
    broker
        .publisher("x")
        .unwrap()
        .post(&[outgoing("a", Some("k"))])
        .await
        .unwrap();

    seconds.fetch_add(61, Ordering::SeqCst);
    let kept = broker.housekeeping().await.unwrap();
    assert!(kept.queues_expired.is_empty(), "it has a consumer");
    assert_eq!(kept.messages_expired, 1);
    consumer.close().await.unwrap();
    seconds.fetch_add(59, Ordering::SeqCst);
    assert!(
        broker
            .housekeeping()
            .await
            .unwrap()
            .queues_expired
            .is_empty()
    );
    seconds.fetch_add(1, Ordering::SeqCst);
    assert_eq!(
        broker.housekeeping().await.unwrap().queues_expired,
        ["short"]
    );

    seconds.fetch_add(30 * 24 * 60 * 60, Ordering::SeqCst);
    assert_eq!(broker.housekeeping().await.unwrap().keys_forgotten, 1);
}

#[tokio::test]
async fn what_was_posted_is_there_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let broker = open(directory.path());
    broker.declare(&everything()).await.unwrap();
    broker
        .publisher("x")
        .unwrap()
        .post(&[outgoing("a", Some("k"))])
        .await
        .unwrap();
    let key = broker.peek("q", 1).await.unwrap()[0].key.clone();
    broker.close().await.unwrap();

    let broker = open(directory.path());
    let mut consumer = broker.consumer(&everything(), 10).await.unwrap();
    let received = consumer.receive(10).await.unwrap();
    assert_eq!(paths(&received), ["a"]);
    assert_eq!(received[0].key, key);
    let confirms = broker
        .publisher("x")
        .unwrap()
        .post(&[outgoing("a", Some("k"))])
        .await
        .unwrap();
    assert_eq!(confirms, [Confirm::Duplicate]);
}

#[tokio::test]
async fn a_file_begun_anew_has_other_keys() {
    let directory = tempfile::tempdir().unwrap();
    let mut keys = Vec::new();
    for second in [1, 2] {
        let path = directory.path().join(format!("{second}.db"));
        let options = Options {
            clock: Arc::new(move || Timestamp::from_unix(second, 0)),
            ..Options::default()
        };
        let broker = EmbeddedBroker::open(path, options).unwrap();
        broker.declare(&everything()).await.unwrap();
        broker
            .publisher("x")
            .unwrap()
            .post(&[outgoing("a", None)])
            .await
            .unwrap();
        keys.push(broker.peek("q", 1).await.unwrap()[0].key.clone());
    }
    assert_ne!(keys[0], keys[1]);
}

#[tokio::test]
async fn a_body_that_is_no_message_is_said_to_be_none() {
    let directory = tempfile::tempdir().unwrap();
    let broker = open(directory.path());
    let mut consumer = broker.consumer(&everything(), 10).await.unwrap();
    broker
        .publisher("x")
        .unwrap()
        .post(&[outgoing("a", None)])
        .await
        .unwrap();
    rusqlite::Connection::open(broker.path())
        .unwrap()
        .execute("UPDATE message SET body = CAST('{}' AS BLOB)", [])
        .unwrap();
    let received = consumer.receive(1).await.unwrap();
    assert_eq!(
        received[0].message.as_ref().unwrap_err(),
        "field `pubTime` is missing"
    );
}

#[tokio::test]
async fn a_receive_nobody_waited_for_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let broker = open(directory.path());
    let mut consumer = broker.consumer(&everything(), 10).await.unwrap();
    broker
        .publisher("x")
        .unwrap()
        .post(&["a", "b"].map(|path| outgoing(path, None)))
        .await
        .unwrap();
    let mut receiving = Box::pin(consumer.receive(10));
    let begun = poll_fn(|context| Poll::Ready(receiving.as_mut().poll(context))).await;
    drop(receiving);
    let received = match begun {
        // The writer was faster than the first look.
        Poll::Ready(received) => received.unwrap(),
        Poll::Pending => {
            consumer.ready().await.unwrap();
            consumer.receive(10).await.unwrap()
        }
    };
    assert_eq!(paths(&received), ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_posters_and_consumers_share_a_queue_without_loss_or_repeat() {
    const POSTERS: usize = 8;
    const POSTS: usize = 50;
    let directory = tempfile::tempdir().unwrap();
    let broker = open(directory.path());
    broker.declare(&everything()).await.unwrap();
    let mut posters = JoinSet::new();
    for poster in 0..POSTERS {
        let mut publisher = broker.publisher("x").unwrap();
        posters.spawn(async move {
            for post in 0..POSTS {
                publisher
                    .post(&[outgoing(&format!("{poster}/{post}"), None)])
                    .await
                    .unwrap();
            }
        });
    }
    let (done, mut count) = tokio::sync::mpsc::channel(16);
    let mut consumers = JoinSet::new();
    for _ in 0..3 {
        let mut consumer = broker.consumer(&everything(), 20).await.unwrap();
        let done = done.clone();
        consumers.spawn(async move {
            loop {
                consumer.ready().await.unwrap();
                let received = consumer.receive(7).await.unwrap();
                consumer
                    .settle(&all(&received, Settlement::Ack))
                    .await
                    .unwrap();
                done.send(
                    paths(&received)
                        .into_iter()
                        .map(str::to_owned)
                        .collect::<Vec<_>>(),
                )
                .await
                .unwrap();
            }
        });
    }
    let mut seen = Vec::new();
    while seen.len() < POSTERS * POSTS {
        seen.extend(count.recv().await.unwrap());
    }
    posters.join_all().await;
    consumers.abort_all();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), POSTERS * POSTS);
    assert_eq!(broker.queues().await.unwrap()[0].ready, 0);
}

#[tokio::test]
async fn one_bad_call_does_not_spoil_those_it_shares_a_transaction_with() {
    let directory = tempfile::tempdir().unwrap();
    let broker = open(directory.path());
    broker.declare(&everything()).await.unwrap();
    let long = Declaration::new("n".repeat(300), "x", ["#"]);
    let mut publisher = broker.publisher("x").unwrap();
    for _ in 0..20 {
        let batch = [outgoing("a", None)];
        let (posted, refused, purged) = tokio::join!(
            publisher.post(&batch),
            broker.declare(&long),
            broker.purge("none")
        );
        assert_eq!(posted.unwrap(), [Confirm::Posted]);
        assert_eq!(refused.unwrap_err().kind(), Kind::Name);
        assert_eq!(purged.unwrap_err().kind(), Kind::NoQueue);
    }
    assert_eq!(broker.queues().await.unwrap()[0].ready, 20);
    assert_eq!(broker.publisher("").unwrap_err().kind(), Kind::Name);
}

#[tokio::test]
async fn a_process_that_gives_no_sign_of_life_loses_its_leases_but_not_its_acks() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("broker.db");
    let lease = Duration::from_millis(100);
    let silent = EmbeddedBroker::open(
        &path,
        Options {
            lease,
            renew: false,
            ..Options::default()
        },
    )
    .unwrap();
    let mut hanging = silent.consumer(&everything(), 10).await.unwrap();
    let other = EmbeddedBroker::open(
        &path,
        Options {
            lease,
            ..Options::default()
        },
    )
    .unwrap();
    other
        .publisher("x")
        .unwrap()
        .post(&["a", "b"].map(|path| outgoing(path, None)))
        .await
        .unwrap();
    let held = hanging.receive(10).await.unwrap();
    assert_eq!(held.len(), 2);

    let mut next = other.consumer(&everything(), 10).await.unwrap();
    next.ready().await.unwrap();
    let received = next.receive(10).await.unwrap();
    assert_eq!(paths(&received), ["a", "b"]);
    assert!(received.iter().all(|received| received.redelivered));
    // Late, but done is done; a release of what is no longer held is nothing.
    let late = [
        (held[0].tag, Settlement::Ack),
        (held[1].tag, Settlement::Release),
    ];
    hanging.settle(&late).await.unwrap();
    let queues = other.queues().await.unwrap();
    assert_eq!((queues[0].ready, queues[0].leased), (0, 1));
}
