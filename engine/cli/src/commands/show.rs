//! `flow show NAME`: every value with its origin.

use serde_json::{Value, json};

use flow_config::Setting;

use crate::args::{FormatArg, SetArg};
use crate::context::Context;
use crate::render::{Align, Table};
use crate::stop::Exit;

/// Arguments of `flow show`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Prints what the engine would work with: includes and variables resolved, defaults filled in, secrets \
masked. The origin is `default`, `default of the kind`, `file:line:column` (and the environment \
variables the value was made with), or `--set`.

With --format json, stdout is one array of {\"option\", \"value\", \"origin\"}; all three are text.

Examples:
  flow show flow/mail
  flow show flow/mail --written
  flow show flow/mail --set sleep=5s

Exit codes: 0 shown, 2 the flow has errors or is not there.")]
pub(crate) struct Args {
    /// Which flow: `kind/name`
    #[arg(value_name = "FLOW")]
    flow: String,
    /// Only what the file or --set says, no defaults
    #[arg(long)]
    written: bool,
    #[command(flatten)]
    set: SetArg,
    #[command(flatten)]
    format: FormatArg,
}

/// Prints the table.
///
/// # Errors
/// The flow has errors, or stdout can't be written.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let flow = context.read(&context.engine()?, &args.flow, &args.set.set)?;
    let settings: Vec<&Setting> = flow
        .settings
        .iter()
        .filter(|setting| !args.written || setting.origin.is_written())
        .collect();
    if args.format.is_json() {
        let rows: Vec<Value> = settings.iter().map(|setting| row(setting)).collect();
        context
            .console
            .print(&serde_json::to_string_pretty(&rows)?)?;
    } else {
        context
            .console
            .print(&table(&settings).render(context.console.paint()))?;
    }
    Ok(Exit::Done)
}

fn table(settings: &[&Setting]) -> Table {
    let mut table = Table::new(&[
        ("OPTION", Align::Left),
        ("VALUE", Align::Left),
        ("ORIGIN", Align::Left),
    ]);
    for setting in settings {
        table.row([&setting.name, &setting.value, &setting.origin.to_string()]);
    }
    table
}

fn row(setting: &Setting) -> Value {
    json!({ "option": setting.name, "value": setting.value, "origin": setting.origin.to_string() })
}

#[cfg(test)]
mod tests {
    use flow_config::Origin;

    use super::*;
    use crate::render::Paint;

    #[test]
    fn values_stand_beside_their_origins() {
        let setting = |name: &str, value: &str, origin| Setting {
            name: name.into(),
            value: value.into(),
            origin,
        };
        let settings = [
            setting(
                "pollUrl",
                "imaps://me:****@mail.example.com/INBOX",
                Origin::File("flow/mail.yaml:3:10".into()),
            ),
            setting("sleep", "5s", Origin::CommandLine),
            setting("batch", "100", Origin::Default),
            setting("download", "on", Origin::Kind),
        ];
        let settings: Vec<&Setting> = settings.iter().collect();
        insta::assert_snapshot!(table(&settings).render(Paint::off()));
        assert_eq!(
            row(settings[3]),
            json!({ "option": "download", "value": "on", "origin": "default of the kind" })
        );
    }
}
