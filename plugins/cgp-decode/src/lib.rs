//! `cgp-decode`: queue files of CommuniGate Pro become mails.
//!
//! A queue file is an envelope, an empty line and the mail. What comes out is the mail as it would go
//! over the wire, every line ended by CRLF and nothing else changed, with the envelope in headers of
//! the message. Where the envelope ends is found by reading it, never by counting its lines.

mod envelope;
mod plugin;
mod wire;

pub use plugin::CgpDecode;

flow_plugin::export!(CgpDecode: Describe, Lifecycle, AfterWork);
