//! Declaring, purging and deleting queues.

use std::collections::BTreeSet;
use std::time::Duration;

use rusqlite::{OptionalExtension, params};

use super::Store;
use crate::error::{Error, Kind};

/// The longest name of a queue or exchange, in bytes: what AMQP 0-9-1 can carry.
const LONGEST_NAME: usize = 255;

/// A queue as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// The queue's name.
    pub queue: String,
    /// The exchange its bindings are to.
    pub exchange: String,
    /// Complete patterns, with `*` for one word and `#` for any number.
    pub bindings: Vec<String>,
    /// Exchanges and patterns the queue is bound to besides; with `bindings` all it shall have.
    pub also: Vec<(String, String)>,
    /// The queue goes away after being unused this long; zero: never.
    pub expire: Duration,
    /// A message goes away after waiting this long; zero: never.
    pub message_ttl: Duration,
}

impl Declaration {
    /// A queue that is kept for ever, and so are its messages.
    pub fn new(
        queue: impl Into<String>,
        exchange: impl Into<String>,
        bindings: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            queue: queue.into(),
            exchange: exchange.into(),
            bindings: bindings.into_iter().map(Into::into).collect(),
            also: Vec::new(),
            expire: Duration::ZERO,
            message_ttl: Duration::ZERO,
        }
    }

    /// The same, bound to `pattern` of another exchange as well.
    #[must_use]
    pub fn and(mut self, exchange: impl Into<String>, pattern: impl Into<String>) -> Self {
        self.also.push((exchange.into(), pattern.into()));
        self
    }

    /// The same, going away after being unused for `expire`.
    #[must_use]
    pub fn expire(mut self, expire: Duration) -> Self {
        self.expire = expire;
        self
    }

    /// The same, with messages going away after waiting for `message_ttl`.
    #[must_use]
    pub fn message_ttl(mut self, message_ttl: Duration) -> Self {
        self.message_ttl = message_ttl;
        self
    }

    fn check(&self) -> Result<(), Error> {
        check_name("queue", &self.queue)?;
        check_name("exchange", &self.exchange)?;
        self.also
            .iter()
            .try_for_each(|(exchange, _)| check_name("exchange", exchange))
    }
}

/// Refuses names that not every broker could carry.
pub(in crate::embedded) fn check_name(what: &str, name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Err(Error::new(
            Kind::Name,
            format!(
                "the name of a {what} has 1 to {LONGEST_NAME} bytes, `{name}` has {}; nothing was stored",
                name.len()
            ),
        ));
    }
    Ok(())
}

/// A duration as the tables keep it; what is not zero stays so.
fn millis(duration: Duration) -> i64 {
    if duration.is_zero() {
        0
    } else {
        i64::try_from(duration.as_millis())
            .unwrap_or(i64::MAX / 4)
            .max(1)
    }
}

impl Store {
    /// Makes the queue what `wanted` says, and returns its id.
    ///
    /// Bindings that `wanted` does not have are removed, whatever their exchange; messages stay.
    pub(in crate::embedded) fn declare(
        &mut self,
        wanted: &Declaration,
        now: i64,
    ) -> Result<i64, Error> {
        wanted.check()?;
        self.declare_rows(wanted, now)
            .map_err(|error| self.error(error))
    }

    fn declare_rows(&mut self, wanted: &Declaration, now: i64) -> rusqlite::Result<i64> {
        let exchange = self.exchange(&wanted.exchange)?;
        let queue: i64 = self
            .connection
            .prepare_cached(
                "INSERT INTO queue (name, expire, ttl, used_at) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT (name) DO UPDATE \
                 SET expire = excluded.expire, ttl = excluded.ttl, used_at = excluded.used_at \
                 RETURNING id",
            )?
            .query_row(
                params![
                    wanted.queue,
                    millis(wanted.expire),
                    millis(wanted.message_ttl),
                    now
                ],
                |row| row.get(0),
            )?;
        let mut bindings: BTreeSet<(i64, String)> = wanted
            .bindings
            .iter()
            .map(|pattern| (exchange, pattern.clone()))
            .collect();
        for (exchange, pattern) in &wanted.also {
            bindings.insert((self.exchange(exchange)?, pattern.clone()));
        }
        self.bind(queue, &bindings)?;
        Ok(queue)
    }

