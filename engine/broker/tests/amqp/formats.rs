//! Messages in every format: as we read them, as others see them, and what can't be read.

use std::collections::BTreeMap;
use std::sync::Arc;

use flow_broker::amqp::{AmqpConsumer, Declaration, Posting};
use flow_message::{Format, Identity, Message, Topic};
use flow_runtime::ports::{Consumer, Failure, Outgoing, Publisher, Settlement};
use lapin::options::{BasicGetOptions, BasicPublishOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use serde_json::json;

use crate::common::{all, broker, outgoing, paths, post, receive, server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn formats() {
    v02_as_others_see_it_and_as_we_do().await;
    wis_there_and_back().await;
    several_formats_in_one_queue().await;
    what_a_format_can_not_carry().await;
    headers_that_can_not_be_read().await;
}

async fn plain() -> (Connection, Channel) {
    let url = server().url("/");
    let connecting = Connection::connect(&url, ConnectionProperties::default());
    let connection = connecting.await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

/// A message that uses what v02 has, and a topic as the loop makes it.
fn rich(prefix: &str) -> Outgoing {
    let mut sent = outgoing("v1.2/a b#/é.txt");
    let message = Arc::make_mut(&mut sent.message);
    message.identity = Some(Identity {
        method: "md5".into(),
        value: "1B2M2Y8AsgTpgAmY7PhCfg==".into(),
    });
    message.size = Some(17);
    message.mode = Some(0o644);
    message.mtime = Some(message.pub_time);
    message.source = Some("me".into());
    for (name, value) in [
        ("to_clusters", json!("ALL")),
        ("number", json!(-7)),
        ("large", json!(u64::from(u32::MAX) + 1)),
        ("fraction", json!(0.25)),
        ("flag", json!(true)),
        ("list", json!(["a", 1, null, {"k": false}])),
    ] {
        message.extra.insert(name.into(), value);
    }
    sent.topic = Topic::of(prefix, message);
    sent
}

async fn v02_as_others_see_it_and_as_we_do() {
    let broker = broker();
    let (theirs, ours) = (
        Declaration::new("q_v02_theirs", "xs_v02", ["v02.post.#"]),
        Declaration::new("q_v02_ours", "xs_v02", ["v02.post.v1.2.*"]),
    );
    broker.declare(&theirs).await.unwrap();
    let mut consumer = broker.consumer(&ours, 10).await.unwrap();
    let posting = Posting::new("xs_v02").format(Format::V02);
    let mut publisher = broker.publisher_to(posting).unwrap();
    let sent = rich("v02.post");
    post(&mut publisher, std::slice::from_ref(&sent)).await;

    let (_connection, channel) = plain().await;
    let getting = channel.basic_get("q_v02_theirs".into(), BasicGetOptions { no_ack: true });
    let got = getting.await.unwrap().unwrap();
    assert_eq!(got.routing_key.as_str(), "v02.post.v1.2.a b%23");
    assert_eq!(
        std::str::from_utf8(&got.data).unwrap(),
        "19700101000001 https://example.org/ v1.2/a%20b%23/é.txt"
    );
    let kind = got.properties.content_type().as_ref().unwrap();
    assert_eq!(kind.as_str(), "text/plain");
    let text = |text: &str| AMQPValue::LongString(text.into());
    let mut table = FieldTable::default();
    table.insert("k".into(), AMQPValue::Boolean(false));
    let list = vec![
        text("a"),
        AMQPValue::LongLongInt(1),
        AMQPValue::Void,
        AMQPValue::FieldTable(table),
    ];
    let expected: BTreeMap<ShortString, AMQPValue> = [
        ("sum", text("d,d41d8cd98f00b204e9800998ecf8427e")),
        ("parts", text("1,17,1,0,0")),
        ("mode", text("644")),
        ("mtime", text("19700101000001")),
        ("source", text("me")),
        ("to_clusters", text("ALL")),
        ("number", AMQPValue::LongLongInt(-7)),
        ("large", AMQPValue::LongLongInt(1 << 32)),
        ("fraction", AMQPValue::Double(0.25)),
        ("flag", AMQPValue::Boolean(true)),
        ("list", AMQPValue::FieldArray(list.into())),
    ]
    .map(|(name, value)| (name.into(), value))
    .into();
    let headers = got.properties.headers().as_ref().unwrap();
    assert_eq!(*headers.inner(), expected);

    assert_eq!(read(&mut consumer).await, *sent.message);
}

/// The one message that comes next.
async fn read(consumer: &mut AmqpConsumer) -> Message {
    let mut received = receive(consumer, 1).await;
    let acks = all(&received, Settlement::Ack);
    consumer.settle(&acks).await.unwrap();
    received.remove(0).message.unwrap()
}

async fn wis_there_and_back() {
    let broker = broker();
    let wanted = Declaration::new("q_wis", "xs_wis", ["origin.a.wis2.#"]);
    let mut consumer = broker.consumer(&wanted, 10).await.unwrap();
    let posting = Posting::new("xs_wis").format(Format::Wis);
    let mut publisher = broker.publisher_to(posting).unwrap();
    let mut sent = outgoing("data/report.txt");
    let message = Arc::make_mut(&mut sent.message);
    message.size = Some(17);
    message.content_type = Some("text/plain".into());
    message.extra.insert("data_id".into(), json!("wis2/1"));
    sent.topic = Topic::from("origin.a.wis2.ca-eccc".to_owned());
    post(&mut publisher, std::slice::from_ref(&sent)).await;
    let got = read(&mut consumer).await;
    assert_eq!(got.rel_path, "origin.a.wis2.ca-eccc/report.txt");
    assert_eq!(got.base_url, "https://example.org");
    assert_eq!(got.retrieve_path.as_deref(), Some("/data/report.txt"));
    assert_eq!((got.pub_time, got.size), (sent.message.pub_time, Some(17)));
    assert_eq!(got.content_type.as_deref(), Some("text/plain"));
    assert_eq!(got.extra["data_id"], "wis2/1");
}

async fn several_formats_in_one_queue() {
    let broker = broker();
    let wanted = Declaration::new("q_mixed", "xs_mixed", ["#"]);
    let mut consumer = broker.consumer(&wanted, 10).await.unwrap();
    for format in Format::ALL {
        let mut posting = Posting::new("xs_mixed").format(format);
        // What wis has no words for is chosen here, and is no different to the others.
        posting.topic_prefix = "elsewhere".to_owned();
        let mut publisher = broker.publisher_to(posting).unwrap();
        post(&mut publisher, &[outgoing(&format!("a/{format}"))]).await;
    }
    let received = receive(&mut consumer, 3).await;
    assert_eq!(paths(&received), ["a/v03", "a/v02", "v03.a/wis"]);
}

async fn what_a_format_can_not_carry() {
    let broker = broker();
    let wanted = Declaration::new("q_lossy", "xs_lossy", ["#"]);
    broker.declare(&wanted).await.unwrap();
    let posting = Posting::new("xs_lossy").format(Format::V02);
    let mut publisher = broker.publisher_to(posting).unwrap();
    let mut long = outgoing("a/long");
    let text = "x".repeat(200_000);
    Arc::make_mut(&mut long.message)
        .extra
        .insert("long".into(), text.into());
    let mut nested = outgoing("a/nested");
    let key = "k".repeat(256);
    Arc::make_mut(&mut nested.message)
        .extra
        .insert("map".into(), json!({ key: 1 }));
    for (bad, why) in [(long, "headers"), (nested, "256 bytes")] {
        let path = bad.message.rel_path.clone();
        let failure = publisher
            .post(&[outgoing("a/good"), bad])
            .await
            .unwrap_err();
        let Failure::Permanent(text) = failure else {
            panic!("not permanent: {failure}");
        };
        assert!(text.contains(&path) && text.contains(why), "{text}");
    }
    // Nothing of such a batch goes out, so that the good ones are not there twice after the next try.
    assert_eq!(broker.depth("q_lossy").await.unwrap(), Some(0));
    post(&mut publisher, &[outgoing("a/good")]).await;
    assert_eq!(broker.depth("q_lossy").await.unwrap(), Some(1));
}

async fn headers_that_can_not_be_read() {
    let broker = broker();
    let wanted = Declaration::new("q_poison", "xs_poison", ["#"]);
    let mut consumer = broker.consumer(&wanted, 20).await.unwrap();
    let (_connection, channel) = plain().await;
    let mut deep = AMQPValue::Void;
    for _ in 0..40 {
        deep = AMQPValue::FieldArray(vec![deep].into());
    }
    // Not a number that is none: the broker itself hangs up on that.
    let poison = [
        ("odd", AMQPValue::LongString(vec![0xff].into()), "not UTF-8"),
        (
            "odd",
            AMQPValue::ByteArray(b"\xff".as_slice().into()),
            "not UTF-8",
        ),
        ("odd", deep, "nested too deep"),
        ("sum", AMQPValue::LongInt(7), "expected a string"),
        ("parts", AMQPValue::Boolean(true), "expected a string"),
    ];
    let count = poison.len();
    for (name, value, _) in &poison {
        publish(&channel, name, value.clone()).await;
    }
    publish(&channel, "size", AMQPValue::LongInt(17)).await;
    let received = receive(&mut consumer, count + 1).await;
    for (received, (name, _, why)) in received.iter().zip(&poison) {
        let said = received.message.as_ref().unwrap_err();
        let named = said.contains(&format!("`{name}`"));
        assert!(named && said.contains(why), "{said}");
    }
    assert_eq!(received[count].message.as_ref().unwrap().size, Some(17));
    let acks = all(&received, Settlement::Ack);
    consumer.settle(&acks).await.unwrap();
    consumer.close().await.unwrap();
    assert_eq!(broker.depth("q_poison").await.unwrap(), Some(0));
}

async fn publish(channel: &Channel, name: &str, value: AMQPValue) {
    let mut table = FieldTable::default();
    table.insert(name.into(), value);
    let posting = channel.basic_publish(
        "xs_poison".into(),
        "v02.post.a".into(),
        BasicPublishOptions::default(),
        b"20261122015207.5 https://example.org/ a/f",
        BasicProperties::default()
            .with_content_type("text/plain".into())
            .with_headers(table),
    );
    posting.await.unwrap().await.unwrap();
}
