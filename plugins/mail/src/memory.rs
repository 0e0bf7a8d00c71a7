//! What is remembered of an IMAP folder between polls, in the host's `state`.
//!
//! Two things: which UIDs were settled, and, for the day the server throws its UIDs away
//! (UIDVALIDITY), eight bytes of hash per mail that was seen through. The first is one small value;
//! the second is kept in chunks, so that a batch rewrites one of them, with an end in number and
//! in time.

use std::collections::HashSet;
use std::time::Duration;

use flow_plugin::{Result, state};

use crate::names::fingerprint;
use crate::uids::UidSet;

/// Hashes per chunk: 16 KiB.
const CHUNK: usize = 2048;
/// Chunks kept per folder: 131 072 mails.
const MOST_CHUNKS: usize = 64;
/// How long a hash is worth keeping.
const KEPT: Duration = Duration::from_secs(400 * 24 * 3600);

/// The settled UIDs of a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) validity: u32,
    pub(crate) uids: UidSet,
    /// After UIDVALIDITY changed: mails up to this UID may be known by their hash. 0: no such mails.
    pub(crate) resync: u32,
}

impl Settled {
    fn to_text(&self) -> String {
        format!("{} {} {}", self.validity, self.resync, self.uids)
    }

    fn from_text(text: &str) -> Option<Self> {
        let mut words = text.splitn(3, ' ');
        Some(Self {
            validity: words.next()?.parse().ok()?,
            resync: words.next()?.parse().ok()?,
            uids: words.next()?.parse().ok()?,
        })
    }
}

/// The memory of one folder.
#[derive(Debug)]
pub(crate) struct Memory {
    key: String,
    /// The newest chunk, loaded when it is first written to.
    chunk: Option<(u32, Vec<u8>)>,
}

impl Memory {
    /// The memory of a folder of an account.
    pub(crate) fn of(url: &str, folder: &str) -> Self {
        let name = format!("{url}{folder}");
        // A state key holds 1 KiB.
        let key = if name.len() <= 900 {
            name
        } else {
            format!("{:016x}", fingerprint(&[name.as_bytes()]))
        };
        Self { key, chunk: None }
    }

    fn settled_key(&self) -> String {
        format!("imap {}", self.key)
    }

    fn chunk_prefix(&self) -> String {
        // The line end can't be in a folder's name, so no folder's prefix is in another's keys.
        format!("seen {}\n", self.key)
    }

    pub(crate) fn load(&self) -> Result<Option<Settled>> {
        Ok(state::get_text(&self.settled_key())?.and_then(|text| Settled::from_text(&text)))
    }

    pub(crate) fn store(&self, settled: &Settled) -> Result<()> {
        state::put(&self.settled_key(), settled.to_text())
    }

    /// Every hash there is.
    pub(crate) fn known(&self) -> Result<HashSet<u64>> {
        let mut known = HashSet::new();
        for key in state::keys(&self.chunk_prefix())? {
            let bytes = state::get(&key)?.unwrap_or_default();
            known.extend(
                bytes
                    .chunks_exact(8)
                    .filter_map(|chunk| chunk.try_into().ok())
                    .map(u64::from_be_bytes),
            );
        }
        Ok(known)
    }

    /// Remembers mails for the day their UIDs are gone.
    pub(crate) fn remember(&mut self, hashes: &[u64]) -> Result<()> {
        let prefix = self.chunk_prefix();
        let (mut number, mut bytes) = match self.chunk.take() {
            Some(chunk) => chunk,
            None => match state::keys(&prefix)?.last() {
                Some(key) => {
                    let number = key[prefix.len()..].parse().unwrap_or_default();
                    (number, state::get(key)?.unwrap_or_default())
                }
                None => (0, Vec::new()),
            },
        };
        for hash in hashes {
            if bytes.len() >= CHUNK * 8 {
                state::put_for(&format!("{prefix}{number:08}"), &bytes, KEPT)?;
                number += 1;
                bytes.clear();
                let keys = state::keys(&prefix)?;
                for key in keys.iter().take(keys.len().saturating_sub(MOST_CHUNKS - 1)) {
                    state::delete(key)?;
                }
            }
            let hash = hash.to_be_bytes();
            // A mail that is settled twice in a row is the common repeat.
            if !bytes
                .chunks_exact(8)
                .rev()
                .take(256)
                .any(|known| known == hash)
            {
                bytes.extend_from_slice(&hash);
            }
        }
        state::put_for(&format!("{prefix}{number:08}"), &bytes, KEPT)?;
        self.chunk = Some((number, bytes));
        Ok(())
    }
}

/// What is remembered of a mail: its Message-ID and size, or its date where it has no Message-ID.
pub(crate) fn mail_hash(message_id: Option<&str>, size: Option<u64>, date: Option<&str>) -> u64 {
    let size = size.unwrap_or_default().to_be_bytes();
    match message_id {
        Some(id) => fingerprint(&[b"id", id.as_bytes(), &size]),
        None => fingerprint(&[b"date", date.unwrap_or_default().as_bytes(), &size]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow_plugin::testing::Host;

    #[test]
    fn what_is_stored_comes_back() {
        let host = Host::default().install();
        let memory = Memory::of("imaps://me@host/", "INBOX");
        assert_eq!(memory.load(), Ok(None));
        let settled = Settled {
            validity: 7,
            uids: [1, 2, 3, 9].into_iter().collect(),
            resync: 4,
        };
        memory.store(&settled).expect("stored");
        assert_eq!(memory.load(), Ok(Some(settled)));
        memory.store(&Settled::default()).expect("stored");
        assert_eq!(memory.load(), Ok(Some(Settled::default())));
        host.borrow_mut().state.insert(
            "imap imaps://me@host/INBOX".to_owned(),
            b"nonsense".to_vec(),
        );
        assert_eq!(memory.load(), Ok(None));
    }

    #[test]
    fn hashes_are_kept_in_chunks_and_the_oldest_go() {
        let host = Host::default().install();
        let mut memory = Memory::of("imaps://me@host/", "INBOX");
        let all: Vec<u64> = (0..(CHUNK * (MOST_CHUNKS + 1)) as u64 + 5).collect();
        for batch in all.chunks(1000) {
            memory.remember(batch).expect("remembered");
        }
        assert_eq!(host.borrow().state.len(), MOST_CHUNKS);
        let known = memory.known().expect("known");
        assert!(known.contains(all.last().expect("not empty")) && !known.contains(&0));
        // Another instance goes on where this one stopped.
        Memory::of("imaps://me@host/", "INBOX")
            .remember(&[u64::MAX])
            .expect("remembered");
        assert!(memory.known().expect("known").contains(&u64::MAX));
        assert_eq!(host.borrow().state.len(), MOST_CHUNKS);
        assert!(
            Memory::of("imaps://me@host/", "INBO")
                .known()
                .expect("known")
                .is_empty()
        );
    }
}
