//! What a broker does when it ends.

use std::collections::{BTreeMap, BTreeSet};

use flow_runtime::ports::{Consumer, Failure, Settlement};

use crate::bench::{
    Bench, all, drain, everything, numbered, outgoing, paths, post, post_until_confirmed, receive,
    reconnected, soon, take,
};

pub(crate) async fn what_was_confirmed_survives_a_kill<B: Bench>() {
    let mut bench = B::start_own().await;
    bench.declare(&everything()).await.unwrap();
    if !B::ABILITIES.confirm_is_durable {
        bench.save().await;
    }
    let mut publisher = bench.publisher("x").await.unwrap();
    post(&mut *publisher, &numbered(0..50)).await;
    bench.kill().await;
    bench.restart().await;
    drop(publisher);
    let mut consumer = bench.consumer(&everything(), 100).await.unwrap();
    let expected: Vec<String> = (0..50).map(|number| format!("a/{number}")).collect();
    if B::ABILITIES.confirm_is_durable {
        assert_eq!(drain(&bench, &mut *consumer).await, expected);
        return;
    }
    // The truth about such a server; and that it keeps what it was told to write down.
    assert!(drain(&bench, &mut *consumer).await.is_empty());
    let mut publisher = bench.publisher("x").await.unwrap();
    consumer.close().await.unwrap();
    post(&mut *publisher, &numbered(0..50)).await;
    bench.save().await;
    bench.kill().await;
    bench.restart().await;
    let mut consumer = bench.consumer(&everything(), 100).await.unwrap();
    assert_eq!(drain(&bench, &mut *consumer).await, expected);
}

pub(crate) async fn queues_take_posts_right_after_a_restart<B: Bench>() {
    let mut bench = B::start_own().await;
    bench.declare(&everything()).await.unwrap();
    if !B::ABILITIES.confirm_is_durable {
        bench.save().await;
    }
    bench.kill().await;
    bench.restart().await;
    let mut publisher = bench.publisher("x").await.unwrap();
    post(&mut *publisher, &[outgoing("early")]).await;
    let mut consumer = bench.consumer(&everything(), 10).await.unwrap();
    let seen = drain(&bench, &mut *consumer).await;
    if let Some(remembers) = bench.remembers_queues() {
        assert_eq!(seen.len(), usize::from(remembers));
    }
}

/// The same with a publisher that knows that there was somebody.
pub(crate) async fn posts_wait_for_consumers_to_come_back_after_a_restart<B: Bench>() {
    let mut bench = B::start_own().await;
    if !B::ABILITIES.clients_outlive {
        return assert!(bench.cutter().is_none(), "clients and broker are one");
    }
    let mut consumer = bench.consumer(&everything(), 10).await.unwrap();
    let mut publisher = bench.publisher("x").await.unwrap();
    post(&mut *publisher, &[outgoing("before")]).await;
    let before = take(&mut *consumer, 1).await;
    consumer
        .settle(&all(&before, Settlement::Ack))
        .await
        .unwrap();
    if !B::ABILITIES.confirm_is_durable {
        bench.save().await;
    }
    bench.kill().await;
    bench.restart().await;
    post_until_confirmed(&mut *publisher, &[outgoing("after")]).await;
    assert_eq!(paths(&take(&mut *consumer, 1).await), ["after"]);
}

pub(crate) async fn acks_survive_a_restart<B: Bench>() {
    let mut bench = B::start_own().await;
    let mut consumer = bench.consumer(&everything(), 100).await.unwrap();
    let mut publisher = bench.publisher("x").await.unwrap();
    post(&mut *publisher, &numbered(0..10)).await;
    let received = take(&mut *consumer, 10).await;
    consumer
        .settle(&all(&received[..6], Settlement::Ack))
        .await
        .unwrap();
    // Nothing but `settle` stands between the acks and the end.
    if !B::ABILITIES.confirm_is_durable {
        bench.save().await;
    }
    bench.kill().await;
    drop(consumer);
    bench.restart().await;
    let mut consumer = bench.consumer(&everything(), 100).await.unwrap();
    let mut rest: Vec<String> = drain(&bench, &mut *consumer).await;
    rest.sort();
    assert_eq!(rest, ["a/6", "a/7", "a/8", "a/9"]);
}

