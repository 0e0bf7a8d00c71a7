//! What the tests of this crate share: content kept in memory, state that is none, items, and
//! servers that misbehave on purpose.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test binary uses its part of this"
)]

pub mod objects;
pub mod server;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flow_config::{Credentials, SafeUrl};
use flow_message::{Message, Timestamp};
use flow_runtime::ports::{
    Callback, Content, ContentReader, ContentWriter, Edit, Failure, Gathered, Item, Location,
    State, Worked,
};
use flow_transfer::{Anonymous, Carrier, PollOptions, Settings};

/// Content in memory.
#[derive(Debug, Default)]
pub struct Memory {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    given: HashMap<u64, Vec<u8>>,
    finished: HashMap<u64, Vec<u8>>,
    /// Ids in order of being finished.
    order: Vec<u64>,
    open: usize,
    most_open: usize,
    /// So much longer than it is, content is said to be.
    boast: u64,
}

impl Memory {
    pub fn give(&self, id: u64, content: &[u8]) {
        self.inner.lock().unwrap().given.insert(id, content.into());
    }

    pub fn finished(&self, id: u64) -> Option<Vec<u8>> {
        self.inner.lock().unwrap().finished.get(&id).cloned()
    }

    pub fn order(&self) -> Vec<u64> {
        self.inner.lock().unwrap().order.clone()
    }

    pub fn most_open(&self) -> usize {
        self.inner.lock().unwrap().most_open
    }
}

struct Writer {
    id: u64,
    bytes: Vec<u8>,
    inner: Arc<Mutex<Inner>>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.inner.lock().unwrap().open -= 1;
    }
}

impl ContentWriter for Writer {
    fn write(&mut self, data: &[u8]) -> Result<(), Failure> {
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<u64, Failure> {
        let bytes = std::mem::take(&mut self.bytes);
        let mut inner = self.inner.lock().unwrap();
        inner.finished.insert(self.id, bytes);
        inner.order.push(self.id);
        Ok(self.id)
    }
}

struct Reader(Vec<u8>, usize);

impl ContentReader for Reader {
    fn read(&mut self, max: usize) -> Result<Vec<u8>, Failure> {
        let end = (self.1 + max).min(self.0.len());
        let data = self.0[self.1..end].to_vec();
        self.1 = end;
        Ok(data)
    }
}

impl Content for Memory {
    fn open(&self, id: u64) -> Result<(Box<dyn ContentReader>, u64), Failure> {
        let inner = self.inner.lock().unwrap();
        let given = inner.given.get(&id).expect("the test gave it").clone();
        let length = given.len() as u64 + inner.boast;
        Ok((Box::new(Reader(given, 0)), length))
    }

    fn create(&self, id: u64) -> Result<Box<dyn ContentWriter>, Failure> {
        let mut inner = self.inner.lock().unwrap();
        inner.open += 1;
        inner.most_open = inner.most_open.max(inner.open);
        Ok(Box::new(Writer {
            id,
            bytes: Vec::new(),
            inner: Arc::clone(&self.inner),
        }))
    }

    fn derive(
        &self,
        _id: u64,
        _rel_path: &str,
        _content_type: Option<&str>,
    ) -> Result<Option<Box<dyn ContentWriter>>, Failure> {
        Ok(None)
    }
}

/// State nobody keeps.
pub struct NoState;

impl State for NoState {
    fn get(&self, _key: &str) -> Result<Option<Vec<u8>>, Failure> {
        Ok(None)
    }

    fn put(&self, _: &str, _: Option<Vec<u8>>, _: Option<Duration>) -> Result<(), Failure> {
        Ok(())
    }

