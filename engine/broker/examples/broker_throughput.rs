//! How many messages a second the embedded broker moves, here and now.
//!
//! `cargo run --release -p flow-broker --example broker_throughput [DIRECTORY…]` runs in a temporary directory
//! below each directory named, or below the system's own: name one on a disk and one in memory to see
//! what syncing costs. Each message is about 500 bytes as it is stored, batches are of 100, and every post has a
//! key, as those of a flow do.

use std::path::{Path, PathBuf};
use std::time::Instant;

use flow_broker::embedded::{Declaration, EmbeddedBroker, Options};
use flow_message::{Identity, Message, Timestamp, Topic, v03};
use flow_runtime::ports::{Consumer, Failure, Outgoing, Publisher, Received, Settlement};

const BATCH: usize = 100;
const MESSAGES: usize = 100_000;
/// Fills a message up to about 500 bytes.
const FILLER: usize = 217;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut places: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if places.is_empty() {
        places.push(std::env::temp_dir());
    }
    for place in places {
        show(&format!("{}:", place.display()));
        let directory = tempfile::tempdir_in(&place)?;
        measure(directory.path()).await?;
    }
    Ok(())
}

async fn measure(directory: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let broker = EmbeddedBroker::open(directory.join("broker.db"), Options::default())?;
    let (first, second) = (
        Declaration::new("a", "a", ["#"]),
        Declaration::new("b", "b", ["#"]),
    );
    let mut source = broker.consumer(&first, 2 * BATCH).await?;
    broker.declare(&second).await?;
    let mut from = broker.publisher("a")?;
    let mut to = broker.publisher("b")?;

    let bytes = v03::encode(&outgoing("post", 0)[0].message).len();
    show(&format!(
        "  {MESSAGES} messages of {bytes} bytes, batches of {BATCH}"
    ));
    let batches = batches("post");
    let began = Instant::now();
    for batch in &batches {
        from.post(batch).await?;
    }
    tell("post", MESSAGES, began);

    let began = Instant::now();
    let mut moved = 0;
    while moved < MESSAGES {
        let received = source.receive(BATCH).await?;
        to.post(&forward(&received)?).await?;
        source.settle(&ack(&received)).await?;
        moved += received.len();
    }
    tell("receive, post onward, ack", moved, began);

    let mut sink = broker.consumer(&second, 2 * BATCH).await?;
    let began = Instant::now();
    let drained = drain(&mut sink, MESSAGES).await?;
    tell("receive, ack", drained, began);

    let again = self::batches("again");
    let began = Instant::now();
    let posting = tokio::spawn(async move {
        for batch in &again {
            from.post(batch).await?;
        }
        Ok::<_, Failure>(())
    });
    drain(&mut source, MESSAGES).await?;
    posting.await??;
    tell(
        "post in one task, receive and ack in another",
        MESSAGES,
        began,
    );

    const POSTERS: usize = 16;
    const SINGLE: usize = 500;
    let began = Instant::now();
    let mut posters = tokio::task::JoinSet::new();
    for poster in 0..POSTERS {
        let mut publisher = broker.publisher("b")?;
        posters.spawn(async move {
            let name = format!("single {poster}");
            for number in 0..SINGLE {
                publisher.post(&outgoing(&name, number)[..1]).await?;
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(done) = posters.join_next().await {
        done??;
    }
    tell("post one by one from 16 tasks", POSTERS * SINGLE, began);
    broker.close().await?;
    Ok(())
}

async fn drain(consumer: &mut impl Consumer, count: usize) -> Result<usize, Failure> {
    let mut drained = 0;
    while drained < count {
        consumer.ready().await?;
        let received = consumer.receive(BATCH).await?;
        consumer.settle(&ack(&received)).await?;
        drained += received.len();
    }
    Ok(drained)
}

fn ack(received: &[Received]) -> Vec<(u64, Settlement)> {
    received
        .iter()
        .map(|received| (received.tag, Settlement::Ack))
        .collect()
}

fn forward(received: &[Received]) -> Result<Vec<Outgoing>, String> {
    received
        .iter()
        .map(|received| {
            let message = received.message.clone()?;
            let topic = Topic::of("v03", &message);
            Ok(Outgoing {
                message: message.into(),
                topic,
                key: Some(received.key.clone()),
            })
        })
        .collect()
}

/// All that is posted at one time, made beforehand so as not to be measured.
fn batches(name: &str) -> Vec<Vec<Outgoing>> {
    (0..MESSAGES / BATCH)
        .map(|batch| outgoing(name, batch))
        .collect()
}

/// A batch of messages that look like those of a site.
fn outgoing(name: &str, batch: usize) -> Vec<Outgoing> {
    (0..BATCH)
        .map(|number| {
            let path = format!(
                "20261122/station-{}/observations/{batch}-{number}.csv",
                number % 20
            );
            let time = Timestamp::from_unix(1_795_312_327, 129_938);
            let mut message = Message::new(time, "https://example.org/data/", path);
            message.identity = Some(Identity {
                method: "sha512".into(),
                value: "A".repeat(88),
            });
            message.size = Some(123_456);
            message
                .extra
                .insert("note".into(), "x".repeat(FILLER).into());
            let topic = Topic::of("v03", &message);
            Outgoing {
                message: message.into(),
                topic,
                key: Some(format!("{name}/{batch}/{number}")),
            }
        })
        .collect()
}

fn tell(what: &str, messages: usize, began: Instant) {
    let elapsed = began.elapsed();
    let rate = messages as f64 / elapsed.as_secs_f64();
    show(&format!("  {what:<46} {rate:>9.0} messages/s"));
}

#[expect(clippy::print_stdout, reason = "printing is what this program is for")]
fn show(line: &str) {
    println!("{line}");
}
