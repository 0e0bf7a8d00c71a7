//! The far side of the benches over RabbitMQ, and the bare echo they are compared with.
//!
//! `flow-bench-amqp URL declare QUEUE EXCHANGE`: a durable queue that gets all of an exchange.
//! `… fill EXCHANGE COUNT`: so many messages of about 460 bytes of v03, persistent and confirmed.
//! `… echo QUEUE EXCHANGE`: from a queue to an exchange for ever: confirmed before acked, with 200 in
//! flight, neither reading nor writing what is in the messages.
//! `… wait QUEUE COUNT`: prints when something was there, in microseconds since 1970, how much, and when
//! all was.
//! `… purge QUEUE`.
//! `… single EXCHANGE QUEUE COUNT`: one message at a time, and how long each takes to arrive.
//! `… files DIRECTORY QUEUE COUNT`: the same, from closing a file to its message.

#![expect(clippy::print_stdout, reason = "a program that prints figures")]

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use flow_message::{Identity, Message, Timestamp, Topic, v03};
use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
    QueuePurgeOptions,
};
use lapin::types::FieldTable;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, Consumer, ExchangeKind,
    PublisherConfirm,
};

/// Posts in flight.
const WINDOW: usize = 200;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [url, rest @ ..] = arguments.as_slice() else {
        bail!("usage: flow-bench-amqp URL COMMAND …");
    };
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    match rest {
        ["declare", queue, exchange] => declare(&channel, queue, exchange).await,
        ["fill", exchange, count] => fill(&channel, exchange, count.parse()?).await,
        ["echo", queue, exchange] => echo(&channel, queue, exchange).await,
        ["wait", queue, count] => wait(&channel, queue, count.parse()?).await,
        ["purge", queue] => {
            let options = QueuePurgeOptions::default();
            channel.queue_purge((*queue).into(), options).await?;
            Ok(())
        }
        ["single", exchange, queue, count] => {
            let mut arrivals = consume(&channel, queue).await?;
            let mut took = Vec::new();
            for number in 0..count.parse()? {
                let (topic, body) = sample(number);
                let sent = Instant::now();
                post(&channel, exchange, &topic, &body).await?.await?;
                took.push(arrival(&mut arrivals, sent).await?);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            tell(took)
        }
        ["files", directory, queue, count] => {
            let mut arrivals = consume(&channel, queue).await?;
            let mut took = Vec::new();
            for number in 0..count.parse::<usize>()? {
                let path = Path::new(directory).join(format!("new-{number}"));
                std::fs::write(path, "content")?;
                took.push(arrival(&mut arrivals, Instant::now()).await?);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            tell(took)
        }
        other => bail!("unknown command {other:?}"),
    }
}

async fn declare(channel: &Channel, queue: &str, exchange: &str) -> Result<()> {
    let durable = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    let none = FieldTable::default;
    channel
        .exchange_declare(exchange.into(), ExchangeKind::Topic, durable, none())
        .await?;
    let durable = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    channel.queue_declare(queue.into(), durable, none()).await?;
    let options = QueueBindOptions::default();
    channel
        .queue_bind(queue.into(), exchange.into(), "#".into(), options, none())
        .await?;
    Ok(())
}

async fn fill(channel: &Channel, exchange: &str, count: usize) -> Result<()> {
    let mut flying: VecDeque<PublisherConfirm> = VecDeque::new();
    for number in 0..count {
        if flying.len() >= 1_000
            && let Some(confirm) = flying.pop_front()
        {
            confirm.await?;
        }
        let (topic, body) = sample(number);
        flying.push_back(post(channel, exchange, &topic, &body).await?);
    }
    for confirm in flying {
        confirm.await?;
    }
    Ok(())
}

async fn post(
    channel: &Channel,
    exchange: &str,
    topic: &str,
    body: &[u8],
) -> Result<PublisherConfirm> {
    let properties = BasicProperties::default()
        .with_delivery_mode(2)
        .with_content_type("application/json".into());
    let options = BasicPublishOptions::default();
    Ok(channel
        .basic_publish(exchange.into(), topic.into(), options, body, properties)
        .await?)
}

async fn consume(channel: &Channel, queue: &str) -> Result<Consumer> {
    let options = BasicConsumeOptions::default();
    Ok(channel
        .basic_consume(queue.into(), "bench".into(), options, FieldTable::default())
        .await?)
}

async fn echo(channel: &Channel, queue: &str, exchange: &str) -> Result<()> {
    channel
        .basic_qos(2 * WINDOW as u16, BasicQosOptions::default())
        .await?;
    let mut arrivals = consume(channel, queue).await?;
    let mut flying: VecDeque<(u64, PublisherConfirm)> = VecDeque::new();
    loop {
        // The last of a burst are acked while nothing more comes.
        let idle = Duration::from_millis(2);
        let delivery = if flying.len() >= WINDOW {
            None
        } else {
            tokio::time::timeout(idle, arrivals.next()).await.ok()
        };
        let Some(delivery) = delivery else {
            if let Some((tag, confirm)) = flying.pop_front() {
                confirm.await?;
                channel.basic_ack(tag, BasicAckOptions::default()).await?;
            }
            continue;
        };
        let delivery = delivery.context("the broker ended the stream")??;
        let confirm = channel
            .basic_publish(
                exchange.into(),
                delivery.routing_key,
                BasicPublishOptions::default(),
                &delivery.data,
                delivery.properties,
            )
            .await?;
        flying.push_back((delivery.delivery_tag, confirm));
    }
}

async fn wait(channel: &Channel, queue: &str, count: u32) -> Result<()> {
    let now = || {
        SystemTime::UNIX_EPOCH
            .elapsed()
            .map(|time| time.as_micros())
    };
    let mut first = None;
    loop {
        let look = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let there = channel
            .queue_declare(queue.into(), look, FieldTable::default())
            .await?
            .message_count();
        if there > 0 && first.is_none() {
            first = Some((now()?, there));
        }
        if there >= count {
            let (time, there) = first.unwrap_or_default();
            println!("{time} {there} {}", now()?);
            return Ok(());
        }
        // Seldom once it runs: a question costs the broker as much as a message.
        let pause = if first.is_none() { 3 } else { 20 };
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

/// When the next message is here, counted from `since`.
async fn arrival(arrivals: &mut Consumer, since: Instant) -> Result<Duration> {
    let limit = Duration::from_secs(60);
    let delivery = tokio::time::timeout(limit, arrivals.next())
        .await
        .context("no message came within a minute")?
        .context("the broker ended the stream")??;
    let took = since.elapsed();
    delivery.ack(BasicAckOptions::default()).await?;
    Ok(took)
}

fn tell(mut took: Vec<Duration>) -> Result<()> {
    took.sort_unstable();
    let at = |share: usize| -> Result<u128> {
        let last = took.len().checked_sub(1).context("nothing was measured")?;
        Ok(took[last * share / 100].as_micros())
    };
    println!("{} {} {}", at(50)?, at(99)?, at(100)?);
    Ok(())
}

/// A message like those of a site: topic and body.
fn sample(number: usize) -> (String, Vec<u8>) {
    let path = format!(
        "20261122/station-{}/observations/{number:06}.csv",
        number % 20
    );
    let time = Timestamp::from_unix(1_795_312_327, 129_938);
    let mut message = Message::new(time, "https://example.org/data/", path);
    message.identity = Some(Identity {
        method: "sha512".into(),
        value: format!("{number:086}=="),
    });
    message.size = Some(123_456);
    message.extra.insert("note".into(), "x".repeat(170).into());
    (
        Topic::of("v03", &message).to_string(),
        v03::encode(&message),
    )
}
