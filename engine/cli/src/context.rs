//! What every command works with: directories, streams, and the engine once it is asked for.

use std::path::PathBuf;

use anyhow::Context as _;
use flow_daemon::{Directories, Engine};

use crate::args::{Global, LogLevel};
use crate::catalogue;
use crate::console::Console;
use crate::environment::Environment;
use crate::journal::Logs;
use crate::observer;
use crate::stop::Problem;

/// Made once, in `main`.
pub(crate) struct Context {
    global: Global,
    environment: Environment,
    /// Both streams.
    pub console: Console,
}

impl Context {
    /// Loads nothing.
    pub(crate) fn new(global: Global, environment: Environment, console: Console) -> Self {
        Self {
            global,
            environment,
            console,
        }
    }

    /// Where things are: options, then variables, then the XDG directories.
    ///
    /// # Errors
    /// None of them says.
    pub(crate) fn directories(&self) -> anyhow::Result<Directories> {
        let absolute = |directory: PathBuf| {
            // Flows and messages name files by whole paths.
            std::path::absolute(&directory)
                .with_context(|| format!("{} is no path", directory.display()))
        };
        let find =
            |given: Option<&PathBuf>, option: &str, variable: &str, xdg: &str, home: &str| {
                let directory = given
                    .cloned()
                    .or_else(|| self.environment.directory(variable, xdg, home));
                absolute(directory.ok_or_else(|| {
                    Problem::new(
                        "cli/no-directory",
                        format!("neither {variable} nor HOME is set"),
                    )
                    .hint(format!("set {variable} or HOME, or pass {option} DIR"))
                })?)
            };
        let config = find(
            self.global.config_dir.as_ref(),
            "--config-dir",
            "FLOW_CONFIG_DIR",
            "XDG_CONFIG_HOME",
            ".config",
        )?;
        let state = find(
            self.global.state_dir.as_ref(),
            "--state-dir",
            "FLOW_STATE_DIR",
            "XDG_STATE_HOME",
            ".local/state",
        )?;
        let cache = self.global.cache_dir.clone().or_else(|| {
            self.environment
                .directory("FLOW_CACHE_DIR", "XDG_CACHE_HOME", ".cache")
        });
        // Nobody has to have one: what is compiled once can lie with the rest of the state.
        let cache = cache.map_or_else(|| Ok(state.join("cache")), absolute)?;
        Ok(Directories {
            config,
            state,
            cache,
        })
    }

    /// The engine over these directories; its log goes to stderr from now on.
    ///
    /// # Errors
    /// Nothing says where the directories are, or FLOW_LOG is no filter.
    pub(crate) fn engine(&self) -> anyhow::Result<Engine> {
        self.engine_in(self.directories()?, &[])
    }

    /// The engine over other directories, with some variables set or replaced.
    ///
    /// # Errors
    /// As [`Context::engine`].
    pub(crate) fn engine_in(
        &self,
        directories: Directories,
        set: &[(&str, &str)],
    ) -> anyhow::Result<Engine> {
        observer::init_log(&self.console, self.log_level(), self.filter())?;
        Ok(self.bare_engine(directories, set))
    }

    /// The engine for flows that run together, whose log goes to `logs`.
    ///
    /// # Errors
    /// As [`Context::engine`].
    pub(crate) fn engine_with(
        &self,
        logs: impl FnOnce(&Engine) -> Logs,
    ) -> anyhow::Result<(Engine, Logs)> {
        let engine = self.bare_engine(self.directories()?, &[]);
        let logs = logs(&engine);
        observer::init_logs(&logs, self.log_level(), self.filter())?;
        Ok((engine, logs))
    }

    fn bare_engine(&self, directories: Directories, set: &[(&str, &str)]) -> Engine {
        let mut variables = self.environment.variables.clone();
        variables.extend(
            set.iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        Engine::new(directories, variables, catalogue::plugins())
    }

    /// The level the command line or FLOW_LOG asks for, if one does.
    pub(crate) fn level_asked_for(&self) -> Option<LogLevel> {
        let set = self.environment.get("FLOW_LOG").is_some();
        (self.global.log_level.is_some() || set).then(|| self.log_level())
    }

    /// The directory that holds those of every program: `$XDG`, or else `$HOME/<below_home>`.
    pub(crate) fn base(&self, xdg: &str, below_home: &str) -> Option<PathBuf> {
        self.environment.base(xdg, below_home)
    }

    /// An environment variable that is set and not empty.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name)
    }

