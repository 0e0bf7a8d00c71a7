//! The validated flow: what a YAML file means, unable to be wrong.
//!
//! Built by [`load`](crate::load) and read by every layer above. Values are resolved (includes,
//! variables known at load time, defaults of the kind); what depends on the message or the clock
//! (`${%Y-%m-%d}`, `${1}`) is kept as a [`Template`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

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
    /// Consumes a queue, fetches, and posts if asked to.
    Subscribe,
    /// The bare engine: only what the file names.
    Flow,
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
    /// Pause between two gathers that found nothing more.
    pub sleep: Duration,
    /// Most messages in one pass.
    pub batch: usize,
    /// Most transfers at the same time in one worker.
    pub concurrency: usize,
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
    /// More certificate authorities to trust, PEM.
    pub ca_file: Option<PathBuf>,
    /// Fields set on every message posted, in order.
    pub header: Vec<(String, Template)>,
    /// Every option with its effective value and its origin, for `flow show`.
    pub settings: Vec<Setting>,
}

/// A queue bound to an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// `embedded:` or a broker's URL.
    pub broker: SafeUrl,
    /// The exchange bound to.
    pub exchange: String,
    /// The queue's name.
    pub queue: String,
    /// Complete binding patterns, topicPrefix included.
    pub bindings: Vec<String>,
    /// The queue goes away after being unused this long; zero: never.
    pub expire: Duration,
    /// Most unacknowledged messages held.
    pub prefetch: usize,
}

/// An exchange posted to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// `embedded:` or a broker's URL.
    pub broker: SafeUrl,
    /// The exchange posted to.
    pub exchange: String,
    /// First words of every topic.
    pub topic_prefix: String,
    /// Announced root; none: `file:` and `base_dir`, or the message's own where nothing is stored.
    pub base_url: Option<Template>,
    /// Prefix removed from a local path to get `relPath`.
    pub base_dir: Option<Template>,
}

/// Ordered rules and what follows for messages none of them matches.
#[derive(Debug, Clone, Default)]
pub struct Filters {
    /// First match decides.
    pub rules: Vec<Rule>,
    /// Fate of messages no rule matches.
    pub accept_unmatched: bool,
    /// Placement of messages accepted by no rule.
    pub placement: Placement,
}

/// One rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// As written, for traces.
    pub text: String,
    /// Anchored at the start, matched against `baseUrl/relPath`.
    pub regex: regex::Regex,
    /// Accept or reject.
    pub accept: bool,
    /// Where what it accepts goes.
    pub placement: Placement,
    /// `file:line` of the rule.
    pub origin: String,
}

/// Where content goes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Placement {
    /// Root; none: the directory the flow was started in.
    pub directory: Option<Template>,
    /// Whether the directories of relPath are reproduced below it.
    pub mirror: bool,
    /// Directories to drop from the front of relPath.
    pub strip: Strip,
    /// Joins what is left of relPath to one name; none: keep directories.
    pub flatten: Option<String>,
    /// The name to give; none: the last element of relPath.
    pub filename: Option<Template>,
}

/// What to drop from the front of relPath.
#[derive(Debug, Clone, Default)]
pub enum Strip {
    /// Nothing.
    #[default]
    None,
    /// This many elements, never the file name.
    Count(usize),
    /// The first match.
    Regex(regex::Regex),
}

impl PartialEq for Strip {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, Self::None) => true,
            (Self::Count(a), Self::Count(b)) => a == b,
            (Self::Regex(a), Self::Regex(b)) => a.as_str() == b.as_str(),
            _ => false,
        }
    }
}

/// A configured use of a plugin.
#[derive(Debug, Clone)]
pub struct CallbackSpec {
    /// The plugin's name.
    pub plugin: String,
    /// Every option of the plugin that is set or has a default, typed by its manifest.
    pub options: BTreeMap<String, OptionValue>,
    /// Which of the messages it derives go on, and where their content is stored; none: all,
    /// beside the message they come from.
    pub filters: Option<Filters>,
    /// Ceilings.
    pub limits: Limits,
    /// `file:line` of the entry.
    pub origin: String,
}

/// A plugin option's value, units resolved.
#[derive(Debug, Clone, PartialEq)]
pub enum OptionValue {
    /// Yes or no.
    Flag(bool),
    /// A whole number.
    Count(i64),
    /// Bytes.
    Size(u64),
    /// A time span.
    Duration(Duration),
    /// Text, URL, choice or regex.
    Text(String),
    /// Text that is never printed.
    Secret(crate::Secret),
    /// A list of any of these, as text.
    List(Vec<String>),
}

/// Ceilings of one callback instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest a guest may compute in one call; waiting for a peer does not count.
    pub deadline: Duration,
    /// Bytes of linear memory.
    pub memory: u64,
    /// Bytes a call may hand back in messages, edits and log lines.
    pub output: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30),
            memory: 64 << 20,
            output: 16 << 20,
        }
    }
}

/// What a flow allows beyond its own URLs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allow {
    /// `host:port`, `host:*`, or `*.domain:port`.
    pub connect: Vec<String>,
    /// As `connect`, for HTTP.
    pub http: Vec<String>,
    /// URLs whose credentials may be read.
    pub secrets: Vec<String>,
}

/// Suppression of duplicates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nodupe {
    /// How long a message is remembered.
    pub ttl: Duration,
    /// What makes two messages the same.
    pub basis: NodupeBasis,
}

/// What makes two messages the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodupeBasis {
    /// Identity and relPath.
    Path,
    /// Identity and file name.
    Name,
    /// Identity alone.
    Data,
    /// File name alone.
    NameOnly,
    /// relPath alone.
    PathOnly,
}

/// What becomes of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries before a message is given up; zero: no limit.
    pub attempts: u32,
    /// Age at which a message is given up; zero: never.
    pub ttl: Duration,
}

/// How unfinished content is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inflight {
    /// `name` + this suffix, beside the final name (sr3: `inflight .tmp`).
    Suffix(String),
    /// `.name.tmp`: hidden, beside the final name (sr3: `inflight .`). The default.
    Dot,
    /// Under the final name from the start.
    None,
}

/// Fingerprint computed while content streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityMethod {
    /// SHA-512, the default.
    Sha512,
    /// MD5, for old consumers.
    Md5,
    /// None.
    None,
}
