//! What the flow may choose, and the limits that keep a hostile mail small.
//!
//! Invariant: every limit here bounds memory or the number of messages; none bounds the size of a
//! part, which streams.

/// What a part is to its mail; the values of the option `parts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file somebody attached.
    Attachment,
    /// Shown within the body: pictures of an HTML body.
    Inline,
    /// The text of the mail, plain or HTML.
    Body,
    /// A mail within the mail that is kept whole.
    Message,
}

impl Kind {
    /// The value of the header `disposition`.
    #[must_use]
    pub fn disposition(self) -> &'static str {
        match self {
            Self::Attachment | Self::Message => "attachment",
            Self::Inline => "inline",
            Self::Body => "body",
        }
    }
}

/// Settings of one decoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Write attachments.
    pub attachments: bool,
    /// Write inline parts.
    pub inline: bool,
    /// Write bodies.
    pub bodies: bool,
    /// Write nested mails that are not decoded themselves.
    pub messages: bool,
    /// Decode nested mails into their own parts.
    pub nested: bool,
    /// How many entities of a mail are looked at, multiparts and nested mails included.
    pub max_parts: usize,
    /// How deep multiparts and nested mails may be in each other before the rest is kept whole.
    pub max_depth: usize,
    /// Bytes of one header block, before decoding.
    pub max_header: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            attachments: true,
            inline: true,
            bodies: true,
            messages: true,
            nested: true,
            max_parts: 1000,
            max_depth: 20,
            max_header: 256 * 1024,
        }
    }
}

impl Options {
    /// Whether parts of this kind are written.
    #[must_use]
    pub fn wants(&self, kind: Kind) -> bool {
        match kind {
            Kind::Attachment => self.attachments,
            Kind::Inline => self.inline,
            Kind::Body => self.bodies,
            Kind::Message => self.messages,
        }
    }
}
