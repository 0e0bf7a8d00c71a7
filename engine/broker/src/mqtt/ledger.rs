//! What a consumer holds: pure bookkeeping, without a connection and without time.
//!
//! Each message that arrived has an entry until the server is known to have forgotten it.
//!
//! ```text
//! arrive → waiting → out → acked → forgotten
//!             ↑_release_|
//! ```
//!
//! When the connection is lost nothing is thrown away: the entries become *stale* and stay where they
//! are. On the next connection the server sends again what it has no answer for, with the same packet
//! identifiers; what is recognised becomes *live* again instead of arriving a second time, and what
//! was acked meanwhile is answered at once. So a broken connection is not seen outside.
//!
//! # Invariants
//! - A packet identifier names at most one live entry.
//! - Nothing is offered twice without having been released.
//! - An identifier is acknowledged only on a connection on which its message arrived.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use super::packet::Publish;

/// Most acks kept that a server may not have got. Beyond it the oldest are given up: if they are
/// needed after all, their messages are delivered again.
const IN_DOUBT: usize = 1000;

/// A message that was handed out, and may be again.
#[derive(Debug, Clone)]
pub(super) struct Offer {
    pub(super) tag: u64,
    pub(super) key: String,
    pub(super) again: bool,
    pub(super) message: Publish,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Waiting,
    Out,
    Acked,
}

#[derive(Debug)]
struct Entry {
    key: String,
    message: Publish,
    place: Place,
    /// The server waits for an answer on this connection.
    live: bool,
    again: bool,
}

/// What to tell the server about an arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// There is something to hand out.
    Offered,
    /// It is known already, or wants no answer now.
    Known,
    /// It is done with.
    Done(u16),
    /// The server uses an identifier that is in use.
    Clash,
}

/// Everything one consumer holds.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: HashMap<u64, Entry>,
    waiting: VecDeque<u64>,
    live: HashMap<u16, u64>,
    /// Acked, and the server was not told yet.
    untold: Vec<u64>,
    /// Acked earlier and answered at once when they came again; the server may not have read it yet.
    answered: Vec<u64>,
    out: usize,
    last: u64,
}

impl Ledger {
    /// Messages waiting to be handed out.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Messages handed out and not settled.
    pub(super) fn out(&self) -> usize {
        self.out
    }

    /// A message came in.
    pub(super) fn arrive(&mut self, key: String, message: Publish) -> Arrival {
        if let Some(id) = message.id {
            if let Some(tag) = self.live.get(&id).copied() {
                match self.entries.get(&tag) {
                    Some(entry) if entry.place != Place::Acked && entry.key == key => {
                        return Arrival::Known;
                    }
                    Some(entry) if entry.place != Place::Acked => return Arrival::Clash,
                    // The server has the ack: why else would it use the identifier again.
                    _ => self.remove(tag),
                }
            }
            if let Some(tag) = self.recognise(&key, id, message.dup) {
                return self.revive(tag, id);
            }
        }
        self.settle_doubts(&message);
        self.last += 1;
        let tag = self.last;
        let live = message.id.is_some();
        if let Some(id) = message.id {
            self.live.insert(id, tag);
        }
        self.entries.insert(
            tag,
            Entry {
                key,
                again: message.dup,
                message,
                place: Place::Waiting,
                live,
            },
        );
        self.waiting.push_back(tag);
        Arrival::Offered
    }

    /// The identifier of a new message names no old one any more: the server has its ack.
    fn settle_doubts(&mut self, message: &Publish) {
        if message.id.is_some() && !message.dup {
            self.entries.retain(|_, entry| {
                entry.live || entry.place != Place::Acked || entry.message.id != message.id
            });
        }
    }

    /// The stale entry that a message is, if it is one: the same content under the same identifier,
    /// or under another one if the server says that it sent it before.
    fn recognise(&self, key: &str, id: u16, dup: bool) -> Option<u64> {
        let mut found: Option<(bool, u64)> = None;
        for (tag, entry) in &self.entries {
            let same = entry.message.id == Some(id);
            if entry.live || entry.message.id.is_none() || entry.key != key || !(same || dup) {
                continue;
            }
            // The same identifier first, then the oldest.
            let rank = (!same, *tag);
            if found.is_none_or(|best| rank < best) {
                found = Some(rank);
            }
        }
        found.map(|(_, tag)| tag)
    }

