//! What the loop needs from the world, and is tested through.
//!
//! The loop calls every port from one task per flow; nothing here is called concurrently on one
//! value unless it says so. A port never panics and never blocks longer than its own time limits.

mod debugger;
mod outside;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_message::{Identity, Message, Timestamp, Topic};
use tokio::sync::Notify;

pub use debugger::{Debugger, Step, Stop};
pub use outside::{Desk, HttpRequest, HttpResponse, Lines, Submit};

/// Why something did not work, and so what the loop does about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Worth another try, after the delay a peer asked for.
    #[error("{reason}")]
    Temporary {
        /// What happened.
        reason: String,
        /// What the peer asked for.
        retry_after: Option<Duration>,
    },
    /// Never going to work for this message.
    #[error("{0}")]
    Permanent(String),
    /// Credentials were refused; the flow pauses.
    #[error("{0}")]
    Auth(String),
    /// A person has to change something; the flow stops.
    #[error("{0}")]
    Config(String),
    /// The plugin itself failed (trap, deadline, memory): the messages in hand are tried again.
    #[error("{0}")]
    Plugin(String),
}

impl Failure {
    /// A temporary failure without a delay.
    pub fn temporary(reason: impl Into<String>) -> Self {
        Self::Temporary {
            reason: reason.into(),
            retry_after: None,
        }
    }
}

/// A message taken from a queue.
#[derive(Debug)]
pub struct Received {
    /// What arrived; an undecodable body is an error text and is dead-lettered.
    pub message: Result<Message, String>,
    /// Names the delivery to [`Consumer::settle`].
    pub tag: u64,
    /// The same when this message is delivered again.
    pub key: String,
    /// Whether it was delivered before.
    pub redelivered: bool,
    /// How it got into the queue, where that was [asked for](Consumer::with_routes).
    pub route: Option<Route>,
}

/// How a message got into a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The exchange it was posted to.
    pub exchange: String,
    /// The topic it was posted under, dotted as [`Topic::of`] has it.
    pub topic: String,
}

/// What becomes of a delivery at its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// Done with; forget it.
    Ack,
    /// Not done; offer it again.
    Release,
}

/// A queue being consumed.
#[async_trait]
pub trait Consumer: Send {
    /// From now on, deliveries say their [`Route`]. Most flows do without: nothing is spent on it
    /// before.
    fn with_routes(&mut self) {}
    /// Whether messages come by themselves, so that an empty list may only mean that the next ones
    /// are still on their way.
    fn is_pushed(&self) -> bool {
        false
    }
    /// Takes what is there now, at most `limit`; an empty list means nothing.
    async fn receive(&mut self, limit: usize) -> Result<Vec<Received>, Failure>;
    /// Waits until there may be something to receive. Cancel safe.
    async fn ready(&mut self) -> Result<(), Failure>;
    /// Tells the queue what became of deliveries; durable on return.
    async fn settle(&mut self, settlements: &[(u64, Settlement)]) -> Result<(), Failure>;
    /// Messages waiting, where the broker can say.
    async fn depth(&mut self) -> Result<Option<u64>, Failure>;
    /// Releases what is held and closes.
    async fn close(&mut self) -> Result<(), Failure>;
}

/// A message on its way out.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// What to post.
    pub message: Arc<Message>,
    /// Under which topic.
    pub topic: Topic,
    /// Posts with the same key are the same post: a broker that can, drops the second.
    pub key: Option<String>,
}

/// What a broker said to one post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirm {
    /// Durable there.
    Posted,
    /// It was there already, by key.
    Duplicate,
}

/// An exchange being posted to.
#[async_trait]
pub trait Publisher: Send {
    /// Posts in order; returns once all is durable. On an error the caller posts the whole batch
    /// again, with the same keys.
    async fn post(&mut self, batch: &[Outgoing]) -> Result<Vec<Confirm>, Failure>;
    /// Closes.
    async fn close(&mut self) -> Result<(), Failure>;
}

