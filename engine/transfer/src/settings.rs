//! What a flow says about its transfers.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use flow_config::{FileEvents, Inflight, Proxies, SafeUrl, TlsRigour};

/// The options of a flow that transfers care about; the defaults are sr3's where it has one.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Longest that a connect, a read or a write may take without anything moving (`timeout`).
    pub timeout: Duration,
    /// Most items that are transferred at the same time, over all lanes (`concurrency`).
    pub overlap: usize,
    /// Bytes a second, over all lanes and in both directions (`byteRateMax`); none: as fast as it
    /// goes.
    pub byte_rate_max: Option<NonZeroU64>,
    /// Content of another length than announced is kept (`acceptSizeWrong`).
    pub accept_size_wrong: bool,
    /// Larger content is rejected, also when only its transfer shows how large it is
    /// (`fileSizeMax`).
    pub file_size_max: Option<NonZeroU64>,
    /// Connections that may break within one try before the message goes to retry; each time the
    /// transfer goes on where it was, if the protocol can.
    pub resumes: u32,
    /// Bytes read at once, where a protocol has to be told (`bufSize`).
    pub buffer: usize,
    /// The mode of a file is carried over (`permCopy`).
    pub perm_copy: bool,
    /// The times of a file are carried over (`timeCopy`).
    pub time_copy: bool,
    /// Mode of files written elsewhere where none is carried over (`permDefault`); none: as the
    /// server has it.
    pub perm_default: Option<u32>,
    /// Mode of directories made elsewhere (`permDirDefault`).
    pub perm_directory: Option<u32>,
    /// Files that are there already are replaced by uploads (`overwrite`).
    pub overwrite: bool,
    /// How unfinished uploads are named (`inflight`).
    pub inflight: Inflight,
    /// Uploads to `file:` are flushed to the disk before they count as done (`fsync`).
    pub fsync: bool,
    /// Of the times in listings that do not say theirs (`timezone`).
    pub timezone: jiff::tz::TimeZone,
    /// Sources are removed once what came of them is safe (`delete`).
    pub delete: bool,
    /// Which file operations are carried out (`fileEvents`).
    pub file_events: FileEvents,
    /// `User-Agent` of HTTP (`httpUserAgent`).
    pub user_agent: String,
    /// Characters of paths that are not percent-encoded beside letters, digits and `-._~`
    /// (`httpsSafeQuote`).
    pub safe_quote: String,
    /// URLs the flow itself names: who refuses its login there makes it pause. What refuses a login
    /// elsewhere, where only a message led, costs that message a try.
    pub own_urls: Vec<SafeUrl>,
    /// Certificates.
    pub tls: Tls,
    /// Proxies of HTTP.
    pub proxies: Proxies,
    /// Keys and hosts of SSH.
    pub ssh: Ssh,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(300),
            overlap: 8,
            byte_rate_max: None,
            accept_size_wrong: false,
            file_size_max: None,
            resumes: 3,
            buffer: 1 << 20,
            perm_copy: true,
            time_copy: true,
            perm_default: None,
            perm_directory: None,
            overwrite: true,
            inflight: Inflight::Dot,
            fsync: true,
            timezone: jiff::tz::TimeZone::UTC,
            delete: false,
            file_events: FileEvents::default(),
            user_agent: concat!("flow/", env!("CARGO_PKG_VERSION")).into(),
            safe_quote: "/+".into(),
            own_urls: Vec::new(),
            tls: Tls::default(),
            proxies: Proxies::default(),
            ssh: Ssh::default(),
        }
    }
}

/// What the user of this machine has for SSH; nothing is looked for elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ssh {
    /// The keys of hosts, read and added to (`~/.ssh/known_hosts`); none: remembered while the flow
    /// runs.
    pub known_hosts: Option<PathBuf>,
    /// Private keys to try where a credential names neither key nor password
    /// (`~/.ssh/id_ed25519`, …); those missing are passed over.
    pub keys: Vec<PathBuf>,
    /// The socket of the agent (`SSH_AUTH_SOCK`).
    pub agent: Option<PathBuf>,
}

/// Which certificates of servers are good.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// `tlsRigour`.
    pub rigour: TlsRigour,
    /// More certificate authorities to trust, PEM (`caFile`).
    pub ca_file: Option<PathBuf>,
}
