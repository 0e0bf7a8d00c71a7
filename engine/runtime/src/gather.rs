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
use crate::finish::Hand;
use crate::job::{Job, JobEnd};
use crate::nodupe;
use crate::pass::Pass;
use crate::ports::{Event, Failure, Gathered, Item, Received, Side};
use crate::state::Overlay;
use crate::store::RetryRow;
use crate::trouble::Trouble;
use crate::worker::Running;

/// So many empty pages in a row are asked for without much of a pause.
const EMPTY_PAGES: u32 = 100;

/// Messages taken from a queue at a time where their content is moved.
const STEP: usize = 100;

/// Bytes of content, as announced, after which a pass takes no further step: one with large content
/// ends, and is safe, before hundreds of them were moved.
const PAGE: u64 = 64 << 20;

/// What was gathered, beside the messages.
pub(crate) struct Found {
    /// Tags of what was delivered before.
    redelivered: HashSet<u64>,
    /// A delivery of the queue came again that the pass before this one decides about.
    pub(crate) unsure: bool,
}

impl Running {
    /// Fills the worklist: due retries, then the queue, then the gathering callbacks, unless they were
    /// asked ahead. `hand` is what the pass before this one still decides about.
    pub(crate) async fn gather(&mut self, pass: &mut Pass, hand: &Hand) -> Result<Found, Error> {
        let batch = self.shared.flow.batch.max(1);
        let (asked, before) = (!pass.is_empty(), pass.len());
        let allowed = self.pace.allow(pass.room(batch), self.shared.now());
        let due = batch.div_ceil(2).min(allowed.all);
        self.take_due(pass, due, hand).await?;
        let tried = pass.len() - before;
        let batch = pass.len() + allowed.new.min(allowed.all - tried);
        self.take_submitted(pass, pass.room(batch), hand).await?;
        let redelivered = self.receive(pass, pass.room(batch)).await;
        if !asked {
            self.ask_callbacks(pass, batch).await;
            self.leave(pass, hand);
        }
        let all = pass.len() - before;
        self.pace.took(allowed, all, all - tried);
        let unsure = pass.jobs.iter().any(|job| {
            matches!(job.delivery.origin(), Origin::Queue { .. })
                && hand.has(&job.delivery.item().key)
        });
        pass.counts.gathered = (pass.jobs.len() + pass.unreadable.len()) as u64;
        Ok(Found {
            redelivered,
            unsure,
        })
    }

    /// Whether the origins have more, and are to be asked while the lanes work.
    pub(crate) fn may_look_ahead(&self) -> bool {
        let now = self.shared.now().as_millisecond();
        self.ahead.is_none()
            && self.shared.debugger.is_none()
            && self.last_page.is_some()
            && now >= self.next_gather
            && self.stop.is_none()
            && self.pause.is_none()
            && !self.drain.is_requested()
    }

    /// Asks the origins for the next pass; the passes before it still decide about `hands`.
    pub(crate) async fn look_ahead(&mut self, next: &mut Pass, hands: [&Hand; 2]) {
        let batch = self.shared.flow.batch.max(1);
        let allowed = self.pace.allow(batch, self.shared.now());
        self.ask_callbacks(next, allowed.new).await;
        self.pace.took(allowed, next.len(), next.len());
        for hand in hands {
            self.leave(next, hand);
        }
    }

    /// Leaves to the passes before this one what an origin offered again before it settled, which it
    /// is about to. The origin is asked again as soon as it has.
    fn leave(&mut self, pass: &mut Pass, hand: &Hand) {
        let mut left = false;
        for job in &mut pass.jobs {
            let gathered = matches!(job.delivery.origin(), Origin::Gather { .. });
            if gathered && hand.has(&job.delivery.item().key) {
                job.finish(JobEnd::Known);
                left = true;
            }
        }
        if left {
            self.next_gather = self.shared.now().as_millisecond();
        }
    }

