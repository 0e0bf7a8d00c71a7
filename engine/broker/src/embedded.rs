//! The embedded broker: durable topic exchanges and queues in one SQLite file, shared by any number of
//! processes on one machine.
//!
//! # What it does
//! - A post is durable when it is confirmed: the log is synced before the answer. A batch is one
//!   transaction. What several tasks of a process post at the same time shares one sync.
//! - A queue offers its messages oldest first. What a consumer takes is *leased* to its session until it
//!   is settled; when the session ends (closed, dropped, its process killed) it is offered again in its
//!   old place, marked `redelivered`. An ack always counts, even if the lease was lost meanwhile.
//! - `key` of a delivery is `<queue>/<epoch>.<message>`: the same at every delivery, and never that of
//!   another, not even after the file was deleted and begun anew.
//! - A post with a key that the exchange has seen within 30 days is dropped as a duplicate. Only posts
//!   that reached a queue are remembered.
//! - As with AMQP, a post for which no queue is bound is accepted and dropped. It is counted
//!   ([`ExchangeStatus::unrouted`]) and logged.
//! - Consumers wake when something is posted, by any process, without polling. Where directories can't
//!   be watched they look every 250 ms instead.
//!
//! # What it does not
//! It is for one machine: SQLite's log needs shared memory, so the file must be on a local disk. It keeps
//! order within a queue only as long as one consumer takes and nothing is released. It limits neither
//! the length of queues nor the size of the file; the disk does. It has no priorities, and no dead
//! letters: that is the loop's business.
//!
//! # Design constraints
//! - Nobody waits on a disk in an async task: one thread writes, one reads (`work`).
//! - A message costs the same however many queues it goes to: bodies are stored once and counted.
//! - Nothing is written for an idle consumer, nothing is scanned that grows with the length of a queue,
//!   except when somebody asks how long it is.
//! - Leases survive a killed process but not a power cut, which no session survives either: taking
//!   messages needs no sync. After a power cut a message may come a second time without `redelivered`.
//!
//! # On disk
//! - `<path>`, `<path>-wal`, `<path>-shm`: the SQLite database in WAL mode, tables in `schema`. It carries
//!   an `application_id` and, in `meta`, the version of its schema; a newer one is refused. `message.body`
//!   is v03 JSON.
//! - `<path>.live/`: holds no data and may be removed while no process uses the broker. `<queue>.bell`
//!   is touched to wake consumers (`bell`), `<client>.lock` is locked by a living process that
//!   consumes (`alive`), `turn.*` make writers wait in line (`turn`).
//!
//! # Recovery
//! There is none beyond SQLite's own: a transaction is there whole or not at all. Leases of dead
//! processes are released by the living within moments (`keeper`), or by the next one that starts.

mod alive;
mod bell;
mod consumer;
mod keeper;
mod publisher;
mod schema;
mod status;
mod store;
#[cfg(test)]
mod tests;
mod topology;
mod turn;
mod work;

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, SystemTime};

use flow_message::Timestamp;

use crate::error::{Error, Kind};
use alive::Client;
use bell::{Bells, News};
use store::Store;
use turn::Turn;
use work::{Threads, Writer};

pub use consumer::EmbeddedConsumer;
pub use publisher::{EmbeddedPublisher, Posting};
pub use status::{Binding, ExchangeStatus, Peeked, QueueStatus};
pub use store::{Declaration, Housekept};

/// Tells the time.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How a broker behaves; the defaults are right for all but tests.
#[derive(Clone)]
pub struct Options {
    /// The clock that ages, expiry and the memory for keys go by.
    pub clock: Now,
    /// After this long without a sign of life a process that still exists loses its leases. Those of a
    /// process that ended are released at once.
    pub lease: Duration,
    /// How long a call waits while other processes write, before it is [`Kind::Busy`].
    pub patience: Duration,
    /// Wakes consumers through a watch on a directory; without it they look every 250 ms.
    pub watch: bool,
    /// Gives signs of life. Without it other processes take the leases after `lease`.
    pub renew: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Arc::new(|| SystemTime::now().into()),
            lease: Duration::from_secs(60),
            patience: Duration::from_secs(30),
            watch: true,
            renew: true,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("lease", &self.lease)
            .field("patience", &self.patience)
            .field("watch", &self.watch)
            .field("renew", &self.renew)
            .finish_non_exhaustive()
    }
}

