//! Writes plugins for `flow` in Rust.
//!
//! A plugin is a type with one method per entry point it has; nothing else is exported, and the
//! component imports only what the plugin calls.
//!
//! ```
//! use flow_plugin::prelude::*;
//!
//! struct NoTemporaries {
//!     suffix: String,
//! }
//!
//! #[derive(Options)]
//! struct Settings {
//!     /// Names that end so are stopped.
//!     #[option(default = ".tmp")]
//!     suffix: String,
//! }
//!
//! #[plugin(summary = "stops messages about temporary files")]
//! impl NoTemporaries {
//!     fn start(settings: Settings) -> Self {
//!         Self { suffix: settings.suffix }
//!     }
//!
//!     fn after_accept(&mut self, message: &Message) -> Result<Verdict> {
//!         if message.rel_path.ends_with(&self.suffix) {
//!             return Ok(Verdict::rejected(404, "temporary file"));
//!         }
//!         Ok(Verdict::Keep)
//!     }
//! }
//! # fn main() {}
//! ```
//!
//! [`plugin`](macro@plugin) says what the attribute makes of which methods, [`OptionSet`] what a
//! field of a struct of options may be, [`Worklist`] how sr3's lists look here.
//!
//! Beneath the attribute are the traits of the entry points and [`export!`], which may also be
//! written by hand: the plugin's name, version and options are then in [`Describe`], and
//! [`Lifecycle::start`] returns the value the other entry points get as `&mut self`. Without it, the
//! type has to be `Default`.
//!
//! The crate also compiles for the machine it is built on; there, everything the host would do is
//! done by [`testing::Host`], so that a plugin's tests are ordinary `cargo test`.
//!
//! What it does not do: threads, timers, sockets. The host owns those; see [`Stream`].

// The macros name this crate as its users do.
extern crate self as flow_plugin;

#[doc(hidden)]
pub mod bindings;
mod content;
mod context;
mod entry;
mod export;
mod failure;
pub mod http;
mod inline;
mod manifest;
mod message;
mod options;
mod stream;
mod sys;
mod worklist;

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
/// Makes an enum the values of an option; see [`OptionSet`].
pub use flow_plugin_macros::Choice;
/// Makes a struct the options of a plugin; see [`OptionSet`].
pub use flow_plugin_macros::Options;
/// Exports the entry points that an `impl` block has methods for.
///
/// | Method | Entry point |
/// | --- | --- |
/// | `start(settings: S) -> Self` | makes the plugin; `S` is a struct with `#[derive(Options)]`, which the manifest then lists. Takes a [`Context`] as well, or instead; may return `Result<Self>` |
/// | `max_instances(&self) -> Option<u32>`, `housekeeping(&mut self) -> Result<()>`, `stop(&mut self)` | as in [`Lifecycle`] |
/// | `after_accept`, `after_work` | gets `&Message` and returns `Result<Verdict>`; or `Vec<Message>` and returns `Result<Vec<Verdict>>`; or `&mut Worklist` and returns `Result<()>` |
/// | `download`, `send`, `post` | gets `&Message` and returns `Result<Fetched>`, `Result<Sent>`, `Result<()>`; or `Vec<Message>` and returns `Result<Vec<…>>` |
/// | `gather(&mut self, limit: u32) -> Result<Gathered>`, `settled(&mut self, outcomes: Vec<Outcome>) -> Result<()>` | as in [`Gather`], [`Settled`] |
/// | `wake(&mut self, timeout: Duration) -> Result<bool>` | [`Wake`] |
/// | `request(&mut self, request: HttpRequest) -> Result<HttpResponse>` | [`Request`] |
/// | `line(&mut self, peer: u64, text: String) -> Result<()>`, `closed(&mut self, peer: u64) -> Result<()>` | [`Line`] |
///
/// Other methods are the plugin's own; one whose name is nearly that of an entry point, or sr3's
/// name of one, is refused, as it would never be called. Without `start`, the type has to be
/// `Default`. Where a method gets one message at a time, an error counts for that message alone.
///
/// Name, version and summary of the manifest are those of Cargo.toml, unless the attribute says
/// `name = …`, `version = …` or `summary = …`. It also says the manual, `doc =
/// include_str!("../README.md")`, what the plugin asks for, `grants(connect, http, secrets)`, and the
/// URL schemes it serves, `schemes("letter")`.
pub use flow_plugin_macros::plugin;
pub use manifest::{ManifestBuilder, OptionBuilder, manifest, option};
#[doc(hidden)]
pub use options::option_of;
pub use options::{OptionSet, OptionValue};
pub use stream::{Security, Stream};
pub use sys::{submit, write_line};
pub use worklist::Worklist;

/// What most plugins name: `use flow_plugin::prelude::*;`.
pub mod prelude {
    pub use crate::{
        Choice, Context, Edit, Failure, Fate, Fetched, Gathered, Header, HttpRequest, HttpResponse,
        Identity, Message, NewMessage, OptionSet, Options, Outcome, Rejection, Result, Security,
        Sent, Stream, Value, Verdict, Worklist, create, derive, http, log, metrics, open, plugin,
        secret, state, submit, write_line,
    };
}

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
