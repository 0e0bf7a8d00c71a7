//! Fetching what messages announce.
//!
//! Up to `overlap` items of all lanes are under way at once, each on a task of its own, except
//! that items for the same place go one after the other, in order. A connection that breaks is
//! replaced, and the fetch goes on where it was if the content is still the same; a server that
//! refuses or is busy is left to the loop's retry.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use flow_message::Message;
use flow_runtime::ports::{
    Callback, Content, Edit, EntryPoints, Failure, Fate, Item, Outcome, Rejection, State, Worked,
};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::sink::Sink;
use crate::{About, Carrier, Connection, Error, Resume, Site};

/// A connection that brought so much before it broke does not count against `resumes`.
const PROGRESS: u64 = 1 << 20;

/// The callback that downloads, for one lane.
pub struct Download {
    carrier: Carrier,
    schemes: Vec<String>,
}

impl Download {
    pub(crate) fn new(carrier: Carrier, schemes: Vec<String>) -> Self {
        Self { carrier, schemes }
    }
}

/// Runs `work` on items, as many at a time as there are permits; those of one `place` in order. One
/// answer per item, in order.
pub(crate) async fn overlapped<F>(
    items: &[Item],
    permits: &Arc<Semaphore>,
    place: impl Fn(&Item) -> String,
    work: impl Fn(Item) -> F + Clone + Send + 'static,
) -> Vec<Worked>
where
    F: Future<Output = Worked> + Send + 'static,
{
    let mut queues: Vec<Vec<(usize, Item)>> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::with_capacity(items.len());
    for (number, item) in items.iter().enumerate() {
        let queue = *known.entry(place(item)).or_insert_with(|| {
            queues.push(Vec::new());
            queues.len() - 1
        });
        queues[queue].push((number, item.clone()));
    }
    let mut tasks = JoinSet::new();
    let mut answers: Vec<Option<Worked>> = items.iter().map(|_| None).collect();
    let mut keep = |done: Result<Vec<(usize, Worked)>, tokio::task::JoinError>| {
        // A task that panicked leaves its items without an answer.
        for (number, worked) in done.unwrap_or_default() {
            answers[number] = Some(worked);
        }
    };
    for queue in queues {
        let permit = Arc::clone(permits).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let work = work.clone();
        tasks.spawn(async move {
            let mut done = Vec::with_capacity(queue.len());
            for (number, item) in queue {
                done.push((number, work(item).await));
            }
            drop(permit);
            done
        });
        while let Some(done) = tasks.try_join_next() {
            keep(done);
        }
    }
    while let Some(done) = tasks.join_next().await {
        keep(done);
    }
    let lost = || Worked::Fail(Failure::Plugin("the transfer ended unexpectedly".into()));
    answers
        .into_iter()
        .map(|answer| answer.unwrap_or_else(lost))
        .collect()
}

/// What an item must not be overtaken at.
fn place(item: &Item) -> String {
    match &item.location {
        Some(location) => location.path().to_string_lossy().into_owned(),
        None => item.message.rel_path.clone(),
    }
}

/// Why a fetch has no result to keep.
enum Stop {
    /// The connection broke; another may go on from there.
    Broken(Error),
    /// This is how it ends.
    End(Worked),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        if error.is_broken() {
            Self::Broken(error)
        } else {
            Self::End(error.into())
        }
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::End(Worked::Fail(failure))
    }
}

fn reject(code: u16, reason: String) -> Stop {
    Stop::End(Worked::Reject(Rejection { code, reason }))
}

/// One item being fetched.
struct Fetch {
    carrier: Carrier,
    content: Arc<dyn Content>,
    item: Item,
    /// What is here so far, and of what.
    sink: Option<Sink>,
    about: About,
}

/// A refused login makes a flow pause, if it is at a server the flow names. Any message can name a
/// server that refuses it: then it is that message's trouble.
fn harmless(own: bool, worked: Worked) -> Worked {
    match worked {
        Worked::Fail(Failure::Auth(reason)) if !own => Worked::Fail(Failure::temporary(reason)),
        worked => worked,
    }
}

