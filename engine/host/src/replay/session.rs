//! A recording, read.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flow_config::{Allow, CallbackSpec, Flow, FlowName, Limits, SafeUrl};
use serde_json::Value;

use crate::catalogue::Catalogue;
use crate::error::Error;
use crate::factory::{self, Surroundings, Use};
use crate::plugin::{Nobody, Plugin};
use crate::record::{VERSION, form};
use crate::store::Metrics;
use crate::tls::Trust;

/// A recording in memory.
pub struct Session {
    path: PathBuf,
    /// The flow as each run saw it.
    runs: Vec<Value>,
    pub(super) instances: BTreeMap<u64, Made>,
    /// In the order they began.
    pub(super) calls: Vec<Call>,
}

/// A callback instance.
pub(super) struct Made {
    run: usize,
    callback: usize,
    pub(super) id: u64,
    pub(super) number: u32,
    pub(super) seed: [u8; 32],
}

/// A call.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) number: u64,
    pub(super) instance: u64,
    pub(super) entry_point: String,
    pub(super) given: Value,
    pub(super) events: Vec<Value>,
    /// None where the recording ends in it.
    pub(super) answer: Option<Value>,
    pub(super) micros: Option<u64>,
}

/// What becomes of a recording somebody changed.
const DAMAGED: &str = "it was cut or edited; record it anew";

