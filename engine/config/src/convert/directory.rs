//! Converts a whole configuration folder, such as `~/.config/sr3`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::components::Component;
use super::input::{Folder, Input, Known};
use super::lines::Lines;
use super::queues::Queues;
use super::report::{Fate, Remark, Tally};
use super::users::users;
use super::{Conversion, convert};
use crate::Secret;
use crate::credentials::Credentials;

/// One configuration of a folder.
#[derive(Debug, Clone)]
pub struct Converted {
    /// The file it was, relative to the folder.
    pub source: PathBuf,
    /// The file it becomes, relative to the new folder.
    pub target: PathBuf,
    /// What became of it.
    pub conversion: Conversion,
}

/// What became of a folder.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    /// In the order of their names.
    pub flows: Vec<Converted>,
    /// The new `credentials.conf`, complete, to be written with mode 600: lines of the old one as
    /// they are, and passwords found in URLs. None: there are none.
    pub credentials: Option<Secret>,
    /// `users.yaml`: who may use the broker, where `admin.conf` names them.
    pub users: Option<String>,
    /// What is to be said about other files.
    pub report: Vec<Remark>,
}

impl Directory {
    /// How many remarks of each fate, of all flows.
    pub fn tally(&self) -> Tally {
        let remarks: Vec<Remark> = self
            .report
            .iter()
            .chain(self.flows.iter().flat_map(|flow| &flow.conversion.report))
            .cloned()
            .collect();
        Tally::of(&remarks)
    }

    /// The report as lines of text; see [`Conversion::render`].
    pub fn render(&self, all: bool) -> String {
        let mut out = super::report::render(&self.report, all);
        for flow in &self.flows {
            out.push_str(&flow.conversion.render(all));
        }
        out
    }
}

/// Files whose options apply to all flows, in the order sr3 reads them.
const FOR_ALL: [&str; 2] = ["admin.conf", "default.conf"];

/// What sr3's state directory holds for a configuration, by component and name; none: there is no
/// such directory.
pub type Remembered<'a> = dyn Fn(Component, &str) -> io::Result<Option<Queues>> + 'a;

