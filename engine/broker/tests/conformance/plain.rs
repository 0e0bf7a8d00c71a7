//! What a broker does when all goes well.

use std::collections::BTreeSet;
use std::sync::Arc;

use flow_broker::embedded::Declaration;
use flow_message::topic_matches;
use flow_runtime::ports::{Confirm, Outgoing, Settlement};

use crate::bench::{
    Bench, all, drain, everything, is_pending, numbered, outgoing, path, paths, post, soon, take,
};

pub(crate) async fn messages_keep_their_order<B: Bench>() {
    let bench = B::start().await;
    let mut consumer = bench.consumer(&everything(), 10).await.unwrap();
    let mut publisher = bench.publisher("x").await.unwrap();
    let batch = numbered(0..250);
    for part in batch.chunks(100) {
        post(&mut *publisher, part).await;
    }
    let expected: Vec<String> = (0..250).map(|number| format!("a/{number}")).collect();
    let mut seen = Vec::new();
    while seen.len() < expected.len() {
        let received = take(&mut *consumer, (expected.len() - seen.len()).min(10)).await;
        assert!(received.iter().all(|received| !received.redelivered));
        seen.extend(paths(&received));
        consumer
            .settle(&all(&received, Settlement::Ack))
            .await
            .unwrap();
    }
    assert_eq!(seen, expected);
    assert!(consumer.receive(10).await.unwrap().is_empty());
    publisher.close().await.unwrap();
    consumer.close().await.unwrap();
    assert!(consumer.receive(1).await.is_err(), "it is closed");
}

pub(crate) async fn a_message_goes_to_each_queue_bound_for_it<B: Bench>() {
    let bench = B::start().await;
    let mut reports = bench
        .consumer(&Declaration::new("reports", "x", ["v03.reports.#"]), 10)
        .await
        .unwrap();
    let mut rest = bench
        .consumer(&Declaration::new("rest", "x", ["#"]), 10)
        .await
        .unwrap();
    let mut elsewhere = bench
        .consumer(&Declaration::new("elsewhere", "y", ["#"]), 10)
        .await
        .unwrap();
    let mut publisher = bench.publisher("x").await.unwrap();
    post(
        &mut *publisher,
        &[outgoing("reports/a"), outgoing("images/b")],
    )
    .await;
    assert_eq!(paths(&take(&mut *rest, 2).await), ["reports/a", "images/b"]);
    assert_eq!(paths(&take(&mut *reports, 1).await), ["reports/a"]);
    assert!(reports.receive(10).await.unwrap().is_empty());
    let mut other = bench.publisher("y").await.unwrap();
    post(&mut *other, &[outgoing("c")]).await;
    assert_eq!(paths(&take(&mut *elsewhere, 1).await), ["c"]);
}

pub(crate) async fn wildcards_select_as_a_topic_exchange_does<B: Bench>() {
    let bench = B::start().await;
    let patterns = [
        "#",
        "v03.#",
        "v03.a",
        "v03.*",
        "v03.*.b",
        "v03.#.b",
        "v03.#.b.#",
        "v03.a.*.#",
        "*.*",
        "v03.a.#.c.*",
    ];
    let topics = [
        "f",
        "a/f",
        "a/b/f",
        "a/c/b/f",
        "b/f",
        "b/c/b/d/f",
        "a/c/f",
        "a/x/c/d/f",
    ];
    let mut consumers = Vec::new();
    for (number, pattern) in patterns.into_iter().enumerate() {
        let declaration = Declaration::new(format!("q{number}"), "x", [pattern]);
        consumers.push((pattern, bench.consumer(&declaration, 50).await.unwrap()));
    }
    let mut publisher = bench.publisher("x").await.unwrap();
    let batch: Vec<Outgoing> = topics.into_iter().map(outgoing).collect();
    post(&mut *publisher, &batch).await;
    for (pattern, consumer) in &mut consumers {
        let expected: Vec<&str> = batch
            .iter()
            .filter(|outgoing| topic_matches(pattern, outgoing.topic.as_str()))
            .map(|outgoing| outgoing.message.rel_path.as_str())
            .collect();
        let received = take(&mut **consumer, expected.len()).await;
        assert_eq!(paths(&received), expected, "{pattern}");
        assert!(consumer.receive(50).await.unwrap().is_empty(), "{pattern}");
    }
}

