//! The rows a worker reads and writes.

use std::collections::HashMap;
use std::sync::Arc;

use flow_message::{Message, v03};
use rusqlite::{Connection, Row, Transaction, params};
use serde_json::{Value, json};

use super::Store;
use crate::error::StoreError;
use crate::ports::{Fate, Rejection};

/// Most rows of a table that are forgotten in one transaction.
const EXPIRE_MAX: usize = 1_000;

/// A message to try again.
#[derive(Debug, Clone)]
pub(crate) struct RetryRow {
    pub(crate) key: String,
    pub(crate) gatherer: Option<String>,
    pub(crate) message: Arc<Message>,
    pub(crate) attempt: u32,
    pub(crate) alone: bool,
    pub(crate) born: i64,
    pub(crate) due: i64,
    pub(crate) reason: String,
}

/// A message that came from outside the loop.
#[derive(Debug, Clone)]
pub(crate) struct InboxRow {
    pub(crate) id: i64,
    pub(crate) key: String,
    pub(crate) submitter: String,
    pub(crate) message: Message,
    pub(crate) born: i64,
}

/// A message given up; without a message, its body could not be read.
#[derive(Debug, Clone)]
pub(crate) struct DeadRow {
    pub(crate) key: String,
    pub(crate) gatherer: Option<String>,
    pub(crate) message: Option<Arc<Message>>,
    pub(crate) attempt: u32,
    pub(crate) born: i64,
    pub(crate) died: i64,
    pub(crate) reason: String,
}

/// Something nodupe has seen.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) key: Vec<u8>,
    pub(crate) holder: String,
    pub(crate) expires: i64,
}

/// Something nodupe has seen again.
#[derive(Debug, Clone)]
pub(crate) struct Renewal {
    pub(crate) key: Vec<u8>,
    pub(crate) expires: i64,
}

/// An outcome a callback has not been told yet.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) callback: String,
    pub(crate) key: String,
    pub(crate) message: Arc<Message>,
    pub(crate) attempt: u32,
    pub(crate) fate: Fate,
    pub(crate) tries: u32,
}

/// A pair of a callback, written or (without a value) removed.
#[derive(Debug, Clone)]
pub(crate) struct StateWrite {
    pub(crate) callback: String,
    pub(crate) key: String,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) expires: Option<i64>,
}

/// Everything a pass decided, for one transaction.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) retry: Vec<RetryRow>,
    /// Keys whose retry rows have served.
    pub(crate) done: Vec<String>,
    pub(crate) dead: Vec<DeadRow>,
    pub(crate) seen: Vec<Seen>,
    pub(crate) renewed: Vec<Renewal>,
    pub(crate) pending: Vec<Pending>,
    /// Outcomes that were told, by callback and key.
    pub(crate) told: Vec<(String, String)>,
    pub(crate) state: Vec<StateWrite>,
    /// Rows of the inbox that have served.
    pub(crate) taken: Vec<i64>,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.retry.is_empty()
            && self.done.is_empty()
            && self.dead.is_empty()
            && self.seen.is_empty()
            && self.renewed.is_empty()
            && self.pending.is_empty()
            && self.told.is_empty()
            && self.state.is_empty()
            && self.taken.is_empty()
    }

    fn occupies(&self) -> bool {
        !(self.retry.is_empty() && self.dead.is_empty() && self.pending.is_empty())
    }

    pub(super) fn write(&self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        for key in &self.done {
            transaction
                .prepare_cached("DELETE FROM retry WHERE key = ?1")?
                .execute([key])?;
        }
        for id in &self.taken {
            transaction
                .prepare_cached("DELETE FROM inbox WHERE id = ?1")?
                .execute([id])?;
        }
        for row in &self.retry {
            write_retry(transaction, row)?;
        }
        for row in &self.dead {
            write_dead(transaction, row)?;
        }
        for seen in &self.seen {
            transaction
                .prepare_cached(
                    "INSERT INTO nodupe (key, holder, expires) VALUES (?1, ?2, ?3)
                     ON CONFLICT (key) DO UPDATE SET holder = ?2, expires = ?3",
                )?
                .execute(params![seen.key, seen.holder, seen.expires])?;
        }
        for renewal in &self.renewed {
            transaction
                .prepare_cached("UPDATE nodupe SET expires = ?2 WHERE key = ?1 AND expires < ?2")?
                .execute(params![renewal.key, renewal.expires])?;
        }
        for pending in &self.pending {
            write_pending(transaction, pending)?;
        }
        for (callback, key) in &self.told {
            transaction
                .prepare_cached("DELETE FROM pending_settled WHERE callback = ?1 AND key = ?2")?
                .execute([callback, key])?;
        }
        self.state
            .iter()
            .try_for_each(|write| write_state(transaction, write))
    }
}