    /// Whether a person types and reads.
    pub(crate) fn is_terminal(&self) -> bool {
        self.environment.stdin_terminal && self.environment.stdout_terminal
    }

    /// How much to say.
    pub(crate) fn log_level(&self) -> LogLevel {
        if let Some(level) = self.global.log_level {
            return level;
        }
        let level = self.environment.get("FLOW_LOG").and_then(|text| {
            // Of a filter, its first bare level counts for the flow's own lines.
            text.split(',')
                .find_map(|part| <LogLevel as clap::ValueEnum>::from_str(part.trim(), true).ok())
        });
        level.unwrap_or(LogLevel::Info)
    }

    /// FLOW_LOG where it is a filter, not only a level, and nothing goes before it.
    fn filter(&self) -> Option<&str> {
        if self.global.log_level.is_some() {
            return None;
        }
        let text = self.environment.get("FLOW_LOG")?;
        let is_level = <LogLevel as clap::ValueEnum>::from_str(text.trim(), true).is_ok();
        (!is_level).then_some(text)
    }

    /// Asks before something is deleted; a no is said.
    ///
    /// # Errors
    /// Nobody can be asked.
    pub(crate) fn confirm(&self, question: &str) -> anyhow::Result<bool> {
        match self.console.confirm(question) {
            Some(true) => Ok(true),
            Some(false) => {
                self.console.talk("nothing was deleted");
                Ok(false)
            }
            None => Err(
                Problem::new("cli/not-confirmed", "nobody is here to confirm")
                    .note("nothing was deleted")
                    .hint("`--yes` deletes without asking")
                    .into(),
            ),
        }
    }

    /// How to go on with the same directories: [`command`](Self::command) and the options given.
    pub(crate) fn again(&self) -> String {
        let mut command = self.command();
        for (option, directory) in [
            ("--config-dir", &self.global.config_dir),
            ("--state-dir", &self.global.state_dir),
            ("--cache-dir", &self.global.cache_dir),
        ] {
            if let Some(directory) = directory {
                command.push_str(&format!(" {option} {}", directory.display()));
            }
        }
        command
    }

    /// A text with hints, in which the commands they name look where this one looked.
    pub(crate) fn advised(&self, text: String) -> String {
        let global = &self.global;
        let elsewhere = [&global.config_dir, &global.state_dir, &global.cache_dir];
        match elsewhere.iter().any(|directory| directory.is_some()) {
            true => advised(&text, &self.again()),
            false => text,
        }
    }

    /// How to call this program again: `flow` where that finds it, else its path.
    pub(crate) fn command(&self) -> String {
        let Ok(program) = std::env::current_exe() else {
            return "flow".to_owned();
        };
        let found = self.environment.get("PATH").and_then(|path| {
            std::env::split_paths(path)
                .map(|directory| directory.join("flow"))
                .find(|file| file.is_file())
        });
        if found.is_some_and(|found| found.canonicalize().ok() == program.canonicalize().ok()) {
            return "flow".to_owned();
        }
        let here = std::env::current_dir().unwrap_or_default();
        match program.strip_prefix(&here) {
            Ok(below) if below.components().count() == 1 => format!("./{}", below.display()),
            Ok(below) => below.display().to_string(),
            Err(_) => program.display().to_string(),
        }
    }
}

/// Puts `again` in the place of `flow` in the commands that hints name.
fn advised(text: &str, again: &str) -> String {
    let line = |line: &str| match line.contains("hint: ") {
        true => line.replace("`flow ", &format!("`{again} ")),
        false => line.to_owned(),
    };
    text.split_inclusive('\n').map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_name_commands_that_look_in_the_same_place() {
        let text =
            "error: `flow x` is not one\n  = hint: `flow list plugins` shows what there is\n";
        assert_eq!(
            advised(text, "flow --config-dir example"),
            "error: `flow x` is not one\n  = hint: `flow --config-dir example list plugins` shows what there is\n"
        );
    }
}
