//! Taking messages, settling them, and losing the connection meanwhile.

use std::sync::Arc;
use std::time::Duration;

use flow_broker::amqp::Declaration;
use flow_runtime::ports::{Consumer, Received, Settlement};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Connection, ConnectionProperties};

use crate::common::{
    LIMIT, Proxy, all, batch, broker, broker_at, outgoing, path, paths, post, receive, server, take,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consuming() {
    order_acks_and_redelivery().await;
    prefetch_is_honoured().await;
    poison_and_foreign_messages().await;
    a_large_message().await;
    a_queue_deleted_underneath().await;
    a_cut_with_messages_in_hand().await;
    an_idle_consumer_notices_a_cut().await;
    closing_gives_back().await;
}

async fn order_acks_and_redelivery() {
    let broker = broker();
    let wanted = Declaration::new("q_order", "xs_order", ["#"]);
    let mut consumer = broker.consumer(&wanted, 100).await.unwrap();
    let mut publisher = broker.publisher("xs_order").unwrap();
    post(&mut publisher, &batch("m", 0..10)).await;
    let first = receive(&mut consumer, 10).await;
    assert_eq!(paths(&first), paths_of(0..10));
    assert!(first.iter().all(|received| !received.redelivered));

    // Out of order, mixed: 3 and 7 stay in hand.
    let settlements: Vec<(u64, Settlement)> = [
        (5, 1),
        (0, 0),
        (1, 1),
        (2, 0),
        (9, 0),
        (6, 1),
        (8, 0),
        (4, 0),
    ]
    .map(|(index, release): (usize, u8)| {
        let settlement = if release == 1 {
            Settlement::Release
        } else {
            Settlement::Ack
        };
        (first[index].tag, settlement)
    })
    .to_vec();
    consumer.settle(&settlements).await.unwrap();
    let again = receive(&mut consumer, 3).await;
    assert_eq!(paths(&again), ["m/1", "m/5", "m/6"]);
    for received in &again {
        assert!(received.redelivered);
        let before = first
            .iter()
            .find(|one| path(one) == path(received))
            .unwrap();
        assert_eq!(before.key, received.key);
        assert_ne!(before.tag, received.tag);
    }
    // Settling twice is nothing.
    consumer.settle(&settlements).await.unwrap();
    consumer
        .settle(&all(&again, Settlement::Ack))
        .await
        .unwrap();
    consumer.close().await.unwrap();
    assert_eq!(broker.depth("q_order").await.unwrap(), Some(2));
    let mut consumer = broker.consumer(&wanted, 100).await.unwrap();
    assert_eq!(paths(&receive(&mut consumer, 2).await), ["m/3", "m/7"]);
}

fn paths_of(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("m/{number}")).collect()
}

async fn prefetch_is_honoured() {
    let broker = broker();
    let wanted = Declaration::new("q_prefetch", "xs_prefetch", ["#"]);
    let mut consumer = broker.consumer(&wanted, 5).await.unwrap();
    let mut publisher = broker.publisher("xs_prefetch").unwrap();
    post(&mut publisher, &batch("m", 0..20)).await;
    let held = receive(&mut consumer, 5).await;
    let more = tokio::time::timeout(Duration::from_millis(300), consumer.ready()).await;
    assert!(more.is_err(), "five are in hand");
    assert!(consumer.receive(10).await.unwrap().is_empty());
    assert_eq!(broker.depth("q_prefetch").await.unwrap(), Some(15));
    consumer
        .settle(&all(&held[..2], Settlement::Ack))
        .await
        .unwrap();
    assert_eq!(paths(&receive(&mut consumer, 2).await), ["m/5", "m/6"]);
    assert_eq!(consumer.depth().await.unwrap(), Some(13));
}

async fn poison_and_foreign_messages() {
    let broker = broker();
    let wanted = Declaration::new("q_foreign", "xs_foreign", ["#"]);
    let mut consumer = broker.consumer(&wanted, 10).await.unwrap();
    let connection = Connection::connect(&server().url("/"), ConnectionProperties::default())
        .await
        .unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await
        .unwrap();
    // As sr3 writes it, what nobody could read, and nothing at all.
    let sr3: &[u8] = br#"{"pubTime":"20261122T015207.001","baseUrl":"http://h/","relPath":"a/b",
        "size":"17","integrity":{"method":"md5","value":"x"},"mine":1}"#;
    for body in [sr3, b"\xff\xfe{", b""] {
        let properties = BasicProperties::default().with_content_type("application/json".into());
        let options = BasicPublishOptions::default();
        let sent = channel.basic_publish(
            "xs_foreign".into(),
            "v03.a".into(),
            options,
            body,
            properties,
        );
        assert!(sent.await.unwrap().await.unwrap().is_ack());
    }
    let first = receive(&mut consumer, 3).await;
    let message = first[0].message.as_ref().unwrap();
    assert_eq!((message.rel_path.as_str(), message.size), ("a/b", Some(17)));
    assert!(
        first[1]
            .message
            .as_ref()
            .unwrap_err()
            .contains("not a JSON object")
    );
    assert!(first[2].message.is_err());
    let keys = |received: &[Received]| -> Vec<String> {
        received
            .iter()
            .map(|received| received.key.clone())
            .collect()
    };
    consumer
        .settle(&all(&first, Settlement::Release))
        .await
        .unwrap();
    let again = receive(&mut consumer, 3).await;
    assert_eq!(keys(&first), keys(&again));
    consumer
        .settle(&all(&again, Settlement::Ack))
        .await
        .unwrap();
    consumer.close().await.unwrap();
    assert_eq!(broker.depth("q_foreign").await.unwrap(), Some(0));
}

