//! What the broker means, in memory and without regard to cost.

use std::collections::{BTreeMap, BTreeSet};

use flow_message::topic_matches;
use flow_runtime::ports::{Confirm, Settlement};

use super::{Answer, DAY, Op, QueueView, SLOTS, View, body};
use crate::embedded::store::{Declaration, Housekept};

#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    now: i64,
    posted: usize,
    queues: BTreeMap<String, Queue>,
    unrouted: BTreeMap<String, u64>,
    keys: BTreeMap<(String, String), i64>,
    slots: [Slot; SLOTS],
}

#[derive(Debug, Clone, Default)]
struct Queue {
    /// Tells a queue from one of the same name that was deleted.
    born: usize,
    bindings: BTreeSet<(String, String)>,
    expire: i64,
    ttl: i64,
    used_at: i64,
    messages: BTreeMap<usize, Message>,
}

#[derive(Debug, Clone)]
struct Message {
    posted_at: i64,
    /// The session that holds it.
    lease: Option<usize>,
    deliveries: u64,
}

#[derive(Debug, Clone, Default)]
struct Slot {
    /// The queue it takes from, and its session.
    open: Option<(String, usize)>,
    /// Whether others know of the session, and on which queue: gone once buried.
    known: Option<(String, usize)>,
    /// What it took, ever: the queue's name and birth, the message.
    took: Vec<(String, usize, usize)>,
}

impl Model {
    pub(super) fn apply(&mut self, op: &Op) -> Answer {
        match op {
            Op::Declare(declaration) => {
                self.declare(declaration);
                Answer::Done
            }
            Op::Open { slot, declaration } => {
                self.close(*slot);
                self.declare(declaration);
                self.posted += 1;
                let session = self.posted;
                let born = self.queues[&declaration.queue].born;
                self.slots[*slot].open = Some((declaration.queue.clone(), session));
                self.slots[*slot].known = Some((declaration.queue.clone(), born));
                Answer::Done
            }
            Op::Close { slot } => {
                self.close(*slot);
                Answer::Done
            }
            Op::Post { exchange, posts } => self.post(exchange, posts),
            Op::Take { slot, limit } => self.take(*slot, *limit),
            Op::Settle { slot, picks } => {
                picks
                    .iter()
                    .for_each(|(pick, settlement)| self.settle(*slot, *pick, *settlement));
                Answer::Done
            }
            Op::Bury { slot } => {
                self.bury(*slot);
                Answer::Done
            }
            Op::Crash => {
                (0..SLOTS).for_each(|slot| self.bury(slot));
                self.slots = Default::default();
                Answer::Done
            }
            Op::Advance(by) => {
                self.now += by;
                Answer::Done
            }
            Op::Housekeep => self.housekeep(),
            Op::Purge(queue) => match self.queues.get_mut(queue) {
                None => Answer::NoQueue,
                Some(queue) => {
                    let before = queue.messages.len();
                    queue.messages.retain(|_, message| message.lease.is_some());
                    Answer::Count((before - queue.messages.len()) as u64)
                }
            },
            Op::Delete(queue) => Answer::Existed(self.queues.remove(queue).is_some()),
            Op::ForgetKeys(exchange) => {
                let before = self.keys.len();
                self.keys.retain(|(known, _), _| known != exchange);
                Answer::Count((before - self.keys.len()) as u64)
            }
        }
    }

    pub(super) fn view(&self) -> View {
        let queues = self.queues.iter().map(|(name, queue)| {
            let known = |slot: &&Slot| slot.known.as_ref() == Some(&(name.clone(), queue.born));
            let view = QueueView {
                bindings: queue.bindings.iter().cloned().collect(),
                messages: queue
                    .messages
                    .iter()
                    .map(|(id, message)| (body(*id), message.lease.is_some(), message.deliveries))
                    .collect(),
                consumers: self.slots.iter().filter(known).count() as u64,
            };
            (name.clone(), view)
        });
        View {
            queues: queues.collect(),
            unrouted: self.unrouted.clone(),
            keys: self.keys.len(),
        }
    }

    fn declare(&mut self, wanted: &Declaration) {
        self.posted += 1;
        let (born, now) = (self.posted, self.now);
        self.unrouted.entry(wanted.exchange.clone()).or_default();
        let queue = self
            .queues
            .entry(wanted.queue.clone())
            .or_insert_with(|| Queue {
                born,
                ..Queue::default()
            });
        queue.bindings = wanted
            .bindings
            .iter()
            .map(|pattern| (wanted.exchange.clone(), pattern.clone()))
            .collect();
        queue.expire = i64::try_from(wanted.expire.as_millis()).unwrap();
        queue.ttl = i64::try_from(wanted.message_ttl.as_millis()).unwrap();
        queue.used_at = now;
    }

