//! A server that does what the script says: what real ones do too rarely to wait for.

use std::time::Duration;

use flow_config::{SafeUrl, Secret};
use flow_message::{Message, Timestamp, Topic};
use flow_runtime::ports::{Consumer, Failure, Outgoing, Publisher, Settlement};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::error::Kind;

const WELCOME: &[u8] = &[0x20, 3, 0, 0, 0];
const WELCOME_BACK: &[u8] = &[0x20, 3, 1, 0, 0];

/// The server's end of one connection.
struct Peer(TcpStream);

impl Peer {
    /// Reads a packet: its first byte and its body.
    async fn read(&mut self) -> (u8, Vec<u8>) {
        let first = self.0.read_u8().await.unwrap();
        let mut length = 0;
        for place in 0..4 {
            let byte = self.0.read_u8().await.unwrap();
            length |= usize::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.unwrap();
        (first, body)
    }

    async fn expect(&mut self, kind: u8) -> Vec<u8> {
        let (first, body) = self.read().await;
        assert_eq!(first & 0xf0, kind, "{body:x?}");
        body
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// Lets a consumer in.
    async fn subscribed(&mut self, welcome: &[u8]) {
        self.expect(0x10).await;
        self.write(welcome).await;
        let body = self.expect(0x80).await;
        self.write(&[0x90, 4, body[0], body[1], 0, 1]).await;
    }

    /// Sends a message with an empty object in it.
    async fn publish(&mut self, id: u8, dup: bool, text: &str) {
        let body = format!(r#"{{"pubTime":"20260101T000000","baseUrl":"f:/","relPath":"{text}"}}"#);
        let length = u8::try_from(3 + 2 + 1 + body.len()).unwrap();
        let mut packet = vec![if dup { 0x3a } else { 0x32 }, length, 0, 1, b'x', 0, id, 0];
        packet.extend(body.as_bytes());
        self.write(&packet).await;
    }
}

struct Listener(TcpListener);

impl Listener {
    async fn accept(&self) -> Peer {
        Peer(self.0.accept().await.unwrap().0)
    }
}

async fn scene(limit: Duration) -> (Listener, MqttBroker) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let options = Options {
        timeout: limit,
        patience: Duration::from_secs(5),
        random: Arc::new(|| 0.5),
        ..Options::default()
    };
    let url = SafeUrl::parse(&format!("mqtt://me:s3cret@127.0.0.1:{port}/")).unwrap();
    let broker = MqttBroker::open(&url, None, options).unwrap();
    (Listener(listener), broker)
}

fn queue() -> Declaration {
    Declaration::new("q", "x", ["#"])
}

fn outgoing() -> Outgoing {
    let message = Message::new(Timestamp::from_unix(1, 0), "https://example.org/", "a/f");
    Outgoing {
        topic: Topic::of("v03", &message),
        message: message.into(),
        key: None,
    }
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn what_the_server_refuses_is_told_by_kind() {
    // The welcome, the answer to a subscription, and what that is.
    for (welcome, suback, kind) in [
        (&[0x20, 3, 0, 0x86, 0][..], 0, Kind::Login),
        (&[0x20, 3, 0, 0x8a, 0], 0, Kind::Login),
        (&[0x20, 3, 0, 0x84, 0], 0, Kind::Unsupported),
        (&[0x20, 3, 0, 0x89, 0], 0, Kind::Unreachable),
        (&[0x20, 5, 0, 0, 2, 0x2a, 0], 0, Kind::Unsupported),
        (&[0x20, 5, 0, 0, 2, 0x24, 0], 0, Kind::Unsupported),
        (WELCOME, 0x87, Kind::Denied),
        (WELCOME, 0x9e, Kind::Unsupported),
        (WELCOME, 0x97, Kind::Full),
        // Granted, but not so that a message has to arrive.
        (WELCOME, 0, Kind::Unsupported),
        (&[0xd0, 0], 0, Kind::Unreachable),
        (&[0xff, 0], 0, Kind::Unreachable),
    ] {
        let (listener, broker) = scene(LONG).await;
        let server = async {
            let mut peer = listener.accept().await;
            peer.expect(0x10).await;
            peer.write(welcome).await;
            if welcome == WELCOME {
                peer.expect(0x80).await;
                peer.write(&[0x90, 4, 0, 1, 0, suback]).await;
            }
            peer
        };
        let (result, _peer) = tokio::join!(async { broker.consumer(&queue(), 5).await }, server);
        let error = result.unwrap_err();
        assert_eq!(error.kind(), kind, "{welcome:x?} {suback:x}: {error}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}

#[tokio::test]
async fn the_text_of_a_wrong_password() {
    let (listener, broker) = scene(LONG).await;
    let server = async {
        let mut peer = listener.accept().await;
        peer.expect(0x10).await;
        peer.write(b"\x20\x0a\x00\x86\x07\x1f\x00\x04no\n!").await;
        peer
    };
    let (result, _peer) = tokio::join!(broker.check(), server);
    let text = result.unwrap_err().to_string();
    let (server, said) = text.split_once(" refused ").unwrap();
    assert!(server.starts_with("`mqtt://me@127.0.0.1:"), "{server}");
    assert_eq!(
        said,
        "the connection: the user or the password is wrong (0x86), it says: no !; nothing is lost; \
         set the user in the broker's URL and its password in `credentials.conf`"
    );
}

#[tokio::test]
async fn what_a_server_says_to_a_post_decides_what_becomes_of_it() {
    type Check = fn(&Failure) -> bool;
    for (reason, check) in [
        (
            0x87,
            (|failure| matches!(failure, Failure::Auth(_))) as Check,
        ),
        (0x97, |failure| matches!(failure, Failure::Temporary { .. })),
        (0x80, |failure| matches!(failure, Failure::Temporary { .. })),
        (0x90, |failure| matches!(failure, Failure::Permanent(_))),
        (0x99, |failure| matches!(failure, Failure::Permanent(_))),
    ] {
        let (listener, broker) = scene(LONG).await;
        let mut publisher = broker.publisher("x").unwrap();
        let server = async {
            let mut peer = listener.accept().await;
            peer.expect(0x10).await;
            peer.write(WELCOME).await;
            let body = peer.expect(0x30).await;
            assert!(body.starts_with(b"\x00\x07x/v03/a\x00\x01"), "{body:x?}");
            peer.write(&[0x40, 3, 0, 1, reason]).await;
            peer
        };
        let batch = [outgoing()];
        let (result, _peer) = tokio::join!(publisher.post(&batch), server);
        let failure = result.unwrap_err();
        assert!(check(&failure), "{reason:x}: {failure:?}");
    }
}

#[tokio::test]
async fn no_more_is_on_its_way_than_the_server_takes() {
    let (listener, broker) = scene(LONG).await;
    let mut publisher = broker.publisher("x").unwrap();
    let server = async {
        let mut peer = listener.accept().await;
        peer.expect(0x10).await;
        peer.write(&[0x20, 6, 0, 0, 3, 0x21, 0, 2]).await;
        for round in 0..3 {
            let mut ids = Vec::new();
            for _ in 0..2 {
                let body = peer.expect(0x30).await;
                ids.push([body[9], body[10]]);
            }
            let more = timeout(Duration::from_millis(50), peer.0.read_u8()).await;
            assert!(more.is_err(), "more than two in round {round}");
            // In any order.
            for id in ids.iter().rev() {
                peer.write(&[0x40, 2, id[0], id[1]]).await;
            }
        }
        peer
    };
    let batch = vec![outgoing(); 6];
    let (result, _peer) = tokio::join!(publisher.post(&batch), server);
    assert_eq!(result.unwrap().len(), 6);
}

#[tokio::test]
async fn a_message_larger_than_the_server_takes_is_not_sent() {
    let (listener, broker) = scene(LONG).await;
    let mut publisher = broker.publisher("x").unwrap();
    let server = async {
        let mut peer = listener.accept().await;
        peer.expect(0x10).await;
        peer.write(&[0x20, 8, 0, 0, 5, 0x27, 0, 0, 0, 100]).await;
        let rest = peer.0.read_u8().await;
        assert!(rest.is_err(), "nothing but the end comes");
    };
    let batch = [outgoing()];
    let post = async {
        let failure = publisher.post(&batch).await.unwrap_err();
        assert!(matches!(&failure, Failure::Permanent(_)), "{failure:?}");
        assert!(
            failure.to_string().contains("the server takes 100"),
            "{failure}"
        );
    };
    tokio::join!(post, server);
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let (listener, broker) = scene(Duration::from_millis(200)).await;
    let (result, _peer) = tokio::join!(broker.check(), listener.accept());
    let error = result.unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(error.to_string().contains("did not answer"), "{error}");
    let mut publisher = broker.publisher("x").unwrap();
    let server = async {
        let mut peer = listener.accept().await;
        peer.expect(0x10).await;
        peer.write(WELCOME).await;
        peer
    };
    let batch = [outgoing()];
    let (result, _peer) = tokio::join!(publisher.post(&batch), server);
    let failure = result.unwrap_err();
    assert!(
        failure.to_string().contains("did not confirm in time"),
        "{failure}"
    );
}

#[tokio::test]
async fn an_ack_waits_until_the_server_has_read_it() {
    let (listener, broker) = scene(LONG).await;
    let server = async {
        let mut peer = listener.accept().await;
        peer.subscribed(WELCOME).await;
        peer.publish(7, false, "a").await;
        peer
    };
    let (consumer, mut peer) = tokio::join!(async { broker.consumer(&queue(), 5).await }, server);
    let mut consumer = consumer.unwrap();
    consumer.ready().await.unwrap();
    let received = consumer.receive(5).await.unwrap();
    let acks = [(received[0].tag, Settlement::Ack)];
    {
        let mut settle = consumer.settle(&acks);
        tokio::select! {
            _ = &mut settle => panic!("nobody said that the ack was read"),
            body = peer.expect(0x40) => assert_eq!(body, [0, 7]),
        }
        tokio::select! {
            _ = &mut settle => panic!("nobody said that the ack was read"),
            _ = peer.expect(0xc0) => {}
        }
        peer.write(&[0xd0, 0]).await;
        settle.await.unwrap();
    }
    // Closing leaves the session there.
    let (closed, body) = tokio::join!(consumer.close(), peer.expect(0xe0));
    closed.unwrap();
    assert!(body.is_empty());
}

#[tokio::test]
async fn an_ack_that_was_lost_is_repeated_and_its_message_is_not() {
    let (listener, broker) = scene(LONG).await;
    let server = async {
        let mut peer = listener.accept().await;
        peer.subscribed(WELCOME).await;
        peer.publish(7, false, "a").await;
        peer.publish(8, false, "b").await;
        peer
    };
    let (consumer, peer) = tokio::join!(async { broker.consumer(&queue(), 5).await }, server);
    let mut consumer = consumer.unwrap();
    let mut received = Vec::new();
    while received.len() < 2 {
        consumer.ready().await.unwrap();
        received.extend(consumer.receive(5).await.unwrap());
    }
    drop(peer);
    let _ = consumer.settle(&[(received[0].tag, Settlement::Ack)]).await;
    let mut peer = listener.accept().await;
    peer.subscribed(WELCOME_BACK).await;
    peer.publish(7, true, "a").await;
    assert_eq!(peer.expect(0x40).await, [0, 7]);
    peer.publish(8, true, "b").await;
    peer.publish(9, false, "c").await;
    consumer.ready().await.unwrap();
    let more = consumer.receive(5).await.unwrap();
    assert_eq!(more.len(), 1);
    assert_eq!(more[0].message.as_ref().unwrap().rel_path, "c");
    // What is held since before the cut is acked under its identifier.
    let acks = [(received[1].tag, Settlement::Ack)];
    let answer = async {
        assert_eq!(peer.expect(0x40).await, [0, 8]);
        peer.expect(0xc0).await;
        peer.write(&[0xd0, 0]).await;
    };
    let (settled, ()) = tokio::join!(consumer.settle(&acks), answer);
    settled.unwrap();
}

#[tokio::test]
async fn a_password_that_is_refused_later_waits_for_the_flow() {
    let (listener, broker) = scene(LONG).await;
    let server = async {
        let mut peer = listener.accept().await;
        peer.subscribed(WELCOME).await;
        peer
    };
    let (consumer, peer) = tokio::join!(async { broker.consumer(&queue(), 5).await }, server);
    let mut consumer = consumer.unwrap();
    drop(peer);
    let mut peer = listener.accept().await;
    peer.expect(0x10).await;
    peer.write(&[0x20, 3, 0, 0x86, 0]).await;
    let failure = loop {
        consumer.ready().await.unwrap();
        if let Err(failure) = consumer.receive(5).await {
            break failure;
        }
    };
    assert!(matches!(failure, Failure::Auth(_)), "{failure:?}");
    // Being told is what makes it try again.
    let mut peer = listener.accept().await;
    peer.subscribed(WELCOME_BACK).await;
    peer.publish(1, false, "a").await;
    let received = loop {
        consumer.ready().await.unwrap();
        match consumer.receive(5).await {
            Ok(received) if !received.is_empty() => break received,
            _ => tokio::task::yield_now().await,
        }
    };
    assert_eq!(received.len(), 1);
}

#[test]
fn urls_say_how_to_connect() {
    let open =
        |url: &str| MqttBroker::open(&SafeUrl::parse(url).unwrap(), None, Options::default());
    for (url, part) in [
        ("mqttws://h/", "websockets is not built in"),
        ("amqp://h/", "`amqp` is no scheme of an MQTT broker"),
        ("mqtt:///", "no host"),
    ] {
        let error = open(url).unwrap_err();
        assert_eq!(error.kind(), Kind::Address);
        assert!(error.to_string().contains(part), "{error}");
    }
    let broker = open("mqtts://me:s3cr%2Ft@[::1]/").unwrap();
    let server = &broker.server;
    assert_eq!(server.password.as_ref().map(Secret::expose), Some("s3cr/t"));
    assert!(!format!("{broker:?}").contains("s3cr"), "{broker:?}");
}

#[test]
fn instances_are_numbered_from_one_and_used_once() {
    let instances = Arc::new(Instances::default());
    let first = instances.take("q", None).unwrap();
    let second = instances.take("q", None).unwrap();
    assert_eq!((first.number, second.number), (1, 2));
    assert_eq!(instances.take("other", None).unwrap().number, 1);
    assert_eq!(
        instances.take("q", Some(2)).unwrap_err().kind(),
        Kind::TakenOver
    );
    drop(first);
    assert_eq!(instances.take("q", None).unwrap().number, 1);
}

#[tokio::test]
async fn a_flood_of_qos_0_is_read_as_it_is_worked_on() {
    let (listener, broker) = scene(LONG).await;
    let server = async {
        let mut peer = listener.accept().await;
        peer.subscribed(WELCOME).await;
        peer
    };
    let (consumer, mut peer) = tokio::join!(async { broker.consumer(&queue(), 5).await }, server);
    let mut consumer = consumer.unwrap();
    let flood = tokio::spawn(async move {
        for _ in 0..5_000 {
            peer.write(&[0x30, 6, 0, 1, b'x', 0, b'{', b'}']).await;
        }
        peer
    });
    let mut count = 0;
    while count < 5_000 {
        consumer.ready().await.unwrap();
        let received = consumer.receive(100).await.unwrap();
        assert!(received.len() <= 5);
        assert!(consumer.waiting() <= 1_001, "{} wait", consumer.waiting());
        count += received.len();
        let acks: Vec<_> = received
            .iter()
            .map(|received| (received.tag, Settlement::Ack))
            .collect();
        consumer.settle(&acks).await.unwrap();
    }
    flood.await.unwrap();
}