async fn a_large_message() {
    let broker = broker();
    let wanted = Declaration::new("q_large", "xs_large", ["#"]);
    let mut consumer = broker.consumer(&wanted, 10).await.unwrap();
    let mut large = outgoing("large");
    Arc::make_mut(&mut large.message)
        .extra
        .insert("filler".into(), "x".repeat(1 << 20).into());
    let mut publisher = broker.publisher("xs_large").unwrap();
    post(&mut publisher, &[large.clone(), outgoing("small")]).await;
    let received = receive(&mut consumer, 2).await;
    assert_eq!(received[0].message.as_ref().unwrap(), &*large.message);
    assert_eq!(path(&received[1]), "small");
}

async fn a_queue_deleted_underneath() {
    let broker = broker();
    let wanted = Declaration::new("q_deleted", "xs_deleted", ["#"]);
    let mut consumer = broker.consumer(&wanted, 10).await.unwrap();
    let mut publisher = broker.publisher("xs_deleted").unwrap();
    post(&mut publisher, &[outgoing("before")]).await;
    let held = receive(&mut consumer, 1).await;
    assert!(broker.delete_queue("q_deleted").await.unwrap());
    // The consumer hears of it, and its void tag is nothing.
    tokio::time::timeout(LIMIT, consumer.ready())
        .await
        .unwrap()
        .unwrap();
    consumer.settle(&all(&held, Settlement::Ack)).await.unwrap();
    assert!(take(&mut consumer, 10).await.is_empty());
    post(&mut publisher, &[outgoing("after")]).await;
    assert_eq!(paths(&receive(&mut consumer, 1).await), ["after"]);
}

async fn a_cut_with_messages_in_hand() {
    let proxy = Proxy::before(server().port()).await;
    let broker = broker_at(&proxy.url());
    let wanted = Declaration::new("q_cut", "xs_cut", ["#"]);
    let mut consumer = broker.consumer(&wanted, 20).await.unwrap();
    let mut publisher = broker.publisher("xs_cut").unwrap();
    post(&mut publisher, &batch("m", 0..40)).await;
    let held = receive(&mut consumer, 10).await;
    proxy.cut();
    // These were done before the cut was noticed; one was not.
    let mut settlements = all(&held, Settlement::Ack);
    settlements[4].1 = Settlement::Release;
    consumer.settle(&settlements).await.unwrap();
    let mut found = Vec::new();
    while found.len() < 31 {
        tokio::time::timeout(LIMIT, consumer.ready())
            .await
            .unwrap()
            .unwrap();
        let received = take(&mut consumer, 7).await;
        consumer
            .settle(&all(&received, Settlement::Ack))
            .await
            .unwrap();
        found.extend(paths(&received));
    }
    // What was acked does not come again, though the broker never heard of it.
    let mut expected = paths_of(10..40);
    expected.push("m/4".to_owned());
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    consumer.close().await.unwrap();
    assert_eq!(broker.depth("q_cut").await.unwrap(), Some(0));
}

async fn an_idle_consumer_notices_a_cut() {
    let proxy = Proxy::before(server().port()).await;
    let broker = broker_at(&proxy.url());
    let wanted = Declaration::new("q_idle", "xs_idle", ["#"]);
    let mut consumer = broker.consumer(&wanted, 20).await.unwrap();
    let mut publisher = broker.publisher("xs_idle").unwrap();
    for round in 0..3 {
        post(&mut publisher, &[outgoing(&format!("{round}"))]).await;
        let received = receive(&mut consumer, 1).await;
        assert_eq!(paths(&received), [round.to_string()]);
        consumer
            .settle(&all(&received, Settlement::Ack))
            .await
            .unwrap();
        proxy.cut();
        tokio::time::timeout(LIMIT, consumer.ready())
            .await
            .unwrap()
            .unwrap();
        // A connection that dies young counts as a failure: there is a pause after it.
        assert!(take(&mut consumer, 1).await.is_empty());
    }
}

async fn closing_gives_back() {
    let broker = broker();
    let wanted = Declaration::new("q_back", "xs_back", ["#"]);
    let mut consumer = broker.consumer(&wanted, 10).await.unwrap();
    let mut publisher = broker.publisher("xs_back").unwrap();
    post(&mut publisher, &batch("m", 0..4)).await;
    let held = receive(&mut consumer, 2).await;
    consumer
        .settle(&all(&held[..1], Settlement::Ack))
        .await
        .unwrap();
    consumer.close().await.unwrap();
    consumer.close().await.unwrap();
    assert!(consumer.receive(1).await.is_err());
    assert_eq!(broker.depth("q_back").await.unwrap(), Some(3));
    // Dropped instead of closed, it gives back as well.
    let mut consumer = broker.consumer(&wanted, 10).await.unwrap();
    assert_eq!(paths(&receive(&mut consumer, 3).await), paths_of(1..4));
    drop(consumer);
    let back = async { while broker.depth("q_back").await.unwrap() != Some(3) {} };
    tokio::time::timeout(LIMIT, back).await.unwrap();
}
