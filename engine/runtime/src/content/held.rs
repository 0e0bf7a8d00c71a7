//! Downloads that may never have to be files.
//!
//! A download that `after_work` replaces (an archive by what is in it) is gone before its pass ends.
//! Making a file of it, only to remove it, costs more than all else that is done to it. So where
//! callbacks look at content, small downloads stay in memory until they have; those that are left
//! then become files. Larger ones, and all once the worker holds [`ROOM`], are files from the start.
//!
//! Nothing is lost by it: a download counts for nothing before its pass has settled.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Local;
use flow_message::Identity;

use super::file::{Draft, Hasher, Method, Stored};
use crate::ports::Failure;

/// Bytes of the largest download held.
const LARGEST: usize = 256 << 10;
/// Bytes one worker holds at most.
const ROOM: usize = 32 << 20;

/// Content in memory.
#[derive(Clone)]
pub(crate) struct Held {
    bytes: Arc<Vec<u8>>,
    _room: Arc<Room>,
}

impl Held {
    pub(crate) fn bytes(&self) -> &Arc<Vec<u8>> {
        &self.bytes
    }

    pub(crate) fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Held({} bytes)", self.bytes.len())
    }
}

/// A share of a worker's room, given back when dropped.
struct Room {
    local: Arc<Local>,
    taken: usize,
}

impl Room {
    fn take(&mut self, more: usize) -> bool {
        let fits = |held: usize| Some(held + more).filter(|held| *held <= ROOM);
        let took = self
            .local
            .held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .is_ok();
        if took {
            self.taken += more;
        }
        took
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.local.held.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

/// What a writer wrote.
#[derive(Debug)]
pub(crate) enum Written {
    Held(Held),
    Stored(Stored),
    /// It was to be thrown away.
    Dropped {
        size: u64,
        identity: Option<Identity>,
    },
}

/// Makes the file, once there has to be one.
pub(super) type MakeDraft = Box<dyn FnOnce() -> Result<Draft, Failure> + Send>;

/// Content being written: to memory as long as it fits, or to a file.
pub(super) enum Sheet {
    Memory(Memory),
    File(Box<Draft>),
    Nowhere(Box<Hasher>, u64),
}

/// Content being written to memory.
pub(super) struct Memory {
    bytes: Vec<u8>,
    room: Room,
    make: MakeDraft,
}

impl Sheet {
    /// In memory, of probably so many bytes; `make` makes the file if it comes to that.
    pub(super) fn held(local: &Arc<Local>, size: u64, make: MakeDraft) -> Self {
        let likely = usize::try_from(size).unwrap_or(usize::MAX);
        let room = Room {
            local: Arc::clone(local),
            taken: 0,
        };
        Self::Memory(Memory {
            bytes: Vec::with_capacity(if likely <= LARGEST { likely } else { 0 }),
            room,
            make,
        })
    }

    pub(super) fn file(draft: Draft) -> Self {
        Self::File(Box::new(draft))
    }

    /// For what is to be thrown away.
    pub(super) fn nowhere(method: Method) -> Self {
        Self::Nowhere(Box::new(Hasher::new(method)), 0)
    }

    pub(super) fn write(self, data: &[u8]) -> Result<Self, Failure> {
        match self {
            Self::File(mut draft) => {
                draft.write(data)?;
                Ok(Self::File(draft))
            }
            Self::Nowhere(mut hasher, size) => {
                hasher.update(data);
                Ok(Self::Nowhere(hasher, size + data.len() as u64))
            }
            Self::Memory(mut memory) => {
                let whole = memory.bytes.len() + data.len();
                if whole <= LARGEST && memory.room.take(data.len()) {
                    memory.bytes.extend_from_slice(data);
                    return Ok(Self::Memory(memory));
                }
                let mut draft = (memory.make)()?;
                draft.write(&memory.bytes)?;
                draft.write(data)?;
                Ok(Self::file(draft))
            }
        }
    }

    pub(super) fn finish(self) -> Result<Written, Failure> {
        Ok(match self {
            Self::File(draft) => Written::Stored(draft.finish()?),
            Self::Nowhere(hasher, size) => Written::Dropped {
                size,
                identity: hasher.finish(),
            },
            Self::Memory(memory) => Written::Held(Held {
                bytes: Arc::new(memory.bytes),
                _room: Arc::new(memory.room),
            }),
        })
    }
}
