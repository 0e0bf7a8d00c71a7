//! Announcing given paths once: the kind `post`.
//!
//! Paths come from the caller as an iterator, which may be a list or the lines of stdin; each is
//! walked. Pages are made ahead: while the loop posts one, the next is being hashed. A page ends at
//! the loop's limit or after a short time, whichever is first, so that neither a large file nor a
//! slow list holds back what is ready.
//!
//! # What is promised
//! Each path is announced at least once, if the flow runs to its end. Nothing is remembered: posted
//! again, or again after a crash, unchanged files make messages with the same item keys, which the
//! embedded broker and `nodupe_ttl` take for repeats. What could not be announced is named in the
//! log when it happens, and counted in the failure that ends the gathering, after everything else
//! was handed out.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use flow_message::Message;
use flow_runtime::ports::{Callback, EntryPoints, Failure, Gathered, State};
use tokio::task::JoinHandle;

use crate::announce::{Announcer, Made, Op, Work};
use crate::options::Announcing;
use crate::walk::{Kind, Step, Visited, Walk};

/// How long a page is filled once it has something, and hashed: the first messages of a large post
/// are out within twice this.
const FILL: Duration = Duration::from_millis(60);
/// Paths read ahead from the caller's list.
const AHEAD: usize = 1_024;

/// What to post.
pub struct PostOptions {
    /// The callback's name in logs and keys; `post`.
    pub name: String,
    /// `path`: files and directories, relative ones from the working directory. Read on a thread of
    /// its own, so it may block.
    pub paths: Box<dyn Iterator<Item = io::Result<PathBuf>> + Send>,
    /// How they become messages.
    pub announcing: Announcing,
}

/// Gathers the messages of given paths, then says `more: false`.
pub struct Post {
    name: String,
    list: Option<Box<dyn Iterator<Item = io::Result<PathBuf>> + Send>>,
    announcer: Arc<Announcer>,
    maker: Option<Maker>,
    page: Option<JoinHandle<(Maker, Vec<Message>)>>,
    ready: VecDeque<Message>,
    ended: bool,
}

impl Post {
    /// Touches nothing yet.
    pub fn new(options: PostOptions) -> Self {
        let mut announcing = options.announcing;
        // The loop holds young files back, in its retry: here there is no later.
        announcing.file_age_min = Duration::ZERO;
        Self {
            name: options.name,
            list: Some(options.paths),
            announcer: Arc::new(Announcer::new(announcing)),
            maker: None,
            page: None,
            ready: VecDeque::new(),
            ended: false,
        }
    }

    /// Starts the next page, unless it is started or there is none.
    fn prepare(&mut self, limit: usize) -> Result<(), Failure> {
        if let Some(list) = self.list.take() {
            self.maker = Some(Maker::new(list, Arc::clone(&self.announcer))?);
        }
        if self.page.is_none()
            && let Some(mut maker) = self.maker.take_if(|maker| !maker.ended())
        {
            let span = tracing::Span::current();
            self.page = Some(tokio::task::spawn_blocking(move || {
                let page = span.in_scope(|| maker.page(limit));
                (maker, page)
            }));
        }
        Ok(())
    }
}

impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Post")
            .field("name", &self.name)
            .field("announcer", &self.announcer)
            .field("ready", &self.ready.len())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Callback for Post {
    fn name(&self) -> &str {
        &self.name
    }

    fn entry_points(&self) -> EntryPoints {
        EntryPoints {
            gather: true,
            ..EntryPoints::default()
        }
    }

    /// Waits for the first message; an empty page is the end. Cancel safe.
    ///
    /// # Errors
    /// `Permanent`, once and last, if something could not be announced.
    async fn gather(&mut self, limit: usize, _: Arc<dyn State>) -> Result<Gathered, Failure> {
        let limit = limit.max(1);
        loop {
            if self.ready.is_empty() {
                self.prepare(limit)?;
                let Some(page) = self.page.as_mut() else {
                    break;
                };
                let (maker, page_made) = page.await.map_err(|panic| {
                    Failure::Permanent(format!("reading files failed: {panic}"))
                })?;
                self.page = None;
                self.maker = Some(maker);
                self.ready.extend(page_made);
                self.prepare(limit)?;
                continue;
            }
            let take = limit.min(self.ready.len());
            let messages = self.ready.drain(..take).collect();
            let failed = self.maker.as_ref().is_some_and(|maker| maker.failed > 0);
            let more = !self.ready.is_empty() || self.page.is_some() || failed;
            return Ok(Gathered { messages, more });
        }
        if let Some(maker) = self.maker.as_ref()
            && maker.failed > 0
            && !std::mem::replace(&mut self.ended, true)
        {
            return Err(Failure::Permanent(format!(
                "{} could not be announced, as was said of each; everything else was",
                match maker.failed {
                    1 => "one path".to_owned(),
                    failed => format!("{failed} paths"),
                }
            )));
        }
        Ok(Gathered::default())
    }

    async fn stop(&mut self) {
        if let Some(page) = self.page.take() {
            page.abort();
        }
    }
}

