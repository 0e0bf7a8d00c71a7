//! Waiting for the server to call (RFC 2177).

use std::time::{Duration, Instant};

use flow_plugin::{Failure, Result};

use super::answer::end_of;
use super::session::{Imap, tells_of_mail};

/// Waits in `folder` for at most `timeout`; true if mail may have come.
///
/// An interruption ends IDLE without reading its answer, which waits on the wire until the next
/// command. A connection that breaks is no news: the next poll dials again.
///
/// # Errors
/// As the folder can't be opened.
pub(crate) fn wait(
    imap: &mut Imap,
    folder: &str,
    writable: bool,
    timeout: Duration,
    renew: Duration,
) -> Result<bool> {
    // Told in the answer to some other command, and so never again.
    if imap.take_news() {
        return Ok(true);
    }
    imap.open(folder, writable)?;
    imap.take_news();
    let until = Instant::now() + timeout;
    loop {
        let left = until.saturating_duration_since(Instant::now()).min(renew);
        if left.is_zero() {
            return Ok(false);
        }
        match once(imap, left)? {
            Heard::Mail => return Ok(true),
            Heard::Interruption | Heard::Refusal => return Ok(false),
            Heard::Nothing => {}
        }
    }
}

enum Heard {
    Mail,
    Nothing,
    Interruption,
    Refusal,
}

fn once(imap: &mut Imap, limit: Duration) -> Result<Heard> {
    let tag = imap.start("IDLE")?;
    imap.wire().set_timeout(Some(limit));
    let heard = listen(imap, &tag);
    imap.wire().set_timeout(None);
    match heard {
        Ok(Some(heard)) => {
            imap.leave_idle(tag)?;
            imap.settle_idle()?;
            Ok(heard)
        }
        // The server ended IDLE by itself.
        Ok(None) => Ok(Heard::Refusal),
        Err(Failure::Interrupted) => {
            imap.leave_idle(tag)?;
            Ok(Heard::Interruption)
        }
        // A timeout looks like a broken connection; a server that answers DONE was only silent.
        Err(Failure::Temporary(_)) => {
            imap.wire().revive();
            imap.leave_idle(tag)?;
            imap.settle_idle()?;
            Ok(Heard::Nothing)
        }
        Err(failure) => Err(failure),
    }
}

/// Reads until something tells of a change; nothing if the server ended IDLE.
fn listen(imap: &mut Imap, tag: &str) -> Result<Option<Heard>> {
    loop {
        imap.next_line()?;
        if end_of(imap.line(), tag).is_some() {
            return Ok(None);
        }
        if tells_of_mail(imap.line()) {
            return Ok(Some(Heard::Mail));
        }
    }
}