/// Fetches one item.
async fn fetch(carrier: Carrier, content: Arc<dyn Content>, item: Item) -> Worked {
    let fetch = Fetch {
        carrier,
        content,
        item,
        sink: None,
        about: About::default(),
    };
    match fetch.run().await {
        Ok(edits) => Worked::Done(edits),
        Err(Stop::End(worked)) => worked,
        Err(Stop::Broken(error)) => Worked::Fail(error.into()),
    }
}

impl Fetch {
    async fn run(mut self) -> Result<Vec<Edit>, Stop> {
        self.check_announced()?;
        let mut broken = 0;
        loop {
            let before = self.written();
            let Err(stop) = self.once().await else { break };
            let Stop::Broken(error) = stop else {
                return Err(stop);
            };
            if self.written().saturating_sub(before) >= PROGRESS {
                broken = 0;
            }
            if broken >= self.carrier.settings().resumes {
                return Err(Stop::Broken(error));
            }
            broken += 1;
            tracing::debug!(path = %self.item.message.rel_path, have = self.written(), reason = %error, "A fetch is continued.");
        }
        self.check_size().await?;
        if let Some(sink) = self.sink.take() {
            sink.finish().await?;
        }
        Ok(self.edits())
    }

    fn written(&self) -> u64 {
        self.sink.as_ref().map_or(0, Sink::written)
    }

    /// What the message alone forbids.
    fn check_announced(&self) -> Result<(), Stop> {
        let message = &self.item.message;
        if message.blocks.is_some() {
            let reason = "it announces a block of a file, and files are fetched whole here";
            return Err(reject(503, reason.into()));
        }
        self.check_limit(message.size)
    }

    fn check_limit(&self, size: Option<u64>) -> Result<(), Stop> {
        match (size, self.carrier.settings().file_size_max) {
            (Some(size), Some(most)) if size > most.get() => Err(reject(
                413,
                format!("{size} bytes are more than `fileSizeMax`"),
            )),
            _ => Ok(()),
        }
    }

    /// Reads over one connection, from where the last one broke off, to the end.
    async fn once(&mut self) -> Result<(), Stop> {
        let (site, path) = Site::of_message(&self.item.message)?;
        let mut connection = self.carrier.connect(&site).await?;
        let have = self.written();
        let resume = (have > 0 && connection.abilities().resume).then(|| Resume {
            offset: have,
            about: self.about.clone(),
        });
        let opening = connection.open(&path, resume.as_ref());
        let opened = match self.carrier.bounded("opening", opening).await {
            Ok(opened) => opened,
            Err(error) => {
                if !error.is_broken() {
                    connection.done();
                }
                return Err(error.into());
            }
        };
        self.check_limit(opened.about.size)?;
        if opened.offset != have
            && let Some(sink) = self.sink.take()
        {
            sink.discard().await;
        }
        if opened.offset == 0 {
            self.about = opened.about;
        }
        if self.sink.is_none() {
            if opened.offset != 0 {
                return Err(Error::broken("the server began in the middle").into());
            }
            let writer = self.content.create(self.item.id)?;
            self.sink = Some(Sink::new(writer, self.carrier.disk()));
        }
        self.read(connection).await
    }

    async fn read(&mut self, mut connection: Connection) -> Result<(), Stop> {
        let sink = self.sink.as_mut().expect("it was made before");
        let most = self.carrier.settings().file_size_max;
        let throttle = Arc::clone(self.carrier.throttle());
        loop {
            let reading = connection.read();
            let Some(data) = self.carrier.bounded("reading", reading).await? else {
                break;
            };
            let length = data.len();
            sink.write(data).await?;
            if let Some(most) = most.filter(|most| sink.written() > most.get()) {
                return Err(reject(
                    413,
                    format!("it is larger than `fileSizeMax` ({most} bytes)"),
                ));
            }
            throttle.take(length).await;
        }
        let written = sink.written();
        if let Some(size) = self.about.size.filter(|size| *size != written) {
            let reason = format!("the content ended after {written} of {size} bytes");
            return Err(Stop::Broken(Error::broken(reason)));
        }
        connection.done();
        Ok(())
    }

