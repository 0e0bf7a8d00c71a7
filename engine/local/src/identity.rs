//! Fingerprints of files, and their cache in extended attributes.
//!
//! The cache is sr3's: `user.sr_identity` holds `{"method": …, "value": …}` and `user.sr_mtime` the
//! time of the content it is about. It is believed only for a file that is not newer than that.

use std::fs::File;
use std::io::{self, Read as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flow_message::{Identity, Timestamp};
use md5::{Digest as _, Md5};
use rustix::fs::{XattrFlags, fgetxattr, fsetxattr};

use crate::options::Digest;

const IDENTITY: &str = "user.sr_identity";
const MTIME: &str = "user.sr_mtime";

/// Bytes read at a time: large enough that hashing, not reading, decides.
const CHUNK: usize = 128 << 10;

/// The method's name in messages, where content has to be read for it.
pub(crate) fn computed(digest: &Digest) -> Option<&'static str> {
    match digest {
        Digest::Sha512 => Some("sha512"),
        Digest::Md5 => Some("md5"),
        _ => None,
    }
}

/// The identity of a file that need not be read for it.
pub(crate) fn without_content(digest: &Digest) -> Option<Identity> {
    let (method, value) = match digest {
        Digest::Random => ("random", format!("{:04}", rand::random_range(0..10_000))),
        Digest::Arbitrary(value) => ("arbitrary", value.clone()),
        Digest::OnDownload(method) => ("cod", method.clone()),
        Digest::None | Digest::Sha512 | Digest::Md5 => return None,
    };
    Some(Identity {
        method: method.to_owned(),
        value,
    })
}

enum Hash {
    Sha512(ring::digest::Context),
    Md5(Md5),
}

impl Hash {
    fn update(&mut self, data: &[u8]) {
        match self {
            Self::Sha512(hash) => hash.update(data),
            Self::Md5(hash) => hash.update(data),
        }
    }

    fn finish(self) -> String {
        match self {
            Self::Sha512(hash) => STANDARD.encode(hash.finish()),
            Self::Md5(hash) => STANDARD.encode(hash.finalize()),
        }
    }
}

/// Reads the file to its end; `buffer` is scratch space that keeps its size from file to file.
pub(crate) fn compute(
    file: &mut File,
    digest: &Digest,
    buffer: &mut Vec<u8>,
) -> io::Result<Option<Identity>> {
    let Some(method) = computed(digest) else {
        return Ok(None);
    };
    let mut hash = match digest {
        Digest::Md5 => Hash::Md5(Md5::new()),
        _ => Hash::Sha512(ring::digest::Context::new(&ring::digest::SHA512)),
    };
    buffer.resize(CHUNK, 0);
    loop {
        match file.read(buffer) {
            Ok(0) => break,
            Ok(read) => hash.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(Identity {
        method: method.to_owned(),
        value: hash.finish(),
    }))
}

/// What the attributes say, if it is about this content and of the wanted method.
pub(crate) fn cached(file: &File, method: &str, mtime: Timestamp) -> Option<Identity> {
    let of: Timestamp = attribute(file, MTIME)?.parse().ok()?;
    if mtime > of {
        return None;
    }
    let value: serde_json::Value = serde_json::from_str(&attribute(file, IDENTITY)?).ok()?;
    let text = |key: &str| value.get(key)?.as_str().map(str::to_owned);
    let identity = Identity {
        method: text("method")?,
        value: text("value")?,
    };
    (identity.method == method).then_some(identity)
}

/// Leaves an identity for the next one who asks. Best effort: a cache may fail.
pub(crate) fn remember(file: &File, identity: &Identity, mtime: Timestamp) {
    let value = serde_json::json!({"method": identity.method, "value": identity.value});
    let set =
        |name: &str, value: &str| fsetxattr(file, name, value.as_bytes(), XattrFlags::empty());
    // The time goes last: alone, the first is not believed.
    let done = set(IDENTITY, &value.to_string()).and_then(|()| set(MTIME, &mtime.to_string()));
    if let Err(error) = done {
        tracing::trace!(%error, "A digest could not be kept in the attributes of its file.");
    }
}

fn attribute(file: &File, name: &str) -> Option<String> {
    let mut value = [0; 512];
    let length = fgetxattr(file, name, &mut value).ok()?;
    String::from_utf8(value.get(..length)?.to_vec()).ok()
}
