//! The world of a trial: state, content and time in memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use flow_config::{SafeUrl, Secret};
use flow_host::{Credential, Outside, Place, Real, Secrets, Senses, World};
use flow_message::{Message, Timestamp};
use flow_runtime::ports::{
    Callback, Clock, Content, ContentReader, ContentWriter, Event, Failure, Lines, Observer, State,
    Submit,
};

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A clock that stands still; for the guest it moves by a millisecond each time it is looked at
/// where it may only go forward.
pub(super) struct Still {
    now: Timestamp,
    looked: AtomicU64,
}

impl Still {
    pub(super) fn at(now: Timestamp) -> Arc<Self> {
        Arc::new(Self {
            now,
            looked: AtomicU64::new(0),
        })
    }
}

#[async_trait]
impl Clock for Still {
    fn now(&self) -> Timestamp {
        self.now
    }

    async fn sleep(&self, _: Duration) {}

    fn random(&self) -> f64 {
        0.5
    }
}

impl Senses for Still {
    fn wall(&self) -> Duration {
        Duration::from_nanos(u64::try_from(self.now.as_nanosecond()).unwrap_or(0))
    }

    fn monotonic(&self) -> u64 {
        self.looked.fetch_add(1_000_000, Ordering::Relaxed)
    }

    fn seed(&self) -> [u8; 32] {
        [7; 32]
    }
}

/// Nobody is told.
pub(super) struct Nobody;

impl Observer for Nobody {
    fn event(&self, _: &Event<'_>) {}
}

/// Messages, and lines with whom they are for.
type Came = (Vec<Message>, Vec<(u64, String)>);

/// Takes what is submitted, and lines, and keeps both to be looked at.
#[derive(Debug, Default)]
pub(super) struct Counter(Mutex<Came>);

impl Counter {
    /// What came since it was last asked.
    pub(super) fn take(&self) -> Came {
        std::mem::take(&mut *lock(&self.0))
    }
}

#[async_trait]
impl Submit for Counter {
    async fn submit(&self, messages: Vec<Message>) -> Result<(), Failure> {
        lock(&self.0).0.extend(messages);
        Ok(())
    }
}

#[async_trait]
impl Lines for Counter {
    async fn write(&self, peer: u64, text: &str) -> Result<(), Failure> {
        lock(&self.0).1.push((peer, text.to_owned()));
        Ok(())
    }
}

/// What stands around each instance.
pub(super) struct Scene {
    pub(super) outside: Arc<dyn Outside>,
    pub(super) clock: Arc<Still>,
}

impl World for Scene {
    fn place(&self, _: Real, make: &dyn Fn(Place) -> Box<dyn Callback>) -> Box<dyn Callback> {
        make(Place {
            outside: Some(Arc::clone(&self.outside)),
            senses: Some(Arc::clone(&self.clock) as Arc<dyn Senses>),
            ..Place::default()
        })
    }
}

/// The credentials a trial lists: URLs with user and password.
pub(super) struct Listed(pub(super) Vec<String>);

impl Secrets for Listed {
    fn credential(&self, url: &str) -> Result<Credential, Failure> {
        let place = |text: &str| {
            let (scheme, rest) = text.split_once("://")?;
            let rest = rest.split(['/', '?', ' ']).next().unwrap_or_default();
            let (user, host) = rest.rsplit_once('@').unwrap_or(("", rest));
            Some((scheme.to_owned(), user.to_owned(), host.to_owned()))
        };
        let wanted = place(url);
        let found = self
            .0
            .iter()
            .filter_map(|line| place(line))
            .find(|(scheme, user, host)| {
                wanted
                    .as_ref()
                    .is_some_and(|(wanted_scheme, wanted_user, wanted_host)| {
                        let name = user.split(':').next().unwrap_or_default();
                        scheme == wanted_scheme
                            && host == wanted_host
                            && (wanted_user.is_empty()
                                || wanted_user.split(':').next() == Some(name))
                    })
            });
        let (_, user, _) = found.ok_or_else(|| {
            let shown = SafeUrl::parse(url)
                .map(|url| url.without_password())
                .unwrap_or_default();
            Failure::Config(format!(
                "`credentials` of the test has no line for `{shown}`"
            ))
        })?;
        let (user, password) = user.split_once(':').unwrap_or((&user, ""));
        Ok(Credential {
            user: user.to_owned(),
            password: Secret::new(password),
            options: Vec::new(),
        })
    }
}

/// Pairs in memory.
#[derive(Debug, Default)]
pub(super) struct Pairs(Mutex<BTreeMap<String, Vec<u8>>>);

impl Pairs {
    pub(super) fn of(pairs: &[(String, Vec<u8>)]) -> Arc<Self> {
        Arc::new(Self(Mutex::new(pairs.iter().cloned().collect())))
    }