/// The time, and waiting for it.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Now, UTC.
    fn now(&self) -> Timestamp;
    /// Waits.
    async fn sleep(&self, duration: Duration);
    /// A number in `0.0..1.0`, for jitter.
    fn random(&self) -> f64;
}

/// A message in hand, as a callback sees it.
#[derive(Debug, Clone)]
pub struct Item {
    /// Names the message in this call.
    pub id: u64,
    /// The same at every attempt.
    pub key: String,
    /// Tries before this one.
    pub attempt: u32,
    /// The message; its delivery keeps it as it came, so that who changes it copies it first.
    pub message: Arc<Message>,
    /// Where its content is, or will be: here, or in a flow that sends, there. Then a relative
    /// directory is below `sendTo`.
    pub location: Option<Location>,
    /// In a flow that sends, for an operation on files: where the old name, or what is linked, is
    /// there.
    pub other: Option<Location>,
}

/// A place for content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The directory, resolved.
    pub directory: PathBuf,
    /// One path element.
    pub filename: String,
}

impl Location {
    /// The whole path.
    pub fn path(&self) -> PathBuf {
        self.directory.join(&self.filename)
    }
}

/// One change to a message.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each case is named after the field it sets")]
pub enum Edit {
    PubTime(Timestamp),
    BaseUrl(String),
    RelPath(String),
    RetrievePath(Option<String>),
    Size(Option<u64>),
    Mtime(Option<Timestamp>),
    ContentType(Option<String>),
    Identity(Option<Identity>),
    Directory(String),
    Filename(String),
    Header(String, Option<serde_json::Value>),
}

/// A message a callback made.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// The message; for derived content the loop fills in size, identity and URL.
    pub message: Message,
    /// The content written for it: the handle [`ContentWriter::finish`] gave.
    pub content: Option<u64>,
}

/// What a callback decides about one message.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// Goes on.
    Keep,
    /// Goes on, changed.
    Update(Vec<Edit>),
    /// Goes no further, on purpose.
    Reject(Rejection),
    /// Did not work.
    Fail(Failure),
    /// These go on instead.
    Replace(Vec<NewMessage>),
    /// It goes on, and these with it.
    Add(Vec<NewMessage>),
    /// Again after that time, without losing a try: nothing went wrong. A day at most counts.
    Wait {
        /// How long.
        after: Duration,
        /// For people: until what.
        reason: String,
    },
}

/// Why a message goes no further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// As in sr3's reports.
    pub code: u16,
    /// For people.
    pub reason: String,
}

impl Rejection {
    /// The code of a message whose name or path can't be used: it leads out of its directory, holds
    /// control characters, is too long.
    pub const BAD_NAME: u16 = 422;

    /// Whether the name or path is what it was rejected for. No rule asked for that, so somebody may
    /// have to look.
    pub fn is_of_bad_name(&self) -> bool {
        self.code == Self::BAD_NAME
    }
}

/// What became of one download or send.
#[derive(Debug, Clone)]
pub enum Worked {
    /// Done, with what was learnt.
    Done(Vec<Edit>),
    /// Goes no further.
    Reject(Rejection),
    /// Did not work.
    Fail(Failure),
}

/// How a message ended, as its origin is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    /// Posted and confirmed, or done where nothing is posted.
    Posted,
    /// Rejected.
    Rejected(Rejection),
    /// Durably in retry; settles again.
    Retrying(String),
    /// Given up; in the dead letters.
    Dead(String),
}

/// A message and how it ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The message as the callback gathered or downloaded it.
    pub item: Item,
    /// How it ended.
    pub fate: Fate,
}

/// What a gather brought.
#[derive(Debug, Default)]
pub struct Gathered {
    /// Oldest first.
    pub messages: Vec<Message>,
    /// Ask again at once.
    pub more: bool,
}

