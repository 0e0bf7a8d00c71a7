//! Which flows should run, on disk: a name a line, and a star if that is all there are.
//!
//! Written by the background process alone, each time it changes; read by `sanity`, `status` and
//! `restart` after that process was killed. A flow that is stopped on purpose leaves the list.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;

use flow_config::FlowName;

use super::lock::Lock;

/// The list.
#[derive(Debug, Clone)]
pub struct Started {
    path: PathBuf,
}

/// What stands in the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Flows that should run.
    pub flows: BTreeSet<FlowName>,
    /// Whether flows that are new belong to them; a line with a star.
    pub all: bool,
}

impl Started {
    /// The list in a file, which need not be there.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// What is in it. What can't be read is empty: then nothing is known of what should run.
    pub fn read(&self) -> Wanted {
        let text = std::fs::read_to_string(&self.path).unwrap_or_default();
        Wanted {
            flows: text.lines().filter_map(|line| line.parse().ok()).collect(),
            all: text.lines().any(|line| line == "*"),
        }
    }

    /// Takes flows off the list, or with none everything, where no background process is there to
    /// do it. The caller proves by the lock that none is.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn forget(&self, _: &Lock, flows: Option<&[FlowName]>) -> io::Result<()> {
        let mut wanted = self.read();
        match flows {
            Some(flows) => wanted.flows.retain(|name| !flows.contains(name)),
            None => wanted = Wanted::default(),
        }
        self.write(&wanted)
    }

    /// Replaces it; with no flows the file goes.
    pub(super) fn write(&self, wanted: &Wanted) -> io::Result<()> {
        if wanted.flows.is_empty() {
            return match std::fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        let star = if wanted.all { "*\n" } else { "" };
        let names = wanted.flows.iter().map(|name| format!("{name}\n"));
        let text: String = std::iter::once(star.to_owned()).chain(names).collect();
        let unfinished = self.path.with_extension("started.tmp");
        let mut file = std::fs::File::create(&unfinished)?;
        file.write_all(text.as_bytes())?;
        std::fs::rename(unfinished, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_nothing_else_does() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("flow.started");
        let started = Started::new(path.clone());
        assert_eq!(started.read(), Wanted::default());
        let name = |name: &str| -> FlowName { name.parse().expect("a name") };
        let wanted = Wanted {
            flows: [name("poll/a"), name("watch/b")].into(),
            all: true,
        };
        started.write(&wanted).expect("writable");
        assert_eq!(started.read(), wanted);
        let lock = Lock::take(&directory.path().join("flow.lock")).expect("it is free");
        started
            .forget(&lock, Some(&[name("poll/a")]))
            .expect("writable");
        assert_eq!(started.read().flows, [name("watch/b")].into());
        std::fs::write(&path, "poll/a\nnonsense\n\n").expect("writable");
        assert_eq!(started.read().flows.len(), 1);
        assert!(!started.read().all);
        started.forget(&lock, None).expect("writable");
        assert!(!path.exists());
        started.forget(&lock, None).expect("it need not be there");
    }
}
