//! `flow plugin test`: the tests of a project, in the real host.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use flow_daemon::{Difference, Directories, Engine, Trial};
use serde_json::json;

use super::build;
use crate::args::FormatArg;
use crate::context::Context;
use crate::project::Project;
use crate::render::{Paint, plural, printable};
use crate::stop::{Exit, Problem};

/// Arguments of `flow plugin test`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Runs every tests/*.yaml against NAME.wasm, in the host that runs it in flows, with the same checks \
and limits, but in a world the file makes up: nothing reaches the network, the clock stands still, \
state and content are in memory. A test says what goes in and what has to come out:

  options: { suffix: .part }
  http:
    - request: POST https://example.org/in
      respond: { status: 200, body: ok }
  steps:
    - after_accept:
        - relPath: a/b.part
      expect:
        - reject: { code: 404, reason: ends in .part }

A request or connection the test does not know fails it, and so does one that was expected and never \
made. `<any>` equals anything, a text that starts with `~` is a regular expression. The whole form is \
in plugins/WRITING.md.

With --format json, stdout is one array of {\"file\", \"steps\", \"passed\", \"error\", \"log\", \"differences\"}; \
each of `differences` is {\"line\", \"what\", \"expected\", \"actual\"}.

Examples:
  flow plugin test
  flow plugin test --build tests/after_accept.yaml
  flow plugin test --update

Exit codes: 0 all passed, 1 one did not, 2 could not run: nothing built, no tests.")]
pub(crate) struct Args {
    /// The project's folder, or tests of the project in this folder
    #[arg(value_name = "DIR|TEST", default_value = ".")]
    what: Vec<PathBuf>,
    /// Build first
    #[arg(long)]
    build: bool,
    /// Write what came out into the tests; patterns that fit it stay
    #[arg(long)]
    update: bool,
    #[command(flatten)]
    format: FormatArg,
}

/// Runs the tests.
///
/// # Errors
/// There is no project, nothing was built, or there are no tests.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let (directory, files) = chosen(&args.what)?;
    let project = Project::find(&directory)?;
    let wasm = project.wasm();
    if args.build {
        build::built(&project, context)?;
    } else if !wasm.is_file() {
        return Err(Problem::new(
            "plugin/not-built",
            format!("there is no {} to test", wasm.display()),
        )
        .hint(format!(
            "build it first: `{} plugin build`",
            context.command()
        ))
        .into());
    }
    let files = if files.is_empty() {
        tests(&directory)?
    } else {
        files
    };
    let (engine, _scratch) = alone(&project, &wasm, context)?;
    let own = engine.plugin(&wasm.display().to_string())?.manifest.name;
    build::named(&project, &own)?;
    let console = &context.console;
    let (mut failed, mut steps) = (0_usize, 0);
    let mut rows = Vec::new();
    for file in &files {
        let shown = build::shown(file);
        let text =
            std::fs::read_to_string(file).with_context(|| format!("{shown} can't be read"))?;
        let tried = engine.try_plugin(project.name.kebab(), &file.display().to_string(), &text);
        let tried = match tried {
            // What is wrong with the plugin as a whole is wrong with every test.
            Err(error @ flow_daemon::Error::Plugin(_)) => return Err(error.into()),
            tried => tried,
        };
        let updated = match &tried {
            Ok(trial) if args.update => write(file, trial)?,
            _ => false,
        };
        let passed = matches!(&tried, Ok(trial) if trial.differences.is_empty());
        failed += usize::from(!passed && !updated);
        steps += tried.as_ref().map_or(0, |trial| trial.steps);
        if args.format.is_json() {
            rows.push(row(&shown, &tried));
            continue;
        }
        let paint = console.paint();
        let text = match tried {
            Ok(_) if updated => format!("{} {shown}", paint.yellow("updated")),
            Ok(trial) if passed => format!(
                "{}      {shown}, {}",
                paint.green("ok"),
                plural(trial.steps as u64, "step")
            ),
            Ok(trial) => differences(&shown, &trial, paint),
            Err(error) => {
                let said = crate::render::error(&error.into(), paint);
                format!("{}  {shown}\n{said}", paint.red("FAILED"))
            }
        };
        console.print(&text)?;
    }
    if args.format.is_json() {
        console.print(&serde_json::to_string_pretty(&rows)?)?;
    }
    let passed = plural((files.len() - failed) as u64, "test");
    console.talk(&match failed {
        0 => format!("{passed} passed, {}", plural(steps as u64, "step")),
        _ => format!("{passed} passed, {failed} failed"),
    });
    Ok(if failed == 0 { Exit::Done } else { Exit::No })
}

