//! Signatures of plugins, as `minisign` makes them: `NAME.wasm.minisig` beside `NAME.wasm`.
//!
//! A signature says that whoever has the key made this file, and nothing of what the file does. It is
//! checked where somebody names the key: a flow (`minisign: KEY`), or `flow plugin add --minisign`.
//! Nothing is signed here, and no key is ever taken from beside the file it is to prove.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flow_config::Unsigned;
use minisign_verify::{Error, PublicKey, Signature};

/// Bytes of a signature file, at most: they have some 300.
pub const LARGEST: u64 = 8 << 10;

/// Where the signature of a file is.
pub fn beside(file: &Path) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(".minisig");
    PathBuf::from(name)
}

/// The signature beside a file, unchecked; none: there is none that can be read.
pub fn found(file: &Path) -> Option<String> {
    let path = beside(file);
    let size = std::fs::metadata(&path).ok()?.len();
    if size > LARGEST {
        return None;
    }
    std::fs::read_to_string(path).ok()
}

/// The id of the key that a signature says it was made with; none: it is no signature. What it says
/// is not checked.
pub fn key_of(signature: &str) -> Option<String> {
    Signature::decode(signature).ok()?;
    id(signature.lines().nth(1)?)
}

/// The id of the key in a line of base64, as `minisign` prints it.
fn id(line: &str) -> Option<String> {
    let bytes = STANDARD.decode(line.trim()).ok()?;
    let id: [u8; 8] = bytes.get(2..10)?.try_into().ok()?;
    Some(format!("{:016X}", u64::from_le_bytes(id)))
}

/// The public key in one line of base64.
///
/// # Errors
/// It is none.
pub(crate) fn public(key: &str) -> Result<PublicKey, Unsigned> {
    let key = key.trim();
    PublicKey::from_base64(key).map_err(|_| Unsigned {
        key: true,
        why: format!("`{key}` is no public key of minisign"),
        advice: "a key is one line of 56 characters that begins with `RW`, the second one of the \
                 `minisign.pub` of the plugin's author"
            .into(),
    })
}

/// Checks that `signature`, which is in `place`, is of these bytes and made with `key`. Returns its
/// trusted comment, which is signed with the rest.
///
/// # Errors
/// It is not, or the key is none.
pub fn verify(key: &str, signature: &str, place: &str, bytes: &[u8]) -> Result<String, Unsigned> {
    let public = public(key)?;
    let refused = |why: String, advice: &str| Unsigned {
        key: false,
        why,
        advice: advice.into(),
    };
    let again = "get the plugin and its signature from its author once more, both of one version";
    let decoded = Signature::decode(signature)
        .map_err(|_| refused(format!("{place} is no signature of minisign"), again))?;
    // Signatures of the file itself, and not of its digest, are as good: older programs made them.
    match public.verify(bytes, &decoded, true) {
        Ok(()) => Ok(decoded.trusted_comment().to_owned()),
        Err(Error::UnexpectedKeyId) => {
            let made = key_of(signature).unwrap_or_default();
            let wanted = id(key).unwrap_or_default();
            Err(refused(
                format!("{place} was made with the key {made}, and {wanted} is asked for"),
                "ask the plugin's author which key is theirs, by another way than the one the file came",
            ))
        }
        Err(_) => Err(refused(
            format!("{place} does not fit the file: one of the two is not what was signed"),
            again,
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made with minisign 0.11 of Debian, of the bytes `hello`: `minisign -G`, `minisign -S [-l]`.
    const KEY: &str = "RWTkXw10pjaLjD8H0kf0QJT9OigfgS2OarnKDHom8Rt/TxdkOfq9EFod";
    const SIGNED: &str = "\
untrusted comment: signature from minisign secret key
RUTkXw10pjaLjMbodeirDRlNfRs7cJfMG8QaRyWrjfzOYUNA4iiS5oVInKv0BAwsh4Q6XSoeaa+jLWq1SOlq0W2xJwaG3XTVvA8=
trusted comment: geofence 0.1.0
fG5lFodmJjqJZQ8WKGy+mUtmUOkQ+GkANivx9XolO+SBoEZ52azM3rdP/I7CGLP0he25+Ek0kGofQOpyIF6PDA==
";
    const LEGACY: &str = "\
untrusted comment: signature from minisign secret key
RWTkXw10pjaLjJ3CqD9J92QsEgztZ1FPrkHcPNHXT/DTtkwgxLWhP/9o+rvgP18FyVeuW1gmswE04N3jqaKK2h2qtZoKDzEMvgw=
trusted comment: geofence 0.1.0
uRoAXsclsHRSx6F3DlLGNgfMmk6cSgbvYePrtVcZUYiUPJp+qCasxZA7Cx8D7/k99v0tgYhh8ifIQ99rAOW1DQ==
";
    /// Another key.
    const OTHER: &str = "RWSvDqkkUhA1Ne4MDufUyqETY4R10Y3WksuVm/cHTG1yravgPnjbTgi9";

    #[track_caller]
    fn refused(key: &str, signature: &str, bytes: &[u8]) -> String {
        let refused = verify(key, signature, "x.minisig", bytes).expect_err("refused");
        assert_eq!(refused.key, signature.is_empty());
        refused.why
    }

    #[test]
    fn what_minisign_signed_is_taken() {
        for signature in [SIGNED, LEGACY] {
            let comment = verify(KEY, signature, "x.minisig", b"hello").expect("it is signed");
            assert_eq!(comment, "geofence 0.1.0");
        }
        let spaced = format!(" {KEY}\n");
        verify(&spaced, SIGNED, "x.minisig", b"hello").expect("it is signed");
        assert_eq!(key_of(SIGNED), id(KEY));
        assert_eq!(key_of(SIGNED).expect("an id"), "8C8B36A6740D5FE4");
        assert_eq!(key_of("hello"), None);
    }

    #[test]
    fn anything_else_is_refused() {
        assert_eq!(
            refused(KEY, SIGNED, b"hullo"),
            "x.minisig does not fit the file: one of the two is not what was signed"
        );
        assert_eq!(
            refused(OTHER, SIGNED, b"hello"),
            "x.minisig was made with the key 8C8B36A6740D5FE4, and 3535105224A90EAF is asked for"
        );
        // The comment is signed as well.
        let commented = SIGNED.replace("geofence 0.1.0", "geofence 0.2.0");
        assert!(refused(KEY, &commented, b"hello").contains("does not fit"));
        assert_eq!(
            refused(KEY, "hello", b"hello"),
            "x.minisig is no signature of minisign"
        );
        assert_eq!(
            refused("RWQ", "", b"hello"),
            "`RWQ` is no public key of minisign"
        );
    }
}
