//! `flow replay FILE`: a recorded session again, through the plugins there are now.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use flow_daemon::{Played, ReplayOptions, Session};

use crate::context::Context;
use crate::render::printable;
use crate::stop::Exit;

/// Arguments of `flow replay`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Makes every call of a recording (`flow foreground NAME --record FILE`) again, in its order, with the \
plugins there are now, and compares what they answer, what they write to servers, into content and \
into their state with what was recorded. Differences are printed to stdout. No network, no broker, no \
credentials and no flow file are needed: what plugins ask for comes from the recording, so one that \
was made elsewhere can be played here. Nothing is changed anywhere.

A plugin that asks for something the recording does not have is told that it failed, and that is a \
difference. Calls after a difference get what they got in the recording.

Examples:
  flow replay mail.rec
  flow replay mail.rec --plugin mail=target/mail.wasm
  flow replay mail.rec --at 12 --trace          one call, as the log of a crash names it

Exit codes: 0 everything as recorded, 1 differences, 2 could not run.")]
pub(crate) struct Args {
    /// The recording
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Another file for a plugin of the recording: `mail=target/mail.wasm`
    #[arg(long, value_name = "NAME=FILE", value_parser = name_and_file)]
    plugin: Vec<(String, PathBuf)>,
    /// Only this call, after those of its instance before it
    #[arg(long, value_name = "CALL")]
    at: Option<u64>,
    /// Print every call, and what the plugin asked for in it
    #[arg(long)]
    trace: bool,
}

fn name_and_file(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => {
            Ok((name.to_owned(), PathBuf::from(file)))
        }
        _ => Err("write it as `name=file`, for example `mail=target/mail.wasm`".to_owned()),
    }
}

/// Plays the recording.
///
/// # Errors
/// The recording can't be read, or a plugin can't be loaded.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let console = &context.console;
    let engine = context.engine()?;
    let session = Session::read(&args.file).map_err(flow_daemon::Error::from)?;
    let options = ReplayOptions {
        at: args.at,
        plugins: args.plugin.iter().cloned().collect::<BTreeMap<_, _>>(),
    };
    let mut printed = Ok(());
    let mut each = |played: &Played| {
        let all = args.trace || args.at == Some(played.call);
        if (all || !played.differences.is_empty()) && printed.is_ok() {
            printed = console.print(&told(played, args.trace));
        }
    };
    let runtime = super::foreground::runtime()?;
    let summary = runtime.block_on(engine.replay(&session, &options, &mut each))?;
    printed?;
    for changed in &summary.changed {
        console.talk(changed);
    }
    let flow = session.flow();
    if summary.different == 0 {
        console.talk(&format!(
            "{} calls of {flow} went as recorded",
            summary.calls
        ));
        return Ok(Exit::Done);
    }
    console.talk(&format!(
        "{} of {} calls of {flow} went another way",
        summary.different, summary.calls
    ));
    Ok(Exit::No)
}

fn told(played: &Played, trace: bool) -> String {
    let mut text = format!(
        "call {}  {} {}",
        played.call, played.plugin, played.entry_point
    );
    match played.messages.as_slice() {
        [] => {}
        [one] => {
            let _ = write!(text, " ({})", printable(one));
        }
        many => {
            let _ = write!(text, " ({} messages)", many.len());
        }
    }
    let _ = write!(text, ": {}", printable(&played.answer));
    if trace {
        let _ = write!(text, ", in {:.1?}", played.elapsed);
        if let Some(recorded) = played.recorded {
            let _ = write!(text, ", {recorded:.1?} when recorded");
        }
        for asked in &played.asked {
            let _ = write!(text, "\n    asked: {}", printable(asked));
        }
    }
    for difference in &played.differences {
        let _ = write!(text, "\n  - {}", printable(difference));
    }
    if let Some(crash) = &played.crash {
        for line in crash.lines() {
            let _ = write!(text, "\n    {}", printable(line));
        }
    }
    text
}
