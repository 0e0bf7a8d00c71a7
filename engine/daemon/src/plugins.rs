//! What is known of a plugin, for those who list and show them.

use std::path::PathBuf;

use flow_config::Manifest;
use flow_host::{Plugin, signature};

/// Where a plugin comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PluginOrigin {
    /// Inside the binary.
    Shipped,
    /// A file.
    File(PathBuf),
}

/// What is known of a plugin.
#[derive(Debug, Clone)]
pub struct PluginInfo {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Where it comes from.
    pub origin: PluginOrigin,
    /// Bytes of the component.
    pub size: u64,
    /// SHA-256 of the component, hex.
    pub sha256: String,
    /// The id of the key that a signature beside its file says it was made with, unchecked.
    pub signed_by: Option<String>,
    /// What it asks for, in words: `connect`, `http (by wasi:http)`.
    pub asks: Vec<&'static str>,
    /// Interfaces of the contract it imports, and `wasi:http`: its request.
    pub imports: Vec<String>,
    /// The version of the contract it was made for.
    pub contract: String,
}

impl PluginInfo {
    pub(crate) fn new(plugin: &Plugin, origin: PluginOrigin) -> Self {
        let signed_by = match &origin {
            PluginOrigin::File(path) => signature::found(path),
            PluginOrigin::Shipped => None,
        };
        Self {
            signed_by: signed_by.and_then(|text| signature::key_of(&text)),
            manifest: plugin.manifest().clone(),
            origin,
            size: plugin.size(),
            sha256: plugin.sha256().to_owned(),
            asks: plugin.asks(),
            imports: plugin.imports().to_vec(),
            contract: plugin.contract(),
        }
    }
}
