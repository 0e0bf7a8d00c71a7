//! YAML with spans → validated [`Flow`].
//!
//! Reading never touches the network, and reads no files but the flow's own, what it includes and
//! `credentials.conf`. The environment is passed in. Every finding of a file is reported at once,
//! with `file:line:col`, a stable code and a hint; a [`Flow`] can't be wrong.
//!
//! The way in is [`Source`]: a configuration directory and an environment. [`Source::load`] gives a
//! [`Flow`] with warnings, or a [`Report`], which is also this crate's error type. [`options`] is
//! the one declaration of every option; [`explain`] has a page for every code.
//!
//! What stands in a file is untrusted as far as printing goes: passwords of URLs, options that are
//! secret, and values of keys that sound like one, are masked in every finding.

mod build;
mod collect;
pub mod convert;
mod credentials;
pub mod document;
mod explain;
mod flow;
mod manifest;
mod mask;
mod name;
mod options;
mod overrides;
mod proxies;
mod report;
mod secret;
mod source;
mod suggest;
pub mod template;
mod units;
mod users;
mod variables;
mod yaml;

use std::fmt;

pub use credentials::{Credential, Credentials};
pub use explain::{codes, explain};
pub use flow::{
    Allow, Argument, Binding, CallbackSpec, Conditions, Declare, Digest, FileEvent, FileEvents,
    FilenameEncoding, Filters, Flow, FlowName, IdentityMethod, Inflight, InlineAs, InlinePolicy,
    Input, Kind, Limits, Listen, ListenHttp, Listing, LogEvents, LogLevel, LogOptions, Mqtt,
    Nodupe, NodupeBasis, OptionValue, Output, Pace, Placement, PostFormat, QueueType, RetryPolicy,
    Rule, Rules, Schedule, SizeRange, SourceStamp, Strip, Thresholds, TlsRigour, Transfer,
    user_of_exchange,
};
pub use manifest::{
    Artefact, CALLBACK_KEYS, Grant, Manifest, OptionKind, OptionSpec, Plugins, Unsigned,
};
pub use name::NameError;
pub use options::{Differs, OptionDoc, OptionType, option, options, page, sections};
pub use proxies::Proxies;
pub use report::{Excerpt, Finding, Report, Severity};
pub use secret::{SafeUrl, Secret};
pub use source::{Loaded, Source};
pub use template::Template;
pub use users::{BrokerUsers, Role, USERS_FILE};

/// One option with its effective value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The option's name; `callbacks[0].after` for an option of a callback.
    pub name: String,
    /// Its effective value as it would be written, secrets masked; `none` for unset.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// Where a value came from. Its `Display` is what `flow show` prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The option's own default.
    Default,
    /// The default of the flow's kind, or of what the flow is made of.
    Kind,
    /// Written at `file:line:col`.
    File(String),
    /// Written at `file:line:col` with variables of the environment.
    Environment {
        /// `file:line:col`.
        file: String,
        /// The variables, in order.
        names: Vec<String>,
    },
    /// `--set` on the command line.
    CommandLine,
}

impl Origin {
    /// Whether somebody wrote the value, here or elsewhere.
    pub fn is_written(&self) -> bool {
        !matches!(self, Self::Default | Self::Kind)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Kind => f.write_str("default of the kind"),
            Self::File(at) => f.write_str(at),
            Self::Environment { file, names } => {
                write!(f, "{file}, environment {}", names.join(", "))
            }
            Self::CommandLine => f.write_str(collect::COMMAND_LINE),
        }
    }
}
