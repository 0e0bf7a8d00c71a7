//! Entry points of plugins that face the outside, end to end: a flow's YAML, a guest, a peer.
//!
//! The guests are those of `tests/guests`, built by the first test to need them.

mod config;
mod helper;
mod limits;
mod peer;
mod posting;
mod requests;
mod sending;

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use flow_testkit::{Flow, Running, wait};

pub(crate) const SOON: Duration = Duration::from_secs(60);

/// An installation with a guest as its plugin.
#[track_caller]
pub(crate) fn with_plugin(guest: &str) -> Flow {
    let flow = Flow::new();
    let component = std::fs::read(guests().join(format!("{guest}.wasm"))).expect("it was built");
    let path = format!("{}/plugins/{guest}.wasm", config(&flow));
    flow.write(&path, &component);
    flow
}

/// The configuration directory, below the home directory.
fn config(flow: &Flow) -> String {
    let config = flow.config_dir();
    let below = config.strip_prefix(flow.home()).expect("below the home");
    below.to_string_lossy().into_owned()
}

fn guests() -> &'static Path {
    static GUESTS: OnceLock<std::path::PathBuf> = OnceLock::new();
    GUESTS.get_or_init(|| {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
        let guests =
            flow_xtask::build_example_guests(&workspace, &target, flow_xtask::Profile::Dev)
                .expect("the guests build");
        let (_, first) = guests.first().expect("there are guests");
        first.parent().expect("a file has a parent").to_owned()
    })
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn until(what: &str, holds: impl FnMut() -> bool) {
    let mut holds = holds;
    let start = std::time::Instant::now();
    while !holds() {
        assert!(start.elapsed() < SOON, "{what}: not within {SOON:?}");
        wait::pause(Duration::from_millis(10));
    }
}

/// Ends a flow as a person would.
#[track_caller]
pub(crate) fn stop(running: Running) -> String {
    running.terminate();
    running.finish(SOON).expect(0).stderr
}
