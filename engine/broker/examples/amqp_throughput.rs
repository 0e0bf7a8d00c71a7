//! How many messages a second go through a RabbitMQ: ours beside the bare client library.
//!
//! `cargo run --release -p flow-broker --example amqp_throughput [DIRECTORY…]` starts a private RabbitMQ below
//! each directory named, or below the system's own for temporary files: name one on a disk and one in
//! memory to see what syncing costs. Each message is about 460 bytes of v03, persistent, from one durable
//! queue to another; all are confirmed before they are acked. The bare echo neither reads nor writes the
//! JSON, keeps 200 posts in flight and acks each message as it is confirmed.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::{Duration, Instant};

use flow_broker::amqp::{AmqpBroker, Declaration, Options};
use flow_config::SafeUrl;
use flow_message::{Identity, Message, Timestamp, Topic, v03};
use flow_runtime::ports::{Consumer, Outgoing, Publisher, Received, Settlement};
use flow_testkit::{RabbitMq, RabbitMqSetup};
use futures_core::Stream;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions,
};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties, PublisherConfirm};

type Problem = Box<dyn std::error::Error>;

const MESSAGES: usize = 40_000;
const WINDOW: usize = 200;
const ROUNDS: usize = 3;

#[tokio::main]
async fn main() -> Result<(), Problem> {
    let mut places: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if places.is_empty() {
        places.push(std::env::temp_dir());
    }
    for place in places {
        let server = RabbitMq::try_start(&RabbitMqSetup::new(), &place)?;
        let size = v03::encode(&outgoing(0).message).len();
        show(&format!(
            "{}: {MESSAGES} messages of {size} bytes, median of {ROUNDS} rounds",
            place.display()
        ));
        measure(&server).await?;
    }
    Ok(())
}

async fn measure(server: &RabbitMq) -> Result<(), Problem> {
    let broker = AmqpBroker::new(&SafeUrl::parse(&server.url("/"))?, Options::default())?;
    for (queue, exchange) in [("from", "xs_from"), ("to", "xs_to")] {
        broker
            .declare(&Declaration::new(queue, exchange, ["#"]))
            .await?;
    }
    let mut bare = Vec::new();
    let mut ours: Vec<(usize, Vec<f64>)> = [25, 100, 500].map(|batch| (batch, Vec::new())).to_vec();
    let mut posting = Vec::new();
    // In turn, so that what else the machine does touches all alike.
    for _ in 0..ROUNDS {
        posting.push(fill(&broker).await?);
        bare.push(echo(server).await?);
        emptied(&broker).await?;
        for (batch, rates) in &mut ours {
            fill(&broker).await?;
            rates.push(shovel(&broker, *batch).await?);
            emptied(&broker).await?;
        }
    }
    tell("post only, batches of 500", &mut posting, None);
    let bare = tell("bare echo with confirms, 200 in flight", &mut bare, None);
    for (batch, rates) in &mut ours {
        tell(
            &format!("receive, post onward, settle, batches of {batch}"),
            rates,
            Some(bare),
        );
    }
    Ok(())
}

async fn fill(broker: &AmqpBroker) -> Result<f64, Problem> {
    let batches: Vec<Vec<Outgoing>> = (0..MESSAGES / 500)
        .map(|batch| {
            (0..500)
                .map(|number| outgoing(batch * 500 + number))
                .collect()
        })
        .collect();
    let mut publisher = broker.publisher("xs_from")?;
    let began = Instant::now();
    for batch in &batches {
        publisher.post(batch).await?;
    }
    Ok(rate(began))
}

async fn emptied(broker: &AmqpBroker) -> Result<(), Problem> {
    let moved = broker.purge("to").await?;
    if moved < MESSAGES as u64 || broker.depth("from").await? != Some(0) {
        return Err(format!("{moved} of {MESSAGES} arrived").into());
    }
    Ok(())
}

