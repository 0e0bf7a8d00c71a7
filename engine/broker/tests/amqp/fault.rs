//! A broker that is killed while 20 000 messages go through it, or has no room for more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flow_broker::amqp::{AmqpBroker, Declaration, Options};
use flow_message::Topic;
use flow_runtime::ports::{Consumer, Outgoing, Publisher, Received, Settlement};
use flow_testkit::RabbitMq;

use crate::common::{all, batch, broker_at, broker_with, drain, options, post, take, wait_after};

const MESSAGES: usize = 20_000;
const BATCH: usize = 200;
const LIMIT: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_loses_nothing() {
    let mut server = RabbitMq::start();
    let broker = broker_at(&server.url("/"));
    let (from, to) = (
        Declaration::new("q_from", "xs_from", ["#"]),
        Declaration::new("q_to", "xs_to", ["#"]),
    );
    broker.declare(&from).await.unwrap();
    broker.declare(&to).await.unwrap();
    // RabbitMQ itself forgets what was declared in the last two seconds when it is killed: its database
    // of queues and bindings writes later than it answers. With the binding gone, posts go nowhere.
    server.control(&["eval", "mnesia:dump_log()."]);
    let moved = Arc::new(AtomicUsize::new(0));
    let posting = tokio::spawn(post_all(broker.clone()));
    let moving = tokio::spawn(move_all(broker.clone(), from, Arc::clone(&moved)));

    // Once in the middle of both, once more after that.
    for (times, reached) in [MESSAGES / 4, MESSAGES / 2].into_iter().enumerate() {
        let far = async {
            while moved.load(Ordering::SeqCst) < reached {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LIMIT, far).await.unwrap();
        server = tokio::task::spawn_blocking(move || {
            server.kill();
            server.restart();
            server
        })
        .await
        .unwrap();
        eprintln!("killed and restarted {} times", times + 1);
    }
    tokio::time::timeout(LIMIT, posting).await.unwrap().unwrap();
    let moved = tokio::time::timeout(LIMIT, moving).await.unwrap().unwrap();

    let mut consumer = broker.consumer(&to, 1000).await.unwrap();
    let waiting = broker.depth("q_to").await.unwrap().unwrap();
    let found = drain(&broker, &mut consumer, "q_to").await;
    eprintln!(
        "{moved} moved, {waiting} and some in hand at the other end, {} distinct",
        found.len()
    );
    let lost: Vec<String> = (0..MESSAGES)
        .map(|number| format!("m/{number}"))
        .filter(|path| !found.contains(path))
        .collect();
    assert!(
        lost.is_empty(),
        "{} lost, as {:?}",
        lost.len(),
        &lost[..lost.len().min(5)]
    );
    assert_eq!(found.len(), MESSAGES, "nothing is invented");
    tokio::task::spawn_blocking(move || server).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_short_of_memory_blocks_posts_but_not_acks() {
    let server = Arc::new(RabbitMq::start());
    let hasty = Options {
        timeout: Duration::from_secs(3),
        ..options()
    };
    let broker = broker_with(&server.url("/"), hasty);
    let wanted = Declaration::new("q_alarm", "xs_alarm", ["#"]);
    let mut consumer = broker.consumer(&wanted, 100).await.unwrap();
    let mut publisher = broker.publisher("xs_alarm").unwrap();
    post(&mut publisher, &batch("before", 0..10)).await;
    let watermark = async |value: &'static str| {
        let server = Arc::clone(&server);
        let setting = move || server.control(&["set_vm_memory_high_watermark", value]);
        tokio::task::spawn_blocking(setting).await.unwrap();
    };
    watermark("0.00001").await;
    for _ in 0..2 {
        let said = blocked(&mut publisher).await;
        assert!(said.contains("memory or disk runs short"), "{said}");
    }
    let received = crate::common::receive(&mut consumer, 10).await;
    consumer
        .settle(&all(&received, Settlement::Ack))
        .await
        .unwrap();
    consumer.close().await.unwrap();
    watermark("0.6").await;
    post(&mut publisher, &batch("after", 0..10)).await;
    assert!(broker.depth("q_alarm").await.unwrap() >= Some(10));
}

/// Posts until the broker was asked, and says why it did not take it.
async fn blocked(publisher: &mut impl Publisher) -> String {
    loop {
        let failure = publisher.post(&batch("during", 0..100)).await.unwrap_err();
        let text = failure.to_string();
        wait_after(&failure).await;
        // Once the client has heard that it is blocked.
        if text.contains("blocks") {
            return text;
        }
    }
}

async fn post_all(broker: AmqpBroker) {
    let mut publisher = broker.publisher("xs_from").unwrap();
    for number in (0..MESSAGES).step_by(BATCH) {
        post(&mut publisher, &batch("m", number..number + BATCH)).await;
    }
}

/// A shovel, as the loop does it: receive, post, then settle. Ends when all was seen.
async fn move_all(broker: AmqpBroker, from: Declaration, moved: Arc<AtomicUsize>) -> usize {
    let mut consumer = broker.consumer(&from, 2 * BATCH).await.unwrap();
    let mut publisher = broker.publisher("xs_to").unwrap();
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < MESSAGES {
        consumer.ready().await.unwrap();
        let received = take(&mut consumer, BATCH).await;
        if received.is_empty() {
            continue;
        }
        let onward: Vec<Outgoing> = received.iter().map(onward).collect();
        post(&mut publisher, &onward).await;
        consumer
            .settle(&all(&received, Settlement::Ack))
            .await
            .unwrap();
        moved.fetch_add(received.len(), Ordering::SeqCst);
        seen.extend(received.iter().map(crate::common::path));
    }
    consumer.close().await.unwrap();
    moved.load(Ordering::SeqCst)
}

fn onward(received: &Received) -> Outgoing {
    let message = received.message.clone().unwrap();
    Outgoing {
        topic: Topic::of("v03", &message),
        key: Some(received.key.clone()),
        message: message.into(),
    }
}