/// The entry points a callback has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "each field is named after its entry point")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a set of flags is what it is"
)]
pub struct EntryPoints {
    pub lifecycle: bool,
    pub gather: bool,
    pub wake: bool,
    pub settled: bool,
    pub after_accept: bool,
    pub download: bool,
    pub send: bool,
    pub after_work: bool,
    pub post: bool,
    pub request: bool,
    pub line: bool,
}

/// One instance of a plugin in one flow, or of what is built in.
///
/// Life: `start` once, then any calls, `housekeeping` between batches, `stop` last. After a
/// [`Failure::Plugin`] the implementation has replaced the instance (and started the new one before
/// its next call); the messages of that call are the caller's to try again.
///
/// Only what [`entry_points`](Self::entry_points) names is ever called; the rest need not be written.
#[async_trait]
pub trait Callback: Send {
    /// The plugin's name.
    fn name(&self) -> &str;
    /// What it can do.
    fn entry_points(&self) -> EntryPoints;
    /// URL schemes `download` and `send` serve.
    fn schemes(&self) -> &[String] {
        &[]
    }
    /// Starts the instance; returns how many instances may work at the same time.
    async fn start(&mut self) -> Result<Option<u32>, Failure> {
        Ok(None)
    }
    /// Asks the origin what is new.
    async fn gather(&mut self, _limit: usize, _state: Arc<dyn State>) -> Result<Gathered, Failure> {
        Ok(Gathered::default())
    }
    /// Waits for the origin to call; returns early and false when `wanted` fires.
    async fn wait(&mut self, _timeout: Duration, _wanted: Arc<Notify>) -> Result<bool, Failure> {
        Ok(false)
    }
    /// Side effects at the origin.
    async fn settled(
        &mut self,
        _outcomes: &[Outcome],
        _state: Arc<dyn State>,
    ) -> Result<(), Failure> {
        Ok(())
    }
    /// Decides; one verdict per item, in order.
    async fn after_accept(
        &mut self,
        batch: &[Item],
        _state: Arc<dyn State>,
    ) -> Result<Vec<Verdict>, Failure> {
        Ok(batch.iter().map(|_| Verdict::Keep).collect())
    }
    /// Fetches; one result per item, in order.
    async fn download(
        &mut self,
        _batch: &[Item],
        _content: Arc<dyn Content>,
        _state: Arc<dyn State>,
    ) -> Result<Vec<Worked>, Failure> {
        Err(Failure::Config(format!(
            "`{}` does not download",
            self.name()
        )))
    }
    /// Delivers; one result per item, in order.
    async fn send(
        &mut self,
        _batch: &[Item],
        _content: Arc<dyn Content>,
        _state: Arc<dyn State>,
    ) -> Result<Vec<Worked>, Failure> {
        Err(Failure::Config(format!("`{}` does not send", self.name())))
    }
    /// Looks at content; one verdict per item, in order.
    async fn after_work(
        &mut self,
        batch: &[Item],
        _content: Arc<dyn Content>,
        _state: Arc<dyn State>,
    ) -> Result<Vec<Verdict>, Failure> {
        Ok(batch.iter().map(|_| Verdict::Keep).collect())
    }
    /// Posts to what is no broker; one result per item, in order.
    async fn post(
        &mut self,
        _batch: &[Item],
        _state: Arc<dyn State>,
    ) -> Result<Vec<Result<(), Failure>>, Failure> {
        Err(Failure::Config(format!("`{}` does not post", self.name())))
    }
    /// Answers a request. Called on instances that do nothing of the loop.
    async fn request(
        &mut self,
        _request: &HttpRequest,
        _desk: Desk,
    ) -> Result<HttpResponse, Failure> {
        Err(Failure::Config(format!(
            "`{}` answers no requests",
            self.name()
        )))
    }
    /// Takes a line of a peer; says whether more of them are wanted. Called on instances that do nothing
    /// of the loop.
    async fn line(&mut self, _peer: u64, _text: &str, _desk: Desk) -> Result<bool, Failure> {
        Err(Failure::Config(format!("`{}` takes no lines", self.name())))
    }
    /// No more lines of this peer will come.
    async fn closed(&mut self, _peer: u64, _desk: Desk) -> Result<(), Failure> {
        Ok(())
    }
    /// Upkeep: between batches, and once a second where lines are served.
    async fn housekeeping(&mut self, _state: Arc<dyn State>) -> Result<(), Failure> {
        Ok(())
    }
    /// Ends the instance.
    async fn stop(&mut self) {}
}

