//! Finding new mail, and remembering which mails were settled.
//!
//! A poll changes nothing on the server. A mail is returned once per life of the instance, and again
//! after a restart unless it was settled; the host drops what it has seen. The done set of a folder
//! only ever holds mails that were settled or are gone, so a crash at any instant skips none.

use std::collections::{BTreeMap, HashSet, VecDeque};

use flow_plugin::{Fate, Gathered, NewMessage, Outcome, Result, log, metrics};

use super::answer::End;
use super::answer::{Items, refusal};
use super::search::search;
use super::session::{Imap, Selected};
use crate::date::from_internal_date;
use crate::memory::{Memory, Settled, mail_hash};
use crate::names::{Place, message_id};
use crate::options::{After, Settings};
use crate::uids::UidSet;

/// From this many new mails on, progress is told.
const LONG: usize = 500;

/// Bytes of mail, as announced, that one gather returns at most (one mail may be larger): a pass over
/// huge mails ends, and is safe, before it has fetched five hundred of them.
const PAGE: u64 = 64 << 20;

/// Whether a gather returns what it has.
fn is_full(messages: &[NewMessage], limit: usize) -> bool {
    let bytes: u64 = messages.iter().filter_map(|message| message.size).sum();
    messages.len() >= limit || bytes >= PAGE
}

/// The folders of an account being polled.
#[derive(Debug, Default)]
pub(crate) struct Poll {
    folders: Vec<Folder>,
    /// Whether the folders in the options were turned into names.
    resolved: bool,
}

#[derive(Debug)]
struct Folder {
    name: String,
    memory: Memory,
    settled: Settled,
    /// Hashes of mails of the former UIDVALIDITY, while some may still come up.
    known: HashSet<u64>,
    /// Found and not returned yet, ascending.
    queue: VecDeque<u32>,
    /// Returned and not settled yet.
    outstanding: HashSet<u32>,
    /// The highest UID found so far.
    top: u32,
    /// Of the search under way, for the progress.
    found: usize,
    loaded: bool,
}

/// What a poll learns of one mail.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    size: Option<u64>,
    date: Option<String>,
    message_id: Option<String>,
}

impl Poll {
    /// The next mails, at most `limit`.
    pub(crate) fn gather(
        &mut self,
        imap: &mut Imap,
        settings: &Settings,
        limit: usize,
    ) -> Result<Gathered> {
        self.resolve(imap, settings)?;
        if self.folders.iter().all(|folder| folder.queue.is_empty()) {
            for folder in &mut self.folders {
                folder.look(imap, settings)?;
            }
        }
        let url = imap.server.url();
        let mut messages = Vec::new();
        for folder in &mut self.folders {
            while !is_full(&messages, limit) && !folder.queue.is_empty() {
                folder.take(imap, settings, &url, limit - messages.len(), &mut messages)?;
            }
        }
        let more = self.folders.iter().any(|folder| !folder.queue.is_empty());
        Ok(Gathered { messages, more })
    }

    /// The folder to wait in.
    pub(crate) fn first_folder(&self) -> Option<&str> {
        self.folders.first().map(|folder| folder.name.as_str())
    }

    /// Remembers how mails ended; those of other accounts and folders are none of its business.
    pub(crate) fn settle(
        &mut self,
        url: &str,
        settings: &Settings,
        outcomes: &[Outcome],
    ) -> Result<()> {
        for folder in &mut self.folders {
            let mut hashes = Vec::new();
            let mut changed = false;
            for outcome in outcomes
                .iter()
                .filter(|outcome| outcome.message.base_url == url)
            {
                let Some(place) = Place::parse(&outcome.message.rel_path) else {
                    continue;
                };
                if place.folder != folder.name || place.validity != folder.settled.validity {
                    continue;
                }
                changed = true;
                folder.outstanding.remove(&place.uid);
                folder.settled.uids.insert(place.uid);
                // A mail in retry is not through: should its UID go, it has to come up again.
                if !matches!(outcome.fate, Fate::Retrying(_)) {
                    let message = &outcome.message;
                    hashes.push(mail_hash(
                        message.header("messageId"),
                        message.size,
                        message.mtime.as_deref(),
                    ));
                }
            }
            if changed {
                folder.compact(settings);
                folder.memory.store(&folder.settled)?;
            }
            if !hashes.is_empty() {
                folder.memory.remember(&hashes)?;
            }
        }
        Ok(())
    }

