//! A tree to be watched, a state in memory, and messages as short texts.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails where something goes wrong"
)]
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(unreachable_pub, reason = "shared by test binaries and unit tests")]

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flow_local::{Announcing, Naming, OnStart, Post, PostOptions, Watch, WatchOptions};
use flow_message::Message;
use flow_runtime::ports::{Callback as _, Failure, State};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Notify;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Pairs in memory.
#[derive(Debug, Default)]
pub struct Memory(Mutex<BTreeMap<String, Vec<u8>>>);

impl Memory {
    pub fn rows(&self) -> BTreeMap<String, Vec<u8>> {
        self.0.lock().unwrap().clone()
    }

    pub fn of(rows: BTreeMap<String, Vec<u8>>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(rows)))
    }
}

impl State for Memory {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.0.lock().unwrap().get(key).cloned())
    }

    fn put(&self, key: &str, value: Option<Vec<u8>>, _: Option<Duration>) -> Result<(), Failure> {
        assert!(key.len() <= 1 << 10);
        assert!(value.as_ref().is_none_or(|value| value.len() <= 1 << 20));
        let mut rows = self.0.lock().unwrap();
        match value {
            Some(value) => rows.insert(key.to_owned(), value),
            None => rows.remove(key),
        };
        Ok(())
    }

    fn list(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<String>, Failure> {
        let rows = self.0.lock().unwrap();
        let keys = rows
            .keys()
            .filter(|key| key.starts_with(prefix) && key.as_str() > after);
        Ok(keys.take(limit).cloned().collect())
    }
}

/// A directory `in` of its own, watched.
pub struct Bench {
    pub directory: Arc<tempfile::TempDir>,
    pub state: Arc<Memory>,
    pub watch: Watch,
    options: WatchOptions,
    pub limit: usize,
}

impl Bench {
    /// Watching `in` with defaults changed by `change`.
    pub async fn new(change: impl FnOnce(&mut WatchOptions)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("in")).unwrap();
        Self::over(directory, change).await
    }

    /// The same, over what is there.
    pub async fn over(
        directory: tempfile::TempDir,
        change: impl FnOnce(&mut WatchOptions),
    ) -> Self {
        let base = directory.path().canonicalize().unwrap();
        let naming = Naming::new(Some("file:/"), Some(&base)).unwrap();
        let mut options = WatchOptions::new(vec![base.join("in")], Announcing::new(naming));
        change(&mut options);
        tick(&base);
        let mut bench = Self {
            directory: Arc::new(directory),
            state: Arc::default(),
            watch: Watch::new(options.clone()).unwrap(),
            options,
            limit: 500,
        };
        if bench.options.on_start == OnStart::Changed {
            assert_eq!(bench.gather().await, Vec::<String>::new());
        }
        bench
    }

    /// Forgets everything and starts for the first time, without looking yet.
    pub fn again(&mut self) {
        tick(&self.base());
        self.state = Arc::default();
        self.watch = Watch::new(self.options.clone()).unwrap();
    }

    pub fn base(&self) -> PathBuf {
        self.directory.path().canonicalize().unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.base().join(name)
    }

    pub fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub fn rename(&self, from: &str, to: &str) {
        std::fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// Stops the watch as a crash would, and makes another with the same state.
    pub fn restart(&mut self, change: impl FnOnce(&mut WatchOptions)) {
        change(&mut self.options);
        self.watch = Watch::new(self.options.clone()).unwrap();
    }

    pub async fn messages(&mut self) -> Vec<Message> {
        let state: Arc<dyn State> = Arc::<Memory>::clone(&self.state);
        let gathered = self.watch.gather(self.limit, state).await.unwrap();
        assert!(gathered.messages.len() <= self.limit);
        gathered.messages
    }

    /// One gather.
    pub async fn gather(&mut self) -> Vec<String> {
        self.messages().await.iter().map(text).collect()
    }

    /// Waits as the loop does, then gathers.
    pub async fn next_messages(&mut self) -> Vec<Message> {
        let timeout = if self.options.force_polling {
            Duration::from_millis(20)
        } else {
            Duration::from_secs(5)
        };
        self.watch
            .wait(timeout, Arc::new(Notify::new()))
            .await
            .unwrap();
        self.messages().await
    }

    /// Gathers until there are this many messages; more are a failure.
    pub async fn next(&mut self, number: usize) -> Vec<String> {
        let mut all = Vec::new();
        let started = Instant::now();
        while all.len() < number {
            assert!(
                started.elapsed() < PATIENCE,
                "{} of {number}: {all:?}",
                all.len()
            );
            all.extend(self.next_messages().await.iter().map(text));
        }
        assert_eq!(all.len(), number, "{all:?}");
        all
    }

    /// Gathers until `last` is said; returns what came before it.
    pub async fn until(&mut self, last: &str) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        let started = Instant::now();
        loop {
            if let Some(at) = all.iter().position(|text| text == last) {
                let after = all.split_off(at);
                assert_eq!(after, [last], "nothing comes after the last");
                return all;
            }
            assert!(started.elapsed() < PATIENCE, "no `{last}` in {all:?}");
            all.extend(self.next_messages().await.iter().map(text));
        }
    }

    /// What comes although nothing happens any more, for longer than anything is held back.
    pub async fn rest(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        let until = Instant::now() + Duration::from_millis(600);
        while Instant::now() < until {
            let left = until.saturating_duration_since(Instant::now());
            let left = left.min(Duration::from_millis(100));
            self.watch
                .wait(left, Arc::new(Notify::new()))
                .await
                .unwrap();
            all.extend(self.gather().await);
        }
        all
    }
}

