//! `flow plugin list|show`: what is known of plugins.

use std::fmt::Write;

use serde_json::{Value, json};

use flow_config::{Grant, OptionKind, OptionSpec};
use flow_daemon::{PluginInfo, PluginOrigin};

use crate::args::FormatArg;
use crate::catalogue;
use crate::commands::list::Listing;
use crate::context::Context;
use crate::render::{Align, Paint, Table, bytes, printable};
use crate::stop::Exit;

#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --format json, stdout is one array of
{\"name\", \"version\", \"origin\", \"summary\", \"entry_points\", \"sha256\", \"shadows\"}; `shadows`
says whether it stands in for a shipped plugin of that name.")]
pub(crate) struct List {
    #[command(flatten)]
    format: FormatArg,
}

#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --format json, stdout is one object {\"name\", \"version\", \"origin\", \"summary\", \"doc\", \"size\", \
\"sha256\", \"signed_by\", \"entry_points\", \"schemes\", \"grants\", \"imports\", \"contract\", \"options\"}; each of `options` is
{\"name\", \"type\", \"default\", \"required\", \"repeated\", \"secret\", \"choices\", \"doc\", \"example\"}. \
`imports` are the interfaces of the contract it may call, and `wasi:http` if it makes requests by that, \
for which `grants` has to have `http` too. `signed_by` is the id of the key that FILE.minisig beside the plugin says it was made with, unchecked; \
null: there is none.")]
pub(crate) struct Show {
    /// A plugin's name, or the path of a .wasm file
    #[arg(value_name = "PLUGIN")]
    plugin: String,
    #[command(flatten)]
    format: FormatArg,
}

/// Prints the list.
///
/// # Errors
/// Plugins can't run here at all, or stdout can't be written.
pub(super) fn list(list: &List, context: &Context) -> anyhow::Result<Exit> {
    let console = &context.console;
    let (table, rows, empty) = table(&context.engine()?.plugins()?);
    if list.format.is_json() {
        console.print(&serde_json::to_string_pretty(&rows)?)?;
    } else if table.is_empty() {
        console.talk(&empty);
    } else {
        console.print(&table.render(console.paint()))?;
    }
    Ok(Exit::Done)
}

/// Prints the manual.
///
/// # Errors
/// There is no such plugin, it can't be loaded, or stdout can't be written.
pub(super) fn show(show: &Show, context: &Context) -> anyhow::Result<Exit> {
    let console = &context.console;
    let plugin = context.engine()?.plugin(&show.plugin)?;
    if show.format.is_json() {
        console.print(&serde_json::to_string_pretty(&object(&plugin))?)?;
    } else {
        console.print(&manual(&plugin, console.paint()))?;
    }
    Ok(Exit::Done)
}

/// Plugins as a list.
pub(in crate::commands) fn table(plugins: &[PluginInfo]) -> Listing {
    let mut table = Table::new(&[
        ("PLUGIN", Align::Left),
        ("VERSION", Align::Left),
        ("FROM", Align::Left),
        ("WHAT IT DOES", Align::Left),
    ]);
    let mut rows = Vec::new();
    for plugin in plugins {
        let manifest = &plugin.manifest;
        table.row([
            &manifest.name,
            &manifest.version,
            &match shadows(plugin) {
                true => format!("{} (over the shipped one)", origin(plugin)),
                false => origin(plugin),
            },
            &manifest.summary,
        ]);
        rows.push(json!({
            "name": manifest.name,
            "version": manifest.version,
            "origin": origin(plugin),
            "summary": manifest.summary,
            "entry_points": manifest.entry_points,
            "sha256": plugin.sha256,
            "shadows": shadows(plugin),
        }));
    }
    (
        table,
        rows,
        "no plugins in this build, none in the configuration directory".to_owned(),
    )
}