/// Makes one page after the other. Lives on blocking threads.
struct Maker {
    announcer: Arc<Announcer>,
    list: Option<Receiver<io::Result<PathBuf>>>,
    walk: Option<Walk>,
    /// Where links lead, to be walked after what is in hand.
    targets: VecDeque<PathBuf>,
    visited: Visited,
    found: VecDeque<Work>,
    failed: u64,
}

impl Maker {
    fn new(
        list: Box<dyn Iterator<Item = io::Result<PathBuf>> + Send>,
        announcer: Arc<Announcer>,
    ) -> Result<Self, Failure> {
        let (sender, receiver) = mpsc::sync_channel(AHEAD);
        let read = move || read_list(list, &sender);
        std::thread::Builder::new()
            .name("flow-post-list".to_owned())
            .spawn(read)
            .map_err(|error| Failure::temporary(format!("no thread to read paths: {error}")))?;
        Ok(Self {
            announcer,
            list: Some(receiver),
            walk: None,
            targets: VecDeque::new(),
            visited: Visited::default(),
            found: VecDeque::new(),
            failed: 0,
        })
    }

    fn ended(&self) -> bool {
        self.list.is_none()
            && self.walk.is_none()
            && self.targets.is_empty()
            && self.found.is_empty()
    }

    /// At most `limit` messages; none only at the end.
    fn page(&mut self, limit: usize) -> Vec<Message> {
        let mut messages = Vec::new();
        while messages.is_empty() && !self.ended() {
            self.fill(limit);
            let works = self.found.make_contiguous();
            let made = self.announcer.page(works, FILL);
            self.found.drain(..made.len());
            for made in made {
                match made {
                    Made::Message { message, .. } => messages.push(*message),
                    Made::Nothing | Made::Vanished | Made::Later(_) => {}
                    Made::Impossible | Made::Closed => self.failed += 1,
                }
            }
        }
        self.announcer.mix(&mut messages);
        messages
    }

    /// Finds up to `limit` works; waits for the first one, and shortly for others.
    fn fill(&mut self, limit: usize) {
        let deadline = Instant::now() + FILL;
        while self.found.len() < limit {
            if !self.found.is_empty() && Instant::now() > deadline {
                return;
            }
            if let Some(walk) = &mut self.walk {
                match walk.next() {
                    Some(step) => self.step(step),
                    None => self.walk = None,
                }
            } else if let Some(target) = self.targets.pop_front() {
                self.walk = Some(Walk::new(target));
            } else if let Some(list) = &self.list {
                let wait = if self.found.is_empty() {
                    Duration::MAX
                } else {
                    deadline.saturating_duration_since(Instant::now())
                };
                match receive(list, wait) {
                    Ok(Ok(path)) => self.begin(path),
                    Ok(Err(error)) => {
                        self.failed += 1;
                        tracing::error!(reason = %error, "The list of paths can't be read further.");
                    }
                    Err(RecvTimeoutError::Timeout) => return,
                    Err(RecvTimeoutError::Disconnected) => self.list = None,
                }
            } else {
                return;
            }
        }
    }

    fn begin(&mut self, path: PathBuf) {
        match self.announcer.options.resolve(&path) {
            Ok(resolved) => {
                if let Err(error) = self.announcer.options.naming.rel_path(&resolved) {
                    self.failed += 1;
                    tracing::error!(reason = %error, "A path can't be announced.");
                    return;
                }
                self.walk = Some(Walk::new(resolved));
            }
            Err(error) => self.step(Step::Failed(path, error)),
        }
    }

    fn step(&mut self, step: Step) {
        let follow = self.announcer.options.follow_symlinks;
        match step {
            Step::Found(path, Kind::Directory) => {
                if follow && !self.visited.first_time(&path) {
                    if let Some(walk) = &mut self.walk {
                        walk.leave_out();
                    }
                    return;
                }
                self.found.push_back(Work {
                    path,
                    op: Op::Mkdir,
                });
            }
            Step::Found(path, kind @ (Kind::File | Kind::Link)) => {
                if kind == Kind::Link && follow {
                    // A dangling link leads nowhere; it is announced itself.
                    self.targets.extend(path.canonicalize());
                }
                let op = Op::Write {
                    new: true,
                    unsure: false,
                };
                self.found.push_back(Work { path, op });
            }
            Step::Found(_, Kind::Special) => {}
            Step::Failed(path, error) => {
                self.failed += 1;
                tracing::error!(
                    path = %path.display(),
                    reason = %error,
                    "A path can't be read; it and what is below it are not announced."
                );
            }
        }
    }
}

fn receive<T>(list: &Receiver<T>, wait: Duration) -> Result<T, RecvTimeoutError> {
    if wait == Duration::MAX {
        return list.recv().map_err(|_| RecvTimeoutError::Disconnected);
    }
    list.recv_timeout(wait)
}

/// Reads the caller's list for as long as somebody listens; ends after a failure.
fn read_list(
    list: Box<dyn Iterator<Item = io::Result<PathBuf>> + Send>,
    sender: &SyncSender<io::Result<PathBuf>>,
) {
    for path in list {
        let failed = path.is_err();
        if sender.send(path).is_err() || failed {
            return;
        }
    }
}
