//! Nothing to do: waiting for a time to come, for the queue, for the origin, or for a drain.
//!
//! Waiting changes nothing but when the loop looks again; it is cut short by whatever comes first.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::{later, until};
use crate::error::Error;
use crate::ports::{Clock, Consumer, Failure};
use crate::store::Store;
use crate::trouble::Trouble;
use crate::worker::{FAREWELL, Running};

/// How often an idle flow looks for rows another process requeued.
const RETRY_LOOK: Duration = Duration::from_secs(2);

/// How long nothing comes from a queue that pushes before it counts as empty.
const LULL: Duration = Duration::from_millis(500);
/// So many lulls in a row end a flow that runs once, whatever its broker says is waiting.
const LULLS: u32 = 20;

impl Running {
    /// Whether a queue that pushes has more for a flow that runs once; waits a moment for it.
    pub(crate) async fn more_comes(&mut self) -> Result<bool, Error> {
        if !self
            .consumer
            .as_ref()
            .is_some_and(|consumer| consumer.is_pushed())
        {
            return Ok(false);
        }
        // What is settled makes room for what comes.
        self.end_behind().await?;
        let clock = Arc::clone(&self.shared.clock);
        let Some(consumer) = self.consumer.as_mut() else {
            return Ok(false);
        };
        for _ in 0..LULLS {
            tokio::select! {
                // A failure is what the next receive says.
                _ = consumer.ready() => return Ok(true),
                () = self.drain.requested() => return Ok(false),
                () = clock.sleep(LULL) => {}
            }
            // Where the broker can't say, a lull is all there is to go by.
            match consumer.depth().await {
                Ok(Some(waiting)) if waiting > 0 => {}
                _ => return Ok(false),
            }
        }
        tracing::warn!("The broker has more messages, but sends none; the run ends without them.");
        Ok(false)
    }

    /// Waits for as long as `messageRateMax` asks for; says whether it did.
    pub(crate) async fn keeps_pace(&mut self) -> Result<bool, Error> {
        let wait = self.pace.wait(self.shared.now());
        if wait.is_zero() || self.ahead.is_some() {
            return Ok(false);
        }
        self.end_behind().await?;
        self.wait(wait).await;
        Ok(true)
    }

    /// Whether a flow that would end by itself may: it may have to wait until nothing is left to try.
    /// Waits a while where it may not.
    pub(crate) async fn may_end(&mut self) -> Result<bool, Error> {
        let patient = self.shared.flow.retry.empty_before_exit && !self.options.dry_run;
        if !patient || !self.seat.leads() {
            return Ok(true);
        }
        self.end_behind().await?;
        let seat = Arc::clone(&self.seat);
        let changed = seat.changed();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let now = self.shared.now();
        let wait = match self.shared.store.next_due().await? {
            Some(due) => until(now, due).min(RETRY_LOOK),
            None if seat.others_work() => RETRY_LOOK,
            None => return Ok(true),
        };
        tokio::select! {
            () = changed => {}
            _ = self.wait(wait) => {}
        }
        self.next_retry_check = self.shared.now().as_millisecond();
        Ok(false)
    }