pub(crate) async fn a_message_that_several_bindings_select_comes_once<B: Bench>() {
    let bench = B::start().await;
    let declaration = Declaration::new("q", "x", ["v03.a.#", "v03.*.b", "v03.#.b", "v03.last.#"]);
    let mut consumer = bench.consumer(&declaration, 10).await.unwrap();
    let mut publisher = bench.publisher("x").await.unwrap();
    post(
        &mut *publisher,
        &["a/b/1", "a/2", "c/b/3", "c/4", "c/d/b/5"].map(outgoing),
    )
    .await;
    assert_eq!(
        drain(&bench, &mut *consumer).await,
        ["a/b/1", "a/2", "c/b/3", "c/d/b/5"]
    );
}

pub(crate) async fn what_is_not_acked_comes_again<B: Bench>() {
    let bench = B::start().await;
    let mut consumer = bench.consumer(&everything(), 10).await.unwrap();
    let mut publisher = bench.publisher("x").await.unwrap();
    post(&mut *publisher, &["1", "2", "3", "4"].map(outgoing)).await;
    let first = take(&mut *consumer, 3).await;
    consumer
        .settle(&[(first[1].tag, Settlement::Ack)])
        .await
        .unwrap();
    drop(consumer);
    let mut consumer = bench.consumer(&everything(), 10).await.unwrap();
    let again = take(&mut *consumer, 3).await;
    assert_eq!(paths(&again), ["1", "3", "4"]);
    assert_eq!(again[0].key, first[0].key);
    assert_eq!(again[1].key, first[2].key);
    assert!(again[0].redelivered && again[1].redelivered);
    consumer
        .settle(&all(&again, Settlement::Ack))
        .await
        .unwrap();
    consumer.close().await.unwrap();
    let mut consumer = bench.consumer(&everything(), 10).await.unwrap();
    assert!(drain(&bench, &mut *consumer).await.is_empty());
}

pub(crate) async fn what_is_released_comes_again_at_once<B: Bench>() {
    let bench = B::start().await;
    let mut consumer = bench.consumer(&everything(), 10).await.unwrap();
    let mut publisher = bench.publisher("x").await.unwrap();
    post(&mut *publisher, &["1", "2", "3"].map(outgoing)).await;
    let first = take(&mut *consumer, 3).await;
    consumer
        .settle(&[
            (first[0].tag, Settlement::Release),
            (first[1].tag, Settlement::Ack),
            (first[2].tag, Settlement::Release),
        ])
        .await
        .unwrap();
    let again = take(&mut *consumer, 2).await;
    assert_eq!(paths(&again), ["1", "3"]);
    assert!(again.iter().all(|received| received.redelivered));
    assert_eq!(again[0].key, first[0].key);
    consumer
        .settle(&all(&again, Settlement::Ack))
        .await
        .unwrap();
    // Settling twice has nothing left to settle.
    consumer
        .settle(&all(&again, Settlement::Ack))
        .await
        .unwrap();
    assert!(drain(&bench, &mut *consumer).await.is_empty());
}

pub(crate) async fn two_consumers_share_a_queue<B: Bench>() {
    let bench = B::start().await;
    let mut one = bench.consumer(&everything(), 50).await.unwrap();
    let mut two = bench.consumer(&everything(), 50).await.unwrap();
    let mut publisher = bench.publisher("x").await.unwrap();
    post(&mut *publisher, &numbered(0..60)).await;
    let (mut by_one, mut by_two) = (Vec::new(), Vec::new());
    soon("both to take all", async {
        while by_one.len() + by_two.len() < 60 {
            // Whoever has something; `ready` wakes one of them.
            let consumer = tokio::select! {
                result = one.ready() => { result.unwrap(); (&mut one, &mut by_one) }
                result = two.ready() => { result.unwrap(); (&mut two, &mut by_two) }
            };
            let received = consumer.0.receive(3).await.unwrap();
            consumer
                .0
                .settle(&all(&received, Settlement::Ack))
                .await
                .unwrap();
            consumer.1.extend(paths(&received));
        }
    })
    .await;
    let together: BTreeSet<&String> = by_one.iter().chain(&by_two).collect();
    assert_eq!(together.len(), 60, "none came to both");
}

