//! The tables of a flow's store and how they got to be what they are.
//!
//! Times are milliseconds since 1970 UTC; messages are v03 JSON.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use crate::error::StoreError;

/// The format this version writes.
pub(super) const VERSION: i64 = 2;

/// `retry`: messages to try again. `dead`: messages given up; without a message, what a queue held
/// could not be read. `nodupe`: what was seen, and the key of the message it was seen in.
/// `inbox`: messages that came from outside the loop (webhooks, lines), not taken up yet or in hand.
/// `pending_settled`: outcomes a callback has not been told yet. `state`: the pairs of callbacks.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS retry (
    key TEXT NOT NULL UNIQUE, gatherer TEXT, message BLOB NOT NULL, attempt INTEGER NOT NULL,
    alone INTEGER NOT NULL, born INTEGER NOT NULL, due INTEGER NOT NULL, reason TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS retry_due ON retry (due);
CREATE TABLE IF NOT EXISTS dead (
    key TEXT NOT NULL UNIQUE, gatherer TEXT, message BLOB, attempt INTEGER NOT NULL,
    born INTEGER NOT NULL, died INTEGER NOT NULL, reason TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS inbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, submitter TEXT NOT NULL,
    message BLOB NOT NULL, born INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS nodupe (
    key BLOB PRIMARY KEY, holder TEXT NOT NULL, expires INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS nodupe_expires ON nodupe (expires);
CREATE TABLE IF NOT EXISTS pending_settled (
    id INTEGER PRIMARY KEY AUTOINCREMENT, callback TEXT NOT NULL, key TEXT NOT NULL,
    message BLOB NOT NULL, attempt INTEGER NOT NULL, fate TEXT NOT NULL, tries INTEGER NOT NULL,
    UNIQUE (callback, key));
CREATE INDEX IF NOT EXISTS pending_key ON pending_settled (key);
CREATE TABLE IF NOT EXISTS state (
    callback TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, expires INTEGER,
    PRIMARY KEY (callback, key)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS state_expires ON state (expires) WHERE expires IS NOT NULL;
";

/// Creates what is missing; refuses what a newer version wrote. Returns the format found, where it
/// is too new.
pub(super) fn migrate(connection: &mut Connection) -> Result<Option<i64>, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let exists: bool = transaction.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'meta')",
        [],
        |row| row.get(0),
    )?;
    if exists {
        let found: Option<i64> = transaction
            .query_row("SELECT value FROM meta WHERE name = 'version'", [], |row| {
                row.get(0)
            })
            .optional()?;
        // What came since version 1 are tables, made below where they are missing.
        if let Some(found) = found.filter(|found| *found >= VERSION) {
            return Ok((found > VERSION).then_some(found));
        }
    }
    transaction.execute_batch(TABLES)?;
    transaction.execute(
        "INSERT OR REPLACE INTO meta (name, value) VALUES ('version', ?1)",
        [VERSION],
    )?;
    transaction.commit()?;
    Ok(None)
}
