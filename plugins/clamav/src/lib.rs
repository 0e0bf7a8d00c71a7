//! `clamav`: has clamd scan content after the work, and stops what is infected.
//!
//! Content streams to clamd over TCP (`INSTREAM`), one connection for each: a connection in the
//! middle of something is never used again. Invariant: only an answer that says `OK` lets content
//! pass as clean. A clamd that is away, closes early or says something else fails the message for
//! now, and the retry store offers it again.

mod clamd;
mod plugin;

pub use plugin::Clamav;

flow_plugin::export!(Clamav: Describe, Lifecycle, AfterWork);
