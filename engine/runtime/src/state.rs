//! The pairs of callbacks, as one pass sees them.
//!
//! Writes stay in an [`Overlay`] until the pass settles, and become durable in its transaction;
//! reads look through the overlay into the store. All callbacks and lanes of a pass share one
//! overlay, so instances of one callback see each other's writes. A gather writes into a layer of
//! its own: where it fails, what it wrote (how far it has read) is forgotten with what it found.
//!
//! A callback is known in the store by its plugin's name, with `#2` for the second use of a plugin
//! in a flow, so state survives changes of order among different plugins.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rusqlite::{OptionalExtension, params};

use crate::clock::later;
use crate::error::StoreError;
use crate::ports::{Clock, Failure, State};
use crate::store::{StateWrite, Store};

/// Longest key, bytes.
const KEY_MAX: usize = 1 << 10;
/// Longest value, bytes.
const VALUE_MAX: usize = 1 << 20;

/// A value with its expiry, or its absence.
type Write = Option<(Vec<u8>, Option<i64>)>;
/// Callback and key.
type Name = (String, String);

/// Writes not durable yet.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    below: Option<Arc<Overlay>>,
    /// Of the pass before this one, as long as it is not stored.
    before: Weak<Overlay>,
    writes: Mutex<BTreeMap<Name, Write>>,
}

impl Overlay {
    /// A layer above `below`, to be merged or forgotten.
    pub(crate) fn above(below: &Arc<Self>) -> Arc<Self> {
        Arc::new(Self {
            below: Some(Arc::clone(below)),
            ..Self::default()
        })
    }

    /// What a pass writes while the one `before` it is still ending.
    pub(crate) fn after(before: &Arc<Self>) -> Arc<Self> {
        Arc::new(Self {
            before: Arc::downgrade(before),
            ..Self::default()
        })
    }

    /// Moves this layer's writes into the one below.
    pub(crate) fn merge(&self) {
        if let Some(below) = &self.below {
            below.lock().append(&mut self.lock());
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// The writes, for a transaction. They stay in sight until it is through.
    pub(crate) fn writes(&self) -> Vec<StateWrite> {
        self.lock()
            .iter()
            .map(|((callback, key), write)| {
                let (value, expires) = match write.clone() {
                    Some((value, expires)) => (Some(value), expires),
                    None => (None, None),
                };
                StateWrite {
                    callback: callback.clone(),
                    key: key.clone(),
                    value,
                    expires,
                }
            })
            .collect()
    }

    /// As [`writes`](Self::writes), and forgets them.
    pub(crate) fn take(&self) -> Vec<StateWrite> {
        let writes = self.writes();
        self.lock().clear();
        writes
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Name, Write>> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, name: &Name) -> Option<Write> {
        let found = self.lock().get(name).cloned();
        found
            .or_else(|| self.below.as_ref()?.find(name))
            .or_else(|| self.before.upgrade()?.find(name))
    }

    /// Collects what this and lower layers hold for keys of `callback` after `after` that start with
    /// `prefix`; upper layers win.
    fn collect(
        &self,
        callback: &str,
        prefix: &str,
        after: &str,
        into: &mut BTreeMap<String, bool>,
        now: i64,
    ) {
        let lower = [self.before.upgrade(), self.below.clone()];
        for below in lower.iter().flatten() {
            below.collect(callback, prefix, after, into, now);
        }
        let from = (callback.to_owned(), prefix.to_owned());
        let writes = self.lock();
        for ((owner, key), write) in writes.range((Bound::Included(from), Bound::Unbounded)) {
            if owner != callback || !key.starts_with(prefix) {
                break;
            }
            if key.as_str() > after {
                into.insert(
                    key.clone(),
                    write
                        .as_ref()
                        .is_some_and(|(_, expires)| fresh(*expires, now)),
                );
            }
        }
    }
}

fn fresh(expires: Option<i64>, now: i64) -> bool {
    expires.is_none_or(|expires| expires > now)
}

/// The state of one callback in one pass.
pub(crate) struct StateView {
    pub(crate) store: Store,
    pub(crate) overlay: Arc<Overlay>,
    pub(crate) callback: String,
    pub(crate) clock: Arc<dyn Clock>,
}

impl StateView {
    fn now(&self) -> i64 {
        self.clock.now().as_millisecond()
    }

    fn stored(&self, key: &str, now: i64) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.read_now(|connection| {
            Ok(connection
                .prepare_cached(
                    "SELECT value FROM state WHERE callback = ?1 AND key = ?2
                     AND (expires IS NULL OR expires > ?3)",
                )?
                .query_row(params![self.callback, key, now], |row| row.get(0))
                .optional()?)
        })
    }

    /// Up to `limit` stored keys that start with `prefix` and sort after `after`.
    fn stored_keys(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
        now: i64,
    ) -> Result<Vec<String>, StoreError> {
        self.store.read_now(|connection| {
            // SQLite compares text as bytes, as Rust does, so a prefix is a range.
            let mut statement = connection.prepare_cached(
                "SELECT key FROM state WHERE callback = ?1 AND key >= ?2 AND key > ?3
                 AND (expires IS NULL OR expires > ?4) ORDER BY key",
            )?;
            let mut rows = statement.query(params![self.callback, prefix, after, now])?;
            let mut keys = Vec::new();
            while keys.len() < limit
                && let Some(row) = rows.next()?
            {
                let key: String = row.get(0)?;
                if !key.starts_with(prefix) {
                    break;
                }
                keys.push(key);
            }
            Ok(keys)
        })
    }
}

fn failed(error: &StoreError) -> Failure {
    Failure::temporary(error.to_string())
}

impl State for StateView {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        let now = self.now();
        match self.overlay.find(&(self.callback.clone(), key.to_owned())) {
            Some(write) => Ok(write
                .filter(|(_, expires)| fresh(*expires, now))
                .map(|(value, _)| value)),
            None => self.stored(key, now).map_err(|error| failed(&error)),
        }
    }

