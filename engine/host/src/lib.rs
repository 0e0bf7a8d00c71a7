//! Callbacks over wasmtime: plugins are components, run in a sandbox under limits.
//!
//! [`Host`] is the engine, [`Catalogue`] finds plugins by name, [`FlowPlugins`] makes the callback
//! instances of a flow. A plugin reaches nothing but what [`FlowPlugins`] gives it: no files, no
//! environment, no sockets of its own; connections, credentials, state and content go through the
//! host, which checks each call against the plugin's manifest and the flow's `allow`.
//!
//! # Invariants
//! - A guest can't block its thread: it yields every 10 ms, and waiting in the host is async.
//! - A guest that traps, loops or hoards fails the call it is in and nothing else.
//! - Nothing a guest returns is acted on before it was checked.
//! - This crate is the only one that knows wasmtime, and the only one with `unsafe` in it: to load
//!   compiled plugins from a directory nobody else can write to, and in generated code.
//!
//! Words: a *plugin* is the artefact, a *guest* a running instance of it, a *callback* its use in
//! one flow. *Granted* is what the manifest asks for and the flow allows.

mod asks;
mod bindings;
mod cache;
mod callback;
mod catalogue;
mod convert;
mod engine;
mod error;
mod factory;
mod grants;
mod imports;
mod instance;
mod journey;
mod manifest;
mod meter;
mod names;
mod outside;
mod plugin;
mod record;
mod redact;
mod replay;
mod secrets;
mod senses;
pub mod signature;
mod store;
mod surface;
mod tls;
mod trap;
mod upload;
mod usage;
mod voice;
mod web;

pub use asks::Asks;
pub use catalogue::{Catalogue, Source};
pub use engine::{Host, HostOptions};
pub use error::Error;
pub use factory::{FlowPlugins, Surroundings};
pub use outside::{
    Again, Failed, HttpRequest, HttpResponse, Outside, Peer, Place, Real, Senses, World,
};
pub use plugin::Plugin;
pub use record::{Recorder, Recording};
pub use replay::{Played, ReplayOptions, ReplaySummary, Session};
pub use secrets::{Credential, Secrets};
pub use store::Metrics;
pub use upload::Upload;
