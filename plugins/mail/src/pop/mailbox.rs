//! A maildrop as the flow sees it: what is new, its content, and its end.
//!
//! The session stays open from a poll to the end of the work it made, and never from one poll to the
//! next: others want the maildrop too.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use flow_plugin::{Failure, Fate, Fetched, Gathered, Message, NewMessage, Outcome, Result, state};

use super::session::{Entry, Pop};
use crate::names::fingerprint;
use crate::options::{After, Settings};
use crate::server::Server;
use crate::sink::{Sink, gone, too_large};

/// What is remembered of an account being polled: eight bytes of hash per mail that was settled and
/// is still on the server, in sixteen values so that none grows too large (2 million mails).
#[derive(Debug)]
struct Seen {
    url: String,
    shards: Vec<HashSet<u64>>,
}

impl Seen {
    fn load(url: &str) -> Result<Self> {
        let mut shards = Vec::new();
        for shard in 0..16 {
            let bytes = state::get(&Self::key(url, shard))?.unwrap_or_default();
            shards.push(
                bytes
                    .chunks_exact(8)
                    .filter_map(|chunk| chunk.try_into().ok())
                    .map(u64::from_be_bytes)
                    .collect(),
            );
        }
        Ok(Self {
            url: url.to_owned(),
            shards,
        })
    }

    fn key(url: &str, shard: usize) -> String {
        let url = if url.len() > 900 {
            format!("{:016x}", fingerprint(&[url.as_bytes()]))
        } else {
            url.to_owned()
        };
        format!("pop {url} {shard:x}")
    }

    fn contains(&self, name: &str) -> bool {
        let hash = fingerprint(&[name.as_bytes()]);
        self.shards[(hash >> 60) as usize].contains(&hash)
    }

    fn add(&mut self, names: &[String]) -> Result<()> {
        let mut changed = HashSet::new();
        for name in names {
            let hash = fingerprint(&[name.as_bytes()]);
            let shard = (hash >> 60) as usize;
            if self.shards[shard].insert(hash) {
                changed.insert(shard);
            }
        }
        self.store(&changed)
    }

    /// Forgets what the server no longer has.
    fn prune(&mut self, listing: &[Entry]) -> Result<()> {
        let listed: HashSet<u64> = listing
            .iter()
            .map(|entry| fingerprint(&[entry.name.as_bytes()]))
            .collect();
        let mut changed = HashSet::new();
        for (number, shard) in self.shards.iter_mut().enumerate() {
            let before = shard.len();
            shard.retain(|hash| listed.contains(hash));
            if shard.len() != before {
                changed.insert(number);
            }
        }
        self.store(&changed)
    }

    fn store(&self, changed: &HashSet<usize>) -> Result<()> {
        for &number in changed {
            let mut hashes: Vec<u64> = self.shards[number].iter().copied().collect();
            hashes.sort_unstable();
            let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.to_be_bytes()).collect();
            let key = Self::key(&self.url, number);
            if bytes.is_empty() {
                state::delete(&key)?;
            } else {
                state::put(&key, bytes)?;
            }
        }
        Ok(())
    }
}

/// One account.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    session: Option<Pop>,
    seen: Option<Seen>,
    queue: VecDeque<Entry>,
    outstanding: HashSet<String>,
}

impl Mailbox {
    /// The next mails, at most `limit`.
    pub(crate) fn gather(
        &mut self,
        server: &Server,
        settings: &Settings,
        downloads: bool,
        limit: usize,
    ) -> Result<Gathered> {
        if self.queue.is_empty() {
            self.release();
            self.look(server, settings)?;
        }
        let url = self
            .seen
            .as_ref()
            .map(|seen| seen.url.clone())
            .unwrap_or_default();
        let count = limit.min(self.queue.len());
        let mut messages = Vec::with_capacity(count);
        for entry in self.queue.drain(..count) {
            let mut message = NewMessage::new(url.clone(), entry.name.clone());
            message.size = entry.size;
            message.content_type = Some("message/rfc822".to_owned());
            if let Some(id) = entry.message_id {
                message = message.with_header("messageId", id);
            }
            self.outstanding.insert(entry.name);
            messages.push(message);
        }
        // Nothing to fetch, or somebody else fetches: the maildrop is free again.
        if messages.is_empty() || !downloads {
            self.release();
        }
        Ok(Gathered {
            messages,
            more: !self.queue.is_empty(),
        })
    }

    fn look(&mut self, server: &Server, settings: &Settings) -> Result<()> {
        let mut session = Pop::connect(server, settings)?;
        let url = session.server.url();
        let listing = session.listing()?;
        let mut seen = match self.seen.take() {
            Some(seen) if seen.url == url => seen,
            _ => Seen::load(&url)?,
        };
        seen.prune(listing)?;
        // Copies of one mail have one name without UIDL: the first stands for all.
        let mut names = HashSet::new();
        let new = listing.iter().filter(|entry| {
            !seen.contains(&entry.name)
                && !self.outstanding.contains(&entry.name)
                && names.insert(&entry.name)
        });
        self.queue = new.cloned().collect();
        let listed: HashSet<&str> = listing.iter().map(|entry| entry.name.as_str()).collect();
        self.outstanding
            .retain(|name| listed.contains(name.as_str()));
        self.seen = Some(seen);
        self.session = Some(session);
        Ok(())
    }

