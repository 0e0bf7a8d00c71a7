//! A disk that is full, and calls that share a transaction with one that fails.

use std::time::Duration;

use crate::Kind;
use crate::embedded::store::{Declaration, Post, Store};

fn post(size: usize) -> Post {
    Post {
        topic: "a".into(),
        body: vec![b'x'; size],
        key: None,
        expires: 0,
    }
}

fn count(store: &mut Store) -> i64 {
    store
        .connection()
        .query_row("SELECT count(*) FROM message", [], |row| row.get(0))
        .unwrap()
}

#[test]
fn a_full_disk_undoes_the_call_and_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("broker.db");
    let mut store = Store::open(&path, Duration::from_secs(1), 0).unwrap();
    let declaration = Declaration::new("q", "x", ["#"]);
    store
        .transaction(true, |store| store.declare(&declaration, 0))
        .unwrap();
    store
        .transaction(true, |store| store.post("x", &[post(10)], 0))
        .unwrap();
    let pages: i64 = store
        .connection()
        .query_row("PRAGMA page_count", [], |row| row.get(0))
        .unwrap();
    store
        .connection()
        .pragma_update(None, "max_page_count", pages + 2)
        .unwrap();

    let error = store
        .transaction(true, |store| store.post("x", &[post(10), post(100_000)], 0))
        .map(|_| ())
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Full);
    assert_eq!(count(&mut store), 1);

    // Where it shares the transaction, either it alone is undone or everybody is told.
    let shared = store.transaction(true, |store| {
        store.apart(|store| store.post("x", &[post(10)], 0))?;
        let failed = store
            .apart(|store| store.post("x", &[post(100_000)], 0))
            .map(|_| ())
            .unwrap_err();
        assert_eq!(failed.kind(), Kind::Full);
        if store.in_transaction() {
            Ok(())
        } else {
            Err(failed)
        }
    });
    assert_eq!(count(&mut store), if shared.is_ok() { 2 } else { 1 });

    store
        .connection()
        .pragma_update(None, "max_page_count", 1_000_000)
        .unwrap();
    let before = count(&mut store);
    store
        .transaction(true, |store| store.post("x", &[post(100_000)], 0))
        .unwrap();
    assert_eq!(count(&mut store), before + 1);
}

#[test]
fn what_a_failed_call_declared_is_not_routed_to() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("broker.db");
    let mut store = Store::open(&path, Duration::from_secs(1), 0).unwrap();
    let declaration = Declaration::new("q", "x", ["#"]);
    let failed = crate::Error::new(Kind::Internal, "made up");
    let ((), _) = store
        .transaction(false, |store| {
            let undone = store.apart(|store| {
                store.declare(&declaration, 0)?;
                assert_eq!(store.post("x", &[post(1)], 0)?.unrouted, 0);
                Err::<(), _>(failed.clone())
            });
            assert!(undone.is_err());
            assert_eq!(store.post("x", &[post(1)], 0)?.unrouted, 1);
            Ok(())
        })
        .unwrap();
    assert_eq!(count(&mut store), 0);
}

#[test]
fn free_room_is_given_back_to_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("broker.db");
    let mut store = Store::open(&path, Duration::from_secs(1), 0).unwrap();
    let declaration = Declaration::new("q", "x", ["#"]);
    store
        .transaction(false, |store| store.declare(&declaration, 0))
        .unwrap();
    let posts = vec![post(500_000); 80];
    store
        .transaction(false, |store| store.post("x", &posts, 0))
        .unwrap();
    store.transaction(false, |store| store.purge("q")).unwrap();
    let pages = |store: &mut Store| -> i64 {
        store
            .connection()
            .query_row("PRAGMA page_count", [], |row| row.get(0))
            .unwrap()
    };
    let before = pages(&mut store);
    while store.transaction(false, Store::shrink).unwrap().0 {}
    let after = pages(&mut store);
    assert!(before > 9000, "{before}");
    assert!(after < 4200, "{after}");
}
