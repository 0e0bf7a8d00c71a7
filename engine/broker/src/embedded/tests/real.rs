//! The same operations on a file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

use super::{Answer, Op, QueueView, SLOTS, View, body};
use crate::Kind;
use crate::embedded::store::{Holder, Lease, Post, Store};
use crate::embedded::{keeper, status};
use crate::error::Error;

pub(super) struct Real {
    path: PathBuf,
    pub(super) store: Store,
    now: i64,
    /// Counts as the model does, so that bodies have the same numbers.
    posted: usize,
    slots: [Slot; SLOTS],
    durable: bool,
}

#[derive(Default)]
struct Slot {
    open: Option<(String, Holder)>,
    took: Vec<Lease>,
}

impl Real {
    pub(super) fn open(path: &Path, durable: bool) -> Self {
        let store = Store::open(path, Duration::from_secs(5), 0).unwrap();
        Self {
            path: path.to_owned(),
            store,
            now: 0,
            posted: 0,
            slots: Default::default(),
            durable,
        }
    }

    /// Opens what a process left that is no more, and does what the next one does.
    pub(super) fn recover(path: &Path) -> Self {
        let mut real = Self::open(path, false);
        real.bury_all();
        real
    }

    pub(super) fn apply(&mut self, op: &Op) -> Answer {
        let now = self.now;
        match op {
            Op::Declare(declaration) => {
                self.posted += 1;
                self.write(|store| store.declare(declaration, now)).unwrap();
                Answer::Done
            }
            Op::Open { slot, declaration } => {
                self.posted += 2;
                let (client, old) = (client(*slot), self.slots[*slot].open.take());
                let holder = self
                    .write(|store| {
                        if let Some((_, holder)) = old {
                            store.close_session(&holder, now)?;
                        }
                        let queue = store.declare(declaration, now)?;
                        store.open_session(&client, queue)
                    })
                    .unwrap();
                self.slots[*slot].open = Some((declaration.queue.clone(), holder));
                Answer::Done
            }
            Op::Close { slot } => {
                if let Some((_, holder)) = self.slots[*slot].open.take() {
                    self.write(|store| store.close_session(&holder, now))
                        .unwrap();
                }
                Answer::Done
            }
            Op::Post { exchange, posts } => self.post(exchange, posts),
            Op::Take { slot, limit } => self.take(*slot, *limit),
            Op::Settle { slot, picks } => {
                let taken = &self.slots[*slot];
                let session = taken.open.as_ref().map_or(-1, |(_, holder)| holder.session);
                let count = taken.took.len();
                if count > 0 {
                    let leases: Vec<_> = picks
                        .iter()
                        .map(|(pick, to)| (taken.took[pick % count], *to))
                        .collect();
                    self.write(|store| store.settle(session, &leases)).unwrap();
                }
                Answer::Done
            }
            Op::Bury { slot } => {
                let client = client(*slot);
                self.write(|store| store.remove_client(&client, now))
                    .unwrap();
                Answer::Done
            }
            Op::Crash => {
                self.store = Store::open(&self.path, Duration::from_secs(5), 1).unwrap();
                self.slots = Default::default();
                self.bury_all();
                Answer::Done
            }
            Op::Advance(by) => {
                self.now += by;
                Answer::Done
            }
            Op::Housekeep => Answer::Kept(
                self.write(|store| {
                    let mut kept = store.housekeep(now)?;
                    kept.keys_forgotten = store.prune_keys(now)?.0;
                    Ok(kept)
                })
                .unwrap(),
            ),
            Op::Purge(queue) => match self.write(|store| store.purge(queue)) {
                Ok(count) => Answer::Count(count),
                Err(error) if error.kind() == Kind::NoQueue => Answer::NoQueue,
                Err(error) => panic!("{error}"),
            },
            Op::Delete(queue) => {
                Answer::Existed(self.write(|store| store.delete_queue(queue)).unwrap())
            }
            Op::ForgetKeys(exchange) => {
                Answer::Count(self.write(|store| store.forget_keys(exchange)).unwrap())
            }
        }
    }

    fn write<T>(&mut self, work: impl FnOnce(&mut Store) -> Result<T, Error>) -> Result<T, Error> {
        self.store
            .transaction(self.durable, |store| store.apart(work))
            .map(|(value, _)| value)
    }

    fn post(&mut self, exchange: &str, posts: &[(String, Option<String>)]) -> Answer {
        let now = self.now;
        let posts: Vec<Post> = posts
            .iter()
            .map(|(topic, key)| {
                self.posted += 1;
                Post {
                    topic: topic.clone(),
                    body: body(self.posted).into_bytes(),
                    key: key.clone(),
                    expires: 0,
                }
            })
            .collect();
        let accepted = self
            .write(|store| store.post(exchange, &posts, now))
            .unwrap();
        assert_eq!(accepted.unrouted > 0, accepted.unrouted_topic.is_some());
        Answer::Posted {
            confirms: accepted.confirms,
            unrouted: accepted.unrouted,
        }
    }

