//! Building a project: what it needs is looked for first, then its commands run.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::Project;
use super::language::Need;
use crate::stop::Problem;

/// Builds the project and puts the component beside its sources; returns its path.
///
/// `search` is the `PATH` to look for tools in, `say` hears what is being done.
///
/// # Errors
/// A tool is missing, a command failed, or made nothing.
pub(crate) fn build(
    project: &Project,
    search: Option<&str>,
    say: impl Fn(&str),
) -> Result<PathBuf, Problem> {
    let tools = Tools::new(project, search);
    for need in project.language.iter().flat_map(|language| &language.needs) {
        if tools.has(need) {
            continue;
        }
        if !need.step {
            return Err(missing(project, need));
        }
        let words: Vec<String> = need.install.split_whitespace().map(str::to_owned).collect();
        say(&format!("{}: `{}`", need.what, need.install));
        tools.run(&words, &say)?;
    }
    for step in &project.steps {
        let step: Vec<String> = step.iter().map(|word| filled(project, word)).collect();
        tools.run(&step, &say)?;
    }
    let made = project.directory.join(filled(project, &project.component));
    let wasm = project.wasm();
    if made != wasm {
        // Whoever reads it meanwhile reads the old one or the new one.
        let half = wasm.with_extension("wasm.new");
        let copied = std::fs::copy(&made, &half).and_then(|_| std::fs::rename(&half, &wasm));
        copied.map_err(|error| {
            let _ = std::fs::remove_file(&half);
            no_component(&made, &error)
        })?;
    } else if let Err(error) = std::fs::metadata(&made) {
        return Err(no_component(&made, &error));
    }
    Ok(wasm)
}

fn no_component(made: &Path, error: &std::io::Error) -> Problem {
    Problem::new(
        "plugin/build",
        format!("the build made no component: {}: {error}", made.display()),
    )
    .hint("if the build puts it elsewhere, say where: `component = \"…\"` in flow-plugin.toml")
}

fn missing(project: &Project, need: &Need) -> Problem {
    let language = project
        .language
        .as_ref()
        .map_or("this project", |language| language.title.as_str());
    Problem::new(
        "plugin/toolchain",
        format!(
            "building a plugin in {language} takes {}, which is not here",
            need.what
        ),
    )
    .note("nothing was built")
    .hint(format!("install it: {}", filled(project, &need.install)))
}

fn filled(project: &Project, word: &str) -> String {
    word.replace("{{name}}", project.name.kebab())
        .replace("{{snake}}", &project.name.snake())
        .replace("{{pascal}}", &project.name.pascal())
}

/// Where tools are found, and where they run.
struct Tools<'a> {
    project: &'a Project,
    /// The project's, from the root: what runs there finds it under no other name.
    directory: PathBuf,
    path: OsString,
}

impl<'a> Tools<'a> {
    fn new(project: &'a Project, search: Option<&str>) -> Self {
        let directory =
            std::path::absolute(&project.directory).unwrap_or_else(|_| project.directory.clone());
        let own = project.language.iter().flat_map(|language| &language.path);
        let own = own.map(|folder| directory.join(folder));
        let machine = search.into_iter().flat_map(std::env::split_paths);
        // Only a folder with the separator in its name can't be joined; then the machine's do.
        let path = std::env::join_paths(own.chain(machine))
            .unwrap_or_else(|_| search.unwrap_or_default().into());
        Self {
            project,
            directory,
            path,
        }
    }

    /// The whole path of a program, as a child's `PATH` does not count for finding the child.
    fn program(&self, name: &str) -> PathBuf {
        if name.contains('/') {
            return self.directory.join(name);
        }
        std::env::split_paths(&self.path)
            .map(|folder| folder.join(name))
            .find(|file| file.is_file())
            .unwrap_or_else(|| PathBuf::from(name))
    }

    fn command(&self, words: &[String]) -> Option<Command> {
        let (program, arguments) = words.split_first()?;
        let mut command = Command::new(self.program(program));
        command
            .args(arguments)
            .current_dir(&self.directory)
            .env("PATH", &self.path)
            .stdin(Stdio::null());
        Some(command)
    }

    fn has(&self, need: &Need) -> bool {
        if let Some(file) = &need.file {
            return self
                .project
                .directory
                .join(filled(self.project, file))
                .exists();
        }
        let Some(mut probe) = self.command(&need.probe) else {
            return false;
        };
        let Ok(Output { status, stdout, .. }) = probe.output() else {
            return false;
        };
        let printed = String::from_utf8_lossy(&stdout);
        status.success()
            && need
                .contains
                .as_ref()
                .is_none_or(|text| printed.contains(text.as_str()))
            && (!need.path || Path::new(printed.trim()).exists())
    }

    /// Runs a command; what it says is shown only if it fails.
    fn run(&self, words: &[String], say: impl Fn(&str)) -> Result<(), Problem> {
        let shown = words.join(" ");
        let mut command = self.command(words).ok_or_else(|| {
            Problem::new("plugin/build", "a step of the build is empty")
                .hint("each of `steps` in flow-plugin.toml is a program and its arguments")
        })?;
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().map_err(|error| {
            Problem::new(
                "plugin/build",
                format!("`{shown}` could not be started: {error}"),
            )
        })?;
        if status.success() {
            return Ok(());
        }
        let mut said = String::from_utf8_lossy(&stdout).into_owned();
        said.push_str(&String::from_utf8_lossy(&stderr));
        say(&said);
        Err(
            Problem::new("plugin/build", format!("`{shown}` failed ({status})"))
                .note("what it said stands above; the plugin there was, if any, is as it was"),
        )
    }
}