/// Makes callback instances: one chain per lane.
#[async_trait]
pub trait CallbackFactory: Send + Sync {
    /// A fresh, unstarted instance of callback number `index` of the flow, for lane `instance`.
    async fn create(&self, index: usize, instance: u32) -> Result<Box<dyn Callback>, Failure>;
}

/// Durable pairs of one callback; writes join the transaction of the pass they were made in.
pub trait State: Send + Sync {
    /// Reads, writes of this pass included.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Failure>;
    /// Writes, or deletes with no value; `ttl` counts from now.
    fn put(&self, key: &str, value: Option<Vec<u8>>, ttl: Option<Duration>) -> Result<(), Failure>;
    /// Keys with `prefix` that sort after `after`, in order.
    fn list(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<String>, Failure>;
}

/// The content of the messages of one call.
pub trait Content: Send + Sync {
    /// Opens the content of an item, with its length.
    fn open(&self, id: u64) -> Result<(Box<dyn ContentReader>, u64), Failure>;
    /// Starts the content of an item being downloaded.
    fn create(&self, id: u64) -> Result<Box<dyn ContentWriter>, Failure>;
    /// Starts content derived from an item; none where the flow's filters do not want it.
    fn derive(
        &self,
        id: u64,
        rel_path: &str,
        content_type: Option<&str>,
    ) -> Result<Option<Box<dyn ContentWriter>>, Failure>;
}

/// Content being read.
pub trait ContentReader: Send {
    /// The next bytes, at most `max`; empty means the end.
    fn read(&mut self, max: usize) -> Result<Vec<u8>, Failure>;
    /// When it was last changed, where it is a file of this machine.
    fn modified(&self) -> Option<Timestamp> {
        None
    }
}

/// Content being written. Dropped unfinished, it leaves nothing behind.
pub trait ContentWriter: Send {
    /// Appends.
    fn write(&mut self, data: &[u8]) -> Result<(), Failure>;
    /// Gives it its final name and returns the handle for [`NewMessage::content`].
    fn finish(self: Box<Self>) -> Result<u64, Failure>;
}

/// Sees what happens, for logs, traces, progress and counts. Called from the hot path: cheap.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn event(&self, event: &Event<'_>);
    /// Whether events about single messages are wanted at all.
    fn wants_messages(&self) -> bool {
        false
    }
    /// How often [`Event::Waiting`] is wanted; none: never. Counting takes a question to the broker.
    fn wants_waiting(&self) -> Option<Duration> {
        None
    }
}

/// What a flow is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The broker messages come from.
    Input,
    /// The broker messages go to.
    Output,
    /// What a callback gathers from.
    Origin,
}

