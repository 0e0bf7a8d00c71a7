//! What a message is on the wire: a content type, headers, and a body.
//!
//! The one place here that knows formats. v03 is JSON without headers; a format that keeps its fields
//! in headers (user properties in MQTT) finds them on both ways.

use flow_message::{Message, v03};

/// A message as it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wire {
    pub(super) content_type: &'static str,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// The message as it is posted.
pub(super) fn encode(message: &Message) -> Wire {
    Wire {
        content_type: "application/json",
        headers: Vec::new(),
        body: v03::encode(message),
    }
}

/// The message in a body, or why it is none.
///
/// The content type is a hint and no more, as not every poster sends one.
pub(super) fn decode(
    _content_type: Option<&str>,
    _headers: &[(String, String)],
    body: &[u8],
) -> Result<Message, String> {
    v03::decode(body).map_err(|error| error.to_string())
}
