//! `flow explain [CODE]`.

use crate::context::Context;
use crate::explain;
use crate::render::{Align, Table};
use crate::stop::{Exit, Problem};

/// Arguments of `flow explain`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  flow explain config/missing-unit
  flow explain              every code with one line

Exit codes: 0 explained, 1 no such code, 2 could not run.")]
pub(crate) struct Args {
    /// The code, as it stands in brackets after `error`; none lists them all
    #[arg(value_name = "CODE")]
    code: Option<String>,
}

/// Prints the page, or the list.
///
/// # Errors
/// Stdout can't be written.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let Some(code) = &args.code else {
        let mut table = Table::new(&[("CODE", Align::Left), ("MEANS", Align::Left)]);
        for (code, title) in explain::all() {
            table.row([code, title]);
        }
        context
            .console
            .print(&table.render(context.console.paint()))?;
        return Ok(Exit::Done);
    };
    // People paste it as it was printed.
    let code = code
        .trim()
        .trim_start_matches("error")
        .trim_matches(['[', ']', ':']);
    if let Some(page) = explain::page(code) {
        context.console.print(&page)?;
        return Ok(Exit::Done);
    }
    let mut problem = Problem::new("cli/unknown-code", format!("there is no code `{code}`"));
    let near = explain::near(code);
    if near.is_empty() {
        problem = problem.hint("`flow explain` lists every code");
    } else {
        problem = problem.hint(format!("did you mean `{}`?", near.join("` or `")));
    }
    context.console.talk(&crate::render::error(
        &problem.into(),
        context.console.paint_err(),
    ));
    Ok(Exit::No)
}
