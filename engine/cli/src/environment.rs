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
        doc: "compiled plugins; may be deleted at any time [default: $XDG_CACHE_HOME/flow or ~/.cache/flow]",
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
    /// Every variable that is valid Unicode, for `${NAME}` in flows.
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
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
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
}
