//! The two threads that touch the database, and what they are given to do.
//!
//! One thread writes, one reads; both get *calls* through a channel, so async tasks never wait on a
//! disk. What several tasks ask for at the same time the writer does in one transaction, with one
//! `fsync` for all (group commit): each call is apart in a savepoint, and all are answered after the
//! commit.
//!
//! The channels have no bound of their own: each consumer and publisher has at most one call under way,
//! as its methods take `&mut self` and wait for the answer.
//!
//! # Cancel safety
//! A call that was sent is done even if nobody waits for the answer any more. Calls whose result must
//! not be lost take it in `deliver`, on the writer's thread.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::alive::Client;
use super::bell::{Bells, News};
use super::schema;
use super::store::Store;
use super::turn::Turn;
use crate::error::Error;

/// Calls done in one transaction; bounds how long the first of them waits.
const GROUP: usize = 64;

type Run<T> = Box<dyn FnOnce(&mut Store) -> Result<T, Error> + Send>;
type Answer<T> = Box<dyn FnOnce(&Store) -> Result<Option<T>, Error> + Send>;
type Deliver<T> = Box<dyn FnOnce(Result<T, Error>) + Send>;
type Read = Box<dyn FnOnce(&Connection) + Send>;

/// Something the writer is to do.
pub(super) struct Call<T> {
    /// Whether it has to survive a power cut once it is answered.
    pub(super) durable: bool,
    /// Answers without a transaction, if it can.
    pub(super) at_once: Option<Answer<T>>,
    /// Does it, inside a transaction.
    pub(super) run: Run<T>,
    /// Gets the result after the commit, on the writer's thread.
    pub(super) deliver: Deliver<T>,
}

/// A call on its way through a transaction.
struct Pending<T> {
    durable: bool,
    at_once: Option<Answer<T>>,
    run: Option<Run<T>>,
    result: Option<Result<T, Error>>,
    deliver: Deliver<T>,
}

trait Step: Send {
    fn durable(&self) -> bool;
    /// Tries to do without a transaction; true if that settled it.
    fn at_once(&mut self, store: &Store) -> bool;
    /// Does it, apart from the others; an error is its own unless it ended the transaction.
    fn run(&mut self, store: &mut Store) -> Result<(), Error>;
    /// Answers; with an error, that error, whatever the result was.
    fn deliver(self: Box<Self>, failed: Option<Error>);
}

impl<T: Send> Step for Pending<T> {
    fn durable(&self) -> bool {
        self.durable
    }

    fn at_once(&mut self, store: &Store) -> bool {
        self.result = self
            .at_once
            .take()
            .and_then(|answer| answer(store).transpose());
        self.result.is_some()
    }

    fn run(&mut self, store: &mut Store) -> Result<(), Error> {
        let run = self.run.take().expect("a call is run once");
        let result = store.apart(run);
        let outcome = result.as_ref().map(|_| ()).map_err(Error::clone);
        self.result = Some(result);
        outcome
    }

    fn deliver(self: Box<Self>, failed: Option<Error>) {
        let result = match (failed, self.result) {
            // Its own error says more than that of the transaction.
            (_, Some(Err(error))) | (Some(error), _) => Err(error),
            (None, Some(Ok(value))) => Ok(value),
            (None, None) => unreachable!("a transaction that committed has run all its calls"),
        };
        (self.deliver)(result);
    }
}

/// The way to the threads. When it is dropped, both finish what they were given and end.
#[derive(Debug)]
pub(super) struct Threads {
    path: PathBuf,
    writer: Sender<Box<dyn Step>>,
    reader: Sender<Read>,
}

impl std::fmt::Debug for dyn Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Step")
    }
}

