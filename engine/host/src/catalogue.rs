//! Every plugin there is: those the binary carries, and those in the user's plugin directory.
//!
//! Plugins are loaded when first asked for and kept. A file in the directory stands in for a
//! carried plugin of the same name, so that a newer one can be tried without a new binary.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use flow_config::{Artefact, Manifest, Plugins, Unsigned};

use crate::engine::Host;
use crate::error::Error;
use crate::plugin::{self, Plugin};
use crate::signature;

/// Bytes of a plugin file, at most: none of any use is larger.
const LARGEST: u64 = 256 << 20;

/// Plugins by name.
pub struct Catalogue {
    host: Host,
    carried: &'static [(&'static str, &'static [u8])],
    directory: Option<PathBuf>,
    loaded: Mutex<BTreeMap<String, Result<Arc<Plugin>, Error>>>,
}

/// Where a plugin comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The binary carries it.
    Carried,
    /// A file in the plugin directory.
    File(PathBuf),
}

impl Catalogue {
    /// Plugins from a binary's own table and from `directory`, which need not exist.
    pub fn new(
        host: Host,
        carried: &'static [(&'static str, &'static [u8])],
        directory: Option<PathBuf>,
    ) -> Self {
        Self {
            host,
            carried,
            directory,
            loaded: Mutex::default(),
        }
    }

    /// What runs them.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The plugin of that name; none: there is no such plugin. Loads it when first asked for.
    pub fn plugin(&self, name: &str) -> Option<Result<Arc<Plugin>, Error>> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = loaded.get(name) {
            return Some(known.clone());
        }
        let plugin = self.load(name, &self.source(name)?).map(Arc::new);
        loaded.insert(name.to_owned(), plugin.clone());
        Some(plugin)
    }

    /// Where the plugin of that name comes from.
    pub fn source(&self, name: &str) -> Option<Source> {
        if let Some((_, path)) = self.files().into_iter().find(|(known, _)| known == name) {
            return Some(Source::File(path));
        }
        self.carried
            .iter()
            .any(|(known, _)| *known == name)
            .then_some(Source::Carried)
    }

    fn load(&self, name: &str, source: &Source) -> Result<Plugin, Error> {
        match source {
            Source::Carried => {
                let bytes = self.carried_bytes(name);
                self.host
                    .load(name, bytes.expect("the source was found by this name"))
            }
            Source::File(path) => {
                let plugin = self.host.load(name, &read(path)?)?;
                if plugin.manifest().name == name {
                    return Ok(plugin);
                }
                let own = &plugin.manifest().name;
                let text = format!("the plugin in {} calls itself `{own}`", path.display());
                Err(Error::new("plugin/name", text)
                    .hint(format!("rename the file to `{own}.wasm`")))
            }
        }
    }

    /// The SHA-256 of the file behind the name, if it was signed with this key; none: there is no such
    /// plugin, or its file can't be read.
    pub(crate) fn verified(&self, name: &str, key: &str) -> Option<Result<String, Unsigned>> {
        let unsigned = |why, advice: &str| {
            Some(Err(Unsigned {
                key: false,
                why,
                advice: advice.to_owned(),
            }))
        };
        let source = self.source(name)?;
        if let Err(unsigned) = signature::public(key) {
            return Some(Err(unsigned));
        }
        let path = match source {
            Source::File(path) => path,
            Source::Carried => {
                return unsigned(
                    "it is inside this flow program, and has no signature of its own".to_owned(),
                    "leave `minisign` out here: whoever gave you the program gave you the plugin",
                );
            }
        };
        let bytes = read(&path).ok()?;
        let place = signature::beside(&path).display().to_string();
        let Some(signature) = signature::found(&path) else {
            return unsigned(
                format!("there is no signature in {place}"),
                "get it from the plugin's author; `flow plugin add FILE --minisign KEY` puts the one beside FILE there",
            );
        };
        let verified = signature::verify(key, &signature, &place, &bytes);
        Some(verified.map(|_| plugin::sha256(&bytes)))
    }

    fn carried_bytes(&self, name: &str) -> Option<&'static [u8]> {
        let mut carried = self.carried.iter();
        carried
            .find(|(known, _)| *known == name)
            .map(|(_, bytes)| *bytes)
    }

    /// The files in the directory by the names they stand for.
    fn files(&self) -> Vec<(String, PathBuf)> {
        let entries = self
            .directory
            .as_deref()
            .and_then(|directory| std::fs::read_dir(directory).ok());
        let paths = entries
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path());
        let named = |path: PathBuf| {
            let name = path.file_stem()?.to_str()?.replace('_', "-");
            (path.extension()? == "wasm").then_some((name, path))
        };
        let mut files: Vec<_> = paths.filter_map(named).collect();
        files.sort();
        files
    }

    pub(crate) fn unknown(&self, name: &str) -> Error {
        let names = self.names().join("`, `");
        Error::new("plugin/unknown", format!("there is no plugin `{name}`"))
            .note(format!("there are `{names}`"))
    }
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let unreadable = |why: String| {
        Error::new(
            "plugin/unreadable",
            format!("the plugin file {} can't be read: {why}", path.display()),
        )
    };
    let size = std::fs::metadata(path)
        .map_err(|error| unreadable(error.to_string()))?
        .len();
    if size > LARGEST {
        return Err(unreadable(format!(
            "it has {size} bytes, and a plugin has at most {LARGEST}"
        )));
    }
    std::fs::read(path).map_err(|error| unreadable(error.to_string()))
}

impl Plugins for Catalogue {
    fn names(&self) -> Vec<String> {
        let carried = self.carried.iter().map(|(name, _)| (*name).to_owned());
        let names: BTreeSet<String> = carried
            .chain(self.files().into_iter().map(|(name, _)| name))
            .collect();
        names.into_iter().collect()
    }

    fn manifest(&self, name: &str) -> Option<Result<Manifest, String>> {
        let plugin = self.plugin(name)?;
        Some(
            plugin
                .map(|plugin| plugin.manifest().clone())
                .map_err(|error| error.to_string()),
        )
    }

    fn artefact(&self, name: &str) -> Option<Artefact> {
        let source = self.source(name)?;
        // One that is loaded is what runs, whatever is in its place by now.
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let sha256 = match (loaded.get(name), &source) {
            (Some(Ok(plugin)), _) => plugin.sha256().to_owned(),
            (_, Source::Carried) => plugin::sha256(self.carried_bytes(name)?),
            (_, Source::File(path)) => plugin::sha256(&read(path).ok()?),
        };
        let place = match source {
            Source::Carried => "this flow program".to_owned(),
            Source::File(path) => path.display().to_string(),
        };
        Some(Artefact { sha256, place })
    }

    fn signed(&self, name: &str, key: &str) -> Option<Result<(), Unsigned>> {
        Some(self.verified(name, key)?.map(drop))
    }
}
