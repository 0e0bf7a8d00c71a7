//! Fingerprints of content, and the digests a v02 header is made of.
//!
//! v03 writes a digest as base64, v02 as hex; methods that are no digest (`random`, `arbitrary`,
//! `cod`) carry their value as it is. Content is not read here: computing its digest is the work of
//! whoever has it.

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose::STANDARD};
use md5::Md5;
use sha2::{Digest as _, Sha512};

/// A fingerprint of content: `{method, value}`.
///
/// For `sha512` and `md5` the value is the base64 of the raw digest; for `cod` it names the method
/// to compute on download; `random` and `arbitrary` carry any string.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// `sha512`, `md5`, `random`, `arbitrary`, `cod`, or a name this version does not know.
    pub method: String,
    /// The fingerprint.
    pub value: String,
}

/// Base64 with or without its padding, since not everyone writes it.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Identity {
    /// The identity of a raw digest.
    pub fn of_digest(method: impl Into<String>, digest: &[u8]) -> Self {
        Self {
            method: method.into(),
            value: STANDARD.encode(digest),
        }
    }

    /// The raw digest, if the value is base64.
    ///
    /// Line breaks and blanks inside are no part of it: sr3 breaks the line of a sha512 it took from
    /// a v02 message, so that two values may be one digest. Compare digests, not values.
    pub fn digest(&self) -> Option<Vec<u8>> {
        base64(&self.value)
    }
}

/// The bytes of base64 text, with white space anywhere and with or without padding.
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    if text.bytes().any(|byte| byte.is_ascii_whitespace()) {
        let dense: Vec<u8> = text
            .bytes()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        return LENIENT.decode(dense).ok();
    }
    LENIENT.decode(text).ok()
}

/// Lower case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(half.into(), 16).expect("half a byte is a hex digit");
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// The bytes of hex in either case; `None` for anything else.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let value = |digit: u8| char::from(digit).to_digit(16);
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match *pair {
            [high, low] => u8::try_from(value(high)? << 4 | value(low)?).ok(),
            _ => None,
        })
        .collect()
}

/// The sha512 of something that is not content: a link's target, a name.
pub(crate) fn sha512(bytes: &[u8]) -> [u8; 64] {
    Sha512::digest(bytes).into()
}

/// The md5 of a name.
pub(crate) fn md5(bytes: &[u8]) -> [u8; 16] {
    Md5::digest(bytes).into()
}
