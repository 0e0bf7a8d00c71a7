//! The command line as a type: verb first, then flow names.
//!
//! Each command's own arguments stand in its module, next to what they do.

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::{
    add, background, check, cleanup, completions, convert, declare, demo, dump, edit, enable,
    explain, foreground, helper, list, plugin, post, remove, rename, replay, retry, show,
};
use crate::console::Color;
use crate::environment::VARIABLES;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Cyan.on_default().dimmed());

/// Routes data: polls, fetches, decodes and posts, one YAML file per flow
#[derive(Debug, Parser)]
#[command(
    name = "flow",
    version,
    styles = STYLES,
    propagate_version = false,
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Start here: `flow demo`, then `flow add flow/mail.yaml`.",
    after_long_help = after_long_help(),
)]
pub(crate) struct Cli {
    /// Options every command has.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options every command has.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Where flows are [default: ~/.config/flow]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        help_heading = "Global options"
    )]
    pub config_dir: Option<PathBuf>,
    /// Where queues and retries are kept [default: ~/.local/state/flow]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        help_heading = "Global options"
    )]
    pub state_dir: Option<PathBuf>,
    /// Where compiled plugins are kept [default: ~/.cache/flow]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        help_heading = "Global options"
    )]
    pub cache_dir: Option<PathBuf>,
    /// How much to say: off, error, warn, info, debug, trace [default: info]
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        hide_possible_values = true,
        help_heading = "Global options"
    )]
    pub log_level: Option<LogLevel>,
    /// Whether to colour: auto, always, never [default: auto]
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_default_value = true,
        hide_possible_values = true,
        help_heading = "Global options"
    )]
    pub color: Color,
}

/// How much to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum LogLevel {
    /// Nothing.
    Off,
    /// What needs a person.
    Error,
    /// And what recovered by itself.
    Warn,
    /// And what was asked for.
    Info,
    /// And every step.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The level a flow's file asks for.
    pub(crate) fn of_flow(level: flow_config::LogLevel) -> Self {
        match level {
            flow_config::LogLevel::None => Self::Off,
            flow_config::LogLevel::Error => Self::Error,
            flow_config::LogLevel::Warning => Self::Warn,
            flow_config::LogLevel::Info => Self::Info,
            flow_config::LogLevel::Debug => Self::Debug,
            flow_config::LogLevel::Trace => Self::Trace,
        }
    }

    /// As on the command line.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// How a table is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs; the shape is in `--help` and stays.
    Json,
}

/// `--format`.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct FormatArg {
    /// How to print: text (for people) or json (for programs) [default: text]
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "text",
        hide_default_value = true,
        hide_possible_values = true
    )]
    pub format: Format,
}

impl FormatArg {
    /// Whether JSON was asked for.
    pub(crate) fn is_json(self) -> bool {
        self.format == Format::Json
    }
}

/// `--set option=value`, as often as needed.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SetArg {
    /// Set an option for this run only, over what the file says
    ///
    /// Written as in the file, units included: `--set sleep=5s`, `--set callbacks[0].after=seen`.
    #[arg(long, value_name = "OPTION=VALUE", value_parser = option_and_value)]
    pub set: Vec<(String, String)>,
}

fn option_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((option, value)) if !option.trim().is_empty() => {
            Ok((option.trim().to_owned(), value.to_owned()))
        }
        _ => Err("write it as `option=value`, for example `sleep=5s`".to_owned()),
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the whole way of a mail on this machine, no account needed
    Demo(demo::Args),
    /// List flows, shipped examples, plugins or queues
    List(list::Args),
    /// Copy a shipped example to your flows
    Add(add::Args),
    /// Open a flow's file in an editor, and check it
    Edit(edit::Args),
    /// Give a flow another name
    Rename(rename::Args),
    /// Delete a flow's file
    Remove(remove::Args),
    /// Print every option of a flow, its value and its origin
    Show(show::Args),
    /// Find all that is wrong with flows, without the network
    Check(check::Args),
    /// Turn configurations of sr3 into flows
    Convert(convert::Args),
    /// Run one flow in this terminal and see what happens
    Foreground(foreground::Args),
    /// Serve lines on stdin and stdout, for the program that runs this
    Helper(helper::Args),
    /// Play a recording to the plugins, and compare what they do
    Replay(replay::Args),
    /// Run flows in the background
    Start(background::start::Args),
    /// Let flows finish what is in hand, and end them
    Stop(background::stop::Args),
    /// Stop and start flows, or the whole background process
    Restart(background::restart::Args),
    /// Read flows again and restart those that changed
    Reload(background::reload::Args),
    /// Show how flows are, one line each
    Status(background::status::Args),
    /// Show how flows are, again and again
    Top(background::top::Args),
    /// Print the end of a flow's log, and follow it
    Log(background::log::Args),
    /// Start what should run and does not; for cron
    Sanity(background::sanity::Args),
    /// Run all flows in this process, for containers
    Run(background::run::Args),
    /// The background process itself
    #[command(hide = true)]
    Background(background::serve::Args),
    /// Let flows be started again
    Enable(enable::EnableArgs),
    /// Keep flows from being started
    Disable(enable::DisableArgs),
    /// Make the exchanges and queues that flows need
    Declare(declare::Args),
    /// Delete the queues of flows and what they remember
    Cleanup(cleanup::Args),
    /// Announce files: paths become messages on an exchange
    Post(post::Args),
    /// Look at, repeat or drop messages that failed
    Retry(retry::Args),
    /// List, show, make, build, test, add and remove plugins
    Plugin(plugin::Args),
    /// Print everything somebody needs who is to help
    Dump(dump::Args),
    /// Explain an error code
    Explain(explain::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
}

