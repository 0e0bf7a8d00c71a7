//! Consuming a queue.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use flow_runtime::ports::{Consumer, Failure, Received, Settlement};
use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

use super::Shared;
use super::status;
use super::store::{Declaration, Holder, Lease, Taken};
use super::work::Call;
use crate::error::Error;

/// One session on a queue.
///
/// What it holds is ready for others again when it is closed, dropped, or when its process ends. If
/// the queue is deleted meanwhile, it is declared anew at the next [`receive`](Consumer::receive).
///
/// # Cancel safety
/// All methods are cancel safe. Messages taken by a `receive` that nobody waited for are handed out by
/// the next one.
#[derive(Debug)]
pub struct EmbeddedConsumer {
    shared: Arc<Shared>,
    declaration: Declaration,
    prefetch: usize,
    holder: Holder,
    /// The queue's id, as far as known, and what tells of its news.
    queue: i64,
    news: watch::Receiver<u64>,
    /// Taken, and not handed out yet.
    inbox: Arc<Mutex<VecDeque<Taken>>>,
    /// Handed out, and not settled yet, by tag.
    held: HashMap<u64, Lease>,
    /// Whether deliveries say how they came.
    routes: bool,
    closed: bool,
}

impl EmbeddedConsumer {
    pub(super) async fn open(
        shared: Arc<Shared>,
        declaration: Declaration,
        prefetch: usize,
    ) -> Result<Self, Error> {
        let (wanted, now, live) = (declaration.clone(), shared.now(), shared.live.clone());
        let client = shared.client.clone();
        let (holder, queue) = shared
            .threads
            .write(true, move |store| {
                let queue = store.declare(&wanted, now)?;
                let client = client.claim(&live, now)?;
                Ok((store.open_session(&client, queue)?, queue))
            })
            .await?;
        let news = shared.news.subscribe(queue);
        Ok(Self {
            shared,
            declaration,
            prefetch: prefetch.max(1),
            holder,
            queue,
            news,
            inbox: Arc::default(),
            held: HashMap::new(),
            routes: false,
            closed: false,
        })
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.closed {
            Err(Error::stopped(&self.shared.path))
        } else {
            Ok(())
        }
    }

    /// Takes messages into the inbox; false if there is no queue any more.
    async fn take(&self, limit: usize) -> Result<bool, Error> {
        let (reply, answer) = oneshot::channel();
        let (queue, holder, now) = (
            self.declaration.queue.clone(),
            self.holder.clone(),
            self.shared.now(),
        );
        let (name, routes) = (queue.clone(), self.routes);
        let (inbox, news) = (Arc::clone(&self.inbox), Arc::clone(&self.shared.news));
        self.shared.threads.send(Call {
            // A power cut ends the session as well.
            durable: false,
            at_once: Some(Box::new(move |store| store.has_nothing(&name))),
            run: Box::new(move |store| store.take(&holder, &queue, limit, routes, now)),
            deliver: Box::new(move |result| {
                let mut queue = None;
                let exists = result.map(|taken| {
                    let exists = taken.is_some();
                    let taken = taken.unwrap_or_default();
                    queue = taken.first().map(|taken| taken.lease.queue);
                    lock(&inbox).extend(taken);
                    exists
                });
                // If nobody waits for this any more, somebody may wait for the inbox.
                if reply.send(exists).is_err()
                    && let Some(queue) = queue
                {
                    news.tell(queue);
                }
            }),
        })?;
        answer
            .await
            .map_err(|_| Error::stopped(&self.shared.path))?
    }

    async fn declare_again(&mut self) -> Result<(), Error> {
        tracing::warn!(
            queue = self.declaration.queue,
            "The queue was deleted while in use; it is declared again."
        );
        let (wanted, now, holder) = (
            self.declaration.clone(),
            self.shared.now(),
            self.holder.clone(),
        );
        self.shared
            .threads
            .write(true, move |store| {
                let queue = store.declare(&wanted, now)?;
                store.move_session(&holder, queue)
            })
            .await
    }

    /// Goes over to a queue of the same name.
    async fn follow(&mut self, queue: i64) -> Result<(), Error> {
        let holder = self.holder.clone();
        self.shared
            .threads
            .write(false, move |store| store.move_session(&holder, queue))
            .await?;
        self.queue = queue;
        self.news = self.shared.news.subscribe(queue);
        Ok(())
    }

