//! Mailboxes as Dovecot stores them (Maildir++), read and written past the server.
//!
//! Mail is put into `tmp/` and renamed, so a running server sees it whole or not at all, and its
//! IDLE clients hear of it. File names are numbered: the server hands out UIDs in order of adding.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};

/// One mail as it lies in a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMail {
    /// The file.
    pub path: PathBuf,
    /// Maildir flags: `S` seen, `T` deleted, `R` answered, `F` flagged, `D` draft.
    pub flags: String,
    /// The mail as stored.
    pub raw: Vec<u8>,
}

impl StoredMail {
    /// Whether the mail carries `\Seen`.
    pub fn seen(&self) -> bool {
        self.flags.contains('S')
    }
}

/// One user's mail.
#[derive(Debug, Clone)]
pub(super) struct Maildir {
    root: PathBuf,
    /// Who has to own the files; none: whoever runs the test.
    owner: Option<u32>,
}

static NUMBER: AtomicU64 = AtomicU64::new(1);

impl Maildir {
    pub(super) fn new(root: PathBuf, owner: Option<u32>) -> Self {
        Self { root, owner }
    }

    pub(super) fn folder(&self, folder: &str) -> PathBuf {
        if folder.eq_ignore_ascii_case("INBOX") {
            self.root.clone()
        } else {
            self.root.join(format!(".{}", folder.replace('/', ".")))
        }
    }

    /// Makes a folder, if it is not there yet.
    pub(super) fn create(&self, folder: &str) -> Result<()> {
        let directory = self.folder(folder);
        if folder != "INBOX" {
            self.create("INBOX")?;
        }
        for part in ["", "tmp", "new", "cur"] {
            self.make_directory(&directory.join(part))?;
        }
        Ok(())
    }

    fn make_directory(&self, directory: &Path) -> Result<()> {
        if directory.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        self.give(directory)
    }

    fn give(&self, path: &Path) -> Result<()> {
        if let Some(owner) = self.owner {
            chown(path, Some(owner), Some(owner))
                .with_context(|| format!("cannot hand {} to the server", path.display()))?;
        }
        Ok(())
    }

    /// Adds a mail that `write` produces.
    pub(super) fn add(
        &self,
        folder: &str,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<()> {
        self.create(folder)?;
        let directory = self.folder(folder);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let base = format!("1700000000.M{number:09}P{}.test", std::process::id());
        let temporary = directory.join("tmp").join(&base);
        let file = BufWriter::new(File::create(&temporary)?);
        let mut counted = Counted {
            inner: file,
            bytes: 0,
            bare_lf: 0,
            last: 0,
        };
        write(&mut counted)?;
        counted.flush()?;
        fs::set_permissions(&temporary, fs::Permissions::from_mode(0o644))?;
        self.give(&temporary)?;
        // Sizes in the name spare the server from reading every mail to answer RFC822.SIZE.
        let (size, wire) = (counted.bytes, counted.bytes + counted.bare_lf);
        fs::rename(
            &temporary,
            directory
                .join("new")
                .join(format!("{base},S={size},W={wire}")),
        )?;
        Ok(())
    }

    /// Every mail in the folder, in order of adding.
    pub(super) fn mails(&self, folder: &str) -> Result<Vec<StoredMail>> {
        let mut mails = Vec::new();
        for part in ["new", "cur"] {
            let directory = self.folder(folder).join(part);
            if !directory.is_dir() {
                continue;
            }
            for entry in fs::read_dir(&directory)? {
                let path = entry?.path();
                let name = path
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned());
                let flags = name.as_deref().and_then(|name| name.split_once(":2,"));
                let flags = flags.map_or(String::new(), |(_, flags)| flags.to_owned());
                // The server may rename a mail while we look.
                if let Ok(raw) = fs::read(&path) {
                    mails.push(StoredMail { path, flags, raw });
                }
            }
        }
        mails.sort_by(|a, b| a.path.file_name().cmp(&b.path.file_name()));
        Ok(mails)
    }

    /// Forgets all UIDs: the server starts over with `uid_validity` and UID 1.
    pub(super) fn set_uid_validity(&self, folder: &str, uid_validity: u32) -> Result<()> {
        self.create(folder)?;
        let directory = self.folder(folder);
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            if path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("dovecot"))
            {
                fs::remove_file(&path)?;
            }
        }
        let list = directory.join("dovecot-uidlist");
        // Version 3 of Dovecot's own format: validity, next UID, and an identifier of the mailbox.
        fs::write(
            &list,
            format!("3 V{uid_validity} N1 G{uid_validity:032x}\n"),
        )?;
        self.give(&list)
    }
}

/// Counts what goes through it.
struct Counted<W> {
    inner: W,
    bytes: u64,
    bare_lf: u64,
    last: u8,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(data)?;
        for &byte in &data[..written] {
            self.bare_lf += u64::from(byte == b'\n' && self.last != b'\r');
            self.last = byte;
        }
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
