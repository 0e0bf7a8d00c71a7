//! Waking consumers when something is posted, in this process and in others.
//!
//! Each queue has a number in memory that grows with every piece of news, and a file, its *bell*, that a
//! process touches after it committed for that queue. A watch on the directory of the bells tells the
//! other processes, which raise their numbers. A consumer remembers the number, looks into the queue,
//! and waits for the number to change only if it found nothing: whatever is committed after the look
//! raises the number, so no news is missed.
//!
//! Bells carry no data. Nothing depends on them but the delay: a bell that can't be touched or watched
//! is replaced by a look every [`POLL`].

use std::collections::HashMap;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// How often consumers look by themselves where directories can't be watched.
pub(super) const POLL: Duration = Duration::from_millis(250);

/// Bells kept open; those of queues long gone must not add up.
const OPEN: usize = 256;

/// The numbers of the queues that someone here waits for.
#[derive(Debug, Default)]
pub(super) struct News(Mutex<HashMap<i64, watch::Sender<u64>>>);

impl News {
    /// A receiver that changes with every piece of news of the queue.
    pub(super) fn subscribe(&self, queue: i64) -> watch::Receiver<u64> {
        self.lock()
            .entry(queue)
            .or_insert_with(|| watch::channel(0).0)
            .subscribe()
    }

    /// There is news of the queue.
    pub(super) fn tell(&self, queue: i64) {
        let mut queues = self.lock();
        let Some(number) = queues.get(&queue) else {
            return;
        };
        if number.receiver_count() == 0 {
            queues.remove(&queue);
        } else {
            number.send_modify(|number| *number += 1);
        }
    }

    /// There may be news of any queue.
    pub(super) fn tell_all(&self) {
        for number in self.lock().values() {
            number.send_modify(|number| *number += 1);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<i64, watch::Sender<u64>>> {
        // The map is whole whenever the lock is let go, even by a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bells, as one thread rings them.
#[derive(Debug)]
pub(super) struct Bells {
    directory: PathBuf,
    open: HashMap<i64, File>,
}

impl Bells {
    /// Bells in `directory`.
    pub(super) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            open: HashMap::new(),
        }
    }

    /// Tells other processes that there is news of the queue.
    pub(super) fn ring(&mut self, queue: i64) {
        if self.open.len() >= OPEN {
            self.open.clear();
        }
        if let Err(error) = self.touch(queue) {
            self.open.remove(&queue);
            tracing::warn!(queue, %error, "Could not wake the consumers of other processes; they may notice late.");
        }
    }

    fn touch(&mut self, queue: i64) -> std::io::Result<()> {
        let file = match self.open.entry(queue) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let path = self.directory.join(format!("{queue}.bell"));
                entry.insert(
                    File::options()
                        .create(true)
                        .truncate(false)
                        .write(true)
                        .open(path)?,
                )
            }
        };
        file.seek(SeekFrom::Start(0))?;
        file.write_all(b"!")
    }
}

/// Removes those bells among `files` whose queues are no more.
pub(super) fn sweep(files: &[PathBuf], exists: impl Fn(i64) -> bool) {
    for path in files {
        if queue_of(path).is_some_and(|queue| !exists(queue)) {
            // Left behind, it would only be swept another time.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// The queue whose bell the file is.
pub(super) fn queue_of(path: &Path) -> Option<i64> {
    path.file_name()?
        .to_str()?
        .strip_suffix(".bell")?
        .parse()
        .ok()
}
