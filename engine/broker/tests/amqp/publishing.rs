//! Posting: what is confirmed is there, and what is not there is not confirmed.

use std::sync::Arc;

use flow_broker::amqp::{Declaration, Posting, Posts};
use flow_message::v03;
use flow_runtime::ports::{Confirm, Consumer, Publisher, Settlement};
use lapin::options::BasicGetOptions;
use lapin::{Connection, ConnectionProperties};
use serde_json::json;

use crate::common::{
    Proxy, all, batch, broker, broker_at, drain, outgoing, paths, post, receive, server, temporary,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishing() {
    what_is_confirmed_is_there().await;
    as_others_see_it().await;
    an_exchange_deleted_underneath().await;
    a_cut_in_the_middle_of_a_batch().await;
    a_queue_that_refuses().await;
    split_exchanges().await;
    long_topics_and_many_bytes().await;
}

async fn what_is_confirmed_is_there() {
    let broker = broker();
    let wanted = Declaration::new("q_confirm", "xs_confirm", ["#"]);
    broker.declare(&wanted).await.unwrap();
    let mut publisher = broker.publisher("xs_confirm").unwrap();
    for round in 1..=3 {
        let confirms = publisher.post(&batch("m", 0..1000)).await.unwrap();
        assert_eq!(confirms, vec![Confirm::Posted; 1000]);
        assert_eq!(broker.depth("q_confirm").await.unwrap(), Some(round * 1000));
    }
    assert!(publisher.post(&[]).await.unwrap().is_empty());
    let posts = Posts {
        confirmed: 3000,
        ..Posts::default()
    };
    assert_eq!(publisher.posts(), posts);
    publisher.close().await.unwrap();
    assert!(publisher.post(&batch("m", 0..1)).await.is_err());
    broker.purge("q_confirm").await.unwrap();
}

async fn as_others_see_it() {
    let broker = broker();
    broker
        .declare(&Declaration::new("q_seen", "xs_seen", ["#"]))
        .await
        .unwrap();
    let sent = outgoing("a/b/c.txt");
    post(
        &mut broker.publisher("xs_seen").unwrap(),
        std::slice::from_ref(&sent),
    )
    .await;
    let connection = Connection::connect(&server().url("/"), ConnectionProperties::default())
        .await
        .unwrap();
    let channel = connection.create_channel().await.unwrap();
    let getting = channel.basic_get("q_seen".into(), BasicGetOptions { no_ack: true });
    let got = getting.await.unwrap().unwrap();
    assert_eq!(got.data, v03::encode(&sent.message));
    assert_eq!(got.routing_key.as_str(), "v03.a.b");
    let text = |value: &Option<lapin::types::ShortString>| {
        value.as_ref().map(|value| value.as_str().to_owned())
    };
    let properties = &got.properties;
    assert_eq!(text(properties.content_type()).unwrap(), "application/json");
    assert_eq!(text(properties.message_id()).unwrap(), "post of a/b/c.txt");
    assert_eq!(*properties.delivery_mode(), Some(2));
    assert_eq!(*properties.headers(), None);
    assert_eq!(*properties.expiration(), None);

    let mut posting = Posting::new("xs_seen");
    posting.persistent = false;
    posting.message_ttl = std::time::Duration::from_secs(90);
    post(&mut broker.publisher_to(posting).unwrap(), &[sent]).await;
    let getting = channel.basic_get("q_seen".into(), BasicGetOptions { no_ack: true });
    let got = getting.await.unwrap().unwrap();
    assert_eq!(*got.properties.delivery_mode(), Some(1));
    assert_eq!(text(got.properties.expiration()).unwrap(), "90000");
}

async fn an_exchange_deleted_underneath() {
    let broker = broker();
    let wanted = Declaration::new("q_gone", "xs_gone", ["#"]);
    let mut consumer = broker.consumer(&wanted, 1000).await.unwrap();
    let mut publisher = broker.publisher("xs_gone").unwrap();
    post(&mut publisher, &batch("before", 0..100)).await;
    broker.delete_exchange("xs_gone").await.unwrap();
    // Not made anew: with no queue bound to it, it would swallow these.
    for _ in 0..2 {
        let said = temporary(publisher.post(&batch("after", 0..500)).await);
        assert!(
            said.contains("`xs_gone`") && said.contains("`flow declare`"),
            "{said}"
        );
    }
    broker.declare(&wanted).await.unwrap();
    post(&mut publisher, &batch("after", 0..500)).await;
    assert_eq!(drain(&broker, &mut consumer, "q_gone").await.len(), 600);
    assert_eq!(publisher.posts().failed_batches, 2);
}

async fn a_cut_in_the_middle_of_a_batch() {
    let proxy = Proxy::before(server().port()).await;
    let broker = broker_at(&proxy.url());
    let wanted = Declaration::new("q_middle", "xs_middle", ["#"]);
    let mut consumer = broker.consumer(&wanted, 1000).await.unwrap();
    let mut publisher = broker.publisher("xs_middle").unwrap();
    post(&mut publisher, &batch("first", 0..1)).await;
    for (round, bytes) in [100_000, 37, 250_001].into_iter().enumerate() {
        proxy.cut_after(bytes);
        let wanted = batch(&round.to_string(), 0..2000);
        let said = temporary(publisher.post(&wanted).await);
        assert!(said.contains("counts as not posted"), "{said}");
        post(&mut publisher, &wanted).await;
    }
    let direct = crate::common::broker();
    assert_eq!(drain(&direct, &mut consumer, "q_middle").await.len(), 6001);
}

async fn a_queue_that_refuses() {
    let broker = broker();
    let mut wanted = Declaration::new("q_full", "xs_full", ["#"]);
    wanted.arguments = vec![
        ("x-max-length".to_owned(), json!(10)),
        ("x-overflow".to_owned(), json!("reject-publish")),
    ];
    let mut consumer = broker.consumer(&wanted, 1).await.unwrap();
    let mut publisher = broker.publisher("xs_full").unwrap();
    let said = temporary(publisher.post(&batch("m", 0..100)).await);
    assert!(
        said.contains("refused") && said.contains("of 100 messages"),
        "{said}"
    );
    assert!(publisher.posts().refused > 50, "{:?}", publisher.posts());
    assert_eq!(publisher.posts().confirmed, 0);
    let received = receive(&mut consumer, 1).await;
    assert_eq!(paths(&received), ["m/0"]);
    consumer
        .settle(&all(&received, Settlement::Ack))
        .await
        .unwrap();
}

async fn split_exchanges() {
    let broker = broker();
    for number in ["00", "01", "02"] {
        let wanted = Declaration::new(
            format!("q_split{number}"),
            format!("xs_split{number}"),
            ["#"],
        );
        broker.declare(&wanted).await.unwrap();
    }
    let mut posting = Posting::new("xs_split");
    posting.parts = (0..3)
        .map(|part| format!("{}{part:02}", posting.exchange))
        .collect();
    let mut publisher = broker.publisher_to(posting).unwrap();
    // `a` is 97, 97 % 3 is 1; `b` is one more, `ab` is their sum.
    let mut chosen = outgoing("a");
    Arc::make_mut(&mut chosen.message)
        .extra
        .insert("exchangeSplitOverride".into(), json!(5));
    post(
        &mut publisher,
        &[outgoing("a"), outgoing("b"), outgoing("ab"), chosen],
    )
    .await;
    for (number, depth) in [("00", 1), ("01", 1), ("02", 2)] {
        let queue = format!("q_split{number}");
        assert_eq!(broker.depth(&queue).await.unwrap(), Some(depth), "{queue}");
    }
}

async fn long_topics_and_many_bytes() {
    let broker = broker();
    let wanted = Declaration::new("q_long", "xs_long", ["#"]);
    let mut consumer = broker.consumer(&wanted, 100).await.unwrap();
    let mut publisher = broker.publisher("xs_long").unwrap();
    // More than is handed to the library at a time, and a topic that is cut.
    let mut sent = batch("m", 0..30);
    for outgoing in &mut sent {
        let filler = "x".repeat(300_000);
        Arc::make_mut(&mut outgoing.message)
            .extra
            .insert("filler".into(), filler.into());
    }
    sent.push(outgoing(&format!("{}/end", "directory/".repeat(30))));
    post(&mut publisher, &sent).await;
    let received = receive(&mut consumer, 31).await;
    let expected: Vec<String> = sent
        .iter()
        .map(|sent| sent.message.rel_path.clone())
        .collect();
    assert_eq!(paths(&received), expected);
}