    fn post(&mut self, exchange: &str, posts: &[(String, Option<String>)]) -> Answer {
        self.unrouted.entry(exchange.to_owned()).or_default();
        let (mut confirms, mut unrouted) = (Vec::new(), 0);
        for (topic, key) in posts {
            self.posted += 1;
            let key = key.as_ref().map(|key| (exchange.to_owned(), key.clone()));
            let known = key.as_ref().and_then(|key| self.keys.get(key));
            if known.is_some_and(|at| self.now - at < 30 * DAY) {
                confirms.push(Confirm::Duplicate);
                continue;
            }
            confirms.push(Confirm::Posted);
            let (id, message) = (
                self.posted,
                Message {
                    posted_at: self.now,
                    lease: None,
                    deliveries: 0,
                },
            );
            let mut routed = false;
            for queue in self.queues.values_mut() {
                let bound = |(to, pattern): &(String, String)| {
                    to == exchange && topic_matches(pattern, topic)
                };
                if queue.bindings.iter().any(bound) {
                    queue.messages.insert(id, message.clone());
                    routed = true;
                }
            }
            if !routed {
                unrouted += 1;
            } else if let Some(key) = key {
                self.keys.insert(key, self.now);
            }
        }
        *self.unrouted.get_mut(exchange).unwrap() += unrouted;
        Answer::Posted { confirms, unrouted }
    }

    fn take(&mut self, slot: usize, limit: usize) -> Answer {
        let Some((name, session)) = self.slots[slot].open.clone() else {
            return Answer::Done;
        };
        let now = self.now;
        let Some(queue) = self.queues.get_mut(&name) else {
            return Answer::NoQueue;
        };
        queue.expire_messages(now);
        let mut taken = Vec::new();
        for (id, message) in queue
            .messages
            .iter_mut()
            .filter(|(_, message)| message.lease.is_none())
            .take(limit)
        {
            taken.push((body(*id), message.deliveries > 0));
            message.lease = Some(session);
            message.deliveries += 1;
            self.slots[slot].took.push((name.clone(), queue.born, *id));
        }
        if !taken.is_empty() {
            self.slots[slot].known = Some((name, queue.born));
        }
        Answer::Taken(taken)
    }

    fn settle(&mut self, slot: usize, pick: usize, settlement: Settlement) {
        let slot = &self.slots[slot];
        let Some(count) = Some(slot.took.len()).filter(|count| *count > 0) else {
            return;
        };
        let (name, born, id) = &slot.took[pick % count];
        let Some(queue) = self
            .queues
            .get_mut(name)
            .filter(|queue| queue.born == *born)
        else {
            return;
        };
        match settlement {
            Settlement::Ack => {
                queue.messages.remove(id);
            }
            Settlement::Release => {
                let session = slot.open.as_ref().map(|(_, session)| *session);
                if let Some(message) = queue.messages.get_mut(id)
                    && message.lease.is_some()
                    && message.lease == session
                {
                    message.lease = None;
                }
            }
        }
    }

    fn close(&mut self, slot: usize) {
        self.bury(slot);
        self.slots[slot].open = None;
    }

    /// Ends the session as far as others know.
    fn bury(&mut self, slot: usize) {
        let Some((name, born)) = self.slots[slot].known.take() else {
            return;
        };
        let session = self.slots[slot].open.as_ref().map(|(_, session)| *session);
        let now = self.now;
        if let Some(queue) = self
            .queues
            .get_mut(&name)
            .filter(|queue| queue.born == born)
        {
            queue.used_at = now;
            for message in queue
                .messages
                .values_mut()
                .filter(|message| message.lease == session)
            {
                message.lease = None;
            }
        }
    }

    fn housekeep(&mut self) -> Answer {
        let now = self.now;
        let in_use: BTreeSet<&(String, usize)> = self
            .slots
            .iter()
            .filter_map(|slot| slot.known.as_ref())
            .collect();
        let unused: Vec<String> = self
            .queues
            .iter()
            .filter(|(name, queue)| {
                queue.expire > 0
                    && queue.used_at + queue.expire <= now
                    && !in_use.contains(&((*name).clone(), queue.born))
            })
            .map(|(name, _)| name.clone())
            .collect();
        let mut kept = Housekept::default();
        for name in unused {
            self.queues.remove(&name);
            kept.queues_expired.push(name);
        }
        for queue in self.queues.values_mut() {
            kept.messages_expired += queue.expire_messages(now);
        }
        let before = self.keys.len();
        self.keys.retain(|_, at| now - *at < 30 * DAY);
        kept.keys_forgotten = (before - self.keys.len()) as u64;
        Answer::Kept(kept)
    }
}

impl Queue {
    fn expire_messages(&mut self, now: i64) -> u64 {
        if self.ttl == 0 {
            return 0;
        }
        let (before, cutoff) = (self.messages.len(), now - self.ttl);
        self.messages
            .retain(|_, message| message.lease.is_some() || message.posted_at > cutoff);
        (before - self.messages.len()) as u64
    }
}