fn write_retry(transaction: &Transaction<'_>, row: &RetryRow) -> Result<(), StoreError> {
    transaction
        .prepare_cached(
            "INSERT INTO retry (key, gatherer, message, attempt, alone, born, due, reason)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (key) DO UPDATE SET attempt = ?4, alone = ?5, due = ?7, reason = ?8",
        )?
        .execute(params![
            row.key,
            row.gatherer,
            v03::encode(&row.message),
            row.attempt,
            row.alone,
            row.born,
            row.due,
            row.reason
        ])?;
    Ok(())
}

fn write_dead(transaction: &Transaction<'_>, row: &DeadRow) -> Result<(), StoreError> {
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO dead (key, gatherer, message, attempt, born, died, reason)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            row.key,
            row.gatherer,
            row.message.as_deref().map(v03::encode),
            row.attempt,
            row.born,
            row.died,
            row.reason
        ])?;
    Ok(())
}

fn write_pending(transaction: &Transaction<'_>, row: &Pending) -> Result<(), StoreError> {
    transaction
        .prepare_cached(
            "INSERT INTO pending_settled (callback, key, message, attempt, fate, tries)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (callback, key)
             DO UPDATE SET message = ?3, attempt = ?4, fate = ?5, tries = ?6",
        )?
        .execute(params![
            row.callback,
            row.key,
            v03::encode(&row.message),
            row.attempt,
            fate_to_text(&row.fate),
            row.tries
        ])?;
    Ok(())
}

fn write_state(transaction: &Transaction<'_>, write: &StateWrite) -> Result<(), StoreError> {
    match &write.value {
        Some(value) => transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO state (callback, key, value, expires)
                 VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![write.callback, write.key, value, write.expires])?,
        None => transaction
            .prepare_cached("DELETE FROM state WHERE callback = ?1 AND key = ?2")?
            .execute([&write.callback, &write.key])?,
    };
    Ok(())
}

/// Puts what came from outside into the inbox; what is there already, by key, stays as it is.
/// Returns how many rows are new, and the last id there is.
pub(crate) fn write_inbox(
    transaction: &Transaction<'_>,
    rows: &[InboxRow],
    state: &[StateWrite],
) -> Result<(u64, i64), StoreError> {
    let mut new = 0;
    for row in rows {
        new += transaction
            .prepare_cached(
                "INSERT INTO inbox (key, submitter, message, born) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (key) DO NOTHING",
            )?
            .execute(params![
                row.key,
                row.submitter,
                v03::encode(&row.message),
                row.born
            ])? as u64;
    }
    state
        .iter()
        .try_for_each(|write| write_state(transaction, write))?;
    let last = transaction
        .prepare_cached("SELECT MAX(id) FROM inbox")?
        .query_row([], |row| row.get::<_, Option<i64>>(0))?;
    Ok((new, last.unwrap_or(0)))
}

/// How many messages are in the inbox, and the last id there is.
pub(crate) fn inbox_size(connection: &Connection) -> Result<(u64, i64), StoreError> {
    let (count, last) = connection.query_row(
        "SELECT COUNT(*), IFNULL(MAX(id), 0) FROM inbox",
        [],
        |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)),
    )?;
    Ok((u64::try_from(count).unwrap_or(0), last))
}

