//! `flow enable NAME…` and `flow disable NAME…`: whether flows may be started.

use std::fs;
use std::io::ErrorKind;

use anyhow::Context as _;

use crate::context::Context;
use crate::stop::Exit;

/// Arguments of `flow disable`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
A disabled flow is left out by `flow start` and `flow run`, and refused where it is named; `flow \
status` shows it as disabled. Its file, its queue and what it remembers stay. Its queue goes on \
filling. A flow that runs has to be stopped first.

Examples:
  flow disable poll/mail
  flow disable 'subscribe/test-*'

Exit codes: 0 done, also where it was so already, 2 could not: a flow runs or is not there.")]
pub(crate) struct DisableArgs {
    /// Which flows: `kind/name`, or a pattern such as `poll/mail-*`
    #[arg(value_name = "FLOW", required = true)]
    flows: Vec<String>,
}

/// Arguments of `flow enable`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Takes back what `flow disable` did. Nothing is started: that is `flow start`.

Examples:
  flow enable poll/mail
  flow enable '*'

Exit codes: 0 done, also where it was so already, 2 could not.")]
pub(crate) struct EnableArgs {
    /// Which flows: `kind/name`, or a pattern such as `poll/mail-*`
    #[arg(value_name = "FLOW", required = true)]
    flows: Vec<String>,
}

/// Marks flows.
///
/// # Errors
/// One of them runs or is not there, or the state directory can't be written.
pub(crate) fn disable(args: &DisableArgs, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.engine()?;
    let names = context.select(&engine, &args.flows)?;
    super::cleanup::stopped(&engine, &names, "nothing was disabled")?;
    for name in &names {
        let marker = engine.disabled_marker(name);
        let write = || {
            if let Some(directory) = marker.parent() {
                fs::create_dir_all(directory)?;
            }
            fs::write(&marker, "")
        };
        write().with_context(|| format!("can't write {}", marker.display()))?;
        context.console.talk(&format!("{name} is disabled"));
    }
    Ok(Exit::Done)
}

/// Takes the marks away.
///
/// # Errors
/// A flow is not there, or the state directory can't be written.
pub(crate) fn enable(args: &EnableArgs, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.engine()?;
    for name in context.select(&engine, &args.flows)? {
        let marker = engine.disabled_marker(&name);
        match fs::remove_file(&marker) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("can't delete {}", marker.display()));
            }
            _ => context.console.talk(&format!("{name} is enabled")),
        }
    }
    Ok(Exit::Done)
}