impl Session {
    /// Reads a recording, also one that was cut short.
    ///
    /// # Errors
    /// It can't be read, is no recording, or is one of a newer version.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let wrong = |why: String| {
            let text = format!("the recording {} can't be read: {why}", path.display());
            Error::new("plugin/recording", text)
        };
        let file = std::fs::File::open(path).map_err(|error| wrong(error.to_string()))?;
        let mut lines = BufReader::new(file).lines();
        let first = match lines.next() {
            Some(line) => line.map_err(|error| wrong(error.to_string()))?,
            None => return Err(wrong("it is empty".into())),
        };
        let header: Value = serde_json::from_str(&first).unwrap_or_default();
        match header.get("flowRecording").and_then(Value::as_u64) {
            Some(VERSION) => {}
            Some(version) => {
                let text = format!("it is of version {version}, and this flow reads {VERSION}");
                return Err(
                    wrong(text).hint("use the version of flow that recorded it, or a newer one")
                );
            }
            None => {
                return Err(wrong("it is no recording".into())
                    .hint("recordings are made with `flow foreground NAME --record FILE`"));
            }
        }
        let mut session = Self {
            path: path.to_owned(),
            runs: Vec::new(),
            instances: BTreeMap::new(),
            calls: Vec::new(),
        };
        let mut places = BTreeMap::new();
        for (number, line) in lines.enumerate() {
            let line = line.map_err(|error| wrong(error.to_string()))?;
            match serde_json::from_str(&line) {
                Ok(line) => session.add(line, &mut places),
                // The last line of a process that was killed.
                Err(error) if error.is_eof() => break,
                Err(error) => {
                    let text = error.to_string();
                    // Where it says it is counts from this line.
                    let why = text.rsplit_once(" at line ").map_or(&*text, |(why, _)| why);
                    let place = format!("line {}, column {}", number + 2, error.column());
                    return Err(wrong(format!("{place}: {why}")).hint(DAMAGED));
                }
            }
        }
        Ok(session)
    }

    fn add(&mut self, mut line: Value, places: &mut BTreeMap<u64, usize>) {
        let number = |line: &Value, name: &str| line.get(name).and_then(Value::as_u64);
        if let Some(call) = number(&line, "in") {
            if let Some(place) = places.get(&call) {
                self.calls[*place].events.push(line);
            }
        } else if let Some(call) = number(&line, "call") {
            let (Some(instance), Some(entry_point)) =
                (number(&line, "instance"), form::text(&line, "entryPoint"))
            else {
                return;
            };
            places.insert(call, self.calls.len());
            self.calls.push(Call {
                number: call,
                instance,
                entry_point,
                given: line,
                events: Vec::new(),
                answer: None,
                micros: None,
            });
        } else if let Some(call) = number(&line, "return") {
            if let Some(place) = places.get(&call) {
                let call = &mut self.calls[*place];
                call.micros = number(&line, "us");
                if let Value::Object(line) = &mut line {
                    line.remove("return");
                    line.remove("us");
                }
                call.answer = Some(line);
            }
        } else if let Some(id) = number(&line, "instance") {
            let made = Made {
                run: self.runs.len().saturating_sub(1),
                callback: number(&line, "callback").map_or(0, |index| index as usize),
                id,
                number: number(&line, "number").map_or(0, |number| number as u32),
                seed: form::text(&line, "seed")
                    .and_then(|text| seed(&text))
                    .unwrap_or_default(),
            };
            self.instances.insert(id, made);
        } else if line.get("flow").is_some() {
            self.runs.push(line);
        }
    }

    /// The flow that was recorded.
    pub fn flow(&self) -> String {
        let first = self.runs.first();
        first
            .and_then(|run| form::text(run, "flow"))
            .unwrap_or_default()
    }

    /// How many calls there are.
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    pub(super) fn call(&self, number: u64) -> Result<&Call, Error> {
        let found = self.calls.iter().find(|call| call.number == number);
        found.ok_or_else(|| {
            let text = format!("there is no call {number} in {}", self.path.display());
            let last = self.calls.iter().map(|call| call.number).max().unwrap_or(0);
            Error::new("plugin/recording", text).note(format!("it has calls 1 to {last}"))
        })
    }

    fn spec(&self, made: &Made) -> Option<(&Value, &Value)> {
        let run = self.runs.get(made.run)?;
        let spec = run.get("callbacks")?.as_array()?.get(made.callback)?;
        Some((run, spec))
    }

    fn damaged(&self) -> Error {
        let text = format!(
            "the recording {} does not say which plugin was called",
            self.path.display()
        );
        Error::new("plugin/recording", text).hint(DAMAGED)
    }

    pub(super) fn plugin_name(&self, made: &Made) -> Result<String, Error> {
        let name = self
            .spec(made)
            .and_then(|(_, spec)| form::text(spec, "plugin"));
        name.ok_or_else(|| self.damaged())
    }

    /// Says so, if `plugin` is not the one that was recorded.
    pub(super) fn changed(&self, made: &Made, plugin: &Plugin) -> Option<String> {
        let recorded = form::text(self.spec(made)?.1, "sha256")?;
        let name = &plugin.manifest().name;
        let short = |sum: &str| sum.chars().take(12).collect::<String>();
        (recorded != plugin.sha256()).then(|| {
            format!(
                "plugin `{name}` is another build than was recorded ({} instead of {})",
                short(plugin.sha256()),
                short(&recorded)
            )
        })
    }

    /// The plugin as the recorded flow used it.
    pub(super) fn used(
        &self,
        catalogue: &Catalogue,
        made: &Made,
        plugin: &Arc<Plugin>,
    ) -> Result<Use, Error> {
        let used = self.try_used(catalogue, made, plugin);
        used.ok_or_else(|| self.damaged())
    }

    fn try_used(&self, catalogue: &Catalogue, made: &Made, plugin: &Arc<Plugin>) -> Option<Use> {
        let (run, spec) = self.spec(made)?;
        let texts = |value: Option<&Value>| value.and_then(form::texts).unwrap_or_default();
        let name: FlowName = form::text(run, "flow")?.parse().ok()?;
        let mut flow = Flow::new(name);
        let millis = |value: Option<&Value>| value?.as_u64().map(Duration::from_millis);
        flow.timeout = millis(run.get("timeoutMs"))?;
        flow.download = run.get("downloads")?.as_bool()?;
        flow.own_urls = texts(run.get("ownUrls"))
            .iter()
            .filter_map(|url| SafeUrl::parse(url).ok())
            .collect();
        let allow = run.get("allow")?;
        flow.allow = Allow {
            connect: texts(allow.get("connect")),
            http: texts(allow.get("http")),
            secrets: texts(allow.get("secrets")),
        };
        let limits = spec.get("limits")?;
        let options = spec.get("options")?.as_object()?.iter();
        let spec = CallbackSpec {
            plugin: form::text(spec, "plugin")?,
            options: options
                .filter_map(|(name, value)| Some((name.clone(), form::read_option(value)?)))
                .collect(),
            sha256: None,
            minisign: None,
            pins: Vec::new(),
            filters: None,
            limits: Limits {
                deadline: millis(limits.get("deadlineMs"))?,
                memory: limits.get("memory")?.as_u64()?,
                output: limits.get("output")?.as_u64()?,
            },
            origin: self.path.display().to_string(),
        };
        let nobody = Arc::new(Nobody);
        let surroundings = Surroundings {
            secrets: nobody.clone(),
            observer: nobody.clone(),
            clock: nobody,
            world: None,
        };
        let trust = Arc::new(Trust::new(catalogue.host().clone(), None));
        let metrics = Arc::new(Metrics::default());
        let mut setup = factory::setup(
            plugin,
            &flow,
            &spec,
            &surroundings,
            (&trust, &metrics, catalogue.host().web()),
            None,
        );
        setup.directories = texts(run.get("directories"))
            .into_iter()
            .map(PathBuf::from)
            .collect();
        Some(Use {
            plugin: Arc::clone(plugin),
            setup: Arc::new(setup),
            options: spec.options,
            kind: form::text(run, "kind")?,
            downloads: flow.download,
            poll_url: form::text(run, "pollUrl"),
        })
    }
}

fn seed(text: &str) -> Option<[u8; 32]> {
    let mut seed = [0; 32];
    for (index, byte) in seed.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(seed)
}