    fn resolve(&mut self, imap: &mut Imap, settings: &Settings) -> Result<()> {
        if self.resolved {
            return Ok(());
        }
        let mut names: Vec<String> = Vec::new();
        if settings.folders.is_empty() {
            let folder = imap.server.folder.clone();
            names.push(if folder.is_empty() {
                "INBOX".to_owned()
            } else {
                folder
            });
        }
        for name in &settings.folders {
            if name.contains(['*', '%']) {
                let listed = imap.list(name)?;
                if listed.is_empty() {
                    log::warn(format!("no folder matches `{name}`"));
                }
                names.extend(listed);
            } else {
                names.push(name.clone());
            }
        }
        let url = imap.server.url();
        for name in names {
            // The one name that is the same in any case.
            let name = if name.eq_ignore_ascii_case("INBOX") {
                "INBOX".to_owned()
            } else {
                name
            };
            if self.folders.iter().all(|folder| folder.name != name) {
                self.folders.push(Folder::new(&url, name));
            }
        }
        self.resolved = true;
        Ok(())
    }

    /// New folders may match the patterns by now.
    pub(crate) fn refresh(&mut self, settings: &Settings) {
        if settings
            .folders
            .iter()
            .any(|name| name.contains(['*', '%']))
        {
            self.resolved = false;
        }
    }
}

impl Folder {
    fn new(url: &str, name: String) -> Self {
        let memory = Memory::of(url, &name);
        Self {
            name,
            memory,
            settled: Settled::default(),
            known: HashSet::new(),
            queue: VecDeque::new(),
            outstanding: HashSet::new(),
            top: 0,
            found: 0,
            loaded: false,
        }
    }

    /// Looks for mails that are new.
    fn look(&mut self, imap: &mut Imap, settings: &Settings) -> Result<()> {
        let writable = settings.after != After::Keep;
        let open = imap
            .selected()
            .is_some_and(|selected| selected.folder == self.name);
        let selected = imap.open(&self.name, writable)?;
        if open {
            // Nothing but a command makes a server tell of what came since.
            imap.noop()?;
        }
        self.meet(&selected)?;
        // What comes from here on may miss the search.
        imap.take_news();
        let uids = if settings.search.is_none() {
            let first = self.top.max(self.settled.uids.floor()).saturating_add(1);
            if !open && selected.next.is_some_and(|next| next <= first) {
                return Ok(());
            }
            search(imap, &self.name, &format!("UID {first}:*"))?
                .into_iter()
                .filter(|&uid| uid >= first)
                .collect::<Vec<_>>()
        } else {
            let criteria = settings.search.as_deref().unwrap_or("ALL");
            let hits = search(imap, &self.name, criteria)?;
            // What stopped matching is forgotten: should it match again, that is news.
            let set: HashSet<u32> = hits.iter().copied().collect();
            self.settled.uids.retain(|uid| set.contains(&uid));
            hits
        };
        let uids = uids
            .into_iter()
            .filter(|&uid| !self.settled.uids.contains(uid) && !self.outstanding.contains(&uid));
        let uids: UidSet = uids.collect();
        self.queue = uids.iter().collect();
        self.found = self.queue.len();
        if let Some(&last) = self.queue.back() {
            self.top = self.top.max(last);
        }
        Ok(())
    }

    /// Loads the memory, and starts over where the server did.
    fn meet(&mut self, selected: &Selected) -> Result<()> {
        if self.loaded && self.settled.validity == selected.validity {
            return Ok(());
        }
        let former = if self.loaded {
            Some(self.settled.clone())
        } else {
            self.memory.load()?
        };
        self.queue.clear();
        self.outstanding.clear();
        self.top = 0;
        self.known.clear();
        match former {
            Some(former) if former.validity == selected.validity => self.settled = former,
            Some(former) => {
                let resync = selected
                    .next
                    .map_or(u32::MAX, |next| next.saturating_sub(1));
                log::warn(format!(
                    "folder `{}` has new UIDs (UIDVALIDITY was {}, is {}); mails seen through before are told by their Message-ID",
                    self.name, former.validity, selected.validity
                ));
                self.settled = Settled {
                    validity: selected.validity,
                    uids: UidSet::default(),
                    resync,
                };
                self.memory.store(&self.settled)?;
            }
            None => {
                self.settled = Settled {
                    validity: selected.validity,
                    uids: UidSet::default(),
                    resync: 0,
                }
            }
        }
        if self.settled.resync > self.settled.uids.floor() {
            self.known = self.memory.known()?;
        }
        self.loaded = true;
        Ok(())
    }