fn after_long_help() -> String {
    use std::fmt::Write;
    let mut text = String::from("Environment:\n");
    for variable in VARIABLES {
        // Writing to a String can't fail.
        let _ = writeln!(text, "  {}\n          {}", variable.name, variable.doc);
    }
    text.push_str(
        "\nExit codes:\n  \
         0  done\n  \
         1  it ran and the answer is no: findings, failed messages\n  \
         2  it could not run: usage, configuration, internal error\n\
         \n\
         Flows are named `kind/name` after their file, `<config>/kind/name.yaml`.\n\
         Data goes to stdout, talk to stderr.\n\
         \n\
         Start here: `flow demo`, then `flow add flow/mail.yaml`.",
    );
    text
}

/// What sr3 calls a command that has another name here.
const WORDS_OF_SR3: [(&str, &str); 5] = [
    ("setup", "declare"),
    ("overview", "status"),
    ("devsnap", "dump"),
    ("snapshot", "dump"),
    ("audit", "sanity"),
];

/// The error with the command that sr3's word stands for, if that is what was written.
pub(crate) fn with_words_of_sr3(mut error: clap::Error) -> clap::Error {
    use clap::error::{ContextKind, ContextValue};
    let written = match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(written)) => written.as_str(),
        _ => return error,
    };
    let known = WORDS_OF_SR3.iter().find(|(word, _)| *word == written);
    if let Some((_, here)) = known {
        let meant = ContextValue::Strings(vec![(*here).to_owned()]);
        error.insert(ContextKind::SuggestedSubcommand, meant);
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn words_of_sr3_lead_to_commands_there_are() {
        for (word, here) in WORDS_OF_SR3 {
            Cli::command()
                .find_subcommand(here)
                .unwrap_or_else(|| panic!("{here}"));
            let error = Cli::try_parse_from(["flow", word]).expect_err("it is no command");
            let text = with_words_of_sr3(error).to_string();
            assert!(text.contains(&format!("exists: '{here}'")), "{text}");
        }
        let error = Cli::try_parse_from(["flow", "strat"]).expect_err("it is no command");
        let before = error.to_string();
        assert_eq!(with_words_of_sr3(error).to_string(), before);
    }

    /// Every help text, short and long, as a person sees it in an 80-column terminal.
    fn help(path: &[&str], long: bool) -> String {
        let mut command = Cli::command()
            .term_width(80)
            .color(clap::ColorChoice::Never);
        command.build();
        let mut at = &mut command;
        for name in path {
            at = at.find_subcommand_mut(name).expect("the command exists");
        }
        let text = if long {
            at.render_long_help()
        } else {
            at.render_help()
        };
        text.to_string()
    }

    fn every_command() -> Vec<Vec<&'static str>> {
        let mut all = vec![vec![]];
        for name in [
            "demo",
            "list",
            "add",
            "edit",
            "rename",
            "remove",
            "show",
            "check",
            "foreground",
            "replay",
            "start",
            "stop",
            "restart",
            "reload",
            "status",
            "top",
            "log",
            "sanity",
            "run",
            "enable",
            "disable",
            "declare",
            "cleanup",
            "post",
            "convert",
            "retry",
            "plugin",
            "dump",
            "explain",
            "completions",
        ] {
            all.push(vec![name]);
        }
        for name in ["list", "show", "requeue", "drop"] {
            all.push(vec!["retry", name]);
        }
        for name in ["list", "show", "new", "build", "test", "add", "remove"] {
            all.push(vec!["plugin", name]);
        }
        all
    }

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn short_help_fits_one_screen() {
        for path in every_command() {
            // The list of all commands is as long as it is; a line each.
            let screen = if path.is_empty() { 54 } else { 40 };
            let lines = help(&path, false).lines().count();
            assert!(
                lines <= screen,
                "`flow {} -h` has {lines} lines",
                path.join(" ")
            );
        }
    }

    #[test]
    fn help_reads_as_pinned() {
        for path in every_command() {
            let name = if path.is_empty() {
                "flow".to_owned()
            } else {
                path.join("-")
            };
            let text = format!(
                "{}\n==== --help ====\n\n{}",
                help(&path, false),
                help(&path, true)
            );
            insta::assert_snapshot!(format!("help-{name}"), text);
        }
    }

    #[test]
    fn long_help_names_the_exit_codes_of_commands_that_can_say_no() {
        for name in [
            "check",
            "foreground",
            "explain",
            "retry",
            "start",
            "stop",
            "reload",
            "status",
            "sanity",
        ] {
            assert!(help(&[name], true).contains("Exit codes"), "{name}");
        }
    }

    #[test]
    fn set_takes_an_option_and_a_value() {
        assert_eq!(
            option_and_value("sleep=5s"),
            Ok(("sleep".into(), "5s".into()))
        );
        assert_eq!(
            option_and_value("accept=a=b"),
            Ok(("accept".into(), "a=b".into()))
        );
        assert!(option_and_value("sleep").is_err());
        assert!(option_and_value("=5s").is_err());
    }
}
