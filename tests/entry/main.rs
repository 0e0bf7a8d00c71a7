//! Entry points of plugins that face the outside, end to end: a flow's YAML, a guest, a peer.
//!
//! The guests are those of `tests/guests`, built by the first test to need them.

mod config;
#[path = "../guest.rs"]
mod guest;
mod helper;
mod limits;
mod peer;
mod posting;
mod requests;
mod sending;

use std::time::Duration;

use flow_testkit::{Flow, Running, wait};

pub(crate) const SOON: Duration = Duration::from_secs(60);

/// An installation with a guest as its plugin.
#[track_caller]
pub(crate) fn with_plugin(guest: &str) -> Flow {
    let flow = Flow::new();
    guest::install(&flow, guest);
    flow
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    wait::until(what, SOON, || holds().then_some(()));
}

/// Ends a flow as a person would.
#[track_caller]
pub(crate) fn stop(running: Running) -> String {
    running.terminate();
    running.finish(SOON).expect(0).stderr
}
