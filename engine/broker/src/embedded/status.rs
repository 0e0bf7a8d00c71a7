//! What a broker holds, for people: read without disturbing those who work.
//!
//! Counting is done by looking, as nothing keeps counts: a queue of a million messages takes some
//! tens of milliseconds. No lock is taken, so posts and deliveries go on meanwhile.

use std::collections::HashSet;
use std::time::Duration;

use flow_message::{Message, Timestamp, v03};
use rusqlite::{Connection, OptionalExtension, params};

/// One pattern that leads to a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The exchange bound to.
    pub exchange: String,
    /// The complete pattern.
    pub pattern: String,
}

/// A queue and what waits in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueStatus {
    /// Its name.
    pub name: String,
    /// What leads to it, by exchange and pattern.
    pub bindings: Vec<Binding>,
    /// Messages that wait.
    pub ready: u64,
    /// Messages that consumers hold.
    pub leased: u64,
    /// Since when the oldest message is here, whether it waits or is held.
    pub oldest: Option<Duration>,
    /// Consumers it has now.
    pub consumers: u64,
    /// It goes away after being unused this long; zero: never.
    pub expire: Duration,
    /// Its messages go away after waiting this long; zero: never.
    pub message_ttl: Duration,
}

/// An exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangeStatus {
    /// Its name.
    pub name: String,
    /// Queues bound to it.
    pub queues: u64,
    /// Posts since the broker was made that no binding selected: accepted and dropped.
    pub unrouted: u64,
}

/// A message in a queue, looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Peeked {
    /// The key its delivery has.
    pub key: String,
    /// The topic it was posted with.
    pub topic: String,
    /// When it was posted.
    pub posted: Timestamp,
    /// Whether a consumer holds it.
    pub leased: bool,
    /// How often it was delivered.
    pub deliveries: u64,
    /// The message, or why it can't be read.
    pub message: Result<Message, String>,
}

/// The key of a delivery: the same at every delivery, and never that of another.
pub(super) fn delivery_key(queue: &str, epoch: &str, message: i64) -> String {
    format!("{queue}/{epoch}.{message}")
}

/// The body as a message, or why it is none.
pub(super) fn decode(body: &[u8]) -> Result<Message, String> {
    v03::decode(body).map_err(|error| error.to_string())
}

/// The queue's id, and whether something is ready in it; none if there is no such queue.
pub(super) fn any_ready(
    connection: &Connection,
    queue: &str,
) -> rusqlite::Result<Option<(i64, bool)>> {
    connection
        .prepare_cached(
            "SELECT id, EXISTS (SELECT 1 FROM delivery WHERE delivery.queue = queue.id AND session = 0) \
             FROM queue WHERE name = ?1",
        )?
        .query_row([queue], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

/// Messages ready in the queue; none if there is no such queue.
pub(super) fn depth(connection: &Connection, queue: &str) -> rusqlite::Result<Option<u64>> {
    connection
        .prepare_cached(
            "SELECT (SELECT count(*) FROM delivery WHERE delivery.queue = queue.id AND session = 0) \
             FROM queue WHERE name = ?1",
        )?
        .query_row([queue], |row| row.get::<_, i64>(0).map(i64::cast_unsigned))
        .optional()
}

/// All queues, by name.
pub(super) fn queues(connection: &Connection, now: i64) -> rusqlite::Result<Vec<QueueStatus>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, name, expire, ttl, \
           (SELECT count(*) FROM delivery WHERE delivery.queue = queue.id AND session = 0), \
           (SELECT count(*) FROM delivery WHERE delivery.queue = queue.id AND session <> 0), \
           (SELECT posted_at FROM message WHERE id = \
             (SELECT min(message) FROM delivery WHERE delivery.queue = queue.id)), \
           (SELECT count(*) FROM session WHERE session.queue = queue.id) \
         FROM queue ORDER BY name",
    )?;
    let mut rows = statement.query([])?;
    let mut queues = Vec::new();
    while let Some(row) = rows.next()? {
        queues.push(QueueStatus {
            name: row.get(1)?,
            bindings: bindings(connection, row.get(0)?)?,
            ready: row.get::<_, i64>(4)?.cast_unsigned(),
            leased: row.get::<_, i64>(5)?.cast_unsigned(),
            oldest: row
                .get::<_, Option<i64>>(6)?
                .map(|posted| duration(now - posted)),
            consumers: row.get::<_, i64>(7)?.cast_unsigned(),
            expire: duration(row.get(2)?),
            message_ttl: duration(row.get(3)?),
        });
    }
    Ok(queues)
}

fn bindings(connection: &Connection, queue: i64) -> rusqlite::Result<Vec<Binding>> {
    connection
        .prepare_cached(
            "SELECT e.name, b.pattern FROM binding b JOIN exchange e ON e.id = b.exchange \
             WHERE b.queue = ?1 ORDER BY e.name, b.pattern",
        )?
        .query_map([queue], |row| {
            Ok(Binding {
                exchange: row.get(0)?,
                pattern: row.get(1)?,
            })
        })?
        .collect()
}

/// The ids of all queues.
pub(super) fn queue_ids(connection: &Connection) -> rusqlite::Result<HashSet<i64>> {
    connection
        .prepare_cached("SELECT id FROM queue")?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// All exchanges, by name.
pub(super) fn exchanges(connection: &Connection) -> rusqlite::Result<Vec<ExchangeStatus>> {
    connection
        .prepare_cached(
            "SELECT name, unrouted, (SELECT count(DISTINCT queue) FROM binding WHERE exchange = exchange.id) \
             FROM exchange ORDER BY name",
        )?
        .query_map([], |row| {
            Ok(ExchangeStatus {
                name: row.get(0)?,
                unrouted: row.get::<_, i64>(1)?.cast_unsigned(),
                queues: row.get::<_, i64>(2)?.cast_unsigned(),
            })
        })?
        .collect()
}

/// The oldest messages of a queue, held ones too; none if there is no such queue.
pub(super) fn peek(
    connection: &Connection,
    epoch: &str,
    queue: &str,
    limit: usize,
) -> rusqlite::Result<Option<Vec<Peeked>>> {
    let id: Option<i64> = connection
        .prepare_cached("SELECT id FROM queue WHERE name = ?1")?
        .query_row([queue], |row| row.get(0))
        .optional()?;
    let Some(id) = id else { return Ok(None) };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    connection
        .prepare_cached(
            "SELECT d.message, d.session, d.deliveries, m.posted_at, m.topic, m.body \
             FROM delivery d JOIN message m ON m.id = d.message \
             WHERE d.queue = ?1 ORDER BY d.message LIMIT ?2",
        )?
        .query_map(params![id, limit], |row| {
            let body: Vec<u8> = row.get(5)?;
            Ok(Peeked {
                key: delivery_key(queue, epoch, row.get(0)?),
                topic: row.get(4)?,
                posted: timestamp(row.get(3)?),
                leased: row.get::<_, i64>(1)? != 0,
                deliveries: row.get::<_, i64>(2)?.cast_unsigned(),
                message: decode(&body),
            })
        })?
        .collect::<Result<_, _>>()
        .map(Some)
}

fn duration(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

fn timestamp(millis: i64) -> Timestamp {
    let nanos = i32::try_from(millis.rem_euclid(1000)).unwrap_or(0) * 1_000_000;
    Timestamp::from_unix(millis.div_euclid(1000), nanos)
}
