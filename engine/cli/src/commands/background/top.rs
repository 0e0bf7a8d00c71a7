//! `flow top`: the status, again and again.

use std::io;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios};
use rustix::termios::{tcgetattr, tcsetattr};

use super::status;
use crate::context::Context;
use crate::stop::Exit;

/// Arguments of `flow top`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Shows what `flow status` shows, anew every second, until `q` is typed. Where stdout is no terminal it \
is printed once.

Examples:
  flow top
  flow top 'poll/*'

Exit codes: 0 done, 2 could not run.")]
pub(crate) struct Args {
    /// Which flows: `kind/name`, or a pattern; none means all
    #[arg(value_name = "FLOW")]
    flows: Vec<String>,
}

/// How long one picture stands.
const PICTURE: Duration = Duration::from_secs(1);

/// Shows it until somebody has seen enough.
///
/// # Errors
/// There is no such flow, or the process does not answer.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.engine()?;
    let picture = || -> anyhow::Result<String> {
        let status = status::look(context, &engine, &args.flows)?;
        Ok(status::text(context, &status, false, &args.flows))
    };
    if !context.is_terminal() {
        context.console.print(&picture()?)?;
        return Ok(Exit::Done);
    }
    let keys = Keys::listen()?;
    loop {
        // Home, then each line cleared behind its end, then what is below.
        let text = picture()?.replace('\n', "\x1b[K\n");
        context
            .console
            .print(&format!("\x1b[H{text}\x1b[Kq leaves\x1b[K\x1b[J"))?;
        if keys.leave_within(PICTURE)? {
            context.console.print("")?;
            return Ok(Exit::Done);
        }
    }
}

/// The keyboard without waiting for the end of a line; put back when dropped.
struct Keys {
    before: Termios,
}

impl Keys {
    fn listen() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut single = before.clone();
        single
            .local_modes
            .remove(LocalModes::ICANON | LocalModes::ECHO);
        single.special_codes[SpecialCodeIndex::VMIN] = 0;
        single.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(io::stdin(), OptionalActions::Now, &single)?;
        Ok(Self { before })
    }

    /// Whether `q` was typed, or nobody types any more; waits at most `time`.
    fn leave_within(&self, time: Duration) -> io::Result<bool> {
        let stdin = io::stdin();
        let timeout = Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(1),
            tv_nsec: time.subsec_nanos().into(),
        };
        let mut wait = [PollFd::new(&stdin, PollFlags::IN)];
        if poll(&mut wait, Some(&timeout))? == 0 {
            return Ok(false);
        }
        let mut typed = [0; 16];
        let count = rustix::io::read(&stdin, &mut typed)?;
        Ok(count == 0 || typed[..count].contains(&b'q'))
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // The terminal may be gone, and then it does not matter.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}