    fn revive(&mut self, tag: u64, id: u16) -> Arrival {
        let Some(entry) = self.entries.get_mut(&tag) else {
            return Arrival::Known;
        };
        entry.message.id = Some(id);
        entry.live = true;
        entry.again = true;
        let is_done = entry.place == Place::Acked;
        self.live.insert(id, tag);
        if !is_done {
            return Arrival::Known;
        }
        // It stays: this answer can be lost as the first one was.
        self.answered.push(tag);
        Arrival::Done(id)
    }

    /// The next message to hand out.
    pub(super) fn offer(&mut self) -> Option<Offer> {
        let tag = self.waiting.pop_front()?;
        let entry = self.entries.get_mut(&tag)?;
        entry.place = Place::Out;
        self.out += 1;
        Some(Offer {
            tag,
            key: entry.key.clone(),
            again: entry.again,
            message: entry.message.clone(),
        })
    }

    /// A message that was handed out is done with. A tag that is not out has nothing left to settle.
    pub(super) fn ack(&mut self, tag: u64) {
        let Some(entry) = self.out_mut(tag) else {
            return;
        };
        entry.place = Place::Acked;
        let answered = entry.message.id.is_some();
        let live = entry.live;
        self.out -= 1;
        if !answered {
            self.remove(tag);
        } else if live {
            self.untold.push(tag);
        }
    }

    /// Messages that were handed out are offered again, in their old order, before all others.
    pub(super) fn release(&mut self, tags: &[u64]) {
        let mut tags: Vec<u64> = tags.to_vec();
        tags.sort_unstable();
        for tag in tags.into_iter().rev() {
            let Some(entry) = self.out_mut(tag) else {
                continue;
            };
            entry.place = Place::Waiting;
            entry.again = true;
            self.out -= 1;
            let at = self.waiting.partition_point(|other| *other < tag);
            self.waiting.insert(at, tag);
        }
    }

    fn out_mut(&mut self, tag: u64) -> Option<&mut Entry> {
        self.entries
            .get_mut(&tag)
            .filter(|entry| entry.place == Place::Out)
    }

    /// Identifiers to acknowledge, in order of arrival, with their tags for [`forget`](Self::forget).
    pub(super) fn untold(&mut self) -> Vec<(u64, u16)> {
        let mut untold = std::mem::take(&mut self.untold);
        untold.sort_unstable();
        untold
            .into_iter()
            .filter_map(|tag| Some((tag, self.entries.get(&tag)?.message.id?)))
            .collect()
    }

    /// What was answered as it came again, for [`forget`](Self::forget).
    pub(super) fn answered(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.answered)
    }

    /// Whether there is something to tell.
    pub(super) fn has_untold(&self) -> bool {
        !self.untold.is_empty()
    }

    /// The server is known to have these acks.
    pub(super) fn forget(&mut self, tags: &[u64]) {
        for tag in tags {
            if self
                .entries
                .get(tag)
                .is_some_and(|entry| entry.place == Place::Acked)
            {
                self.remove(*tag);
            }
        }
    }

    fn remove(&mut self, tag: u64) {
        if let Some(entry) = self.entries.remove(&tag)
            && let Some(id) = entry.message.id
            && self.live.get(&id) == Some(&tag)
        {
            self.live.remove(&id);
        }
    }

    /// The connection is gone.
    ///
    /// Acks that the server may or may not have are kept until one of them turns out to be needed, or
    /// its identifier names something else. No more of them than can be in doubt at a time.
    pub(super) fn lost(&mut self) {
        for entry in self.entries.values_mut() {
            entry.live = false;
            if entry.place == Place::Acked {
                entry.message.payload = Bytes::new();
            }
        }
        self.live.clear();
        self.untold.clear();
        self.answered.clear();
        let mut doubtful: Vec<u64> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.place == Place::Acked)
            .map(|(tag, _)| *tag)
            .collect();
        doubtful.sort_unstable();
        doubtful.truncate(doubtful.len().saturating_sub(IN_DOUBT));
        for tag in doubtful {
            self.entries.remove(&tag);
        }
    }

    /// The server has forgotten the session: nothing here is known to it any more.
    pub(super) fn orphan(&mut self) {
        self.lost();
        self.entries.retain(|_, entry| entry.place != Place::Acked);
        for entry in self.entries.values_mut() {
            entry.message.id = None;
        }
    }
}

#[cfg(test)]
mod tests;
