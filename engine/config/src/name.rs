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
    /// A component of sr3 that is no kind of flow.
    #[error("there are no `{0}` flows: {1}")]
    KindGone(String, &'static str),
    /// No kind at all.
    #[error("`{kind}` is not a kind of flow{}; there are {}",
        .suggestion.as_ref().map(|s| format!(" (did you mean `{s}`?)")).unwrap_or_default(), kinds())]
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

/// What the ancestor called a component, and no longer is.
const GONE: [(&str, &str); 3] = [
    ("report", "messages about failures are in `flow retry`"),
    ("cpost", "it is `post`"),
    ("cpump", "it is `shovel` or `winnow`"),
];

impl Kind {
    /// Every kind there is.
    pub const ALL: [Self; 9] = [
        Self::Poll,
        Self::Post,
        Self::Watch,
        Self::Subscribe,
        Self::Sarra,
        Self::Sender,
        Self::Shovel,
        Self::Winnow,
        Self::Flow,
    ];

    /// As written in names of flows and of folders.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Post => "post",
            Self::Watch => "watch",
            Self::Subscribe => "subscribe",
            Self::Sarra => "sarra",
            Self::Sender => "sender",
            Self::Shovel => "shovel",
            Self::Winnow => "winnow",
            Self::Flow => "flow",
        }
    }
}

/// Every kind, as messages list them.
fn kinds() -> String {
    let names = Kind::ALL.map(|kind| format!("`{kind}`"));
    let (last, others) = names.split_last().expect("there are kinds");
    format!("{} and {last}", others.join(", "))
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
        if let Some((_, why)) = GONE.iter().find(|(gone, _)| *gone == text) {
            return Err(NameError::KindGone(text.to_owned(), why));
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
            ("winnow/x", "winnow/x"),
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
                "report/x",
                "there are no `report` flows: messages about failures are in `flow retry`",
            ),
            (
                "pol/x",
                "`pol` is not a kind of flow (did you mean `poll`?); there are `poll`, `post`, `watch`, \
                 `subscribe`, `sarra`, `sender`, `shovel`, `winnow` and `flow`",
            ),
            (
                "zzz/x",
                "`zzz` is not a kind of flow; there are `poll`, `post`, `watch`, `subscribe`, `sarra`, \
                 `sender`, `shovel`, `winnow` and `flow`",
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
