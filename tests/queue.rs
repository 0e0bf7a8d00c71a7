//! What lies in the embedded broker, read straight from its file.
//!
//! The tables are those of `engine/broker/src/embedded/schema.rs`. Reading them here, and not
//! through a consumer, shows exactly what a post left behind and changes nothing.

use std::path::Path;
use std::time::Duration;

use flow_message::{Message, v03};
use flow_testkit::Flow;
use rusqlite::{Connection, OpenFlags};

/// The name of the flow that keeps the queue.
const SINK: &str = "flow/sink";

/// Makes a queue that keeps whatever is posted to `exchange` from now on.
///
/// # Panics
/// When the flow that declares it does not run.
#[track_caller]
pub fn declare(flow: &Flow, exchange: &str) {
    flow.add_flow(
        SINK,
        &format!("# Declares a queue; nothing ever takes from it.\nexchange: {exchange}\n"),
    );
    flow.run(&["foreground", SINK, "--once"]).expect(0);
    assert!(queued(flow, exchange).is_empty());
}

/// Announces a file, or those below a directory, as being at `http://h/` with paths below `base`.
///
/// # Panics
/// When that fails.
#[track_caller]
pub fn announce(flow: &Flow, exchange: &str, base: &Path, path: &Path) {
    let (base, path) = (base.display().to_string(), path.display().to_string());
    flow.run(&[
        "post",
        "--exchange",
        exchange,
        "--base-url",
        "http://h/",
        "--base-dir",
        &base,
        &path,
    ])
    .expect(0);
}

/// The messages waiting in queues bound to `exchange`, oldest first.
///
/// # Panics
/// When the broker's file can't be read, or holds something that is no message.
#[track_caller]
pub fn queued(flow: &Flow, exchange: &str) -> Vec<Message> {
    let with_topics = with_topics(flow, exchange).into_iter();
    with_topics.map(|(_, message)| message).collect()
}

/// As [`queued`], with the topics they were posted under.
///
/// # Panics
/// As [`queued`].
#[track_caller]
pub fn with_topics(flow: &Flow, exchange: &str) -> Vec<(String, Message)> {
    let connection = open(flow);
    let mut statement = connection
        .prepare(
            "SELECT m.topic, m.body FROM delivery d JOIN message m ON m.id = d.message
             WHERE d.queue IN (SELECT b.queue FROM binding b JOIN exchange e ON e.id = b.exchange
                               WHERE e.name = ?1)
             ORDER BY m.id",
        )
        .expect("the broker's tables are those of its schema");
    let rows = statement
        .query_map([exchange], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?))
        })
        .expect("the query runs");
    rows.map(|row| {
        let (topic, body) = row.expect("a row can be read");
        (
            topic,
            v03::decode(&body).expect("what is queued is a message"),
        )
    })
    .collect()
}

/// How many messages wait in queues bound to `exchange`.
///
/// # Panics
/// When the broker's file can't be read.
#[track_caller]
pub fn count(flow: &Flow, exchange: &str) -> usize {
    let count: u32 = open(flow)
        .query_row(
            "SELECT COUNT(*) FROM delivery
             WHERE queue IN (SELECT b.queue FROM binding b JOIN exchange e ON e.id = b.exchange
                             WHERE e.name = ?1)",
            [exchange],
            |row| row.get(0),
        )
        .expect("the broker's tables are those of its schema");
    count as usize
}

/// The file names of the messages waiting, sorted; a message posted twice is there twice.
///
/// # Panics
/// As [`queued`].
#[track_caller]
pub fn names(flow: &Flow, exchange: &str) -> Vec<String> {
    let mut names: Vec<String> = queued(flow, exchange)
        .iter()
        .map(|message| message.file_name().to_owned())
        .collect();
    names.sort();
    names
}

fn open(flow: &Flow) -> Connection {
    let path = flow.state_dir().join("broker.db");
    // Not read-only: the first reader after a crash has to replay the log.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&path, flags)
        .unwrap_or_else(|error| panic!("cannot open {}: {error}", path.display()));
    connection
        .busy_timeout(Duration::from_secs(10))
        .expect("a constant is accepted");
    connection
}
