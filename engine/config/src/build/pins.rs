//! `sha256` of a callback: the only file its plugin may be; `minisign`: whose it has to be.
//!
//! Both are compared before the plugin is asked for its manifest, so that nothing of a file that was swapped
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
