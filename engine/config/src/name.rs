//! The names of flows and kinds, to and from text.

use std::fmt;
use std::str::FromStr;

use crate::flow::{FlowName, Kind};
use crate::suggest::closest;

/// The text does not name a flow, or a kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There is no `/`.
    #[error("`{0}` is not the name of a flow: write `kind/name`, such as `poll/news`")]
    NoKind(String),
    /// A kind of sr3 this version does not have.
    #[error("`{0}` flows are not in this version yet; there are `poll`, `subscribe` and `flow`")]
    KindNotYet(String),
    /// No kind at all.
    #[error("`{kind}` is not a kind of flow{}; there are `poll`, `subscribe` and `flow`",
        .suggestion.as_ref().map(|s| format!(" (did you mean `{s}`?)")).unwrap_or_default())]
    UnknownKind {
        /// As written.
        kind: String,
        /// What was probably meant.
        suggestion: Option<&'static str>,
    },
    /// The part after the `/` can't be a file name everywhere.
    #[error(
        "`{0}` can't be the name of a flow: use letters, digits, `-`, `_` and `.`, and start with a letter or digit"
    )]
    BadName(String),
}

/// Kinds sr3 has and this version has not.
const LATER: [&str; 6] = ["post", "watch", "sarra", "sender", "shovel", "winnow"];

impl Kind {
    /// Every kind there is.
    pub const ALL: [Self; 3] = [Self::Poll, Self::Subscribe, Self::Flow];

    /// As written in names of flows and of folders.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Subscribe => "subscribe",
            Self::Flow => "flow",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(kind) = Self::ALL.into_iter().find(|kind| kind.as_str() == text) {
            return Ok(kind);
        }
        if LATER.contains(&text) {
            return Err(NameError::KindNotYet(text.to_owned()));
        }
        let suggestion = closest(text, Self::ALL.map(Self::as_str));
        Err(NameError::UnknownKind {
            kind: text.to_owned(),
            suggestion,
        })
    }
}

impl fmt::Display for FlowName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

impl FromStr for FlowName {
    type Err = NameError;

    /// Reads `poll/news`; `poll/news.yaml` is the same.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, name) = text
            .split_once('/')
            .ok_or_else(|| NameError::NoKind(text.to_owned()))?;
        let kind = kind.parse()?;
        let name = name.strip_suffix(".yaml").unwrap_or(name);
        let good = name.starts_with(char::is_alphanumeric)
            && name
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))
            && name.len() <= 200;
        if good {
            Ok(Self {
                kind,
                name: name.to_owned(),
            })
        } else {
            Err(NameError::BadName(text.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_print_back() {
        for (text, expected) in [
            ("poll/news", "poll/news"),
            ("subscribe/news.yaml", "subscribe/news"),
            ("flow/a.b-c_2", "flow/a.b-c_2"),
        ] {
            assert_eq!(
                text.parse::<FlowName>().map(|name| name.to_string()),
                Ok(expected.into())
            );
        }
        for (text, expected) in [
            (
                "news",
                "`news` is not the name of a flow: write `kind/name`, such as `poll/news`",
            ),
            (
                "sarra/x",
                "`sarra` flows are not in this version yet; there are `poll`, `subscribe` and `flow`",
            ),
            (
                "pol/x",
                "`pol` is not a kind of flow (did you mean `poll`?); there are `poll`, `subscribe` and `flow`",
            ),
            (
                "zzz/x",
                "`zzz` is not a kind of flow; there are `poll`, `subscribe` and `flow`",
            ),
        ] {
            assert_eq!(
                text.parse::<FlowName>().expect_err(text).to_string(),
                expected
            );
        }
        for text in [
            "poll/",
            "poll/..",
            "poll/../x",
            "poll/a/b",
            "poll/.hidden",
            "poll/-x",
            "poll/.yaml",
        ] {
            assert!(
                matches!(text.parse::<FlowName>(), Err(NameError::BadName(_))),
                "{text}"
            );
        }
    }
}
