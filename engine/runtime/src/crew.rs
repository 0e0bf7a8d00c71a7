//! Running the workers of one flow beside each other.
//!
//! Each is a task of its own; what they share is in [`team`](crate::team). They end together: where
//! one has to stop, the others are drained.

use std::sync::Arc;

use flow_config::Flow;
use tokio::task::JoinSet;

use crate::drain::Drain;
use crate::error::Error;
use crate::store::Lock;
use crate::team::Seat;
use crate::worker::{Links, Options, Ports, Running, Summary};

/// The workers of a flow, one at least.
pub(crate) struct Crew {
    pub(crate) lead: Running,
    others: Vec<Running>,
    /// Ends them all.
    end: Drain,
}

impl Crew {
    /// One worker, and one more for each of `more`.
    pub(crate) fn new(
        flow: Arc<Flow>,
        ports: Ports,
        more: Vec<Links>,
        options: Options,
    ) -> Result<Self, Error> {
        let mut seats = Seat::of(1 + more.len()).into_iter();
        let end = Drain::new();
        let seat = seats.next().expect("one at least");
        let lead = Running::new(flow, ports, options, end.clone(), seat)?;
        let others = more
            .into_iter()
            .zip(seats)
            .map(|(links, seat)| lead.beside(links, seat))
            .collect();
        Ok(Self { lead, others, end })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        1 + self.others.len()
    }

    /// Runs all until they have ended. Where one has to stop, all do.
    pub(crate) async fn run(self, drain: &Drain, lock: &Arc<Lock>) -> Result<Summary, Error> {
        let Self { lead, others, end } = self;
        if others.is_empty() {
            let passed_on = async {
                drain.requested().await;
                end.request();
                std::future::pending().await
            };
            return tokio::select! {
                biased;
                never = passed_on => never,
                result = lead.live() => result,
            };
        }
        let mut tasks = JoinSet::new();
        for running in std::iter::once(lead).chain(others) {
            // Whoever runs last gives the flow up, also where nobody waits for them any more.
            let lock = Arc::clone(lock);
            tasks.spawn(async move {
                let result = running.live().await;
                drop(lock);
                result
            });
        }
        let mut totals = Summary::default();
        let mut failed = None;
        loop {
            let ended = tokio::select! {
                biased;
                () = drain.requested(), if !end.is_requested() => {
                    end.request();
                    continue;
                }
                ended = tasks.join_next() => ended,
            };
            match ended {
                None => break,
                Some(Ok(Ok(summary))) => {
                    let elapsed = totals.elapsed.max(summary.elapsed);
                    totals.add(&summary);
                    totals.elapsed = elapsed;
                }
                Some(Ok(Err(error))) => {
                    failed.get_or_insert(error);
                    end.request();
                }
                Some(Err(error)) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(error) => tracing::error!(%error, "A worker was cancelled."),
                },
            }
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(totals),
        }
    }
}
