//! The components of sr3 and what they start from.

use std::fmt;
use std::str::FromStr;

use crate::flow::Kind;

/// A component of sr3: the folder a configuration lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Component {
    /// `post` and `watch` written in C.
    Cpost,
    /// `shovel` and `winnow` written in C.
    Cpump,
    /// The bare engine.
    Flow,
    /// Asks an origin what is new.
    Poll,
    /// Announces the files it is given.
    Post,
    /// Passes reports on.
    Report,
    /// Downloads and announces again.
    Sarra,
    /// Sends files to another server.
    Sender,
    /// Passes messages on.
    Shovel,
    /// Downloads.
    Subscribe,
    /// Announces files as they change.
    Watch,
    /// Passes each message on once.
    Winnow,
}

impl Component {
    /// Every component there is.
    pub const ALL: [Self; 12] = [
        Self::Cpost,
        Self::Cpump,
        Self::Flow,
        Self::Poll,
        Self::Post,
        Self::Report,
        Self::Sarra,
        Self::Sender,
        Self::Shovel,
        Self::Subscribe,
        Self::Watch,
        Self::Winnow,
    ];

    /// The name of its folder.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpost => "cpost",
            Self::Cpump => "cpump",
            Self::Flow => "flow",
            Self::Poll => "poll",
            Self::Post => "post",
            Self::Report => "report",
            Self::Sarra => "sarra",
            Self::Sender => "sender",
            Self::Shovel => "shovel",
            Self::Subscribe => "subscribe",
            Self::Watch => "watch",
            Self::Winnow => "winnow",
        }
    }

    /// What it is here. Those of sr3 that are not written in Python, and `report`, have no kind of
    /// their own.
    pub(super) fn ours(self, sleeps: bool, suppresses: bool) -> Self {
        match self {
            Self::Cpost if sleeps => Self::Watch,
            Self::Cpost => Self::Post,
            Self::Cpump if suppresses => Self::Winnow,
            Self::Cpump | Self::Report => Self::Shovel,
            other => other,
        }
    }

    /// The kind of flow, as far as this version has it.
    pub(super) fn kind(self) -> Option<Kind> {
        self.as_str().parse().ok()
    }

    /// Whether it takes messages from a queue.
    pub(super) fn consumes(self) -> bool {
        matches!(
            self,
            Self::Cpump
                | Self::Report
                | Self::Sarra
                | Self::Sender
                | Self::Shovel
                | Self::Subscribe
                | Self::Winnow
        )
    }

    /// Whether it stores or sends files, so that placement means something.
    pub(super) fn transfers(self) -> bool {
        matches!(self, Self::Sarra | Self::Sender | Self::Subscribe)
    }

    /// Whether it does nothing without somewhere to post to.
    pub(super) fn must_post(self) -> bool {
        !matches!(
            self,
            Self::Flow | Self::Sarra | Self::Sender | Self::Subscribe
        )
    }

    /// What sr3 takes for `option` in this component where nothing is written; none: as here.
    pub(super) fn default_in_sr3(self, option: &str) -> Option<&'static str> {
        Some(match (option, self) {
            ("mirror", Self::Subscribe) => "off",
            ("mirror", _) => "on",
            ("nodupe_ttl", Self::Poll) => "7h",
            ("nodupe_ttl", Self::Winnow) => "300s",
            ("nodupe_ttl", _) => "off",
            ("acceptUnmatched", _) => "on",
            ("download", of) if of.transfers() => "on",
            ("download", _) => "off",
            ("fileAgeMax", Self::Poll) => "30d",
            _ => return None,
        })
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Component {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|component| component.as_str() == text)
            .ok_or_else(|| {
                let names = Self::ALL.map(Self::as_str).join("`, `");
                format!("`{text}` is not a component of sr3: there are `{names}`")
            })
    }
}
