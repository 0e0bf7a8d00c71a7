//! `flow rename FROM TO`: a flow under another name, with everything it remembers.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use flow_config::{Flow, FlowName};
use flow_daemon::{Became, Engine, Store};

use crate::context::Context;
use crate::names;
use crate::render::count;
use crate::stop::{Exit, Problem};

/// Arguments of `flow rename`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Moves the flow's file, its store (failed messages, what was seen, plugin state), its logs and its mark \
as disabled. The flow has to be stopped; it goes on under the new name where it stopped.

The name of a queue is made from that of its flow. With another name the flow has another queue; the old \
one is deleted if nothing waits in it, else it stays and it is said how to delete it. --keep-queue writes \
`queueName` into the file, so that the flow keeps its queue. It is said what happens.

Examples:
  flow rename subscribe/news subscribe/world-news
  flow rename subscribe/news world-news --keep-queue
  flow rename subscribe/news world-news --dry-run

Exit codes: 0 renamed, 2 could not: it runs, or the name is taken.")]
pub(crate) struct Args {
    /// Which flow: `kind/name`
    #[arg(value_name = "FROM")]
    from: String,
    /// Its new name; the kind stays, and may be left out
    #[arg(value_name = "TO")]
    to: String,
    /// Write the queue's name into the file, so that it stays the flow's
    #[arg(long)]
    keep_queue: bool,
    /// Say what would be done, change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Renames.
///
/// # Errors
/// The flow runs, has errors or is not there; the new name is taken or none.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.engine()?;
    let from = context.one(&engine, &args.from)?;
    let to = target(&from, &args.to)?;
    let config = context.directories()?.config;
    let file = |name: &FlowName| config.join(format!("{name}.yaml"));
    super::cleanup::stopped(&engine, std::slice::from_ref(&from), "nothing was renamed")?;
    if file(&to).exists() {
        return Err(taken(&file(&to)).into());
    }
    // Both are there only after a rename that was cut off between the store and the file; then the
    // store is where it belongs.
    if engine.store_file(&to).exists() && engine.store_file(&from).exists() {
        return Err(taken(&engine.store_file(&to)).into());
    }
    let flow = context.read(&engine, &from.to_string(), &[])?;
    let talk = |text: &str| context.console.talk(text);
    let pairs = moves(&engine, &from, &to);
    for (old, new) in &pairs {
        talk(&format!("  {} -> {}", old.display(), new.display()));
    }
    talk(&format!(
        "  {} -> {}",
        file(&from).display(),
        file(&to).display()
    ));
    if let Some(text) = about_queue(&flow, args.keep_queue) {
        talk(&text);
    }
    if args.dry_run {
        return Ok(Exit::Done);
    }
    if args.keep_queue
        && let Some(input) = flow
            .input
            .as_ref()
            .filter(|_| !flow.is_written("queueName"))
    {
        keep_queue(&file(&from), &input.queue)?;
    }
    for (old, new) in &pairs {
        shift(old, new)?;
    }
    // Last: until here the flow still has its old name, and this can be done again.
    shift(&file(&from), &file(&to))?;
    talk(&format!("{from} is {to} now"));
    if !args.keep_queue
        && let Some(text) = drop_queue(&engine, &flow, &to)?
    {
        talk(&text);
    }
    Ok(Exit::Done)
}

/// The new name, of the same kind.
fn target(from: &FlowName, to: &str) -> Result<FlowName, Problem> {
    let whole = match to.contains('/') {
        true => to.to_owned(),
        false => format!("{}/{to}", from.kind),
    };
    let to = names::parse(&whole)?;
    if to.kind != from.kind {
        return Err(Problem::new(
            "cli/bad-name",
            format!("`{to}` is of another kind than `{from}`"),
        )
        .note("the kind of a flow decides what it does, not only what it is called")
        .hint("copy the file, and `flow check` the copy"));
    }
    Ok(to)
}

fn taken(path: &Path) -> Problem {
    Problem::new(
        "cli/name-taken",
        format!("{} is there already", path.display()),
    )
    .note("nothing was renamed")
    .hint("choose another name, or move that file away")
}

