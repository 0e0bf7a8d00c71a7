//! What this crate has to know of plugins, handed in as data.

use std::collections::BTreeMap;

/// The plugins a flow may name. Asking may load and compile one, so only those named are asked for.
pub trait Plugins {
    /// Every name there is, sorted, for did-you-mean.
    fn names(&self) -> Vec<String>;
    /// What the plugin says of itself; none: there is no such plugin; an error: it can't be loaded.
    fn manifest(&self, name: &str) -> Option<Result<Manifest, String>>;
    /// The file behind the name, read but not loaded; none: there is no such plugin, or its file
    /// can't be read.
    fn artefact(&self, name: &str) -> Option<Artefact> {
        let _ = name;
        None
    }
    /// Whether the file behind the name, as it is, was signed with this public key of minisign; none:
    /// there is no such plugin, or its file can't be read.
    fn signed(&self, name: &str, key: &str) -> Option<Result<(), Unsigned>> {
        let _ = (name, key);
        None
    }
}

/// Why a plugin does not count as signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsigned {
    /// Whether it is the key that is none, whatever the plugin.
    pub key: bool,
    /// What is wrong, in words that stand by themselves.
    pub why: String,
    /// What to do.
    pub advice: String,
}

/// The file of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artefact {
    /// SHA-256 of its bytes, hexadecimal in lower case.
    pub sha256: String,
    /// Where it is, in words that fit after "plugin `x` in".
    pub place: String,
}

impl Plugins for BTreeMap<String, Manifest> {
    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }

    fn manifest(&self, name: &str) -> Option<Result<Manifest, String>> {
        self.get(name).cloned().map(Ok)
    }
}

/// What a plugin says of itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Manifest {
    /// The name flows use.
    pub name: String,
    /// Its version.
    pub version: String,
    /// One line.
    pub summary: String,
    /// Its manual, Markdown.
    pub doc: String,
    /// Its options.
    pub options: Vec<OptionSpec>,
    /// URL schemes it downloads or sends.
    pub schemes: Vec<String>,
    /// What it may have to reach.
    pub grants: Vec<Grant>,
    /// The entry points it exports, by their names in flows and logs (`after_accept`).
    pub entry_points: Vec<String>,
}

/// Something a plugin may have to reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// Byte streams to hosts.
    Connect,
    /// HTTP requests.
    Http,
    /// Credentials.
    Secrets,
}

impl Grant {
    /// As manifests and flows (under `allow`) write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Http => "http",
            Self::Secrets => "secrets",
        }
    }
}

/// One option of a plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct OptionSpec {
    /// Its name in the flow.
    pub name: String,
    /// What it holds.
    pub kind: OptionKind,
    /// As it would be written.
    pub default: Option<String>,
    /// Whether a flow has to set it.
    pub required: bool,
    /// Whether the value is a list.
    pub repeated: bool,
    /// Whether the value is never printed.
    pub secret: bool,
    /// For [`OptionKind::Choice`].
    pub choices: Vec<String>,
    /// One sentence, units included.
    pub doc: String,
    /// A value to show.
    pub example: Option<String>,
}

impl OptionSpec {
    /// One that has nothing else: optional, single, without a default.
    pub fn new(name: &str, kind: OptionKind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            default: None,
            required: false,
            repeated: false,
            secret: false,
            choices: Vec::new(),
            doc: String::new(),
            example: None,
        }
    }
}

/// Keys of a callback's entry that are flow's own, so that no option of a plugin can have the name.
pub const CALLBACK_KEYS: [&str; 6] = [
    "plugin", "filters", "limits", "sha256", "minisign", "tlsPin",
];

/// What an option holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionKind {
    /// Yes or no.
    Flag,
    /// A whole number.
    Count,
    /// Bytes, with a unit.
    Size,
    /// A time span, with a unit.
    Duration,
    /// Any text.
    Text,
    /// A URL.
    Url,
    /// One of `choices`.
    Choice,
    /// A regular expression.
    Regex,
}