/// A broker in a file, open.
///
/// Clones share its threads; so should all flows of a process. It is closed when the last clone,
/// consumer and publisher is gone, or by [`close`](Self::close).
#[derive(Debug, Clone)]
pub struct EmbeddedBroker {
    shared: Arc<Shared>,
}

/// What the broker, its consumers and its publishers have in common.
#[derive(Debug)]
struct Shared {
    path: PathBuf,
    /// The directory of bells and locks.
    live: PathBuf,
    epoch: String,
    options: Options,
    threads: Threads,
    news: Arc<News>,
    client: Client,
    /// Ends with the broker, and the keeper with it.
    watcher: Option<notify::RecommendedWatcher>,
    _nudge: Sender<()>,
}

impl Shared {
    fn now(&self) -> i64 {
        (self.options.clock)().as_millisecond()
    }
}

impl EmbeddedBroker {
    /// Opens the broker at `path`, creating it and its directory when there is none. Blocks for some
    /// milliseconds, longer while other processes write.
    ///
    /// # Errors
    /// [`Kind::NotABroker`], [`Kind::Newer`] and [`Kind::Corrupt`] leave the file as it is and need a
    /// person; so does [`Kind::ReadOnly`]. The others may pass.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        let path = path.as_ref();
        let live = live_directory(path);
        std::fs::create_dir_all(&live).map_err(|error| Error::file(&live, &error))?;
        let turn = Turn::open(&live, path, options.patience)?;
        let store = {
            let _turn = turn.take()?;
            Store::open(path, options.patience, (options.clock)().as_millisecond())?
        };
        let epoch = store.epoch().to_owned();
        let (news, client) = (Arc::new(News::default()), Client::default());
        let (nudge, nudges) = channel();
        let watcher = if options.watch {
            keeper::watch(&live, Arc::clone(&news), nudge.clone())
        } else {
            None
        };
        let writer = Writer {
            store,
            turn,
            bells: Bells::new(&live),
            news: Arc::clone(&news),
            client: client.clone(),
        };
        let (leaving, clock) = (client.clone(), options.clock.clone());
        let threads = Threads::start(writer, path, options.patience, move |store| {
            leaving.name().map_or(Ok(()), |name| {
                store
                    .remove_client(&name, clock().as_millisecond())
                    .map(|_| ())
            })
        })?;
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            live,
            epoch,
            options,
            threads,
            news,
            client,
            watcher,
            _nudge: nudge,
        });
        keeper::start(&shared, nudges).map_err(|error| Error::file(path, &error))?;
        Ok(Self { shared })
    }

    /// Where the broker is.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Makes a queue what `declaration` says, with the exchange it is bound to: bindings that are not
    /// in it are removed, messages stay.
    ///
    /// # Errors
    /// [`Kind::Name`] for names no broker could carry, and what the file may have.
    pub async fn declare(&self, declaration: &Declaration) -> Result<(), Error> {
        let (wanted, now) = (declaration.clone(), self.shared.now());
        self.shared
            .threads
            .write(true, move |store| store.declare(&wanted, now).map(|_| ()))
            .await
    }

    /// Declares a queue and starts a session on it, which holds at most `prefetch` messages at a time.
    ///
    /// # Errors
    /// As [`declare`](Self::declare).
    pub async fn consumer(
        &self,
        declaration: &Declaration,
        prefetch: usize,
    ) -> Result<EmbeddedConsumer, Error> {
        EmbeddedConsumer::open(Arc::clone(&self.shared), declaration.clone(), prefetch).await
    }

    /// Posts to an exchange, which is declared by the first post.
    ///
    /// # Errors
    /// [`Kind::Name`] for a name no broker could carry.
    pub fn publisher(&self, exchange: &str) -> Result<EmbeddedPublisher, Error> {
        self.publisher_to(Posting::new(exchange))
    }

    /// Posts to an exchange, or to the parts of one, in the form asked for.
    ///
    /// # Errors
    /// As [`publisher`](Self::publisher).
    pub fn publisher_to(&self, posting: Posting) -> Result<EmbeddedPublisher, Error> {
        for exchange in posting.exchanges() {
            store::check_name("exchange", &exchange)?;
        }
        Ok(EmbeddedPublisher::new(Arc::clone(&self.shared), posting))
    }

    /// All queues and what waits in them, by name.
    ///
    /// # Errors
    /// What the file may have.
    pub async fn queues(&self) -> Result<Vec<QueueStatus>, Error> {
        let now = self.shared.now();
        self.shared
            .threads
            .read(move |connection| status::queues(connection, now))
            .await
    }

    /// All exchanges, by name, with the count of posts that went nowhere.
    ///
    /// # Errors
    /// What the file may have.
    pub async fn exchanges(&self) -> Result<Vec<ExchangeStatus>, Error> {
        self.shared.threads.read(status::exchanges).await
    }

    /// The oldest messages of a queue, held ones too, leaving everything as it is.
    ///
    /// # Errors
    /// [`Kind::NoQueue`], and what the file may have.
    pub async fn peek(&self, queue: &str, limit: usize) -> Result<Vec<Peeked>, Error> {
        let (name, epoch) = (queue.to_owned(), self.shared.epoch.clone());
        let peeked = self
            .shared
            .threads
            .read(move |connection| status::peek(connection, &epoch, &name, limit))
            .await?;
        peeked.ok_or_else(|| {
            let path = self.shared.path.display();
            Error::new(
                Kind::NoQueue,
                format!("the broker `{path}` has no queue `{queue}`"),
            )
        })
    }

    /// Removes the messages that wait in a queue, not those that consumers hold; returns how many.
    /// One transaction: with millions of messages other writers wait for some seconds.
    ///
    /// # Errors
    /// [`Kind::NoQueue`], and what the file may have.
    pub async fn purge(&self, queue: &str) -> Result<u64, Error> {
        let queue = queue.to_owned();
        self.shared
            .threads
            .write(true, move |store| store.purge(&queue))
            .await
    }

    /// Removes a queue with everything in it; false if there was none. A consumer that still uses it
    /// declares it again.
    ///
    /// # Errors
    /// What the file may have.
    pub async fn delete_queue(&self, queue: &str) -> Result<bool, Error> {
        let queue = queue.to_owned();
        self.shared
            .threads
            .write(true, move |store| store.delete_queue(&queue))
            .await
    }

    /// Forgets which keys were posted to an exchange, so that all of it may be posted again on
    /// purpose; returns how many.
    ///
    /// # Errors
    /// What the file may have.
    pub async fn forget_keys(&self, exchange: &str) -> Result<u64, Error> {
        let exchange = exchange.to_owned();
        self.shared
            .threads
            .write(true, move |store| store.forget_keys(&exchange))
            .await
    }

    /// Removes what has expired (unused queues, messages, keys), gives room back to the disk and clears
    /// away what dead processes left. For every few minutes; any number of processes may do it.
    ///
    /// # Errors
    /// What the file may have.
    pub async fn housekeeping(&self) -> Result<Housekept, Error> {
        let (threads, now) = (&self.shared.threads, self.shared.now());
        let mut kept = threads
            .write(true, move |store| store.housekeep(now))
            .await?;
        loop {
            let (pruned, more) = threads
                .write(true, move |store| store.prune_keys(now))
                .await?;
            kept.keys_forgotten += pruned;
            if !more {
                break;
            }
        }
        while threads.write(false, Store::shrink).await? {}
        self.sweep().await?;
        Ok(kept)
    }

    async fn sweep(&self) -> Result<(), Error> {
        let live = self.shared.live.clone();
        self.shared
            .threads
            .read(move |connection| {
                // Files first, then the tables: what is made between the two is not taken for old.
                let files: Vec<PathBuf> = std::fs::read_dir(&live)
                    .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
                    .unwrap_or_default();
                let clients: HashSet<String> = keeper::clients(connection)?
                    .into_iter()
                    .map(|(name, ..)| name)
                    .collect();
                let queues: HashSet<i64> = status::queue_ids(connection)?;
                alive::sweep(&files, &clients);
                bell::sweep(&files, |queue| queues.contains(&queue));
                Ok(())
            })
            .await
    }

    /// Waits until everything asked for before is done, and ends the sessions of all consumers of this
    /// broker in this process.
    ///
    /// # Errors
    /// What the file may have; others release the leases then.
    pub async fn close(self) -> Result<(), Error> {
        let (client, now) = (self.shared.client.clone(), self.shared.now());
        self.shared
            .threads
            .write(true, move |store| {
                client
                    .name()
                    .map_or(Ok(()), |name| store.remove_client(&name, now).map(|_| ()))
            })
            .await
    }
}

/// The directory of bells and locks of the broker at `path`.
fn live_directory(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".live");
    PathBuf::from(name)
}
