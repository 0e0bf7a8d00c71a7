//! sr3's state directory, as far as a conversion needs it: the names of queues.
//!
//! Only reads; what sr3 remembers stays as it is.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use flow_config::convert::{Component, Queues};

use crate::context::Context;
use crate::stop::Problem;

/// The directory, which may not be there: then sr3 has not run yet.
#[derive(Debug)]
pub(super) struct State {
    root: PathBuf,
}

impl State {
    /// The one that is named, else the user's own where the user's own configurations are
    /// converted; none: nobody knows.
    ///
    /// # Errors
    /// The one that is named is no folder.
    pub(super) fn find(
        named: Option<&Path>,
        configurations: &Path,
        context: &Context,
    ) -> anyhow::Result<Option<Self>> {
        if let Some(named) = named {
            if !named.is_dir() {
                return Err(
                    Problem::new("cli/usage", format!("{} is no folder", named.display()))
                        .hint(
                            "--state names sr3's state directory, which is ~/.cache/sr3 as a rule",
                        )
                        .into(),
                );
            }
            return Ok(Some(Self {
                root: named.to_owned(),
            }));
        }
        let whole = |path: &Path| fs::canonicalize(path).ok();
        let own = context.base("XDG_CONFIG_HOME", ".config");
        let own = own.and_then(|base| whole(&base.join("sr3")));
        if own.is_none() || own != whole(configurations) {
            return Ok(None);
        }
        let base = context.base("XDG_CACHE_HOME", ".cache");
        Ok(base.map(|base| Self {
            root: base.join("sr3"),
        }))
    }

    /// What sr3 remembers of the queues of a configuration.
    ///
    /// # Errors
    /// It is there and can't be read; the error names the file.
    pub(super) fn queues(&self, component: Component, name: &str) -> io::Result<Queues> {
        let below = Path::new(component.as_str()).join(name);
        let found = queues(&self.root.join(&below), component, name)?;
        if found != Queues::default() {
            return Ok(found);
        }
        // With `statehost` there is a folder for each machine.
        let mut hosts = Queues::default();
        for entry in entries(&self.root)? {
            hosts.add(queues(&entry.join(&below), component, name)?);
        }
        Ok(hosts)
    }
}

fn queues(folder: &Path, component: Component, name: &str) -> io::Result<Queues> {
    let path = folder.join("subscriptions.json");
    let mut found = match fs::read(&path) {
        Ok(bytes) => Queues::of_subscriptions(&String::from_utf8_lossy(&bytes)),
        Err(error) if is_absent(&error) => Queues::default(),
        Err(error) => return Err(named(&path, &error)),
    };
    if !found.is_empty() {
        return Ok(found);
    }
    // As older versions of sr3 wrote it: `<component>.<name>.<user>.qname`.
    let before = format!("{component}.{name}.");
    for path in entries(folder)? {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let user = file.strip_prefix(&before);
        if let Some(user) = user.and_then(|rest| rest.strip_suffix(".qname")) {
            let bytes = fs::read(&path).map_err(|error| named(&path, &error))?;
            let text = String::from_utf8_lossy(&bytes);
            found.add(Queues::of_names([(user, text.as_ref())]));
        }
    }
    Ok(found)
}

/// What is in a folder, by name; nothing in one that is not there.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let read = match fs::read_dir(folder) {
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        read => read.map_err(|error| named(folder, &error))?,
    };
    let paths: io::Result<Vec<PathBuf>> = read.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths.map_err(|error| named(folder, &error))?;
    paths.sort();
    Ok(paths)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(files: &[(&str, &str)]) -> (tempfile::TempDir, State) {
        let dir = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        }
        let root = dir.path().to_owned();
        (dir, State { root })
    }

    const LIST: &str = r#"[{"broker": "amqp://me@localhost/", "queue": {"name": "q_me.a"}}]"#;

    fn found(files: &[(&str, &str)]) -> Queues {
        let (_dir, state) = state(files);
        state.queues(Component::Subscribe, "x").expect("readable")
    }

    #[test]
    fn queues_are_found_where_sr3_writes_them() {
        let list = Queues::of_subscriptions(LIST);
        let path = "subscribe/x/subscriptions.json";
        let old = "subscribe/x/subscribe.x.me.qname";
        assert_eq!(found(&[(path, LIST)]), list);
        assert_eq!(found(&[(path, LIST), (old, "q_me.b")]), list);
        assert_eq!(
            found(&[("here/subscribe/x/subscriptions.json", LIST)]),
            list
        );
        let legacy = Queues::of_names([("me", "q_me.b")]);
        assert_eq!(found(&[(old, "q_me.b")]), legacy);
        assert_eq!(found(&[(path, "[]"), (old, "q_me.b")]), legacy);
        assert_eq!(
            found(&[("here/subscribe/x/subscribe.x.me.qname", "q_me.b")]),
            legacy
        );
        let others = [
            ("subscribe/y/subscriptions.json", LIST),
            ("shovel/x/subscriptions.json", LIST),
            ("subscribe/x/shovel.x.me.qname", "q_me.b"),
            ("log/subscribe_x_01.log", ""),
        ];
        assert_eq!(found(&others), Queues::default());
    }

    #[test]
    fn a_state_directory_that_is_not_there_holds_nothing() {
        let state = State {
            root: PathBuf::from("/nonexistent/sr3"),
        };
        let found = state.queues(Component::Shovel, "x").expect("nothing");
        assert_eq!(found, Queues::default());
    }
}
