//! What the broker says when its file can't be used.

mod common;

use std::time::Duration;

use common::{everything, outgoing};
use flow_broker::Error;
use flow_broker::embedded::{EmbeddedBroker, Options};
use flow_runtime::ports::{Confirm, Failure, Publisher};

#[tokio::test]
async fn a_database_locked_by_a_tool_is_busy_and_said() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("broker.db");
    let options = Options {
        patience: Duration::from_millis(50),
        ..Options::default()
    };
    let broker = EmbeddedBroker::open(&path, options).unwrap();
    broker.declare(&everything()).await.unwrap();
    let tool = rusqlite::Connection::open(&path).unwrap();
    tool.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut publisher = broker.publisher("x").unwrap();
    let failure = publisher.post(&[outgoing("a", None)]).await.unwrap_err();
    assert!(
        matches!(&failure, Failure::Temporary { reason, .. } if reason.contains("stays locked")),
        "{failure}"
    );
    tool.execute_batch("ROLLBACK").unwrap();
    assert_eq!(
        publisher.post(&[outgoing("a", None)]).await.unwrap(),
        [Confirm::Posted]
    );
    assert_eq!(broker.peek("q", 10).await.unwrap().len(), 1);
}

#[test]
fn a_place_that_can_not_be_written_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error: Error =
        EmbeddedBroker::open(file.join("broker.db"), Options::default()).unwrap_err();
    assert!(error.to_string().contains("broker.db"), "{error}");
    assert!(error.to_string().contains("nothing was stored"), "{error}");
}
