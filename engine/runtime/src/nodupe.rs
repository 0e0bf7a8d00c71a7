//! Suppression of what was seen before.
//!
//! An entry is provisional (in the worker's memory) while its message is in hand and permanent once
//! that settles, in the same transaction. It names its *holder*, the key of that message, because a
//! duplicate of something still in retry must not tell its origin that all is well.
//! Messages from retry bypass the check: they are the holders.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use flow_config::{Nodupe, NodupeBasis};
use flow_message::{FileOp, Identity, Message, Timestamp};
use ring::digest::{Context, SHA256};

use crate::ports::Clock;
use crate::store::Store;

/// Between two steps of forgetting, for a pass that waits for the store.
const PAUSE: Duration = Duration::from_millis(1);

/// What makes two messages the same, as a fixed-size key.
///
/// The fact sheet calls the two halves key and path (S§10.1).
pub(crate) fn key(nodupe: &Nodupe, message: &Message) -> Vec<u8> {
    let path = message.rel_path.trim_start_matches('/');
    let name = message.file_name();
    let mut digest = Digest::default();
    match nodupe.basis {
        NodupeBasis::Path => digest.data(message).text(path),
        NodupeBasis::Name => digest.data(message).text(name),
        NodupeBasis::Data => digest.data(message),
        NodupeBasis::NameOnly => digest.text(name),
        NodupeBasis::PathOnly => digest.text(path),
    }
    .finish()
}

/// Removes what has expired, in steps so small that passes do not stall. Look-ups ignore it anyway;
/// what is left when the flow ends goes another time.
pub(crate) async fn forget_expired(store: Store, clock: Arc<dyn Clock>, now: Timestamp) {
    loop {
        match store.expire(now.as_millisecond()).await {
            Ok(true) => clock.sleep(PAUSE).await,
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(%error, "What has expired can't be removed; it is tried again.");
                return;
            }
        }
    }
}

/// The key of a gathered message: the same for the same thing at every poll, also after a restart
/// and after a loss of state.
pub(crate) fn item_key(callback: &str, message: &Message) -> String {
    let mut digest = Digest::default();
    let digest = digest
        .text(callback)
        .text(&message.base_url)
        .text(&message.rel_path);
    let digest = digest.text(
        &message
            .size
            .map(|size| size.to_string())
            .unwrap_or_default(),
    );
    let digest = digest.text(
        &message
            .mtime
            .map(|mtime| mtime.to_string())
            .unwrap_or_default(),
    );
    if let Some(Identity { method, value }) = &message.identity {
        digest.text(method).text(value);
    }
    if let Some(op) = &message.file_op {
        let (verb, object) = operation(op);
        digest.text("\0fileOp").text(verb).text(object);
        // What went away may come back and go away again, with nothing else to tell them apart.
        if op.remove || op.rename.is_some() {
            digest.text(&message.pub_time.to_string());
        }
    }
    hex(&digest.finish())
}

/// What a file operation does, and to what besides the path of its message.
fn operation(op: &FileOp) -> (&'static str, &str) {
    match op {
        FileOp {
            rename: Some(old), ..
        } => ("rename", old),
        FileOp {
            remove: true,
            directory: true,
            ..
        } => ("rmdir", ""),
        FileOp { remove: true, .. } => ("remove", ""),
        FileOp {
            link: Some(target), ..
        } => ("link", target),
        FileOp {
            hlink: Some(target),
            ..
        } => ("hlink", target),
        FileOp {
            directory: true, ..
        } => ("mkdir", ""),
        _ => ("", ""),
    }
}

/// Whether two identities are about the same bytes, however they are written.
pub(crate) fn same_identity(one: &Identity, other: &Identity) -> bool {
    one.method == other.method && canonical(one) == canonical(other)
}

