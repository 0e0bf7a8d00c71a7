//! Taking messages from a queue and telling it what became of them.

use flow_runtime::ports::{Route, Settlement};
use rusqlite::{OptionalExtension, params};

use super::Store;
use crate::embedded::status;
use crate::error::Error;

/// Who takes: a consumer's session, and the process it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::embedded) struct Holder {
    /// The client's name, which is that of its lock file.
    pub(in crate::embedded) client: String,
    /// The session's id, never used again.
    pub(in crate::embedded) session: i64,
}

/// What names a delivery in the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::embedded) struct Lease {
    pub(in crate::embedded) queue: i64,
    pub(in crate::embedded) message: i64,
}

/// A message taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::embedded) struct Taken {
    pub(in crate::embedded) lease: Lease,
    pub(in crate::embedded) redelivered: bool,
    pub(in crate::embedded) body: Vec<u8>,
    /// Only for those who want it.
    pub(in crate::embedded) route: Option<Route>,
}

impl Store {
    /// Takes the oldest ready messages of `queue`, at most `limit`; none if there is no such queue.
    pub(in crate::embedded) fn take(
        &mut self,
        holder: &Holder,
        queue: &str,
        limit: usize,
        routes: bool,
        now: i64,
    ) -> Result<Option<Vec<Taken>>, Error> {
        self.take_rows(holder, queue, limit, routes, now)
            .map_err(|error| self.error(error))
    }

    /// An answer for [`take`](Self::take) without a transaction: nothing, if the queue exists and is empty.
    pub(in crate::embedded) fn has_nothing(
        &self,
        queue: &str,
    ) -> Result<Option<Option<Vec<Taken>>>, Error> {
        let ready =
            status::any_ready(&self.connection, queue).map_err(|error| self.error(error))?;
        Ok(matches!(ready, Some((_, false))).then(|| Some(Vec::new())))
    }

    fn take_rows(
        &mut self,
        holder: &Holder,
        queue: &str,
        limit: usize,
        routes: bool,
        now: i64,
    ) -> rusqlite::Result<Option<Vec<Taken>>> {
        let row: Option<(i64, i64)> = self
            .connection
            .prepare_cached("SELECT id, ttl FROM queue WHERE name = ?1")?
            .query_row([queue], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((queue, ttl)) = row else {
            return Ok(None);
        };
        if ttl > 0 {
            self.drop_expired(queue, now - ttl)?;
        }
        let taken = self.ready(queue, limit, routes, now)?;
        if let (Some(first), Some(last)) = (taken.first(), taken.last()) {
            self.lease(holder, first.lease, last.lease)?;
        }
        Ok(Some(taken))
    }

    /// The oldest ready messages; those whose time is over are dropped on the way.
    fn ready(
        &mut self,
        queue: i64,
        limit: usize,
        routes: bool,
        now: i64,
    ) -> rusqlite::Result<Vec<Taken>> {
        loop {
            let found = self.oldest(queue, limit, routes)?;
            let mut expired = Vec::new();
            let mut taken = Vec::with_capacity(found.len());
            for (found, expires) in found {
                if expires > 0 && expires <= now {
                    expired.push(found.lease);
                } else {
                    taken.push(found);
                }
            }
            if expired.is_empty() {
                return Ok(taken);
            }
            for lease in expired {
                self.drop_delivery(lease)?;
            }
        }
    }

    fn oldest(
        &self,
        queue: i64,
        limit: usize,
        routes: bool,
    ) -> rusqlite::Result<Vec<(Taken, i64)>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut statement = self.connection.prepare_cached(if routes {
            "SELECT d.message, d.deliveries, m.body, m.expires, x.name, m.topic FROM delivery d \
             JOIN message m ON m.id = d.message LEFT JOIN exchange x ON x.id = m.exchange \
             WHERE d.queue = ?1 AND d.session = 0 ORDER BY d.message LIMIT ?2"
        } else {
            "SELECT d.message, d.deliveries, m.body, m.expires FROM delivery d \
             JOIN message m ON m.id = d.message \
             WHERE d.queue = ?1 AND d.session = 0 ORDER BY d.message LIMIT ?2"
        })?;
        let rows = statement.query_map(params![queue, limit], |row| {
            let taken = Taken {
                lease: Lease {
                    queue,
                    message: row.get(0)?,
                },
                redelivered: row.get::<_, i64>(1)? > 0,
                body: row.get(2)?,
                route: match routes {
                    true => Some(Route {
                        exchange: row.get::<_, Option<String>>(4)?.unwrap_or_default(),
                        topic: row.get(5)?,
                    }),
                    false => None,
                },
            };
            Ok((taken, row.get(3)?))
        })?;
        rows.collect()
    }

