//! Polls and downloads mail over IMAP and POP3.
//!
//! A poll announces mails by names that never change and touches nothing on the server; content is
//! fetched without marking anything; what happens to a mail afterwards is said once the flow has
//! settled it. The protocol lives in `imap` and `pop`, over lines (`wire`); `plugin` decides which
//! account and connection a call is about. MIME is not looked into here: that is `mail-decode`'s.

mod date;
mod imap;
mod memory;
mod mutf7;
mod names;
mod options;
mod plugin;
mod pop;
mod sasl;
mod server;
mod sink;
mod uids;
mod wire;

#[cfg(test)]
mod tests;

pub use plugin::Mail;

flow_plugin::export!(Mail: Describe, Lifecycle, Gather, Wake, Settled, Download);