    fn hand_out(&mut self, limit: usize) -> Vec<Received> {
        let taken: Vec<Taken> = {
            let mut inbox = lock(&self.inbox);
            let count = limit.min(inbox.len());
            inbox.drain(..count).collect()
        };
        taken
            .into_iter()
            .map(|taken| {
                let tag = taken.lease.message.cast_unsigned();
                self.held.insert(tag, taken.lease);
                Received {
                    message: status::decode(&taken.body),
                    tag,
                    key: status::delivery_key(
                        &self.declaration.queue,
                        &self.shared.epoch,
                        taken.lease.message,
                    ),
                    redelivered: taken.redelivered,
                    route: taken.route,
                }
            })
            .collect()
    }

    /// Ends the session without waiting.
    fn end(&mut self) -> Result<oneshot::Receiver<Result<(), Error>>, Error> {
        let (reply, answer) = oneshot::channel();
        let (holder, now) = (self.holder.clone(), self.shared.now());
        self.shared.threads.send(Call {
            durable: false,
            at_once: None,
            run: Box::new(move |store| store.close_session(&holder, now)),
            deliver: Box::new(move |result| {
                let _ = reply.send(result);
            }),
        })?;
        self.closed = true;
        Ok(answer)
    }
}

fn lock(inbox: &Mutex<VecDeque<Taken>>) -> std::sync::MutexGuard<'_, VecDeque<Taken>> {
    // Nothing panics while it is held.
    inbox.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Consumer for EmbeddedConsumer {
    fn with_routes(&mut self) {
        self.routes = true;
    }

    async fn receive(&mut self, limit: usize) -> Result<Vec<Received>, Failure> {
        self.check_open()?;
        let room = limit.min(self.prefetch.saturating_sub(self.held.len()));
        if room == 0 {
            return Ok(Vec::new());
        }
        if lock(&self.inbox).is_empty() && !self.take(room).await? {
            self.declare_again().await?;
        }
        Ok(self.hand_out(room))
    }

    /// Never returns while as many messages as `prefetch` allows are held: settle some first.
    async fn ready(&mut self) -> Result<(), Failure> {
        self.check_open()?;
        if self.held.len() >= self.prefetch {
            return std::future::pending().await;
        }
        loop {
            // Noted before the look, so that whatever comes after the look changes it.
            self.news.borrow_and_update();
            if !lock(&self.inbox).is_empty() {
                return Ok(());
            }
            let queue = self.declaration.queue.clone();
            let read = move |connection: &Connection| status::any_ready(connection, &queue);
            match self.shared.threads.read(read).await? {
                // A queue that is gone is declared again by `receive`.
                None | Some((_, true)) => return Ok(()),
                // It was deleted and declared again, here or elsewhere.
                Some((queue, false)) if queue != self.queue => self.follow(queue).await?,
                Some((_, false)) => {
                    self.news
                        .changed()
                        .await
                        .map_err(|_| Error::stopped(&self.shared.path))?;
                }
            }
        }
    }

    async fn settle(&mut self, settlements: &[(u64, Settlement)]) -> Result<(), Failure> {
        self.check_open()?;
        // A tag that is settled already has nothing left to settle.
        let leases: Vec<(Lease, Settlement)> = settlements
            .iter()
            .filter_map(|(tag, to)| Some((*self.held.get(tag)?, *to)))
            .collect();
        if leases.is_empty() {
            return Ok(());
        }
        let durable = leases.iter().any(|(_, to)| *to == Settlement::Ack);
        let session = self.holder.session;
        self.shared
            .threads
            .write(durable, move |store| store.settle(session, &leases))
            .await?;
        for (tag, _) in settlements {
            self.held.remove(tag);
        }
        Ok(())
    }

    /// Looks at every message of the queue: for people, not for each pass.
    async fn depth(&mut self) -> Result<Option<u64>, Failure> {
        let queue = self.declaration.queue.clone();
        let depth = self
            .shared
            .threads
            .read(move |connection| status::depth(connection, &queue))
            .await?;
        Ok(Some(depth.unwrap_or(0)))
    }

    async fn close(&mut self) -> Result<(), Failure> {
        if self.closed {
            return Ok(());
        }
        let ended = self.end()?;
        ended
            .await
            .map_err(|_| Error::stopped(&self.shared.path))??;
        Ok(())
    }
}

impl Drop for EmbeddedConsumer {
    fn drop(&mut self) {
        if !self.closed {
            // If the writer is gone, it has released everything as its last act.
            let _ = self.end();
        }
    }
}
