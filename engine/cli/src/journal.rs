//! Where flows that run together write what happens: a file per flow, or stdout.
//!
//! The lines are those of `flow foreground`, with the day before the time. A line that can't be
//! written (a full disk) is lost; nothing waits for it.

mod rotated;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flow_config::{Flow, FlowName};
use flow_daemon::Engine;
use flow_daemon::background::{self, Weight};
use flow_runtime::ports::{Event, Observer};

use crate::args::LogLevel;
use crate::console::Console;
use crate::observer::{self, Wanted};
use crate::render::{Paint, printable_lines};

use rotated::Rotated;
pub(crate) use rotated::older;

/// What the process calls itself in lines that are about no flow.
const OWN: &str = "flow";

/// All logs of a process. Clones are the same logs.
#[derive(Clone)]
pub(crate) struct Logs {
    shared: Arc<Shared>,
}

struct Shared {
    place: Place,
    /// Set on the command line, it goes before what flows say.
    level: Option<LogLevel>,
    /// What flows say themselves.
    levels: Mutex<BTreeMap<String, LogLevel>>,
}

enum Place {
    Stdout(Console),
    Files {
        directory: PathBuf,
        own: File,
        flows: Mutex<BTreeMap<String, File>>,
    },
}

type File = Arc<Mutex<Rotated>>;

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic in one line must not silence the rest.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Logs {
    /// One file per flow, and one for the process, where `engine` says.
    pub(crate) fn files(engine: &Engine, level: Option<LogLevel>) -> Self {
        let own = engine.log_file(None);
        let directory = own.parent().unwrap_or(&own).to_owned();
        Self::new(
            Place::Files {
                directory,
                own: Arc::new(Mutex::new(Rotated::new(own))),
                flows: Mutex::default(),
            },
            level,
        )
    }

    /// Everything to stdout.
    pub(crate) fn stdout(console: Console, level: Option<LogLevel>) -> Self {
        Self::new(Place::Stdout(console), level)
    }

    fn new(place: Place, level: Option<LogLevel>) -> Self {
        Self {
            shared: Arc::new(Shared {
                place,
                level,
                levels: Mutex::default(),
            }),
        }
    }

    fn paint(&self) -> Paint {
        match &self.shared.place {
            Place::Stdout(console) => console.paint(),
            Place::Files { .. } => Paint::off(),
        }
    }

    /// The file of a flow; none on stdout.
    fn file(&self, flow: &str) -> Option<File> {
        let Place::Files {
            directory, flows, ..
        } = &self.shared.place
        else {
            return None;
        };
        let mut flows = hold(flows);
        let file = flows.entry(flow.to_owned()).or_insert_with(|| {
            let path = directory.join(format!("{flow}.log"));
            Arc::new(Mutex::new(Rotated::new(path)))
        });
        Some(Arc::clone(file))
    }

    /// From which level on a flow's lines are written: that asked for, or else the flow's own. The
    /// engine's log is opened as far as the flow that says most wants it.
    fn level_of(&self, flow: &Flow) -> LogLevel {
        if let Some(level) = self.shared.level {
            return level;
        }
        let level = LogLevel::of_flow(flow.log.level);
        let mut levels = hold(&self.shared.levels);
        levels.insert(flow.name.to_string(), level);
        let most = levels.values().copied().fold(LogLevel::Info, Ord::max);
        drop(levels);
        observer::say_more(most);
        level
    }

    /// Whether a line of the engine about a flow, or about the process, is wanted.
    pub(crate) fn wants(&self, flow: Option<&str>, level: LogLevel) -> bool {
        if self.shared.level.is_some() {
            return true;
        }
        let own = flow.and_then(|flow| hold(&self.shared.levels).get(flow).copied());
        level <= own.unwrap_or(LogLevel::Info)
    }

    /// Writes a line about a flow, or about the process.
    pub(crate) fn line(&self, flow: Option<&str>, level: LogLevel, text: &str) {
        let file = flow.and_then(|flow| self.file(flow));
        self.write(file.as_ref(), flow.unwrap_or(OWN), level, text);
    }

    fn write(&self, file: Option<&File>, flow: &str, level: LogLevel, text: &str) {
        let now = jiff::Zoned::now();
        let line = observer::dated_line(self.paint(), &now, level, flow, text);
        match (&self.shared.place, file) {
            (Place::Files { .. }, Some(file)) => hold(file).write(&now, &line),
            (Place::Files { own, .. }, None) => hold(own).write(&now, &line),
            // Nobody reads it: that is no reason to stop.
            (Place::Stdout(console), _) => drop(console.print(&line)),
        }
    }
}

impl background::Journal for Logs {
    fn observer(&self, flow: &Flow) -> Arc<dyn Observer> {
        let name = flow.name.to_string();
        Arc::new(FlowLog {
            logs: self.clone(),
            file: self.file(&name),
            level: self.level_of(flow),
            wanted: Wanted::of(flow),
            name,
        })
    }

    fn note(&self, flow: Option<&FlowName>, weight: Weight, text: &str) {
        let level = match weight {
            Weight::Error => LogLevel::Error,
            Weight::Warning => LogLevel::Warn,
            Weight::Info => LogLevel::Info,
        };
        let text = printable_lines(text, &" ".repeat(4));
        let name = flow.map(ToString::to_string);
        self.line(name.as_deref(), level, &text);
        // Who looks after the process wants to know as well.
        if let (Some(name), Place::Files { .. }) = (name, &self.shared.place) {
            self.write(None, &name, level, &text);
        }
    }
}

/// Writes down what happens in one flow.
struct FlowLog {
    logs: Logs,
    file: Option<File>,
    name: String,
    level: LogLevel,
    wanted: Wanted,
}

impl Observer for FlowLog {
    fn event(&self, event: &Event<'_>) {
        if let Some((level, text)) = self.wanted.line(event, self.level) {
            self.logs
                .write(self.file.as_ref(), &self.name, level, &text);
        }
    }

    fn wants_messages(&self) -> bool {
        self.level > LogLevel::Off
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use flow_daemon::Directories;
    use flow_daemon::background::Journal;

    use super::*;

    #[test]
    fn each_flow_has_its_file_and_the_process_hears_of_trouble() {
        let home = tempfile::tempdir().expect("a directory");
        let directories = Directories {
            config: home.path().join("config"),
            state: home.path().join("state"),
            cache: home.path().join("cache"),
        };
        let engine = Engine::new(directories, BTreeMap::new(), &[]);
        let logs = Logs::files(&engine, None);
        let name: FlowName = "poll/a".parse().expect("a name");
        let flow = Flow::new(name.clone());
        let observer = logs.observer(&flow);
        observer.event(&Event::Started);
        observer.event(&Event::Stopped);
        logs.note(Some(&name), Weight::Error, "failed: no\nqueue\x1b[2J");
        logs.note(None, Weight::Info, "ends");
        let read = |flow| {
            let text = fs::read_to_string(engine.log_file(flow)).expect("it is there");
            let lines = text.lines().map(|line| match line.get(..24) {
                Some(time) if time.starts_with("20") => line[24..].to_owned(),
                _ => line.to_owned(),
            });
            lines.collect::<Vec<_>>()
        };
        assert_eq!(
            read(Some(&name)),
            [
                "INFO  poll/a  started",
                "ERROR poll/a  failed: no",
                "    queue\\u{1b}[2J"
            ]
        );
        assert_eq!(
            read(None),
            [
                "ERROR poll/a  failed: no",
                "    queue\\u{1b}[2J",
                "INFO  flow  ends"
            ]
        );
    }
}
