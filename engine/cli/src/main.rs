//! `flow`, the command: reads arguments and the environment, calls the engine, prints, exits.
//!
//! Nothing below this crate prints, exits or reads the environment. Nothing is loaded before a
//! command asks for it, so help is instant.

mod args;
mod catalogue;
mod commands;
mod console;
mod context;
mod credentials;
mod debugger;
mod environment;
mod explain;
mod files;
mod flows;
mod journal;
mod names;
mod observer;
mod passed_over;
mod project;
mod render;
mod signals;
mod stop;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;
use crate::console::Console;
use crate::context::Context;
use crate::environment::Environment;
use crate::stop::Exit;

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| args::with_words_of_sr3(error).exit());
    let environment = Environment::read();
    let console = Console::new(&environment, cli.global.color);
    let context = Context::new(cli.global, environment, console.clone());
    match commands::run(cli.command, &context) {
        Ok(exit) => exit.into(),
        // Whoever read our output has seen enough: `flow list | head -1`.
        Err(error) if stop::is_closed_pipe(&error) => Exit::Done.into(),
        Err(error) => {
            console.talk(&context.advised(render::error(&error, console.paint_err())));
            Exit::CouldNot.into()
        }
    }
}
