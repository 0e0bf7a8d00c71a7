//! Plugins as a flow uses them: options, ceilings, and what they may reach.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Filters;

/// A configured use of a plugin.
#[derive(Debug, Clone)]
pub struct CallbackSpec {
    /// The plugin's name.
    pub plugin: String,
    /// Every option of the plugin that is set or has a default, typed by its manifest.
    pub options: BTreeMap<String, OptionValue>,
    /// Which of the messages it derives go on, and where their content is stored; none: all,
    /// beside the message they come from.
    pub filters: Option<Filters>,
    /// Ceilings.
    pub limits: Limits,
    /// The only file it may be: SHA-256, hexadecimal in lower case.
    pub sha256: Option<String>,
    /// The public key of minisign that its file has to be signed with.
    pub minisign: Option<String>,
    /// SHA-256 of the certificates its servers may have (`tlsPin`); none: what authorities say counts.
    pub pins: Vec<[u8; 32]>,
    /// `file:line` of the entry.
    pub origin: String,
}

/// A plugin option's value, units resolved.
#[derive(Debug, Clone, PartialEq)]
pub enum OptionValue {
    /// Yes or no.
    Flag(bool),
    /// A whole number.
    Count(i64),
    /// Bytes.
    Size(u64),
    /// A time span.
    Duration(Duration),
    /// Text, URL, choice or regex.
    Text(String),
    /// Text that is never printed.
    Secret(crate::Secret),
    /// A list of any of these, as text.
    List(Vec<String>),
}

/// Ceilings of one callback instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest a guest may compute in one call; waiting for a peer does not count.
    pub deadline: Duration,
    /// Bytes of linear memory.
    pub memory: u64,
    /// Bytes a call may hand back in messages, edits and log lines.
    pub output: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30),
            memory: 64 << 20,
            output: 16 << 20,
        }
    }
}

/// What a flow allows beyond its own URLs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allow {
    /// `host:port`, `host:*`, or `*.domain:port`.
    pub connect: Vec<String>,
    /// As `connect`, for HTTP.
    pub http: Vec<String>,
    /// URLs whose credentials may be read.
    pub secrets: Vec<String>,
}
