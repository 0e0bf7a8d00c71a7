//! The flow loop and what it stands on.

pub mod ports;