async fn shovel(broker: &AmqpBroker, batch: usize) -> Result<f64, Problem> {
    let wanted = Declaration::new("from", "xs_from", ["#"]);
    let began = Instant::now();
    let mut consumer = broker.consumer(&wanted, 2 * batch).await?;
    let mut publisher = broker.publisher("xs_to")?;
    let mut moved = 0;
    while moved < MESSAGES {
        consumer.ready().await?;
        let received = consumer.receive(batch).await?;
        let onward: Vec<Outgoing> = received.iter().map(onward).collect::<Result<_, _>>()?;
        publisher.post(&onward).await?;
        let done: Vec<_> = received
            .iter()
            .map(|received| (received.tag, Settlement::Ack))
            .collect();
        consumer.settle(&done).await?;
        moved += received.len();
    }
    consumer.close().await?;
    Ok(rate(began))
}

fn onward(received: &Received) -> Result<Outgoing, String> {
    let message = received.message.clone()?;
    Ok(Outgoing {
        topic: Topic::of("v03", &message),
        key: Some(received.key.clone()),
        message: message.into(),
    })
}

/// The client library alone: one connection, one channel, nothing in between.
async fn echo(server: &RabbitMq) -> Result<f64, Problem> {
    let began = Instant::now();
    let connection = Connection::connect(&server.url("/"), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    channel
        .basic_qos(2 * WINDOW as u16, BasicQosOptions::default())
        .await?;
    let mut stream = channel
        .basic_consume(
            "from".into(),
            "echo".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;
    let mut flying: VecDeque<(u64, PublisherConfirm)> = VecDeque::new();
    let mut taken = 0;
    while taken < MESSAGES || !flying.is_empty() {
        if flying.len() >= WINDOW || taken == MESSAGES {
            if let Some((tag, confirm)) = flying.pop_front() {
                confirm.await?;
                channel.basic_ack(tag, BasicAckOptions::default()).await?;
            }
            continue;
        }
        let delivery = poll_fn(|context| Pin::new(&mut stream).poll_next(context)).await;
        let delivery = delivery.ok_or("the broker ended the stream")??;
        let confirm = channel
            .basic_publish(
                "xs_to".into(),
                delivery.routing_key,
                BasicPublishOptions::default(),
                &delivery.data,
                delivery.properties,
            )
            .await?;
        flying.push_back((delivery.delivery_tag, confirm));
        taken += 1;
    }
    let rate = rate(began);
    channel.close(200, "OK".into()).await?;
    connection.close(200, "OK".into()).await?;
    Ok(rate)
}

/// A message like those of a site.
fn outgoing(number: usize) -> Outgoing {
    let path = format!(
        "20261122/station-{}/observations/{number:06}.csv",
        number % 20
    );
    let time = Timestamp::from_unix(1_795_312_327, 129_938);
    let mut message = Message::new(time, "https://example.org/data/", path);
    message.identity = Some(Identity {
        method: "sha512".into(),
        value: "A".repeat(88),
    });
    message.size = Some(123_456);
    message.extra.insert("note".into(), "x".repeat(170).into());
    Outgoing {
        topic: Topic::of("v03", &message),
        message: message.into(),
        key: Some(format!("post {number}")),
    }
}

fn rate(began: Instant) -> f64 {
    MESSAGES as f64 / began.elapsed().max(Duration::from_millis(1)).as_secs_f64()
}

fn tell(what: &str, rates: &mut [f64], peer: Option<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    let median = rates[rates.len() / 2];
    let ratio = peer.map_or_else(String::new, |peer| {
        format!("  {:.2} of the bare echo", median / peer)
    });
    let (least, most) = (rates[0], rates[rates.len() - 1]);
    show(&format!(
        "  {what:<48} {median:>7.0} messages/s ({least:.0}–{most:.0}){ratio}"
    ));
    median
}

#[expect(clippy::print_stdout, reason = "printing is what this program is for")]
fn show(line: &str) {
    println!("{line}");
}
