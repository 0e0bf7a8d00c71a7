//! Folders and mails, shared by all sessions. Knows nothing of the protocol's syntax.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// One mail.
#[derive(Debug, Clone)]
pub struct Mail {
    /// Its UID.
    pub uid: u32,
    /// Its flags, as clients see them (`\Seen`).
    pub flags: BTreeSet<String>,
    /// When it arrived.
    pub arrived: jiff::Timestamp,
    /// The mail.
    pub raw: Arc<[u8]>,
}

/// Everything the server holds.
#[derive(Debug)]
pub(super) struct Store {
    user: String,
    password: String,
    folders: Mutex<BTreeMap<String, Folder>>,
    /// Counts changes, so that idle sessions wake.
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
pub(super) struct Folder {
    pub(super) uid_validity: u32,
    pub(super) uid_next: u32,
    pub(super) mails: Vec<Mail>,
}

impl Store {
    pub(super) fn new(user: &str, password: &str) -> Self {
        let store = Self {
            user: user.to_owned(),
            password: password.to_owned(),
            folders: Mutex::default(),
            changes: watch::Sender::new(0),
        };
        store.create("INBOX");
        store
    }

    pub(super) fn admits(&self, user: &[u8], password: &[u8]) -> bool {
        user == self.user.as_bytes() && password == self.password.as_bytes()
    }

    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The folders; a session that panicked leaves them usable.
    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Folder>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Makes a folder; false if it is there already.
    pub(super) fn create(&self, folder: &str) -> bool {
        let mut folders = self.lock();
        let number = u32::try_from(folders.len()).unwrap_or(u32::MAX);
        if folders.contains_key(&canonical(folder)) {
            return false;
        }
        // Any number that differs between folders made at different times will do.
        let uid_validity = 1_700_000_000 + number;
        folders.insert(
            canonical(folder),
            Folder {
                uid_validity,
                uid_next: 1,
                mails: Vec::new(),
            },
        );
        true
    }

    pub(super) fn append(
        &self,
        folder: &str,
        raw: Vec<u8>,
        flags: &[String],
        arrived: Option<jiff::Timestamp>,
    ) -> u32 {
        self.create(folder);
        let uid = {
            let mut folders = self.lock();
            let folder = folders
                .get_mut(&canonical(folder))
                .expect("made a moment ago");
            folder.add(Mail {
                uid: 0,
                flags: flags.iter().cloned().collect(),
                arrived: arrived.unwrap_or_else(jiff::Timestamp::now),
                raw: raw.into(),
            })
        };
        self.changed();
        uid
    }

    pub(super) fn mails(&self, folder: &str) -> Vec<Mail> {
        self.lock()
            .get(&canonical(folder))
            .map(|folder| folder.mails.clone())
            .unwrap_or_default()
    }

    pub(super) fn folders(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }
}

impl Folder {
    /// Takes a mail in under the next UID.
    pub(super) fn add(&mut self, mail: Mail) -> u32 {
        let uid = self.uid_next;
        self.uid_next += 1;
        self.mails.push(Mail { uid, ..mail });
        uid
    }
}

/// INBOX is the one name whose case does not count.
pub(super) fn canonical(folder: &str) -> String {
    if folder.eq_ignore_ascii_case("INBOX") {
        "INBOX".to_owned()
    } else {
        folder.to_owned()
    }
}