    fn put(&self, key: &str, value: Option<Vec<u8>>, ttl: Option<Duration>) -> Result<(), Failure> {
        if key.len() > KEY_MAX || value.as_ref().is_some_and(|value| value.len() > VALUE_MAX) {
            return Err(Failure::Permanent(
                "a state key has at most 1 KiB and a value at most 1 MiB".into(),
            ));
        }
        let expires = ttl.map(|ttl| later(self.clock.now(), ttl));
        let name = (self.callback.clone(), key.to_owned());
        self.overlay
            .lock()
            .insert(name, value.map(|value| (value, expires)));
        Ok(())
    }

    fn list(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<String>, Failure> {
        let now = self.now();
        let mut written = BTreeMap::new();
        self.overlay
            .collect(&self.callback, prefix, after, &mut written, now);
        let gone = written.values().filter(|present| !**present).count();
        let stored = self
            .stored_keys(prefix, after, limit.saturating_add(gone), now)
            .map_err(|error| failed(&error))?;
        let mut keys: BTreeSet<String> = stored.into_iter().collect();
        for (key, present) in written {
            if present {
                keys.insert(key);
            } else {
                keys.remove(&key);
            }
        }
        Ok(keys.into_iter().take(limit).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{Overlay, StateView};
    use crate::clock::SystemClock;
    use crate::ports::State;
    use crate::store::{Batch, Store};

    struct Fixture {
        _directory: tempfile::TempDir,
        store: Store,
    }

    impl Fixture {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let store = Store::open(directory.path().join("flow.db")).unwrap();
            Self {
                _directory: directory,
                store,
            }
        }

        fn view(&self, callback: &str, overlay: &Arc<Overlay>) -> StateView {
            StateView {
                store: self.store.clone(),
                overlay: Arc::clone(overlay),
                callback: callback.into(),
                clock: Arc::new(SystemClock),
            }
        }

        async fn commit(&self, overlay: &Overlay) {
            let batch = Batch {
                state: overlay.writes(),
                ..Batch::default()
            };
            self.store.commit(Arc::new(batch)).await.unwrap();
        }
    }

    #[tokio::test]
    async fn writes_are_seen_at_once_and_durable_only_when_committed() {
        let fixture = Fixture::new();
        let overlay = Arc::new(Overlay::default());
        let state = fixture.view("mail", &overlay);
        state.put("uid", Some(b"7".to_vec()), None).unwrap();
        assert_eq!(state.get("uid").unwrap().as_deref(), Some(&b"7"[..]));
        assert_eq!(fixture.view("mail#2", &overlay).get("uid").unwrap(), None);

        let crashed = fixture.view("mail", &Arc::default());
        assert_eq!(crashed.get("uid").unwrap(), None);
        fixture.commit(&overlay).await;
        assert_eq!(crashed.get("uid").unwrap().as_deref(), Some(&b"7"[..]));
    }

    #[tokio::test]
    async fn a_layer_is_merged_or_forgotten() {
        let fixture = Fixture::new();
        let overlay = Arc::new(Overlay::default());
        let below = fixture.view("mail", &overlay);
        below.put("a", Some(vec![1]), None).unwrap();

        let failed = Overlay::above(&overlay);
        let state = fixture.view("mail", &failed);
        assert_eq!(state.get("a").unwrap(), Some(vec![1]));
        state.put("a", Some(vec![2]), None).unwrap();
        drop(failed);
        assert_eq!(below.get("a").unwrap(), Some(vec![1]));

        let worked = Overlay::above(&overlay);
        fixture.view("mail", &worked).put("a", None, None).unwrap();
        worked.merge();
        assert_eq!(below.get("a").unwrap(), None);
    }

    #[tokio::test]
    async fn lists_merge_the_store_and_what_is_not_stored_yet() {
        let fixture = Fixture::new();
        let overlay = Arc::new(Overlay::default());
        let state = fixture.view("mail", &overlay);
        for key in ["uid/1", "uid/2", "uid/3", "uid/5", "user", "tie"] {
            state.put(key, Some(vec![]), None).unwrap();
        }
        fixture
            .view("other", &overlay)
            .put("uid/9", Some(vec![]), None)
            .unwrap();
        fixture.commit(&overlay).await;
        state.put("uid/2", None, None).unwrap();
        state.put("uid/4", Some(vec![]), None).unwrap();
        state
            .put("uid/6", Some(vec![]), Some(Duration::ZERO))
            .unwrap();
        assert_eq!(
            state.list("uid/", "", 10).unwrap(),
            ["uid/1", "uid/3", "uid/4", "uid/5"]
        );
        assert_eq!(state.list("uid/", "uid/1", 2).unwrap(), ["uid/3", "uid/4"]);
        assert_eq!(state.list("", "uid/5", 10).unwrap(), ["user"]);
    }

    #[tokio::test]
    async fn pairs_with_a_time_to_live_disappear() {
        let fixture = Fixture::new();
        let overlay = Arc::new(Overlay::default());
        let state = fixture.view("mail", &overlay);
        state
            .put("short", Some(vec![1]), Some(Duration::ZERO))
            .unwrap();
        state
            .put("long", Some(vec![1]), Some(Duration::from_secs(3600)))
            .unwrap();
        assert_eq!(state.get("short").unwrap(), None);
        fixture.commit(&overlay).await;
        assert_eq!(state.get("short").unwrap(), None);
        assert_eq!(state.get("long").unwrap(), Some(vec![1]));
    }
}
