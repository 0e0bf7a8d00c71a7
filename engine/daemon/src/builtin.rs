//! The callbacks every engine has: transfers, polls of listings, watch and post.
//!
//! They stand behind the plugins of a flow in its chain, so that a plugin that claims a scheme goes
//! first. The loop sees them under names no plugin can have.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use flow_config::template::Context;
use flow_config::{
    CallbackSpec, Credentials, Digest as ConfigDigest, FileEvent, Flow, IdentityMethod, Kind,
    Limits, Proxies,
};
use flow_local::{
    Announcing, Digest, FileEvents, Naming, OnStart, Post, PostOptions, Watch, WatchOptions, Xattr,
};
use flow_runtime::ports::{Callback, CallbackFactory, Clock, Failure};
use flow_transfer::{Carrier, PollOptions, Settings, Ssh, Tls};

use crate::posting::Paths;

/// One of the built-in callbacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Builtin {
    Watch,
    Post,
    Poll,
    Upload,
    Download,
}

impl Builtin {
    /// Its name in the loop. A plugin's name has no brackets.
    fn name(self) -> &'static str {
        match self {
            Self::Watch => "(watch)",
            Self::Post => "(post)",
            Self::Poll => "(poll)",
            Self::Upload => "(upload)",
            Self::Download => "(download)",
        }
    }
}

/// What plugins of a flow do themselves, so that nothing built in does.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Taken {
    /// One asks `pollUrl`.
    pub(crate) gathers: bool,
    /// One delivers to `sendTo`.
    pub(crate) sends: bool,
}

/// The plugins of a flow, and behind them what is built in.
pub(crate) struct Chain {
    plugins: Option<Arc<dyn CallbackFactory>>,
    /// What is posted, in place of the flow's `path`; taken by the one that posts it.
    given: Mutex<Option<Paths>>,
    /// How many plugins there are.
    count: usize,
    builtins: Vec<Builtin>,
    flow: Arc<Flow>,
    carrier: Carrier,
    clock: Arc<dyn Clock>,
}

impl Chain {
    /// The chain of `flow`, whose plugins `plugins` makes; and the flow as the loop is to see it.
    ///
    /// # Errors
    /// An option can't be used here.
    pub(crate) fn new(
        flow: &Flow,
        plugins: Option<Arc<dyn CallbackFactory>>,
        given: Option<Paths>,
        taken: Taken,
        credentials: Credentials,
        variables: &BTreeMap<String, String>,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Arc<Flow>), Failure> {
        let mut builtins = Vec::new();
        match flow.name.kind {
            Kind::Watch => builtins.push(Builtin::Watch),
            Kind::Post => builtins.push(Builtin::Post),
            _ => {}
        }
        if flow.poll_url.is_some() && !taken.gathers {
            builtins.push(Builtin::Poll);
        }
        if flow.send_to.is_some() {
            builtins.extend((!taken.sends).then_some(Builtin::Upload));
        } else if flow.download {
            builtins.push(Builtin::Download);
        }
        let mut seen = flow.clone();
        let count = seen.callbacks.len();
        seen.callbacks
            .extend(builtins.iter().map(|builtin| CallbackSpec {
                plugin: builtin.name().to_owned(),
                options: BTreeMap::new(),
                filters: None,
                limits: Limits::default(),
                sha256: None,
                minisign: None,
                pins: Vec::new(),
                origin: flow.file.display().to_string(),
            }));
        let carrier = Carrier::new(settings(flow, variables)?, Arc::new(credentials));
        let seen = Arc::new(seen);
        let chain = Self {
            plugins,
            given: Mutex::new(given),
            count,
            builtins,
            flow: Arc::clone(&seen),
            carrier,
            clock,
        };
        Ok((chain, seen))
    }

    fn make(&self, builtin: Builtin) -> Result<Box<dyn Callback>, Failure> {
        let flow = &self.flow;
        Ok(match builtin {
            Builtin::Watch => {
                let mut options = WatchOptions::new(self.paths()?, self.announcing()?);
                options.name = builtin.name().to_owned();
                options.force_polling = flow.listing.force_polling;
                if flow.listing.post_on_start {
                    options.on_start = OnStart::Everything;
                }
                Box::new(Watch::new(options)?)
            }
            Builtin::Post => {
                let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
                let paths: Paths = match given.take() {
                    Some(paths) => paths,
                    None => Box::new(self.paths()?.into_iter().map(Ok)),
                };
                Box::new(Post::new(PostOptions {
                    name: builtin.name().to_owned(),
                    paths,
                    announcing: self.announcing()?,
                }))
            }
            Builtin::Poll => {
                let url = flow
                    .poll_url
                    .as_ref()
                    .ok_or_else(|| Failure::Config("there is no `pollUrl`".into()))?;
                let options = PollOptions {
                    paths: flow
                        .paths
                        .iter()
                        .map(|path| path.render(&self.context()))
                        .collect(),
                    recursive: flow.listing.recursive,
                    follow_symlinks: flow.listing.follow_symlinks,
                    mode_min: flow.listing.perm_min,
                    ..PollOptions::default()
                };
                Box::new(self.carrier.poll(url, options)?)
            }
            Builtin::Upload => {
                let url = flow
                    .send_to
                    .as_ref()
                    .ok_or_else(|| Failure::Config("there is no `sendTo`".into()))?;
                Box::new(self.carrier.uploader(url)?)
            }
            Builtin::Download => Box::new(self.carrier.downloader(&[])),
        })
    }