/// A plugin as one object.
fn object(plugin: &PluginInfo) -> Value {
    let manifest = &plugin.manifest;
    let options: Vec<Value> = manifest
        .options
        .iter()
        .map(|option| {
            json!({
                "name": option.name,
                "type": kind(option.kind),
                "default": option.default,
                "required": option.required,
                "repeated": option.repeated,
                "secret": option.secret,
                "choices": option.choices,
                "doc": option.doc,
                "example": option.example,
            })
        })
        .collect();
    json!({
        "name": manifest.name,
        "version": manifest.version,
        "origin": origin(plugin),
        "summary": manifest.summary,
        "doc": manifest.doc,
        "size": plugin.size,
        "sha256": plugin.sha256,
        "signed_by": plugin.signed_by,
        "entry_points": manifest.entry_points,
        "schemes": manifest.schemes,
        "grants": grants(plugin),
        "imports": plugin.imports,
        "contract": plugin.contract,
        "options": options,
    })
}

/// A plugin as a page.
fn manual(plugin: &PluginInfo, paint: Paint) -> String {
    let manifest = &plugin.manifest;
    let mut text = format!("{}\n{}", title(plugin, paint), facts(plugin, paint));
    // The title of the page is the line above.
    let doc = manifest.doc.trim();
    let doc = doc
        .strip_prefix(&format!("# {}\n", manifest.name))
        .unwrap_or(doc)
        .trim();
    if !doc.is_empty() {
        let lines: Vec<_> = doc.lines().map(printable).collect();
        let _ = writeln!(text, "\n{}", lines.join("\n"));
    }
    if !manifest.options.is_empty() {
        let _ = writeln!(text, "\n{}", paint.bold("Options"));
        for option in &manifest.options {
            text.push_str(&option_text(option, paint));
        }
    }
    text
}

/// A plugin as a few lines: what `build` and `add` show of it.
pub(super) fn brief(plugin: &PluginInfo, paint: Paint) -> String {
    let mut text = format!("{}{}", title(plugin, paint), facts(plugin, paint));
    for option in &plugin.manifest.options {
        text.push_str(&option_text(option, paint));
    }
    text
}

/// `geofence 0.1.0 - keeps what is inside`.
fn title(plugin: &PluginInfo, paint: Paint) -> String {
    let manifest = &plugin.manifest;
    format!(
        "{} {} - {}\n",
        paint.bold(&printable(&manifest.name)),
        printable(&manifest.version),
        printable(&manifest.summary)
    )
}

/// What it does, asks for and weighs.
fn facts(plugin: &PluginInfo, paint: Paint) -> String {
    let manifest = &plugin.manifest;
    let list = |items: &[String]| {
        if items.is_empty() {
            "-".to_owned()
        } else {
            items.join(", ")
        }
    };
    let asks: Vec<String> = plugin.asks.iter().map(|&asks| asks.to_owned()).collect();
    let mut facts = Table::new(&[("", Align::Left), ("", Align::Left)]);
    facts.row(["entry points", &list(&manifest.entry_points)]);
    facts.row(["URL schemes", &list(&manifest.schemes)]);
    facts.row(["asks for", &list(&asks)]);
    facts.row(["imports", &list(&plugin.imports)]);
    facts.row(["contract", &format!("flow:plugin@{}", plugin.contract)]);
    facts.row([
        "from",
        &format!("{}, {}", origin(plugin), bytes(plugin.size)),
    ]);
    facts.row(["sha256", &plugin.sha256]);
    if let Some(key) = &plugin.signed_by {
        facts.row(["signature", &format!("says it is of key {key}, unchecked")]);
    }
    facts.render(paint)
}

/// `  after: choice (keep, seen) [default: keep]`, then what it is.
fn option_text(option: &OptionSpec, paint: Paint) -> String {
    let mut head = format!("  {}: ", paint.cyan(&printable(&option.name)));
    if option.repeated {
        head.push_str("list of ");
    }
    head.push_str(kind(option.kind));
    if !option.choices.is_empty() {
        let _ = write!(head, " ({})", printable(&option.choices.join(", ")));
    }
    match &option.default {
        Some(default) => drop(write!(head, " [default: {}]", printable(default))),
        None if option.required => head.push_str(" [required]"),
        None => {}
    }
    if option.secret {
        head.push_str(" [never printed]");
    }
    let mut text = format!("{head}\n      {}\n", printable(&option.doc));
    if let Some(example) = &option.example {
        let _ = writeln!(
            text,
            "      example: `{}: {}`",
            option.name,
            printable(example)
        );
    }
    text
}

