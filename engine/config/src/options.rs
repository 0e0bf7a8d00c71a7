//! The options of a flow, each declared once.
//!
//! The loader, did-you-mean, `flow show` and the reference page read this table; nothing about an
//! option is written down a second time. Options of plugins are in their manifests.

mod spellings;
mod table;

use crate::flow::Kind;

pub(crate) use spellings::{later, today};
pub use table::options;

/// What an option holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionType {
    /// `on` or `off`.
    Flag,
    /// A whole number.
    Count,
    /// A time span with a unit.
    Duration,
    /// Text.
    Text,
    /// Text with variables that are filled in per message.
    Template,
    /// A URL without a password.
    Url,
    /// One of a few words.
    Choice,
    /// Permission bits in octal.
    Mode,
    /// A path.
    Path,
    /// One text, or a list of them.
    Texts,
    /// A number of elements, or a regular expression.
    Strip,
    /// A suffix, or one of a few words.
    Inflight,
    /// A list of `accept` and `reject` entries.
    Filters,
    /// A list of plugins with their options.
    Callbacks,
    /// A mapping with the lists `connect`, `http` and `secrets`.
    Allow,
    /// A mapping of names to values.
    Header,
}

impl OptionType {
    /// What to call it in the reference.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Count => "count",
            Self::Duration => "duration",
            Self::Text => "text",
            Self::Template => "template",
            Self::Url => "URL",
            Self::Choice => "choice",
            Self::Mode => "mode",
            Self::Path => "path",
            Self::Texts => "text or list",
            Self::Strip => "count or regex",
            Self::Inflight => "choice or suffix",
            Self::Filters => "list of rules",
            Self::Callbacks => "list of plugins",
            Self::Allow => "mapping of lists",
            Self::Header => "mapping",
        }
    }
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
    /// The kinds of flow it means something for.
    pub kinds: &'static [Kind],
    /// The kinds of flow that can't do without.
    pub required: &'static [Kind],
    /// The unit, where the value has one.
    pub unit: Option<&'static str>,
    /// The words of a choice.
    pub choices: &'static [&'static str],
    /// The least and most a count may be.
    pub range: (i64, i64),
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
