//! Finds flows in a configuration directory, reads them and what they include.
//!
//! The only module that reads files. Everything it is told of the machine is passed in.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::build;
use crate::collect::{Collector, Span};
use crate::credentials::Credentials;
use crate::explain as code;
use crate::flow::{Flow, FlowName, Kind};
use crate::manifest::Plugins;
use crate::mask;
use crate::name::NameError;
use crate::overrides;
use crate::report::{Finding, Report};
use crate::suggest::closest;
use crate::variables::{self, Variables};
use crate::yaml::{self, Entry, Node, Value};

/// A configuration directory, and what flows in it may ask of the environment.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// Holds `<kind>/<name>.yaml` and `credentials.conf`.
    pub config_dir: PathBuf,
    /// Environment variables flows may use.
    pub env: BTreeMap<String, String>,
    /// The machine's name, for `${HOSTNAME}`; empty: as in `env`.
    pub hostname: String,
}

/// A flow, and what is odd about it though not wrong.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The flow.
    pub flow: Flow,
    /// Warnings only.
    pub warnings: Report,
}

impl Source {
    /// A directory and an environment.
    pub fn new(config_dir: impl Into<PathBuf>, env: BTreeMap<String, String>) -> Self {
        Self {
            config_dir: config_dir.into(),
            env,
            hostname: String::new(),
        }
    }

    /// Where the file of a flow is.
    pub fn path(&self, name: &FlowName) -> PathBuf {
        self.config_dir
            .join(name.kind.as_str())
            .join(format!("{}.yaml", name.name))
    }

    /// Every flow there is, sorted. Files of kinds this version has not, and hidden files, are left
    /// out.
    ///
    /// # Errors
    /// A directory is there and can't be read: which, and why.
    pub fn flows(&self) -> Result<Vec<FlowName>, (PathBuf, io::Error)> {
        let mut flows = Vec::new();
        for kind in Kind::ALL {
            let directory = self.config_dir.join(kind.as_str());
            let fail = |error| (directory.clone(), error);
            let entries = match std::fs::read_dir(&directory) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries.map_err(fail)?,
            };
            for entry in entries {
                let file = entry.map_err(fail)?.file_name();
                let name = file.to_str().and_then(|file| file.strip_suffix(".yaml"));
                flows.extend(name.and_then(|name| format!("{kind}/{name}").parse().ok()));
            }
        }
        flows.sort();
        Ok(flows)
    }

    /// Reads a name as a person types it, as `FromStr` does, with a finding for an error.
    ///
    /// # Errors
    /// One finding that says what to write.
    pub fn name(&self, text: &str) -> Result<FlowName, Report> {
        text.parse().map_err(|error: NameError| {
            let code = match &error {
                NameError::KindGone(..) => code::KIND_NOT_AVAILABLE,
                _ => code::BAD_FLOW_NAME,
            };
            let finding = Finding::about(code, text.to_owned(), error.to_string());
            finding
                .with_hint("`flow list` shows the flows there are")
                .into()
        })
    }

    /// Loads the flow `name`. `overrides` are `--set option=value`.
    ///
    /// # Errors
    /// Everything that is wrong with it, warnings included.
    pub fn load(
        &self,
        name: &FlowName,
        plugins: &dyn Plugins,
        overrides: &[(String, String)],
    ) -> Result<Loaded, Report> {
        self.load_file(name, &self.path(name), plugins, overrides)
    }

    /// As [`load`](Self::load), from a file that may lie anywhere.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_file(
        &self,
        name: &FlowName,
        path: &Path,
        plugins: &dyn Plugins,
        overrides: &[(String, String)],
    ) -> Result<Loaded, Report> {
        match read(path) {
            Ok(text) => self.load_text(name, path, &text, plugins, overrides),
            Err(Unreadable::Missing) => Err(self.no_such_flow(name, path)),
            Err(Unreadable::Because(reason)) => {
                let message = format!("the flow `{name}` can't be read: {reason}");
                Err(Finding::about(code::UNREADABLE, self.display(path), message).into())
            }
        }
    }

    /// As [`load`](Self::load), from a text that would be the content of `path`.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_text(
        &self,
        name: &FlowName,
        path: &Path,
        text: &str,
        plugins: &dyn Plugins,
        overrides: &[(String, String)],
    ) -> Result<Loaded, Report> {
        let mut out = Collector::default();
        let variables = Variables {
            env: &self.env,
            hostname: &self.hostname,
            name,
            own: None,
        };
        let file = out.add(self.display(path), text);
        let open = vec![tidy(path)];
        let mut reader = Reader {
            source: self,
            variables,
            out: &mut out,
            open,
            complete: true,
        };
        let entries = reader.entries(file, path);
        let complete = reader.complete;
        let flow = entries.and_then(|mut entries| {
            overrides::apply(&mut out, &mut entries, overrides);
            build::flow(
                &mut out,
                variables,
                plugins,
                build::Read {
                    path,
                    file,
                    entries,
                    complete,
                },
            )
        });
        let failed = out.has_errors();
        let report = out.finish();
        match flow {
            Some(flow) if !failed => Ok(Loaded {
                flow,
                warnings: report,
            }),
            _ => Err(report),
        }
    }

    /// The directory's `credentials.conf`.
    ///
    /// # Errors
    /// See [`Credentials::load`].
    pub fn credentials(&self) -> Result<Credentials, Report> {
        Credentials::load(&self.config_dir.join("credentials.conf"))
    }

    /// A path as findings name it.
    fn display(&self, path: &Path) -> String {
        let path = tidy(path);
        path.strip_prefix(tidy(&self.config_dir))
            .unwrap_or(&path)
            .display()
            .to_string()
    }

    fn no_such_flow(&self, name: &FlowName, path: &Path) -> Report {
        let flows = self.flows().unwrap_or_default();
        let names: Vec<String> = flows.iter().map(ToString::to_string).collect();
        let wanted = name.to_string();
        let same_name = flows
            .iter()
            .find(|flow| flow.name == name.name)
            .map(ToString::to_string);
        let close = same_name
            .or_else(|| closest(&wanted, names.iter().map(String::as_str)).map(str::to_owned));
        let finding = Finding::about(
            code::NO_SUCH_FLOW,
            path.display().to_string(),
            format!("there is no flow `{name}`: its file does not exist"),
        );
        let finding = match close {
            Some(close) => finding.with_hint(format!("did you mean `{close}`?")),
            None => finding,
        };
        finding
            .with_hint("`flow list` shows the flows there are")
            .into()
    }
}

