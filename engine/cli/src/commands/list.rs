//! `flow list [flows|examples|plugins|queues]`.

use std::fs;

use serde_json::{Value, json};

use crate::args::FormatArg;
use crate::catalogue;
use crate::context::Context;
use crate::render::{Align, Table};
use crate::stop::Exit;

/// Arguments of `flow list`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --format json, stdout is one array:
  flows     {\"name\", \"file\", \"summary\"}
  examples  {\"name\", \"summary\"}
  plugins   {\"name\", \"version\", \"origin\", \"summary\", \"entry_points\"}
  queues    {\"name\", \"exchanges\", \"ready\", \"leased\"}
`origin` is `shipped` or the path of the file.

Examples:
  flow list
  flow list examples
  flow list queues --format json

Exit codes: 0 listed (an empty list too), 2 could not.")]
pub(crate) struct Args {
    /// What to list
    #[arg(value_enum, default_value = "flows")]
    what: What,
    #[command(flatten)]
    format: FormatArg,
}

/// What to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// Your flows, in the configuration directory
    Flows,
    /// Shipped examples, for `flow add`
    Examples,
    /// Shipped plugins and those in `<config>/plugins`
    Plugins,
    /// Queues of the built-in broker: messages waiting (ready) and in hand (leased)
    Queues,
}

/// Prints the list.
///
/// # Errors
/// What is listed can't be read, or stdout can't be written.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let (table, rows, empty) = match args.what {
        What::Flows => flows(context)?,
        What::Examples => examples(),
        What::Plugins => super::plugin::table(&context.engine()?.plugins()?),
        What::Queues => queues(context)?,
    };
    if args.format.is_json() {
        context
            .console
            .print(&serde_json::to_string_pretty(&rows)?)?;
    } else if table.is_empty() {
        context.console.talk(&empty);
    } else {
        context
            .console
            .print(&table.render(context.console.paint()))?;
    }
    Ok(Exit::Done)
}

/// A list: for people, for programs, and what to say when it is empty.
pub(super) type Listing = (Table, Vec<Value>, String);

fn flows(context: &Context) -> anyhow::Result<Listing> {
    let engine = context.engine()?;
    let config = context.directories()?.config;
    let mut table = Table::new(&[("FLOW", Align::Left), ("WHAT IT DOES", Align::Left)]);
    let mut rows = Vec::new();
    for name in engine.flow_files()? {
        let name = name.to_string();
        let file = config.join(format!("{name}.yaml"));
        let summary = fs::read_to_string(&file)
            .map(|text| catalogue::summary(&text))
            .unwrap_or_default();
        table.row([&name, &summary]);
        rows.push(json!({ "name": name, "file": file, "summary": summary }));
    }
    let empty = format!(
        "no flows in {}\n`flow list examples` shows what there is to start from, `flow add EXAMPLE` copies it",
        config.display()
    );
    Ok((table, rows, empty))
}

fn examples() -> Listing {
    let mut table = Table::new(&[("EXAMPLE", Align::Left), ("WHAT IT DOES", Align::Left)]);
    let mut rows = Vec::new();
    for example in catalogue::examples() {
        table.row([example.file, &example.summary()]);
        rows.push(json!({ "name": example.file, "summary": example.summary() }));
    }
    (table, rows, "no examples in this build".to_owned())
}

fn queues(context: &Context) -> anyhow::Result<Listing> {
    let mut table = Table::new(&[
        ("QUEUE", Align::Left),
        ("EXCHANGE", Align::Left),
        ("READY", Align::Right),
        ("LEASED", Align::Right),
    ]);
    let mut rows = Vec::new();
    let engine = context.engine()?;
    for queue in super::foreground::runtime()?.block_on(engine.queues())? {
        let mut exchanges: Vec<&str> = queue
            .bindings
            .iter()
            .map(|binding| binding.exchange.as_str())
            .collect();
        exchanges.sort_unstable();
        exchanges.dedup();
        let (ready, leased) = (queue.ready.to_string(), queue.leased.to_string());
        table.row([&queue.name, &exchanges.join(", "), &ready, &leased]);
        rows.push(json!({
            "name": queue.name,
            "exchanges": exchanges,
            "ready": queue.ready,
            "leased": queue.leased,
        }));
    }
    Ok((
        table,
        rows,
        "no queues: no flow with `exchange` has run here".to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::Paint;

    #[test]
    fn the_shipped_examples_as_a_person_sees_them() {
        let (table, rows, _) = examples();
        insta::assert_snapshot!(table.render(Paint::off()));
        assert_eq!(rows[0]["name"], "flow/cgp-helper.yaml");
    }
}
