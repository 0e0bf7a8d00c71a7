//! What a component imports and exports, compared with the contract before anything of it runs.
//!
//! Its imports are its request and its exports say what it does, so both are read from the
//! component itself. What this host lacks is refused here, in words, rather than by the linker.

use std::fmt;

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::error::Error;
use crate::imports::INTERFACES;
use crate::usage::ENTRIES;

/// The package of the contract.
const PACKAGE: &str = "flow:plugin/";
/// What a component imports that makes requests over `wasi:http`.
const HANDLER: &str = "wasi:http/outgoing-handler";
/// How people are told so: it is the other way to what the grant `http` is about.
pub(crate) const WASI_HTTP: &str = "wasi:http";
/// Its version as this host has it: what `plugins/wit` says.
pub(crate) const VERSION: Version = Version(0, 1, 0);
/// The versions this host runs plugins of, by their first two numbers: within each, functions and
/// interfaces are only added. An older one is added here together with bindings of its own.
const RUNS: [(u64, u64); 1] = [(0, 1)];

/// A version of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(u64, u64, u64);

impl Version {
    fn parse(text: &str) -> Option<Self> {
        // What follows a version before its release says nothing about its interfaces.
        let bare = text.split(['-', '+']).next()?;
        let mut numbers = bare.split('.').map(|number| number.parse().ok());
        let mut next = || numbers.next().flatten();
        let version = Self(next()?, next()?, next()?);
        next().is_none().then_some(version)
    }

    fn runs(self) -> bool {
        RUNS.contains(&(self.0, self.1))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// What a component imports and exports of the contract.
pub(crate) struct Surface {
    /// The interfaces of the contract it imports, and [`WASI_HTTP`], sorted.
    pub(crate) imports: Vec<String>,
    /// The entry points it exports, as flows and logs name them, sorted.
    pub(crate) entry_points: Vec<String>,
    /// The newest version of it that it names.
    pub(crate) version: Option<Version>,
    /// Versions of exports and imports that this host does not run, as they are written.
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
            version: None,
            other_versions: Vec::new(),
            foreign: Vec::new(),
            describes: false,
        };
        let ty = component.component_type();
        for (name, _) in ty.imports(engine) {
            match Interface::parse(name) {
                Interface::Ours(interface, version) => {
                    surface.imports.push(interface.to_owned());
                    surface.version = surface.version.max(Some(version));
                }
                Interface::OtherVersion(version) => surface.other_versions.push(version.to_owned()),
                Interface::Foreign if name.starts_with(HANDLER) => {
                    surface.imports.push(WASI_HTTP.to_owned());
                }
                Interface::Foreign if PROVIDED.iter().any(|known| name.starts_with(known)) => {}
                Interface::Foreign => surface.foreign.push(name.to_owned()),
            }
        }
        for (name, _) in ty.exports(engine) {
            match Interface::parse(name) {
                Interface::Ours(interface, version) => {
                    surface.version = surface.version.max(Some(version));
                    match interface {
                        "describe" => surface.describes = true,
                        interface => surface.entry_points.push(interface.replace('-', "_")),
                    }
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
        if let Some(written) = self.other_versions.first() {
            let what = if written.is_empty() {
                "no version".to_owned()
            } else {
                format!("version {written}")
            };
            let text = format!(
                "plugin `{origin}` was made for {what} of the plugin contract; this flow has version {VERSION}, which runs plugins made for {}",
                stands_in_for()
            );
            let error = Error::new("plugin/contract-version", text);
            return Err(match Version::parse(written) {
                Some(version) if version > VERSION => error.hint(upgrade),
                _ => error.hint("build the plugin anew against this version's plugin kit"),
            });
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
            .filter(|name| *name != WASI_HTTP && !INTERFACES.contains(&name.as_str()))
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
        if let Some(name) = self.entry_points.iter().find(|name| !is_called(name)) {
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

/// Whether the runtime calls what the contract's interface of this name has.
fn is_called(name: &str) -> bool {
    name == "lifecycle" || ENTRIES.contains(&name)
}

/// WASI 0.2 that is linked beside [`HANDLER`], most of it empty.
const PROVIDED: [&str; 7] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:http/types",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];

/// The versions that are as good as this one, for people.
fn stands_in_for() -> String {
    let versions: Vec<String> = RUNS
        .iter()
        .map(|(major, minor)| format!("every {major}.{minor}"))
        .collect();
    versions.join(" and ")
}

enum Interface<'a> {
    Ours(&'a str, Version),
    OtherVersion(&'a str),
    Foreign,
}

impl<'a> Interface<'a> {
    fn parse(name: &'a str) -> Self {
        let Some(rest) = name.strip_prefix(PACKAGE) else {
            return Self::Foreign;
        };
        let (interface, version) = rest.split_once('@').unwrap_or((rest, ""));
        match Version::parse(version) {
            Some(known) if known.runs() => Self::Ours(interface, known),
            _ => Self::OtherVersion(version),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Interface, VERSION, Version};

    #[test]
    fn the_version_is_that_of_the_files() {
        let package = include_str!("../../../plugins/wit/types.wit");
        let expected = format!("package flow:plugin@{VERSION};");
        assert!(
            package.contains(&expected),
            "`plugins/wit` is not {VERSION}"
        );
    }

    #[test]
    fn within_a_minor_version_all_are_ours() {
        for (name, ours) in [
            ("flow:plugin/log@0.1.0", true),
            // Newer than this host: it may do with what is here.
            ("flow:plugin/log@0.1.7", true),
            ("flow:plugin/log@0.1.0-rc.1", true),
            ("flow:plugin/log@0.2.0", false),
            ("flow:plugin/log@1.1.0", false),
            ("flow:plugin/log@0.0.9", false),
            ("flow:plugin/log@0.1", false),
            ("flow:plugin/log", false),
        ] {
            let found = matches!(Interface::parse(name), Interface::Ours("log", _));
            assert_eq!(found, ours, "{name}");
        }
        assert!(matches!(
            Interface::parse("wasi:io/poll@0.2.0"),
            Interface::Foreign
        ));
        assert!(Version::parse("0.10.0") > Version::parse("0.9.9"));
    }
}