/// Receives and acks until everything expected was seen; counts how often each came.
pub(crate) async fn consume_all(
    consumer: &mut dyn Consumer,
    expected: usize,
    seen: &mut BTreeMap<String, u32>,
) {
    soon("everything to arrive", async {
        while seen.len() < expected {
            consumer.ready().await.unwrap();
            let received = receive(consumer, 7).await;
            for path in paths(&received) {
                *seen.entry(path).or_default() += 1;
            }
            // An ack that does not arrive means another delivery.
            let _ = consumer.settle(&all(&received, Settlement::Ack)).await;
        }
    })
    .await;
}

pub(crate) async fn nothing_is_lost_over_restarts<B: Bench>() {
    let mut bench = B::start_own().await;
    let mut consumer = bench.consumer(&everything(), 20).await.unwrap();
    let mut publisher = bench.publisher("x").await.unwrap();
    let batch = numbered(0..300);
    let mut seen = BTreeMap::new();
    for (round, part) in batch.chunks(100).enumerate() {
        let expected = round * 100 + 40;
        // Some of it is consumed, some is held, some waits when it ends.
        post_until_confirmed(&mut *publisher, part).await;
        consume_all(&mut *consumer, expected, &mut seen).await;
        let held = consumer.receive(5).await.unwrap();
        if !B::ABILITIES.confirm_is_durable {
            bench.save().await;
        }
        bench.kill().await;
        if !B::ABILITIES.clients_outlive {
            drop(consumer);
            bench.restart().await;
            consumer = bench.consumer(&everything(), 20).await.unwrap();
            publisher = bench.publisher("x").await.unwrap();
            continue;
        }
        // Posts fail while it is away, and go through afterwards.
        let failure = publisher.post(&[outgoing("away")]).await.unwrap_err();
        assert!(matches!(failure, Failure::Temporary { .. }), "{failure:?}");
        bench.restart().await;
        let _ = consumer.settle(&all(&held, Settlement::Release)).await;
        if bench.remembers_queues() != Some(true) {
            reconnected(&mut *consumer, held[0].tag).await;
        }
    }
    consume_all(&mut *consumer, 300, &mut seen).await;
    let expected: BTreeSet<String> = (0..300).map(|number| format!("a/{number}")).collect();
    assert_eq!(seen.keys().cloned().collect::<BTreeSet<_>>(), expected);
    let again: u32 = seen.values().map(|count| count - 1).sum();
    // What was settled and saved does not come again; at most what was in hand at each end does.
    assert!(again <= 3 * 27, "{again} came again");
}

pub(crate) async fn a_broker_that_is_away_is_temporary<B: Bench>() {
    let mut bench = B::start_own().await;
    if !B::ABILITIES.clients_outlive {
        return assert!(bench.cutter().is_none(), "it has no way to be away");
    }
    let mut publisher = bench.publisher("x").await.unwrap();
    bench.kill().await;
    let failure = publisher.post(&[outgoing("a")]).await.unwrap_err();
    assert!(matches!(&failure, Failure::Temporary { .. }), "{failure:?}");
    let text = failure.to_string();
    assert!(text.contains("127.0.0.1"), "{text}");
    let Err(failure) = bench.consumer(&everything(), 1).await else {
        panic!("there is nobody to consume from");
    };
    assert!(matches!(&failure, Failure::Temporary { .. }), "{failure:?}");
    bench.restart().await;
    let mut consumer = bench.consumer(&everything(), 1).await.unwrap();
    post_until_confirmed(&mut *publisher, &[outgoing("a")]).await;
    assert_eq!(paths(&take(&mut *consumer, 1).await), ["a"]);
}
