//! Numbers for `flow status`, `/metrics` and progress bars.

pub use crate::sys::{count, gauge, progress};
