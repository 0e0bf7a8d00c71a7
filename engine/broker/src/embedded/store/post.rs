//! Posting: known keys, routing, one body for all queues.

use flow_runtime::ports::Confirm;
use rusqlite::{OptionalExtension, params};

use super::Store;
use crate::embedded::topology::Route;
use crate::error::Error;

/// How long a key is remembered: 30 days, in milliseconds.
pub(super) const KEY_KEPT: i64 = 30 * 24 * 60 * 60 * 1000;

/// A message to post, encoded.
#[derive(Debug, Clone)]
pub(in crate::embedded) struct Post {
    pub(in crate::embedded) topic: String,
    pub(in crate::embedded) body: Vec<u8>,
    pub(in crate::embedded) key: Option<String>,
    /// When it goes away if it still waits; 0: never.
    pub(in crate::embedded) expires: i64,
}

/// What became of a batch of posts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::embedded) struct Accepted {
    /// One for each post, in order.
    pub(in crate::embedded) confirms: Vec<Confirm>,
    /// How many of them no queue was bound for.
    pub(in crate::embedded) unrouted: u64,
    /// The topic of one of those.
    pub(in crate::embedded) unrouted_topic: Option<String>,
}

impl Store {
    /// Posts in order.
    ///
    /// A key is remembered only with a message that reached a queue: a post that went nowhere may be
    /// repeated once there is somewhere to go.
    pub(in crate::embedded) fn post(
        &mut self,
        exchange: &str,
        posts: &[Post],
        now: i64,
    ) -> Result<Accepted, Error> {
        self.post_all(exchange, posts, now)
            .map_err(|error| self.error(error))
    }

    fn post_all(&mut self, exchange: &str, posts: &[Post], now: i64) -> rusqlite::Result<Accepted> {
        let mut accepted = Accepted::default();
        let id = self.exchange_for_posts(exchange)?;
        for post in posts {
            let route = self
                .topology
                .route(exchange, &post.topic)
                .expect("the exchange was just declared");
            if route.queues.is_empty() {
                if self.is_known(&route, post, now)? {
                    accepted.confirms.push(Confirm::Duplicate);
                    continue;
                }
                accepted.unrouted += 1;
                accepted
                    .unrouted_topic
                    .get_or_insert_with(|| post.topic.clone());
            } else {
                let message = self.next_message()?;
                if !self.remember(message, &route, post, now)? {
                    accepted.confirms.push(Confirm::Duplicate);
                    continue;
                }
                self.insert(message, &route, post, now)?;
            }
            accepted.confirms.push(Confirm::Posted);
        }
        if accepted.unrouted > 0 {
            self.connection
                .prepare_cached("UPDATE exchange SET unrouted = unrouted + ?2 WHERE id = ?1")?
                .execute(params![id, accepted.unrouted.cast_signed()])?;
        }
        Ok(accepted)
    }

    /// Brings the cached bindings up to date and declares the exchange if nobody has.
    fn exchange_for_posts(&mut self, exchange: &str) -> rusqlite::Result<i64> {
        let version = self.counter()?.topology;
        self.topology.refresh(&self.connection, version)?;
        if let Some(route) = self.topology.route(exchange, "") {
            return Ok(route.exchange);
        }
        let id = self.exchange(exchange)?;
        let version = self.counter()?.topology;
        self.topology.refresh(&self.connection, version)?;
        Ok(id)
    }

    fn is_known(&self, route: &Route, post: &Post, now: i64) -> rusqlite::Result<bool> {
        let Some(key) = &post.key else {
            return Ok(false);
        };
        let at: Option<i64> = self
            .connection
            .prepare_cached("SELECT at FROM posted WHERE exchange = ?1 AND key = ?2")?
            .query_row(params![route.exchange, key], |row| row.get(0))
            .optional()?;
        Ok(at.is_some_and(|at| now - at < KEY_KEPT))
    }

    /// Remembers the key; false if it was known.
    fn remember(
        &self,
        message: i64,
        route: &Route,
        post: &Post,
        now: i64,
    ) -> rusqlite::Result<bool> {
        let Some(key) = &post.key else {
            return Ok(true);
        };
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO posted (message, exchange, key, at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
        )?;
        if insert.execute(params![message, route.exchange, key, now])? > 0 {
            return Ok(true);
        }
        if self.is_known(route, post, now)? {
            return Ok(false);
        }
        // Too old to count; housekeeping has not been here yet.
        self.connection
            .prepare_cached("DELETE FROM posted WHERE exchange = ?1 AND key = ?2")?
            .execute(params![route.exchange, key])?;
        insert.execute(params![message, route.exchange, key, now])?;
        Ok(true)
    }

    fn insert(
        &mut self,
        message: i64,
        route: &Route,
        post: &Post,
        now: i64,
    ) -> rusqlite::Result<()> {
        let refs =
            i64::try_from(route.queues.len()).expect("queues are counted in thousands at most");
        self.connection
            .prepare_cached(
                "INSERT INTO message (id, refs, posted_at, exchange, topic, body, expires) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                message,
                refs,
                now,
                route.exchange,
                post.topic,
                post.body,
                post.expires
            ])?;
        let mut deliver = self.connection.prepare_cached(
            "INSERT INTO delivery (queue, message, session, deliveries) VALUES (?1, ?2, 0, 0)",
        )?;
        for queue in route.queues.iter() {
            deliver.execute(params![queue, message])?;
            self.woken.insert(*queue);
        }
        Ok(())
    }
}
