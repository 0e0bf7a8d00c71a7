//! Writes plugins for `flow` in Rust.
//!
//! A plugin is a type. It implements one trait per entry point it has, and [`export!`] names them;
//! nothing else is exported, and the component imports only what the plugin calls.
//!
//! ```
//! use flow_plugin::{AfterAccept, Describe, Manifest, Message, Result, Verdict};
//!
//! /// Stops messages about temporary files.
//! #[derive(Default)]
//! struct NoTemporaries;
//!
//! impl Describe for NoTemporaries {
//!     fn describe() -> Manifest {
//!         flow_plugin::manifest("no-temporaries", "0.1.0", "stops messages about temporary files").build()
//!     }
//! }
//!
//! impl AfterAccept for NoTemporaries {
//!     fn after_accept(&mut self, batch: Vec<Message>) -> Result<Vec<Verdict>> {
//!         Ok(batch
//!             .iter()
//!             .map(|m| if m.rel_path.ends_with(".tmp") { Verdict::rejected(404, "temporary file") } else { Verdict::Keep })
//!             .collect())
//!     }
//! }
//!
//! flow_plugin::export!(NoTemporaries: Describe, AfterAccept);
//! # fn main() {}
//! ```
//!
//! A plugin with options or something to keep implements [`Lifecycle`] too: `start` returns the
//! value the other entry points get as `&mut self`. Without it, the type has to be `Default`.
//!
//! The crate also compiles for the machine it is built on; there, everything the host would do is
//! done by [`testing::Host`], so that a plugin's tests are ordinary `cargo test`.
//!
//! What it does not do: threads, timers, sockets. The host owns those; see [`Stream`].

#[doc(hidden)]
pub mod bindings;
mod content;
mod context;
mod entry;
mod export;
mod failure;
pub mod http;
mod manifest;
mod message;
mod stream;
mod sys;

pub mod log;
pub mod metrics;
pub mod naming;
pub mod secret;
pub mod state;
pub mod template;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod time;

pub use bindings::exports_describe::exports::flow::plugin::describe::{
    Grant, Manifest, OptionKind, OptionSpec,
};
pub use bindings::exports_download::exports::flow::plugin::download::Fetched;
pub use bindings::exports_gather::exports::flow::plugin::gather::Gathered;
pub use bindings::exports_lifecycle::exports::flow::plugin::lifecycle::Setting;
pub use bindings::exports_request::exports::flow::plugin::request::{HttpRequest, HttpResponse};
pub use bindings::exports_send::exports::flow::plugin::send::Sent;
pub use bindings::exports_settled::exports::flow::plugin::settled::{Fate, Outcome};
pub use bindings::imports::flow::plugin::types::{
    Edit, Failure, Header, Identity, Message, NewMessage, Rejection, TemporaryFailure, Value,
    Verdict, Waiting,
};
pub use content::{ContentReader, ContentWriter, create, derive, open};
pub use context::{Context, FromSetting, Options};
pub use entry::{
    AfterAccept, AfterWork, Describe, Download, Gather, Lifecycle, Line, Post, Request, Send,
    Settled, Wake,
};
pub use manifest::{ManifestBuilder, OptionBuilder, manifest, option};
pub use stream::{Security, Stream};
pub use sys::{submit, write_line};

#[doc(hidden)]
pub use bindings as __bindings;
#[doc(hidden)]
pub use context::context_from_raw as __context;

/// What entry points return.
pub type Result<T> = std::result::Result<T, Failure>;

/// Runs a future whose leaves are all ready at once, as everything over a [`Stream`] is: the host
/// suspends the whole instance instead of the future. A future that really waits for something
/// else (a timer, a channel) spins here for ever.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}