    /// Due retries, at most half of the room, so that new messages pass as well.
    async fn take_due(&mut self, pass: &mut Pass, limit: usize, hand: &Hand) -> Result<(), Error> {
        let now = self.shared.now().as_millisecond();
        if self.options.dry_run
            || !self.seat.leads()
            || (!self.options.once && now < self.next_retry_check)
        {
            return Ok(());
        }
        // Run once, a message is tried once, unless all are to be done with.
        let once = self.options.once && !self.shared.flow.retry.empty_before_exit;
        let horizon = if once {
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
        for row in rows.into_iter().filter(|row| !hand.has(&row.key)) {
            let delivery = self.delivery_of(row);
            pass.add(delivery);
        }
        Ok(())
    }

    /// What came from outside the loop since the last time.
    async fn take_submitted(
        &mut self,
        pass: &mut Pass,
        limit: usize,
        hand: &Hand,
    ) -> Result<(), Error> {
        let inbox = Arc::clone(&self.shared.inbox);
        if limit == 0 || self.options.dry_run || !inbox.has_new() {
            return Ok(());
        }
        let now = self.shared.now().as_millisecond();
        // Where the same thing is being decided about, this is looked at as soon as it is.
        let rows = inbox.take(limit, now, |key| hand.has(key)).await?;
        for row in rows {
            let mut message = row.message;
            self.shared.stamp.gathered(&mut message, self.shared.now());
            self.shared.tell(|| Event::Gathered {
                message: &message,
                from: &row.submitter,
            });
            let origin = Origin::Inbox {
                row: row.id,
                submitter: row.submitter,
            };
            let delivery = self.fresh(row.key, message, origin);
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
            other: None,
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
            message: Arc::new(message),
            location: None,
            other: None,
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
        let step = match self.shared.places.is_anywhere() {
            true => STEP,
            false => limit,
        };
        let (mut redelivered, mut left, mut bytes) = (HashSet::new(), limit, 0_u64);
        while left > 0 && bytes < PAGE {
            let asked = left.min(step);
            let received = self.receive_some(asked).await;
            left -= received.len().min(left);
            let fewer = received.len() < asked;
            pass.jobs.reserve(received.len());
            for Received {
                message,
                tag,
                key,
                redelivered: again,
                route,
            } in received
            {
                if self.options.dry_run {
                    self.held_tags.push(tag);
                }
                if again {
                    redelivered.insert(tag);
                }
                match message {
                    Ok(mut message) => {
                        bytes = bytes.saturating_add(message.size.unwrap_or_default());
                        self.shared.stamp.received(&mut message, route);
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
            if fewer {
                break;
            }
        }
        redelivered
    }

    /// Takes at most `limit` messages; none where there is no queue, or it fails.
    async fn receive_some(&mut self, limit: usize) -> Vec<Received> {
        let now = self.shared.now().as_millisecond();
        let Some(consumer) = self.consumer.as_mut().filter(|_| now >= self.next_receive) else {
            return Vec::new();
        };
        match consumer.receive(limit).await {
            Ok(received) => {
                self.receive_step = 0;
                self.shared.connection(Side::Input, true);
                received
            }
            Err(failure) => {
                self.shared.connection(Side::Input, false);
                let wait =
                    self.source_failed("the queue can't be read", &failure, self.receive_step);
                self.receive_step += 1;
                self.next_receive = later(self.shared.now(), wait);
                Vec::new()
            }
        }
    }

    /// Asks every gathering callback, when it is time.
    async fn ask_callbacks(&mut self, pass: &mut Pass, batch: usize) {
        let began = self.shared.now();
        if began.as_millisecond() < self.next_gather {
            return;
        }
        // The pages of one gather belong together.
        let began = *self.gather_began.get_or_insert(began);
        let abilities = Arc::clone(&self.lanes.abilities);
        let gatherers = abilities
            .iter()
            .enumerate()
            .filter(|(_, ability)| ability.entry_points.gather);
        let first_new = pass.jobs.len();
        let mut more = false;
        // One that says `more` and has nothing yet is still looking.
        let mut walking = false;
        let mut failed = None;
        for (index, _) in gatherers {
            let limit = pass.room(batch);
            if limit == 0 {
                more = true;
                break;
            }
            if !self.shared.stop_before("gather", index).await {
                continue;
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
                    walking |= again && messages.is_empty();
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
        if !walking {
            self.empty_pages = 0;
        } else if page.is_none() {
            self.empty_pages += 1;
        }
        // The page before an empty one is still the last that brought something.
        if page.is_some() || !walking {
            self.last_page = page;
        }
        let now = self.shared.now();
        self.next_gather = match failed {
            Some(failure) => {
                self.shared.connection(Side::Origin, false);
                let wait =
                    self.source_failed("the origin can't be asked", &failure, self.gather_step);
                self.gather_step += 1;
                self.gather_began = None;
                later(now, wait)
            }
            None => {
                self.gather_step = 0;
                if abilities.iter().any(|ability| ability.entry_points.gather) {
                    self.shared.connection(Side::Origin, true);
                }
                if more {
                    now.as_millisecond()
                } else if walking {
                    later(now, empty_pause(self.empty_pages))
                } else {
                    self.gather_began = None;
                    self.timetable.next(began, now)
                }
            }
        };
    }

    fn add_gathered(&self, pass: &mut Pass, callback: usize, messages: Vec<Message>) {
        let name = &self.shared.names[callback];
        for mut message in messages {
            crate::post::drop_password(&mut message.base_url);
            self.shared.stamp.gathered(&mut message, self.shared.now());
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
        let wait = self.shared.trouble_delay(trouble, step, failure);
        self.shared.paused(&format!("{what}: {failure}"), wait);
        wait
    }

    /// Ends what is known already: redelivered after its outcome was stored, or asked for again
    /// before it settled. It is in retry, in the dead letters or about to be told, and stays there.
    pub(crate) async fn drop_known(
        &mut self,
        jobs: &mut [Job],
        found: &Found,
    ) -> Result<(), Error> {
        let is_new = |job: &Job| !matches!(job.delivery.origin(), Origin::Retry { .. });
        let known = match self.shared.store.is_occupied() {
            true => {
                let new = jobs.iter().filter(|job| is_new(job));
                let keys = new.map(|job| job.delivery.item().key.clone());
                self.shared.store.known(keys.collect()).await?
            }
            false => HashMap::new(),
        };
        let mut in_hand: HashMap<&str, usize> = HashMap::with_capacity(jobs.len());
        let mut ends = Vec::new();
        for (number, job) in jobs.iter().enumerate() {
            let key = job.delivery.item().key.as_str();
            if is_new(job)
                && let Some(known) = known.get(key)
            {
                let again = match job.delivery.origin() {
                    // A new message may equal one that was given up.
                    Origin::Queue { tag } => found.redelivered.contains(tag),
                    Origin::Inbox { .. } => false,
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
        for job in jobs {
            if let Origin::Queue { tag } = job.delivery.origin() {
                let first = !found.redelivered.contains(tag);
                job.live.iter_mut().for_each(|live| live.meta.first = first);
            }
        }
        Ok(())
    }
}

/// How long to leave an origin alone that has brought nothing so many times, but says there is more:
/// not at all at first, as it may walk a large tree; then a little longer each time.
fn empty_pause(pages: u32) -> Duration {
    match pages.checked_sub(EMPTY_PAGES) {
        None => Duration::from_millis(1),
        Some(over) => Duration::from_millis(10 << over.min(3)).min(Duration::from_millis(50)),
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
