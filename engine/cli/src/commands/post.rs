//! `flow post --exchange X PATH…`: files become messages.

mod watcher;

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use flow_config::{Flow, SafeUrl};
use flow_daemon::{Drain, Engine, Paths, RunOptions};

use self::watcher::Watcher;
use crate::args::SetArg;
use crate::context::Context;
use crate::render::{bytes, plural};
use crate::stop::{Exit, Problem};

/// Arguments of `flow post`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Announces files that exist: each becomes a message with its size, times, permission bits and \
identity, posted under the topic made of its directories. Directories are walked, and announced as \
such; symbolic links are announced as links. Nothing is copied or moved. Messages go out while the \
rest is still being read. Posting an unchanged file again is a new message: suppressing duplicates is \
the receiver's choice (`nodupe_ttl`).

`-` reads paths from stdin, one per line, so that anything that names files can post them.

--flow takes every option from a flow of kind post: `fileEvents`, `identity`, `filters`, `header`, \
callbacks and so on; options given here go over it, and paths given here stand in for its `path`. \
Without it, any option can be set with --set.

The spellings of sr3_post are understood: --post_broker, --post_exchange, --post_baseUrl, \
--post_baseDir, --post_topicPrefix, --path or -p, --config or -c.

Examples:
  flow post --exchange xs_files report.pdf
  find /data -name '*.csv' -newer stamp | flow post --exchange xs_files -
  flow post --broker amqps://me@broker.example.com/ --base-url https://data.example.com/ \
--base-dir /srv/www /srv/www/a.csv
  flow post --flow post/catalogue --set identity=md5 /data/new

Exit codes: 0 all posted, 1 some could not be, 2 could not run.")]
pub(crate) struct Args {
    /// Exchange to post to [default: xs_USER, after the user of the broker]
    #[arg(long, short = 'e', value_name = "NAME", alias = "post_exchange")]
    exchange: Option<String>,
    /// Broker the exchange is on [default: the one built into flow]
    #[arg(long, short = 'b', value_name = "URL", alias = "post_broker")]
    broker: Option<String>,
    /// Root under which others fetch the files [default: file:/]
    #[arg(long, value_name = "URL", alias = "post_baseUrl")]
    base_url: Option<String>,
    /// Directory that the root stands for; cut from the front of each path
    #[arg(long, value_name = "DIR", alias = "post_baseDir")]
    base_dir: Option<PathBuf>,
    /// First words of every topic [default: v03]
    #[arg(long, value_name = "PREFIX", alias = "post_topicPrefix")]
    topic_prefix: Option<String>,
    /// Take the options of this flow: `post/NAME`
    #[arg(long, short = 'c', value_name = "FLOW", alias = "config")]
    flow: Option<String>,
    #[command(flatten)]
    set: SetArg,
    /// Print the messages, post nothing
    #[arg(long)]
    dry_run: bool,
    /// One more path
    #[arg(long = "path", short = 'p', value_name = "PATH", hide = true)]
    more: Vec<PathBuf>,
    /// Files and directories; `-` reads paths from stdin
    #[arg(value_name = "PATH", required_unless_present_any = ["flow", "more"])]
    paths: Vec<PathBuf>,
}

