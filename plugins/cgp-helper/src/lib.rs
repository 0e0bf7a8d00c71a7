//! `cgp-helper`: a filter helper of CommuniGate Pro, on `flow helper`.
//!
//! What the server says ([`command`]) becomes messages about queue files; what a scanner found out about
//! them, in headers of those messages, becomes the server's answers ([`response`]). Between the two
//! stands a journal of requests nobody has answered ([`journal`]), in the plugin's state.
//!
//! # Invariants
//! - An answer goes to the request it was made for: the peer (never used again), the sequence number, the
//!   queue file and the request's ticket are the same, or it goes to nobody.
//! - A request is answered by its deadline, whatever the scanner does, with what the options say.
//! - Nothing is discarded but what the scanner said to discard.
//! - Answers are written by the host, one whole line at a time.

mod command;
mod journal;
mod options;
mod plugin;
mod response;

pub use plugin::CgpHelper;

flow_plugin::export!(CgpHelper: Describe, Lifecycle, Line, AfterAccept, AfterWork, Settled);