pub(crate) async fn what_an_ended_consumer_held_is_not_lost<B: Bench>() {
    let bench = B::start().await;
    let mut one = bench.consumer(&everything(), 50).await.unwrap();
    let mut two = bench.consumer(&everything(), 50).await.unwrap();
    let mut publisher = bench.publisher("x").await.unwrap();
    post(&mut *publisher, &numbered(0..20)).await;
    // The first holds some of them and does nothing about it.
    let held = soon("some for the first", async {
        one.ready().await.unwrap();
        one.receive(5).await.unwrap()
    })
    .await;
    assert!(!held.is_empty());
    one.close().await.unwrap();
    drop(one);
    let mut seen = BTreeSet::new();
    if !B::ABILITIES.passes_on {
        // What was given to it waits for its successor, and comes to nobody else.
        let mut successor = bench.consumer(&everything(), 50).await.unwrap();
        let again = take(&mut *successor, held.len()).await;
        assert_eq!(paths(&again), paths(&held));
        seen.extend(paths(&again));
        soon("the rest", async {
            while seen.len() < 20 {
                tokio::select! {
                    result = successor.ready() => {
                        result.unwrap();
                        seen.extend(paths(&successor.receive(50).await.unwrap()));
                    }
                    result = two.ready() => {
                        result.unwrap();
                        seen.extend(paths(&two.receive(50).await.unwrap()));
                    }
                }
            }
        })
        .await;
    } else {
        seen.extend(paths(&take(&mut *two, 20).await));
    }
    assert_eq!(seen.len(), 20);
}

pub(crate) async fn prefetch_bounds_what_is_held<B: Bench>() {
    let bench = B::start().await;
    let mut consumer = bench.consumer(&everything(), 3).await.unwrap();
    let mut publisher = bench.publisher("x").await.unwrap();
    post(&mut *publisher, &numbered(0..10)).await;
    let held = take(&mut *consumer, 3).await;
    assert!(consumer.receive(10).await.unwrap().is_empty());
    assert!(is_pending(consumer.ready()).await);
    consumer
        .settle(&[(held[0].tag, Settlement::Ack)])
        .await
        .unwrap();
    let next = take(&mut *consumer, 1).await;
    assert_eq!(path(&next[0]), "a/3");
    assert!(consumer.receive(10).await.unwrap().is_empty());
}

pub(crate) async fn an_empty_queue_gives_nothing_at_once<B: Bench>() {
    let bench = B::start().await;
    let mut consumer = bench.consumer(&everything(), 3).await.unwrap();
    assert!(
        soon("nothing", consumer.receive(10))
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        soon("nothing", consumer.receive(0))
            .await
            .unwrap()
            .is_empty()
    );
    consumer.settle(&[]).await.unwrap();
    let mut publisher = bench.publisher("x").await.unwrap();
    assert!(publisher.post(&[]).await.unwrap().is_empty());
}

pub(crate) async fn ready_wakes_for_a_post<B: Bench>() {
    let bench = B::start().await;
    let mut consumer = bench.consumer(&everything(), 3).await.unwrap();
    let mut publisher = bench.publisher("x").await.unwrap();
    for number in 0..3 {
        // Given up and asked again, as the loop does.
        assert!(is_pending(consumer.ready()).await);
        let waiting = async {
            consumer.ready().await.unwrap();
            consumer.receive(10).await.unwrap()
        };
        let batch = numbered(number..number + 1);
        let posting = post(&mut *publisher, &batch);
        let (received, ()) = soon("a wake", async { tokio::join!(waiting, posting) }).await;
        assert_eq!(paths(&received), [format!("a/{number}")]);
        consumer
            .settle(&all(&received, Settlement::Ack))
            .await
            .unwrap();
    }
}

pub(crate) async fn depth_is_told_where_it_is_known<B: Bench>() {
    let bench = B::start().await;
    let mut consumer = bench.consumer(&everything(), 1).await.unwrap();
    let mut publisher = bench.publisher("x").await.unwrap();
    post(&mut *publisher, &numbered(0..5)).await;
    take(&mut *consumer, 1).await;
    let expected = B::ABILITIES.depth.then_some(4);
    assert_eq!(consumer.depth().await.unwrap(), expected);
}

