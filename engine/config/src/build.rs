//! Options as written → a [`Flow`] that is right, or findings.
//!
//! Every getter makes its own findings and goes on with the default, so that one pass finds all.
//! What is not an error in itself but in company (missing, without effect) comes last.

mod brokers;
mod callbacks;
mod checks;
mod conditions;
mod content;
mod effect;
mod filters;
mod limits;
mod listening;
mod lists;
mod pins;
mod posting;
mod running;
mod unknown;
mod urls;
mod values;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::collect::{Collector, Span};
use crate::explain as code;
use crate::flow::{
    Filters, Flow, FlowName, Kind, Nodupe, NodupeBasis, Placement, RetryPolicy, TlsRigour,
};
use crate::manifest::{Manifest, Plugins};
use crate::options::{OptionDoc, option, options};
use crate::units::{self, Wrong};
use crate::variables::Variables;
use crate::yaml::{Entry, Node};
use crate::{Origin, SafeUrl, Setting, Template};

/// What was read of a flow.
pub(crate) struct Read<'a> {
    /// The flow's file, and its text in the collector.
    pub(crate) path: &'a Path,
    pub(crate) file: usize,
    /// Its options, includes and overrides applied.
    pub(crate) entries: Vec<Entry>,
    /// Whether every include could be read.
    pub(crate) complete: bool,
}

/// Builds the flow. Findings go to `out`; the flow counts only if none is an error.
pub(crate) fn flow(
    out: &mut Collector,
    variables: Variables<'_>,
    plugins: &dyn Plugins,
    read: Read<'_>,
) -> Option<Flow> {
    let own = brokers::own_variables(variables, &read.entries);
    let variables = Variables {
        own: Some(&own),
        ..variables
    };
    let mut given = BTreeMap::new();
    let mut strangers = Vec::new();
    for entry in read.entries {
        match option(&entry.key) {
            Some(option) if option.is_for(variables.name.kind) => {
                given.insert(option.name, (entry.key_span, entry.value));
            }
            _ => strangers.push(entry),
        }
    }
    let mut builder = Builder {
        out,
        variables,
        plugins,
        name: variables.name,
        file: read.file,
        complete: read.complete,
        polls: given.contains_key("pollUrl") || variables.name.kind == Kind::Poll,
        lists: false,
        given,
        settings: Vec::new(),
        urls: Vec::new(),
        manifests: BTreeMap::new(),
    };
    let flow = builder.flow(read.path);
    for stranger in &strangers {
        builder.unknown_option(stranger);
    }
    flow
}

/// A flow of this name with nothing but defaults.
pub(crate) fn defaults(name: &FlowName) -> Flow {
    let mut out = Collector::default();
    let file = out.add("", "");
    let variables = Variables {
        env: &BTreeMap::new(),
        hostname: "",
        name,
        own: None,
    };
    let read = Read {
        path: Path::new(""),
        file,
        entries: Vec::new(),
        complete: false,
    };
    let plugins: BTreeMap<String, Manifest> = BTreeMap::new();
    flow(&mut out, variables, &plugins, read).expect("defaults make a flow")
}

/// Options that count in more than one place.
struct Shared {
    declare_exchange: bool,
    durable: bool,
    qos: u8,
    tls: TlsRigour,
    message_age_max: Duration,
    timezone: String,
}

struct Builder<'a> {
    out: &'a mut Collector,
    variables: Variables<'a>,
    plugins: &'a dyn Plugins,
    name: &'a FlowName,
    file: usize,
    complete: bool,
    /// Whether the defaults are those of something that polls.
    polls: bool,
    /// Whether the engine itself lists what `pollUrl` names.
    lists: bool,
    /// Options of the flow as written, with the place of their key.
    given: BTreeMap<&'static str, (Span, Node)>,
    settings: Vec<Setting>,
    /// Every URL written in the flow.
    urls: Vec<SafeUrl>,
    /// Those asked for so far; asking may compile.
    manifests: BTreeMap<String, Option<Manifest>>,
}

