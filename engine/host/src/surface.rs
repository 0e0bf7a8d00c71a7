//! What a component imports and exports, compared with the contract before anything of it runs.
//!
//! Its imports are its request and its exports say what it does, so both are read from the
//! component itself. What this host lacks is refused here, in words, rather than by the linker.

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::error::Error;
use crate::imports::INTERFACES;

/// The package of the contract, and its version as this host has it.
const PACKAGE: &str = "flow:plugin/";
pub(crate) const VERSION: &str = "0.1";

/// What a component imports and exports of the contract.
pub(crate) struct Surface {
    /// The interfaces of the contract it imports, sorted.
    pub(crate) imports: Vec<String>,
    /// The entry points it exports, as flows and logs name them, sorted.
    pub(crate) entry_points: Vec<String>,
    /// Exports and imports of another version of it.
    other_versions: Vec<String>,
    /// What it imports that is no part of it, and not WASI's either.
    foreign: Vec<String>,
    describes: bool,
}

impl Surface {
    pub(crate) fn of(component: &Component, engine: &Engine) -> Self {
        let mut surface = Self {
            imports: Vec::new(),
            entry_points: Vec::new(),
            other_versions: Vec::new(),
            foreign: Vec::new(),
            describes: false,
        };
        let ty = component.component_type();
        for (name, _) in ty.imports(engine) {
            match Interface::parse(name) {
                Interface::Ours(interface) => surface.imports.push(interface.to_owned()),
                Interface::OtherVersion(version) => surface.other_versions.push(version.to_owned()),
                Interface::Foreign if PROVIDED.iter().any(|known| name.starts_with(known)) => {}
                Interface::Foreign => surface.foreign.push(name.to_owned()),
            }
        }
        for (name, _) in ty.exports(engine) {
            match Interface::parse(name) {
                Interface::Ours("describe") => surface.describes = true,
                Interface::Ours(interface) => {
                    surface.entry_points.push(interface.replace('-', "_"));
                }
                Interface::OtherVersion(version) => surface.other_versions.push(version.to_owned()),
                Interface::Foreign => {}
            }
        }
        surface.imports.retain(|name| name != "types");
        surface.imports.sort();
        surface.imports.dedup();
        surface.entry_points.sort();
        surface.other_versions.sort();
        surface.other_versions.dedup();
        surface
    }

    /// Whether this host can run it; if not, what to do.
    pub(crate) fn check(&self, origin: &str) -> Result<(), Error> {
        let upgrade = "install a newer flow, or a version of the plugin made for this one";
        if let Some(version) = self.other_versions.first() {
            return Err(Error::new(
                "plugin/contract-version",
                format!("plugin `{origin}` was made for version {version} of the plugin contract; this flow understands {VERSION}"),
            )
            .hint(upgrade));
        }
        if !self.describes {
            return Err(Error::new(
                "plugin/no-description",
                format!("plugin `{origin}` does not describe itself"),
            )
            .note("it is a component, but does not export `flow:plugin/describe`")
            .hint("this is for the plugin's author to correct: export `describe`"));
        }
        let lacking: Vec<_> = self
            .imports
            .iter()
            .filter(|name| !INTERFACES.contains(&name.as_str()))
            .collect();
        if !lacking.is_empty() {
            return Err(lacking
                .iter()
                .fold(
                    Error::new(
                        "plugin/unsupported-import",
                        format!("plugin `{origin}` needs what this version of flow does not have"),
                    ),
                    |error, name| error.note(format!("it imports `{PACKAGE}{name}`")),
                )
                .hint(upgrade));
        }
        if let Some(name) = self.foreign.first() {
            return Err(Error::new("plugin/unsupported-import", format!("plugin `{origin}` needs `{name}`, which flow does not have"))
                .hint("this is for the plugin's author to correct: a plugin may import `flow:plugin` and WASI 0.2 only"));
        }
        if let Some(name) = self
            .entry_points
            .iter()
            .find(|name| !CALLED.contains(&name.as_str()))
        {
            return Err(Error::new(
                "plugin/unsupported-entry-point",
                format!(
                    "plugin `{origin}` exports `{name}`, which this version of flow does not call"
                ),
            )
            .hint(upgrade));
        }
        if self.entry_points.iter().all(|name| name == "lifecycle") {
            return Err(Error::new("plugin/no-entry-point", format!("plugin `{origin}` does nothing: it exports no entry point but `describe`"))
                .hint("this is for the plugin's author to correct: export `gather`, `after_accept`, `download`, `after_work`, …"));
        }
        Ok(())
    }
}

/// The entry points the runtime calls.
const CALLED: [&str; 11] = [
    "lifecycle",
    "gather",
    "wake",
    "settled",
    "after_accept",
    "download",
    "send",
    "after_work",
    "post",
    "request",
    "line",
];

/// WASI 0.2 packages that are linked, though empty.
const PROVIDED: [&str; 6] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];

enum Interface<'a> {
    Ours(&'a str),
    OtherVersion(&'a str),
    Foreign,
}

impl<'a> Interface<'a> {
    fn parse(name: &'a str) -> Self {
        let Some(rest) = name.strip_prefix(PACKAGE) else {
            return Self::Foreign;
        };
        let (interface, version) = rest.split_once('@').unwrap_or((rest, ""));
        // Within 0.1 functions and interfaces are only added.
        let compatible = version
            .strip_prefix(VERSION)
            .is_some_and(|patch| patch.starts_with('.'));
        if compatible {
            Self::Ours(interface)
        } else {
            Self::OtherVersion(version)
        }
    }
}