/// Why a file was not read.
pub(crate) enum Unreadable {
    Missing,
    Because(String),
}

/// More than this is no configuration.
const LARGEST: u64 = 4 << 20;

pub(crate) fn read(path: &Path) -> Result<String, Unreadable> {
    let because = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Unreadable::Missing,
        io::ErrorKind::InvalidData => Unreadable::Because("it is not UTF-8 text".into()),
        io::ErrorKind::IsADirectory => Unreadable::Because("it is a directory".into()),
        _ => Unreadable::Because(error.to_string()),
    };
    let about = std::fs::metadata(path).map_err(because)?;
    if about.len() > LARGEST {
        return Err(Unreadable::Because(format!(
            "it is larger than {} MiB",
            LARGEST >> 20
        )));
    }
    std::fs::read_to_string(path).map_err(because)
}

/// A path without `.` and, where that changes nothing but the text, without `..`.
fn tidy(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut tidy = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(tidy.components().next_back(), Some(Component::Normal(_))) =>
            {
                tidy.pop();
            }
            other => tidy.push(other),
        }
    }
    tidy
}

/// Reads a file and what it includes.
struct Reader<'a> {
    source: &'a Source,
    variables: Variables<'a>,
    out: &'a mut Collector,
    /// The files being read, to find a circle.
    open: Vec<PathBuf>,
    /// Whether every include could be read. If not, nobody can say what is missing.
    complete: bool,
}