    pub(super) fn value(&self, key: &str) -> Option<Vec<u8>> {
        lock(&self.0).get(key).cloned()
    }
}

impl State for Pairs {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.value(key))
    }

    fn put(&self, key: &str, value: Option<Vec<u8>>, _: Option<Duration>) -> Result<(), Failure> {
        match value {
            Some(value) => lock(&self.0).insert(key.to_owned(), value),
            None => lock(&self.0).remove(key),
        };
        Ok(())
    }

    fn list(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<String>, Failure> {
        let pairs = lock(&self.0);
        let keys = pairs
            .keys()
            .filter(|key| key.starts_with(prefix) && key.as_str() > after);
        Ok(keys.take(limit).cloned().collect())
    }
}

/// Content in memory: what is opened, by message; what was written, by message or by handle.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) given: BTreeMap<u64, Vec<u8>>,
    pub(super) downloaded: Arc<Mutex<BTreeMap<u64, Vec<u8>>>>,
    /// By handle - 1.
    pub(super) derived: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Content for Contents {
    fn open(&self, id: u64) -> Result<(Box<dyn ContentReader>, u64), Failure> {
        let bytes = self.given.get(&id).cloned().ok_or_else(|| {
            Failure::Permanent(format!("message {id} of the test has no `content`"))
        })?;
        let size = bytes.len() as u64;
        Ok((Box::new(Rest(bytes)), size))
    }

    fn create(&self, id: u64) -> Result<Box<dyn ContentWriter>, Failure> {
        Ok(Box::new(Sink {
            bytes: Vec::new(),
            to: To::Download(id, Arc::clone(&self.downloaded)),
        }))
    }

    fn derive(
        &self,
        _: u64,
        _: &str,
        _: Option<&str>,
    ) -> Result<Option<Box<dyn ContentWriter>>, Failure> {
        Ok(Some(Box::new(Sink {
            bytes: Vec::new(),
            to: To::Derived(Arc::clone(&self.derived)),
        })))
    }
}

struct Rest(Vec<u8>);

impl ContentReader for Rest {
    fn read(&mut self, max: usize) -> Result<Vec<u8>, Failure> {
        let rest = self.0.split_off(max.min(self.0.len()));
        Ok(std::mem::replace(&mut self.0, rest))
    }
}

enum To {
    Download(u64, Arc<Mutex<BTreeMap<u64, Vec<u8>>>>),
    Derived(Arc<Mutex<Vec<Vec<u8>>>>),
}

struct Sink {
    bytes: Vec<u8>,
    to: To,
}

impl ContentWriter for Sink {
    fn write(&mut self, data: &[u8]) -> Result<(), Failure> {
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<u64, Failure> {
        Ok(match self.to {
            To::Download(id, all) => {
                lock(&all).insert(id, self.bytes);
                0
            }
            To::Derived(all) => {
                let mut all = lock(&all);
                all.push(self.bytes);
                all.len() as u64
            }
        })
    }
}
