//! `flow plugin remove`: out of the plugin directory, unless a flow needs it.

use anyhow::Context as _;
use flow_daemon::Engine;

use crate::catalogue;
use crate::context::Context;
use crate::stop::{Exit, Problem};

/// Arguments of `flow plugin remove`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Deletes `<config>/plugins/NAME.wasm`. A flow that names the plugin could not start any more, so this is \
refused while one does, unless a shipped plugin of that name takes its place. Shipped plugins are in \
this binary and can't be removed.

Examples:
  flow plugin remove geofence

Exit codes: 0 removed, 2 could not: it is not there, or a flow uses it.")]
pub(crate) struct Args {
    /// Which plugin
    #[arg(value_name = "NAME")]
    name: String,
    /// Remove it although flows use it
    #[arg(long)]
    force: bool,
}

/// Removes the plugin.
///
/// # Errors
/// There is none of that name to remove, or a flow uses it.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let name = &args.name;
    let engine = context.engine()?;
    let shipped = catalogue::has_plugin(name);
    let directory = context.directories()?.config.join("plugins");
    // A file is found as the engine finds it, with underscores for hyphens as well.
    let named = [name.clone(), name.replace('-', "_")];
    let place = named
        .iter()
        .map(|name| directory.join(format!("{name}.wasm")))
        .find(|place| place.is_file());
    let Some(place) = place else {
        return Err(match shipped {
            true => Problem::new(
                "plugin/shipped",
                format!("`{name}` is a shipped plugin and can't be removed"),
            )
            .note("flows that do not name it do not use it"),
            false => Problem::new(
                "plugin/unknown",
                format!("there is no plugin `{name}` in {}", directory.display()),
            )
            .hint("`flow plugin list` shows what there is"),
        }
        .into());
    };
    let users = users(&engine, name)?;
    if !users.is_empty() && !shipped && !args.force {
        return Err(Problem::new(
            "plugin/in-use",
            format!("`{name}` is used by {}", users.join(", ")),
        )
        .note("nothing was removed; these flows could not start any more")
        .hint("take it out of them first, or remove it all the same: `--force`")
        .into());
    }
    std::fs::remove_file(&place)
        .with_context(|| format!("{} can't be removed", place.display()))?;
    // Of no use without it, and wrong for the next file of this name.
    let _ = std::fs::remove_file(flow_daemon::signature::beside(&place));
    let mut text = format!("removed {}", place.display());
    if shipped {
        text.push_str(&format!(
            "\nflows that name `{name}` now get the shipped plugin"
        ));
    } else if !users.is_empty() {
        text.push_str(&format!("\n{} can't start any more", users.join(", ")));
    }
    context.console.talk(&text);
    Ok(Exit::Done)
}

/// The flows that name the plugin. One that has errors is read as text: it may be about to be mended.
fn users(engine: &Engine, name: &str) -> anyhow::Result<Vec<String>> {
    let mut users = Vec::new();
    for flow in engine.flow_files()? {
        let uses = match engine.read(&flow, &[]) {
            Ok((read, _)) => read.callbacks.iter().any(|spec| spec.plugin == name),
            Err(_) => {
                let file = engine.directories().config.join(format!("{flow}.yaml"));
                std::fs::read_to_string(file).is_ok_and(|text| mentions(&text, name))
            }
        };
        if uses {
            users.push(format!("`{flow}`"));
        }
    }
    Ok(users)
}

/// Whether the text of a flow has the name of the plugin as a word.
fn mentions(text: &str, name: &str) -> bool {
    text.lines()
        .map(|line| line.split(" #").next().unwrap_or_default())
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '-' && c != '_'))
        .any(|word| word == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_flow_is_a_word_and_no_comment() {
        assert!(mentions("callbacks: [mail, geofence]", "geofence"));
        assert!(mentions("  - plugin: geofence # ours", "geofence"));
        assert!(!mentions("# geofence\nx: 1 # geofence", "geofence"));
        assert!(!mentions("- plugin: geofence-2", "geofence"));
    }
}
