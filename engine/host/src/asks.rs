//! What a plugin asks for and what a flow lets it have, in one sentence, for people who did not
//! write the plugin.

use std::fmt;

use flow_config::Flow;

use crate::grants::Grants;
use crate::plugin::Plugin;

/// Digits of a fingerprint that are shown.
const DIGITS: usize = 12;

/// What a plugin asks for, and what it gets in one flow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asks {
    /// The plugin's name.
    pub plugin: String,
    /// The fingerprint of its file.
    pub sha256: String,
    /// What it asks for, see [`Plugin::asks`].
    pub asks: Vec<&'static str>,
    /// The hosts it may reach or have passwords for.
    pub allowed: Vec<String>,
}

impl Asks {
    /// Of a plugin in a flow.
    pub fn new(plugin: &Plugin, flow: &Flow) -> Self {
        let manifest = plugin.manifest();
        let grants = Grants::new(&manifest.grants, &flow.own_urls, &flow.allow);
        Self {
            plugin: manifest.name.clone(),
            sha256: plugin.sha256().to_owned(),
            asks: plugin.asks(),
            allowed: grants.places(),
        }
    }
}

impl fmt::Display for Asks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.sha256.get(..DIGITS).unwrap_or(&self.sha256);
        write!(f, "plugin `{}` (sha256 {digits}…) asks for ", self.plugin)?;
        if self.asks.is_empty() {
            return f.write_str("nothing beyond its messages");
        }
        let allowed = match self.allowed.is_empty() {
            true => "nothing".to_owned(),
            false => self.allowed.join(", "),
        };
        write!(f, "{}; this flow allows {allowed}", self.asks.join(", "))
    }
}
