//! Rules, what they look at, and where what they accept is stored.

use flow_message::Message;
use regex::Regex;

use self::fields::text_of;
use super::content::FileEvents;
use super::rules::Rules;
use crate::template::Template;

/// Ordered rules and what follows for messages none of them matches.
#[derive(Debug, Clone, Default)]
pub struct Filters {
    /// First match decides.
    pub rules: Rules,
    /// Fate of messages no rule matches.
    pub accept_unmatched: bool,
    /// Placement of messages accepted by no rule.
    pub placement: Placement,
}

/// One rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// As written, for traces.
    pub text: String,
    /// Anchored at the start, matched against `baseUrl/relPath`.
    pub regex: Regex,
    /// What a message has to be besides; nothing for most rules.
    pub conditions: Conditions,
    /// Accept or reject.
    pub accept: bool,
    /// Where what it accepts goes.
    pub placement: Placement,
    /// `file:line` of the rule.
    pub origin: String,
}

impl Rule {
    /// Whether it is about `message`, whose URL is `url`.
    pub fn matches(&self, url: &str, message: &Message) -> bool {
        // Most lists end in a rule for everything.
        (self.regex.as_str() == "^(?:.*)" || self.regex.is_match(url))
            && self.conditions.hold(message)
    }
}

/// What a rule asks of a message besides its URL. All of it has to hold; what the message does not
/// say (a size it does not announce) does not hold.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    /// Limits of the announced size.
    pub size: Option<SizeRange>,
    /// Anchored at the start, matched against `contentType`.
    pub content_type: Option<Regex>,
    /// Anchored at the start, each matched against the field of that name.
    pub header: Vec<(String, Regex)>,
    /// The events the rule is for; none: all.
    pub events: Option<FileEvents>,
}

impl Conditions {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.size.is_none()
            && self.content_type.is_none()
            && self.header.is_empty()
            && self.events.is_none()
    }

    /// Whether `message` is as asked.
    pub fn hold(&self, message: &Message) -> bool {
        let size = |range: SizeRange| message.size.is_some_and(|size| range.contains(size));
        let kind = |regex: &Regex| {
            message
                .content_type
                .as_deref()
                .is_some_and(|kind| regex.is_match(kind))
        };
        self.size.is_none_or(size)
            && self.content_type.as_ref().is_none_or(kind)
            && self.events.is_none_or(|events| events.include(message))
            && self.header.iter().all(|(name, regex)| {
                text_of(message, name).is_some_and(|value| regex.is_match(&value))
            })
    }
}

/// Sizes from `least` to `most`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeRange {
    /// The smallest, in bytes.
    pub least: u64,
    /// The largest, in bytes.
    pub most: u64,
}

impl SizeRange {
    /// Whether `size` is in it.
    pub fn contains(self, size: u64) -> bool {
        (self.least..=self.most).contains(&size)
    }
}

/// Where content goes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Placement {
    /// Root; none: the directory the flow was started in.
    pub directory: Option<Template>,
    /// Whether the directories of relPath are reproduced below it.
    pub mirror: bool,
    /// Directories to drop from the front of relPath.
    pub strip: Strip,
    /// Joins what is left of relPath to one name; none: keep directories.
    pub flatten: Option<String>,
    /// The name to give; none: the last element of relPath.
    pub filename: Option<Template>,
}

/// What to drop from the front of relPath.
#[derive(Debug, Clone, Default)]
pub enum Strip {
    /// Nothing.
    #[default]
    None,
    /// This many elements, never the file name.
    Count(usize),
    /// The first match.
    Regex(Regex),
}

impl PartialEq for Strip {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, Self::None) => true,
            (Self::Count(a), Self::Count(b)) => a == b,
            (Self::Regex(a), Self::Regex(b)) => a.as_str() == b.as_str(),
            _ => false,
        }
    }
}

mod fields {
    //! Fields of a message as text.

    use std::borrow::Cow;

    use flow_message::Message;

    /// The field `name` of `message` as text: its own fields first, then what it carries besides.
    pub(super) fn text_of<'m>(message: &'m Message, name: &str) -> Option<Cow<'m, str>> {
        let own = match name {
            "source" => message.source.as_deref(),
            "contentType" => message.content_type.as_deref(),
            "baseUrl" => Some(message.base_url.as_str()),
            "relPath" => Some(message.rel_path.as_str()),
            "retrievePath" => message.retrieve_path.as_deref(),
            "rename" => message.rename.as_deref(),
            _ => None,
        };
        own.map(Cow::Borrowed).or_else(|| {
            let value = message.extra.get(name)?;
            Some(match value.as_str() {
                Some(text) => Cow::Borrowed(text),
                None => Cow::Owned(value.to_string()),
            })
        })
    }
}
