//! Wire formats. v03 is here; v02 and wis get their own module beside it.

pub mod v03;

/// A wire format of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// JSON object, `application/json`.
    #[default]
    V03,
}

/// Why a message could not be read.
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
}
