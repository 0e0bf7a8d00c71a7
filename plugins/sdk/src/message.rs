//! Reading messages and making new ones.

use crate::{Edit, Header, Identity, Message, NewMessage, Value};

impl Message {
    /// `base_url` and `rel_path` as one URL.
    pub fn url(&self) -> String {
        let base = self.base_url.trim_end_matches('/');
        let path = self.rel_path.trim_start_matches('/');
        format!("{base}/{path}")
    }

    /// A header that is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|header| header.name == name)
            .and_then(|header| match &header.value {
                Value::Text(text) => Some(text.as_str()),
                Value::Json(_) => None,
            })
    }

    /// Sets a header that is text, in a message of a [`Worklist`](crate::Worklist).
    pub fn set_header(&mut self, name: &str, value: impl Into<String>) {
        self.remove_header(name);
        self.headers.push(Header::text(name, value));
    }

    /// Removes a header, in a message of a [`Worklist`](crate::Worklist).
    pub fn remove_header(&mut self, name: &str) {
        self.headers.retain(|header| header.name != name);
    }

    /// An empty message with an id, to fill in; for tests.
    pub fn new(id: u64, base_url: impl Into<String>, rel_path: impl Into<String>) -> Self {
        let rel_path = rel_path.into();
        Self {
            id,
            key: format!("key-{rel_path}"),
            attempt: 0,
            pub_time: String::new(),
            base_url: base_url.into(),
            rel_path,
            retrieve_path: None,
            size: None,
            mtime: None,
            content_type: None,
            identity: None,
            directory: None,
            filename: None,
            headers: Vec::new(),
        }
    }
}

impl NewMessage {
    /// A message announced now; the fields are public, to fill in the rest.
    pub fn new(base_url: impl Into<String>, rel_path: impl Into<String>) -> Self {
        Self {
            pub_time: String::new(),
            base_url: base_url.into(),
            rel_path: rel_path.into(),
            retrieve_path: None,
            size: None,
            mtime: None,
            content_type: None,
            identity: None,
            headers: Vec::new(),
            content: None,
        }
    }

    /// A message about content just written: the handle [`crate::ContentWriter::finish`] gave.
    /// It keeps the origin of `parent`, under the name the content was started with.
    pub fn derived(parent: &Message, rel_path: impl Into<String>, content: u64) -> Self {
        Self {
            content: Some(content),
            ..Self::new(parent.base_url.clone(), rel_path)
        }
    }

    /// Adds a text header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push(Header::text(name, value));
        self
    }

    /// Puts content into the message itself, for [`crate::submit`]: the header `content`, as text
    /// where it is UTF-8, otherwise as base64.
    #[must_use]
    pub fn with_content(mut self, content: impl AsRef<[u8]>) -> Self {
        let json = crate::inline::json(content.as_ref());
        self.headers.push(Header::json("content", json));
        self
    }
}

impl Header {
    /// A header that is text.
    pub fn text(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: Value::Text(value.into()),
        }
    }

    /// A header that is anything else, as JSON text.
    pub fn json(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: Value::Json(value.into()),
        }
    }
}

impl Identity {
    /// A fingerprint.
    pub fn new(method: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            value: value.into(),
        }
    }
}

impl Edit {
    /// Sets a text header.
    pub fn set_header(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self::Header((name.into(), Some(Value::Text(value.into()))))
    }

    /// Removes a header.
    pub fn remove_header(name: impl Into<String>) -> Self {
        Self::Header((name.into(), None))
    }
}