/// Posts paths in order, while they are read.
///
/// # Errors
/// The broker can't be posted to, or a dry run's messages can't be printed.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.engine()?;
    let flow = flow(args, context, &engine)?;
    let exchange = flow
        .output
        .as_ref()
        .map(|output| output.exchange.clone())
        .unwrap_or_default();
    let options = RunOptions {
        once: true,
        dry_run: args.dry_run,
    };
    let watcher = Arc::new(Watcher::new(context.console.clone(), args.dry_run));
    let paths = paths(args);
    let console = &context.console;
    let result = super::foreground::runtime()?.block_on(async {
        let drain = Drain::new();
        let signals = tokio::spawn(crate::signals::watch(drain.clone(), console.clone())?);
        let observer = Arc::clone(&watcher) as _;
        let result = engine.post(flow, paths, options, observer, drain).await;
        signals.abort();
        anyhow::Ok(result)
    });
    let posted = watcher.finish();
    let said = || {
        let number = plural(posted.messages, "message");
        format!("posted {number} ({}) to {exchange}", bytes(posted.bytes))
    };
    let result = result?;
    if let Some(error) = watcher.not_printed() {
        return Err(error).context("can't print the messages");
    }
    let counts = match result {
        Ok(counts) => counts,
        // Each was named when it was met.
        Err(flow_daemon::Error::Flow(flow_runtime::Error::Incomplete(reason))) => {
            if !args.dry_run {
                console.talk(&said());
            }
            console.talk(&reason);
            return Ok(Exit::No);
        }
        Err(error) => {
            if posted.messages > 0 {
                console.talk(&said());
            }
            return Err(error.into());
        }
    };
    if args.dry_run {
        return Ok(Exit::Done);
    }
    console.talk(&said());
    let failed = counts.retrying + counts.dead;
    if failed > 0 {
        let number = plural(failed, "message");
        console.talk(&format!("{number} could not be posted"));
        return Ok(Exit::No);
    }
    Ok(Exit::Done)
}

/// The flow that posts: the one named, or one made of the arguments.
fn flow(args: &Args, context: &Context, engine: &Engine) -> anyhow::Result<Flow> {
    let mut set: Vec<(String, String)> = Vec::new();
    // As YAML writes texts that could be something else.
    let mut give = |name: &str, value: &str| {
        set.push((name.to_owned(), serde_json::Value::from(value).to_string()));
    };
    if let Some(url) = &args.base_url {
        give("post_baseUrl", url);
    }
    if let Some(directory) = &args.base_dir {
        let directory = std::path::absolute(directory)?;
        give("post_baseDir", &directory.to_string_lossy());
    }
    if let Some(prefix) = &args.topic_prefix {
        give("post_topicPrefix", prefix);
    }
    if let Some(broker) = &args.broker {
        give("post_broker", broker);
    }
    if let Some(exchange) = &args.exchange {
        give("post_exchange", exchange);
    }
    let given = |name: &str| args.set.set.iter().any(|(option, _)| option == name);
    if let Some(name) = &args.flow {
        if !name.starts_with("post/") {
            return Err(Problem::new(
                "cli/not-a-post",
                format!("`{name}` is no flow of kind post"),
            )
            .hint("name one such as `post/catalogue`, or leave --flow out")
            .into());
        }
        set.extend(args.set.set.iter().cloned());
        if !args.paths.is_empty() || !args.more.is_empty() {
            set.push(("path".to_owned(), "'-'".to_owned()));
        }
        return context.load(engine, name, &set);
    }
    if args.exchange.is_none() && !given("post_exchange") {
        let user = args.broker.as_deref().and_then(|broker| {
            let user = SafeUrl::parse(broker).ok()?.user();
            (!user.is_empty()).then_some(user)
        });
        let Some(user) = user else {
            return Err(
                Problem::new("cli/no-exchange", "nothing says where to post to")
                    .hint("add `--exchange xs_…`")
                    .into(),
            );
        };
        give("post_exchange", &format!("xs_{user}"));
    }
    set.extend(args.set.set.iter().cloned());
    let (flow, warnings) = engine.poster(&set)?;
    context.warn(&warnings);
    Ok(flow)
}

/// The paths given, those on stdin as they come; none where the flow names its own.
fn paths(args: &Args) -> Option<Paths> {
    if args.paths.is_empty() && args.more.is_empty() {
        return None;
    }
    let all: Vec<PathBuf> = args.more.iter().chain(&args.paths).cloned().collect();
    Some(Box::new(all.into_iter().flat_map(|path| -> Paths {
        if path.as_os_str() != "-" {
            return Box::new(std::iter::once(Ok(path)));
        }
        let lines = BufReader::new(std::io::stdin()).lines();
        let named = lines.filter(|line| !matches!(line, Ok(line) if line.is_empty()));
        Box::new(named.map(|line| line.map(PathBuf::from)))
    })))
}
