//! The broker between processes: waking, dying, waiting in line.
//!
//! The other process is this test binary, started again to run [`child`] alone, which does what its
//! environment says and tells what happens on its standard output.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is a test, its helpers included"
)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use flow_broker::embedded::{Declaration, EmbeddedBroker, Options};
use flow_message::{Message, Timestamp, Topic};
use flow_runtime::ports::{Confirm, Consumer, Outgoing, Publisher, Settlement};

const ROLE: &str = "FLOW_BROKER_TEST_ROLE";
const PATH: &str = "FLOW_BROKER_TEST_PATH";

/// Before each line that is meant for the parent; the test harness writes lines of its own.
const MARK: &str = ">> ";

/// Long enough on the slowest machine; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

fn open(path: &Path) -> EmbeddedBroker {
    EmbeddedBroker::open(path, Options::default()).unwrap()
}

fn queue() -> Declaration {
    Declaration::new("q", "x", ["#"])
}

fn outgoing(path: &str) -> Outgoing {
    let message = Message::new(Timestamp::from_unix(1, 0), "https://example.org/", path);
    let topic = Topic::of("v03", &message);
    Outgoing {
        message: message.into(),
        topic,
        key: Some(path.to_owned()),
    }
}

/// Another process, killed at the latest when the test ends.
struct Other {
    process: Child,
    said: Receiver<String>,
}

impl Other {
    fn start(role: &str, path: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads", "1"])
            .env(ROLE, role)
            .env(PATH, path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (say, said) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if let Some((_, word)) = line.split_once(MARK)
                    && say.send(word.to_owned()).is_err()
                {
                    return;
                }
            }
        });
        Self { process, said }
    }

    fn hear(&self) -> String {
        self.said
            .recv_timeout(PATIENCE)
            .expect("the other process says something")
    }

    /// As `kill -9`.
    fn kill(&mut self) {
        self.process.kill().unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn say(word: &str) {
    println!("{MARK}{word}");
}

/// What the other process does; nothing when it is run as a test like others.
#[tokio::test]
async fn child() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let broker = open(&PathBuf::from(std::env::var(PATH).unwrap()));
    match role.as_str() {
        "echo" => echo(&broker).await,
        "hold" => hold(&broker).await,
        name => post(&broker, name).await,
    }
}

/// Acks what comes and says its path.
async fn echo(broker: &EmbeddedBroker) {
    let mut consumer = broker.consumer(&queue(), 10).await.unwrap();
    say("ready");
    loop {
        consumer.ready().await.unwrap();
        for received in consumer.receive(10).await.unwrap() {
            consumer
                .settle(&[(received.tag, Settlement::Ack)])
                .await
                .unwrap();
            say(&received.message.unwrap().rel_path);
        }
    }
}

/// Takes what is there and never settles it.
async fn hold(broker: &EmbeddedBroker) {
    let mut consumer = broker.consumer(&queue(), 10).await.unwrap();
    consumer.ready().await.unwrap();
    let held = consumer.receive(10).await.unwrap();
    say(&held.len().to_string());
    std::future::pending::<()>().await;
}

/// Posts without end and says what is confirmed.
async fn post(broker: &EmbeddedBroker, name: &str) {
    let mut publisher = broker.publisher("x").unwrap();
    for number in 0.. {
        let path = format!("{name}/{number}");
        publisher.post(&[outgoing(&path)]).await.unwrap();
        say(&path);
    }
}

#[tokio::test]
async fn a_post_wakes_a_consumer_in_another_process_at_once() {
    const ROUNDS: usize = 20;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("broker.db");
    let broker = open(&path);
    let other = Other::start("echo", &path);
    assert_eq!(other.hear(), "ready");
    let mut publisher = broker.publisher("x").unwrap();
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let name = format!("round/{round}");
        let began = Instant::now();
        publisher.post(&[outgoing(&name)]).await.unwrap();
        assert_eq!(other.hear(), name);
        times.push(began.elapsed());
    }
    times.sort();
    println!(
        "post to word: best {:?}, median {:?}, worst {:?}",
        times[0],
        times[ROUNDS / 2],
        times[ROUNDS - 1]
    );
    // From before the post to after the ack, and through a pipe besides.
    assert!(times[0] < Duration::from_millis(50), "{times:?}");
    assert!(times[ROUNDS / 2] < Duration::from_millis(200), "{times:?}");
}

