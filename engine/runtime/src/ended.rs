//! What follows the end of a pass: callbacks are told, the queue gets its acks, the observer sees it.

use std::time::Instant;

use crate::delivery::{End, Ended, Origin};
use crate::error::Error;
use crate::finish::{Behind, Finished};
use crate::job::{Job, JobEnd};
use crate::pass::Pass;
use crate::ports::{Event, Failure, Fate, PassCounts, Settlement};
use crate::worker::Running;

impl Running {
    /// Waits for the pass that is ending, if there is one. What that makes known is stored with
    /// `pass`, the one in hand, or else at once.
    ///
    /// # Errors
    /// As outcomes can't be stored.
    pub(crate) async fn end_last(
        &mut self,
        behind: &mut Option<Behind>,
        pass: Option<&mut Pass>,
    ) -> Result<(), Error> {
        let Some(behind) = behind.take() else {
            return Ok(());
        };
        let (mut finisher, finished) = behind.wait().await;
        if let Some(failure) = finisher.stop.take() {
            self.stop_for(&failure);
        }
        if let Some(failure) = finisher.pause.take() {
            self.pause_for_credentials(&failure);
        }
        for failure in std::mem::take(&mut finisher.fallen) {
            self.count_plugin_failure(&failure);
        }
        self.finisher = Some(finisher);
        let Finished {
            ended,
            unreadable,
            counts,
            started,
            acks,
            tell,
            due,
            claim,
        } = finished?;
        if let Some(due) = due {
            self.next_retry_check = self.next_retry_check.min(due);
        }
        if self.drain.is_requested() {
            self.forget_ahead();
        }
        // What callbacks write from now on is above what the newest pass wrote.
        let mut ahead = self.ahead.take();
        let told = self.to_tell(tell);
        self.tell(told, ahead.as_mut().or(pass)).await;
        drop(claim);
        self.ahead = ahead;
        self.ack(&acks).await;
        if !ended.is_empty() || unreadable > 0 {
            let changes = |ended: &Ended| {
                matches!(ended.inner.origin, Origin::Retry { .. })
                    || matches!(ended.end, End::Retrying(..) | End::Settled(Fate::Dead(_)))
            };
            if self.next_waiting.is_some() && (unreadable > 0 || ended.iter().any(changes)) {
                self.count_soon();
            }
            self.report(&ended, unreadable, counts, started);
        }
        Ok(())
    }

    /// Forgets what was gathered ahead. Nothing is lost: nothing of it was stored, not even that it
    /// was gathered.
    pub(crate) fn forget_ahead(&mut self) {
        for job in self.ahead.take().into_iter().flat_map(|pass| pass.jobs) {
            let _ = job.delivery.back();
        }
    }

    /// Ends what is in hand, if anything is, before something that must not run beside it.
    pub(crate) async fn end_behind(&mut self) -> Result<(), Error> {
        let mut behind = self.behind.take();
        self.end_last(&mut behind, None).await
    }

    /// Some failures are about the flow rather than about their message.
    pub(crate) fn heed(&mut self, jobs: &[Job]) {
        for job in jobs {
            match &job.end {
                Some(JobEnd::Failed(failure @ Failure::Auth(_), _)) => {
                    self.pause_for_credentials(failure);
                }
                Some(JobEnd::Failed(failure @ Failure::Config(_), _)) => self.stop_for(failure),
                _ => {}
            }
        }
    }

    async fn ack(&mut self, acks: &[(u64, Settlement)]) {
        let Some(consumer) = self.consumer.as_mut().filter(|_| !acks.is_empty()) else {
            return;
        };
        if let Err(failure) = consumer.settle(acks).await {
            // They come again, and are recognised.
            tracing::warn!(
                reason = %failure,
                count = acks.len(),
                "The queue could not be told what became of its messages; it will deliver them again."
            );
        }
    }

    /// Tells the observer what became of everything.
    fn report(
        &mut self,
        ended: &[Ended],
        unreadable: u64,
        mut counts: PassCounts,
        started: Instant,
    ) {
        counts.dead += unreadable;
        counts.malformed += unreadable;
        for ended in ended {
            let message = &ended.inner.item.message;
            let fresh = !matches!(ended.end, End::Known | End::Back);
            if fresh && matches!(ended.inner.origin, Origin::Queue { .. }) {
                counts.lag.note(message.pub_time.age_at(ended.inner.born));
            }
            match &ended.end {
                End::Settled(Fate::Rejected(_)) => counts.rejected += 1,
                End::Settled(Fate::Dead(reason)) => {
                    counts.dead += 1;
                    let what = reason.lines().next().filter(|_| ended.told);
                    let reason = what.unwrap_or(reason);
                    self.shared.tell(|| Event::Dead { message, reason });
                }
                End::Retrying(again, failure) => {
                    counts.retrying += 1;
                    self.shared.tell(|| Event::Retrying {
                        message,
                        attempt: again.attempt,
                        failure,
                        due: again.due,
                    });
                }
                End::Settled(_) | End::Known | End::Back => {}
            }
            if self.shared.observer.wants_messages()
                && let Some(fate) = ended.fate()
            {
                self.shared.observer.event(&Event::Settled {
                    message,
                    fate: &fate,
                });
            }
        }
        // Passes overlap; together they take no longer than the clock says.
        counts.elapsed = self
            .reported
            .map_or(started, |reported| reported.max(started))
            .elapsed();
        self.reported = Some(Instant::now());
        self.shared.observer.event(&Event::Pass(&counts));
        self.totals.add(&counts);
    }
}