/// What happened. Events about single messages come only to observers that want them.
#[derive(Debug)]
#[expect(
    missing_docs,
    reason = "the cases say what happened, their fields to what"
)]
pub enum Event<'a> {
    Started,
    /// A gather is about to ask its origin.
    Gathering {
        callback: &'a str,
    },
    Gathered {
        message: &'a Message,
        from: &'a str,
    },
    Accepted {
        message: &'a Message,
        rule: Option<&'a str>,
        location: Option<&'a Location>,
    },
    Rejected {
        message: &'a Message,
        rejection: &'a Rejection,
        stage: &'a str,
    },
    Judged {
        message: &'a Message,
        callback: &'a str,
        entry_point: &'a str,
        verdict: &'a str,
        elapsed: Duration,
    },
    Fetched {
        message: &'a Message,
        path: &'a Path,
        bytes: u64,
        elapsed: Duration,
    },
    /// Its content, or the operation it is about, is at `path` at the server the flow sends to.
    Sent {
        message: &'a Message,
        path: &'a Path,
        bytes: u64,
        elapsed: Duration,
    },
    Derived {
        message: &'a Message,
        from: &'a Message,
        path: Option<&'a Path>,
        bytes: u64,
    },
    Posted {
        message: &'a Message,
        exchange: &'a str,
        topic: &'a str,
        confirm: Confirm,
    },
    Retrying {
        message: &'a Message,
        attempt: u32,
        failure: &'a Failure,
        due: Timestamp,
    },
    Dead {
        message: &'a Message,
        reason: &'a str,
    },
    Settled {
        message: &'a Message,
        fate: &'a Fate,
    },
    /// Once per pass that had something in hand.
    Pass(&'a PassCounts),
    /// The flow does its upkeep, once every `housekeeping`.
    Housekeeping,
    /// A guest or a transfer says how far it is; `total` 0 is unknown.
    Progress {
        what: &'a str,
        done: u64,
        total: u64,
        unit: &'a str,
    },
    /// A connection works that did not, or that nobody had tried yet; or it does not any more.
    Connection {
        side: Side,
        up: bool,
    },
    /// What waits, about as often as [`Observer::wants_waiting`] asks, and soon after it changed.
    Waiting {
        /// In the queue, where its broker can say.
        queue: Option<u64>,
        retry: u64,
        dead: u64,
    },
    /// The flow waits before it goes on, e.g. after auth failures or when a broker is away.
    Paused {
        reason: &'a str,
        wait: Duration,
    },
    Draining,
    /// The plugins of this run were made: from now on they tell what they use.
    Plugins(&'a Arc<dyn crate::usage::Uses>),
    Stopped,
    /// The flow works elsewhere, on the machine that has one of these addresses; here it waits.
    Standby {
        vip: &'a [IpAddr],
    },
}

/// What one pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field counts what it is named after")]
pub struct PassCounts {
    pub gathered: u64,
    pub rejected: u64,
    pub fetched: u64,
    pub sent: u64,
    pub derived: u64,
    pub posted: u64,
    pub duplicates: u64,
    pub retrying: u64,
    pub dead: u64,
    /// Of the dead, those that could not even be read.
    pub malformed: u64,
    pub bytes: u64,
    pub sent_bytes: u64,
    pub lag: Lag,
    pub elapsed: Duration,
}

/// How far behind the messages were that came from the queue: their age when they were taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is named after what it holds")]
pub struct Lag {
    pub messages: u64,
    pub total: Duration,
    pub longest: Duration,
}

impl Lag {
    /// One more message, this old.
    pub fn note(&mut self, age: Duration) {
        self.add(Self {
            messages: 1,
            total: age,
            longest: age,
        });
    }

    /// Both together.
    pub fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.total = self.total.saturating_add(other.total);
        self.longest = self.longest.max(other.longest);
    }

    /// The mean; zero of nothing.
    pub fn mean(&self) -> Duration {
        match self.messages {
            0 => Duration::ZERO,
            messages => Duration::from_secs_f64(self.total.as_secs_f64() / messages as f64),
        }
    }
}

impl PassCounts {
    /// Adds the counts of another pass.
    pub fn add(&mut self, other: &Self) {
        self.gathered += other.gathered;
        self.rejected += other.rejected;
        self.fetched += other.fetched;
        self.derived += other.derived;
        self.posted += other.posted;
        self.duplicates += other.duplicates;
        self.retrying += other.retrying;
        self.dead += other.dead;
        self.malformed += other.malformed;
        self.bytes += other.bytes;
        self.sent += other.sent;
        self.sent_bytes += other.sent_bytes;
        self.lag.add(other.lag);
        self.elapsed = self.elapsed.saturating_add(other.elapsed);
    }
}
