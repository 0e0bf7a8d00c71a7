//! The thread that watches over the living and the dead, and hears the bells of other processes.
//!
//! It wakes once a second, and at once when a lock file in the directory is closed. It finds processes
//! that ended without saying so and has their leases released; it says that its own process lives.
//!
//! A process is dead when its lock is free. One that holds its lock but has not beaten for a whole lease
//! is treated the same: it hangs, was stopped, or the file system has no locks. How long is measured
//! here, with a clock that stands still while the machine sleeps, so neither a wrong clock nor a
//! suspended laptop costs anybody a lease.

use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecursiveMode, Watcher as _};
use rusqlite::Connection;

use super::Shared;
use super::alive;
use super::bell::{self, News, POLL};
use super::work::Call;

/// Between two looks at who is alive, when nothing says that somebody died.
const LOOK: Duration = Duration::from_secs(1);

/// A closed file is told a moment before its lock is free.
const MOMENTS: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(50)];

/// Heartbeats in the time of one lease.
const BEATS: u32 = 4;

/// Watches the directory of bells and locks; none where that is impossible.
pub(super) fn watch(
    directory: &Path,
    news: Arc<News>,
    nudge: Sender<()>,
) -> Option<notify::RecommendedWatcher> {
    let handler = move |event: notify::Result<notify::Event>| match event {
        Ok(event) if !event.need_rescan() => heard(&event, &news, &nudge),
        // Something was lost on the way: anything may have happened.
        _ => {
            news.tell_all();
            let _ = nudge.send(());
        }
    };
    let watching = notify::recommended_watcher(handler).and_then(|mut watcher| {
        watcher.watch(directory, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    match watching {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(
                directory = %directory.display(), %error,
                "Can't watch the directory; posts of other processes are noticed every {POLL:?} instead."
            );
            None
        }
    }
}

fn heard(event: &notify::Event, news: &News, nudge: &Sender<()>) {
    let ended = matches!(
        event.kind,
        EventKind::Access(AccessKind::Close(AccessMode::Write)) | EventKind::Remove(_)
    );
    if matches!(event.kind, EventKind::Access(AccessKind::Open(_))) {
        return;
    }
    for path in &event.paths {
        if let Some(queue) = bell::queue_of(path) {
            news.tell(queue);
        } else if ended && alive::is_lock(path) {
            // The keeper is gone only when everything is.
            let _ = nudge.send(());
        }
    }
}

/// Starts the thread; it ends when the broker does.
pub(super) fn start(shared: &Arc<Shared>, nudges: Receiver<()>) -> std::io::Result<()> {
    let mut keeper = Keeper {
        shared: Arc::downgrade(shared),
        polls: shared.watcher.is_none(),
        lease: shared.options.lease,
        seen: HashMap::new(),
        looked: None,
        beaten: Instant::now(),
    };
    thread::Builder::new()
        .name("broker-keep".into())
        .spawn(move || keeper.run(&nudges))
        .map(|_| ())
}

struct Keeper {
    shared: Weak<Shared>,
    polls: bool,
    lease: Duration,
    /// The last beat of each client, and since when it is the last.
    seen: HashMap<String, (i64, Instant)>,
    looked: Option<Instant>,
    beaten: Instant,
}

impl Keeper {
    fn run(&mut self, nudges: &Receiver<()>) {
        let tick = if self.polls { POLL } else { LOOK }.min(self.lease / BEATS);
        let mut nudged = false;
        loop {
            if nudged {
                nudged = false;
                for moment in MOMENTS {
                    thread::park_timeout(moment);
                    if self.look() > 0 {
                        break;
                    }
                }
            }
            self.tick();
            match nudges.recv_timeout(tick) {
                Ok(()) => {
                    nudged = true;
                    // Whatever was said up to now is seen with the next look.
                    nudges.try_iter().for_each(drop);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn tick(&mut self) {
        let Some(shared) = self.shared.upgrade() else {
            return;
        };
        if self.polls {
            shared.news.tell_all();
        }
        if self.beaten.elapsed() >= self.lease / BEATS {
            self.beaten = Instant::now();
            beat(&shared);
        }
        drop(shared);
        if self
            .looked
            .is_none_or(|looked| looked.elapsed() >= LOOK.min(self.lease / BEATS))
        {
            self.look();
        }
    }

    /// Has the leases of the dead released; returns how many are dead.
    fn look(&mut self) -> usize {
        self.looked = Some(Instant::now());
        let Some(shared) = self.shared.upgrade() else {
            return 0;
        };
        // The next look finds what this one could not read.
        let Ok(clients) = shared.threads.read_blocking(clients) else {
            return 0;
        };
        self.seen
            .retain(|name, _| clients.iter().any(|(known, ..)| known == name));
        let own = shared.client.name();
        let mut dead = 0;
        for (name, pid, beat) in clients {
            if own.as_ref() != Some(&name) && self.is_dead(&shared, &name, beat) {
                dead += 1;
                release(&shared, name, pid);
            }
        }
        dead
    }

    fn is_dead(&mut self, shared: &Shared, name: &str, beat: i64) -> bool {
        if alive::is_dead(&shared.live, name) == Some(true) {
            return true;
        }
        let seen = self
            .seen
            .entry(name.to_owned())
            .or_insert((beat, Instant::now()));
        if seen.0 != beat {
            *seen = (beat, Instant::now());
        }
        seen.1.elapsed() >= self.lease
    }
}

/// All clients: name, process id, beat.
pub(super) fn clients(connection: &Connection) -> rusqlite::Result<Vec<(String, u32, i64)>> {
    connection
        .prepare_cached("SELECT name, pid, beat FROM client")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect()
}

fn beat(shared: &Shared) {
    let Some(client) = shared.client.name() else {
        return;
    };
    if !shared.options.renew {
        return;
    }
    // The writer is gone only when everything is.
    let _ = shared.threads.send(Call {
        durable: false,
        at_once: None,
        run: Box::new(move |store| store.beat(&client)),
        deliver: Box::new(|result| {
            if let Err(error) = result {
                tracing::warn!(error = %error.chain(), "The broker could not renew its leases.");
            }
        }),
    });
}

fn release(shared: &Shared, client: String, pid: u32) {
    let clock = shared.options.clock.clone();
    let _ = shared.threads.send(Call {
        durable: false,
        at_once: None,
        run: Box::new(move |store| store.remove_client(&client, clock().as_millisecond())),
        deliver: Box::new(move |result| match result {
            Ok(0) => {}
            Ok(sessions) => {
                tracing::info!(pid, sessions, "A process that consumed is gone; what it held is offered again.");
            }
            Err(error) => {
                tracing::warn!(pid, error = %error.chain(), "Could not release what a dead process held.");
            }
        }),
    });
}
