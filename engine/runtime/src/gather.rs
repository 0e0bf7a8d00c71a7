//! Filling the worklist: due retries, then the queue, then the gathering callbacks.
//!
//! What is known already is ended here: redelivered because its ack was lost, or offered again by
//! its origin before it settled.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use flow_message::Message;

use crate::clock::{from_millis, later};
use crate::delivery::{Delivery, Inner, Origin};
use crate::error::Error;
use crate::job::{Job, JobEnd};
use crate::nodupe;
use crate::pass::Pass;
use crate::ports::{Event, Failure, Gathered, Item, Received};
use crate::state::Overlay;
use crate::store::RetryRow;
use crate::worker::{Running, Trouble};

impl Running {
    /// Fills the worklist: due retries, then the queue, then the gathering callbacks.
    pub(crate) async fn gather(&mut self, pass: &mut Pass) -> Result<(), Error> {
        let batch = self.shared.flow.batch.max(1);
        self.take_due(pass, batch.div_ceil(2)).await?;
        let first_new = pass.jobs.len();
        let redelivered = self.receive(pass, pass.room(batch)).await;
        self.ask_callbacks(pass, batch).await;
        self.drop_known(&mut pass.jobs, first_new, &redelivered)
            .await?;
        pass.counts.gathered = (pass.jobs.len() + pass.unreadable.len()) as u64;
        Ok(())
    }

    /// Due retries, at most half of the room, so that new messages pass as well.
    async fn take_due(&mut self, pass: &mut Pass, limit: usize) -> Result<(), Error> {
        let now = self.shared.now().as_millisecond();
        if self.options.dry_run || (!self.options.once && now < self.next_retry_check) {
            return Ok(());
        }
        // Run once, a message is tried once.
        let horizon = if self.options.once {
            self.started.as_millisecond()
        } else {
            now
        };
        let rows = self.shared.store.due(horizon, limit).await?;
        if rows.len() < limit {
            let due = self.shared.store.next_due().await?.unwrap_or(i64::MAX);
            // Another process may requeue at any time.
            self.next_retry_check = if due <= now {
                now
            } else {
                due.min(now + 1_000)
            };
        }
        for row in rows {
            let delivery = self.delivery_of(row);
            pass.add(delivery);
        }
        Ok(())
    }

    fn delivery_of(&self, row: RetryRow) -> Delivery {
        let item = Item {
            id: self.shared.id(),
            key: row.key,
            attempt: row.attempt,
            message: row.message,
            location: None,
        };
        let origin = Origin::Retry {
            gatherer: row.gatherer,
        };
        let born = from_millis(row.born);
        Delivery::new(
            Inner {
                item,
                origin,
                born,
                alone: row.alone,
            },
            &self.floor,
        )
    }

    fn fresh(&self, key: String, message: Message, origin: Origin) -> Delivery {
        let id = self.shared.id();
        let item = Item {
            id,
            key,
            attempt: 0,
            message,
            location: None,
        };
        let born = self.shared.now();
        Delivery::new(
            Inner {
                item,
                origin,
                born,
                alone: false,
            },
            &self.floor,
        )
    }

    /// Takes what the queue has; returns the tags that were delivered before.
    async fn receive(&mut self, pass: &mut Pass, limit: usize) -> HashSet<u64> {
        let mut redelivered = HashSet::new();
        let now = self.shared.now().as_millisecond();
        let Some(consumer) = self
            .consumer
            .as_mut()
            .filter(|_| limit > 0 && now >= self.next_receive)
        else {
            return redelivered;
        };
        let received = match consumer.receive(limit).await {
            Ok(received) => received,
            Err(failure) => {
                let wait =
                    self.source_failed("the queue can't be read", &failure, self.receive_step);
                self.receive_step += 1;
                self.next_receive = later(self.shared.now(), wait);
                return redelivered;
            }
        };
        self.receive_step = 0;
        for Received {
            message,
            tag,
            key,
            redelivered: again,
        } in received
        {
            if self.options.dry_run {
                self.held_tags.push(tag);
            }
            if again {
                redelivered.insert(tag);
            }
            match message {
                Ok(message) => {
                    self.shared.tell(|| Event::Gathered {
                        message: &message,
                        from: "queue",
                    });
                    let delivery = self.fresh(key, message, Origin::Queue { tag });
                    pass.add(delivery);
                }
                Err(reason) => pass.unreadable.push((tag, key, reason)),
            }
        }
        redelivered
    }

