//! One module per command: its arguments, their documentation, and what it does.

pub(crate) mod add;
pub(crate) mod background;
pub(crate) mod check;
pub(crate) mod cleanup;
pub(crate) mod completions;
pub(crate) mod convert;
pub(crate) mod declare;
pub(crate) mod demo;
pub(crate) mod dump;
pub(crate) mod edit;
pub(crate) mod enable;
pub(crate) mod explain;
pub(crate) mod foreground;
pub(crate) mod helper;
pub(crate) mod list;
pub(crate) mod plugin;
pub(crate) mod post;
pub(crate) mod remove;
pub(crate) mod rename;
pub(crate) mod retry;
pub(crate) mod show;

use crate::args::Command;
use crate::context::Context;
use crate::stop::Exit;

/// Runs the command.
///
/// # Errors
/// Whatever kept it from running; findings and failed messages are an [`Exit::No`] instead.
pub(crate) fn run(command: Command, context: &Context) -> anyhow::Result<Exit> {
    match command {
        Command::Demo(args) => demo::run(&args, context),
        Command::List(args) => list::run(&args, context),
        Command::Add(args) => add::run(&args, context),
        Command::Edit(args) => edit::run(&args, context),
        Command::Rename(args) => rename::run(&args, context),
        Command::Remove(args) => remove::run(&args, context),
        Command::Show(args) => show::run(&args, context),
        Command::Check(args) => check::run(&args, context),
        Command::Convert(args) => convert::run(&args, context),
        Command::Foreground(args) => foreground::run(&args, context),
        Command::Helper(args) => helper::run(&args, context),
        Command::Start(args) => background::start::run(&args, context),
        Command::Stop(args) => background::stop::run(&args, context),
        Command::Restart(args) => background::restart::run(&args, context),
        Command::Reload(args) => background::reload::run(&args, context),
        Command::Status(args) => background::status::run(&args, context),
        Command::Top(args) => background::top::run(&args, context),
        Command::Log(args) => background::log::run(&args, context),
        Command::Sanity(args) => background::sanity::run(&args, context),
        Command::Run(args) => background::run::run(&args, context),
        Command::Background(args) => background::serve::run(&args, context),
        Command::Enable(args) => enable::enable(&args, context),
        Command::Disable(args) => enable::disable(&args, context),
        Command::Declare(args) => declare::run(&args, context),
        Command::Cleanup(args) => cleanup::run(&args, context),
        Command::Post(args) => post::run(&args, context),
        Command::Retry(args) => retry::run(&args, context),
        Command::Plugin(args) => plugin::run(&args, context),
        Command::Dump(args) => dump::run(&args, context),
        Command::Explain(args) => explain::run(&args, context),
        Command::Completions(args) => completions::run(&args, context),
    }
}