    /// Leases every ready message from `first` to `last`.
    fn lease(&mut self, holder: &Holder, first: Lease, last: Lease) -> rusqlite::Result<()> {
        let known = self
            .connection
            .prepare_cached(
                "UPDATE session SET queue = ?2, highest = max(highest, ?3) WHERE id = ?1",
            )?
            .execute(params![holder.session, last.queue, last.message])?;
        if known == 0 {
            // Others took this process for dead, after it was stopped for long. Its sessions go on.
            self.register(&holder.client)?;
            self.connection
                .prepare_cached(
                    "INSERT INTO session (id, client, queue, highest) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![
                    holder.session,
                    holder.client,
                    last.queue,
                    last.message
                ])?;
        }
        self.connection
            .prepare_cached(
                "UPDATE delivery SET session = ?4, deliveries = deliveries + 1 \
                 WHERE queue = ?1 AND message BETWEEN ?2 AND ?3 AND session = 0",
            )?
            .execute(params![
                first.queue,
                first.message,
                last.message,
                holder.session
            ])?;
        Ok(())
    }

    /// Settles in order; what is no longer there is no error.
    ///
    /// An ack counts whoever holds the lease by now: the message is done. A release counts only for
    /// the holder.
    pub(in crate::embedded) fn settle(
        &mut self,
        session: i64,
        settlements: &[(Lease, Settlement)],
    ) -> Result<(), Error> {
        for (lease, settlement) in settlements {
            match settlement {
                Settlement::Ack => self.drop_delivery(*lease),
                Settlement::Release => self.release(session, *lease),
            }
            .map_err(|error| self.error(error))?;
        }
        Ok(())
    }

    fn release(&mut self, session: i64, lease: Lease) -> rusqlite::Result<()> {
        let released = self
            .connection
            .prepare_cached(
                "UPDATE delivery SET session = 0 WHERE queue = ?1 AND message = ?2 AND session = ?3",
            )?
            .execute(params![lease.queue, lease.message, session])?;
        if released > 0 {
            self.woken.insert(lease.queue);
        }
        Ok(())
    }

    /// Takes one message out of one queue, and its body with the last.
    pub(super) fn drop_delivery(&mut self, lease: Lease) -> rusqlite::Result<()> {
        let dropped = self
            .connection
            .prepare_cached("DELETE FROM delivery WHERE queue = ?1 AND message = ?2")?
            .execute(params![lease.queue, lease.message])?;
        if dropped == 0 {
            return Ok(());
        }
        let last = self
            .connection
            .prepare_cached("DELETE FROM message WHERE id = ?1 AND refs = 1")?
            .execute([lease.message])?;
        if last == 0 {
            self.connection
                .prepare_cached("UPDATE message SET refs = refs - 1 WHERE id = ?1")?
                .execute([lease.message])?;
        }
        Ok(())
    }

    /// Drops ready messages posted at `cutoff` or before; returns how many.
    ///
    /// Looks from the oldest to the first that is younger, which is all of them as long as the clock
    /// was not set back.
    pub(super) fn drop_expired(&mut self, queue: i64, cutoff: i64) -> rusqlite::Result<u64> {
        let mut expired = Vec::new();
        {
            let mut statement = self.connection.prepare_cached(
                "SELECT d.message, m.posted_at FROM delivery d JOIN message m ON m.id = d.message \
                 WHERE d.queue = ?1 AND d.session = 0 ORDER BY d.message",
            )?;
            let mut rows = statement.query([queue])?;
            while let Some(row) = rows.next()? {
                if row.get::<_, i64>(1)? > cutoff {
                    break;
                }
                expired.push(Lease {
                    queue,
                    message: row.get(0)?,
                });
            }
        }
        for lease in &expired {
            self.drop_delivery(*lease)?;
        }
        Ok(expired.len() as u64)
    }
}
