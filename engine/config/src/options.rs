//! The options of a flow, each declared once.
//!
//! The loader, did-you-mean, `flow show` and the reference page read this table; nothing about an
//! option is written down a second time. Options of plugins are in their manifests.

mod page;
mod refused;
mod spellings;
mod table;

use crate::flow::Kind;

pub use page::page;
pub(crate) use refused::refused;
pub(crate) use spellings::today;
pub use table::{options, sections};

/// What an option holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionType {
    /// `on` or `off`.
    Flag,
    /// A whole number.
    Count,
    /// A number.
    Number,
    /// A number of bytes with a unit.
    Size,
    /// A time span with a unit.
    Duration,
    /// Text.
    Text,
    /// Text with variables that are filled in per message.
    Template,
    /// One such text, or a list of them.
    Templates,
    /// A URL without a password.
    Url,
    /// One of a few words.
    Choice,
    /// Some of a few words.
    Words,
    /// One of a few words, or a word with a value.
    Identity,
    /// Permission bits in octal.
    Mode,
    /// A path.
    Path,
    /// One text, or a list of them.
    Texts,
    /// One whole number, or a list of them.
    Counts,
    /// One time of the day, or a list of them.
    Times,
    /// One IP address, or a list of them.
    Addresses,
    /// A number of elements, or a regular expression.
    Strip,
    /// A suffix, a directory, or one of a few words.
    Inflight,
    /// A list of `accept` and `reject` entries.
    Filters,
    /// A list of plugins with their options.
    Callbacks,
    /// A mapping with the lists `connect`, `http` and `secrets`.
    Allow,
    /// A mapping of names to values.
    Mapping,
    /// A list of exchanges with their topics.
    Bindings,
}

impl OptionType {
    /// What to call it in the reference.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Count => "count",
            Self::Number => "number",
            Self::Size => "size",
            Self::Duration => "duration",
            Self::Text => "text",
            Self::Template => "template",
            Self::Templates => "template or list",
            Self::Url => "URL",
            Self::Choice => "choice",
            Self::Words => "word or list",
            Self::Identity => "choice",
            Self::Mode => "mode",
            Self::Path => "path",
            Self::Texts => "text or list",
            Self::Counts => "count or list",
            Self::Times => "time of day or list",
            Self::Addresses => "address or list",
            Self::Strip => "count or regex",
            Self::Inflight => "choice, suffix or directory",
            Self::Filters => "list of rules",
            Self::Callbacks => "list of plugins",
            Self::Allow => "mapping of lists",
            Self::Mapping => "mapping",
            Self::Bindings => "list of bindings",
        }
    }
}

/// How a default differs from that of sr3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Differs {
    /// sr3 has this default; ours is another one because of that.
    Default(&'static str, &'static str),
    /// sr3 has no such option.
    New,
    /// sr3 has no such option by this name; this is where it comes from.
    Named(&'static str),
}

/// The declaration of one option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptionDoc {
    /// Its one spelling.
    pub name: &'static str,
    /// What it holds.
    pub kind: OptionType,
    /// The default, as it would be written; none: unset, or worked out as `doc` says.
    pub default: Option<&'static str>,
    /// Defaults of kinds that differ from it.
    pub kind_defaults: &'static [(Kind, &'static str)],
    /// The default of a poll that reads listings itself, without a plugin that gathers.
    pub listing_default: Option<&'static str>,
    /// The kinds of flow it means something for.
    pub kinds: &'static [Kind],
    /// Why it means nothing for the others, after "a `kind` flow ".
    pub why_not: &'static str,
    /// The kinds of flow that can't do without.
    pub required: &'static [Kind],
    /// The unit, where the value has one.
    pub unit: Option<&'static str>,
    /// The words of a choice.
    pub choices: &'static [&'static str],
    /// The least and most a count may be.
    pub range: (i64, i64),
    /// The default of sr3 where it is another one, and why it is here.
    pub sr3: Option<Differs>,
    /// Whether it may also stand in an entry of `filters`.
    pub placement: bool,
    /// Whether the value is never printed.
    pub secret: bool,
    /// What it does.
    pub doc: &'static str,
    /// A value to show.
    pub example: &'static str,
}

impl OptionDoc {
    /// Whether it means something for flows of this kind.
    pub fn is_for(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }

    /// The default for a kind, and whether it is the kind's own.
    pub fn default_for(&self, kind: Kind) -> (Option<&'static str>, bool) {
        match self.kind_defaults.iter().find(|(of, _)| *of == kind) {
            Some((_, value)) => (Some(value), true),
            None => (self.default, false),
        }
    }
}

/// The declaration of the option `name`.
pub fn option(name: &str) -> Option<&'static OptionDoc> {
    options().iter().find(|option| option.name == name)
}
