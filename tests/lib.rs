//! What the whole-binary tests share: a mailbox with a flow over it, the process in the
//! background, and looking at the results.
//!
//! Nothing here knows how the engine works inside, except the names of tables in the embedded
//! broker's file, which [`queue`] reads to count what was posted.

pub mod background;
pub mod queue;
mod scene;
pub mod tree;
pub mod wire;

use std::time::Duration;

use flow_testkit::{Running, wait};

pub use scene::{Access, MailFlow, Scene};

/// Waits until a watch, which logs what it does at `debug`, announces whatever comes: what is there
/// when it looks for the first time is not announced, so it has to look twice.
///
/// # Panics
/// When it does not within `limit`.
#[track_caller]
pub fn watches(watch: &Running, limit: Duration) {
    wait::until("the watch to look twice", limit, || {
        (watch.stderr().matches("gathering").count() > 1).then_some(())
    });
}
