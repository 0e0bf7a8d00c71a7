//! `flow post --exchange X PATH…`: files become messages.

mod walk;

use std::path::PathBuf;

use anyhow::Context as _;

use crate::context::Context;
use crate::render::{bytes, plural};
use crate::stop::{Exit, Problem};

/// Arguments of `flow post`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Announces files that exist: each becomes a message with its size, times, permission bits and SHA-512 \
identity, posted under the topic made of its directories. Directories are walked; symbolic links are \
announced as links. Nothing is copied or moved. Posting an unchanged file again is a new message:
suppressing duplicates is the receiver's choice (`nodupe_ttl`).

`-` reads paths from stdin, one per line, so that anything that names files can post them.

Examples:
  flow post --exchange xs_files report.pdf
  find /data -name '*.csv' -newer stamp | flow post --exchange xs_files -
  flow post --exchange xs_files --base-url https://data.example.com/ --base-dir /srv/www /srv/www/a.csv

Exit codes: 0 all posted, 2 could not (nothing was posted then, unless the message says so).")]
pub(crate) struct Args {
    /// Exchange to post to
    #[arg(long, value_name = "NAME")]
    exchange: String,
    /// Broker the exchange is on
    #[arg(long, value_name = "URL", default_value = "embedded:")]
    broker: String,
    /// Root under which others fetch the files [default: file:/]
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// Directory that the root stands for; cut from the front of each path
    #[arg(long, value_name = "DIR", requires = "base_url")]
    base_dir: Option<PathBuf>,
    /// First words of every topic
    #[arg(long, value_name = "PREFIX", default_value = "v03")]
    topic_prefix: String,
    /// Print the messages, post nothing
    #[arg(long)]
    dry_run: bool,
    /// Files and directories; `-` reads paths from stdin
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
}

/// Reads all files first, then posts in order.
///
/// # Errors
/// A file can't be read, or the broker can't be posted to.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    if args.broker != "embedded:" {
        return Err(Problem::new(
            "broker/not-here",
            format!("not the broker built into flow: `{}`", args.broker),
        )
        .note("nothing was posted")
        .hint("leave --broker out, or write a flow `post/NAME.yaml` with `path` and `post_broker`")
        .into());
    }
    let root = walk::Root::new(args.base_url.as_deref(), args.base_dir.as_deref())?;
    let mut messages = Vec::new();
    for path in &args.paths {
        if path.as_os_str() == "-" {
            for line in std::io::stdin().lines() {
                let line = line.context("can't read paths from stdin")?;
                if !line.is_empty() {
                    walk::walk(line.as_ref(), &root, &mut messages)?;
                }
            }
        } else {
            walk::walk(path, &root, &mut messages)?;
        }
    }
    if args.dry_run {
        for message in &messages {
            context
                .console
                .print(&flow_message::v03::to_value(message).to_string())?;
        }
        return Ok(Exit::Done);
    }
    let size = messages.iter().filter_map(|message| message.size).sum();
    let number = messages.len() as u64;
    let engine = context.engine()?;
    let posting = engine.post(&args.exchange, &args.topic_prefix, messages);
    super::foreground::runtime()?.block_on(posting)?;
    context.console.talk(&format!(
        "posted {} ({}) to {}",
        plural(number, "message"),
        bytes(size),
        args.exchange
    ));
    Ok(Exit::Done)
}