/// Where a key is known from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) retry: bool,
    pub(crate) dead: bool,
    pub(crate) pending: bool,
}

impl Store {
    /// Makes everything in `batch` durable at once; costs nothing where there is nothing.
    pub(crate) async fn commit(&self, batch: Arc<Batch>) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let occupies = batch.occupies();
        if occupies {
            self.note_write();
        }
        self.write_together(move |transaction| batch.write(transaction), |()| {})
            .await?;
        if occupies {
            self.note_write();
        }
        Ok(())
    }

    /// Which of `keys` are in retry, in the dead letters or waiting to be told.
    pub(crate) async fn known(
        &self,
        keys: Vec<String>,
    ) -> Result<HashMap<String, Known>, StoreError> {
        if keys.is_empty() || !self.is_occupied() {
            return Ok(HashMap::new());
        }
        let writes = self.writes();
        let (known, still) = self
            .read(move |connection| Ok((find_known(connection, keys)?, occupied(connection)?)))
            .await?;
        if !still {
            self.note_empty(writes);
        }
        Ok(known)
    }

    /// When the next retry is due, in milliseconds.
    pub(crate) async fn next_due(&self) -> Result<Option<i64>, StoreError> {
        if !self.is_occupied() {
            return Ok(None);
        }
        self.read(|connection| {
            Ok(connection
                .prepare_cached("SELECT MIN(due) FROM retry")?
                .query_row([], |row| row.get(0))?)
        })
        .await
    }

    /// The retry rows due by `now`, oldest due first. They stay until a settle removes them. A row
    /// that can't be read goes to the dead letters.
    pub(crate) async fn due(&self, now: i64, limit: usize) -> Result<Vec<RetryRow>, StoreError> {
        if limit == 0 || !self.is_occupied() {
            return Ok(Vec::new());
        }
        let rows = self
            .read(move |connection| read_due(connection, now, limit))
            .await?;
        let (rows, broken): (Vec<_>, Vec<_>) = rows.into_iter().partition(Result::is_ok);
        let broken: Vec<String> = broken.into_iter().filter_map(Result::err).collect();
        if !broken.is_empty() {
            tracing::error!(
                keys = ?broken,
                "Messages in retry can't be read and were moved to the dead letters."
            );
            self.write(move |transaction| bury(transaction, &broken, now))
                .await?;
        }
        Ok(rows.into_iter().filter_map(Result::ok).collect())
    }

    /// What the inbox has after the row `after`, oldest first. Rows stay until a settle removes them.
    /// One that can't be read goes to the dead letters.
    pub(crate) async fn inbox(
        &self,
        after: i64,
        limit: usize,
        now: i64,
    ) -> Result<Vec<InboxRow>, StoreError> {
        let rows = self
            .read(move |connection| read_inbox(connection, after, limit))
            .await?;
        let (rows, broken): (Vec<_>, Vec<_>) = rows.into_iter().partition(Result::is_ok);
        let broken: Vec<i64> = broken.into_iter().filter_map(Result::err).collect();
        if !broken.is_empty() {
            tracing::error!(
                rows = ?broken,
                "Messages that were submitted can't be read and were moved to the dead letters."
            );
            self.note_write();
            self.write(move |transaction| {
                broken
                    .iter()
                    .try_for_each(|id| bury_submitted(transaction, *id, now))
            })
            .await?;
            self.note_write();
        }
        Ok(rows.into_iter().filter_map(Result::ok).collect())
    }

    /// Outcomes not told yet, oldest first.
    pub(crate) async fn pending(&self, limit: usize) -> Result<Vec<Pending>, StoreError> {
        if !self.is_occupied() {
            return Ok(Vec::new());
        }
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT callback, key, message, attempt, fate, tries FROM pending_settled
                 ORDER BY id LIMIT ?1",
            )?;
            let rows = statement.query_map([limit_to_sql(limit)], |row| {
                Ok((
                    row.get(0)?,
                    row.get(1)?,
                    row.get(2)?,
                    row.get(3)?,
                    row.get(4)?,
                    row.get(5)?,
                ))
            })?;
            rows.map(|row| {
                let (callback, key, body, attempt, fate, tries): (_, _, Vec<u8>, _, String, _) =
                    row?;
                let message = Arc::new(decode(&body)?);
                let fate = fate_from_text(&fate)
                    .ok_or_else(|| StoreError::Row(format!("`{fate}` is no fate")))?;
                Ok(Pending {
                    callback,
                    key,
                    message,
                    attempt,
                    fate,
                    tries,
                })
            })
            .collect()
        })
        .await
    }

    /// Looks `keys` up in what nodupe has seen: the holder, and whether it is in retry.
    pub(crate) async fn seen(
        &self,
        keys: Vec<Vec<u8>>,
        now: i64,
    ) -> Result<Vec<Option<(String, bool)>>, StoreError> {
        self.read(move |connection| {
            // In a transaction, because each SELECT by itself takes and leaves a lock.
            let _view = connection.unchecked_transaction()?;
            let mut statement = connection.prepare_cached(
                "SELECT holder, EXISTS (SELECT 1 FROM retry WHERE retry.key = holder)
                 FROM nodupe WHERE key = ?1 AND expires > ?2",
            )?;
            keys.iter()
                .map(|key| {
                    let mut rows = statement.query(params![key, now])?;
                    Ok(match rows.next()? {
                        Some(row) => Some((row.get(0)?, row.get(1)?)),
                        None => None,
                    })
                })
                .collect()
        })
        .await
    }

    /// Forgets some of what has expired, oldest first; says whether there may be more. A transaction
    /// so small that a pass that wants to commit does not wait for long: a million rows at once keep
    /// the file for many seconds.
    pub(crate) async fn expire(&self, now: i64) -> Result<bool, StoreError> {
        self.write(move |transaction| {
            let seen = transaction
                .prepare_cached(
                    "DELETE FROM nodupe WHERE key IN
                     (SELECT key FROM nodupe WHERE expires <= ?1 ORDER BY expires LIMIT ?2)",
                )?
                .execute(params![now, limit_to_sql(EXPIRE_MAX)])?;
            let state = transaction
                .prepare_cached(
                    "DELETE FROM state WHERE (callback, key) IN
                     (SELECT callback, key FROM state WHERE expires <= ?1 LIMIT ?2)",
                )?
                .execute(params![now, limit_to_sql(EXPIRE_MAX)])?;
            Ok(seen.max(state) >= EXPIRE_MAX)
        })
        .await
    }
}

