//! The validated flow: what a YAML file means, unable to be wrong.
//!
//! Built by [`Source::load`](crate::Source::load) and read by every layer above. Values are resolved
//! (includes, variables known at load time, defaults of the kind); what depends on the message or
//! the clock (`${%Y-%m-%d}`, `${1}`) is kept as a [`Template`].
//!
//! What belongs together is in one struct: what is consumed in [`Input`], what is posted in
//! [`Output`], how bytes move in [`Transfer`], how trees are read in [`Listing`].

mod callback;
mod content;
mod filters;
mod input;
mod listen;
mod output;
mod policy;
mod rules;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use callback::{Allow, CallbackSpec, Limits, OptionValue};
pub use content::{
    Digest, FileEvent, FileEvents, FilenameEncoding, IdentityMethod, Inflight, InlineAs,
    InlinePolicy, Listing, SourceStamp, Transfer, user_of_exchange,
};
pub use filters::{Conditions, Filters, Placement, Rule, SizeRange, Strip};
pub use input::{Argument, Binding, Declare, Input, Mqtt, QueueType, TlsRigour};
pub use listen::{Listen, ListenHttp};
pub use output::{Output, PostFormat};
pub use policy::{
    LogEvents, LogLevel, LogOptions, Nodupe, NodupeBasis, Pace, RetryPolicy, Schedule, Thresholds,
};
pub use rules::Rules;

use crate::template::Template;
use crate::{SafeUrl, Setting};

/// `kind/name`, unique in a configuration directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowName {
    /// The preset the flow starts from.
    pub kind: Kind,
    /// The file's name without `.yaml`.
    pub name: String,
}

/// A preset: defaults and built-in stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Asks an origin what is new and announces it.
    Poll,
    /// Announces paths named once, and ends.
    Post,
    /// Announces what happens to files as it happens.
    Watch,
    /// Consumes a queue, fetches, and posts if asked to.
    Subscribe,
    /// Consumes a queue, fetches below the same directories, and posts where it is now.
    Sarra,
    /// Consumes a queue of local files and sends them to a server.
    Sender,
    /// Consumes a queue and posts elsewhere, moving no content.
    Shovel,
    /// Consumes a queue and posts only what it has not seen before.
    Winnow,
    /// The bare engine: only what the file names.
    Flow,
}

impl Kind {
    /// Whether flows of this kind live on a queue, and are nothing without one.
    pub fn consumes(self) -> bool {
        matches!(
            self,
            Self::Subscribe | Self::Sarra | Self::Sender | Self::Shovel | Self::Winnow
        )
    }

    /// Whether a flow of this kind ends by itself when it has gathered everything.
    pub fn ends(self) -> bool {
        self == Self::Post
    }
}

/// One configured pipeline.
#[derive(Debug, Clone)]
pub struct Flow {
    /// Its name.
    pub name: FlowName,
    /// The file it was read from.
    pub file: PathBuf,
    /// Where messages come from when they come from a broker.
    pub input: Option<Input>,
    /// Where messages go when they go to a broker.
    pub output: Option<Output>,
    /// What a poll asks; without a password.
    pub poll_url: Option<SafeUrl>,
    /// Where messages come in from outside.
    pub listen: Option<Listen>,
    /// Where content is sent; without a password. Placement says which directory there.
    pub send_to: Option<SafeUrl>,
    /// What a post or watch announces, and what a poll lists: files and directories.
    pub paths: Vec<Template>,
    /// Root of the local tree: removed from paths that are placed, and where a sender finds files.
    pub base_dir: Option<Template>,
    /// Pause between two gathers that found nothing more.
    pub sleep: Duration,
    /// When a flow gathers that does so on a schedule.
    pub schedule: Schedule,
    /// Most messages in one pass.
    pub batch: usize,
    /// Most transfers at the same time in one worker.
    pub concurrency: usize,
    /// Workers that share the queue.
    pub instances: usize,
    /// Limits of how much it does.
    pub pace: Pace,
    /// The flow works only while this machine has one of these addresses; empty: always.
    pub vip: Vec<IpAddr>,
    /// Whether content is fetched.
    pub download: bool,
    /// What to do with messages before the work.
    pub filters: Filters,
    /// In the order they run.
    pub callbacks: Vec<CallbackSpec>,
    /// What the flow allows its plugins beyond the hosts of its own URLs.
    pub allow: Allow,
    /// Every URL written in the flow's options (of the flow and of its callbacks).
    pub own_urls: Vec<SafeUrl>,
    /// Suppression of duplicates, if any.
    pub nodupe: Option<Nodupe>,
    /// What becomes of failures.
    pub retry: RetryPolicy,
    /// Interval of upkeep.
    pub housekeeping: Duration,
    /// Longest that one read, write or connect may take.
    pub timeout: Duration,
    /// Older messages are rejected; zero: no limit.
    pub message_age_max: Duration,
    /// Data modified longer ago is rejected; zero: no limit.
    pub file_age_max: Duration,
    /// Data modified more recently waits in retry; zero: no limit.
    pub file_age_min: Duration,
    /// Larger data is rejected; zero: no limit.
    pub file_size_max: u64,
    /// Events that are announced, or carried out; others are rejected with 202.
    pub events: FileEvents,
    /// How unfinished content is named.
    pub inflight: Inflight,
    /// Fingerprint computed while content streams.
    pub identity: IdentityMethod,
    /// Whether existing files are replaced.
    pub overwrite: bool,
    /// Whether content is flushed to the disk before its message counts as done.
    pub fsync: bool,
    /// Permission bits of files written here.
    pub perm_default: u32,
    /// Permission bits of directories made here.
    pub perm_dir_default: u32,
    /// How content is moved otherwise.
    pub transfer: Transfer,
    /// How trees of files are read.
    pub listing: Listing,
    /// Which content travels in messages; none: no content.
    pub inline: Option<InlinePolicy>,
    /// The field `rename` of messages made here: the path to store under.
    pub rename: Option<Template>,
    /// Where the field `source` comes from.
    pub source: SourceStamp,
    /// More certificate authorities to trust, PEM.
    pub ca_file: Option<PathBuf>,
    /// Fields set on every message posted, in order.
    pub header: Vec<(String, Template)>,
    /// What the flow says while it works.
    pub log: LogOptions,
    /// From when on it counts as unwell.
    pub thresholds: Thresholds,
    /// Every option with its effective value and its origin, for `flow show`.
    pub settings: Vec<Setting>,
}

impl Flow {
    /// A flow with the defaults of its kind and nothing else: no queue, no exchange, no callbacks.
    /// For tests and for flows that are made, not read.
    pub fn new(name: FlowName) -> Self {
        let mut flow = crate::build::defaults(&name);
        flow.name = name;
        flow
    }

    /// What each callback is called where its flow keeps something for it or counts what it uses: as
    /// its plugin, with `#2` for the second use of a plugin, and so on.
    pub fn callback_names(&self) -> Vec<String> {
        let uses = |index: usize| {
            let plugin = &self.callbacks[index].plugin;
            let before = &self.callbacks[..index];
            let before = before.iter().filter(|other| other.plugin == *plugin);
            match before.count() {
                0 => plugin.clone(),
                count => format!("{plugin}#{}", count + 1),
            }
        };
        (0..self.callbacks.len()).map(uses).collect()
    }

    /// Whether somebody wrote the option down.
    pub fn is_written(&self, option: &str) -> bool {
        let setting = self.settings.iter().find(|setting| setting.name == option);
        setting.is_some_and(|setting| setting.origin.is_written())
    }
}