    /// Asks every gathering callback, when it is time.
    async fn ask_callbacks(&mut self, pass: &mut Pass, batch: usize) {
        if self.shared.now().as_millisecond() < self.next_gather {
            return;
        }
        let abilities = Arc::clone(&self.lanes.abilities);
        let gatherers = abilities
            .iter()
            .enumerate()
            .filter(|(_, ability)| ability.entry_points.gather);
        let first_new = pass.jobs.len();
        let mut more = false;
        let mut failed = None;
        for (index, _) in gatherers {
            let limit = pass.room(batch);
            if limit == 0 {
                more = true;
                break;
            }
            let layer = Overlay::above(&pass.overlay);
            let state = self.shared.state(index, &layer);
            self.shared.observer.event(&Event::Gathering {
                callback: &self.shared.names[index],
            });
            let Some(lane) = self.lanes.first() else {
                return;
            };
            match lane.callbacks[index].gather(limit, state).await {
                Ok(Gathered {
                    messages,
                    more: again,
                }) => {
                    layer.merge();
                    more |= again && !messages.is_empty();
                    self.add_gathered(pass, index, messages);
                }
                Err(failure) => {
                    self.note_plugin_failure(&failure);
                    failed = Some(failure);
                }
            }
        }
        let page = page_of(&pass.jobs[first_new..]);
        // An origin that says `more` and offers the same once more has nothing new to say.
        more &= page.is_none() || page != self.last_page;
        self.last_page = page;
        let wait = match failed {
            Some(failure) => {
                let wait =
                    self.source_failed("the origin can't be asked", &failure, self.gather_step);
                self.gather_step += 1;
                wait
            }
            None => {
                self.gather_step = 0;
                if more {
                    Duration::ZERO
                } else {
                    self.shared.flow.sleep.max(Duration::from_millis(10))
                }
            }
        };
        self.next_gather = later(self.shared.now(), wait);
    }

    fn add_gathered(&self, pass: &mut Pass, callback: usize, messages: Vec<Message>) {
        let name = &self.shared.names[callback];
        for mut message in messages {
            message.base_url = crate::post::without_password(message.base_url);
            self.shared.tell(|| Event::Gathered {
                message: &message,
                from: name,
            });
            let key = nodupe::item_key(name, &message);
            let delivery = self.fresh(key, message, Origin::Gather { callback });
            pass.add(delivery);
        }
    }

    /// A queue or an origin could not be asked; how long to leave it alone.
    fn source_failed(&mut self, what: &str, failure: &Failure, step: u32) -> Duration {
        let trouble = match failure {
            Failure::Config(_) | Failure::Permanent(_) => {
                self.stop_for(failure);
                return Duration::ZERO;
            }
            Failure::Auth(_) => Trouble::Credentials,
            Failure::Temporary { .. } | Failure::Plugin(_) => Trouble::Connection,
        };
        if self.options.once {
            self.stop_for(failure);
            return Duration::ZERO;
        }
        let wait = self.trouble_delay(trouble, step, failure);
        self.shared.paused(&format!("{what}: {failure}"), wait);
        wait
    }

    /// Ends what is known already: redelivered after its outcome was stored, or asked for again
    /// before it settled. It is in retry, in the dead letters or about to be told, and stays there.
    async fn drop_known(
        &mut self,
        jobs: &mut [Job],
        first_new: usize,
        redelivered: &HashSet<u64>,
    ) -> Result<(), Error> {
        let keys = jobs[first_new..]
            .iter()
            .map(|job| job.delivery.item().key.clone())
            .collect();
        let known = self.shared.store.known(keys).await?;
        let mut in_hand: HashMap<&str, usize> = HashMap::new();
        let mut ends = Vec::new();
        for (number, job) in jobs.iter().enumerate() {
            let key = job.delivery.item().key.as_str();
            if number >= first_new
                && let Some(known) = known.get(key)
            {
                let again = match job.delivery.origin() {
                    // A new message may equal one that was given up.
                    Origin::Queue { tag } => redelivered.contains(tag),
                    _ => true,
                };
                if known.retry || known.pending || (known.dead && again) {
                    ends.push((number, JobEnd::Known));
                    continue;
                }
            }
            match in_hand.get(key) {
                // As the first one ends; but there is only one thing to tell the origin about.
                Some(first) => ends.push((number, JobEnd::Same(*first))),
                None => drop(in_hand.insert(key, number)),
            }
        }
        for (number, end) in ends {
            jobs[number].finish(end);
        }
        Ok(())
    }
}

/// Recognises a gather that brought the same again; none where it brought nothing.
fn page_of(jobs: &[Job]) -> Option<u64> {
    if jobs.is_empty() {
        return None;
    }
    let mut hasher = DefaultHasher::new();
    for job in jobs {
        job.delivery.item().key.hash(&mut hasher);
    }
    Some(hasher.finish())
}
