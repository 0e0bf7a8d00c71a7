//! `flow convert FILE|DIR`: configurations of sr3 become flows.

mod state;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use flow_config::convert::{
    Component, Conversion, Converted, Directory, Folder, Input, Known, Tally, convert,
    convert_directory,
};
use flow_config::{Secret, USERS_FILE};

use crate::context::Context;
use crate::files::{self, Existing};
use crate::render::plural;
use crate::stop::{Exit, Problem};
use state::State;

/// Arguments of `flow convert`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Reads one configuration of sr3 (or of its previous generation), or a whole folder of them such as \
~/.config/sr3, with everything they include. What can't be carried over is never left out in \
silence: the report on stderr says line by line what changed its meaning and what was refused. A \
rule or a plugin that has no equivalent stays in the flow as it was written, so that the flow does \
not start by mistake.

A flow goes on with the queue that sr3 has for it on the broker: its name is read from sr3's state \
directory. That is --state, or your own one (~/.cache/sr3) where the source is your own ~/.config/sr3 or \
a file in it. Where no name is found, the report says how the queue is called instead.

A FILE without --out is written to stdout. Otherwise flows are written below --out as \
<kind>/<name>.yaml, and passwords to credentials.conf there (mode 600). Users that admin.conf declares are written to users.yaml, for \
`flow declare --users`. A file that exists is left \
alone unless --force.

Examples:
  flow convert ~/.config/sr3/subscribe/radar.conf
  flow convert ~/.config/sr3 --out ~/.config/flow
  flow convert --component sarra radar.conf --all
  flow convert backup/config --state backup/cache --out flows

Exit codes: 0 converted, 1 something was refused, 2 could not.")]
pub(crate) struct Args {
    /// A configuration file of sr3, or a folder of them
    #[arg(value_name = "FILE|DIR")]
    source: PathBuf,
    /// The folder to write flows to
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// What the FILE configures, where its folder does not say so: subscribe, sarra, watch, …
    #[arg(long, value_name = "COMPONENT")]
    component: Option<Component>,
    /// The state directory of sr3, which knows the names of its queues [default: ~/.cache/sr3 for
    /// your own ~/.config/sr3]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Replace files that exist
    #[arg(long)]
    force: bool,
    /// Report also what was kept as it is
    #[arg(long)]
    all: bool,
}

/// Converts, writes, reports.
///
/// # Errors
/// The source can't be read, or a file can't be written.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    if args.source.is_dir() {
        folder(args, context)
    } else {
        file(args, context)
    }
}

fn folder(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let Some(out) = &args.out else {
        return Err(Problem::new(
            "cli/usage",
            format!(
                "{} is a folder, and there is no --out",
                args.source.display()
            ),
        )
        .hint("say where to write the flows: --out DIR")
        .into());
    };
    let state = State::find(args.state.as_deref(), &args.source, context)?;
    let remembered = |component: Component, name: &str| match &state {
        Some(state) => state.queues(component, name).map(Some),
        None => Ok(None),
    };
    let converted = convert_directory(&args.source, &remembered)
        .with_context(|| format!("can't read {}", args.source.display()))?;
    if converted.flows.is_empty() && converted.report.is_empty() {
        return Err(Problem::new(
            "cli/nothing-to-convert",
            format!("{} holds no configurations of sr3", args.source.display()),
        )
        .note("they are in folders named after their component, such as `subscribe/radar.conf`")
        .hint("name the folder that holds those, as ~/.config/sr3 does, or one file")
        .into());
    }
    let mut texts = Vec::new();
    for flow in &converted.flows {
        texts.extend(pages(&flow.conversion, &flow.target));
    }
    let users = converted.users.clone();
    texts.extend(users.map(|text| (PathBuf::from(USERS_FILE), text)));
    store(args, out, texts, converted.credentials.as_ref())?;
    let Directory { flows, .. } = &converted;
    let whole = flows.iter().filter(|flow| is_whole(flow)).count();
    context.console.talk(&format!(
        "{}{}: {whole} as they were, {} to look at; written to {}",
        converted.render(args.all),
        plural(flows.len() as u64, "flow"),
        flows.len() - whole,
        out.display()
    ));
    Ok(exit(&converted.tally()))
}

fn is_whole(flow: &Converted) -> bool {
    let tally = flow.conversion.tally();
    tally.changed + tally.refused == 0
}

