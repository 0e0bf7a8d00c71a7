//! The guests of `tests/guests`, built by the first test to need them.
//!
//! A module of each test binary, not of the library: what it builds is kept where cargo lets tests
//! keep things, and builds need the crate that only tests have.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use flow_testkit::Flow;

/// The component `name`.
///
/// # Panics
/// When the guests can't be built, or there is none of that name.
#[track_caller]
pub(crate) fn component(name: &str) -> Vec<u8> {
    static GUESTS: OnceLock<PathBuf> = OnceLock::new();
    let directory = GUESTS.get_or_init(|| {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
        let guests =
            flow_xtask::build_example_guests(&workspace, &target, flow_xtask::Profile::Dev)
                .expect("the guests build");
        let (_, first) = guests.first().expect("there are guests");
        first.parent().expect("a file has a parent").to_owned()
    });
    std::fs::read(directory.join(format!("{name}.wasm"))).expect("the guest was built")
}

/// Makes the guest `name` a plugin of an installation; returns its file there.
///
/// # Panics
/// As [`component`].
#[track_caller]
pub(crate) fn install(flow: &Flow, name: &str) -> PathBuf {
    let file = flow.config_dir().join(format!("plugins/{name}.wasm"));
    let directory = file.parent().expect("it has one");
    std::fs::create_dir_all(directory).expect("the home is writable");
    std::fs::write(&file, component(name)).expect("the home is writable");
    file
}