/// The project's folder, and the tests asked for; none: all there are.
fn chosen(what: &[PathBuf]) -> Result<(PathBuf, Vec<PathBuf>), Problem> {
    if let [directory] = what
        && !directory.is_file()
    {
        return Ok((directory.clone(), Vec::new()));
    }
    match what.iter().find(|path| !path.is_file()) {
        Some(path) => Err(Problem::new(
            "plugin/no-test",
            format!("there is no test {}", path.display()),
        )
        .hint("name one folder of a project, or tests of the project in this folder")),
        None => Ok((PathBuf::from("."), what.to_vec())),
    }
}

fn tests(directory: &Path) -> Result<Vec<PathBuf>, Problem> {
    let folder = directory.join("tests");
    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(Problem::new(
            "plugin/no-test",
            format!("there are no tests: no YAML file in {}", folder.display()),
        )
        .hint("`flow plugin test --help` shows what a test looks like"));
    }
    Ok(files)
}

/// An engine whose only plugin of its own is that of the project, whatever it is called elsewhere.
fn alone(
    project: &Project,
    wasm: &Path,
    context: &Context,
) -> anyhow::Result<(Engine, tempfile::TempDir)> {
    let scratch = tempfile::tempdir().context("no temporary folder")?;
    let plugins = scratch.path().join("plugins");
    std::fs::create_dir(&plugins)?;
    let whole = std::path::absolute(wasm)?;
    let link = plugins.join(format!("{}.wasm", project.name.kebab()));
    std::os::unix::fs::symlink(&whole, &link)
        .with_context(|| format!("{} can't be used", whole.display()))?;
    let directories = Directories {
        config: scratch.path().to_owned(),
        state: scratch.path().join("state"),
        cache: context.directories()?.cache,
    };
    Ok((context.engine_in(directories, &[])?, scratch))
}

/// Writes what came out; says whether that is all that differed.
fn write(file: &Path, trial: &Trial) -> anyhow::Result<bool> {
    let Some(text) = &trial.updated else {
        return Ok(false);
    };
    std::fs::write(file, text).with_context(|| format!("{} can't be written", file.display()))?;
    Ok(true)
}

/// ```text
/// FAILED  tests/after_accept.yaml
///   9 | after_accept, number 2
///     - reject: {code: 404, reason: no}
///     + keep
/// ```
fn differences(file: &str, trial: &Trial, paint: Paint) -> String {
    let mut text = format!("{}  {file}\n", paint.red("FAILED"));
    for Difference {
        line,
        what,
        expected,
        actual,
    } in &trial.differences
    {
        let _ = writeln!(text, "  {file}:{line}: {}", printable(what));
        for (sign, side) in [("-", expected), ("+", actual)] {
            if let Some(side) = side {
                let side = format!("{sign} {}", printable(side));
                let side = if sign == "-" {
                    paint.red(&side)
                } else {
                    paint.green(&side)
                };
                let _ = writeln!(text, "      {side}");
            }
        }
    }
    if !trial.log.is_empty() {
        let _ = writeln!(text, "  the plugin said:");
        for line in trial.log.iter().flat_map(|line| line.lines()) {
            let _ = writeln!(text, "      {}", printable(line));
        }
    }
    text
}

fn row(file: &str, tried: &Result<Trial, flow_daemon::Error>) -> serde_json::Value {
    match tried {
        Ok(trial) => {
            let differences: Vec<_> = trial
                .differences
                .iter()
                .map(|one| json!({"line": one.line, "what": one.what, "expected": one.expected, "actual": one.actual}))
                .collect();
            json!({
                "file": file,
                "steps": trial.steps,
                "passed": differences.is_empty(),
                "error": null,
                "log": trial.log,
                "differences": differences,
            })
        }
        Err(error) => json!({
            "file": file,
            "steps": 0,
            "passed": false,
            "error": error.to_string(),
            "log": [],
            "differences": [],
        }),
    }
}
