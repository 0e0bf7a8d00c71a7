//! Wire formats: one module each, and the choice between them.
//!
//! [`encode`] makes of a message what a broker carries, [`decode`] makes a message of what a broker
//! delivered; which broker it is shows in the topic alone ([`Transport`](crate::Transport)). Connections, and the
//! mapping of [`Wire`] to AMQP properties or MQTT user properties, belong to the brokers.
//!
//! # What a format can't carry
//!
//! A message that went through v03 comes back equal (one with a NUL in a path is refused on arrival).
//! The others lose:
//!
//! | Field | [`v02`] | [`wis`] |
//! | --- | --- | --- |
//! | `relPath` | a literal `%20` or `%23` comes back as blank or `#`; one that is empty or ends in a line break is refused | replaced by topic and file name |
//! | `baseUrl` | as `relPath`; an empty one is refused | kept up to the host, the rest moves to `retrievePath`; one without host is refused |
//! | `identity` | md5, sha512, random, arbitrary and `cod` of these; lost beside a link, removal or directory | the digests the standard names; others are lost |
//! | `fileOp` | `link` (beside a removal or directory it is lost), `rename`, `remove`, `directory`; `hlink` and unknown keys are lost | kept |
//! | `content` | lost | kept, iso-8859-1 as base64 |
//! | `blocks` | method, size, count, length and number; the manifest is lost | kept |
//! | `size` | lost beside `blocks` | kept |
//! | `mode`, `mtime`, `atime` | kept | lost |
//! | `to_clusters` | comes back `ALL` where absent | lost, as `from_cluster`, `filename`, `sundew_extension` |
//! | unknown fields | kept, as text over MQTT; `sum`, `parts`, `link`, `oldname`, `topic` are the format's own | kept; `geometry`, `id` and `links` have their place |
//!
//! Digests are compared as bytes: v02 writes them in hex and they come back in canonical base64.
//!
//! # Invariants
//! - No input panics, and what is held while reading is bounded by [`MAX_BODY`], [`MAX_HEADERS`] and
//!   [`MAX_VALUES`].
//! - What [`encode`] writes, [`decode`] reads.

mod error;
mod parts;
mod sum;
pub mod v02;
pub mod v03;
mod wire;
pub mod wis;

pub use error::{DecodeError, EncodeError};
pub(crate) use error::{cut, kind, wrong};
pub use wire::{
    Context, Incoming, MAX_BODY, MAX_HEADERS, MAX_SENT_HEADERS, MAX_VALUES, Wire, header,
};

use crate::fields::Message;

/// A wire format of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// JSON object, `application/json`.
    #[default]
    V03,
    /// One line of text and headers, `text/plain`: the previous generation.
    V02,
    /// WIS2 notification message: GeoJSON, `application/json`.
    Wis,
}

impl Format {
    /// Every format, in the order in which options list them.
    pub const ALL: [Self; 3] = [Self::V03, Self::V02, Self::Wis];

    /// The name, as the option `post_format` spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::V03 => "v03",
            Self::V02 => "v02",
            Self::Wis => "wis",
        }
    }

    /// The MIME type of the body.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::V02 => v02::CONTENT_TYPE,
            Self::V03 | Self::Wis => v03::CONTENT_TYPE,
        }
    }

    /// The words its topics begin with unless a flow says otherwise; wis has none.
    pub fn topic_prefix(self) -> &'static str {
        match self {
            Self::V03 => "v03",
            Self::V02 => "v02.post",
            Self::Wis => "",
        }
    }
}

impl std::str::FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        let found = Self::ALL.into_iter().find(|format| format.name() == name);
        found.ok_or_else(|| UnknownFormat(cut(name)))
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The name is none of `v03`, `v02`, `wis`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no message format: there are v03, v02 and wis")]
pub struct UnknownFormat(String);

/// Writes `message` for a broker.
///
/// # Errors
/// A message that would not be the same message, or no message at all, on the other side. What a
/// format merely lacks room for (see the [module](self)) is left out.
pub fn encode(
    message: &Message,
    format: Format,
    context: &Context<'_>,
) -> Result<Wire, EncodeError> {
    let wire = match format {
        Format::V03 => {
            let (topic, topic_cut) = context.topic_of(message);
            Wire {
                content_type: v03::CONTENT_TYPE,
                headers: Vec::new(),
                body: v03::encode(message),
                topic,
                topic_cut,
            }
        }
        Format::V02 => v02::encode(message, context)?,
        Format::Wis => wis::encode(message, context)?,
    };
    Ok(wire)
}

/// Reads what a broker delivered, in the format it is in, or in the one `hint` insists on.
///
/// # Errors
/// Anything that is no message, with the field at fault. Retrying never helps.
pub fn decode(incoming: &Incoming<'_>, hint: Option<Format>) -> Result<Message, DecodeError> {
    incoming.check()?;
    let message = match hint {
        Some(Format::V02) => v02::decode(incoming),
        Some(Format::Wis) => wis::decode(incoming.body, incoming.topic),
        Some(Format::V03) => v03::decode(incoming.body),
        None if incoming.is_text() => v02::decode(incoming),
        // One pass for the common case: a wis message has its time inside `properties`, so it never
        // reads as v03, and only what does not is looked at again.
        None => v03::decode(incoming.body).or_else(|error| match wis::recognise(incoming.body) {
            Some(feature) => wis::from_object(feature, incoming.topic),
            None => Err(error),
        }),
    }?;
    check_paths(&message)?;
    Ok(message)
}

/// Refuses paths that no disk and no server has: a NUL ends a name where C reads it, so that another
/// file would be meant than the one that was accepted. The codecs themselves carry any text.
fn check_paths(message: &Message) -> Result<(), DecodeError> {
    let op = message.file_op.as_ref();
    let paths = [
        ("baseUrl", Some(&message.base_url)),
        ("relPath", Some(&message.rel_path)),
        ("retrievePath", message.retrieve_path.as_ref()),
        ("rename", message.rename.as_ref()),
        ("fileOp.link", op.and_then(|op| op.link.as_ref())),
        ("fileOp.hlink", op.and_then(|op| op.hlink.as_ref())),
        ("fileOp.rename", op.and_then(|op| op.rename.as_ref())),
    ];
    for (field, path) in paths {
        if path.is_some_and(|path| path.contains('\0')) {
            return Err(wrong(field, "holds a NUL, which no path or URL can"));
        }
    }
    Ok(())
}

/// The format that [`decode`] reads `incoming` in. Says nothing about whether it can be read.
///
/// sr3's order is kept (wis, v03, v02), except that a body which is a JSON object is never v02,
/// whatever its content type says: a v02 body begins with a time.
pub fn detect(incoming: &Incoming<'_>) -> Format {
    if incoming.is_text() {
        Format::V02
    } else if incoming.check().is_ok() && wis::recognise(incoming.body).is_some() {
        Format::Wis
    } else {
        Format::V03
    }
}