    /// Compares with what was announced (S§7.1).
    async fn check_size(&mut self) -> Result<(), Stop> {
        let written = self.written();
        let announced = match self.item.message.size {
            Some(size) if size != written && !self.carrier.settings().accept_size_wrong => size,
            _ => return Ok(()),
        };
        let what = format!("{written} bytes came, {announced} were announced");
        let newer = match (self.about.mtime, self.item.message.mtime) {
            (Some(there), Some(announced)) => there > announced,
            _ => false,
        };
        if let Some(sink) = self.sink.take() {
            sink.discard().await;
        }
        if newer {
            let reason = format!("{what}; it has changed since, which another message announces");
            return Err(reject(410, reason));
        }
        if self.about.size == Some(written) {
            let reason = format!("{what}; `acceptSizeWrong: true` would keep it");
            return Err(reject(410, reason));
        }
        Err(Failure::temporary(what).into())
    }

    /// What was learnt and was not announced.
    fn edits(&self) -> Vec<Edit> {
        let message = &self.item.message;
        let mut edits = Vec::new();
        if let (None, Some(kind)) = (&message.content_type, &self.about.content_type) {
            edits.push(Edit::ContentType(Some(kind.clone())));
        }
        if let (None, Some(time)) = (message.mtime, self.about.mtime) {
            edits.push(Edit::Mtime(Some(time)));
        }
        if let (None, Some(mode)) = (message.mode, self.about.mode) {
            let mode = Value::String(format!("{:o}", mode & 0o7777));
            edits.push(Edit::Header("mode".into(), Some(mode)));
        }
        edits
    }
}

/// Removes a source whose content is safe here.
async fn remove_source(carrier: &Carrier, message: &Message) -> Result<(), Error> {
    let (site, path) = Site::of_message(message)?;
    let mut connection = carrier.connect(&site).await?;
    if !connection.abilities().remove {
        return Err(Error::unsupported("remove files (`delete`)"));
    }
    let done = carrier.bounded("removing", connection.remove(&path)).await;
    if !matches!(&done, Err(error) if error.is_broken()) {
        connection.done();
    }
    match done {
        // Somebody else removed it, or an earlier try did.
        Err(error) if error.kind() == crate::Kind::NotFound => Ok(()),
        done => done,
    }
}

#[async_trait]
impl Callback for Download {
    fn name(&self) -> &str {
        "download"
    }

    fn entry_points(&self) -> EntryPoints {
        EntryPoints {
            lifecycle: true,
            download: true,
            settled: self.carrier.settings().delete,
            ..EntryPoints::default()
        }
    }

    fn schemes(&self) -> &[String] {
        &self.schemes
    }

    async fn download(
        &mut self,
        batch: &[Item],
        content: Arc<dyn Content>,
        _state: Arc<dyn State>,
    ) -> Result<Vec<Worked>, Failure> {
        let carrier = self.carrier.clone();
        let permits = Arc::clone(carrier.permits());
        let work = move |item: Item| {
            let (carrier, content) = (carrier.clone(), Arc::clone(&content));
            async move {
                let own = carrier.is_own(&item.message.base_url);
                harmless(own, fetch(carrier, content, item).await)
            }
        };
        Ok(overlapped(batch, &permits, place, work).await)
    }

    /// With `delete`, removes the sources of what is safe.
    async fn settled(
        &mut self,
        outcomes: &[Outcome],
        _state: Arc<dyn State>,
    ) -> Result<(), Failure> {
        for outcome in outcomes {
            if outcome.fate != Fate::Posted || !self.carrier.settings().delete {
                continue;
            }
            match remove_source(&self.carrier, &outcome.item.message).await {
                Ok(()) => {}
                // Asking again changes nothing about these.
                Err(error)
                    if matches!(
                        error.kind(),
                        crate::Kind::Unsupported | crate::Kind::Permanent
                    ) =>
                {
                    tracing::warn!(path = %outcome.item.message.rel_path, reason = %error, "A source can't be removed and stays.");
                }
                Err(error)
                    if error.kind() == crate::Kind::Auth
                        && !self.carrier.is_own(&outcome.item.message.base_url) =>
                {
                    return Err(Failure::temporary(error.to_string()));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn housekeeping(&mut self, _state: Arc<dyn State>) -> Result<(), Failure> {
        self.carrier.close_idle(false).await;
        Ok(())
    }

    async fn stop(&mut self) {
        self.carrier.close_idle(true).await;
    }
}