    /// Fetches mails of this account; one result each, in order.
    pub(crate) fn download(
        &mut self,
        server: &Server,
        settings: &Settings,
        messages: &[&Message],
    ) -> Vec<Fetched> {
        let mut results: Vec<Option<Fetched>> = vec![None; messages.len()];
        let mut failure = None;
        // A session kept from earlier may have died of age; a second try gets a new one.
        for _ in 0..2 {
            let outcome = self.fetch(server, settings, messages, &mut results);
            failure = outcome.err();
            let broken = self.session.as_ref().is_none_or(Pop::is_dead);
            if broken {
                self.session = None;
            }
            if failure.is_none() || !broken || !matches!(failure, Some(Failure::Temporary(_))) {
                break;
            }
        }
        let failure = failure.unwrap_or_else(|| Failure::temporary("the mail was not fetched"));
        results
            .into_iter()
            .map(|result| result.unwrap_or_else(|| Fetched::Fail(failure.clone())))
            .collect()
    }

    fn fetch(
        &mut self,
        server: &Server,
        settings: &Settings,
        messages: &[&Message],
        results: &mut [Option<Fetched>],
    ) -> Result<()> {
        let session = self.session(server, settings)?;
        let numbers: HashMap<String, u32> = session
            .listing()?
            .iter()
            .rev()
            .map(|entry| (entry.name.clone(), entry.number))
            .collect();
        let mut todo: Vec<(usize, u32)> = Vec::new();
        for (at, message) in messages
            .iter()
            .enumerate()
            .filter(|&(at, _)| results[at].is_none())
            .collect::<Vec<_>>()
        {
            let name = message
                .retrieve_path
                .as_deref()
                .unwrap_or(&message.rel_path)
                .trim_start_matches('/');
            let over = settings
                .limit_size
                .zip(message.size)
                .filter(|(limit, size)| size > limit);
            match (over, numbers.get(name)) {
                (Some((limit, size)), _) => results[at] = Some(too_large(size, limit)),
                (None, Some(&number)) => todo.push((at, number)),
                (None, None) => {
                    results[at] = Some(gone("it was deleted or fetched by another program"))
                }
            }
        }
        for chunk in todo.chunks(session.depth()) {
            session.request(&chunk.iter().map(|&(_, number)| number).collect::<Vec<_>>())?;
            for &(at, _) in chunk {
                let mut sink = Sink::new(messages[at], settings.limit_size);
                results[at] = match session.retrieve(|bytes| sink.take(bytes)) {
                    Ok(()) => Some(sink.finish()),
                    Err(failure) if session.is_dead() => return Err(failure),
                    Err(failure) => Some(Fetched::Fail(failure)),
                };
            }
        }
        Ok(())
    }

    /// Deletes where that is asked for, and remembers.
    pub(crate) fn settle(
        &mut self,
        server: &Server,
        settings: &Settings,
        outcomes: &[&Outcome],
    ) -> Result<()> {
        let safe: HashSet<&str> = outcomes
            .iter()
            .filter(|outcome| outcome.fate == Fate::Posted && settings.after == After::Delete)
            .map(|outcome| outcome.message.rel_path.as_str())
            .collect();
        if !safe.is_empty() {
            self.delete(server, settings, &safe)?;
        }
        let mut names: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for outcome in outcomes {
            self.outstanding.remove(&outcome.message.rel_path);
            names
                .entry(&outcome.message.base_url)
                .or_default()
                .push(outcome.message.rel_path.clone());
        }
        if let Some(seen) = &mut self.seen
            && let Some(names) = names.get(seen.url.as_str())
        {
            seen.add(names)?;
        }
        if self.queue.is_empty() {
            self.release();
        }
        Ok(())
    }

    fn delete(
        &mut self,
        server: &Server,
        settings: &Settings,
        names: &HashSet<&str>,
    ) -> Result<()> {
        let try_once = |this: &mut Self| -> Result<()> {
            let session = this.session(server, settings)?;
            let entries = session
                .listing()?
                .iter()
                .filter(|entry| names.contains(entry.name.as_str()));
            let numbers: Vec<u32> = entries.map(|entry| entry.number).collect();
            for number in numbers {
                session.delete(number)?;
            }
            match this.session.take() {
                Some(session) => session.quit(),
                None => Ok(()),
            }
        };
        let kept = self.session.is_some();
        match try_once(self) {
            Err(Failure::Temporary(_)) if kept => {
                self.session = None;
                try_once(self)
            }
            result => {
                // A session with half its deletions said must not live on and end in QUIT.
                if result.is_err() {
                    self.session = None;
                }
                result
            }
        }
    }

    fn session(&mut self, server: &Server, settings: &Settings) -> Result<&mut Pop> {
        let session = match self.session.take() {
            Some(session) => session,
            None => Pop::connect(server, settings)?,
        };
        Ok(self.session.insert(session))
    }

    /// Unlocks the maildrop.
    pub(crate) fn release(&mut self) {
        if let Some(session) = self.session.take()
            && !session.is_dead()
        {
            // Nothing is marked here, so nothing is lost if the server does not hear it.
            let _ = session.quit();
        }
    }
}