fn kind(kind: OptionKind) -> &'static str {
    match kind {
        OptionKind::Flag => "flag",
        OptionKind::Count => "count",
        OptionKind::Size => "size",
        OptionKind::Duration => "duration",
        OptionKind::Text => "text",
        OptionKind::Url => "url",
        OptionKind::Choice => "choice",
        OptionKind::Regex => "regex",
    }
}

fn grants(plugin: &PluginInfo) -> Vec<&'static str> {
    plugin
        .manifest
        .grants
        .iter()
        .map(|grant| grant.name())
        .collect()
}

/// The lines of a flow that allow what the plugin asks for, where it asks for anything.
pub(super) fn allowing(plugin: &PluginInfo) -> Vec<String> {
    if plugin.manifest.grants.is_empty() {
        return vec!["it asks for nothing: it reaches no host and no credentials".to_owned()];
    }
    let mut lines = vec![
        "it asks for the following, and gets it for the hosts of the URLs in its options and in the flow; \
         for others, a flow says:"
            .to_owned(),
        "  allow:".to_owned(),
    ];
    lines.extend(plugin.manifest.grants.iter().map(|grant| match grant {
        Grant::Connect => "    connect: ['host.example.org:993']".to_owned(),
        Grant::Http if by_wasi(plugin) => {
            "    http: ['api.example.org:443']   # for its requests by wasi:http too".to_owned()
        }
        Grant::Http => "    http: ['api.example.org:443']".to_owned(),
        Grant::Secrets => "    secrets: ['imaps://host.example.org/']".to_owned(),
    }));
    lines
}

/// Whether it makes requests over `wasi:http`, of which its manifest says nothing.
fn by_wasi(plugin: &PluginInfo) -> bool {
    plugin.imports.iter().any(|name| name == "wasi:http")
}

fn origin(plugin: &PluginInfo) -> String {
    match &plugin.origin {
        PluginOrigin::Shipped => "shipped".to_owned(),
        PluginOrigin::File(path) => path.display().to_string(),
    }
}

/// Whether it stands in for a shipped one.
fn shadows(plugin: &PluginInfo) -> bool {
    plugin.origin != PluginOrigin::Shipped && catalogue::has_plugin(&plugin.manifest.name)
}

#[cfg(test)]
mod tests {
    use flow_config::Manifest;

    use super::*;

    fn plugin() -> PluginInfo {
        let option = |name: &str, kind| OptionSpec {
            doc: format!("What {name} is."),
            ..OptionSpec::new(name, kind)
        };
        PluginInfo {
            manifest: Manifest {
                name: "letters".into(),
                version: "0.1.0".into(),
                summary: "reads letters".into(),
                doc: "# letters\n\nLetters are read\nline by line.\n".into(),
                options: vec![
                    OptionSpec {
                        choices: vec!["keep".into(), "burn".into()],
                        default: Some("keep".into()),
                        ..option("after", OptionKind::Choice)
                    },
                    OptionSpec {
                        required: true,
                        ..option("url", OptionKind::Url)
                    },
                    OptionSpec {
                        repeated: true,
                        secret: true,
                        example: Some("[a, b]".into()),
                        ..option("keys", OptionKind::Text)
                    },
                ],
                schemes: vec!["letter".into()],
                grants: vec![Grant::Connect, Grant::Secrets],
                entry_points: vec!["gather".into(), "download".into()],
            },
            asks: vec!["connect", "secrets"],
            imports: vec!["log".into(), "connection".into()],
            contract: "0.1".into(),
            size: 350_000,
            sha256: "ab".repeat(32),
            signed_by: Some("8C8B36A6740D5FE4".into()),
            origin: PluginOrigin::Shipped,
        }
    }

    #[test]
    fn the_manual_tells_all_about_a_plugin() {
        insta::assert_snapshot!(manual(&plugin(), Paint::off()));
    }

    #[test]
    fn the_json_shape_is_pinned() {
        insta::assert_snapshot!(
            serde_json::to_string_pretty(&object(&plugin())).expect("values serialise")
        );
        let (_, rows, _) = table(&[plugin()]);
        assert_eq!(
            rows,
            [json!({
                "name": "letters",
                "version": "0.1.0",
                "origin": "shipped",
                "summary": "reads letters",
                "entry_points": ["gather", "download"],
                "sha256": "ab".repeat(32),
                "shadows": false,
            })]
        );
    }
}
