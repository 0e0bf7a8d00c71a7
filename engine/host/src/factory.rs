//! The callbacks of a flow.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use flow_config::{CallbackSpec, Filters, Flow, OptionValue};
use flow_runtime::ports::{Callback, CallbackFactory, Clock, Failure, Lines, Observer};
use flow_runtime::usage::Uses;

use crate::callback::GuestCallback;
use crate::catalogue::Catalogue;
use crate::error::Error;
use crate::grants::Grants;
use crate::imports::connection::Network;
use crate::outside::{Place, Real, World};
use crate::plugin::Plugin;
use crate::secrets::Secrets;
use crate::store::{Metrics, Setup};
use crate::tls::Trust;
use crate::usage::{Book, Usage};
use crate::web::Web;

/// What the plugins of a flow stand in.
#[derive(Clone)]
pub struct Surroundings {
    /// Where credentials come from.
    pub secrets: Arc<dyn Secrets>,
    /// Who is told about progress.
    pub observer: Arc<dyn Observer>,
    /// Whose time new messages get.
    pub clock: Arc<dyn Clock>,
    /// What stands in for the world; none: the world itself.
    pub world: Option<Arc<dyn World>>,
}

/// Makes the callback instances of one flow.
pub struct FlowPlugins {
    uses: Vec<Arc<Use>>,
    metrics: Arc<Metrics>,
    world: Option<Arc<dyn World>>,
}

/// A plugin as one callback of a flow uses it.
pub(crate) struct Use {
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) setup: Arc<Setup>,
    pub(crate) options: BTreeMap<String, OptionValue>,
    pub(crate) kind: String,
    pub(crate) downloads: bool,
    pub(crate) poll_url: Option<String>,
}

impl FlowPlugins {
    /// Finds the plugins `flow` names and works out what each may reach. Runs nothing of them.
    ///
    /// # Errors
    /// A plugin does not exist or can't be loaded.
    pub fn new(
        catalogue: &Catalogue,
        flow: &Flow,
        surroundings: &Surroundings,
    ) -> Result<Self, Error> {
        Self::with_lines(catalogue, flow, surroundings, None)
    }

    /// As [`new`](Self::new), for a flow whose plugins write lines to somebody.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_lines(
        catalogue: &Catalogue,
        flow: &Flow,
        surroundings: &Surroundings,
        lines: Option<&Arc<dyn Lines>>,
    ) -> Result<Self, Error> {
        let metrics = Arc::new(Metrics::default());
        let trust = Arc::new(Trust::new(catalogue.host().clone(), flow.ca_file.clone()));
        let named = flow.callbacks.iter().zip(flow.callback_names());
        let uses = named.map(|(spec, name)| {
            let plugin = catalogue
                .plugin(&spec.plugin)
                .unwrap_or_else(|| Err(catalogue.unknown(&spec.plugin)))?;
            if let Some(pin) = &spec.sha256
                && pin != plugin.sha256()
            {
                return Err(changed(&plugin, pin));
            }
            if let Some(key) = &spec.minisign {
                signed(catalogue, &plugin, key)?;
            }
            let shared = (&trust, &metrics, catalogue.host().web());
            let mut setup = setup(&plugin, flow, spec, surroundings, shared, lines);
            setup.usage = Arc::new(Usage::new(&name));
            Ok(Arc::new(Use {
                plugin,
                setup: Arc::new(setup),
                options: spec.options.clone(),
                kind: flow.name.kind.to_string(),
                downloads: flow.download,
                poll_url: flow.poll_url.as_ref().map(|url| url.without_password()),
            }))
        });
        Ok(Self {
            uses: uses.collect::<Result<_, Error>>()?,
            metrics,
            world: surroundings.world.clone(),
        })
    }

    /// What the plugins of the flow use, from now on.
    pub fn usage(&self) -> Arc<dyn Uses> {
        let callbacks = self.uses.iter().map(|used| Arc::clone(&used.setup.usage));
        Arc::new(Book {
            callbacks: callbacks.collect(),
            metrics: self.metrics(),
        })
    }

    /// The numbers the plugins of the flow keep.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }
}

