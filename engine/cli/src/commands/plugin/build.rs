//! `flow plugin build`: from a project to a component.

use std::path::{Path, PathBuf};

use flow_daemon::signature;

use super::show;
use crate::context::Context;
use crate::project::{self, Project};
use crate::stop::{Exit, Problem};

/// Arguments of `flow plugin build`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Runs the tools of the project's language and puts NAME.wasm into its folder, then prints what it \
says of itself, in short. What the tools print is shown if they fail. The language is what \
flow-plugin.toml says, or what the files tell; a project may bring commands of its own there:

  name = \"geofence\"
  steps = [[\"make\", \"plugin\"]]
  component = \"out/geofence.wasm\"

Examples:
  flow plugin build
  flow plugin build work/geofence

Exit codes: 0 built, 2 could not: a tool is missing, the sources have errors, or what was built is \
no plugin.")]
pub(crate) struct Args {
    /// The project's folder
    #[arg(value_name = "DIR", default_value = ".")]
    directory: PathBuf,
}

/// Builds and shows.
///
/// # Errors
/// There is no project, a tool is missing or fails, or what was built is no plugin.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let project = Project::find(&args.directory)?;
    let wasm = built(&project, context)?;
    let plugin = context.engine()?.plugin(&wasm.display().to_string())?;
    named(&project, &plugin.manifest.name)?;
    let console = &context.console;
    console.print(&show::brief(&plugin, console.paint()))?;
    let signed = signature::beside(&wasm);
    let stale = older(&signed, &wasm);
    let wasm = shown(&wasm);
    console.talk(&format!(
        "built {wasm}; `{command} plugin test` tries it, `{command} plugin add {wasm}` gives it to your flows",
        command = context.command(),
    ));
    if stale {
        console.talk(&format!(
            "warning: {} is the signature of an earlier build: sign again before you give it away",
            shown(&signed)
        ));
    }
    Ok(Exit::Done)
}

/// Refuses a plugin that has another name than its project: nobody would find it by either.
///
/// # Errors
/// It has.
pub(super) fn named(project: &Project, own: &str) -> Result<(), Problem> {
    let name = project.name.kebab();
    if own == name {
        return Ok(());
    }
    Err(Problem::new(
        "plugin/project",
        format!("the plugin calls itself `{own}`, and its project is `{name}`"),
    )
    .note(format!(
        "the project's name is in {}, the plugin's in its sources",
        shown(&project.directory.join(project::FILE))
    ))
    .hint("write the same name in both; flows find a plugin by it"))
}

/// Whether `file` is there, and was written before `other`.
fn older(file: &Path, other: &Path) -> bool {
    let written = |path: &Path| std::fs::metadata(path).and_then(|found| found.modified());
    matches!((written(file), written(other)), (Ok(file), Ok(other)) if file < other)
}

/// Builds the project, and says what is being done.
///
/// # Errors
/// As [`project::build`].
pub(super) fn built(project: &Project, context: &Context) -> anyhow::Result<PathBuf> {
    let console = &context.console;
    // The tools are silent meanwhile.
    let first = match project.wasm().exists() {
        true => "",
        false => " the first time may take some minutes",
    };
    console.talk(&format!("building {} …{first}", project.name.kebab()));
    Ok(project::build(project, context.variable("PATH"), |text| {
        console.talk(text);
    })?)
}

/// A path as somebody in the current folder would type it.
pub(super) fn shown(path: &Path) -> String {
    path.strip_prefix(".").unwrap_or(path).display().to_string()
}
