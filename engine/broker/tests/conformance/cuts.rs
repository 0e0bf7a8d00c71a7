//! What a broker does when the network ends.

use std::collections::BTreeMap;

use flow_runtime::ports::{Received, Settlement};

use crate::bench::{Bench, all, drain, everything, numbered, post, post_until_confirmed, take};
use crate::faults::consume_all;

pub(crate) async fn nothing_is_lost_when_the_connection_is_cut_while_posting<B: Bench>() {
    let bench = B::start().await;
    let Some(cutter) = bench.cutter() else {
        return assert!(!B::ABILITIES.users, "what has users has a network");
    };
    let mut consumer = bench.consumer(&everything(), 100).await.unwrap();
    let mut publisher = bench.publisher("x").await.unwrap();
    post(&mut *publisher, &numbered(0..1)).await;
    let mut expected = 1;
    // In the first message, in one of them, after most of them.
    for bytes in [10, 4_000, 20_000] {
        let before = cutter.cuts();
        cutter.cut_after(bytes);
        let batch = numbered(expected..expected + 200);
        post_until_confirmed(&mut *publisher, &batch).await;
        assert!(cutter.cuts() > before, "it was cut after {bytes} bytes");
        expected += 200;
    }
    let mut seen = BTreeMap::new();
    consume_all(&mut *consumer, expected, &mut seen).await;
    assert_eq!(seen.len(), expected);
}

pub(crate) async fn nothing_is_lost_when_the_connection_is_cut_while_consuming<B: Bench>() {
    let bench = B::start().await;
    let Some(cutter) = bench.cutter() else {
        return assert!(!B::ABILITIES.users, "what has users has a network");
    };
    let mut consumer = bench.consumer(&everything(), 20).await.unwrap();
    let mut publisher = bench.publisher("x").await.unwrap();
    post(&mut *publisher, &numbered(0..100)).await;
    let mut counts = BTreeMap::new();
    let mut count = |received: &[Received]| {
        for received in received {
            *counts.entry(received.key.clone()).or_insert(0) += 1;
        }
    };
    for _ in 0..4 {
        let received = take(&mut *consumer, 10).await;
        count(&received);
        // Told to a connection that is not there, by half; the others are held over the cut.
        cutter.cut();
        let (before, after) = received.split_at(5);
        let _ = consumer.settle(&all(before, Settlement::Ack)).await;
        // It is there again once more comes.
        let more = take(&mut *consumer, 1).await;
        count(&more);
        let _ = consumer.settle(&all(after, Settlement::Ack)).await;
        let _ = consumer.settle(&all(&more, Settlement::Ack)).await;
    }
    let rest = drain(&bench, &mut *consumer).await.len();
    let once = counts.values().all(|count| *count == 1);
    assert_eq!(once, B::ABILITIES.holds_over_cuts, "{counts:?}");
    if once {
        assert_eq!(rest + counts.len(), 100);
    } else {
        assert!(rest + counts.len() >= 100);
    }
}
