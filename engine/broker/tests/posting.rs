//! How posts to the embedded broker may be made: with an end, to parts of an exchange, in a format.

#![expect(clippy::unwrap_used, reason = "this is a test, its helpers included")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use common::{everything, outgoing};
use flow_broker::embedded::{Declaration, EmbeddedBroker, Options, Posting};
use flow_message::{FileOp, Format, Timestamp};
use flow_runtime::ports::{Confirm, Consumer, Publisher, Received, Settlement};

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
async fn messages_whose_time_is_over_are_gone_and_others_stay() {
    let directory = tempfile::tempdir().unwrap();
    let seconds = Arc::new(AtomicI64::new(1_000_000));
    let clock = Arc::clone(&seconds);
    let options = Options {
        clock: Arc::new(move || Timestamp::from_unix(clock.load(Ordering::SeqCst), 0)),
        ..Options::default()
    };
    let broker = EmbeddedBroker::open(directory.path().join("broker.db"), options).unwrap();
    let mut consumer = broker.consumer(&everything(), 10).await.unwrap();
    let other = Declaration::new("other", "x", ["#"]);
    broker.declare(&other).await.unwrap();
    let mut posting = Posting::new("x");
    posting.persistent = false;
    posting.message_ttl = Duration::from_secs(60);
    let mut short = broker.publisher_to(posting).unwrap();
    let mut long = broker.publisher("x").unwrap();
    let old: Vec<_> = (0..30)
        .map(|number| outgoing(&format!("old/{number}"), None))
        .collect();
    short.post(&old).await.unwrap();
    long.post(&[outgoing("stays", None)]).await.unwrap();
    seconds.fetch_add(30, Ordering::SeqCst);
    short.post(&[outgoing("young", None)]).await.unwrap();
    let held = consumer.receive(1).await.unwrap();
    assert_eq!(paths(&held), ["old/0"]);
    seconds.fetch_add(30, Ordering::SeqCst);
    // More have gone than are taken at once.
    let rest = consumer.receive(5).await.unwrap();
    assert_eq!(paths(&rest), ["stays", "young"]);
    // What is held is not taken away.
    consumer.settle(&all(&held, Settlement::Ack)).await.unwrap();
    consumer.settle(&all(&rest, Settlement::Ack)).await.unwrap();
    assert_eq!(broker.housekeeping().await.unwrap().messages_expired, 30);
    assert_eq!(broker.peek("other", 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn the_parts_of_an_exchange_share_what_is_posted() {
    let directory = tempfile::tempdir().unwrap();
    let broker = open(directory.path());
    let parts = ["x00", "x01"].map(String::from);
    let mut consumers = Vec::new();
    for part in &parts {
        let wanted = Declaration::new(format!("q_{part}"), part, ["#"]);
        consumers.push(broker.consumer(&wanted, 10).await.unwrap());
    }
    let mut posting = Posting::new("x00");
    posting.parts = parts.to_vec();
    let mut publisher = broker.publisher_to(posting).unwrap();
    // `a` is 97, `b` is 98, `c` is 99.
    let batch = ["a", "b", "c"].map(|path| outgoing(path, Some(path)));
    assert_eq!(publisher.post(&batch).await.unwrap(), [Confirm::Posted; 3]);
    let again = ["b", "d", "a"].map(|path| outgoing(path, Some(path)));
    assert_eq!(
        publisher.post(&again).await.unwrap(),
        [Confirm::Duplicate, Confirm::Posted, Confirm::Duplicate]
    );
    for (consumer, expected) in consumers.iter_mut().zip([["b", "d"], ["a", "c"]]) {
        assert_eq!(paths(&consumer.receive(10).await.unwrap()), expected);
    }
}

#[tokio::test]
async fn messages_come_out_as_their_format_can_say_them() {
    let directory = tempfile::tempdir().unwrap();
    let broker = open(directory.path());
    let v02 = Declaration::new("q", "x", ["v02.post.#"]);
    let mut consumer = broker.consumer(&v02, 10).await.unwrap();
    let mut posting = Posting::new("x");
    posting.format = Format::V02;
    posting.topic_prefix = "v02.post".into();
    let mut publisher = broker.publisher_to(posting).unwrap();
    let mut announced = outgoing("a/f", None);
    announced.topic = flow_message::Topic::of("v02.post", &announced.message);
    let message = Arc::make_mut(&mut announced.message);
    message.size = Some(17);
    message.extra.insert("number".into(), 7.into());
    let mut renamed = announced.clone();
    Arc::make_mut(&mut renamed.message).file_op = Some(FileOp {
        rename: Some("a/e".into()),
        ..FileOp::default()
    });
    publisher
        .post(&[announced.clone(), renamed.clone()])
        .await
        .unwrap();
    let received = consumer.receive(10).await.unwrap();
    let messages: Vec<_> = received
        .iter()
        .map(|received| received.message.as_ref().unwrap())
        .collect();
    assert_eq!(messages[0].size, Some(17));
    assert_eq!(messages[0].rel_path, "a/f");
    let old = messages[1].file_op.as_ref().unwrap().rename.as_deref();
    assert_eq!(old, Some("a/e"));
}
