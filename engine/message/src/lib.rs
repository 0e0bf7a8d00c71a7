//! The notification message and its wire formats.
//!
//! A [`Message`] is exactly what travels: it announces that data exists, where it is, when it was
//! announced and how to recognise it. Working state (target paths, acks, attempts) lives in
//! `flow-runtime`, never here. This crate does no I/O, knows no clock and has no async code.
//!
//! # Invariants
//! - Fields this version does not know are kept verbatim and in order, and leave as they came.
//! - `decode(encode(m)) == m` for every message this crate can build.
//! - A decoded message always has `pubTime`, `baseUrl` and `relPath`.
//!
//! Words: *identity* is the fingerprint of the content (`{method, value}`); *fileOp* says that the
//! message is about a link, a directory, a removal or a rename instead of plain content.

pub mod codec;
mod fields;
mod time;
mod topic;

pub use codec::{DecodeError, Format, v03};
pub use fields::{Blocks, FileOp, Identity, Inline, InlineEncoding, Message};
pub use time::{ParseTimeError, Timestamp};
pub use topic::{Topic, topic_matches};
