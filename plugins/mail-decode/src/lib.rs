//! `mail-decode`: takes a mail apart while it streams by, whatever its size.
//!
//! Bytes come in as they are read ([`Decoder::feed`]), parts go out as they are found ([`Sink`]):
//! structure ([`mod@decode`] → splitter → body), transfer encoding, charset, and then a file. What is
//! held at any time is a header block, a line, and some buffers of 64 KiB; never a part.
//!
//! Invariants, each with its test:
//! - the outcome depends on the mail's bytes alone, not on how they are cut into pieces;
//! - nothing in a mail makes it panic or fail: a broken mail gives the parts that are there;
//! - names are safe and unique below the mail's path, and the same at every run;
//! - attachments are the bytes that were sent; only bodies are converted to UTF-8;
//! - nothing is fetched.
//!
//! The decoder is plain Rust over [`Sink`]; [`MailDecode`] is the plugin around it.

mod base64;
mod begin;
mod body;
mod charset;
pub mod decode;
mod entity;
mod fields;
mod flowed;
mod guess;
mod head;
mod job;
pub mod names;
mod options;
mod params;
mod plugin;
mod quoted;
mod sink;
mod splitter;
mod transfer;
mod uu;
mod words;

pub use decode::{Decoder, Error, Outcome};
pub use job::{Headers, Incomplete, Part};
pub use options::{Kind, Options};
pub use plugin::MailDecode;
pub use sink::Sink;

flow_plugin::export!(MailDecode: Describe, Lifecycle, AfterWork);
