//! The typed fields of a notification message.

use base64::Engine as _;
use serde_json::{Map, Value};

use crate::Timestamp;
use crate::blocks::Blocks;
use crate::identity::{self, Identity};

/// A notification that data exists.
///
/// Named fields are those every layer reads; everything else a producer sent is in
/// [`extra`](Message::extra), untouched. Source: `sr_post(7)`, v03.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// When the data was announced, UTC. The base of every lag and age.
    pub pub_time: Timestamp,
    /// Root of retrieval, with or without a trailing `/`. Never carries a password.
    pub base_url: String,
    /// Path below `base_url`: the logical name, always with `/`, never absolute by itself.
    pub rel_path: String,
    /// Path or query to fetch when it differs from `rel_path`.
    pub retrieve_path: Option<String>,
    /// Fingerprint of the content.
    pub identity: Option<Identity>,
    /// Content length in bytes.
    pub size: Option<u64>,
    /// Unix permission bits, e.g. `0o644`.
    pub mode: Option<u32>,
    /// Modification time of the data.
    pub mtime: Option<Timestamp>,
    /// Access time of the data.
    pub atime: Option<Timestamp>,
    /// MIME type of the content.
    pub content_type: Option<String>,
    /// Set when the message is about something other than plain content.
    pub file_op: Option<FileOp>,
    /// The content itself, when small enough to ride along.
    pub content: Option<Inline>,
    /// Set when the message announces one block of a larger file.
    pub blocks: Option<Blocks>,
    /// Name suggested for the destination.
    pub rename: Option<String>,
    /// The originating party.
    pub source: Option<String>,
    /// Every other field, verbatim and in order of arrival. A key that is the name of a field above
    /// is not written: the field wins.
    pub extra: Map<String, Value>,
}

impl Message {
    /// A message with the three mandatory fields and nothing else.
    pub fn new(
        pub_time: Timestamp,
        base_url: impl Into<String>,
        rel_path: impl Into<String>,
    ) -> Self {
        Self {
            pub_time,
            base_url: base_url.into(),
            rel_path: rel_path.into(),
            retrieve_path: None,
            identity: None,
            size: None,
            mode: None,
            mtime: None,
            atime: None,
            content_type: None,
            file_op: None,
            content: None,
            blocks: None,
            rename: None,
            source: None,
            extra: Map::new(),
        }
    }

    /// `baseUrl` and `relPath` joined by exactly one `/`: what accept and reject rules match.
    pub fn url(&self) -> String {
        let base = self.base_url.trim_end_matches('/');
        let path = self.rel_path.trim_start_matches('/');
        let mut url = String::with_capacity(base.len() + 1 + path.len());
        url.push_str(base);
        url.push('/');
        url.push_str(path);
        url
    }

    /// The last element of `relPath`.
    pub fn file_name(&self) -> &str {
        self.rel_path.rsplit('/').next().unwrap_or(&self.rel_path)
    }
}

/// What the message is about when it is not plain content.
///
/// The keys are not exclusive: a renamed link carries both `rename` and `link`. Keys this version
/// does not know are kept in `extra`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FileOp {
    /// Target of a symbolic link.
    pub link: Option<String>,
    /// Target of a hard link.
    pub hlink: Option<String>,
    /// The old path of something that was renamed.
    pub rename: Option<String>,
    /// The thing was removed.
    pub remove: bool,
    /// The thing is a directory.
    pub directory: bool,
    /// Keys this version does not know, verbatim.
    pub extra: Map<String, Value>,
}

/// Content that travels inside the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inline {
    /// How `value` encodes the bytes.
    pub encoding: InlineEncoding,
    /// The content, encoded.
    pub value: String,
}

/// How inline content is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InlineEncoding {
    /// The value is the content.
    Utf8,
    /// The value is base64 (standard alphabet, padded) of the content.
    Base64,
    /// Every character of the value is one byte of the content.
    Iso8859_1,
}

/// The value of inline content does not hold what its encoding says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the inline content is no {0}")]
pub struct InlineError(&'static str);

impl Inline {
    /// Inlines `bytes` so that any reader gets them back: text as text, anything else as base64.
    ///
    /// Content is inlined by what it is, never by what an option calls it: sr3's `inlineEncoding`
    /// means the opposite of its name in one place, which a reader here need not know.
    pub fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self {
                encoding: InlineEncoding::Utf8,
                value: text.to_owned(),
            },
            Err(_) => Self {
                encoding: InlineEncoding::Base64,
                value: base64::engine::general_purpose::STANDARD.encode(bytes),
            },
        }
    }

    /// The content itself. Base64 may be broken into lines and may lack its padding.
    ///
    /// # Errors
    /// A value that its encoding can't produce.
    pub fn bytes(&self) -> Result<Vec<u8>, InlineError> {
        match self.encoding {
            InlineEncoding::Utf8 => Ok(self.value.clone().into_bytes()),
            InlineEncoding::Base64 => identity::base64(&self.value).ok_or(InlineError("base64")),
            InlineEncoding::Iso8859_1 => self
                .value
                .chars()
                .map(|c| u8::try_from(u32::from(c)).map_err(|_| InlineError("iso-8859-1")))
                .collect(),
        }
    }
}
