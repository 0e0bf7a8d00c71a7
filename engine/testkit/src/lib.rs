//! Servers and helpers to test the engine with, and the server behind `flow demo`.
//!
//! Without features: a loopback IMAP server ([`imap`]) and invented mails ([`samples`]). With
//! `peers`: real servers started privately ([`Dovecot`], [`RabbitMq`], …), mail made to order ([`generate`]) and the
//! harness that runs the `flow` binary ([`Flow`]).
//!
//! # Invariants
//! - Nothing listens on anything but 127.0.0.1, on a port the system picked.
//! - What was started is stopped when its value is dropped, also when a test panics.
//! - Nothing here is random: mails are a function of their seed.

pub mod imap;
pub mod samples;

#[cfg(feature = "peers")]
mod communigate;
#[cfg(feature = "peers")]
mod cutter;
#[cfg(feature = "peers")]
pub mod generate;
#[cfg(feature = "peers")]
mod harness;
#[cfg(feature = "peers")]
mod peers;
#[cfg(feature = "peers")]
pub mod wait;

#[cfg(feature = "peers")]
pub use communigate::{CommuniGate, CommuniGateReport, CommuniGateSetup, Verdict};
#[cfg(feature = "peers")]
pub use cutter::Cutter;
#[cfg(feature = "peers")]
pub use harness::{Finished, Flow, Running, peak_memory, without_password};
#[cfg(feature = "peers")]
pub use peers::{
    Authority, Azure, Dovecot, Ftp, FtpManner, Mosquitto, Nginx, Object, RabbitMq, RabbitMqSetup,
    RspamdHelper, S3, Sandbox, Sftp, Sr3, StoredBlob, StoredMail, link_js_tools, link_python_tools,
    sandbox,
};