/// The value of an identity, the same for all ways to write a digest: base64 with and without line
/// breaks or padding, and hex.
fn canonical(identity: &Identity) -> Cow<'_, str> {
    let value = identity.value.as_str();
    let length = match identity.method.as_str() {
        "sha512" => 64,
        "md5" => 16,
        _ => return Cow::Borrowed(value),
    };
    let bytes = match identity.digest().filter(|bytes| bytes.len() == length) {
        Some(bytes) => bytes,
        None => match unhex(value.trim()).filter(|bytes| bytes.len() == length) {
            Some(bytes) => bytes,
            None => return Cow::Borrowed(value),
        },
    };
    Cow::Owned(Identity::of_digest("", &bytes).value)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match *pair {
            [high, low] => u8::try_from(digit(high)? << 4 | digit(low)?).ok(),
            _ => None,
        })
        .collect()
}

/// Eight characters that tell contents of different messages apart in a file name.
pub(crate) fn short_hash(parts: &[&str]) -> String {
    let mut digest = Digest::default();
    for part in parts {
        digest.text(part);
    }
    hex(&digest.finish()[..4])
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// A digest of texts that can't run into each other.
struct Digest(Context);

impl Default for Digest {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Digest {
    fn text(&mut self, text: &str) -> &mut Self {
        self.0.update(&(text.len() as u64).to_le_bytes());
        self.0.update(text.as_bytes());
        self
    }

    /// What the message says of its data; as little as that is.
    fn data(&mut self, message: &Message) -> &mut Self {
        if let Some(op) = &message.file_op {
            let (verb, object) = operation(op);
            match verb {
                "" => {}
                "link" | "hlink" => return self.text(verb).text(object),
                // The same can be done again after it was undone; that is another time.
                _ => {
                    let made = message.mtime.filter(|_| verb == "mkdir");
                    let time = made.unwrap_or(message.pub_time);
                    return self
                        .text(verb)
                        .text(object)
                        .text(message.rel_path.trim_start_matches('/'))
                        .text(&time.to_string());
                }
            }
        }
        match &message.identity {
            Some(identity) if identity.method != "cod" => {
                self.text(&identity.method).text(&canonical(identity))
            }
            _ => {
                let time = message.mtime.unwrap_or(message.pub_time);
                let size = message.size.map(|size| size.to_string());
                self.text(message.rel_path.trim_start_matches('/'))
                    .text(&time.to_string())
                    .text(size.as_deref().unwrap_or_default())
            }
        }
    }

    fn finish(&mut self) -> Vec<u8> {
        self.0.clone().finish().as_ref()[..16].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use flow_config::{Nodupe, NodupeBasis};
    use flow_message::{FileOp, Identity, Message, Timestamp};

    use super::{item_key, key, short_hash};

    fn message(path: &str, identity: Option<(&str, &str)>) -> Message {
        let mut message = Message::new(Timestamp::from_unix(9, 0), "http://origin/", path);
        message.identity = identity.map(|(method, value)| Identity {
            method: method.into(),
            value: value.into(),
        });
        message
    }

    fn same(basis: NodupeBasis, a: &Message, b: &Message) -> bool {
        let nodupe = Nodupe {
            ttl: Duration::from_secs(300),
            basis,
        };
        key(&nodupe, a) == key(&nodupe, b)
    }

    #[test]
    fn the_basis_decides_what_is_the_same() {
        use NodupeBasis::{Data, Name, NameOnly, Path, PathOnly};
        let one = message("a/x", Some(("md5", "1")));
        let moved = message("b/x", Some(("md5", "1")));
        let renamed = message("a/y", Some(("md5", "1")));
        let changed = message("a/x", Some(("md5", "2")));
        for (other, expected) in [
            (&one, [Path, Name, Data, NameOnly, PathOnly].as_slice()),
            (&moved, [Name, Data, NameOnly].as_slice()),
            (&renamed, [Data].as_slice()),
            (&changed, [NameOnly, PathOnly].as_slice()),
        ] {
            for basis in [Path, Name, Data, NameOnly, PathOnly] {
                assert_eq!(
                    same(basis, &one, other),
                    expected.contains(&basis),
                    "{basis:?} {other:?}"
                );
            }
        }
    }

    #[test]
    fn without_an_identity_time_and_size_stand_in() {
        let basis = NodupeBasis::Path;
        let one = message("a/x", None);
        let mut touched = one.clone();
        touched.mtime = Some(Timestamp::from_unix(1, 0));
        let mut grown = one.clone();
        grown.size = Some(7);
        assert!(same(basis, &one, &message("/a/x", None)));
        assert!(same(basis, &one, &one.clone()));
        assert!(!same(basis, &one, &touched));
        assert!(!same(basis, &one, &grown));
        let computed_later = message("a/x", Some(("cod", "sha512")));
        assert!(same(basis, &one, &computed_later));
    }

    #[test]
    fn links_are_what_they_point_to() {
        let mut one = message("a/x", None);
        one.file_op = Some(FileOp {
            link: Some("target".into()),
            ..FileOp::default()
        });
        let mut other = one.clone();
        other.pub_time = Timestamp::from_unix(99, 0);
        assert!(same(NodupeBasis::Path, &one, &other));
        other.file_op = Some(FileOp {
            link: Some("elsewhere".into()),
            ..FileOp::default()
        });
        assert!(!same(NodupeBasis::Path, &one, &other));
    }

    #[test]
    fn a_gathered_thing_has_the_same_key_at_every_poll() {
        let one = message("INBOX/7", None);
        let mut again = one.clone();
        again.pub_time = Timestamp::from_unix(1_000, 0);
        assert_eq!(item_key("mail", &one), item_key("mail", &again));
        assert_ne!(item_key("mail", &one), item_key("mail#2", &one));
        again.size = Some(1);
        assert_ne!(item_key("mail", &one), item_key("mail", &again));
        // Stored keys outlive versions of this program.
        assert_eq!(item_key("mail", &one), "d6b32da99876d24fb06e2eb6af196548");
    }

    fn about(change: fn(&mut FileOp)) -> Message {
        let mut message = message("a/x", None);
        let mut op = FileOp::default();
        change(&mut op);
        message.file_op = Some(op);
        message
    }

    #[test]
    fn every_operation_is_another_thing() {
        let mut things = vec![
            message("a/x", None),
            about(|op| op.remove = true),
            about(|op| op.directory = true),
            about(|op| (op.remove, op.directory) = (true, true)),
            about(|op| op.link = Some("t".into())),
            about(|op| op.link = Some("u".into())),
            about(|op| op.hlink = Some("t".into())),
            about(|op| op.rename = Some("t".into())),
            about(|op| op.rename = Some("u".into())),
            about(|op| (op.rename, op.directory) = (Some("v".into()), true)),
        ];
        let mut later = about(|op| op.remove = true);
        later.pub_time = Timestamp::from_unix(10, 0);
        things.push(later);
        for (index, one) in things.iter().enumerate() {
            assert!(same(NodupeBasis::Data, one, &one.clone()));
            assert_eq!(item_key("x", one), item_key("x", &one.clone()));
            for other in &things[index + 1..] {
                assert!(!same(NodupeBasis::Data, one, other), "{one:?} {other:?}");
                assert_ne!(item_key("x", one), item_key("x", other), "{other:?}");
            }
        }
    }

    #[test]
    fn a_digest_is_the_same_however_it_is_written() {
        let hex = "900150983cd24fb0d6963f7d28e17f72";
        let base64 = "kAFQmDzST7DWlj99KOF/cg==";
        let one = message("a/x", Some(("md5", base64)));
        for value in [
            hex,
            &hex.to_uppercase(),
            "kAFQmDzST7DW\nlj99KOF/cg==\n",
            "kAFQmDzST7DWlj99KOF/cg",
        ] {
            let other = message("a/x", Some(("md5", value)));
            assert!(same(NodupeBasis::Path, &one, &other), "{value}");
        }
        let other = message("a/x", Some(("arbitrary", hex)));
        assert!(!same(NodupeBasis::Path, &one, &other));
    }

    #[test]
    fn neighbouring_texts_do_not_run_together() {
        assert_ne!(short_hash(&["ab", "c"]), short_hash(&["a", "bc"]));
        assert_eq!(short_hash(&["ab", "c"]).len(), 8);
    }
}
