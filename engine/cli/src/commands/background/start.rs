//! `flow start [FLOW…]`: flows run in the background.

use crate::args::FormatArg;
use crate::context::Context;
use crate::names;
use crate::stop::{Exit, Problem};

/// Arguments of `flow start`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
One background process runs all flows of a state directory; the first start starts it. A flow that \
has errors is reported and keeps no other from starting. One that fails later is started again by \
itself, later and later; one that a person has to mend waits for `flow reload`.

Flows find the environment of the command that started the process. It works in /, so flows name \
places by whole paths (${HOME}/in, not in).

What happens is in <state>/log: flow.log is about the process, kind/name.log about a flow. A log \
starts anew every day and at 20 MiB; five old ones are kept.

FLOW_METRICS=127.0.0.1:9470 in that environment offers /metrics for Prometheus and /healthz there; where \
others than this machine may ask, it ends in `,anywhere`: FLOW_METRICS=0.0.0.0:9470,anywhere.

With --format json, stdout is one array of {\"flow\", \"result\", \"text\"}. The result is `started`, \
`running` (before), `foreground` (`flow foreground` runs it), `disabled`, `starting` (it takes \
long), `waiting` (it failed and is tried again), `ended` or `failed`; the text says why.

Examples:
  flow start                  all flows that are not disabled
  flow start poll/mail
  flow start 'poll/*'

Exit codes: 0 they run, 1 some could not start, 2 could not run, or a disabled flow was named.")]
pub(crate) struct Args {
    /// Which flows: `kind/name`, or a pattern; none means all that are not disabled
    #[arg(value_name = "FLOW")]
    flows: Vec<String>,
    #[command(flatten)]
    format: FormatArg,
}

/// Starts them, and the process if it is not there.
///
/// # Errors
/// There is no such flow, a disabled one was named, or the process does not come up.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.engine()?;
    let all = args.flows.is_empty();
    let files = engine.flow_files()?;
    let names = if all {
        files
    } else {
        context.select(&engine, &args.flows)?
    };
    if names.is_empty() {
        return Err(no_flows(&engine.directories().config).into());
    }
    let texts = super::texts(&names);
    for pattern in args.flows.iter().filter(|one| super::is_exact(one)) {
        let meant = names::select(pattern, &texts);
        let disabled = names
            .iter()
            .zip(&texts)
            .find(|(name, text)| meant.contains(text) && engine.is_disabled(name));
        if let Some((name, _)) = disabled {
            return Err(
                Problem::new("cli/disabled", format!("the flow `{name}` is disabled"))
                    .note("nothing was started")
                    .hint(format!("`flow enable {name}` lets it run again"))
                    .into(),
            );
        }
    }
    let running = super::running(&engine)?;
    super::same_configuration(&engine, &running)?;
    // The process would have nobody to tell.
    super::check_metrics(context, running.process.is_some())?;
    let outcomes = super::start_flows(context, &engine, texts, all)?;
    super::show(context, &outcomes, args.format.is_json())
}

/// That there is nothing to start.
pub(super) fn no_flows(config: &std::path::Path) -> Problem {
    Problem::new(
        "cli/no-flows",
        format!("there are no flows in {}", config.display()),
    )
    .hint("`flow list examples` shows what there is to start from, `flow add EXAMPLE` copies it")
}
