//! Room for open files: whether another flow may be started.
//!
//! A flow has about ten files open. A process that runs out of them fails everywhere at once, each
//! part in words of its own. So flows are not started any more a little before that, and say what to
//! raise; those that run keep what they need for connections and content.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// What a flow opens until it runs, and its connections after that.
const FLOW: u64 = 12;
/// Kept for commands, and for what running flows open now and then.
const KEPT: u64 = 64;

/// Counts the flows that are being started, whose files are not open yet.
#[derive(Debug, Default)]
pub(super) struct Room {
    starting: AtomicU64,
}

/// A place for a flow that starts; given back once its files are open.
#[derive(Debug)]
pub(super) struct Place(Arc<Room>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.starting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Room {
    /// A place for one more flow; else why there is none, and what to do.
    pub(super) fn enter(self: &Arc<Self>) -> Result<Place, String> {
        let Some(limit) = getrlimit(Resource::Nofile).current else {
            return Ok(self.place());
        };
        self.enter_within(limit, open_files(limit))
    }

    fn enter_within(self: &Arc<Self>, limit: u64, open: u64) -> Result<Place, String> {
        let place = self.place();
        let starting = self.starting.load(Ordering::Relaxed);
        if open + starting * FLOW + KEPT <= limit {
            return Ok(place);
        }
        Err(format!(
            "there is no room for another flow: this process may have {limit} files open, and a flow \
             takes about ten; allow more (`LimitNOFILE=` in its systemd unit, `ulimit -n` before \
             `flow start`) and `flow restart`, or run fewer flows"
        ))
    }

    fn place(self: &Arc<Self>) -> Place {
        self.starting.fetch_add(1, Ordering::Relaxed);
        Place(Arc::clone(self))
    }
}

/// How many files are open, or a little less: the kernel gives out the smallest number that is free.
fn open_files(limit: u64) -> u64 {
    match File::open("/dev/null") {
        Ok(file) => u64::try_from(file.as_raw_fd()).unwrap_or_default(),
        Err(error) if has_run_out(&error) => limit,
        Err(_) => 0,
    }
}

/// Whether something failed because too many files are open, here or on the machine.
pub(super) fn has_run_out(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_that_start_count_before_their_files_are_open() {
        let room = Arc::<Room>::default();
        let limit = 100 + KEPT + 2 * FLOW;
        let first = room.enter_within(limit, 100).expect("there is room");
        let second = room.enter_within(limit, 100).expect("there is room");
        let full = room.enter_within(limit, 100).expect_err("two fit");
        assert!(full.contains(&limit.to_string()), "{full}");
        assert!(full.contains("LimitNOFILE"), "{full}");
        drop(first);
        drop(room.enter_within(limit, 100).expect("one is gone"));
        drop(second);
        let open = 100 + 2 * FLOW;
        room.enter_within(limit, open)
            .expect_err("their files are open");
    }

    #[test]
    fn what_is_open_is_counted() {
        let before = open_files(u64::MAX);
        let files: Vec<_> = (0..50).map(|_| File::open("/dev/null")).collect();
        assert!(open_files(u64::MAX) > before, "{}", files.len());
    }
}
