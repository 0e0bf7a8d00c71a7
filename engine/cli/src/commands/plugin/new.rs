//! `flow plugin new`: a project that builds, with a test that passes.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use crate::context::Context;
use crate::names;
use crate::project::{self, ENTRY_POINTS, Language, Name};
use crate::stop::{Exit, Problem};

/// Arguments of `flow plugin new`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Makes the folder NAME with the sources of a plugin, a test of each entry point, a README and an \
example flow. It carries the kit it is built with, so it builds wherever it lies.

Entry points:
  gather        asks an origin what is new
  after_accept  decides about messages before anything is fetched
  download      fetches content of URLs of its own scheme
  send          delivers to something that is no file server
  after_work    looks at content that is here
  post          posts to something that is no broker
  settled       hears how messages ended, e.g. to mark them at the origin
  request       answers HTTP requests (webhooks)
  line          answers lines on stdin (helpers)

Examples:
  flow plugin new geofence --lang rust --entry after_accept
  flow plugin new chat --lang python --entry after_work,settled --dir work/chat

Exit codes: 0 made, 2 could not.")]
pub(crate) struct Args {
    /// What to call it: lower-case letters, digits and hyphens
    #[arg(value_name = "NAME")]
    name: String,
    /// The language to write it in: rust, python or js
    #[arg(long, value_name = "LANGUAGE", default_value = "rust")]
    lang: String,
    /// What it does, separated by commas
    #[arg(
        long = "entry",
        value_name = "ENTRY_POINT,…",
        value_delimiter = ',',
        default_value = "after_accept"
    )]
    entries: Vec<String>,
    /// The folder to make, if not NAME
    #[arg(long = "dir", value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// Makes the project and says how to go on.
///
/// # Errors
/// The name is none, the folder holds something, or there is no such language or entry point.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let name = Name::parse(&args.name).map_err(|why| {
        Problem::new(
            "plugin/bad-name",
            format!("`{}` can't be the name of a plugin: {why}", args.name),
        )
        .note("the name is that of the file, and what flows write after `plugin:`")
    })?;
    let language = Language::find(&args.lang)?;
    let entries = chosen(&args.entries)?;
    let directory = args
        .directory
        .clone()
        .unwrap_or_else(|| PathBuf::from(name.kebab()));
    let shown = directory.display();
    let there = std::fs::read_dir(&directory).map(|mut entries| entries.next().is_some());
    match there {
        Ok(true) => return Err(occupied(&shown.to_string(), "it is not empty").into()),
        Ok(false) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(occupied(&shown.to_string(), &error.to_string()).into()),
    }
    let files = project::write(&directory, &name, &language, &entries)?;
    let command = context.command();
    let mut text = format!(
        "made {shown}, a plugin in {} with {}\n",
        language.title,
        entries.join(", ")
    );
    for file in files.iter().filter(|file| !file.starts_with("vendor")) {
        let _ = writeln!(text, "  {}", directory.join(file).display());
    }
    let _ = write!(
        text,
        "\nnext:\n  cd {shown}\n  {command} plugin build\n  {command} plugin test"
    );
    context.console.talk(&text);
    Ok(Exit::Done)
}

fn occupied(directory: &str, why: &str) -> Problem {
    Problem::new(
        "plugin/exists",
        format!("{directory} can't become the project: {why}"),
    )
    .note("nothing was written")
    .hint("choose another name, or another folder: `--dir DIR`")
}

/// The entry points asked for, each once, in the order sources have them.
fn chosen(asked: &[String]) -> Result<Vec<&'static str>, Problem> {
    let mut wanted = BTreeSet::new();
    for name in asked {
        // sr3's spellings differ in nothing but the hyphen.
        let name = name.trim().replace('-', "_");
        let Some(index) = ENTRY_POINTS.iter().position(|known| *known == name) else {
            let problem = Problem::new(
                "plugin/entry-point",
                format!("there is no entry point `{name}`"),
            );
            let near = names::near(&name, ENTRY_POINTS);
            return Err(match near.first() {
                Some(near) => problem.hint(format!("did you mean `{near}`?")),
                None => problem,
            }
            .note(format!("there are {}", ENTRY_POINTS.join(", "))));
        };
        wanted.insert(index);
    }
    Ok(wanted
        .into_iter()
        .map(|index| ENTRY_POINTS[index])
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_points_are_taken_once_in_their_order() {
        let asked = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            chosen(&names)
        };
        assert_eq!(
            asked(&["settled", "after-work", "gather", "settled"]),
            Ok(vec!["gather", "after_work", "settled"])
        );
        let problem = asked(&["after_acept"]).expect_err("no such entry point");
        assert_eq!(problem.hints, ["did you mean `after_accept`?"]);
    }
}