impl Threads {
    /// Starts both threads on the database at `path`; `farewell` is the writer's last call.
    pub(super) fn start(
        mut writer: Writer,
        path: &Path,
        patience: Duration,
        farewell: impl FnOnce(&mut Store) -> Result<(), Error> + Send + 'static,
    ) -> Result<Self, Error> {
        let connection = schema::open_reader(path, patience)?;
        let (reader, reads) = channel::<Read>();
        let (sender, steps) = channel::<Box<dyn Step>>();
        let failed = |error: std::io::Error| Error::file(path, &error);
        thread::Builder::new()
            .name("broker-read".into())
            .spawn(move || {
                for read in reads {
                    read(&connection);
                }
            })
            .map_err(failed)?;
        thread::Builder::new()
            .name("broker-write".into())
            .spawn(move || {
                writer.serve(&steps);
                if let Err(error) = writer.transaction(false, farewell) {
                    tracing::warn!(error = %error.chain(), "The broker's leases are left for others to release.");
                }
            })
            .map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            writer: sender,
            reader,
        })
    }

    /// Sends a call; it is done whether or not anybody waits.
    pub(super) fn send<T: Send + 'static>(&self, call: Call<T>) -> Result<(), Error> {
        let pending = Pending {
            durable: call.durable,
            at_once: call.at_once,
            run: Some(call.run),
            result: None,
            deliver: call.deliver,
        };
        self.writer
            .send(Box::new(pending))
            .map_err(|_| Error::stopped(&self.path))
    }

    /// Does `run` in a transaction and waits until it is committed.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        durable: bool,
        run: impl FnOnce(&mut Store) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.send(Call {
            durable,
            at_once: None,
            run: Box::new(run),
            deliver: Box::new(move |result| {
                // Whoever asked may be gone; the work is done all the same.
                let _ = reply.send(result);
            }),
        })?;
        answer.await.map_err(|_| Error::stopped(&self.path))?
    }

    /// Reads from a snapshot, without waiting for writers.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.read_soon(read)?
            .await
            .map_err(|_| Error::stopped(&self.path))?
    }

    /// As [`read`](Self::read), for threads that may block.
    pub(super) fn read_blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.read_soon(read)?
            .blocking_recv()
            .map_err(|_| Error::stopped(&self.path))?
    }

    fn read_soon<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<T, Error>>, Error> {
        let (reply, answer) = oneshot::channel();
        let path = self.path.clone();
        let read: Read = Box::new(move |connection| {
            let _ = reply.send(read(connection).map_err(|error| Error::sqlite(&path, error)));
        });
        self.reader
            .send(read)
            .map_err(|_| Error::stopped(&self.path))?;
        Ok(answer)
    }
}

/// What the writing thread owns.
pub(super) struct Writer {
    pub(super) store: Store,
    pub(super) turn: Turn,
    pub(super) bells: Bells,
    pub(super) news: Arc<News>,
    pub(super) client: Client,
}

impl Writer {
    fn serve(&mut self, steps: &Receiver<Box<dyn Step>>) {
        while let Ok(first) = steps.recv() {
            let mut group = Vec::new();
            for mut step in std::iter::once(first).chain(steps.try_iter().take(GROUP - 1)) {
                if step.at_once(&self.store) {
                    step.deliver(None);
                } else {
                    group.push(step);
                }
            }
            if group.is_empty() {
                continue;
            }
            let durable = group.iter().any(|step| step.durable());
            let failed = self
                .transaction(durable, |store| run_all(&mut group, store))
                .err();
            for step in group {
                step.deliver(failed.clone());
            }
        }
    }

    fn transaction(
        &mut self,
        durable: bool,
        work: impl FnOnce(&mut Store) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let client = self.client.name();
        let turn = self.turn.take()?;
        let committed = self.store.transaction(durable, |store| {
            work(store)?;
            store.has_others(client.as_deref())
        });
        drop(turn);
        let (others, queues) = committed?;
        for queue in queues {
            self.news.tell(queue);
            if others {
                self.bells.ring(queue);
            }
        }
        Ok(())
    }
}

fn run_all(group: &mut [Box<dyn Step>], store: &mut Store) -> Result<(), Error> {
    for step in group {
        if let Err(error) = step.run(store)
            && !store.in_transaction()
        {
            // An error that ended the transaction undid what came before it, too.
            return Err(error);
        }
    }
    Ok(())
}
