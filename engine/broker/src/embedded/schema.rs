//! The database file: opening it, its tables, its version.
//!
//! Knows nothing of queues beyond their columns. A file is taken over only when it is empty or
//! carries this broker's `application_id`; anything else is left untouched.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};

use crate::error::{Error, Kind};

/// The version of the tables below; raised with every change to them.
pub(super) const VERSION: i64 = 2;

/// `flow` in ASCII: tells this file from other SQLite databases.
const APPLICATION_ID: i64 = 0x666c_6f77;

/// Pages in the log before it is copied back, 16 MiB. Large, because most messages are acked soon
/// after they are posted: what is gone before the checkpoint is never written to the main file.
const CHECKPOINT_PAGES: i64 = 4096;

const TABLES: &str = "
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One row: the next message id, and a number that grows whenever exchanges or bindings change.
CREATE TABLE counter (
    one          INTEGER PRIMARY KEY CHECK (one = 1),
    next_message INTEGER NOT NULL,
    topology     INTEGER NOT NULL
) STRICT;

CREATE TABLE exchange (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    name     TEXT NOT NULL UNIQUE,
    unrouted INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Durations and times in milliseconds; 0 is never.
CREATE TABLE queue (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    name    TEXT NOT NULL UNIQUE,
    expire  INTEGER NOT NULL,
    ttl     INTEGER NOT NULL,
    used_at INTEGER NOT NULL
) STRICT;

CREATE TABLE binding (
    queue    INTEGER NOT NULL,
    exchange INTEGER NOT NULL,
    pattern  TEXT NOT NULL,
    PRIMARY KEY (queue, exchange, pattern)
) STRICT, WITHOUT ROWID;

-- A body is stored once; refs counts the rows of delivery that point at it. A message whose time is
-- over goes away.
CREATE TABLE message (
    id        INTEGER PRIMARY KEY,
    refs      INTEGER NOT NULL,
    posted_at INTEGER NOT NULL,
    exchange  INTEGER NOT NULL,
    topic     TEXT NOT NULL,
    body      BLOB NOT NULL,
    expires   INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX message_expires ON message (expires) WHERE expires > 0;

-- What a queue holds, oldest first; session 0 is ready, any other session holds the lease.
CREATE TABLE delivery (
    queue      INTEGER NOT NULL,
    message    INTEGER NOT NULL,
    session    INTEGER NOT NULL,
    deliveries INTEGER NOT NULL,
    PRIMARY KEY (queue, message)
) STRICT, WITHOUT ROWID;

-- Keys of posts, so that a repeat is known. In order of message, and so of time.
CREATE TABLE posted (
    message  INTEGER PRIMARY KEY,
    exchange INTEGER NOT NULL,
    key      TEXT NOT NULL,
    at       INTEGER NOT NULL,
    UNIQUE (exchange, key)
) STRICT;

-- Processes that consume; name is that of the file each keeps locked while it lives.
CREATE TABLE client (
    name TEXT PRIMARY KEY,
    pid  INTEGER NOT NULL,
    beat INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Consumers; no row of delivery leased to a session has a message above its highest.
CREATE TABLE session (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    client  TEXT NOT NULL,
    queue   INTEGER NOT NULL,
    highest INTEGER NOT NULL
) STRICT;
";

/// What version 2 has and version 1 had not: messages that go away.
const SECOND: &str = "
ALTER TABLE message ADD COLUMN expires INTEGER NOT NULL DEFAULT 0;
CREATE INDEX message_expires ON message (expires) WHERE expires > 0;
UPDATE meta SET value = '2' WHERE name = 'schema';
";

/// Opens the file for writing, creating it and its tables when it is new.
///
/// `now` becomes the epoch of a new file. The caller makes sure that only one process is in here.
pub(super) fn open(path: &Path, patience: Duration, now: i64) -> Result<Connection, Error> {
    let context = |error| Error::sqlite(path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(context)?;
    connection.busy_timeout(patience).map_err(context)?;
    if is_ours(&mut connection, path)? {
        settings(&connection).map_err(context)?;
        return Ok(connection);
    }
    // Only an empty file can still get these two.
    connection
        .pragma_update(None, "page_size", 4096)
        .map_err(context)?;
    connection
        .pragma_update(None, "auto_vacuum", "INCREMENTAL")
        .map_err(context)?;
    settings(&connection).map_err(context)?;
    create(&mut connection, now).map_err(context)?;
    Ok(connection)
}

/// A second connection to a file that [`open`] has opened; it only reads.
pub(super) fn open_reader(path: &Path, patience: Duration) -> Result<Connection, Error> {
    let context = |error| Error::sqlite(path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(context)?;
    connection.busy_timeout(patience).map_err(context)?;
    connection
        .pragma_update(None, "query_only", true)
        .map_err(context)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// The epoch of the file: part of every delivery's key, so that a file started anew never repeats one.
pub(super) fn epoch(connection: &Connection, path: &Path) -> Result<String, Error> {
    connection
        .query_row("SELECT value FROM meta WHERE name = 'epoch'", [], |row| {
            row.get(0)
        })
        .map_err(|error| Error::sqlite(path, error))
}

fn is_ours(connection: &mut Connection, path: &Path) -> Result<bool, Error> {
    let context = |error| Error::sqlite(path, error);
    let id: i64 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(context)?;
    if id == APPLICATION_ID {
        let version: Option<String> = connection
            .query_row("SELECT value FROM meta WHERE name = 'schema'", [], |row| {
                row.get(0)
            })
            .optional()
            .map_err(context)?;
        return match version
            .as_deref()
            .and_then(|version| version.parse::<i64>().ok())
        {
            Some(VERSION) => Ok(true),
            Some(1) => {
                let transaction = connection
                    .transaction_with_behavior(TransactionBehavior::Immediate)
                    .map_err(context)?;
                transaction.execute_batch(SECOND).map_err(context)?;
                transaction.commit().map_err(context)?;
                Ok(true)
            }
            found => Err(version_error(path, found)),
        };
    }
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(context)?;
    if id == 0 && tables == 0 {
        return Ok(false);
    }
    Err(Error::new(
        Kind::NotABroker,
        format!(
            "`{}` is a SQLite database, but not a broker's; it was left as it is; name another file",
            path.display()
        ),
    ))
}

fn version_error(path: &Path, found: Option<i64>) -> Error {
    let path = path.display();
    match found {
        Some(found) if found > VERSION => Error::new(
            Kind::Newer,
            format!(
                "`{path}` has schema {found}, this version knows {VERSION}; it was left as it is, its \
                 messages are safe; run the newer `flow`, or name another file"
            ),
        ),
        _ => Error::new(
            Kind::Corrupt,
            format!(
                "`{path}` does not say which schema it has; it was left as it is; \
                 restore it from a copy, or move it away to start empty"
            ),
        ),
    }
}

/// What has to be said on every connection that writes.
fn settings(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // On macOS an fsync reaches the disk only when asked twice; elsewhere this does nothing.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "cache_size", -16_384)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.query_row(
        &format!("PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}"),
        [],
        |_| Ok(()),
    )?;
    connection.query_row("PRAGMA journal_size_limit = 67108864", [], |_| Ok(()))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn create(connection: &mut Connection, now: i64) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(TABLES)?;
    transaction.execute(
        "INSERT INTO meta VALUES ('schema', ?1)",
        [VERSION.to_string()],
    )?;
    transaction.execute(
        "INSERT INTO meta VALUES ('epoch', ?1)",
        [format!("{now:x}")],
    )?;
    transaction.execute("INSERT INTO counter VALUES (1, 1, 1)", [])?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(path: &Path) -> Error {
        open(path, Duration::from_secs(1), 0)
            .map(|_| ())
            .expect_err("the file must be refused")
    }

    #[test]
    fn a_file_is_created_once_and_keeps_its_epoch() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("broker.db");
        let first = open(&path, Duration::from_secs(1), 0x2a).unwrap();
        assert_eq!(epoch(&first, &path).unwrap(), "2a");
        drop(first);
        let second = open(&path, Duration::from_secs(1), 0x2b).unwrap();
        assert_eq!(epoch(&second, &path).unwrap(), "2a");
    }

    #[test]
    fn a_newer_schema_is_refused_and_said() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("broker.db");
        let connection = open(&path, Duration::from_secs(1), 0).unwrap();
        connection
            .execute("UPDATE meta SET value = '7' WHERE name = 'schema'", [])
            .unwrap();
        drop(connection);
        let error = refused(&path);
        assert_eq!(error.kind(), Kind::Newer);
        assert!(
            error
                .to_string()
                .contains("has schema 7, this version knows 2"),
            "{error}"
        );
    }

    #[test]
    fn a_file_of_the_first_version_is_brought_up_to_date() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("broker.db");
        let connection = open(&path, Duration::from_secs(1), 0).unwrap();
        connection
            .execute_batch(
                "DROP INDEX message_expires; ALTER TABLE message DROP COLUMN expires;
                 UPDATE meta SET value = '1' WHERE name = 'schema';
                 INSERT INTO message VALUES (1, 1, 0, 1, 'v03', x'7b7d');",
            )
            .unwrap();
        drop(connection);
        for _ in 0..2 {
            let connection = open(&path, Duration::from_secs(1), 0).unwrap();
            let expires: i64 = connection
                .query_row("SELECT expires FROM message", [], |row| row.get(0))
                .unwrap();
            assert_eq!(expires, 0);
        }
    }

    #[test]
    fn files_of_others_are_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let text = directory.path().join("notes.txt");
        let body = "not a database, but longer than a header of one hundred bytes ".repeat(20);
        std::fs::write(&text, &body).unwrap();
        assert_eq!(refused(&text).kind(), Kind::NotABroker);
        assert_eq!(std::fs::read_to_string(&text).unwrap(), body);

        let other = directory.path().join("other.db");
        Connection::open(&other)
            .unwrap()
            .execute_batch("CREATE TABLE t (x)")
            .unwrap();
        let error = refused(&other);
        assert_eq!(error.kind(), Kind::NotABroker);
        assert!(error.to_string().contains("not a broker's"), "{error}");
    }

    #[test]
    fn a_damaged_file_is_named_as_such() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("broker.db");
        drop(open(&path, Duration::from_secs(1), 0).unwrap());
        let mut bytes = std::fs::read(&path).unwrap();
        // The header stays, every page behind it is overwritten.
        bytes[100..].fill(0xa5);
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(refused(&path).kind(), Kind::Corrupt);
    }
}