pub(crate) async fn a_repeated_key_is_a_duplicate_where_keys_are_remembered<B: Bench>() {
    let bench = B::start().await;
    let mut consumer = bench.consumer(&everything(), 10).await.unwrap();
    let mut publisher = bench.publisher("x").await.unwrap();
    let keyed = Outgoing {
        key: Some("k".into()),
        ..outgoing("a")
    };
    assert_eq!(
        publisher.post(std::slice::from_ref(&keyed)).await.unwrap(),
        [Confirm::Posted]
    );
    let second = publisher.post(&[keyed]).await.unwrap();
    if B::ABILITIES.remembers_keys {
        assert_eq!(second, [Confirm::Duplicate]);
        assert_eq!(drain(&bench, &mut *consumer).await, ["a"]);
    } else {
        assert_eq!(second, [Confirm::Posted]);
        assert_eq!(drain(&bench, &mut *consumer).await, ["a", "a"]);
    }
}

pub(crate) async fn a_body_that_is_no_message_is_an_error_with_a_key<B: Bench>() {
    let bench = B::start().await;
    let mut consumer = bench.consumer(&everything(), 10).await.unwrap();
    bench.post_raw("x", "v03.a", b"{ no message").await;
    let received = take(&mut *consumer, 1).await;
    let reason = received[0].message.as_ref().unwrap_err();
    assert!(reason.contains("JSON"), "{reason}");
    assert!(received[0].key.starts_with("q/"), "{}", received[0].key);
    // It is settled like any other.
    consumer
        .settle(&all(&received, Settlement::Ack))
        .await
        .unwrap();
    assert!(drain(&bench, &mut *consumer).await.is_empty());
}

pub(crate) async fn a_large_message_passes<B: Bench>() {
    let bench = B::start().await;
    let mut consumer = bench.consumer(&everything(), 10).await.unwrap();
    let mut publisher = bench.publisher("x").await.unwrap();
    let text = "0123456789abcdef".repeat(65_536);
    let mut large = outgoing("large");
    Arc::make_mut(&mut large.message)
        .extra
        .insert("padding".into(), text.clone().into());
    let batch = [outgoing("before"), large.clone(), large, outgoing("after")];
    post(&mut *publisher, &batch).await;
    let received = take(&mut *consumer, 4).await;
    assert_eq!(paths(&received), ["before", "large", "large", "after"]);
    let found = &received[1].message.as_ref().unwrap().extra["padding"];
    assert_eq!(found.as_str(), Some(text.as_str()));
}

pub(crate) async fn a_queue_that_is_declared_misses_nothing<B: Bench>() {
    let bench = B::start().await;
    bench.declare(&everything()).await.unwrap();
    let mut publisher = bench.publisher("x").await.unwrap();
    post(&mut *publisher, &numbered(0..3)).await;
    let mut consumer = bench.consumer(&everything(), 10).await.unwrap();
    assert_eq!(drain(&bench, &mut *consumer).await.len(), 3);
}

pub(crate) async fn a_deleted_queue_is_declared_again<B: Bench>() {
    let bench = B::start().await;
    let mut consumer = bench.consumer(&everything(), 10).await.unwrap();
    let mut publisher = bench.publisher("x").await.unwrap();
    post(&mut *publisher, &[outgoing("first")]).await;
    let first = take(&mut *consumer, 1).await;
    consumer
        .settle(&all(&first, Settlement::Ack))
        .await
        .unwrap();
    assert!(bench.delete_queue("q").await.unwrap());
    // The consumer notices in its own time; what is posted before that goes nowhere.
    soon("a message after the queue was deleted", async {
        loop {
            post(&mut *publisher, &[outgoing("again")]).await;
            tokio::select! {
                result = consumer.ready() => result.unwrap(),
                () = tokio::time::sleep(std::time::Duration::from_millis(100)) => {}
            }
            let received = consumer.receive(10).await.unwrap();
            if !received.is_empty() {
                assert_eq!(path(&received[0]), "again");
                break;
            }
        }
    })
    .await;
    assert!(bench.delete_queue("q").await.unwrap());
    drop(consumer);
    bench.delete_queue("q").await.unwrap();
    assert!(
        !bench.delete_queue("q").await.unwrap(),
        "there is none any more"
    );
}
