//! `flow edit NAME`: the flow's file in an editor, and a check when it closes.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use crate::context::Context;
use crate::stop::{Exit, Problem};

/// Arguments of `flow edit`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Opens the file in the editor that VISUAL or EDITOR names, else in `vi`, and checks the flow when the \
editor closes. If something is wrong with it, the findings are shown and the editor opens again, if \
wanted. A flow that runs goes on as it was until `flow reload`.

Examples:
  flow edit poll/mail
  EDITOR='code --wait' flow edit poll/mail

Exit codes: 0 the flow is good (warnings aside), 1 it has errors, 2 could not run.")]
pub(crate) struct Args {
    /// Which flow: `kind/name`
    #[arg(value_name = "FLOW")]
    flow: String,
}

/// Edits until the flow is good, or the person has had enough.
///
/// # Errors
/// There is no such flow, or the editor does not run.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.engine()?;
    let name = context.one(&engine, &args.flow)?;
    let file = context.directories()?.config.join(format!("{name}.yaml"));
    let editor = ["VISUAL", "EDITOR"]
        .iter()
        .find_map(|variable| context.variable(variable))
        .unwrap_or("vi");
    let console = &context.console;
    let before = std::fs::read(&file).ok();
    loop {
        open(editor, &file)?;
        // Credentials and includes may have changed as well.
        let engine = context.engine()?;
        let report = context.report(&engine, &name, &[])?;
        if !report.is_empty() {
            console.talk(&report.render(console.paint_err().is_on()));
        }
        if !report.has_errors() {
            break;
        }
        if console.confirm("Edit again?") != Some(true) {
            console.talk(&format!("{name} can't start as it is"));
            return Ok(Exit::No);
        }
    }
    if std::fs::read(&file).ok() == before {
        console.talk(&format!("{name} is as it was"));
    } else if engine.is_running(&name) {
        console.talk(&format!(
            "{name} is good; it runs as it was until `flow reload`"
        ));
    } else {
        console.talk(&format!("{name} is good"));
    }
    Ok(Exit::Done)
}

/// Runs the editor, which may be written with arguments, and waits for it.
fn open(editor: &str, file: &Path) -> anyhow::Result<()> {
    let status = Command::new("sh")
        .arg("-c")
        .arg(format!("{editor} \"$1\""))
        .arg(editor)
        .arg(file)
        .status()
        .context("can't run `sh`")?;
    if status.success() {
        return Ok(());
    }
    Err(
        Problem::new("cli/no-editor", format!("`{editor}` failed: {status}"))
            .note("the file is as the editor left it")
            .hint("VISUAL or EDITOR names the editor")
            .into(),
    )
}
