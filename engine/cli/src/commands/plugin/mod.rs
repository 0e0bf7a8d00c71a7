//! `flow plugin list|show|add|remove|new|build|test`.

mod build;
mod new;
mod show;

use crate::context::Context;
use crate::stop::Exit;

pub(super) use show::table;

/// Arguments of `flow plugin`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
A plugin is a WebAssembly component: the shipped ones are inside this binary, yours are \
`<config>/plugins/NAME.wasm` and win over shipped ones of the same name. A plugin reaches nothing \
but what its manifest asks for and the flow allows.

Examples:
  flow plugin list
  flow plugin show mail
  flow plugin new geofence --lang rust --entry after_accept")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List plugins
    List(show::List),
    /// Print the manual of a plugin: its options, entry points and what it asks for
    Show(show::Show),
    /// Start a plugin: a folder with sources, a test and an example
    New(new::Args),
    /// Build the plugin of a project
    Build(build::Args),
}

/// Runs the command.
///
/// # Errors
/// As each of them says.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    match &args.command {
        Command::List(args) => show::list(args, context),
        Command::Show(args) => show::show(args, context),
        Command::New(args) => new::run(args, context),
        Command::Build(args) => build::run(args, context),
    }
}
