//! Rows are read as they were written.

use std::sync::Arc;

use flow_message::{Message, Timestamp};

use super::{
    Batch, DeadRow, Pending, Renewal, RetryRow, Seen, StateWrite, fate_from_text, fate_to_text,
};
use crate::ports::{Fate, Rejection};
use crate::store::Store;

pub(crate) fn row(key: &str, due: i64) -> RetryRow {
    RetryRow {
        key: key.into(),
        gatherer: Some("mail".into()),
        message: Arc::new(Message::new(
            Timestamp::from_unix(5, 0),
            "http://origin/",
            key,
        )),
        attempt: 1,
        alone: false,
        born: 5,
        due,
        reason: "connection reset".into(),
    }
}

fn store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path().join("flow.db")).unwrap();
    (directory, store)
}

#[tokio::test]
async fn rows_are_due_by_their_time_and_stay_until_settled() {
    let (_directory, store) = store();
    assert!(store.due(i64::MAX, 10).await.unwrap().is_empty());
    let retry = vec![
        row("late", 30),
        row("first", 10),
        row("second", 10),
        row("future", 99),
    ];
    store
        .commit(Arc::new(Batch {
            retry,
            ..Batch::default()
        }))
        .await
        .unwrap();
    assert_eq!(store.next_due().await.unwrap(), Some(10));
    for _ in 0..2 {
        let due = store.due(30, 10).await.unwrap();
        let keys: Vec<_> = due.iter().map(|row| row.key.as_str()).collect();
        assert_eq!(keys, ["first", "second", "late"]);
    }
    let done = vec!["first".into(), "second".into()];
    store
        .commit(Arc::new(Batch {
            done,
            ..Batch::default()
        }))
        .await
        .unwrap();
    assert_eq!(store.due(i64::MAX, 1).await.unwrap()[0].key, "late");
}

#[tokio::test]
async fn a_row_that_cannot_be_read_ends_in_the_dead_letters() {
    let (_directory, store) = store();
    let retry = vec![row("good", 1), row("bad", 1)];
    store
        .commit(Arc::new(Batch {
            retry,
            ..Batch::default()
        }))
        .await
        .unwrap();
    store
        .write_now(|transaction| {
            transaction.execute("UPDATE retry SET message = x'00' WHERE key = 'bad'", [])?;
            Ok(())
        })
        .unwrap();
    assert_eq!(store.due(9, 10).await.unwrap().len(), 1);
    let known = store
        .known(vec!["good".into(), "bad".into()])
        .await
        .unwrap();
    assert!(known["good"].retry && !known["good"].dead);
    assert!(known["bad"].dead && !known["bad"].retry);
}

#[tokio::test]
async fn nodupe_entries_name_their_holder_and_expire() {
    let (_directory, store) = store();
    let seen = vec![
        Seen {
            key: vec![1],
            holder: "held".into(),
            expires: 50,
        },
        Seen {
            key: vec![2],
            holder: "done".into(),
            expires: 50,
        },
    ];
    let retry = vec![row("held", 1)];
    store
        .commit(Arc::new(Batch {
            seen,
            retry,
            ..Batch::default()
        }))
        .await
        .unwrap();
    let look = |now| store.seen(vec![vec![1], vec![2], vec![3]], now);
    assert_eq!(
        look(49).await.unwrap(),
        [
            Some(("held".into(), true)),
            Some(("done".into(), false)),
            None
        ]
    );
    let renewed = vec![Renewal {
        key: vec![2],
        expires: 80,
    }];
    store
        .commit(Arc::new(Batch {
            renewed,
            ..Batch::default()
        }))
        .await
        .unwrap();
    assert_eq!(
        look(50).await.unwrap(),
        [None, Some(("done".into(), false)), None]
    );
    assert!(!store.expire(80).await.unwrap(), "nothing is left");
    assert_eq!(look(0).await.unwrap(), [None, None, None]);
}

#[tokio::test]
async fn what_has_expired_goes_a_little_at_a_time() {
    let (_directory, store) = store();
    let seen = (0..2_500_u32)
        .map(|number| Seen {
            key: number.to_be_bytes().to_vec(),
            holder: "x".into(),
            expires: if number < 2_400 { 10 } else { 90 },
        })
        .collect();
    let state = (0..1_200_u32)
        .map(|number| StateWrite {
            callback: "mail".into(),
            key: number.to_string(),
            value: Some(Vec::new()),
            expires: (number < 1_100).then_some(10),
        })
        .collect();
    let batch = Batch {
        seen,
        state,
        ..Batch::default()
    };
    store.commit(Arc::new(batch)).await.unwrap();
    let count = |table: &str| {
        let query = format!("SELECT COUNT(*) FROM {table}");
        store
            .read_now(
                |connection| Ok(connection.query_row(&query, [], |row| row.get::<_, i64>(0))?),
            )
            .unwrap()
    };
    let mut left = Vec::new();
    while store.expire(50).await.unwrap() {
        left.push((count("nodupe"), count("state")));
    }
    assert_eq!(left, [(1_500, 200), (500, 100)]);
    assert_eq!((count("nodupe"), count("state")), (100, 100));
}

#[tokio::test]
async fn outcomes_wait_to_be_told_the_latest_only() {
    let (_directory, store) = store();
    let mut pending = Pending {
        callback: "mail".into(),
        key: "a".into(),
        message: row("a", 0).message,
        attempt: 2,
        fate: Fate::Retrying("busy".into()),
        tries: 0,
    };
    let first = vec![pending.clone()];
    store
        .commit(Arc::new(Batch {
            pending: first,
            ..Batch::default()
        }))
        .await
        .unwrap();
    pending.fate = Fate::Posted;
    let second = vec![pending.clone()];
    store
        .commit(Arc::new(Batch {
            pending: second,
            ..Batch::default()
        }))
        .await
        .unwrap();
    let found = store.pending(10).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0].fate, found[0].attempt), (&Fate::Posted, 2));
    let told = vec![("mail".into(), "a".into())];
    store
        .commit(Arc::new(Batch {
            told,
            ..Batch::default()
        }))
        .await
        .unwrap();
    assert!(store.pending(10).await.unwrap().is_empty());
    assert!(store.known(vec!["a".into()]).await.unwrap().is_empty());
    assert!(!store.is_occupied());
}

#[tokio::test]
async fn what_was_committed_is_there_after_reopening() {
    let (directory, store) = store();
    let dead = vec![DeadRow {
        key: "d".into(),
        gatherer: None,
        message: None,
        attempt: 0,
        born: 1,
        died: 2,
        reason: "not JSON".into(),
    }];
    store
        .commit(Arc::new(Batch {
            dead,
            ..Batch::default()
        }))
        .await
        .unwrap();
    drop(store);
    let store = Store::open(directory.path().join("flow.db")).unwrap();
    assert!(store.known(vec!["d".into()]).await.unwrap()["d"].dead);
}

#[test]
fn fates_survive_the_store() {
    for fate in [
        Fate::Posted,
        Fate::Rejected(Rejection {
            code: 304,
            reason: "seen \"before\"".into(),
        }),
        Fate::Retrying("busy".into()),
        Fate::Dead(String::new()),
    ] {
        assert_eq!(fate_from_text(&fate_to_text(&fate)), Some(fate));
    }
    assert_eq!(fate_from_text("{}"), None);
}
