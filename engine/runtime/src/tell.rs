//! Telling callbacks how what they gathered or downloaded ended.
//!
//! Every outcome is stored, in the transaction that made it true, before it is told; the row goes
//! once the callback took it. So an outcome is told at least once, after a crash perhaps twice.
//! Callbacks can stand that by contract.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock::later;
use crate::error::Error;
use crate::pass::Pass;
use crate::ports::{Failure, Item, Outcome};
use crate::settle::tells;
use crate::state::Overlay;
use crate::store::{Batch, Pending};
use crate::trouble::Trouble;
use crate::worker::Running;

/// An outcome that made a plugin fall over so often is given up.
const TELL_TRIES: u32 = 10;
/// Outcomes told in one go after a start.
const TELL_BATCH: usize = 500;

impl Running {
    pub(crate) fn to_tell(&self, pending: Vec<Pending>) -> Vec<(usize, Pending)> {
        let named = pending
            .into_iter()
            .map(|row| (self.shared.callback_named(&row.callback), row));
        named
            .filter_map(|(index, row)| Some((index?, row)))
            .collect()
    }

    /// Tells outcomes left over from an earlier pass or process, when it is time.
    pub(crate) async fn tell_pending(&mut self) -> Result<(), Error> {
        let now = self.shared.now().as_millisecond();
        if self.options.dry_run || now < self.next_tell() {
            return Ok(());
        }
        self.next_tell = i64::MAX;
        self.seat.telling();
        let pending = self.shared.store.pending(TELL_BATCH).await?;
        if pending.len() == TELL_BATCH {
            self.next_tell = self.shared.now().as_millisecond();
        }
        let (known, gone): (Vec<_>, Vec<_>) = pending.into_iter().partition(|row| {
            self.shared
                .callback_named(&row.callback)
                .is_some_and(|index| tells(&self.lanes.abilities, index))
        });
        if !gone.is_empty() {
            tracing::warn!(
                count = gone.len(),
                callback = gone[0].callback,
                "Outcomes are left for a callback this flow no longer has; they are forgotten."
            );
            let told = gone
                .into_iter()
                .map(|row| (row.callback, row.key))
                .collect();
            self.shared
                .store
                .commit(Arc::new(Batch {
                    told,
                    ..Batch::default()
                }))
                .await?;
        }
        let told = self.to_tell(known);
        self.tell(told, None).await;
        Ok(())
    }

    /// Tells callbacks their outcomes. What could not be told stays stored, and is told later. That
    /// it was told, and what they wrote, is stored with the pass in hand: a transaction of its own
    /// would be undone by what that pass wrote before.
    pub(crate) async fn tell(&mut self, pending: Vec<(usize, Pending)>, pass: Option<&mut Pass>) {
        if pending.is_empty() {
            return;
        }
        let mut shares: BTreeMap<usize, Vec<Pending>> = BTreeMap::new();
        for (index, row) in pending {
            shares.entry(index).or_default().push(row);
        }
        let overlay = match &pass {
            Some(pass) => Arc::clone(&pass.overlay),
            None => Arc::default(),
        };
        let mut batch = Batch::default();
        for (index, rows) in shares {
            self.tell_one(index, rows, &overlay, &mut batch).await;
        }
        if let Some(pass) = pass {
            pass.told.append(&mut batch.told);
            pass.again.append(&mut batch.pending);
            return;
        }
        batch.state = overlay.writes();
        if let Err(error) = self.shared.store.commit(Arc::new(batch)).await {
            tracing::warn!(%error, "It could not be stored that outcomes were told; they will be told again.");
            self.tell_later();
        }
    }

    async fn tell_one(
        &mut self,
        index: usize,
        rows: Vec<Pending>,
        overlay: &Arc<Overlay>,
        batch: &mut Batch,
    ) {
        // All at once; after a failure that one of them may be to blame for, one by one.
        let mut parts = vec![rows];
        while let Some(rows) = parts.pop() {
            let Err(failure) = self.call_settled(index, &rows, overlay).await else {
                self.tell_step = 0;
                batch
                    .told
                    .extend(rows.into_iter().map(|row| (row.callback, row.key)));
                continue;
            };
            self.note_plugin_failure(&failure);
            match failure {
                Failure::Permanent(_) | Failure::Plugin(_) if rows.len() > 1 => {
                    parts.extend(rows.into_iter().rev().map(|row| vec![row]));
                }
                Failure::Permanent(_) => self.forget(rows, &failure, batch),
                Failure::Plugin(_) if rows[0].tries + 1 >= TELL_TRIES => {
                    self.forget(rows, &failure, batch);
                }
                Failure::Plugin(_) => {
                    let again = rows.into_iter().map(|row| Pending {
                        tries: row.tries + 1,
                        ..row
                    });
                    batch.pending.extend(again);
                    self.tell_later();
                }
                Failure::Temporary { .. } => {
                    tracing::warn!(
                        plugin = self.shared.names[index],
                        reason = %failure,
                        "Outcomes could not be told; this is tried again."
                    );
                    self.tell_later();
                    return;
                }
                Failure::Auth(_) => {
                    self.tell_later();
                    self.pause_for_credentials(&failure);
                    return;
                }
                Failure::Config(_) => {
                    self.stop_for(&failure);
                    return;
                }
            }
        }
    }

    fn forget(&self, rows: Vec<Pending>, failure: &Failure, batch: &mut Batch) {
        for row in rows {
            tracing::error!(
                key = row.key,
                plugin = row.callback,
                relPath = row.message.rel_path,
                reason = failure.brief(),
                "The origin can't be told how this message ended; that is given up."
            );
            batch.told.push((row.callback, row.key));
        }
    }

    fn tell_later(&mut self) {
        let wait =
            self.shared
                .trouble_delay(Trouble::Connection, self.tell_step, &Failure::temporary(""));
        self.tell_step += 1;
        let due = later(self.shared.now(), wait);
        if self.seat.leads() {
            self.next_tell = self.next_tell.min(due);
        } else {
            self.seat.tell_at(due);
        }
    }

    /// When outcomes are told again that could not be told, milliseconds: by the worker that leads,
    /// for all.
    pub(crate) fn next_tell(&self) -> i64 {
        self.next_tell.min(self.seat.next_tell())
    }

    async fn call_settled(
        &mut self,
        index: usize,
        rows: &[Pending],
        overlay: &Arc<Overlay>,
    ) -> Result<(), Failure> {
        let outcomes: Vec<Outcome> = rows
            .iter()
            .map(|row| Outcome {
                item: Item {
                    id: self.shared.id(),
                    key: row.key.clone(),
                    attempt: row.attempt,
                    message: row.message.clone(),
                    location: None,
                    other: None,
                },
                fate: row.fate.clone(),
            })
            .collect();
        let layer = Overlay::above(overlay);
        let state = self.shared.state(index, &layer);
        let Some(lane) = self.lanes.first() else {
            return Err(Failure::temporary("the plugin is being started again"));
        };
        lane.callbacks[index].settled(&outcomes, state).await?;
        layer.merge();
        Ok(())
    }
}
