//! `flow remove NAME…`.

use std::fmt::Write;
use std::path::PathBuf;

use flow_config::Flow;
use flow_daemon::Became;

use crate::context::Context;
use crate::render::printable_lines;
use crate::stop::Exit;

/// Arguments of `flow remove`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Shows what it would delete and asks. What the flow remembers (which mails it has seen, failed \
messages, plugin state) is kept, so that adding the flow again goes on where it stopped, and so is its \
queue, which goes on filling: for ever, unless the flow has `expire`. --state deletes both as well, \
failed messages included. A queue whose broker can't be reached is named, to be deleted there. \
credentials.conf is never touched.

Examples:
  flow remove poll/mail
  flow remove 'poll/mail-*' --yes
  flow remove poll/mail --state --dry-run

Exit codes: 0 removed, 1 not confirmed, or a queue could not be deleted, 2 could not.")]
pub(crate) struct Args {
    /// Which flows: `kind/name`, or a pattern such as `poll/mail-*`
    #[arg(value_name = "FLOW", required = true)]
    flows: Vec<String>,
    /// Delete what the flow remembers and its queue as well
    #[arg(long)]
    state: bool,
    /// Say what would be deleted, delete nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// Shows, asks, deletes.
///
/// # Errors
/// A flow is not there, nobody can be asked, or a file can't be deleted.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let directories = context.directories()?;
    let engine = context.engine()?;
    let found = context.select(&engine, &args.flows)?;
    let names: Vec<String> = found.iter().map(ToString::to_string).collect();
    let mut files = Vec::new();
    super::cleanup::stopped(&engine, &found, "nothing was deleted")?;
    for name in &found {
        files.push(directories.config.join(format!("{name}.yaml")));
        if args.state {
            files.extend(super::cleanup::store_files(&engine, name));
        }
    }
    let mut text = plan(&files, &names, args.state);
    // One with errors has to go as well; nobody knows its queue.
    let flows: Vec<Flow> = found
        .iter()
        .filter_map(|name| Some(engine.read(name, &[]).ok()?.0))
        .collect();
    text.push_str(&about_queues(&flows, args.state));
    for name in found
        .iter()
        .filter(|name| !flows.iter().any(|flow| flow.name == **name))
    {
        let _ = writeln!(
            text,
            "`{name}` has errors, so its queue is not known: `flow list queues` shows those of the \
             built-in broker."
        );
    }
    context.console.talk(&text);
    if args.dry_run {
        return Ok(Exit::Done);
    }
    if !args.yes && !context.confirm("Delete?")? {
        return Ok(Exit::No);
    }
    let mut exit = Exit::Done;
    let with_queues = flows.iter().any(|flow| flow.input.is_some());
    let others = (args.state && with_queues).then(|| super::cleanup::others(&engine, &found));
    if let Some(Err(_)) = others {
        exit = Exit::No;
        context.console.talk(
            "queues stay and go on filling: a flow here has errors, so that nobody knows whether it \
             takes from them; when that is mended, `flow cleanup --queue QUEUE` deletes one of the \
             built-in broker",
        );
    } else if let Some(Ok(others)) = others {
        let deleting = engine.delete_queues(&flows, &others);
        let pieces = super::foreground::runtime()?.block_on(deleting)?;
        for piece in &pieces {
            let (queue, broker) = (&piece.name, &piece.broker);
            let reason = piece.reason.as_deref().unwrap_or_default();
            let reason = printable_lines(reason, "    ");
            match piece.result {
                Became::Failed => {
                    exit = Exit::No;
                    context.console.talk(&format!(
                        "queue {queue} at {broker} could not be deleted: {reason}\n    it stays and \
                         goes on filling: delete it at the broker"
                    ));
                }
                Became::Kept => context
                    .console
                    .talk(&format!("queue {queue} at {broker} stays: {reason}")),
                _ => {}
            }
        }
    }
    for file in &files {
        super::cleanup::delete(file)?;
    }
    context
        .console
        .talk(&format!("removed {}", names.join(", ")));
    Ok(exit)
}

/// What becomes of queues.
fn about_queues(flows: &[Flow], state: bool) -> String {
    let mut text = String::new();
    for flow in flows {
        let Some(input) = &flow.input else { continue };
        let (queue, broker) = (&input.queue, input.broker.without_password());
        // Writing to a String can't fail.
        let _ = if state {
            writeln!(text, "  queue {queue} at {broker}, with what waits in it")
        } else if super::cleanup::is_embedded(input) {
            writeln!(
                text,
                "Queue {queue} stays and goes on filling: `flow cleanup --queue {queue}` deletes it."
            )
        } else {
            writeln!(
                text,
                "Queue {queue} at {broker} stays and goes on filling: `--state` deletes it too, \
                 later only the broker can."
            )
        };
    }
    text
}

fn plan(files: &[PathBuf], names: &[String], state: bool) -> String {
    let mut text = String::from("This deletes:\n");
    // Writing to a String can't fail.
    for file in files {
        let _ = writeln!(text, "  {}", file.display());
    }
    if state {
        text.push_str("Failed messages of these flows, and what they remember, are lost.\n");
    } else {
        let again = if names.len() == 1 {
            "the flow goes on"
        } else {
            "the flows go on"
        };
        let _ = writeln!(
            text,
            "State is kept: added again, {again} where it stopped (`--state` deletes it too)."
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_says_what_is_lost_and_what_is_kept() {
        let files = [PathBuf::from("/c/poll/mail.yaml")];
        let names = ["poll/mail".to_owned()];
        insta::assert_snapshot!(format!(
            "{}---\n{}",
            plan(&files, &names, false),
            plan(&files, &names, true)
        ));
    }
}