/// Converts every configuration in `root`.
///
/// # Errors
/// The folder, or a configuration in it, or what sr3 remembers of one can't be read.
pub fn convert_directory(root: &Path, remembered: &Remembered<'_>) -> io::Result<Directory> {
    let mut out = Directory::default();
    let mut included: Vec<PathBuf> = Vec::new();
    let mut before = Vec::new();
    for name in FOR_ALL {
        match fs::read(root.join(name)) {
            Ok(bytes) => before.push((
                PathBuf::from(name),
                String::from_utf8_lossy(&bytes).into_owned(),
            )),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let known = Known {
        before,
        include: Some(Box::new(Folder {
            root: root.to_owned(),
        })),
    };
    let mut inserts: Vec<PathBuf> = Vec::new();
    for component in Component::ALL {
        for name in names(&root.join(component.as_str()))? {
            let source = Path::new(component.as_str()).join(&name);
            match source.extension().and_then(|ext| ext.to_str()) {
                Some("conf") => {}
                Some("inc") => {
                    inserts.push(source);
                    continue;
                }
                _ => {
                    out.remark(
                        &source,
                        Fate::Dropped,
                        "it is no configuration, in sr3 neither",
                    );
                    continue;
                }
            }
            let bytes = fs::read(root.join(&source))?;
            let text = String::from_utf8_lossy(&bytes);
            let stem = Path::new(&name).with_extension("");
            let queues = remembered(component, &stem.to_string_lossy())?;
            let input = Input {
                path: &source,
                text: &text,
                component,
                queues: queues.as_ref(),
            };
            let conversion = convert(&input, &known);
            included.extend(conversion.files.iter().cloned());
            let target = free_name(&out.flows, conversion.kind, &stem);
            if target.file_stem() != Some(stem.as_os_str()) {
                let mut text = format!(
                    "a flow `{}/{}` is there already, so it is {}",
                    conversion.kind,
                    stem.display(),
                    target.display()
                );
                let named = conversion
                    .yaml
                    .lines()
                    .find(|line| line.starts_with("queueName:"));
                let takes = conversion
                    .yaml
                    .lines()
                    .any(|line| line.starts_with("broker:"));
                if takes && named.is_none_or(|line| line.contains("${CONFIG}")) {
                    text.push_str(", and so is its queue named");
                }
                out.remark(&source, Fate::Changed, &text);
            }
            out.flows.push(Converted {
                source,
                target,
                conversion,
            });
        }
    }
    for insert in inserts {
        if included.contains(&insert) {
            out.remark(
                &insert,
                Fate::Kept,
                "its lines are in the flows that include it",
            );
        } else {
            out.remark(&insert, Fate::Dropped, "no flow includes it");
        }
    }
    for name in names(&root.join("plugins"))? {
        if name.ends_with(".py") {
            let plugin = super::plugins::own_name(&name);
            let text = super::plugins::write_one(&plugin);
            out.remark(&Path::new("plugins").join(&name), Fate::Refused, &text);
        }
    }
    let fresh = out.users(&known);
    out.credentials(root, &fresh)?;
    Ok(out)
}

/// The files of a folder by name; one that is not there is empty. Hidden ones are left out.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && !entry.path().is_dir() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// `kind/name.yaml`, with a number if that is taken: `cpump` and `shovel` share a folder here.
fn free_name(flows: &[Converted], kind: &str, stem: &Path) -> PathBuf {
    let stem = stem.display();
    let mut target = Path::new(kind).join(format!("{stem}.yaml"));
    let mut number = 2;
    while flows.iter().any(|flow| flow.target == target) {
        target = Path::new(kind).join(format!("{stem}_{number}.yaml"));
        number += 1;
    }
    target
}

impl Directory {
    fn remark(&mut self, file: &Path, fate: Fate, text: &str) {
        self.remark_line(file, None, fate, text);
    }

    fn remark_line(&mut self, file: &Path, line: Option<usize>, fate: Fate, text: &str) {
        self.report.push(Remark {
            file: file.to_owned(),
            line,
            column: None,
            fate,
            option: String::new(),
            text: text.to_owned(),
        });
    }

    /// Users are no flow's: a file of their own. Returns lines for `credentials.conf`.
    fn users(&mut self, known: &Known) -> Vec<Secret> {
        let nothing = Input {
            path: Path::new(FOR_ALL[0]),
            text: "",
            component: Component::Flow,
            queues: None,
        };
        let found = users(&Lines::read(&nothing, known));
        let file = Path::new(FOR_ALL[0]);
        if found.lacks_admin {
            let text = "it names users and no `admin` who could make them; there is no users.yaml";
            self.remark(file, Fate::Changed, text);
        }
        if found.yaml.is_some() {
            let text = "its users are in users.yaml, for `flow declare --users`";
            self.remark(file, Fate::Kept, text);
        }
        self.users = found.yaml;
        found.credentials
    }

    /// The syntax of credentials is the same, so that the lines are kept as they are.
    fn credentials(&mut self, root: &Path, others: &[Secret]) -> io::Result<()> {
        let file = Path::new("credentials.conf");
        let path = root.join(file);
        let mut text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        if !text.is_empty() {
            // Only to check it: what it says never holds a line of the file.
            if let Err(report) = Credentials::load(&path) {
                for finding in report.findings() {
                    let text = std::iter::once(finding.message.clone())
                        .chain(finding.hints.iter().cloned())
                        .collect::<Vec<_>>()
                        .join("; ");
                    self.remark_line(file, finding.line, Fate::Changed, &text);
                }
            }
            self.remark(
                file,
                Fate::Kept,
                "the lines are the same here; write them with mode 600",
            );
        }
        let mut fresh: Vec<String> = Vec::new();
        let of_flows = self
            .flows
            .iter()
            .flat_map(|flow| &flow.conversion.credentials);
        for line in of_flows.chain(others) {
            let line = line.expose().to_owned();
            if !fresh.contains(&line) && !text.lines().any(|known| known.trim() == line) {
                fresh.push(line);
            }
        }
        if !fresh.is_empty() {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str("# These stood in the URLs of flows.\n");
            for line in fresh {
                text.push_str(&line);
                text.push('\n');
            }
        }
        self.credentials = Some(text).filter(|text| !text.is_empty()).map(Secret::new);
        Ok(())
    }
}
