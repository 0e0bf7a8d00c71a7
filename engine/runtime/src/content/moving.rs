//! What content says of itself while it moves, where that takes long.
//!
//! Whoever writes or reads the content of a call does it through here, transfers and guests alike, so
//! that a flow whose bytes move is known to be at work, and one whose bytes do not is known to hang.
//! Content that moves within [`EVERY`] says nothing; the rest about as often.

use std::sync::Arc;
use std::time::Duration;

use flow_message::Timestamp;
use tokio::time::Instant;

use crate::ports::{ContentReader, Event, Failure, Observer};

/// Between two words about the same content.
const EVERY: Duration = Duration::from_secs(1);
/// Content of fewer bytes is read at once.
const SHORT: u64 = 64 << 10;

/// Counts the bytes of one content, and tells when it is time.
pub(super) struct Moving {
    observer: Arc<dyn Observer>,
    /// 0 where nobody knows.
    total: u64,
    done: u64,
    /// When it was last told, or when the first bytes moved.
    last: Option<Instant>,
    told: bool,
}

impl Moving {
    pub(super) fn new(observer: &Arc<dyn Observer>, total: u64) -> Self {
        Self {
            observer: Arc::clone(observer),
            total,
            done: 0,
            last: None,
            told: false,
        }
    }

    /// So many bytes more moved of what `name` names.
    pub(super) fn moved<'a>(&mut self, bytes: usize, name: impl FnOnce() -> &'a str) {
        self.done += bytes as u64;
        let now = Instant::now();
        let last = *self.last.get_or_insert(now);
        if now.duration_since(last) >= EVERY {
            self.last = Some(now);
            self.told = true;
            // More than was announced came: then nobody knows how much it is.
            self.total = self.total * u64::from(self.done <= self.total);
            self.tell(name(), self.total);
        }
    }

    /// No more will move. What said nothing so far keeps silent.
    pub(super) fn ended<'a>(&mut self, name: impl FnOnce() -> &'a str) {
        if std::mem::take(&mut self.told) {
            self.tell(name(), self.done);
        }
    }

    fn tell(&self, what: &str, total: u64) {
        self.observer.event(&Event::Progress {
            what,
            done: self.done,
            total,
            unit: "bytes",
        });
    }
}

/// A reader that says how far it was read.
struct MovingReader {
    inner: Box<dyn ContentReader>,
    name: String,
    moving: Moving,
}

/// `reader`, of `size` bytes of what `name` names, as one that says how far it was read.
pub(super) fn told(
    reader: Box<dyn ContentReader>,
    size: u64,
    name: &str,
    observer: &Arc<dyn Observer>,
) -> Box<dyn ContentReader> {
    if size <= SHORT {
        return reader;
    }
    Box::new(MovingReader {
        inner: reader,
        name: name.to_owned(),
        moving: Moving::new(observer, size),
    })
}

impl ContentReader for MovingReader {
    fn read(&mut self, max: usize) -> Result<Vec<u8>, Failure> {
        let data = self.inner.read(max)?;
        if data.is_empty() {
            self.moving.ended(|| &self.name);
        } else {
            self.moving.moved(data.len(), || &self.name);
        }
        Ok(data)
    }

    fn modified(&self) -> Option<Timestamp> {
        self.inner.modified()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::advance;

    use super::*;

    /// What was told of.
    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Observer for Heard {
        fn event(&self, event: &Event<'_>) {
            let Event::Progress {
                what, done, total, ..
            } = event
            else {
                panic!("{event:?}");
            };
            let mut heard = self.0.lock().unwrap();
            heard.push(format!("{what} {done}/{total}"));
        }
    }

    struct Zeros(usize);

    impl ContentReader for Zeros {
        fn read(&mut self, max: usize) -> Result<Vec<u8>, Failure> {
            let some = self.0.min(max);
            self.0 -= some;
            Ok(vec![0; some])
        }
    }

    const HALF: Duration = Duration::from_millis(500);

    #[tokio::test(start_paused = true)]
    async fn what_takes_long_says_how_far_it_is_and_what_stalls_does_not() {
        let heard = Arc::new(Heard::default());
        let observer: Arc<dyn Observer> = Arc::<Heard>::clone(&heard);
        let mut moving = Moving::new(&observer, 1_000);
        for _ in 0..5 {
            moving.moved(10, || "a/b");
            advance(HALF).await;
        }
        let lines = ["a/b 30/1000", "a/b 50/1000"];
        assert_eq!(*heard.0.lock().unwrap(), lines);
        advance(Duration::from_secs(600)).await;
        assert_eq!(heard.0.lock().unwrap().len(), 2);
        moving.moved(2_000, || "a/b");
        moving.ended(|| "a/b");
        let lines = ["a/b 2050/0", "a/b 2050/2050"];
        assert_eq!(heard.0.lock().unwrap()[2..], lines);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_done_at_once_says_nothing() {
        let heard = Arc::new(Heard::default());
        let observer: Arc<dyn Observer> = Arc::<Heard>::clone(&heard);
        let mut moving = Moving::new(&observer, 20);
        moving.moved(10, || "a/b");
        moving.moved(10, || "a/b");
        advance(HALF * 9).await;
        moving.ended(|| "a/b");
        assert_eq!(heard.0.lock().unwrap().len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_read_slowly_says_how_far_it_is() {
        let heard = Arc::new(Heard::default());
        let observer: Arc<dyn Observer> = Arc::<Heard>::clone(&heard);
        let size = 100_000;
        let mut reader = told(Box::new(Zeros(100_000)), size, "a/b", &observer);
        while !reader.read(40_000).unwrap().is_empty() {
            advance(HALF * 2).await;
        }
        let lines = ["a/b 80000/100000", "a/b 100000/100000", "a/b 100000/100000"];
        assert_eq!(*heard.0.lock().unwrap(), lines);
    }
}