fn file(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let path = &args.source;
    let bytes = fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
    if bytes.contains(&0) {
        return Err(Problem::new(
            "cli/nothing-to-convert",
            format!("{} is no text", path.display()),
        )
        .note("nothing was written")
        .hint("name a configuration of sr3, such as ~/.config/sr3/subscribe/radar.conf")
        .into());
    }
    let text = String::from_utf8_lossy(&bytes);
    let component = component(args)?;
    // Where sr3 keeps it: <root>/<component>/<name>.conf.
    let whole = fs::canonicalize(path).with_context(|| format!("can't read {}", path.display()))?;
    let root = whole
        .parent()
        .and_then(Path::parent)
        .unwrap_or(Path::new("/"));
    let shown = whole.strip_prefix(root).unwrap_or(&whole);
    let before = ["admin.conf", "default.conf"]
        .into_iter()
        .filter_map(|name| {
            let text = fs::read_to_string(root.join(name)).ok()?;
            Some((PathBuf::from(name), text))
        });
    let known = Known {
        before: before.collect(),
        include: Some(Box::new(Folder {
            root: root.to_owned(),
        })),
    };
    let state = State::find(args.state.as_deref(), root, context)?;
    let stem = whole.file_stem().unwrap_or_default().to_string_lossy();
    let queues = match &state {
        Some(state) => Some(
            state
                .queues(component, &stem)
                .context("can't read what sr3 remembers")?,
        ),
        None => None,
    };
    let input = Input {
        path: shown,
        text: &text,
        component,
        queues: queues.as_ref(),
    };
    let conversion = convert(&input, &known);
    let name = path.with_extension("yaml");
    let target = Path::new(conversion.kind).join(name.file_name().unwrap_or_default());
    let mut told = conversion.render(args.all);
    let passwords = conversion.credentials.len();
    match &args.out {
        Some(out) => {
            let credentials = appended(out, &conversion.credentials)?;
            store(args, out, pages(&conversion, &target), credentials.as_ref())?;
            told.push_str(&format!("written to {}", out.join(&target).display()));
        }
        None => {
            context.console.print(&conversion.yaml)?;
            for other in &conversion.others {
                context.console.print("---\n")?;
                context.console.print(other)?;
            }
            if passwords > 0 {
                told.push_str(&format!(
                    "{} left out of URLs: with --out they are put into credentials.conf",
                    plural(passwords as u64, "password")
                ));
            }
        }
    }
    if !told.is_empty() {
        context.console.talk(told.trim_end());
    }
    Ok(exit(&conversion.tally()))
}

fn component(args: &Args) -> anyhow::Result<Component> {
    if let Some(component) = args.component {
        return Ok(component);
    }
    let whole = fs::canonicalize(&args.source)?;
    let folder = whole.parent().and_then(Path::file_name);
    let folder = folder.unwrap_or_default().to_string_lossy();
    folder.parse().map_err(|error: String| {
        Problem::new(
            "cli/usage",
            format!("what {} configures is not known", args.source.display()),
        )
        .note(error)
        .hint("name it: --component subscribe")
        .into()
    })
}

/// Every page of a conversion with where it goes.
fn pages(conversion: &Conversion, target: &Path) -> Vec<(PathBuf, String)> {
    let stem = target.file_stem().unwrap_or_default().to_string_lossy();
    let others = conversion.others.iter().enumerate().map(|(index, text)| {
        let name = format!("{stem}-{}.yaml", index + 2);
        (target.with_file_name(name), text.clone())
    });
    let first = (target.to_owned(), conversion.yaml.clone());
    std::iter::once(first).chain(others).collect()
}

/// `credentials.conf` of `out` with these lines at its end; none where there are none.
fn appended(out: &Path, lines: &[Secret]) -> anyhow::Result<Option<Secret>> {
    if lines.is_empty() {
        return Ok(None);
    }
    let path = out.join("credentials.conf");
    let mut text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        read => read.with_context(|| format!("can't read {}", path.display()))?,
    };
    for line in lines {
        if text.lines().any(|known| known.trim() == line.expose()) {
            continue;
        }
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(line.expose());
        text.push('\n');
    }
    Ok(Some(Secret::new(text)))
}

fn store(
    args: &Args,
    out: &Path,
    pages: Vec<(PathBuf, String)>,
    credentials: Option<&Secret>,
) -> anyhow::Result<()> {
    let existing = if args.force {
        Existing::Replace
    } else {
        Existing::Keep
    };
    // Of a whole folder the file is complete; of one configuration it holds what was there before.
    let known = out.join("credentials.conf");
    let replaces = credentials.is_some() && args.source.is_dir() && known.exists();
    let taken = pages.iter().map(|(path, _)| out.join(path));
    let taken = taken.filter(|path| path.exists());
    let taken: Vec<PathBuf> = taken.chain(replaces.then_some(known)).collect();
    if let (false, Some(first)) = (args.force, taken.first()) {
        return Err(
            Problem::new("cli/exists", format!("{} exists", first.display()))
                .note(match taken.len() {
                    1 => "nothing was written".to_owned(),
                    more => format!("and {} more; nothing was written", more - 1),
                })
                .hint("--force replaces it, or choose another --out")
                .into(),
        );
    }
    for (path, text) in pages {
        let path = out.join(path);
        files::write(&path, &text, 0o644, existing)
            .with_context(|| format!("can't write {}", path.display()))?;
    }
    if let Some(credentials) = credentials {
        let path = out.join("credentials.conf");
        files::write(&path, credentials.expose(), 0o600, Existing::Replace)
            .with_context(|| format!("can't write {}", path.display()))?;
    }
    Ok(())
}

fn exit(tally: &Tally) -> Exit {
    if tally.refused > 0 {
        Exit::No
    } else {
        Exit::Done
    }
}
