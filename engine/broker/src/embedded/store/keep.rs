//! Sessions, their end, and upkeep.

use rusqlite::params;

use super::Store;
use super::post::KEY_KEPT;
use super::take::{Holder, Lease};
use crate::error::Error;

/// Keys pruned in one transaction: bounds how long others wait for it.
const PRUNED_AT_ONCE: u32 = 5000;

/// Free pages below which the file is left as large as it is, 16 MiB.
const FREE_PAGES_KEPT: i64 = 4096;

/// Free pages given back in one round: bounds how long others wait for it.
const FREE_PAGES_AT_ONCE: i64 = 4096;

/// What an upkeep did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Housekept {
    /// Queues that went away for being unused.
    pub queues_expired: Vec<String>,
    /// Messages that went away for waiting too long, in all queues.
    pub messages_expired: u64,
    /// Keys of posts that are too old to count.
    pub keys_forgotten: u64,
}

impl Store {
    /// Makes the process known as one that consumes.
    pub(super) fn register(&mut self, client: &str) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO client (name, pid, beat) VALUES (?1, ?2, 0) ON CONFLICT DO NOTHING",
            )?
            .execute(params![client, std::process::id()])?;
        Ok(())
    }

    /// Opens a session on the queue, which is in use from now on.
    pub(in crate::embedded) fn open_session(
        &mut self,
        client: &str,
        queue: i64,
    ) -> Result<Holder, Error> {
        let open = |store: &mut Self| -> rusqlite::Result<i64> {
            store.register(client)?;
            store
                .connection
                .prepare_cached("INSERT INTO session (client, queue, highest) VALUES (?1, ?2, 0)")?
                .execute(params![client, queue])?;
            Ok(store.connection.last_insert_rowid())
        };
        let session = open(self).map_err(|error| self.error(error))?;
        Ok(Holder {
            client: client.to_owned(),
            session,
        })
    }

    /// Moves a session to the queue its consumer has declared again.
    pub(in crate::embedded) fn move_session(
        &mut self,
        holder: &Holder,
        queue: i64,
    ) -> Result<(), Error> {
        self.connection
            .prepare_cached("UPDATE session SET queue = ?2 WHERE id = ?1")
            .and_then(|mut statement| statement.execute(params![holder.session, queue]))
            .map(|_| ())
            .map_err(|error| self.error(error))
    }

    /// Ends a session: what it holds is ready again.
    pub(in crate::embedded) fn close_session(
        &mut self,
        holder: &Holder,
        now: i64,
    ) -> Result<(), Error> {
        let close = |store: &mut Self| {
            store.end_sessions("id = ?1", &holder.session, now)?;
            store
                .connection
                .prepare_cached(
                    "DELETE FROM client WHERE name = ?1 \
                     AND NOT EXISTS (SELECT 1 FROM session WHERE client = ?1)",
                )?
                .execute([&holder.client])
        };
        close(self).map(|_| ()).map_err(|error| self.error(error))
    }

    /// Ends all sessions of a process that is no more; returns how many.
    pub(in crate::embedded) fn remove_client(
        &mut self,
        client: &str,
        now: i64,
    ) -> Result<usize, Error> {
        let remove = |store: &mut Self| {
            let ended = store.end_sessions("client = ?1", &client, now)?;
            store
                .connection
                .prepare_cached("DELETE FROM client WHERE name = ?1")?
                .execute([client])?;
            Ok(ended)
        };
        remove(self).map_err(|error| self.error(error))
    }

    fn end_sessions(
        &mut self,
        which: &str,
        of: &dyn rusqlite::ToSql,
        now: i64,
    ) -> rusqlite::Result<usize> {
        let sessions: Vec<(i64, i64, i64)> = self
            .connection
            .prepare_cached(&format!(
                "SELECT id, queue, highest FROM session WHERE {which}"
            ))?
            .query_map([of], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_, _>>()?;
        for (session, queue, highest) in &sessions {
            let released = self
                .connection
                .prepare_cached(
                    "UPDATE delivery SET session = 0 WHERE queue = ?1 AND message <= ?2 AND session = ?3",
                )?
                .execute(params![queue, highest, session])?;
            if released > 0 {
                self.woken.insert(*queue);
            }
            self.connection
                .prepare_cached("UPDATE queue SET used_at = ?2 WHERE id = ?1")?
                .execute(params![queue, now])?;
            self.connection
                .prepare_cached("DELETE FROM session WHERE id = ?1")?
                .execute([session])?;
        }
        Ok(sessions.len())
    }

    /// Says that the process lives, for those that can't see its lock.
    pub(in crate::embedded) fn beat(&mut self, client: &str) -> Result<(), Error> {
        self.connection
            .prepare_cached("UPDATE client SET beat = beat + 1 WHERE name = ?1")
            .and_then(|mut statement| statement.execute([client]))
            .map(|_| ())
            .map_err(|error| self.error(error))
    }

    /// Whether another process consumes, and so needs to hear of news.
    pub(in crate::embedded) fn has_others(&self, client: Option<&str>) -> Result<bool, Error> {
        self.connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM client WHERE name IS NOT ?1)")
            .and_then(|mut statement| statement.query_row([client], |row| row.get(0)))
            .map_err(|error| self.error(error))
    }

    /// Removes what has expired: unused queues, and messages that waited too long.
    pub(in crate::embedded) fn housekeep(&mut self, now: i64) -> Result<Housekept, Error> {
        self.housekeep_rows(now).map_err(|error| self.error(error))
    }

    fn housekeep_rows(&mut self, now: i64) -> rusqlite::Result<Housekept> {
        let mut kept = Housekept::default();
        let unused: Vec<(i64, String)> = self
            .connection
            .prepare_cached(
                "SELECT id, name FROM queue WHERE expire > 0 AND used_at + expire <= ?1 \
                 AND NOT EXISTS (SELECT 1 FROM session WHERE session.queue = queue.id) \
                 ORDER BY name",
            )?
            .query_map([now], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (queue, name) in unused {
            self.delete_rows(queue)?;
            kept.queues_expired.push(name);
        }
        let limited: Vec<(i64, i64)> = self
            .connection
            .prepare_cached("SELECT id, ttl FROM queue WHERE ttl > 0")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (queue, ttl) in limited {
            kept.messages_expired += self.drop_expired(queue, now - ttl)?;
        }
        let over: Vec<Lease> = self
            .connection
            .prepare_cached(
                "SELECT d.queue, d.message FROM message m JOIN delivery d ON d.message = m.id \
                 WHERE m.expires > 0 AND m.expires <= ?1 AND d.session = 0",
            )?
            .query_map([now], |row| {
                Ok(Lease {
                    queue: row.get(0)?,
                    message: row.get(1)?,
                })
            })?
            .collect::<Result<_, _>>()?;
        for lease in &over {
            self.drop_delivery(*lease)?;
        }
        kept.messages_expired += over.len() as u64;
        Ok(kept)
    }

    /// Forgets some of the keys that are too old to count; returns how many, and whether there may
    /// be more.
    pub(in crate::embedded) fn prune_keys(&mut self, now: i64) -> Result<(u64, bool), Error> {
        // Keys are in order of time, so the oldest are looked at and no others.
        let pruned = self
            .connection
            .prepare_cached(
                "DELETE FROM posted WHERE message IN (SELECT message FROM \
                 (SELECT message, at FROM posted ORDER BY message LIMIT ?2) WHERE at <= ?1)",
            )
            .and_then(|mut statement| statement.execute(params![now - KEY_KEPT, PRUNED_AT_ONCE]))
            .map_err(|error| self.error(error))?;
        Ok((pruned as u64, pruned == PRUNED_AT_ONCE as usize))
    }

    /// Gives free room of the file back to the disk; true if there is more to give.
    pub(in crate::embedded) fn shrink(&mut self) -> Result<bool, Error> {
        let free = |store: &Self| -> rusqlite::Result<i64> {
            store
                .connection
                .pragma_query_value(None, "freelist_count", |row| row.get(0))
        };
        let spare = free(self).map_err(|error| self.error(error))? - FREE_PAGES_KEPT;
        if spare <= 0 {
            return Ok(false);
        }
        let pages = spare.min(FREE_PAGES_AT_ONCE);
        // One page is freed with each step, so all the rows have to be asked for.
        self.connection
            .prepare(&format!("PRAGMA incremental_vacuum({pages})"))
            .and_then(|mut statement| {
                let mut rows = statement.query([])?;
                while rows.next()?.is_some() {}
                Ok(())
            })
            .map_err(|error| self.error(error))?;
        Ok(spare > pages)
    }
}
