//! What only MQTT brokers have: TLS to a real server, instances, and bindings that were left behind.

#![expect(clippy::unwrap_used, reason = "this is a test, its helpers included")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{everything, outgoing};
use flow_broker::Kind;
use flow_broker::embedded::Declaration;
use flow_broker::mqtt::{MqttBroker, Options, Posting};
use flow_config::{SafeUrl, Secret};
use flow_message::{Format, Topic};
use flow_runtime::ports::{Consumer, Failure, Publisher, Received, Settlement};
use flow_testkit::Mosquitto;
use serde_json::json;

fn open(url: &str, options: Options) -> MqttBroker {
    let password = Secret::new(Mosquitto::PASSWORD);
    MqttBroker::open(&SafeUrl::parse(url).unwrap(), Some(password), options).unwrap()
}

async fn take(consumer: &mut dyn Consumer, count: usize) -> Vec<Received> {
    tokio::time::timeout(Duration::from_secs(30), async {
        let mut taken = Vec::new();
        while taken.len() < count {
            consumer.ready().await.unwrap();
            taken.extend(consumer.receive(count - taken.len()).await.unwrap());
        }
        taken
    })
    .await
    .expect("the messages arrive in time")
}

fn paths(received: &[Received]) -> Vec<&str> {
    received
        .iter()
        .map(|received| received.message.as_ref().unwrap().rel_path.as_str())
        .collect()
}

#[tokio::test]
async fn tls_is_checked_against_the_given_authority() {
    let server = Mosquitto::start();
    let url = format!(
        "mqtts://{}@localhost:{}/",
        Mosquitto::USER,
        server.tls_port()
    );
    let error = open(&url, Options::default()).check().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Untrusted);
    assert!(error.to_string().contains("`caFile`"), "{error}");
    assert!(matches!(Failure::from(error), Failure::Config(_)));

    let options = Options {
        authorities: Some(server.ca_file()),
        ..Options::default()
    };
    let broker = open(&url, options.clone());
    let mut consumer = broker.consumer(&everything(), 5).await.unwrap();
    let mut publisher = broker.publisher("x").unwrap();
    let batch: Vec<_> = (0..40)
        .map(|number| outgoing(&format!("a/{number}"), None))
        .collect();
    publisher.post(&batch).await.unwrap();
    for _ in 0..8 {
        let received = take(&mut consumer, 5).await;
        let acks: Vec<_> = received
            .iter()
            .map(|received| (received.tag, Settlement::Ack))
            .collect();
        consumer.settle(&acks).await.unwrap();
    }
    // TLS on the plain port, and the other way round.
    let url = format!("mqtts://localhost:{}/", server.port());
    let error = open(&url, options.clone()).check().await.unwrap_err();
    assert!(
        matches!(error.kind(), Kind::Untrusted | Kind::Unreachable),
        "{error}"
    );
    let url = format!("mqtt://localhost:{}/", server.tls_port());
    let error = open(&url, options).check().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable, "{error}");
}

#[tokio::test]
async fn declared_instances_each_get_their_part() {
    let server = Mosquitto::start();
    let broker = open(&server.url(), Options::default());
    broker.declare_instances(&everything(), 3).await.unwrap();
    let mut publisher = broker.publisher("x").unwrap();
    let batch: Vec<_> = (0..30)
        .map(|number| outgoing(&format!("a/{number}"), None))
        .collect();
    publisher.post(&batch).await.unwrap();
    let mut all = Vec::new();
    for number in [3, 1, 2] {
        let mut consumer = broker.consumer_as(&everything(), 30, number).await.unwrap();
        let received = take(&mut consumer, 10).await;
        all.extend(paths(&received).into_iter().map(str::to_owned));
        assert_eq!(
            broker
                .consumer_as(&everything(), 1, number)
                .await
                .unwrap_err()
                .kind(),
            Kind::TakenOver
        );
    }
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 30);
    assert!(broker.delete_queue("q").await.unwrap());
    assert!(!broker.delete_queue("q").await.unwrap());
}

#[tokio::test]
async fn bindings_that_were_left_behind_bring_nothing() {
    let server = Mosquitto::start();
    let broker = open(&server.url(), Options::default());
    let old = Declaration::new("q", "x", ["v03.a.#", "v03.#.b"]);
    broker.declare(&old).await.unwrap();
    let new = Declaration::new("q", "x", ["v03.c.#", "v03.*.b"]);
    let mut consumer = broker.consumer(&new, 10).await.unwrap();
    let mut publisher = broker.publisher("x").unwrap();
    let batch = ["a/1", "a/b/2", "c/b/3", "c/4"].map(|path| outgoing(path, None));
    publisher.post(&batch).await.unwrap();
    assert_eq!(
        paths(&take(&mut consumer, 3).await),
        ["a/b/2", "c/b/3", "c/4"]
    );
    assert!(consumer.receive(10).await.unwrap().is_empty());
    consumer.close().await.unwrap();

    broker.unbind(&old, 1).await.unwrap();
    let log = server.log();
    assert!(log.contains("$share/q/x/v03/a/#"), "{log}");
    publisher.post(&[outgoing("a/5", None)]).await.unwrap();
    assert!(
        server.log().contains("UNSUBSCRIBE from q_i01"),
        "the server was told"
    );
}

#[tokio::test]
async fn a_session_that_is_taken_over_comes_back() {
    let server = Mosquitto::start();
    let (one, two) = (
        open(&server.url(), Options::default()),
        open(&server.url(), Options::default()),
    );
    let mut first = one.consumer(&everything(), 10).await.unwrap();
    let mut second = two.consumer(&everything(), 10).await.unwrap();
    second.close().await.unwrap();
    // Nobody else wants it any more, so the first gets it again by itself.
    let mut publisher = one.publisher("x").unwrap();
    publisher.post(&[outgoing("a", None)]).await.unwrap();
    assert_eq!(paths(&take(&mut first, 1).await), ["a"]);
}

