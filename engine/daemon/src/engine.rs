//! One configuration directory, its state, and everything that can be done with both.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use flow_broker::embedded::QueueStatus;
use flow_config::{CallbackSpec, Flow, FlowName, Kind, Plugins, Proxies, Report, Source};
use flow_host::{
    Asks, Catalogue, FlowPlugins, Host, HostOptions, Recording, Source as PluginSource,
    Surroundings, World,
};
use flow_listen::Doors;
use flow_runtime::ports::{CallbackFactory, Clock, Event, Observer};
use flow_runtime::{Drain, Links, Options, Ports, Store, Summary, SystemClock, Worker};

use crate::Error;
use crate::brokers::{Brokers, open_embedded};
use crate::builtin::{Chain, Taken};
use crate::debug::Debugging;
use crate::embedded::Place;
use crate::entrances::{self, Out, Outside};
use crate::lazy::Lazy;
use crate::plugins::{PluginInfo, PluginOrigin};
use crate::posting::Paths;
use crate::secrets::{self, FileSecrets};
use crate::{unready, upkeep, vip};

/// Where things are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directories {
    /// Flows, credentials, plugins.
    pub config: PathBuf,
    /// Stores and the embedded broker.
    pub state: PathBuf,
    /// What can be made again.
    pub cache: PathBuf,
}

/// How to run a flow.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunOptions {
    /// Stop when there is nothing more to do.
    pub once: bool,
    /// Only look.
    pub dry_run: bool,
}

/// What a run takes besides its flow.
pub(crate) struct Running {
    pub(crate) store: Store,
    /// In place of those the flow names.
    pub(crate) paths: Option<Paths>,
    /// It is the helper of the program that started this process, and writes here.
    pub(crate) helper: Option<Out>,
    pub(crate) debugging: Debugging,
}

/// The engine over one set of directories. Cheap to clone; starts nothing before it is asked to.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    directories: Directories,
    source: Source,
    builtin: &'static [(&'static str, &'static [u8])],
    embedded: Place,
    doors: Doors,
    // Starting wasmtime takes a moment that `flow list` should not pay.
    catalogue: OnceLock<Result<Catalogue, flow_host::Error>>,
    /// What was said of plugins that are not shipped, and in which flow.
    introduced: Arc<Mutex<BTreeSet<(String, Asks)>>>,
}

impl Running {
    /// With a store, and nothing else.
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            paths: None,
            helper: None,
            debugging: Debugging::default(),
        }
    }
}