    fn bind(&mut self, queue: i64, wanted: &BTreeSet<(i64, String)>) -> rusqlite::Result<()> {
        let present: BTreeSet<(i64, String)> = self
            .connection
            .prepare_cached("SELECT exchange, pattern FROM binding WHERE queue = ?1")?
            .query_map([queue], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        if present == *wanted {
            return Ok(());
        }
        for (exchange, pattern) in present.difference(wanted) {
            self.connection
                .prepare_cached(
                    "DELETE FROM binding WHERE queue = ?1 AND exchange = ?2 AND pattern = ?3",
                )?
                .execute(params![queue, exchange, pattern])?;
        }
        for (exchange, pattern) in wanted.difference(&present) {
            self.connection
                .prepare_cached(
                    "INSERT INTO binding (queue, exchange, pattern) VALUES (?1, ?2, ?3)",
                )?
                .execute(params![queue, exchange, pattern])?;
        }
        self.topology_changed()
    }

    /// Removes the messages that wait in the queue, not those a consumer holds; returns how many.
    pub(in crate::embedded) fn purge(&mut self, queue: &str) -> Result<u64, Error> {
        let id = self.queue_id(queue)?.ok_or_else(|| self.no_queue(queue))?;
        self.drop_rows(id, "session = 0")
            .map_err(|error| self.error(error))
    }

    /// Removes the queue with everything in it; false if there was none.
    pub(in crate::embedded) fn delete_queue(&mut self, queue: &str) -> Result<bool, Error> {
        let Some(id) = self.queue_id(queue)? else {
            return Ok(false);
        };
        self.delete_rows(id).map_err(|error| self.error(error))?;
        Ok(true)
    }

    /// The queue's id, by name.
    pub(in crate::embedded) fn queue_id(&self, queue: &str) -> Result<Option<i64>, Error> {
        self.connection
            .prepare_cached("SELECT id FROM queue WHERE name = ?1")
            .and_then(|mut statement| statement.query_row([queue], |row| row.get(0)).optional())
            .map_err(|error| self.error(error))
    }

    pub(super) fn delete_rows(&mut self, queue: i64) -> rusqlite::Result<()> {
        self.drop_rows(queue, "1")?;
        self.connection
            .prepare_cached("DELETE FROM binding WHERE queue = ?1")?
            .execute([queue])?;
        self.connection
            .prepare_cached("DELETE FROM queue WHERE id = ?1")?
            .execute([queue])?;
        // Its consumers look up and find it gone.
        self.woken.insert(queue);
        self.topology_changed()
    }

    /// Removes deliveries of a queue in bulk, and the bodies nobody else has.
    fn drop_rows(&self, queue: i64, which: &str) -> rusqlite::Result<u64> {
        let rows = format!("FROM delivery WHERE queue = ?1 AND {which}");
        for statement in [
            format!("DELETE FROM message WHERE refs = 1 AND id IN (SELECT message {rows})"),
            format!("UPDATE message SET refs = refs - 1 WHERE id IN (SELECT message {rows})"),
        ] {
            self.connection
                .prepare_cached(&statement)?
                .execute([queue])?;
        }
        let dropped = self
            .connection
            .prepare_cached(&format!("DELETE {rows}"))?
            .execute([queue])?;
        Ok(dropped as u64)
    }

    /// Forgets the keys of posts to `exchange`, so that all of it may be posted again.
    pub(in crate::embedded) fn forget_keys(&mut self, exchange: &str) -> Result<u64, Error> {
        self.connection
            .prepare_cached(
                "DELETE FROM posted WHERE exchange = (SELECT id FROM exchange WHERE name = ?1)",
            )
            .and_then(|mut statement| statement.execute([exchange]))
            .map(|forgotten| forgotten as u64)
            .map_err(|error| self.error(error))
    }
}