#[tokio::test]
async fn every_format_goes_there_and_back() {
    let server = Mosquitto::start();
    let broker = open(&server.url(), Options::default());
    // The directory has a dot in its name: below `v1.2`, and nothing below `v1`.
    let wanted = Declaration::new("q", "x", ["v02/post/v1.2/*", "v03/v1.2/*"]);
    let mut consumer = broker.consumer(&wanted, 10).await.unwrap();
    let origin = Declaration::new("q_wis", "", ["origin/a/wis2/#"]);
    let mut of_wis = broker.consumer(&origin, 10).await.unwrap();

    let mut sent = outgoing("v1.2/a b#+/é.txt", None);
    let message = Arc::make_mut(&mut sent.message);
    message.size = Some(17);
    message.mode = Some(0o644);
    for (name, value) in [("to_clusters", json!("ALL")), ("note", json!("a+b=é"))] {
        message.extra.insert(name.into(), value);
    }
    for format in [Format::V02, Format::V03] {
        let mut publisher = broker
            .publisher_to(Posting::new("x").format(format))
            .unwrap();
        sent.topic = Topic::of(format.topic_prefix(), &sent.message);
        publisher.post(std::slice::from_ref(&sent)).await.unwrap();
        let received = take(&mut consumer, 1).await;
        assert_eq!(received[0].message.as_ref(), Ok(&*sent.message), "{format}");
        let acks = [(received[0].tag, Settlement::Ack)];
        consumer.settle(&acks).await.unwrap();
    }

    let mut publisher = broker
        .publisher_to(Posting::new("").format(Format::Wis))
        .unwrap();
    let mut wis = outgoing("data/report.txt", None);
    wis.topic = Topic::of("", &wis.message);
    let failure = publisher
        .post(std::slice::from_ref(&wis))
        .await
        .unwrap_err();
    assert!(
        matches!(&failure, Failure::Permanent(text) if text.contains("a topic of its own")),
        "{failure}"
    );
    wis.topic = Topic::from("origin.a.wis2.ca-eccc".to_owned());
    publisher.post(std::slice::from_ref(&wis)).await.unwrap();
    let received = take(&mut of_wis, 1).await;
    let got = received[0].message.as_ref().unwrap();
    assert_eq!(got.rel_path, "origin/a/wis2/ca-eccc/report.txt");
    assert_eq!(got.base_url, "https://example.org");
    assert_eq!(got.retrieve_path.as_deref(), Some("/data/report.txt"));
    assert_eq!(got.pub_time, wis.message.pub_time);
}

#[tokio::test]
async fn a_queue_takes_from_all_parts_of_an_exchange() {
    let server = Mosquitto::start();
    let broker = open(
        &server.url(),
        Options {
            max_in_flight: Some(2),
            ..Options::default()
        },
    );
    let wanted = Declaration::new("q", "x00", ["v03.#"]).and("x01", "v03.#");
    let mut both = broker.consumer(&wanted, 100).await.unwrap();
    let second = Declaration::new("q_second", "x01", ["v03.#"]);
    let mut second = broker.consumer(&second, 100).await.unwrap();
    let mut posting = Posting::new("x00");
    posting.parts = ["x00", "x01"].map(String::from).to_vec();
    posting.message_ttl = Duration::from_secs(600);
    let mut publisher = broker.publisher_to(posting).unwrap();
    // `a` is 97, `b` is 98: they take turns.
    let letters: Vec<String> = ('a'..='z').map(String::from).collect();
    let batch: Vec<_> = letters.iter().map(|path| outgoing(path, None)).collect();
    publisher.post(&batch).await.unwrap();
    let received = take(&mut both, 26).await;
    let mut found = paths(&received);
    found.sort_unstable();
    assert_eq!(found, letters);
    let received = take(&mut second, 13).await;
    assert!(paths(&received).starts_with(&["a", "c", "e"]));
}

#[tokio::test]
async fn a_clean_session_forgets_what_waited() {
    let server = Mosquitto::start();
    let keeping = open(&server.url(), Options::default());
    keeping.declare(&everything()).await.unwrap();
    let mut publisher = keeping.publisher("x").unwrap();
    publisher.post(&[outgoing("before", None)]).await.unwrap();
    let clean = open(
        &server.url(),
        Options {
            clean_session: true,
            ..Options::default()
        },
    );
    let mut consumer = clean.consumer(&everything(), 10).await.unwrap();
    publisher.post(&[outgoing("after", None)]).await.unwrap();
    assert_eq!(paths(&take(&mut consumer, 1).await), ["after"]);
}

#[tokio::test]
async fn what_nobody_confirms_arrives_while_all_is_well() {
    let server = Mosquitto::start();
    let options = Options {
        qos: 0,
        ..Options::default()
    };
    let broker = open(&server.url(), options.clone());
    let mut consumer = broker.consumer(&everything(), 100).await.unwrap();
    let mut publisher = broker.publisher("x").unwrap();
    let batch: Vec<_> = (0..50)
        .map(|number| outgoing(&format!("a/{number}"), None))
        .collect();
    publisher.post(&batch).await.unwrap();
    let received = take(&mut consumer, 50).await;
    assert_eq!(received.len(), 50);
    let acks: Vec<_> = received
        .iter()
        .map(|received| (received.tag, Settlement::Ack))
        .collect();
    consumer.settle(&acks).await.unwrap();
    let url = SafeUrl::parse(&server.url()).unwrap();
    let error = MqttBroker::open(&url, None, Options { qos: 2, ..options }).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(error.to_string().contains("`qos: 1`"), "{error}");
}