    /// Nothing to do: waits for a time to come, for the queue, for the origin, or for a drain.
    pub(crate) async fn idle(&mut self) {
        let now = self.shared.now();
        let mut next = self.next_housekeeping.min(self.next_tell());
        let gathers = self
            .lanes
            .abilities
            .iter()
            .any(|ability| ability.entry_points.gather);
        if gathers {
            next = next.min(self.next_gather);
        }
        // Without a queue nothing changes by itself.
        if let Some(count) = self.next_waiting
            && (self.consumer.is_some() || self.count_again)
        {
            next = next.min(count);
        }
        let timeout = until(now, next);
        let wakeable = self
            .lanes
            .abilities
            .iter()
            .position(|ability| ability.entry_points.gather && ability.entry_points.wake);
        let clock = Arc::clone(&self.shared.clock);
        let others = {
            let store = self.shared.store.clone();
            let (drain, leads) = (self.drain.clone(), self.seat.leads());
            let (consumer, next_receive) = (self.consumer.as_mut(), self.next_receive);
            let inbox = Arc::clone(&self.shared.inbox);
            let finishing = self.finishing.clone();
            let shared = Arc::clone(&self.shared);
            let clock = Arc::clone(&clock);
            async move {
                tokio::select! {
                    () = drain.requested() => {}
                    () = finishing.requested(), if !finishing.is_requested() => {}
                    () = inbox.comes() => {}
                    () = shared.falls.come(), if leads => {}
                    () = retry_due(&store, &*clock), if leads => {}
                    () = queue_ready(consumer, next_receive, &*clock) => {}
                }
            }
        };
        let callback = wakeable.and_then(|index| self.lanes.first()?.callbacks.get_mut(index));
        let (Some(callback), false) = (callback, timeout.is_zero()) else {
            tokio::select! {
                () = others => {}
                () = clock.sleep(timeout) => {}
            }
            return;
        };
        let wanted = Arc::new(Notify::new());
        let woken = {
            let waiting = callback.wait(timeout, Arc::clone(&wanted));
            tokio::pin!(waiting, others);
            tokio::select! {
                woken = &mut waiting => match woken {
                    // The origin can't push: plain sleep, as long as is left.
                    Ok(false) => {
                        let left = until(clock.now(), next);
                        tokio::select! {
                            () = others => {}
                            () = clock.sleep(left) => {}
                        }
                        Ok(false)
                    }
                    woken => woken,
                },
                () = &mut others => {
                    // The instance is wanted; it leaves its connection usable and returns.
                    wanted.notify_one();
                    tokio::select! {
                        woken = &mut waiting => woken,
                        () = clock.sleep(FAREWELL) => Ok(false),
                    }
                }
            }
        };
        match woken {
            Ok(true) => self.next_gather = self.shared.now().as_millisecond(),
            Ok(false) => {}
            Err(failure) => self.wake_failed(&failure).await,
        }
    }

    /// The origin could not be waited for; its gather will say more.
    async fn wake_failed(&mut self, failure: &Failure) {
        self.note_plugin_failure(failure);
        tracing::warn!(
            reason = failure.brief(),
            "Waiting for the origin failed; it is asked again."
        );
        match failure {
            Failure::Config(_) => self.stop_for(failure),
            Failure::Auth(_) => self.pause_for_credentials(failure),
            _ => {
                let wait =
                    self.shared
                        .trouble_delay(Trouble::Connection, self.gather_step, failure);
                let now = self.shared.now();
                self.next_gather = self.next_gather.min(later(now, wait));
                self.wait(wait).await;
            }
        }
    }
}

/// Waits until a retry is due. Another process may make one due, so it looks now and then.
async fn retry_due(store: &Store, clock: &dyn Clock) {
    loop {
        let now = clock.now();
        let wait = match store.next_due().await {
            Ok(Some(due)) if due <= now.as_millisecond() => return,
            Ok(Some(due)) => until(now, due).min(RETRY_LOOK),
            Ok(None) => RETRY_LOOK,
            Err(error) => {
                tracing::warn!(%error, "What is due in retry can't be seen.");
                RETRY_LOOK
            }
        };
        clock.sleep(wait).await;
    }
}

/// Waits until the queue may have something; for ever where there is none.
async fn queue_ready(consumer: Option<&mut Box<dyn Consumer>>, not_before: i64, clock: &dyn Clock) {
    let Some(consumer) = consumer else {
        return std::future::pending().await;
    };
    clock.sleep(until(clock.now(), not_before)).await;
    if consumer.ready().await.is_err() {
        // The next receive says what is wrong, and waits longer each time.
        clock.sleep(Duration::from_secs(1)).await;
    }
}
