//! What the host gives to guests, one module per interface of `imports.wit`.

pub(crate) mod connection;
pub(crate) mod content;
mod failure;
pub(crate) mod http;
mod lines;
mod log;
mod metrics;
mod secret;
mod state;
mod submit;
pub(crate) mod wasi_http;

use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker};

use crate::bindings::flow::plugin;
use crate::store::Guest;

/// The interfaces of `flow:plugin` this version of the host implements.
pub(crate) const INTERFACES: [&str; 10] = [
    "types",
    "log",
    "metrics",
    "connection",
    "http",
    "state",
    "content",
    "secret",
    "submit",
    "lines",
];

/// Everything a guest may link to. What it may do with it is decided call by call.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    plugin::types::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    plugin::log::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    plugin::metrics::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    plugin::connection::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    plugin::http::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    plugin::submit::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    plugin::lines::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    plugin::state::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    plugin::content::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    content::link_write(&mut linker)?;
    plugin::secret::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    Ok(linker)
}

impl plugin::types::Host for Guest {}
