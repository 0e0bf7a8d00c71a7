//! Plugins for who reads flows: wasmtime is started when the first flow names one.
//!
//! A process whose flows have no plugins never pays for it, in memory, in time or in wake-ups.

use flow_config::{Artefact, Manifest, Plugins, Unsigned};

use crate::Engine;

/// The plugins of an engine.
pub(crate) struct Lazy<'a>(pub(crate) &'a Engine);

impl Plugins for Lazy<'_> {
    fn names(&self) -> Vec<String> {
        // Only asked to suggest one; that plugins can't run at all is said of the one that is named.
        self.0
            .catalogue()
            .map(|catalogue| catalogue.names())
            .unwrap_or_default()
    }

    fn manifest(&self, name: &str) -> Option<Result<Manifest, String>> {
        match self.0.catalogue() {
            Ok(catalogue) => catalogue.manifest(name),
            Err(error) => Some(Err(error.to_string())),
        }
    }

    fn artefact(&self, name: &str) -> Option<Artefact> {
        self.0.catalogue().ok()?.artefact(name)
    }

    fn signed(&self, name: &str, key: &str) -> Option<Result<(), Unsigned>> {
        self.0.catalogue().ok()?.signed(name, key)
    }
}
