//! Why a message could not be read or written. Every text from the wire is shortened and made
//! printable before it enters an error: errors go to logs and terminals.

use serde_json::Value;

/// Why a message could not be read. Reading the same bytes again never helps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON, or not a JSON object.
    #[error("not a JSON object: {0}")]
    Syntax(String),
    /// A mandatory field is absent.
    #[error("field `{0}` is missing")]
    Missing(&'static str),
    /// A field has a value it can't have.
    #[error("field `{field}`: {reason}")]
    Field {
        /// The field's name on the wire.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The body of a v02 message is not its three words.
    #[error("not a v02 body, which is `time baseUrl relPath`: {0}")]
    Body(String),
    /// A header can't be taken over.
    #[error("header `{name}`: {reason}")]
    Header {
        /// The header's name, shortened.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// More than this crate reads, so that no sender can use up the memory of a receiver.
    #[error("{what} of {size} {unit} are too large: at most {limit} are read")]
    TooLarge {
        /// `bodies` or `headers`.
        what: &'static str,
        /// What is counted: `bytes` or `JSON values`.
        unit: &'static str,
        /// How much there is.
        size: usize,
        /// How much is read.
        limit: usize,
    },
}

/// Why a message can't be written in a format. Trying again never helps; another format may.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A field has a value that the format or the broker's protocol can't carry.
    #[error("{format} can't carry field `{field}`: {reason}")]
    Field {
        /// The format's name.
        format: &'static str,
        /// The field's or header's name, shortened.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A format whose topics are not made from `relPath` was given none.
    #[error("{0} needs a topic of its own, and neither `topic` nor the message has one")]
    Topic(&'static str),
    /// The headers together are longer than a broker takes.
    #[error(
        "the headers of this message have {size} bytes, and a broker takes {limit}: send v03 instead"
    )]
    TooLarge {
        /// Names and values, in bytes.
        size: usize,
        /// How many may be sent.
        limit: usize,
    },
}

/// The error of one field.
pub(crate) fn wrong(field: &'static str, reason: impl Into<String>) -> DecodeError {
    DecodeError::Field {
        field,
        reason: reason.into(),
    }
}

/// `text` for an error: at most 64 characters, none of which moves a cursor.
pub(crate) fn cut(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().take(64) {
        if c.is_control() {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    if text.chars().nth(64).is_some() {
        out.push('…');
    }
    out
}

/// What a value is, for `expected a string, found …`.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
