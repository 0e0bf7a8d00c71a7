//! `pt-sandbox`: has PT Sandbox scan content after the work, and does what a policy says.
//!
//! Content is uploaded, a scan is asked for, and its verdict awaited: [`api`] speaks the protocol,
//! [`round`] keeps many scans of one call under way at once, [`ticket`] remembers those that outlive
//! it, [`policy`] says what follows from a verdict, and [`route`] carries it out.
//!
//! # Invariants
//! - Only a whole answer about the scan asked for is a verdict. Whatever else comes leaves the message
//!   where it is, to be scanned again; nothing passes, and nothing is dropped, because it was not
//!   understood.
//! - A verdict of one content is never that of another: a scan that outlived its call counts only for
//!   content with the fingerprint it was asked for.
//! - Nothing is dropped before its quarantine copy is written.

mod api;
mod options;
mod plugin;
mod policy;
mod round;
mod route;
mod ticket;

pub use plugin::PtSandbox;

flow_plugin::export!(PtSandbox: Describe, Lifecycle, AfterWork);