    fn take(&mut self, slot: usize, limit: usize) -> Answer {
        let Some((queue, holder)) = self.slots[slot].open.clone() else {
            return Answer::Done;
        };
        let now = self.now;
        let Some(taken) = self
            .write(|store| store.take(&holder, &queue, limit, false, now))
            .unwrap()
        else {
            return Answer::NoQueue;
        };
        self.slots[slot]
            .took
            .extend(taken.iter().map(|taken| taken.lease));
        Answer::Taken(
            taken
                .into_iter()
                .map(|taken| (String::from_utf8(taken.body).unwrap(), taken.redelivered))
                .collect(),
        )
    }

    fn bury_all(&mut self) {
        let now = self.now;
        for (name, ..) in keeper::clients(self.store.connection()).unwrap() {
            self.write(|store| store.remove_client(&name, now)).unwrap();
        }
    }

    pub(super) fn view(&mut self) -> View {
        let now = self.now;
        let connection = self.store.connection();
        check_invariants(connection);
        let mut view = View::default();
        for queue in status::queues(connection, now).unwrap() {
            let messages = messages(connection, &queue.name);
            assert_eq!(
                queue.ready,
                messages.iter().filter(|(_, leased, _)| !leased).count() as u64
            );
            assert_eq!(
                queue.leased,
                messages.iter().filter(|(_, leased, _)| *leased).count() as u64
            );
            assert_eq!(queue.oldest.is_some(), !messages.is_empty());
            assert_eq!(
                status::depth(connection, &queue.name).unwrap(),
                Some(queue.ready)
            );
            let any = status::any_ready(connection, &queue.name).unwrap();
            assert_eq!(any.map(|(_, ready)| ready), Some(queue.ready > 0));
            let bindings = queue
                .bindings
                .into_iter()
                .map(|binding| (binding.exchange, binding.pattern))
                .collect();
            view.queues.insert(
                queue.name,
                QueueView {
                    bindings,
                    messages,
                    consumers: queue.consumers,
                },
            );
        }
        for exchange in status::exchanges(connection).unwrap() {
            view.unrouted.insert(exchange.name, exchange.unrouted);
        }
        view.keys = usize::try_from(number(connection, "SELECT count(*) FROM posted")).unwrap();
        view
    }
}

fn client(slot: usize) -> String {
    format!("client {slot}")
}

fn messages(connection: &Connection, queue: &str) -> Vec<(String, bool, u64)> {
    let mut statement = connection
        .prepare_cached(
            "SELECT m.body, d.session <> 0, d.deliveries FROM delivery d \
             JOIN message m ON m.id = d.message JOIN queue q ON q.id = d.queue \
             WHERE q.name = ?1 ORDER BY d.message",
        )
        .unwrap();
    let rows = statement.query_map([queue], |row| {
        let body: Vec<u8> = row.get(0)?;
        Ok((
            String::from_utf8(body).unwrap(),
            row.get(1)?,
            row.get::<_, i64>(2)?.cast_unsigned(),
        ))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

fn number(connection: &Connection, query: &str) -> i64 {
    connection.query_row(query, [], |row| row.get(0)).unwrap()
}

/// What the store promises at every commit, asked in SQL.
fn check_invariants(connection: &Connection) {
    for (what, query) in [
        (
            "refs are not the deliveries",
            "SELECT count(*) FROM message m \
             WHERE refs <> (SELECT count(*) FROM delivery WHERE message = m.id) OR refs = 0",
        ),
        (
            "deliveries without a message or queue",
            "SELECT count(*) FROM delivery d WHERE NOT EXISTS (SELECT 1 FROM message WHERE id = d.message) \
             OR NOT EXISTS (SELECT 1 FROM queue WHERE id = d.queue)",
        ),
        (
            "bindings without a queue or exchange",
            "SELECT count(*) FROM binding b WHERE NOT EXISTS (SELECT 1 FROM queue WHERE id = b.queue) \
             OR NOT EXISTS (SELECT 1 FROM exchange WHERE id = b.exchange)",
        ),
        (
            "leases beyond their session",
            "SELECT count(*) FROM delivery d WHERE session <> 0 AND NOT EXISTS \
             (SELECT 1 FROM session s WHERE s.id = d.session AND s.queue = d.queue AND s.highest >= d.message)",
        ),
        (
            "sessions without a client",
            "SELECT count(*) FROM session s WHERE NOT EXISTS (SELECT 1 FROM client WHERE name = s.client)",
        ),
        (
            "messages beyond the counter",
            "SELECT count(*) FROM message WHERE id >= (SELECT next_message FROM counter)",
        ),
    ] {
        assert_eq!(number(connection, query), 0, "{what}");
    }
    let check: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(check, "ok");
}