    fn context(&self) -> Context<'static> {
        Context {
            now: self.clock.now(),
            message: None,
            groups: &[],
        }
    }

    fn paths(&self) -> Result<Vec<PathBuf>, Failure> {
        let here = std::env::current_dir().map_err(|error| Failure::Config(error.to_string()))?;
        let context = self.context();
        let rendered = self.flow.paths.iter().map(|path| path.render(&context));
        Ok(rendered.map(|path| here.join(path)).collect())
    }

    fn announcing(&self) -> Result<Announcing, Failure> {
        let flow = &self.flow;
        let context = self.context();
        let output = flow.output.as_ref();
        let render = |template: &flow_config::Template| template.render(&context);
        let base_url = output
            .and_then(|output| output.base_url.as_ref())
            .map(render);
        let base_dir = output
            .and_then(|output| output.base_dir.as_ref())
            .map(render);
        let naming = Naming::new(base_url.as_deref(), base_dir.as_deref().map(Path::new))
            .map_err(|error| Failure::Config(error.to_string()))?;
        let mut announcing = Announcing::new(naming);
        announcing.digest = match &flow.identity {
            IdentityMethod::Sha512 => Digest::Sha512,
            IdentityMethod::Md5 => Digest::Md5,
            IdentityMethod::Random => Digest::Random,
            IdentityMethod::Arbitrary(text) => Digest::Arbitrary(text.clone()),
            IdentityMethod::Cod(method) => Digest::OnDownload(
                match method {
                    ConfigDigest::Sha512 => "sha512",
                    ConfigDigest::Md5 => "md5",
                }
                .into(),
            ),
            IdentityMethod::None => Digest::None,
        };
        announcing.xattr = Xattr::Read;
        announcing.events = FileEvents {
            create: flow.events.contains(FileEvent::Create),
            delete: flow.events.contains(FileEvent::Delete),
            link: flow.events.contains(FileEvent::Link),
            mkdir: flow.events.contains(FileEvent::Mkdir),
            modify: flow.events.contains(FileEvent::Modify),
            rename: flow.events.contains(FileEvent::Rename),
            rmdir: flow.events.contains(FileEvent::Rmdir),
        };
        announcing.follow_symlinks = flow.listing.follow_symlinks;
        announcing.real_path = flow.listing.realpath_post;
        announcing.file_age_min = flow.file_age_min;
        announcing.file_age_max = flow.file_age_max;
        announcing.randomize = flow.listing.randomize;
        Ok(announcing)
    }
}

#[async_trait]
impl CallbackFactory for Chain {
    async fn create(&self, index: usize, instance: u32) -> Result<Box<dyn Callback>, Failure> {
        match index.checked_sub(self.count) {
            None => match &self.plugins {
                Some(plugins) => plugins.create(index, instance).await,
                None => Err(Failure::Config("the flow has no plugins".into())),
            },
            Some(place) => self.make(self.builtins[place]),
        }
    }
}

fn settings(flow: &Flow, variables: &BTreeMap<String, String>) -> Result<Settings, Failure> {
    let transfer = &flow.transfer;
    let defaults = Settings::default();
    let timezone = jiff::tz::TimeZone::get(&flow.listing.timezone).map_err(|error| {
        Failure::Config(format!(
            "`timezone: {}` is not known here: {error}",
            flow.listing.timezone
        ))
    })?;
    let some = |bits: u32| (bits != 0).then_some(bits);
    Ok(Settings {
        timeout: flow.timeout,
        overlap: flow.concurrency,
        byte_rate_max: NonZeroU64::new(transfer.byte_rate_max),
        accept_size_wrong: transfer.accept_size_wrong,
        file_size_max: NonZeroU64::new(flow.file_size_max),
        buffer: transfer.buf_size,
        perm_copy: transfer.perm_copy,
        time_copy: transfer.time_copy,
        perm_default: some(flow.perm_default),
        perm_directory: some(flow.perm_dir_default),
        overwrite: flow.overwrite,
        inflight: flow.inflight.clone(),
        fsync: flow.fsync,
        timezone,
        delete: transfer.delete_source,
        file_events: flow.events,
        user_agent: transfer
            .http_user_agent
            .clone()
            .unwrap_or_else(|| defaults.user_agent.clone()),
        safe_quote: transfer.https_safe_quote.clone(),
        tls: Tls {
            rigour: transfer.tls,
            ca_file: flow.ca_file.clone(),
        },
        own_urls: flow.own_urls.clone(),
        proxies: Proxies::of_variables(variables),
        ssh: ssh(variables),
        ..defaults
    })
}

/// Host keys, keys and agent of the user who runs the flow, as `ssh` finds them.
fn ssh(variables: &BTreeMap<String, String>) -> Ssh {
    const KEYS: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];
    let set = |name: &str| variables.get(name).filter(|value| !value.is_empty());
    let home = set("HOME").map(|home| Path::new(home).join(".ssh"));
    let keys = home.iter().flat_map(|home| KEYS.map(|key| home.join(key)));
    Ssh {
        keys: keys.filter(|key| key.is_file()).collect(),
        known_hosts: home.as_ref().map(|home| home.join("known_hosts")),
        agent: set("SSH_AUTH_SOCK").map(PathBuf::from),
    }
}
