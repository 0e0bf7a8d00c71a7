//! `sha256` of a callback: the only file its plugin may be; `minisign`: whose it has to be; `tlsPin`: the
//! only certificates its servers may have.
//!
//! The first two are compared before the plugin is asked for its manifest, so that nothing of a file that was swapped
//! is compiled or run.

use super::Builder;
use crate::explain as code;
use crate::units::Wrong;
use crate::yaml::Entry;

/// Digits of a SHA-256.
const DIGITS: usize = 64;

/// The plugin is not what the flow asks for, which was said.
pub(super) struct Changed;

impl Builder<'_> {
    /// The pin of a callback, if it has one and the plugin's file matches it.
    pub(super) fn pin(
        &mut self,
        at: &str,
        plugin: &str,
        entry: Option<&Entry>,
    ) -> Result<Option<String>, Changed> {
        let example = "5c1f… (64 digits)";
        let Some(entry) = entry else { return Ok(None) };
        let Some(scalar) = self.scalar("sha256", &entry.value, example) else {
            return Ok(None);
        };
        let wanted = scalar.text.trim().to_ascii_lowercase();
        if wanted.len() != DIGITS || !wanted.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let message = format!("is {DIGITS} hexadecimal digits, and this is something else");
            let label = format!("write what `flow plugin show {plugin}` prints");
            self.wrong(
                "sha256",
                &scalar,
                Wrong::new(code::BAD_VALUE, message, label),
            );
            return Ok(None);
        }
        self.set(format!("{at}.sha256"), &wanted, scalar.origin);
        // A plugin that is not there, or can't be read, is said to be so when it is asked for.
        match self.plugins.artefact(plugin) {
            Some(artefact) if artefact.sha256 != wanted => {
                self.out
                    .error(
                        code::PLUGIN_CHANGED,
                        scalar.span,
                        format!("plugin `{plugin}` is not the file this flow asks for"),
                    )
                    .label("the flow asks for this one")
                    .note(format!(
                        "the one in {} has the sha256 {}",
                        artefact.place, artefact.sha256
                    ))
                    .hint("put the former file back; or, if the new one is meant, look at what it asks for (`flow plugin show`) and write its number here");
                Err(Changed)
            }
            _ => Ok(Some(wanted)),
        }
    }

    /// The certificates the servers of a callback may have.
    pub(super) fn certificates(&mut self, at: &str, entry: Option<&Entry>) -> Vec<[u8; 32]> {
        let Some(entry) = entry else {
            return Vec::new();
        };
        let scalars = self.scalars("tlsPin", &entry.value, "3fa9… (64 digits)");
        self.set_list(&format!("{at}.tlsPin"), &scalars);
        let mut pins = Vec::new();
        for scalar in &scalars {
            match fingerprint(scalar.text.trim()) {
                Some(pin) => pins.push(pin),
                None => self.wrong(
                    "tlsPin",
                    scalar,
                    Wrong::new(
                        code::BAD_VALUE,
                        format!(
                            "is the SHA-256 of a server's certificate, {DIGITS} hexadecimal digits, and this is something else"
                        ),
                        "write what `openssl x509 -noout -fingerprint -sha256 -in server.pem` prints",
                    ),
                ),
            }
        }
        pins
    }

    /// The key a callback's plugin has to be signed with, if it names one and the plugin is.
    pub(super) fn signature(
        &mut self,
        at: &str,
        plugin: &str,
        entry: Option<&Entry>,
    ) -> Result<Option<String>, Changed> {
        let Some(entry) = entry else { return Ok(None) };
        let Some(scalar) = self.scalar("minisign", &entry.value, "RWQ… (56 characters)") else {
            return Ok(None);
        };
        let key = scalar.text.trim().to_owned();
        self.set(format!("{at}.minisign"), &key, scalar.origin.clone());
        match self.plugins.signed(plugin, &key) {
            Some(Err(unsigned)) if unsigned.key => {
                self.wrong(
                    "minisign",
                    &scalar,
                    Wrong::new(
                        code::BAD_VALUE,
                        "is a public key of minisign, and this is none",
                        "a line of 56 characters that begins with `RW`",
                    ),
                );
                Err(Changed)
            }
            Some(Err(unsigned)) => {
                self.out
                    .error(
                        code::PLUGIN_UNSIGNED,
                        scalar.span,
                        format!("plugin `{plugin}` is not signed with the key this flow asks for"),
                    )
                    .label("the flow asks for this key")
                    .note(unsigned.why)
                    .hint(unsigned.advice);
                Err(Changed)
            }
            Some(Ok(())) | None => Ok(Some(key)),
        }
    }
}

/// The bytes of a SHA-256; colons between them, as OpenSSL prints them, are left out.
fn fingerprint(text: &str) -> Option<[u8; 32]> {
    let digits = text.chars().filter(|c| *c != ':');
    let digits: Vec<u32> = digits.map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    let mut bytes = [0; 32];
    if digits.len() != DIGITS {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::try_from(pair[0] * 16 + pair[1]).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::fingerprint;

    #[test]
    fn fingerprints_are_read_as_they_are_printed() {
        let text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let bytes = fingerprint(text).expect("it is one");
        assert_eq!((bytes[0], bytes[31]), (0xe3, 0x55));
        let pairs: Vec<&str> = (0..32).map(|at| &text[2 * at..2 * at + 2]).collect();
        for text in [text.to_ascii_uppercase(), pairs.join(":")] {
            assert_eq!(fingerprint(&text), Some(bytes), "{text}");
        }
        let (longer, strange) = (format!("{text}0"), text.replace('c', "g"));
        for wrong in ["", "e3", &text[1..], &longer, &strange] {
            assert_eq!(fingerprint(wrong), None, "{wrong}");
        }
    }
}
