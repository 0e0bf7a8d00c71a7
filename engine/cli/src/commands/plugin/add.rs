//! `flow plugin add`: from a file or a URL to the plugin directory, after a look inside.

use std::path::Path;

use flow_daemon::PluginInfo;

use super::show;
use crate::context::Context;
use crate::files::{self, Existing};
use crate::stop::{Exit, Problem};

/// Arguments of `flow plugin add`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Loads and checks the plugin, shows what it asks for, and copies it to `<config>/plugins/NAME.wasm`, \
where NAME is what it calls itself. Nothing of it runs but the function that describes it, which is \
given nothing. What it asks for it gets only where a flow allows it.

From a URL, which has to be https, the plugin is taken only with the SHA-256 its author gives: what \
comes is not kept without, and its hash is said.

Examples:
  flow plugin add geofence.wasm
  flow plugin add https://example.org/geofence.wasm --sha256 9f86d081884c7d65…

Exit codes: 0 added, 2 could not.")]
pub(crate) struct Args {
    /// A .wasm file, or an https URL of one
    #[arg(value_name = "FILE|URL")]
    plugin: String,
    /// What the SHA-256 of the file has to be, hexadecimal
    #[arg(long, value_name = "HASH")]
    sha256: Option<String>,
    /// Replace a plugin of that name
    #[arg(long)]
    force: bool,
}

/// Bytes of a plugin, at most, as the host has it.
const LARGEST: u64 = 256 << 20;

/// Adds the plugin.
///
/// # Errors
/// It can't be had, is not the one expected, is no plugin, or one of that name is there.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let expected = args.sha256.as_deref().map(hash).transpose()?;
    let bytes = match args.plugin.contains("://") {
        true => fetch::fetch(&args.plugin)?,
        false => read(Path::new(&args.plugin))?,
    };
    let engine = context.engine()?;
    let plugin = engine.plugin_of(&args.plugin, &bytes)?;
    verify(args, expected.as_deref(), &plugin)?;

    let name = &plugin.manifest.name;
    let directory = context.directories()?.config.join("plugins");
    let place = directory.join(format!("{name}.wasm"));
    let console = &context.console;
    let shadows = shipped(name);
    let existing = if args.force {
        Existing::Replace
    } else {
        Existing::Keep
    };
    files::write(&place, &bytes, 0o644, existing).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => anyhow::Error::from(there(name, &place)),
        _ => anyhow::Error::from(error).context(format!("{} can't be written", place.display())),
    })?;
    console.print(&show::brief(&plugin, console.paint()))?;
    let mut text = format!("added {}", place.display());
    if shadows {
        text.push_str(&format!(
            "\nit stands in for the shipped plugin `{name}` in every flow; `{} plugin remove {name}` brings that back",
            context.command()
        ));
    }
    for line in show::allowing(&plugin) {
        text.push_str(&format!("\n{line}"));
    }
    console.talk(&text);
    Ok(Exit::Done)
}

fn there(name: &str, place: &Path) -> Problem {
    Problem::new(
        "plugin/exists",
        format!("there is a plugin `{name}` already: {}", place.display()),
    )
    .note("nothing was changed")
    .hint(
        "`--force` replaces it; flows that run go on with the old one until they are started again",
    )
}

/// Whether a plugin of that name is inside this binary.
fn shipped(name: &str) -> bool {
    crate::catalogue::plugins()
        .iter()
        .any(|(known, _)| *known == name)
}

/// A hash as people copy it.
fn hash(text: &str) -> Result<String, Problem> {
    let hash = text.trim().trim_start_matches("sha256:").to_lowercase();
    if hash.len() == 64 && hash.chars().all(|c| c.is_ascii_hexdigit()) {
        return Ok(hash);
    }
    Err(Problem::new(
        "cli/usage",
        format!("`{text}` is no SHA-256: that has 64 hexadecimal digits"),
    ))
}

fn verify(args: &Args, expected: Option<&str>, plugin: &PluginInfo) -> Result<(), Problem> {
    let actual = &plugin.sha256;
    match expected {
        Some(expected) if expected == actual => Ok(()),
        Some(expected) => Err(Problem::new(
            "plugin/wrong-hash",
            format!("{} is not what was expected", args.plugin),
        )
        .note(format!("its sha256 is {actual}, expected was {expected}"))
        .note("nothing was added")
        .hint("ask whoever gave you the hash; the file may be another version, or not theirs")),
        None if args.plugin.contains("://") => Err(Problem::new(
            "plugin/wrong-hash",
            format!("{} is taken only with its sha256", args.plugin),
        )
        .note(format!(
            "what came is `{}` {}, sha256 {actual}; nothing was added",
            plugin.manifest.name, plugin.manifest.version
        ))
        .hint(format!(
            "if that is the hash its author gives, add `--sha256 {actual}`"
        ))),
        None => Ok(()),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    let unreadable = |why: String| {
        Problem::new(
            "plugin/unreadable",
            format!("{} can't be read: {why}", path.display()),
        )
        .hint("a plugin is a .wasm file; `flow plugin build` makes one of a project")
    };
    let size = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
    if size.is_dir() {
        return Err(unreadable("it is a folder".into()));
    }
    if size.len() > LARGEST {
        return Err(unreadable(format!(
            "it has {} bytes, and a plugin has at most {LARGEST}",
            size.len()
        )));
    }
    std::fs::read(path).map_err(|error| unreadable(error.to_string()))
}

/// Taking a plugin from a server.
mod fetch {
    use super::LARGEST;
    use crate::stop::Problem;

    /// What stands at the URL.
    ///
    /// # Errors
    /// It is not https, nobody answers, or what comes is too large.
    pub(super) fn fetch(url: &str) -> Result<Vec<u8>, Problem> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed(url, &error.to_string()))?;
        runtime
            .block_on(flow_daemon::fetch(url, LARGEST))
            .map_err(|why| failed(url, &why))
    }

    fn failed(url: &str, why: &str) -> Problem {
        Problem::new("plugin/fetch", format!("{url} can't be fetched: {why}"))
            .note("nothing was added")
            .hint("download it by other means, and add the file")
    }
}
