//! Decides from a header block what an entity is. Pure: no bytes of a body are seen here.

use crate::charset::{self, Charset};
use crate::fields::Fields;
use crate::names;
use crate::options::Kind;
use crate::params::Params;
use crate::words::capped;

/// A longer boundary is no boundary (RFC 2046 allows 70 characters).
const BOUNDARY: usize = 1024;

/// What the surroundings say about an entity.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Surroundings {
    /// Its parent is `multipart/digest`, whose parts are mails unless they say otherwise.
    pub digest: bool,
    /// Its parent is `multipart/related`.
    pub related: bool,
}

/// What an entity is.
pub(crate) enum Plan {
    Multipart {
        /// `None`: not given, to be found in the body.
        boundary: Option<Vec<u8>>,
        inside: Surroundings,
    },
    /// A mail of its own.
    Message(Leaf),
    /// Kept with its header block, without which it means nothing: a piece of a mail, or a pointer
    /// to one.
    Whole(Leaf),
    Leaf(Leaf),
}

/// How an entity with a body of its own is stored.
pub(crate) struct Leaf {
    pub kind: Kind,
    /// As the sender wrote it.
    pub name: Option<String>,
    pub content_type: String,
    pub charset: Option<String>,
    pub content_id: Option<String>,
    /// Set where the body is text to be turned into UTF-8.
    pub text: Option<Text>,
}

/// How text is read.
#[derive(Clone, Copy)]
pub(crate) struct Text {
    pub charset: Charset,
    pub html: bool,
    pub plain: bool,
    pub flowed: bool,
    pub del_sp: bool,
}

impl Leaf {
    /// A multipart nested too deep to be taken apart: an entity that mail programs still read.
    pub(crate) fn too_deep() -> Self {
        Self {
            kind: Kind::Message,
            name: None,
            content_type: "message/rfc822".to_owned(),
            charset: None,
            content_id: None,
            text: None,
        }
    }

    /// The name where the sender gave none that is usable.
    pub(crate) fn fallback(&self, path: &str) -> String {
        let extension = names::extension(&self.content_type);
        if self.kind == Kind::Body {
            format!("body{extension}")
        } else {
            format!("part-{path}{extension}")
        }
    }
}

/// Reads what an entity is from its fields.
pub(crate) fn plan(fields: &Fields, around: Surroundings) -> Plan {
    let typed = Params::parse(fields.get("content-type").unwrap_or_default());
    let disposed = Params::parse(fields.get("content-disposition").unwrap_or_default());
    let name = disposed.get("filename").or_else(|| typed.get("name"));
    let content_type = content_type(&typed.value, name.is_some(), around.digest);
    if let Some(subtype) = content_type.strip_prefix("multipart/") {
        let boundary = typed
            .raw("boundary")
            .map(|b| b.trim_ascii_end().to_vec())
            .filter(|b| !b.is_empty() && b.len() <= BOUNDARY);
        return Plan::Multipart {
            boundary,
            inside: Surroundings {
                digest: subtype == "digest",
                related: subtype == "related",
            },
        };
    }
    let content_id = fields.content_id();
    let explicit = disposed.value.as_str();
    let is_message = matches!(
        content_type.as_str(),
        "message/rfc822" | "message/global" | "message/news"
    );
    let is_whole = matches!(
        content_type.as_str(),
        "message/partial" | "message/external-body"
    );
    let kind = if is_message || is_whole {
        Kind::Message
    } else if explicit == "attachment" {
        Kind::Attachment
    } else if name.is_none() && is_body(&content_type) {
        Kind::Body
    } else if explicit == "inline" || around.related && content_id.is_some() {
        Kind::Inline
    } else {
        Kind::Attachment
    };
    let label = typed.get("charset");
    let charset = label.as_deref().map_or(Charset::Guess, charset::resolve);
    let flag = |name: &str, yes: &str| {
        typed
            .raw(name)
            .is_some_and(|v| v.eq_ignore_ascii_case(yes.as_bytes()))
    };
    // An attachment's bytes are its sender's, whatever its type: only bodies are converted.
    let text = (kind == Kind::Body && !matches!(charset, Charset::Unsupported)).then(|| {
        let plain = content_type == "text/plain";
        Text {
            charset,
            html: content_type == "text/html",
            plain,
            flowed: plain && flag("format", "flowed"),
            del_sp: flag("delsp", "yes"),
        }
    });
    let leaf = Leaf {
        kind,
        name,
        content_type,
        charset: label.map(|l| capped(&l, 64).into_owned()),
        content_id,
        text,
    };
    if is_message {
        Plan::Message(leaf)
    } else if is_whole {
        Plan::Whole(leaf)
    } else {
        Plan::Leaf(leaf)
    }
}

/// Text a person reads in the mail itself. XML and RTF declare their own charset inside, and
/// returned headers are evidence, so these keep their bytes.
fn is_body(content_type: &str) -> bool {
    content_type.strip_prefix("text/").is_some_and(|subtype| {
        !matches!(
            subtype,
            "xml" | "rtf" | "rfc822-headers" | "vcard" | "x-vcard"
        )
    })
}

fn content_type(value: &str, named: bool, digest: bool) -> String {
    let token = |s: &str| {
        !s.is_empty()
            && s.bytes().all(|b| {
                b.is_ascii_alphanumeric()
                    || matches!(
                        b,
                        b'-' | b'.' | b'+' | b'_' | b'!' | b'#' | b'$' | b'&' | b'^'
                    )
            })
    };
    match value.split_once('/') {
        Some((kind, subtype)) if token(kind) && token(subtype) && value.len() <= 127 => {
            value.to_owned()
        }
        _ if named => "application/octet-stream".to_owned(),
        _ if digest && value.is_empty() => "message/rfc822".to_owned(),
        _ => "text/plain".to_owned(),
    }
}
