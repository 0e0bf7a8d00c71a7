//! Options as written → a [`Flow`] that is right, or findings.
//!
//! Every getter makes its own findings and goes on with the default, so that one pass finds all.
//! What is not an error in itself but in company (missing, without effect) comes last.

mod callbacks;
mod checks;
mod filters;
mod limits;
mod unknown;
mod urls;
mod values;

use std::collections::BTreeMap;
use std::path::Path;

use crate::collect::{Collector, Span};
use crate::explain as code;
use crate::flow::{
    Filters, Flow, FlowName, IdentityMethod, Input, Kind, Nodupe, NodupeBasis, Output, Placement,
    RetryPolicy,
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
    let mut given = BTreeMap::new();
    let mut strangers = Vec::new();
    for entry in read.entries {
        match option(&entry.key) {
            Some(option) if option.kinds.contains(&variables.name.kind) => {
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

struct Builder<'a> {
    out: &'a mut Collector,
    variables: Variables<'a>,
    plugins: &'a dyn Plugins,
    name: &'a FlowName,
    file: usize,
    complete: bool,
    /// Whether the defaults are those of something that polls.
    polls: bool,
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
        let input = self.input(batch);
        let output = self.output();
        let nodupe = self.nodupe();
        self.text("description");
        let flow = Flow {
            name: self.name.clone(),
            file: path.to_owned(),
            input,
            output,
            poll_url,
            sleep: self.positive("sleep"),
            batch: usize::try_from(batch).unwrap_or(usize::MAX),
            concurrency: usize::try_from(self.count("concurrency")).unwrap_or(usize::MAX),
            download,
            filters,
            callbacks,
            allow: self.allow(),
            own_urls: Vec::new(),
            nodupe,
            retry: RetryPolicy {
                attempts: u32::try_from(self.count("attempts")).unwrap_or(u32::MAX),
                ttl: self.duration("retry_ttl"),
            },
            housekeeping: self.positive("housekeeping"),
            timeout: self.positive("timeout"),
            message_age_max: self.duration("messageAgeMax"),
            file_age_max: self.duration("fileAgeMax"),
            file_age_min: self.duration("fileAgeMin"),
            inflight: self.inflight(),
            identity: self.identity(),
            overwrite: self.flag("overwrite"),
            fsync: self.flag("fsync"),
            perm_default: self.mode("permDefault"),
            perm_dir_default: self.mode("permDirDefault"),
            ca_file: self.path("caFile"),
            header: self.header(),
            settings: Vec::new(),
        };
        if self.complete {
            self.check_missing(&flow);
        }
        self.check_effect(&flow);
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

    fn identity(&mut self) -> IdentityMethod {
        match self.choice("identity") {
            "md5" => IdentityMethod::Md5,
            "none" => IdentityMethod::None,
            _ => IdentityMethod::Sha512,
        }
    }

    fn input(&mut self, batch: i64) -> Option<Input> {
        if self.name.kind == Kind::Poll {
            self.topic_prefix();
            return None;
        }
        let broker = self.broker("broker");
        let exchange = self.text("exchange");
        let prefix = self.topic_prefix();
        let subtopics = self.texts("subtopic");
        let user = if broker.scheme() == "embedded" {
            "embedded".to_owned()
        } else {
            broker.user()
        };
        let default = format!("q_{user}.{}.{}", self.name.kind, self.name.name);
        let queue = self.text_or("queueName", default);
        let expire = self.duration("expire");
        let prefetch = self.count_or("prefetch", batch.saturating_mul(2).min(65_535));
        let bindings = subtopics
            .iter()
            .map(|subtopic| {
                let subtopic = subtopic.trim_matches(['.', '/']).replace('/', ".");
                if prefix.is_empty() {
                    subtopic
                } else {
                    format!("{prefix}.{subtopic}")
                }
            })
            .collect();
        Some(Input {
            broker,
            exchange: exchange?,
            queue,
            bindings,
            expire,
            prefetch: usize::try_from(prefetch).unwrap_or(usize::MAX),
        })
    }

    /// `topicPrefix`, dotted; empty for `none`.
    fn topic_prefix(&mut self) -> String {
        dotted(&self.text("topicPrefix").unwrap_or_default())
    }

    fn output(&mut self) -> Option<Output> {
        let broker = self.broker("post_broker");
        let exchange = self.text("post_exchange");
        let prefix = match self.given.get("topicPrefix") {
            Some(_) => self.value_of("topicPrefix"),
            None => option("topicPrefix")
                .and_then(|option| option.default)
                .unwrap_or("")
                .to_owned(),
        };
        let topic_prefix = dotted(&self.text_or("post_topicPrefix", prefix));
        let base_url = self.template("post_baseUrl");
        let base_dir = self.template("post_baseDir");
        Some(Output {
            broker,
            exchange: exchange?,
            topic_prefix,
            base_url,
            base_dir,
        })
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
            rules,
            accept_unmatched: true,
            placement,
        }
    }

    /// The default of an option here, and where it comes from.
    fn default_of(&self, option: &OptionDoc) -> (Option<&'static str>, Origin) {
        let polls = self.polls && matches!(option.name, "sleep" | "batch" | "nodupe_ttl");
        let kind = if polls { Kind::Poll } else { self.name.kind };
        match option.default_for(kind) {
            (default, true) => (default, Origin::Kind),
            (default, false) => (default, Origin::Default),
        }
    }

    fn set(&mut self, name: impl Into<String>, value: impl Into<String>, origin: Origin) {
        self.settings.push(Setting {
            name: name.into(),
            value: value.into(),
            origin,
        });
    }

    fn replace_setting(&mut self, name: &str, value: &str, origin: Origin) {
        self.settings.retain(|setting| setting.name != name);
        self.set(name, value, origin);
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
fn lasting(text: &str) -> Result<std::time::Duration, Wrong> {
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