impl Reader<'_> {
    /// The options of `file`, those of its includes beneath them.
    fn entries(&mut self, file: usize, path: &Path) -> Option<Vec<Entry>> {
        let Some(root) = yaml::parse(self.out, file).ok()? else {
            self.empty(file);
            return None;
        };
        check_secrets(self.out, None, &root);
        let own = match root.value {
            Value::Null => {
                self.empty(file);
                return None;
            }
            Value::Map(entries) => entries,
            _ => {
                let is = root.kind();
                self.out
                    .error(
                        code::NOT_A_MAPPING,
                        root.span,
                        format!("a flow is a mapping of options, this is {is}"),
                    )
                    .label("write `option: value`");
                return None;
            }
        };
        let mut merged = Vec::new();
        for entry in own.iter().filter(|entry| entry.key == "include") {
            for item in items(&entry.value) {
                match self.include(item, path) {
                    Some(included) => merge(&mut merged, included),
                    None => self.complete = false,
                }
            }
        }
        merge(&mut merged, own);
        Some(merged)
    }

    fn empty(&mut self, file: usize) {
        self.out
            .error_in(code::EMPTY, file, "the file holds no option")
            .hint("`flow list examples` shows what there is to start from");
    }

    fn include(&mut self, item: &Node, from: &Path) -> Option<Vec<Entry>> {
        let Value::Scalar(text, _) = &item.value else {
            let is = item.kind();
            self.out
                .error(
                    code::WRONG_TYPE,
                    item.span,
                    format!("`include` is a path or a list of paths, this is {is}"),
                )
                .label("write a path");
            return None;
        };
        let expanded =
            variables::expand(self.out, &self.variables, "include", item.span, text, false)?;
        let text = expanded.constant()?;
        let path = tidy(&from.parent().unwrap_or(Path::new("")).join(&text));
        if let Some(at) = self.open.iter().position(|open| *open == path) {
            let circle: Vec<String> = self.open[at..]
                .iter()
                .chain([&path])
                .map(|path| format!("`{}`", self.source.display(path)))
                .collect();
            self.out
                .error(code::INCLUDE_LOOP, item.span, "the file includes itself")
                .label("comes back here")
                .note(circle.join(" includes "));
            return None;
        }
        let content = match read(&path) {
            Ok(content) => content,
            Err(why) => {
                let message = match why {
                    Unreadable::Missing => format!("there is no file `{text}` to include"),
                    Unreadable::Because(reason) => format!("`{text}` can't be included: {reason}"),
                };
                self.out
                    .error(code::INCLUDE_NOT_FOUND, item.span, message)
                    .label("relative to this file")
                    .note(format!("looked for {}", path.display()));
                return None;
            }
        };
        let file = self.out.add(self.source.display(&path), content);
        self.open.push(path.clone());
        let entries = self.entries(file, &path);
        self.open.pop();
        entries
    }
}

/// The items of a list; a single value is a list of one, nothing is an empty one.
pub(crate) fn items(node: &Node) -> &[Node] {
    match &node.value {
        Value::Null => &[],
        Value::List(items) => items,
        _ => std::slice::from_ref(node),
    }
}

/// Puts `over` on top of `under`: keys replace, the two lists that run in order are joined.
fn merge(under: &mut Vec<Entry>, over: Vec<Entry>) {
    for entry in over {
        let Some(below) = under.iter_mut().find(|below| below.key == entry.key) else {
            under.push(entry);
            continue;
        };
        let joins = matches!(entry.key.as_str(), "filters" | "callbacks");
        match (&mut below.value.value, &entry.value.value) {
            (Value::List(first), Value::List(then)) if joins => {
                first.extend(then.iter().cloned());
                below.key_span = entry.key_span;
                below.value.span = entry.value.span;
            }
            _ => *below = entry,
        }
    }
}

/// Finds passwords in URLs, whatever option they are in, and hides what sounds like a secret.
pub(crate) fn check_secrets(out: &mut Collector, key: Option<&str>, node: &Node) {
    match &node.value {
        Value::Null => {}
        Value::Scalar(text, _) => {
            if let Some(range) = mask::url_password(text) {
                let place = variables::inside(out, node.span, text, range);
                out.hide(place);
                password_finding(out, key, place);
            }
        }
        Value::List(items) => {
            for item in items {
                check_secrets(out, key, item);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                if mask::sounds_secret(&entry.key) && matches!(entry.value.value, Value::Scalar(..))
                {
                    out.hide(entry.value.span);
                }
                check_secrets(out, Some(&entry.key), &entry.value);
            }
        }
    }
}

/// The finding about a password in the URL of `key`; names neither.
pub(crate) fn password_finding(out: &mut Collector, key: Option<&str>, place: Span) {
    let what = key.map_or_else(|| "a URL".to_owned(), |key| format!("the URL in `{key}`"));
    out.error(code::PASSWORD_IN_URL, place, format!("{what} holds a password"))
        .label("flow files are no place for it")
        .hint("write the URL with the user only, and put it with the password in `credentials.conf` (chmod 600)");
}