/// That the plugin, as it was loaded, is signed with the key.
fn signed(catalogue: &Catalogue, plugin: &Plugin, key: &str) -> Result<(), Error> {
    let name = &plugin.manifest().name;
    match catalogue.verified(name, key) {
        Some(Ok(sha256)) if sha256 == plugin.sha256() => Ok(()),
        Some(Err(unsigned)) => {
            let text = format!("plugin `{name}` is not signed with the key this flow asks for");
            Err(Error::new("plugin/unsigned", text)
                .note(unsigned.why)
                .hint(unsigned.advice))
        }
        // What was loaded is not the file that is there now, or it is gone.
        Some(Ok(_)) | None => {
            let text = format!("the file of plugin `{name}` changed while the flow was started");
            Err(Error::new("plugin/unsigned", text)
                .note("its signature can't be compared with what was loaded")
                .hint("start the flow again"))
        }
    }
}

/// The file changed between the check of the flow and now.
fn changed(plugin: &Plugin, pin: &str) -> Error {
    let name = &plugin.manifest().name;
    let text = format!("plugin `{name}` is not the file this flow asks for");
    Error::new("plugin/changed", text)
        .note(format!("it has the sha256 {}", plugin.sha256()))
        .note(format!("the flow asks for  {pin}"))
        .hint("put the former file back, or write the new number into the flow if the new one is meant")
}

pub(crate) fn setup(
    plugin: &Plugin,
    flow: &Flow,
    spec: &CallbackSpec,
    surroundings: &Surroundings,
    (trust, metrics, web): (&Arc<Trust>, &Arc<Metrics>, Arc<Web>),
    lines: Option<&Arc<dyn Lines>>,
) -> Setup {
    let redactor = Arc::<crate::redact::Redactor>::default();
    for value in spec.options.values() {
        if let OptionValue::Secret(secret) = value {
            redactor.add(secret.expose());
        }
    }
    Setup {
        flow: flow.name.to_string(),
        plugin: plugin.manifest().name.clone(),
        limits: spec.limits,
        timeout: flow.timeout,
        grants: Grants::new(&plugin.manifest().grants, &flow.own_urls, &flow.allow),
        trust: match spec.pins.is_empty() {
            true => Arc::clone(trust),
            false => Arc::new(trust.pinned(spec.pins.iter().map(|pin| (*pin).into()).collect())),
        },
        web,
        secrets: Arc::clone(&surroundings.secrets),
        observer: Arc::clone(&surroundings.observer),
        clock: Arc::clone(&surroundings.clock),
        redactor,
        metrics: Arc::clone(metrics),
        usage: Arc::default(),
        pace: Arc::default(),
        directories: directories(flow),
        lines: lines.map(Arc::clone),
        swap: Mutex::new(()),
    }
}

/// The directories a flow names, up to their first variable.
pub(crate) fn directories(flow: &Flow) -> Vec<PathBuf> {
    let filters = std::iter::once(&flow.filters).chain(
        flow.callbacks
            .iter()
            .filter_map(|spec| spec.filters.as_ref()),
    );
    let placements = filters.flat_map(
        |Filters {
             rules, placement, ..
         }| {
            rules
                .iter()
                .map(|rule| &rule.placement)
                .chain(std::iter::once(placement))
        },
    );
    placements
        .filter_map(|placement| placement.directory.as_ref())
        .map(|directory| {
            let text = directory.as_str();
            match text.find("${") {
                // The element the variable is in varies with it.
                Some(end) => {
                    Path::new(&text[..text[..end].rfind('/').map_or(0, |slash| slash + 1)])
                        .to_owned()
                }
                None => PathBuf::from(text),
            }
        })
        .filter(|directory| !directory.as_os_str().is_empty() && directory != Path::new("/"))
        .collect()
}

#[async_trait]
impl CallbackFactory for FlowPlugins {
    async fn create(&self, index: usize, instance: u32) -> Result<Box<dyn Callback>, Failure> {
        let used = self
            .uses
            .get(index)
            .expect("callbacks are numbered as in the flow");
        let make = |place| -> Box<dyn Callback> {
            Box::new(GuestCallback::new(Arc::clone(used), place, instance))
        };
        let Some(world) = &self.world else {
            return Ok(make(Place::default()));
        };
        let setup = &used.setup;
        let real = Real {
            callback: index,
            instance,
            outside: Arc::new(Network(Arc::clone(setup))),
            secrets: Arc::clone(&setup.secrets),
            clock: Arc::clone(&setup.clock),
            lines: setup.lines.clone(),
        };
        Ok(world.place(real, &make))
    }
}