    /// Turns the next mails of the queue into messages.
    fn take(
        &mut self,
        imap: &mut Imap,
        settings: &Settings,
        url: &str,
        limit: usize,
        messages: &mut Vec<NewMessage>,
    ) -> Result<()> {
        let selected = imap.open(&self.name, settings.after != After::Keep)?;
        if selected.validity != self.settled.validity {
            return self.meet(&selected);
        }
        let uids: UidSet = self.queue.iter().take(limit).copied().collect();
        let mut found: BTreeMap<u32, Found> = BTreeMap::new();
        for set in uids.commands(4000) {
            let command = format!(
                "UID FETCH {set} (UID RFC822.SIZE INTERNALDATE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])"
            );
            let end = imap.fetch_items(&command, |items| note(&mut found, items))?;
            if matches!(end, End::Bad(_)) || (matches!(end, End::No(_)) && found.is_empty()) {
                return Err(refusal(
                    &format!("asking for the mails in `{}`", self.name),
                    &end,
                ));
            }
        }
        let mut skipped = 0u64;
        let mut bytes: u64 = messages.iter().filter_map(|message| message.size).sum();
        for uid in uids.iter() {
            if bytes >= PAGE {
                break;
            }
            self.queue.pop_front();
            let Some(mail) = found.remove(&uid) else {
                // Gone between SEARCH and FETCH.
                self.settled.uids.insert(uid);
                continue;
            };
            let date = mail.date.as_deref().and_then(from_internal_date);
            if uid <= self.settled.resync
                && self.known.contains(&mail_hash(
                    mail.message_id.as_deref(),
                    mail.size,
                    date.as_deref(),
                ))
            {
                self.settled.uids.insert(uid);
                skipped += 1;
                continue;
            }
            self.outstanding.insert(uid);
            let place = Place {
                folder: self.name.clone(),
                validity: self.settled.validity,
                uid,
            };
            let mut message = NewMessage::new(url, place.rel_path());
            message.size = mail.size;
            bytes += mail.size.unwrap_or_default();
            message.mtime = date;
            message.content_type = Some("message/rfc822".to_owned());
            if let Some(id) = mail.message_id {
                message = message.with_header("messageId", id);
            }
            messages.push(message);
        }
        if skipped > 0 {
            metrics::count("mails_known", skipped);
            log::info(format!(
                "folder `{}`: {skipped} mails with new UIDs were seen through before and are left alone",
                self.name
            ));
            self.compact(settings);
            self.memory.store(&self.settled)?;
        }
        if self.found >= LONG {
            let done = self.found - self.queue.len().min(self.found);
            metrics::progress(
                &format!("polling {}", self.name),
                done as u64,
                self.found as u64,
                "mails",
            );
        }
        Ok(())
    }

    /// Where nothing below a UID is waiting, the set needs no gaps for mails that never were.
    fn compact(&mut self, settings: &Settings) {
        if settings.search.is_some() {
            return;
        }
        let waiting = self.outstanding.iter().chain(self.queue.front()).min();
        self.settled
            .uids
            .fill_up_to(waiting.map_or(self.top, |&uid| uid - 1));
        if self.settled.uids.floor() >= self.settled.resync {
            self.known.clear();
        }
    }
}

fn note(found: &mut BTreeMap<u32, Found>, items: &Items) {
    let Some(uid) = items.uid() else { return };
    let mail = found.entry(uid).or_default();
    if let Some(size) = items.number("RFC822.SIZE") {
        mail.size = Some(size);
    }
    if let Some(date) = items.get("INTERNALDATE") {
        mail.date = Some(String::from_utf8_lossy(date).into_owned());
    }
    if let Some(header) = items.starting("BODY[HEADER") {
        mail.message_id = message_id(header);
    }
}
