//! The author's day: a project from nothing, built, tried, and given to a flow; and what a person
//! reads where something is in the way.
//!
//! Building takes cargo, the wasm target and crates.io (or what cargo has of it already), as
//! building flow itself does.

#[path = "../guest.rs"]
mod guest;
mod project;
mod refusals;
mod templates;
mod trials;

use std::path::Path;

use flow_testkit::Flow;

/// An installation whose builds find this machine's toolchain, although its home is another.
fn workshop() -> Flow {
    let mut flow = Flow::new();
    for (variable, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
        let place = std::env::var_os(variable)
            .map(std::path::PathBuf::from)
            .or_else(|| {
                let home = std::env::var_os("HOME")?;
                Some(Path::new(&home).join(folder))
            });
        if let Some(place) = place.filter(|place| place.is_dir()) {
            flow.env(variable, &place.display().to_string());
        }
    }
    flow
}
