//! Upkeep of the embedded broker while a flow runs: nobody else is there to do it.
//!
//! Every process that runs a flow does it; the broker stands that. Of the flows of one process one does
//! it for all. What fails is done next time.

use std::convert::Infallible;
use std::time::Duration;

use crate::embedded::Share;

/// Shorter pauses than this would keep other processes from writing.
const SHORTEST: Duration = Duration::from_secs(1);

/// Removes what has expired every `interval`, for as long as it is polled.
///
/// # Cancel safety
/// Dropping the future leaves a whole step undone or done, and takes nothing from messages in hand.
pub(crate) async fn keep(share: Option<&Share>, interval: Duration) -> Infallible {
    let Some(share) = share else {
        return std::future::pending().await;
    };
    let interval = interval.max(SHORTEST);
    loop {
        tokio::time::sleep(interval).await;
        if !share.is_due(interval) {
            continue;
        }
        match share.broker().housekeeping().await {
            Ok(kept) => tracing::debug!(?kept, "The embedded broker was cleared up."),
            Err(error) => {
                tracing::warn!(%error, "The embedded broker could not be cleared up; it is tried again.");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use flow_broker::embedded::{Declaration, EmbeddedBroker, Options};
    use flow_message::Timestamp;

    use super::*;
    use crate::embedded::Place;

    #[tokio::test(start_paused = true)]
    async fn unused_queues_go_while_a_flow_runs() {
        let directory = tempfile::tempdir().expect("a place for files");
        let seconds = Arc::new(AtomicI64::new(1_000_000));
        let clock = Arc::clone(&seconds);
        let options = Options {
            clock: Arc::new(move || Timestamp::from_unix(clock.load(Ordering::SeqCst), 0)),
            ..Options::default()
        };
        let file = directory.path().join("broker.db");
        let broker = EmbeddedBroker::open(file, options).expect("it can be made");
        let unused = Declaration::new("unused", "x", ["#"]).expire(Duration::from_secs(60));
        broker.declare(&unused).await.expect("a good name");
        seconds.fetch_add(61, Ordering::SeqCst);
        let gone = async {
            while !broker.queues().await.expect("it can be read").is_empty() {
                tokio::time::sleep(Duration::from_secs(30)).await;
            }
        };
        let place = Place::holding(broker.clone());
        let share = place.share(directory.path()).expect("it is open");
        tokio::select! {
            never = keep(Some(&share), Duration::from_secs(300)) => match never {},
            () = gone => {}
        }
    }
}