impl Builder<'_> {
    fn flow(&mut self, path: &Path) -> Option<Flow> {
        let accept_unmatched = self.flag("acceptUnmatched");
        let callbacks = self.callbacks(accept_unmatched);
        let download = self.download();
        let filters = Filters {
            accept_unmatched,
            ..self.flow_filters()
        };
        let batch = self.count("batch");
        let poll_url = self.url("pollUrl");
        self.lists = poll_url.as_ref().is_some_and(checks::is_listed) && !self.any_gathers();
        let shared = self.shared();
        let input = self.input(batch, &shared);
        let output = self.output(&shared);
        let source = self.source(input.as_ref(), output.as_ref());
        let nodupe = self.nodupe();
        self.text("description");
        let perm = self.mode("permDefault");
        let polls_only = self.name.kind == Kind::Poll;
        let flow = Flow {
            name: self.name.clone(),
            file: path.to_owned(),
            input,
            output,
            poll_url,
            listen: self.listen(),
            send_to: self.url("sendTo"),
            paths: self.templates("path"),
            base_dir: self.template("baseDir"),
            sleep: self.positive("sleep"),
            schedule: self.schedule(&shared),
            batch: usize::try_from(batch).unwrap_or(usize::MAX),
            concurrency: usize::try_from(self.count("concurrency")).unwrap_or(usize::MAX),
            instances: usize::try_from(self.count("instances")).unwrap_or(usize::MAX),
            pace: self.pace(),
            vip: self.addresses("vip"),
            download,
            filters,
            callbacks,
            allow: self.allow(),
            own_urls: Vec::new(),
            nodupe,
            retry: RetryPolicy {
                attempts: u32::try_from(self.count("attempts")).unwrap_or(u32::MAX),
                ttl: self.duration("retry_ttl"),
                wait_max: self.duration("waitMax"),
                refilter: self.flag("retry_refilter"),
                empty_before_exit: self.flag("retryEmptyBeforeExit"),
            },
            housekeeping: self.positive("housekeeping"),
            timeout: self.positive("timeout"),
            message_age_max: shared.message_age_max,
            file_age_max: self.duration("fileAgeMax"),
            file_age_min: self.duration("fileAgeMin"),
            file_size_max: self.size("fileSizeMax"),
            events: self.file_events(),
            inflight: self.inflight(),
            identity: self.identity(),
            overwrite: self.flag("overwrite"),
            fsync: self.flag("fsync"),
            // In a poll the option is about entries of listings.
            perm_default: if polls_only { 0o644 } else { perm },
            perm_dir_default: self.mode("permDirDefault"),
            transfer: self.transfer(&shared),
            listing: self.listing(&shared, if polls_only { perm } else { 0o400 }),
            inline: self.inline(),
            rename: self.template("rename"),
            source,
            ca_file: self.path("caFile"),
            header: self.header(),
            log: self.log(),
            thresholds: self.thresholds(),
            settings: Vec::new(),
        };
        if self.complete {
            self.check_missing(&flow);
        }
        self.check_company(&flow);
        self.check_effect(&flow);
        self.check_listener(&flow);
        self.check_poster(&flow);
        let mut settings = std::mem::take(&mut self.settings);
        let rank = |setting: &Setting| {
            let top = setting.name.split(['[', '.']).next().unwrap_or("");
            options().iter().position(|option| option.name == top)
        };
        settings.sort_by_key(rank);
        Some(Flow {
            settings,
            own_urls: std::mem::take(&mut self.urls),
            ..flow
        })
    }

    /// Each option is read once, so that it is recorded, and found fault with, once.
    fn shared(&mut self) -> Shared {
        Shared {
            declare_exchange: self.flag("exchangeDeclare"),
            durable: self.flag("durable"),
            qos: u8::try_from(self.count("qos")).unwrap_or(1),
            tls: match self.choice("tlsRigour") {
                "strict" => TlsRigour::Strict,
                "lax" => TlsRigour::Lax,
                _ => TlsRigour::Normal,
            },
            message_age_max: self.duration("messageAgeMax"),
            timezone: self.timezone(),
        }
    }

    fn download(&mut self) -> bool {
        let downloads = |manifest: &Manifest| {
            !manifest.schemes.is_empty()
                && manifest
                    .entry_points
                    .iter()
                    .any(|entry| entry == "download")
        };
        let by_plugin =
            self.name.kind == Kind::Flow && self.manifests.values().flatten().any(downloads);
        let given = self.given.contains_key("download");
        let download = self.flag("download");
        if by_plugin && !given {
            self.replace_setting("download", "on", Origin::Kind);
            return true;
        }
        download
    }

    fn nodupe(&mut self) -> Option<Nodupe> {
        let ttl = self.duration("nodupe_ttl");
        let basis = match self.choice("nodupe_basis") {
            "name" => NodupeBasis::Name,
            "data" => NodupeBasis::Data,
            "name_only" => NodupeBasis::NameOnly,
            "path_only" => NodupeBasis::PathOnly,
            _ => NodupeBasis::Path,
        };
        (!ttl.is_zero()).then_some(Nodupe { ttl, basis })
    }

    /// The value of an option that was read already, as `flow show` prints it.
    fn value_of(&self, name: &str) -> String {
        self.settings
            .iter()
            .find(|setting| setting.name == name)
            .map(|setting| setting.value.clone())
            .unwrap_or_default()
    }

    fn flow_filters(&mut self) -> Filters {
        let placement = Placement {
            directory: self.directory(),
            mirror: self.flag("mirror"),
            strip: self.strip(),
            flatten: self.flatten(),
            filename: self.filename(),
        };
        let rules = match self.given.get("filters").cloned() {
            Some((_, node)) => self.rules("filters", &node, &placement),
            None => Vec::new(),
        };
        Filters {
            rules: rules.into(),
            accept_unmatched: true,
            placement,
        }
    }

    /// The default of an option here, and where it comes from.
    fn default_of(&self, option: &OptionDoc) -> (Option<&'static str>, Origin) {
        if self.lists
            && let Some(default) = option.listing_default
        {
            return (Some(default), Origin::Kind);
        }
        let polls = self.polls && matches!(option.name, "sleep" | "batch" | "nodupe_ttl");
        let kind = if polls { Kind::Poll } else { self.name.kind };
        match option.default_for(kind) {
            (default, true) => (default, Origin::Kind),
            (default, false) => (default, Origin::Default),
        }
    }

    /// Records the value of an option that is not set. What means nothing here is not shown.
    fn unset(&mut self, name: &'static str, value: &str, origin: Origin) {
        if option(name).is_none_or(|option| option.is_for(self.name.kind)) {
            self.set(name, value, origin);
        }
    }

    /// Whether the flow itself, and not a file it includes, or the command line, sets `name`.
    fn is_given(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    fn set(&mut self, name: impl Into<String>, value: impl Into<String>, origin: Origin) {
        self.settings.push(Setting {
            name: name.into(),
            value: value.into(),
            origin,
        });
    }

    fn replace_setting(&mut self, name: &'static str, value: &str, origin: Origin) {
        self.settings.retain(|setting| setting.name != name);
        self.unset(name, value, origin);
    }
}

/// A prefix as topics have it: words and dots, `none` for nothing.
fn dotted(prefix: &str) -> String {
    match prefix {
        "none" => String::new(),
        prefix => prefix.trim_matches(['.', '/']).replace('/', "."),
    }
}

/// Reads a time span that has to last.
fn lasting(text: &str) -> Result<Duration, Wrong> {
    let span = units::duration(text)?;
    if span.is_zero() {
        return Err(Wrong::new(
            code::OUT_OF_RANGE,
            "can't be zero",
            "write a time span such as `60s`",
        ));
    }
    Ok(span)
}

/// A template that is a constant text.
fn constant(text: &str) -> Template {
    Template::from_pieces(vec![crate::template::Piece::Text(text.to_owned())])
}
