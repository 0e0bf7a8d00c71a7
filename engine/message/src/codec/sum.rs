//! The v02 header `sum`: `letter,value`, which says both what happened to a file and its identity.
//!
//! | Letter | Means | Value |
//! | --- | --- | --- |
//! | `s`, `d` | content with a sha512, md5 | hex digest |
//! | `0`, `a` | content with a random, an arbitrary identity | as it is |
//! | `z` | the identity is computed on download | letter of the method |
//! | `n` | content without an identity | hex md5 of the file's name |
//! | `L` | symbolic link | hex sha512 of the target |
//! | `m`, `r`, `R` | directory made, directory removed, file removed | hex sha512 of the name |

use crate::fields::{FileOp, Message};
use crate::identity::{Identity, hex, md5, sha512, unhex};

/// What a `sum` header says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sum {
    Content(Option<Identity>),
    Link,
    Directory,
    RemovedDirectory,
    Removed,
}

/// Methods by their letter.
const METHODS: [(&str, &str); 6] = [
    ("s", "sha512"),
    ("d", "md5"),
    ("n", "md5name"),
    ("0", "random"),
    ("a", "arbitrary"),
    ("z", "cod"),
];

fn method(letter: &str) -> Option<&'static str> {
    let found = METHODS.iter().find(|(known, _)| *known == letter)?;
    Some(found.1)
}

fn letter(method: &str) -> Option<&'static str> {
    let found = METHODS.iter().find(|(_, known)| *known == method)?;
    Some(found.0)
}

impl Sum {
    /// Reads a header. `None` for letters of some site's own plugin and for a broken value: the
    /// message is good without, and the header is kept with the unknown ones.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (letter, value) = text.split_once(',').unwrap_or((text, ""));
        match letter {
            "L" => return Some(Self::Link),
            "m" => return Some(Self::Directory),
            "r" => return Some(Self::RemovedDirectory),
            "R" => return Some(Self::Removed),
            "n" => return Some(Self::Content(None)),
            _ => {}
        }
        let method = method(letter)?;
        let identity = match method {
            "random" | "arbitrary" => Identity {
                method: method.into(),
                value: value.into(),
            },
            "cod" => Identity {
                method: method.into(),
                value: self::method(value)?.into(),
            },
            _ => Identity::of_digest(method, &unhex(value).filter(|digest| !digest.is_empty())?),
        };
        Some(Self::Content(Some(identity)))
    }

    /// The header of a message.
    pub(super) fn text(message: &Message) -> String {
        let named = |letter: char| {
            let name = message.file_name().as_bytes();
            format!("{letter},{}", hex(&sha512(name)))
        };
        match &message.file_op {
            Some(FileOp {
                remove: true,
                directory: true,
                ..
            }) => return named('r'),
            Some(FileOp { remove: true, .. }) => return named('R'),
            Some(FileOp {
                directory: true, ..
            }) => return named('m'),
            Some(FileOp {
                link: Some(target), ..
            }) => {
                return format!("L,{}", hex(&sha512(target.as_bytes())));
            }
            _ => {}
        }
        message
            .identity
            .as_ref()
            .and_then(of_identity)
            .unwrap_or_else(|| {
                let name = message.file_name().as_bytes();
                format!("n,{}", hex(&md5(name)))
            })
    }
}

/// The header of an identity v02 has a letter for.
fn of_identity(identity: &Identity) -> Option<String> {
    let letter = letter(&identity.method)?;
    let value = match letter {
        "0" | "a" => identity.value.clone(),
        "z" => self::letter(&identity.value)?.to_owned(),
        _ => hex(&identity.digest().filter(|digest| !digest.is_empty())?),
    };
    Some(format!("{letter},{value}"))
}