/// What is to be moved in the state directory.
fn moves(engine: &Engine, from: &FlowName, to: &FlowName) -> Vec<(PathBuf, PathBuf)> {
    let (store, log) = (engine.store_file(from), engine.log_file(Some(from)));
    let (new_store, new_log) = (engine.store_file(to), engine.log_file(Some(to)));
    let files = Store::files(&store).into_iter();
    let mut pairs: Vec<(PathBuf, PathBuf)> = files.zip(Store::files(&new_store)).collect();
    // The lock stays: whoever runs the flow under its new name makes one.
    pairs.retain(|(old, _)| *old != Store::lock_file(&store));
    pairs.push((engine.disabled_marker(from), engine.disabled_marker(to)));
    pairs.push((log, new_log));
    pairs.retain(|(old, _)| old.exists());
    pairs
}

fn shift(old: &Path, new: &Path) -> anyhow::Result<()> {
    if let Some(directory) = new.parent() {
        fs::create_dir_all(directory)
            .with_context(|| format!("can't make {}", directory.display()))?;
    }
    fs::rename(old, new)
        .with_context(|| format!("can't rename {} to {}", old.display(), new.display()))
}

/// What becomes of the queue.
fn about_queue(flow: &Flow, keep: bool) -> Option<String> {
    let input = flow.input.as_ref()?;
    let (queue, broker) = (&input.queue, input.broker.without_password());
    Some(if flow.is_written("queueName") {
        format!("The queue stays `{queue}`, as the file says.")
    } else if keep {
        format!("The queue stays `{queue}`: `queueName` is written into the file.")
    } else {
        format!(
            "The flow gets a queue of its new name. `{queue}` at {broker} is deleted if nothing waits \
             in it; --keep-queue keeps it, as `queueName: {queue}` in the file does."
        )
    })
}

/// Deletes the queue of the old name if nothing waits in it; says what became of it.
fn drop_queue(engine: &Engine, old: &Flow, to: &FlowName) -> anyhow::Result<Option<String>> {
    let Some(input) = old.input.as_ref().filter(|_| !old.is_written("queueName")) else {
        return Ok(None);
    };
    let (queue, broker) = (&input.queue, input.broker.without_password());
    let how = match super::cleanup::is_embedded(input) {
        true => format!("`flow cleanup --queue {queue}` deletes it"),
        false => "delete it at the broker when it is not needed any more".to_owned(),
    };
    let stays = |why: &str| {
        Ok(Some(format!(
            "queue {queue} at {broker} stays and goes on filling: {why}; {how}"
        )))
    };
    let runtime = super::foreground::runtime()?;
    match runtime.block_on(engine.waiting(old)) {
        Ok(Some(0)) => {}
        Ok(Some(waiting)) => return stays(&format!("{} messages wait in it", count(waiting))),
        // A queue that was never made is none to talk about.
        Ok(None) if super::cleanup::is_embedded(input) => return Ok(None),
        Ok(None) => return stays("what waits in it is not known"),
        Err(error) => return stays(&format!("what waits in it is not known: {error}")),
    }
    let Ok(others) = super::cleanup::others(engine, &[]) else {
        return stays("a flow here has errors, so that nobody knows whether it takes from it");
    };
    let pieces = runtime.block_on(engine.delete_queues(std::slice::from_ref(old), &others))?;
    match pieces.first() {
        Some(piece) if piece.result == Became::Deleted => Ok(Some(format!(
            "queue {queue} at {broker} was empty and is deleted; `flow declare {to}` makes the new one \
             before the flow starts"
        ))),
        Some(piece) if piece.reason.is_some() => stays(piece.reason.as_deref().unwrap_or_default()),
        _ => Ok(None),
    }
}

/// Writes the name of the queue at the end of the file.
fn keep_queue(file: &Path, queue: &str) -> anyhow::Result<()> {
    let mut text =
        fs::read_to_string(file).with_context(|| format!("can't read {}", file.display()))?;
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&format!("queueName: {}\n", serde_json::to_string(queue)?));
    // As a whole or not at all.
    let draft = file.with_extension("yaml.new");
    fs::write(&draft, text)
        .and_then(|()| fs::rename(&draft, file))
        .with_context(|| format!("can't write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_name_keeps_the_kind() {
        let from: FlowName = "poll/a".parse().expect("a name");
        let name = |to: &str| target(&from, to).map(|name| name.to_string());
        assert_eq!(name("b").as_deref(), Ok("poll/b"));
        assert_eq!(name("poll/b.yaml").as_deref(), Ok("poll/b"));
        assert_eq!(
            name("watch/b").map_err(|error| error.code),
            Err("cli/bad-name")
        );
        assert!(name("../b").is_err());
    }
}
