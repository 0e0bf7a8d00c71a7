//! Every environment variable `flow` reads, with its documentation.
//!
//! This is the only place that reads the environment; what flows refer to as `${NAME}` is handed
//! down from here as data.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;

/// A variable and what it is for.
pub(crate) struct Variable {
    /// Its name.
    pub name: &'static str,
    /// One line for `flow --help`.
    pub doc: &'static str,
}

/// In the order they are documented.
pub(crate) const VARIABLES: &[Variable] = &[
    Variable {
        name: "FLOW_CONFIG_DIR",
        doc: "flows, credentials.conf and plugins/ [default: $XDG_CONFIG_HOME/flow or ~/.config/flow]",
    },
    Variable {
        name: "FLOW_STATE_DIR",
        doc: "queues, retries and what flows remember [default: $XDG_STATE_HOME/flow or ~/.local/state/flow]",
    },
    Variable {
        name: "FLOW_CACHE_DIR",
        doc: "compiled plugins; may be deleted at any time [default: $XDG_CACHE_HOME/flow or ~/.cache/flow; without HOME cache/ in the state directory]",
    },
    Variable {
        name: "FLOW_LOG",
        doc: "log level when --log-level is not given; also a filter such as `info,flow_host=debug`",
    },
    Variable {
        name: "FLOW_METRICS",
        doc: "where `flow start` and `flow run` offer /metrics and /healthz, such as 127.0.0.1:9470; with `,anywhere` behind it also to other machines",
    },
    Variable {
        name: "VISUAL, EDITOR",
        doc: "what `flow edit` opens files with; the first one that is set, else vi",
    },
    Variable {
        name: "NO_COLOR",
        doc: "set to anything: no colour",
    },
];

/// The environment as it was when the command started.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    /// Every variable that is valid Unicode, for `${NAME}` in flows. HOSTNAME and USER are always
    /// among them, as far as the system says: shells keep the first to themselves, and services of
    /// the system have neither.
    pub variables: BTreeMap<String, String>,
    /// Whether a person reads stdout.
    pub stdout_terminal: bool,
    /// Whether a person reads stderr.
    pub stderr_terminal: bool,
    /// Whether a person types.
    pub stdin_terminal: bool,
}

impl Environment {
    /// Reads it, once.
    pub(crate) fn read() -> Self {
        let mut variables: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        complete(&mut variables);
        Self {
            variables,
            stdout_terminal: std::io::stdout().is_terminal(),
            stderr_terminal: std::io::stderr().is_terminal(),
            stdin_terminal: std::io::stdin().is_terminal(),
        }
    }

    /// A variable that is set and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// `$NAME`, or else `$XDG/flow`, or else `$HOME/<below_home>/flow`.
    pub(crate) fn directory(&self, name: &str, xdg: &str, below_home: &str) -> Option<PathBuf> {
        if let Some(directory) = self.get(name) {
            return Some(PathBuf::from(directory));
        }
        Some(self.base(xdg, below_home)?.join("flow"))
    }

    /// `$XDG`, or else `$HOME/<below_home>`: where every program has a directory.
    pub(crate) fn base(&self, xdg: &str, below_home: &str) -> Option<PathBuf> {
        match self.get(xdg) {
            // The XDG specification says to ignore relative paths.
            Some(base) if base.starts_with('/') => Some(PathBuf::from(base)),
            _ => Some(PathBuf::from(self.get("HOME")?).join(below_home)),
        }
    }
}

/// Adds what the system knows and the environment lacks.
fn complete(variables: &mut BTreeMap<String, String>) {
    let lacks = |variables: &BTreeMap<String, String>, name: &str| {
        variables.get(name).is_none_or(String::is_empty)
    };
    if lacks(variables, "HOSTNAME")
        && let Ok(name) = std::fs::read_to_string("/proc/sys/kernel/hostname")
        && !name.trim().is_empty()
    {
        variables.insert("HOSTNAME".to_owned(), name.trim().to_owned());
    }
    if lacks(variables, "USER") {
        let logged_in = variables.get("LOGNAME").filter(|name| !name.is_empty());
        let user = logged_in.cloned().or_else(|| {
            let accounts = std::fs::read_to_string("/etc/passwd").ok()?;
            user_of(&accounts, rustix::process::geteuid().as_raw())
        });
        if let Some(user) = user {
            variables.insert("USER".to_owned(), user);
        }
    }
}

/// The name of a user in the text of `/etc/passwd`.
fn user_of(accounts: &str, id: u32) -> Option<String> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        let variables = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        Environment {
            variables,
            ..Environment::default()
        }
    }

    #[test]
    fn directories_follow_the_variable_then_xdg_then_home() {
        let check = |pairs: &[(&str, &str)], expected: Option<&str>| {
            let found =
                environment(pairs).directory("FLOW_STATE_DIR", "XDG_STATE_HOME", ".local/state");
            assert_eq!(found, expected.map(PathBuf::from), "{pairs:?}");
        };
        check(&[("FLOW_STATE_DIR", "x"), ("HOME", "/h")], Some("x"));
        check(&[("XDG_STATE_HOME", "/s"), ("HOME", "/h")], Some("/s/flow"));
        check(
            &[("XDG_STATE_HOME", "relative"), ("HOME", "/h")],
            Some("/h/.local/state/flow"),
        );
        check(
            &[("FLOW_STATE_DIR", ""), ("HOME", "/h")],
            Some("/h/.local/state/flow"),
        );
        check(&[], None);
    }

    #[test]
    fn what_the_environment_lacks_is_asked_of_the_system() {
        let mut bare = BTreeMap::from([("LOGNAME".to_owned(), "feed".to_owned())]);
        complete(&mut bare);
        assert_eq!(bare["USER"], "feed");
        assert!(!bare["HOSTNAME"].is_empty());

        let set = [("HOSTNAME", "pump1"), ("USER", "me"), ("LOGNAME", "feed")];
        let mut set = environment(&set).variables;
        let before = set.clone();
        complete(&mut set);
        assert_eq!(set, before);

        let accounts = "root:x:0:0::/root:/bin/sh\n\nodd\nfeed:x:998:998::/:/bin/false\n";
        assert_eq!(user_of(accounts, 998).as_deref(), Some("feed"));
        assert_eq!(user_of(accounts, 99), None);
    }
}
