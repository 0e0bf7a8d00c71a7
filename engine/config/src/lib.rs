//! YAML with spans → validated [`Flow`].
//!
//! Reading never touches the network, and reads no files but the flow's own, what it includes and
//! `credentials.conf`. The environment is passed in. Every finding of a file is reported at once,
//! with `file:line:col`, a stable code and a hint; a [`Flow`] can't be wrong.

mod flow;
mod manifest;
mod secret;
pub mod template;

pub use flow::{
    Allow, CallbackSpec, Filters, Flow, FlowName, IdentityMethod, Inflight, Input, Kind, Limits,
    Nodupe, NodupeBasis, OptionValue, Output, Placement, RetryPolicy, Rule, Strip,
};
pub use manifest::{Grant, Manifest, OptionKind, OptionSpec, Plugins};
pub use secret::{SafeUrl, Secret};
pub use template::Template;

/// One option with its effective value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The option's name; `callbacks[0].after` for an option of a callback.
    pub name: String,
    /// Its effective value, secrets masked.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The option's own default.
    Default,
    /// The default of the flow's kind.
    Kind,
    /// Written at `file:line:col`.
    File(String),
    /// `--set` on the command line.
    CommandLine,
}
