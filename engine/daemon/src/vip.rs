//! Flows that work only where an address is (`vip`).
//!
//! Several machines have the same flow, and an address that moves between them says whose turn it is.
//! Elsewhere the flow stands by: it is connected to nothing, holds nothing of its queue, and looks
//! once a second. When the address goes away the flow is drained: what is in hand is finished.
//!
//! This deliberately keeps nothing warm: what the other machine announced meanwhile is known here only
//! through the broker, or the origin.

use std::net::IpAddr;
use std::time::Duration;

use flow_runtime::ports::{Event, Observer};
use flow_runtime::{Drain, Summary};

use crate::Error;

/// How often a machine looks at its addresses.
const LOOK: Duration = Duration::from_secs(1);

/// The addresses of this machine; none where they can't be found out.
pub(crate) fn of_this_machine() -> Option<Vec<IpAddr>> {
    match if_addrs::get_if_addrs() {
        Ok(interfaces) => Some(interfaces.iter().map(if_addrs::Interface::ip).collect()),
        Err(error) => {
            tracing::warn!(%error, "The addresses of this machine can't be found out; it is taken to have those it had.");
            None
        }
    }
}

/// Runs `work` whenever this machine has one of the addresses `vip`, until it ends by itself or
/// `drain` is requested; `once` does not wait for an address. `machine` says which addresses there are.
///
/// # Errors
/// What `work` ends with.
pub(crate) async fn run<W>(
    vip: &[IpAddr],
    machine: impl Fn() -> Option<Vec<IpAddr>>,
    observer: &dyn Observer,
    drain: &Drain,
    once: bool,
    mut work: impl FnMut(Drain) -> W,
) -> Result<Summary, Error>
where
    W: Future<Output = Result<Summary, Error>>,
{
    let mut has = false;
    let mut look = || {
        if let Some(addresses) = machine() {
            has = vip.iter().any(|wanted| addresses.contains(wanted));
        }
        has
    };
    let mut totals = Summary::default();
    loop {
        if !look() {
            observer.event(&Event::Standby { vip });
        }
        while !look() {
            if once || drain.is_requested() {
                return Ok(totals);
            }
            tokio::select! {
                () = drain.requested() => return Ok(totals),
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        let end = Drain::new();
        let working = work(end.clone());
        tokio::pin!(working);
        let result = loop {
            tokio::select! {
                biased;
                result = &mut working => break result,
                () = drain.requested(), if !end.is_requested() => end.request(),
                () = tokio::time::sleep(LOOK), if !end.is_requested() => {
                    if !look() {
                        end.request();
                    }
                }
            }
        };
        totals.add(&result?);
        if drain.is_requested() || !end.is_requested() {
            return Ok(totals);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Default)]
    struct Seen(Mutex<Vec<String>>);

    impl Observer for Seen {
        fn event(&self, event: &Event<'_>) {
            self.0.lock().unwrap().push(format!("{event:?}"));
        }
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    /// Runs a flow on a machine that has the address for so many seconds of each ten.
    async fn run_for(seconds: u64, once: bool) -> (Vec<(u64, u64)>, usize) {
        let started = tokio::time::Instant::now();
        let now = move || started.elapsed().as_secs();
        let machine = move || {
            let mine = (now() % 10) < seconds;
            Some(vec![address(if mine { 7 } else { 8 })])
        };
        let drain = Drain::new();
        let times: Arc<Mutex<Vec<(u64, u64)>>> = Arc::default();
        let work = |end: Drain| {
            let times = Arc::clone(&times);
            async move {
                let from = now();
                end.requested().await;
                times.lock().unwrap().push((from, now()));
                Ok(Summary {
                    posted: 1,
                    ..Summary::default()
                })
            }
        };
        let (seen, vip) = (Seen::default(), [address(6), address(7)]);
        let running = run(&vip, machine, &seen, &drain, once, work);
        tokio::pin!(running);
        let summary = tokio::select! {
            result = &mut running => result,
            () = tokio::time::sleep(Duration::from_secs(25)) => {
                drain.request();
                running.await
            }
        };
        let summary = summary.expect("nothing fails");
        let times = times.lock().unwrap().clone();
        assert_eq!(summary.posted, times.len() as u64);
        let standby = seen.0.lock().unwrap().len();
        (times, standby)
    }

    #[tokio::test(start_paused = true)]
    async fn a_flow_works_while_the_address_is_here() {
        assert_eq!(
            run_for(4, false).await,
            (vec![(0, 4), (10, 14), (20, 24)], 3)
        );
        assert_eq!(run_for(10, false).await, (vec![(0, 25)], 0));
        assert_eq!(run_for(0, false).await, (vec![], 1));
        assert_eq!(run_for(0, true).await, (vec![], 1));
    }

    #[test]
    fn this_machine_has_the_address_of_its_loopback() {
        let own = of_this_machine().expect("they can be found out");
        assert!(own.contains(&IpAddr::from([127, 0, 0, 1])), "{own:?}");
    }
}