    fn list(&self, _: &str, _: &str, _: usize) -> Result<Vec<String>, Failure> {
        Ok(Vec::new())
    }
}

pub fn state() -> Arc<dyn State> {
    Arc::new(NoState)
}

pub fn message(base_url: &str, rel_path: &str) -> Message {
    Message::new(Timestamp::from_unix(1_800_000_000, 0), base_url, rel_path)
}

/// An item of a download: placed as a mirror does.
pub fn item(id: u64, message: Message) -> Item {
    let path = PathBuf::from("/in").join(message.rel_path.trim_start_matches('/'));
    Item {
        id,
        key: id.to_string(),
        attempt: 0,
        location: Some(Location {
            directory: path.parent().unwrap().to_owned(),
            filename: path.file_name().unwrap().to_str().unwrap().to_owned(),
        }),
        message: message.into(),
        other: None,
    }
}

pub fn settings() -> Settings {
    Settings {
        timeout: Duration::from_secs(10),
        fsync: false,
        ..Settings::default()
    }
}

/// Settings of a flow that names `url` itself.
pub fn owning(url: &str) -> Settings {
    Settings {
        own_urls: vec![SafeUrl::parse(url).unwrap()],
        ..settings()
    }
}

pub fn carrier(settings: Settings) -> Carrier {
    Carrier::new(settings, Arc::new(Anonymous))
}

/// With the lines of a `credentials.conf`.
pub fn carrier_with(settings: Settings, lines: &str) -> Carrier {
    let credentials = Credentials::parse("c.conf".as_ref(), lines).unwrap();
    Carrier::new(settings, Arc::new(credentials))
}

/// Uploads the same content for each message, to where its `relPath` says.
pub async fn send(
    carrier: &Carrier,
    to: &str,
    messages: Vec<Message>,
    bytes: &[u8],
) -> Vec<Worked> {
    send_content(carrier, to, messages, bytes, Memory::default()).await
}

/// As [`send`], but the content ends before it should.
pub async fn send_short(
    carrier: &Carrier,
    to: &str,
    messages: Vec<Message>,
    bytes: &[u8],
) -> Vec<Worked> {
    let content = Memory::default();
    content.inner.lock().unwrap().boast = 1;
    send_content(carrier, to, messages, bytes, content).await
}

async fn send_content(
    carrier: &Carrier,
    to: &str,
    messages: Vec<Message>,
    bytes: &[u8],
    content: Memory,
) -> Vec<Worked> {
    let content = Arc::new(content);
    let items: Vec<Item> = (0..)
        .zip(messages)
        .map(|(id, message)| Item {
            location: None,
            ..item(id, message)
        })
        .collect();
    for item in &items {
        content.give(item.id, bytes);
    }
    let mut lane = carrier.uploader(&SafeUrl::parse(to).unwrap()).unwrap();
    lane.send(&items, content, state()).await.unwrap()
}

/// A poll of a URL with the defaults.
pub fn poll(carrier: &Carrier, url: &str, options: PollOptions) -> flow_transfer::Poll {
    carrier
        .poll(&SafeUrl::parse(url).unwrap(), options)
        .unwrap()
}

/// Downloads messages over one lane.
pub async fn download(carrier: &Carrier, messages: Vec<Message>) -> (Vec<Worked>, Arc<Memory>) {
    let content = Arc::new(Memory::default());
    let items: Vec<Item> = (0..).zip(messages).map(|(id, m)| item(id, m)).collect();
    let mut lane = carrier.downloader(&[]);
    let done = lane
        .download(&items, Arc::clone(&content) as _, state())
        .await
        .unwrap();
    assert_eq!(done.len(), items.len());
    (done, content)
}

/// Downloads one message.
pub async fn download_one(carrier: &Carrier, message: Message) -> (Worked, Option<Vec<u8>>) {
    let (mut done, content) = download(carrier, vec![message]).await;
    (done.remove(0), content.finished(0))
}

/// A result, in words: `done`, `410 …`, `temporary …`, `auth …`.
pub fn words(worked: &Worked) -> String {
    match worked {
        Worked::Done(_) => "done".into(),
        Worked::Reject(rejection) => format!("{} {}", rejection.code, rejection.reason),
        Worked::Fail(Failure::Temporary {
            reason,
            retry_after,
        }) => match retry_after {
            Some(after) => format!("temporary after {after:?}: {reason}"),
            None => format!("temporary: {reason}"),
        },
        Worked::Fail(Failure::Permanent(reason)) => format!("permanent: {reason}"),
        Worked::Fail(Failure::Auth(reason)) => format!("auth: {reason}"),
        Worked::Fail(Failure::Config(reason)) => format!("config: {reason}"),
        Worked::Fail(Failure::Plugin(reason)) => format!("plugin: {reason}"),
    }
}

pub fn edits(worked: &Worked) -> &[Edit] {
    match worked {
        Worked::Done(edits) => edits,
        other => panic!("{}", words(other)),
    }
}

/// Gathers until there is no more, `limit` at a time.
pub async fn gather_all(poll: &mut flow_transfer::Poll, limit: usize) -> Vec<Message> {
    let mut all = Vec::new();
    loop {
        let Gathered { messages, more } = poll.gather(limit, state()).await.unwrap();
        assert!(messages.len() <= limit);
        assert!(!more || !messages.is_empty() || all.is_empty());
        all.extend(messages);
        if !more {
            return all;
        }
    }
}

/// Bytes that repeat only after a long while.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