/// Waits until the clock that stamps files, which advances in steps, is past all that is there.
pub fn tick(directory: &Path) {
    let path = directory.join("tick");
    std::fs::write(&path, "").unwrap();
    let metadata = std::fs::metadata(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let now = || clock_gettime(ClockId::RealtimeCoarse);
    while (now().tv_sec, now().tv_nsec) <= (metadata.ctime(), metadata.ctime_nsec()) {
        std::thread::yield_now();
    }
}

/// What a message says, and the path: `file in/x 3`, `remove in/x`, `rename in/x from in/y` …
pub fn text(message: &Message) -> String {
    let path = &message.rel_path;
    let size = message
        .size
        .map_or(String::new(), |size| format!(" {size}"));
    let Some(op) = &message.file_op else {
        return format!("file {path}{size}");
    };
    let what = match (&op.rename, &op.link, op.remove, op.directory) {
        (Some(from), None, false, false) => return format!("rename {path} from {from}"),
        (Some(from), None, false, true) => return format!("renamedir {path} from {from}"),
        (Some(from), Some(link), ..) => return format!("rename {path} from {from} to {link}"),
        (None, Some(link), ..) => return format!("link {path} to {link}"),
        (_, _, true, false) => "remove",
        (_, _, true, true) => "rmdir",
        (_, _, false, true) => "mkdir",
        _ => "strange",
    };
    format!("{what} {path}")
}

/// All pages of a post.
pub async fn post(paths: Vec<PathBuf>, announcing: Announcing, limit: usize) -> Vec<Message> {
    let (messages, failure) = try_post(paths, announcing, limit).await;
    assert_eq!(failure, None);
    messages
}

/// All pages of a post, and how it ended.
pub async fn try_post(
    paths: Vec<PathBuf>,
    announcing: Announcing,
    limit: usize,
) -> (Vec<Message>, Option<Failure>) {
    let mut post = Post::new(PostOptions {
        name: "post".to_owned(),
        paths: Box::new(paths.into_iter().map(Ok)),
        announcing,
    });
    let state: Arc<dyn State> = Arc::new(Memory::default());
    let mut all = Vec::new();
    loop {
        match post.gather(limit, Arc::clone(&state)).await {
            Ok(page) => {
                assert!(page.messages.len() <= limit);
                assert!(!page.more || !page.messages.is_empty());
                all.extend(page.messages);
                if !page.more {
                    let again = post.gather(limit, state).await.unwrap();
                    assert!(again.messages.is_empty() && !again.more);
                    return (all, None);
                }
            }
            Err(failure) => return (all, Some(failure)),
        }
    }
}

/// sr3's defaults below a directory.
pub fn announcing(base: &Path) -> Announcing {
    Announcing::new(Naming::new(Some("https://data.example.com/"), Some(base)).unwrap())
}
