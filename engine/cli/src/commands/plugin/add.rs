//! `flow plugin add`: from a file or a URL to the plugin directory, after a look inside.

use std::path::Path;

use anyhow::Context as _;
use flow_daemon::{PluginInfo, signature};

use super::show;
use crate::catalogue;
use crate::context::Context;
use crate::files::{self, Existing};
use crate::render::printable;
use crate::stop::{Exit, Problem};

/// Arguments of `flow plugin add`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Loads and checks the plugin, shows what it asks for, and copies it to `<config>/plugins/NAME.wasm`, \
where NAME is what it calls itself. Nothing of it runs but the function that describes it, which is \
given nothing. What it asks for it gets only where a flow allows it.

From a URL, which has to be https, the plugin is taken only with the SHA-256 its author gives, or with \
a signature that fits the key you name: what comes is not kept without, and its hash is said.

`--minisign KEY` takes the public key of the plugin's author, one line that begins with `RW`, and \
checks the signature in FILE.minisig, or at URL.minisig, before anything else. A signature beside FILE \
is kept beside the plugin in any case, so that a flow can ask for it: `minisign: KEY`.

Examples:
  flow plugin add geofence.wasm
  flow plugin add https://example.org/geofence.wasm --sha256 9f86d081884c7d65…
  flow plugin add https://example.org/geofence.wasm --minisign RWQf6LRCGA9i…

Exit codes: 0 added, 2 could not.")]
pub(crate) struct Args {
    /// A .wasm file, or an https URL of one
    #[arg(value_name = "FILE|URL")]
    plugin: String,
    /// What the SHA-256 of the file has to be, hexadecimal
    #[arg(long, value_name = "HASH")]
    sha256: Option<String>,
    /// The public key of minisign it has to be signed with
    #[arg(long, value_name = "KEY")]
    minisign: Option<String>,
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
        true => fetch::fetch(&args.plugin, LARGEST)?,
        false => read(Path::new(&args.plugin))?,
    };
    let signature = signature(args)?;
    let comment = match &args.minisign {
        Some(key) => Some(signed(args, key, signature.as_deref(), &bytes)?),
        None => None,
    };
    let engine = context.engine()?;
    let mut plugin = engine.plugin_of(&args.plugin, &bytes)?;
    if comment.is_some() {
        // It is checked, which is said below.
        plugin.signed_by = None;
    }
    verify(args, expected.as_deref(), &plugin)?;

    let name = &plugin.manifest.name;
    let directory = context.directories()?.config.join("plugins");
    let place = directory.join(format!("{name}.wasm"));
    let console = &context.console;
    let shadows = catalogue::has_plugin(name);
    let existing = if args.force {
        Existing::Replace
    } else {
        Existing::Keep
    };
    files::write(&place, &bytes, 0o644, existing).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => anyhow::Error::from(there(name, &place)),
        _ => anyhow::Error::from(error).context(format!("{} can't be written", place.display())),
    })?;
    keep_signature(&place, signature.as_deref())?;
    console.print(&show::brief(&plugin, console.paint()))?;
    let mut text = format!("added {}", place.display());
    match (&comment, &args.minisign) {
        (Some(comment), Some(key)) => text.push_str(&format!(
            "\nits signature fits the key: {}\nto have flows check it too: `minisign: {}`",
            printable(comment),
            key.trim()
        )),
        _ if signature.is_some() => text.push_str(
            "\nits signature was kept and not checked; `--minisign KEY` would have, with its author's key",
        ),
        _ => {}
    }
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

/// What is in FILE.minisig, or at URL.minisig if it is to be checked.
fn signature(args: &Args) -> anyhow::Result<Option<String>> {
    let text = match (args.plugin.contains("://"), &args.minisign) {
        (true, None) => return Ok(None),
        (true, Some(_)) => {
            let url = format!("{}.minisig", args.plugin);
            let bytes = fetch::fetch(&url, signature::LARGEST)?;
            String::from_utf8_lossy(&bytes).into_owned()
        }
        (false, _) => match signature::found(Path::new(&args.plugin)) {
            Some(text) => text,
            None => return Ok(None),
        },
    };
    Ok(Some(text))
}

/// Checks the signature, and says what its maker said in it.
fn signed(
    args: &Args,
    key: &str,
    signature: Option<&str>,
    bytes: &[u8],
) -> Result<String, Problem> {
    let unsigned = format!("{} is not signed with this key", args.plugin);
    let place = format!("{}.minisig", args.plugin);
    let Some(signature) = signature else {
        return Err(Problem::new("plugin/unsigned", unsigned)
            .note(format!("there is no signature in {place}"))
            .note("nothing was added")
            .hint("get it from the plugin's author; it comes with the file"));
    };
    signature::verify(key, signature, &place, bytes).map_err(|why| match why.key {
        true => Problem::new("cli/usage", why.why).hint(why.advice),
        false => Problem::new("plugin/unsigned", unsigned)
            .note(why.why)
            .note("nothing was added")
            .hint(why.advice),
    })
}

/// Puts the signature beside the plugin; that of a former plugin goes.
fn keep_signature(place: &Path, signature: Option<&str>) -> anyhow::Result<()> {
    let place = signature::beside(place);
    let kept = match signature {
        Some(text) => files::write(&place, text, 0o644, Existing::Replace),
        None => match std::fs::remove_file(&place) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
    };
    kept.with_context(|| format!("{} can't be written", place.display()))
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
        None if args.plugin.contains("://") && args.minisign.is_none() => Err(Problem::new(
            "plugin/wrong-hash",
            format!("{} is taken only with its sha256", args.plugin),
        )
        .note(format!(
            "what came is `{}` {}, sha256 {actual}; nothing was added",
            plugin.manifest.name, plugin.manifest.version
        ))
        .hint(format!(
            "if that is the hash its author gives, add `--sha256 {actual}`; if they sign, `--minisign` and their key"
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
    use crate::stop::Problem;

    /// What stands at the URL.
    ///
    /// # Errors
    /// It is not https, nobody answers, or what comes is too large.
    pub(super) fn fetch(url: &str, largest: u64) -> Result<Vec<u8>, Problem> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed(url, &error.to_string()))?;
        runtime
            .block_on(flow_daemon::fetch(url, largest))
            .map_err(|why| failed(url, &why))
    }

    fn failed(url: &str, why: &str) -> Problem {
        Problem::new("plugin/fetch", format!("{url} can't be fetched: {why}"))
            .note("nothing was added")
            .hint("download it by other means, and add the file")
    }
}