pub(super) fn occupied(connection: &Connection) -> Result<bool, StoreError> {
    Ok(connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM retry) OR EXISTS (SELECT 1 FROM dead)
                 OR EXISTS (SELECT 1 FROM pending_settled)",
        )?
        .query_row([], |row| row.get(0))?)
}

fn find_known(
    connection: &Connection,
    keys: Vec<String>,
) -> Result<HashMap<String, Known>, StoreError> {
    // As in `seen`.
    let _view = connection.unchecked_transaction()?;
    let mut statement = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM retry WHERE key = ?1),
                EXISTS (SELECT 1 FROM dead WHERE key = ?1),
                EXISTS (SELECT 1 FROM pending_settled WHERE key = ?1)",
    )?;
    let mut found = HashMap::new();
    for key in keys {
        let known = statement.query_row([&key], |row| {
            Ok(Known {
                retry: row.get(0)?,
                dead: row.get(1)?,
                pending: row.get(2)?,
            })
        })?;
        if known != Known::default() {
            found.insert(key, known);
        }
    }
    Ok(found)
}

fn read_due(
    connection: &Connection,
    now: i64,
    limit: usize,
) -> Result<Vec<Result<RetryRow, String>>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT key, gatherer, message, attempt, alone, born, due, reason FROM retry
         WHERE due <= ?1 ORDER BY due, rowid LIMIT ?2",
    )?;
    let rows = statement.query_map(params![now, limit_to_sql(limit)], |row| {
        let body: Vec<u8> = row.get(2)?;
        let key: String = row.get(0)?;
        let Ok(message) = decode(&body) else {
            return Ok(Err(key));
        };
        read_retry(row, key, message).map(Ok)
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn read_inbox(
    connection: &Connection,
    after: i64,
    limit: usize,
) -> Result<Vec<Result<InboxRow, i64>>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, key, submitter, message, born FROM inbox WHERE id > ?1 ORDER BY id LIMIT ?2",
    )?;
    let rows = statement.query_map(params![after, limit_to_sql(limit)], |row| {
        let (id, body): (i64, Vec<u8>) = (row.get(0)?, row.get(3)?);
        let Ok(message) = decode(&body) else {
            return Ok(Err(id));
        };
        Ok(Ok(InboxRow {
            id,
            key: row.get(1)?,
            submitter: row.get(2)?,
            message,
            born: row.get(4)?,
        }))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn bury_submitted(transaction: &Transaction<'_>, id: i64, now: i64) -> Result<(), StoreError> {
    transaction.execute(
        "INSERT OR REPLACE INTO dead (key, gatherer, message, attempt, born, died, reason)
         SELECT key, submitter, message, 0, born, ?2, 'the message as it was submitted can''t be read'
         FROM inbox WHERE id = ?1",
        params![id, now],
    )?;
    transaction.execute("DELETE FROM inbox WHERE id = ?1", [id])?;
    Ok(())
}

fn read_retry(row: &Row<'_>, key: String, message: Message) -> Result<RetryRow, rusqlite::Error> {
    Ok(RetryRow {
        key,
        gatherer: row.get(1)?,
        message: Arc::new(message),
        attempt: row.get(3)?,
        alone: row.get(4)?,
        born: row.get(5)?,
        due: row.get(6)?,
        reason: row.get(7)?,
    })
}

fn bury(transaction: &Transaction<'_>, keys: &[String], now: i64) -> Result<(), StoreError> {
    for key in keys {
        transaction.execute(
            "INSERT OR REPLACE INTO dead (key, gatherer, message, attempt, born, died, reason)
             SELECT key, gatherer, message, attempt, born, ?2,
                    'the message stored for the retry can''t be read; it failed before with: ' || reason
             FROM retry WHERE key = ?1",
            params![key, now],
        )?;
        transaction.execute("DELETE FROM retry WHERE key = ?1", [key])?;
    }
    Ok(())
}

pub(super) fn decode(body: &[u8]) -> Result<Message, StoreError> {
    v03::decode(body).map_err(|error| StoreError::Row(error.to_string()))
}

pub(super) fn limit_to_sql(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn fate_to_text(fate: &Fate) -> String {
    match fate {
        Fate::Posted => json!({"fate": "posted"}),
        Fate::Rejected(Rejection { code, reason }) => {
            json!({"fate": "rejected", "code": code, "reason": reason})
        }
        Fate::Retrying(reason) => json!({"fate": "retrying", "reason": reason}),
        Fate::Dead(reason) => json!({"fate": "dead", "reason": reason}),
    }
    .to_string()
}

fn fate_from_text(text: &str) -> Option<Fate> {
    let value: Value = serde_json::from_str(text).ok()?;
    let reason = || Some(value.get("reason")?.as_str()?.to_owned());
    Some(match value.get("fate")?.as_str()? {
        "posted" => Fate::Posted,
        "rejected" => {
            let code = u16::try_from(value.get("code")?.as_u64()?).ok()?;
            Fate::Rejected(Rejection {
                code,
                reason: reason()?,
            })
        }
        "retrying" => Fate::Retrying(reason()?),
        "dead" => Fate::Dead(reason()?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