#[tokio::test]
async fn what_a_killed_process_held_is_offered_again_soon() {
    let mut times = Vec::new();
    for _ in 0..3 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("broker.db");
        let broker = open(&path);
        broker.declare(&queue()).await.unwrap();
        broker
            .publisher("x")
            .unwrap()
            .post(&["a", "b", "c"].map(outgoing))
            .await
            .unwrap();
        let mut other = Other::start("hold", &path);
        assert_eq!(other.hear(), "3");
        let mut consumer = broker.consumer(&queue(), 10).await.unwrap();
        assert!(consumer.receive(10).await.unwrap().is_empty());

        let began = Instant::now();
        other.kill();
        tokio::time::timeout(PATIENCE, consumer.ready())
            .await
            .unwrap()
            .unwrap();
        times.push(began.elapsed());
        let received = consumer.receive(10).await.unwrap();
        assert_eq!(received.len(), 3);
        assert!(received.iter().all(|received| received.redelivered));
        assert_eq!(broker.queues().await.unwrap()[0].consumers, 1);
    }
    times.sort();
    println!("kill to ready: {times:?}");
    assert!(times[0] < Duration::from_millis(500), "{times:?}");
}

#[tokio::test]
async fn a_queue_left_by_a_killed_process_is_taken_over_at_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("broker.db");
    {
        let broker = open(&path);
        broker.declare(&queue()).await.unwrap();
        broker
            .publisher("x")
            .unwrap()
            .post(&[outgoing("a")])
            .await
            .unwrap();
        broker.close().await.unwrap();
    }
    let mut other = Other::start("hold", &path);
    assert_eq!(other.hear(), "1");
    other.kill();
    drop(other);
    let broker = open(&path);
    let mut consumer = broker.consumer(&queue(), 10).await.unwrap();
    tokio::time::timeout(PATIENCE, consumer.ready())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(consumer.receive(10).await.unwrap().len(), 1);
    // Nothing is left of the dead but what housekeeping clears away.
    broker.housekeeping().await.unwrap();
    let locks = std::fs::read_dir(path.with_extension("db.live"))
        .unwrap()
        .filter(|entry| {
            entry
                .as_ref()
                .unwrap()
                .path()
                .extension()
                .is_some_and(|end| end == "lock")
        })
        .count();
    assert_eq!(locks, 1, "only this process has one");
}

#[tokio::test]
async fn what_a_killed_poster_had_confirmed_is_there_and_may_be_repeated() {
    const EACH: usize = 40;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("broker.db");
    let broker = open(&path);
    broker.declare(&queue()).await.unwrap();
    // Two at once and this one, so that they stand in each other's way.
    let mut others = [Other::start("first", &path), Other::start("second", &path)];
    let mut publisher = broker.publisher("x").unwrap();
    let mut confirmed = Vec::new();
    for number in 0..EACH {
        let own = format!("own/{number}");
        publisher.post(&[outgoing(&own)]).await.unwrap();
        confirmed.push(own);
        confirmed.extend(others.iter().map(Other::hear));
    }
    for other in &mut others {
        other.kill();
        confirmed.extend(std::iter::from_fn(|| {
            other.said.recv_timeout(PATIENCE).ok()
        }));
    }
    assert!(confirmed.len() >= 3 * EACH);
    let posted = broker.queues().await.unwrap()[0].ready;
    // Each may have posted one more that it could not tell of.
    assert!((confirmed.len() as u64..=confirmed.len() as u64 + 2).contains(&posted));
    let again: Vec<Outgoing> = confirmed.iter().map(|path| outgoing(path)).collect();
    let confirms = publisher.post(&again).await.unwrap();
    assert!(
        confirms
            .iter()
            .all(|confirm| *confirm == Confirm::Duplicate)
    );
    assert_eq!(broker.queues().await.unwrap()[0].ready, posted);
}