impl Engine {
    /// Over these directories, which may not exist yet; `variables` stand for the environment, and
    /// `builtin` are the shipped plugins by name.
    pub fn new(
        directories: Directories,
        variables: BTreeMap<String, String>,
        builtin: &'static [(&'static str, &'static [u8])],
    ) -> Self {
        let source = Source::new(&directories.config, variables);
        let inner = Inner {
            directories,
            source,
            builtin,
            embedded: Place::default(),
            doors: Doors::default(),
            catalogue: OnceLock::new(),
            introduced: Arc::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The same, with every plugin to be read again.
    pub fn fresh(&self) -> Self {
        let inner = Inner {
            directories: self.inner.directories.clone(),
            source: self.inner.source.clone(),
            builtin: self.inner.builtin,
            embedded: self.inner.embedded.clone(),
            doors: self.inner.doors.clone(),
            catalogue: OnceLock::new(),
            introduced: Arc::clone(&self.inner.introduced),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Where things are.
    pub fn directories(&self) -> &Directories {
        &self.inner.directories
    }

    /// The configuration, for what needs no plugin.
    pub fn source(&self) -> &Source {
        &self.inner.source
    }

    /// Where the flows of this process find the embedded broker.
    pub(crate) fn embedded(&self) -> &Place {
        &self.inner.embedded
    }

    pub(crate) fn catalogue(&self) -> Result<&Catalogue, Error> {
        let inner = &self.inner;
        let made = inner.catalogue.get_or_init(|| {
            let cache_dir = Some(inner.directories.cache.join("compiled"));
            let host = Host::with_proxies(
                HostOptions { cache_dir },
                Proxies::of_variables(&inner.source.env),
            )?;
            let directory = inner.directories.config.join("plugins");
            Ok(Catalogue::new(host, inner.builtin, Some(directory)))
        });
        made.as_ref().map_err(|error| error.clone().into())
    }

    /// The flows in the configuration directory, sorted.
    ///
    /// # Errors
    /// The directory is there but can't be read.
    pub fn flow_files(&self) -> Result<Vec<FlowName>, Error> {
        let flows = self.inner.source.flows();
        flows.map_err(|(path, source)| Error::File { path, source })
    }

    /// Reads a flow that is to start, and whether its passwords are there; `set` are `option=value`
    /// from the command line.
    ///
    /// # Errors
    /// [`Error::Findings`] with everything that is wrong with it or with `credentials.conf`.
    pub fn load(&self, name: &FlowName, set: &[(String, String)]) -> Result<(Flow, Report), Error> {
        let loaded = self.read(name, set);
        let credentials = self.inner.source.credentials();
        let found = match (&loaded, credentials) {
            (Ok((flow, _)), Ok(credentials)) => {
                let mut found = unready::found(flow);
                found.extend(secrets::missing(flow, &Lazy(self), &credentials));
                found
            }
            (_, Err(report)) => report,
            (Err(_), Ok(_)) => Report::default(),
        };
        if found.is_empty() {
            return loaded;
        }
        let mut all = match loaded {
            Ok((_, warnings)) => warnings,
            Err(Error::Findings(report)) => report,
            Err(error) => return Err(error),
        };
        all.extend(found);
        Err(Error::Findings(all))
    }

    /// Reads a flow to look at it, whether or not its passwords are there.
    ///
    /// # Errors
    /// [`Error::Findings`] with everything that is wrong with it.
    pub fn read(&self, name: &FlowName, set: &[(String, String)]) -> Result<(Flow, Report), Error> {
        let loaded = self
            .inner
            .source
            .load(name, &Lazy(self), set)
            .map_err(Error::Findings)?;
        Ok((loaded.flow, loaded.warnings))
    }

    /// Everything known of all plugins that load; those that do not are left out with a warning.
    ///
    /// # Errors
    /// Plugins can't run here at all.
    pub fn plugins(&self) -> Result<Vec<PluginInfo>, Error> {
        let catalogue = self.catalogue()?;
        let mut plugins = Vec::new();
        for name in catalogue.names() {
            match self.carried_plugin(&name) {
                Ok(plugin) => plugins.push(plugin),
                Err(error) => tracing::warn!("plugin `{name}` can't be loaded: {error}"),
            }
        }
        Ok(plugins)
    }

    /// Everything known of one plugin, by its name or the path of a `.wasm` file.
    ///
    /// # Errors
    /// There is none, or it can't be loaded.
    pub fn plugin(&self, name_or_file: &str) -> Result<PluginInfo, Error> {
        let path = Path::new(name_or_file);
        if path.extension().is_none_or(|extension| extension != "wasm") {
            return self.carried_plugin(name_or_file);
        }
        let bytes = std::fs::read(path).map_err(|source| Error::File {
            path: path.to_owned(),
            source,
        })?;
        self.plugin_of(name_or_file, &bytes)
    }

    /// Everything known of a plugin that is these bytes; `from` is where they came from.
    ///
    /// # Errors
    /// They are no plugin that can be loaded.
    pub fn plugin_of(&self, from: &str, bytes: &[u8]) -> Result<PluginInfo, Error> {
        let plugin = self.catalogue()?.host().load(from, bytes)?;
        Ok(PluginInfo::new(&plugin, PluginOrigin::File(from.into())))
    }

    fn carried_plugin(&self, name: &str) -> Result<PluginInfo, Error> {
        let catalogue = self.catalogue()?;
        let unknown = || Error::NoPlugin {
            name: name.to_owned(),
            known: catalogue.names(),
        };
        let origin = match catalogue.source(name).ok_or_else(unknown)? {
            PluginSource::Carried => PluginOrigin::Shipped,
            PluginSource::File(path) => PluginOrigin::File(path),
        };
        let plugin = catalogue.plugin(name).ok_or_else(unknown)??;
        Ok(PluginInfo::new(&plugin, origin))
    }

    /// The file a plugin comes from; none: the binary carries it, or there is none of this name.
    ///
    /// # Errors
    /// Plugins can't run here at all.
    pub fn plugin_file(&self, name: &str) -> Result<Option<PathBuf>, Error> {
        Ok(match self.catalogue()?.source(name) {
            Some(PluginSource::File(path)) => Some(path),
            Some(PluginSource::Carried) | None => None,
        })
    }

    /// Runs a flow until it is done (`once`), drained, or can't go on.
    ///
    /// # Errors
    /// The flow can't start, or stopped by itself.
    ///
    /// # Cancel safety
    /// Dropping the future is like a kill: nothing is lost, what was in hand is done again.
    pub async fn run(
        &self,
        flow: Flow,
        options: RunOptions,
        observer: Arc<dyn Observer>,
        drain: Drain,
    ) -> Result<Summary, Error> {
        self.run_debugged(flow, options, observer, drain, Debugging::default())
            .await
    }

    /// Runs a flow as the helper of the program that started this process: lines come from stdin, and
    /// go to stdout, which `out` opens. It ends when stdin does, and what came in is worked off.
    ///
    /// # Errors
    /// As [`run`](Self::run); [`Error::NoHelper`] where no plugin of the flow takes lines.
    ///
    /// # Cancel safety
    /// As [`run`](Self::run).
    pub async fn help(
        &self,
        flow: Flow,
        observer: Arc<dyn Observer>,
        drain: Drain,
        out: fn() -> tokio::io::Stdout,
    ) -> Result<Summary, Error> {
        if !self.any_does(&flow, "line", None)? {
            return Err(Error::NoHelper(flow.name));
        }
        let running = Running {
            helper: Some(out),
            ..Running::new(self.store(&flow.name)?)
        };
        let options = RunOptions::default();
        self.run_with(flow, options, observer, drain, running).await
    }

    /// As [`run`](Self::run), with what else it takes.
    pub(crate) async fn run_with(
        &self,
        flow: Flow,
        options: RunOptions,
        observer: Arc<dyn Observer>,
        drain: Drain,
        running: Running,
    ) -> Result<Summary, Error> {
        let flow = Arc::new(flow);
        // Paths named on the command line are posted by whoever named them.
        if flow.vip.is_empty() || running.paths.is_some() {
            return self.work(flow, options, observer, drain, running).await;
        }
        let once = options.once || options.dry_run || flow.name.kind.ends();
        let work = |end| {
            let running = Running {
                helper: running.helper,
                debugging: running.debugging.clone(),
                ..Running::new(running.store.clone())
            };
            self.work(
                Arc::clone(&flow),
                options,
                Arc::clone(&observer),
                end,
                running,
            )
        };
        let machine = vip::of_this_machine;
        vip::run(&flow.vip, machine, &*observer, &drain, once, work).await
    }

    /// Runs a flow whose turn it is.
    async fn work(
        &self,
        flow: Arc<Flow>,
        options: RunOptions,
        observer: Arc<dyn Observer>,
        drain: Drain,
        running: Running,
    ) -> Result<Summary, Error> {
        let credentials = self.inner.source.credentials().map_err(Error::Findings)?;
        let clock = Arc::new(SystemClock);
        let recorder = running.debugging.recorder.clone();
        let surroundings = Surroundings {
            secrets: Arc::new(FileSecrets(credentials.clone())),
            observer: Arc::clone(&observer),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            world: recorder
                .clone()
                .map(|recorder| Arc::new(Recording(recorder)) as Arc<dyn World>),
        };
        // Once, and to look, nobody is waited for.
        let open = !options.once && !options.dry_run;
        let Outside { lines, entrance } = match open {
            true => entrances::of(&flow, running.helper, &self.inner.doors),
            false => Outside::default(),
        };
        // Starting wasmtime takes a moment that flows without plugins need not pay.
        let plugins: Option<Arc<dyn CallbackFactory>> = match flow.callbacks.is_empty() {
            true => None,
            false => {
                let catalogue = self.catalogue()?;
                if let Some(recorder) = &recorder {
                    recorder.begin(&flow, catalogue)?;
                }
                let plugins =
                    FlowPlugins::with_lines(catalogue, &flow, &surroundings, lines.as_ref())?;
                observer.event(&Event::Plugins(&plugins.usage()));
                self.introduce(&flow);
                Some(Arc::new(plugins))
            }
        };
        let taken = self.taken(&flow)?;
        let inner = &self.inner;
        let state = &inner.directories.state;
        let entered = entrance.is_some();
        let mut brokers =
            Brokers::open(&flow, &credentials, state, &inner.embedded, entered).await?;
        let (chain, flow) = Chain::new(
            &flow,
            plugins,
            running.paths,
            taken,
            credentials,
            &self.inner.source.env,
            Arc::clone(&clock) as Arc<dyn Clock>,
        )?;
        let mut links = std::mem::take(&mut brokers.links).into_iter();
        let Links {
            consumer,
            publisher,
        } = links.next().expect("there is one for the first worker");
        // To look it takes one.
        let more = links.filter(|_| !options.dry_run).collect();
        let ports = Ports {
            consumer,
            publisher,
            callbacks: Arc::new(chain),
            store: running.store,
            clock,
            observer,
        };
        let working = std::env::current_dir().map_err(|source| Error::File {
            path: PathBuf::from("."),
            source,
        })?;
        let mut options = Options {
            once: options.once || flow.name.kind.ends(),
            dry_run: options.dry_run,
            debugger: running.debugging.debugger,
            ..Options::new(working)
        };
        if options.debugger.is_some() {
            // A person thinks.
            options.grace = Duration::from_secs(24 * 3600);
        }
        // A dry run leaves everything as it is.
        let kept = brokers.embedded.as_ref().filter(|_| !options.dry_run);
        let upkeep = upkeep::keep(kept, flow.housekeeping);
        let worker = Worker::new(flow, ports, options)
            .joined_by(more)
            .entered_by(entrance);
        let summary = tokio::select! {
            result = worker.run(drain) => result?,
            never = upkeep => match never {},
        };
        brokers.close().await?;
        Ok(summary)
    }

    /// Whether `flow` serves the lines of the program that runs it. One of another kind than `flow` that
    /// has a queue may name the plugin for something else it does.
    pub(crate) fn is_helper(&self, flow: &Flow) -> Result<bool, Error> {
        let queue = flow.input.is_some() && flow.name.kind != Kind::Flow;
        if queue || flow.listen.is_some() || flow.poll_url.is_some() {
            return Ok(false);
        }
        Ok(self.any_does(flow, "line", None)? && !self.any_does(flow, "gather", None)?)
    }

    /// What the plugins of `flow` that are not shipped ask for, and what it allows them.
    ///
    /// # Errors
    /// One of them can't be loaded.
    pub fn strangers(&self, flow: &Flow) -> Result<Vec<Asks>, Error> {
        let mut strangers: Vec<Asks> = Vec::new();
        for spec in &flow.callbacks {
            let catalogue = self.catalogue()?;
            if !matches!(catalogue.source(&spec.plugin), Some(PluginSource::File(_))) {
                continue;
            }
            if let Some(plugin) = catalogue.plugin(&spec.plugin) {
                let asks = Asks::new(&*plugin?, flow);
                if !strangers.contains(&asks) {
                    strangers.push(asks);
                }
            }
        }
        Ok(strangers)
    }

    /// Says in the log what plugins that are not shipped may do, once for each file and flow.
    fn introduce(&self, flow: &Flow) {
        // Whether they load is known by now.
        for asks in self.strangers(flow).unwrap_or_default() {
            let flow = flow.name.to_string();
            let known = &self.inner.introduced;
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.insert((flow.clone(), asks.clone())) {
                tracing::info!(flow, "{asks}");
            }
        }
    }

    /// What plugins of `flow` do themselves.
    fn taken(&self, flow: &Flow) -> Result<Taken, Error> {
        let scheme = flow.send_to.as_ref().map(|url| url.scheme());
        Ok(Taken {
            gathers: self.any_does(flow, "gather", None)?,
            sends: scheme.is_some() && self.any_does(flow, "send", scheme)?,
        })
    }

    /// Whether a plugin of `flow` has an entry point, for a scheme if one is named.
    fn any_does(&self, flow: &Flow, entry: &str, scheme: Option<&str>) -> Result<bool, Error> {
        if flow.callbacks.is_empty() {
            return Ok(false);
        }
        let catalogue = self.catalogue()?;
        let does = |spec: &CallbackSpec| match catalogue.manifest(&spec.plugin) {
            Some(Ok(manifest)) => {
                manifest.entry_points.iter().any(|other| other == entry)
                    && scheme.is_none_or(|scheme| manifest.schemes.iter().any(|own| own == scheme))
            }
            _ => false,
        };
        Ok(flow.callbacks.iter().any(does))
    }

    /// Where a flow keeps its store.
    pub fn store_file(&self, name: &FlowName) -> PathBuf {
        self.inner
            .directories
            .state
            .join("flows")
            .join(format!("{name}.db"))
    }

    /// The store of a flow: what waits to be tried again, and what was given up.
    ///
    /// # Errors
    /// It can't be opened.
    pub fn store(&self, name: &FlowName) -> Result<Store, Error> {
        Ok(Store::open(self.store_file(name))?)
    }

    /// The queues of the embedded broker.
    ///
    /// # Errors
    /// The broker can't be used.
    pub async fn queues(&self) -> Result<Vec<QueueStatus>, Error> {
        let state = &self.inner.directories.state;
        if !state.join("broker.db").exists() {
            return Ok(Vec::new());
        }
        let broker = open_embedded(state)?;
        let queues = broker.queues().await?;
        broker.close().await?;
        Ok(queues)
    }
}
