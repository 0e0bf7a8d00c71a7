//! Running a flow into which messages come from outside: a listener or a helper's lines beside the
//! loop.
//!
//! They end in this order: the entrance takes no more and answers what it has in hand, then the loop
//! drains. Where those outside still want answers (lines), the loop first works off what came in.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::crew::Crew;
use crate::drain::Drain;
use crate::error::Error;
use crate::front::Front;
use crate::ports::{EntryPoints, Failure};
use crate::store::Lock;
use crate::worker::{Summary, error_of, within};
use async_trait::async_trait;

/// How often who serves lines may look for peers that have waited for too long.
const TICK: Duration = Duration::from_secs(1);

/// What is left to do when an entrance has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// What came in is safe, and may wait for the next start.
    AtOnce,
    /// Answers are still wanted: what came in is worked off first.
    Finished,
}

/// Lets messages into a flow, beside its loop.
#[async_trait]
pub trait Entrance: Send {
    /// Whether a callback with these entry points is the one to ask.
    fn serves(&self) -> fn(EntryPoints) -> bool;
    /// Serves until a drain is requested, or nobody will come any more; returns when what was in hand
    /// is answered.
    async fn serve(&mut self, front: Arc<Front>, drain: Drain) -> Result<Leave, Failure>;
}

/// Runs a flow's workers with an entrance beside them.
pub(crate) async fn run(
    crew: Crew,
    drain: &Drain,
    mut entrance: Box<dyn Entrance>,
    lock: &Arc<Lock>,
) -> Result<Summary, Error> {
    let running = &crew.lead;
    let (grace, clock) = (running.options.grace, Arc::clone(&running.shared.clock));
    let inner = Drain::new();
    // Behind the instances of the lanes and those that post.
    let first = crew.len() * (running.shared.flow.concurrency.max(1) + 1);
    let finishing = running.finishing.clone();
    let (shared, factory) = (Arc::clone(&running.shared), Arc::clone(&running.factory));
    let failed: Mutex<Option<Failure>> = Mutex::default();
    let beside = async {
        let patience = async {
            drain.requested().await;
            clock.sleep(grace).await;
        };
        let served = async {
            // What was submitted before counts towards how much is taken.
            shared.inbox.open().await.map_err(|error| {
                Failure::temporary(format!("the flow's store can't be read: {error}"))
            })?;
            let front = Front::open(Arc::clone(&shared), factory, entrance.serves(), first).await?;
            let front = Arc::new(front);
            let tending = async {
                loop {
                    clock.sleep(TICK).await;
                    front.tend().await;
                }
            };
            let result = tokio::select! {
                biased;
                result = entrance.serve(Arc::clone(&front), drain.clone()) => result,
                never = tending => never,
            };
            within(&*clock, front.stop()).await;
            result
        };
        let result = tokio::select! {
            biased;
            result = served => result,
            () = patience => {
                tracing::warn!(
                    grace = ?grace,
                    "What came in from outside was not answered in time; those who wait are cut off."
                );
                Ok(Leave::AtOnce)
            }
        };
        match result {
            Ok(Leave::Finished) => {
                finishing.request();
                // Somebody may lose patience meanwhile.
                drain.requested().await;
                clock.sleep(grace).await;
            }
            Ok(Leave::AtOnce) => {}
            Err(failure) => {
                let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                *failed = Some(failure);
            }
        }
        inner.request();
        std::future::pending::<Infallible>().await
    };
    let result = tokio::select! {
        biased;
        result = crew.run(&inner, lock) => result,
        never = beside => match never {},
    };
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    match (result, failed) {
        (Ok(_), Some(failure)) => Err(error_of(&failure)),
        (result, _) => result,
    }
}
