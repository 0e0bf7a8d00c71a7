//! What polling remembers of each directory, in the flow's state.
//!
//! One row holds the entries of a directory, or a share of them: a large one is split by a hash of
//! the name, so that one new file rewrites one row of about a thousand entries. Rows are written in
//! the transaction of the pass that announces what they say, so that a crash forgets both or neither.
//!
//! A row: version (1 byte), number of shares (u32), then entries: length of the name (u16), name, kind
//! (u8), size (u64), modification time (i64, nanoseconds since 1970), inode (u64), little endian.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use flow_runtime::ports::{Failure, State};

use crate::walk::Kind;

const VERSION: u8 = 1;
/// Entries a row holds on average at most; a row of ten times as many still fits a state value.
const SHARE: usize = 1_000;

/// What is remembered of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) kind: Kind,
    pub(crate) size: u64,
    pub(crate) mtime: i64,
    pub(crate) inode: u64,
}

/// What is remembered of one directory.
#[derive(Debug, Default)]
pub(crate) struct Folder {
    key: String,
    shares: u32,
    pub(crate) entries: HashMap<OsString, Seen>,
    /// There were rows, even if they were empty.
    pub(crate) known: bool,
}

impl Folder {
    pub(crate) fn load(state: &dyn State, directory: &Path) -> Result<Self, Failure> {
        let mut folder = Self {
            key: key_of(directory),
            shares: 1,
            ..Self::default()
        };
        let mut share = 0;
        while share < folder.shares {
            if let Some(row) = state.get(&folder.row(share))? {
                folder.known = true;
                let shares = read(&row, &mut folder.entries);
                if share == 0 {
                    folder.shares = shares.unwrap_or(1).max(1);
                }
            }
            share += 1;
        }
        Ok(folder)
    }

    fn row(&self, share: u32) -> String {
        format!("poll/{}/{share}", self.key)
    }

    pub(crate) fn share_of(&self, name: &OsStr) -> u32 {
        // FNV-1a: rows outlive versions of the standard library's hasher.
        let hash = name
            .as_bytes()
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            });
        let folded = (hash ^ (hash >> 32)) as u32;
        folded % self.shares
    }

    /// Makes room for this many entries; all rows are written anew if that changes their number.
    pub(crate) fn grow(&mut self, state: &dyn State, entries: usize) -> Result<(), Failure> {
        let wanted = entries.div_ceil(SHARE).max(1).next_power_of_two();
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        if wanted <= self.shares {
            return Ok(());
        }
        self.shares = wanted;
        self.store(state, &(0..wanted).collect::<Vec<_>>())
    }

    /// Writes these shares.
    pub(crate) fn store(&mut self, state: &dyn State, shares: &[u32]) -> Result<(), Failure> {
        let mut rows: HashMap<u32, Vec<u8>> = shares.iter().map(|s| (*s, self.head())).collect();
        for (name, seen) in &self.entries {
            if let Some(row) = rows.get_mut(&self.share_of(name)) {
                write(row, name, seen);
            }
        }
        // The first says how many there are.
        if !self.known && !rows.contains_key(&0) {
            rows.insert(0, self.head());
        }
        for (share, row) in rows {
            state.put(&self.row(share), Some(row), None)?;
        }
        self.known = true;
        Ok(())
    }

    fn head(&self) -> Vec<u8> {
        let mut row = vec![VERSION];
        row.extend(self.shares.to_le_bytes());
        row
    }

    /// Forgets the directory.
    pub(crate) fn remove(self, state: &dyn State) -> Result<(), Failure> {
        (0..self.shares).try_for_each(|share| state.put(&self.row(share), None, None))
    }
}

pub(crate) fn key_of(directory: &Path) -> String {
    use std::fmt::Write as _;
    let bytes = directory.as_os_str().as_bytes();
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref()[..16]
        .iter()
        .fold(String::with_capacity(32), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn write(row: &mut Vec<u8>, name: &OsStr, seen: &Seen) {
    let name = name.as_bytes();
    let length = u16::try_from(name.len()).expect("a name has at most 255 bytes");
    row.extend(length.to_le_bytes());
    row.extend(name);
    row.push(match seen.kind {
        Kind::File => 0,
        Kind::Link => 1,
        Kind::Directory => 2,
        Kind::Special => 3,
    });
    row.extend(seen.size.to_le_bytes());
    row.extend(seen.mtime.to_le_bytes());
    row.extend(seen.inode.to_le_bytes());
}

/// Reads a row into `entries`; returns the number of shares. What can't be read is as if it were not
/// remembered.
fn read(row: &[u8], entries: &mut HashMap<OsString, Seen>) -> Option<u32> {
    let mut rest = row;
    if take::<1>(&mut rest)? != [VERSION] {
        return None;
    }
    let shares = u32::from_le_bytes(take(&mut rest)?);
    while !rest.is_empty() {
        let length = usize::from(u16::from_le_bytes(take(&mut rest)?));
        let (name, after) = rest.split_at_checked(length)?;
        rest = after;
        let [kind] = take(&mut rest)?;
        let seen = Seen {
            kind: match kind {
                0 => Kind::File,
                1 => Kind::Link,
                2 => Kind::Directory,
                _ => Kind::Special,
            },
            size: u64::from_le_bytes(take(&mut rest)?),
            mtime: i64::from_le_bytes(take(&mut rest)?),
            inode: u64::from_le_bytes(take(&mut rest)?),
        };
        entries.insert(OsString::from_vec(name.to_vec()), seen);
    }
    Some(shares)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}
