//! Chores of the build: compiling plugins, and embedding them in the binary.
//!
//! A library, so that `engine/cli/build.rs` and tests share it with the `cargo xtask` command.
//! It runs cargo in the guests' own workspaces and never in the engine's, so that an outer cargo
//! and an inner one never wait for the same target directory.

mod embed;
mod freeze;
mod guests;
mod wit;

pub use embed::{Embedded, embed_catalogue, embed_plugins, embed_texts};
pub use freeze::{Frozen, contract_breaks, contract_changes, freeze_contract};
pub use guests::{GUEST_TARGET, Profile, build_example_guests, build_guests, rerun_if_changed};
