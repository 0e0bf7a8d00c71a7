//! The entry points, as traits over a plugin's own type. When each is called is said in
//! `plugins/wit/exports.wit`; one instance is never called for two things at once.

use std::time::Duration;

use crate::{
    Context, Fetched, Gathered, HttpRequest, HttpResponse, Manifest, Message, Outcome, Result,
    Sent, Verdict,
};

/// Says what the plugin is. Every plugin has this.
pub trait Describe {
    /// Called once, with nothing granted.
    fn describe() -> Manifest;
}

/// For plugins with options or something to keep.
pub trait Lifecycle: Sized {
    /// Reads the options. No connection is needed yet: dial when asked.
    ///
    /// # Errors
    /// `config` where options do not go together.
    fn start(context: Context) -> Result<Self>;
    /// How many instances may work at the same time, where that is limited.
    fn max_instances(&self) -> Option<u32> {
        None
    }
    /// Upkeep, between batches.
    ///
    /// # Errors
    /// Logged; nothing is tried again before the next interval.
    fn housekeeping(&mut self) -> Result<()> {
        Ok(())
    }
    /// The last call.
    fn stop(&mut self) {}
}

/// Asks the origin what is new, changing nothing there.
pub trait Gather {
    /// At most `limit` messages, oldest first.
    ///
    /// # Errors
    /// `temporary` is tried again after the flow's `sleep`.
    fn gather(&mut self, limit: u32) -> Result<Gathered>;
}

/// Waits for the origin to call.
pub trait Wake {
    /// True when there may be something; false after `timeout`, on [`crate::Failure::Interrupted`],
    /// or when the origin can't push.
    ///
    /// # Errors
    /// As [`Gather::gather`].
    fn wait(&mut self, timeout: Duration) -> Result<bool>;
}

/// Side effects at the origin, once it is safe.
pub trait Settled {
    /// Has to stand being called twice for the same outcome.
    ///
    /// # Errors
    /// The same outcomes come again later.
    fn settled(&mut self, outcomes: Vec<Outcome>) -> Result<()>;
}

/// Decides about messages before anything is fetched.
pub trait AfterAccept {
    /// One verdict per message, in order.
    ///
    /// # Errors
    /// Counts for every message of the batch.
    fn after_accept(&mut self, batch: Vec<Message>) -> Result<Vec<Verdict>>;
}

/// Fetches content for the schemes of the manifest.
pub trait Download {
    /// One result per message, in order; content goes through [`crate::create`].
    ///
    /// # Errors
    /// Counts for those whose content was not finished.
    fn download(&mut self, batch: Vec<Message>) -> Result<Vec<Fetched>>;
}

/// Delivers messages.
pub trait Send {
    /// One result per message, in order.
    ///
    /// # Errors
    /// Counts for every message of the batch.
    fn send(&mut self, batch: Vec<Message>) -> Result<Vec<Sent>>;
}

/// Looks at content that is here.
pub trait AfterWork {
    /// One verdict per message, in order.
    ///
    /// # Errors
    /// Counts for every message of the batch.
    fn after_work(&mut self, batch: Vec<Message>) -> Result<Vec<Verdict>>;
}

/// Posts to something that is not a broker.
pub trait Post {
    /// One result per message, in order; `Ok` means durable at the far side.
    ///
    /// # Errors
    /// Counts for every message of the batch.
    fn post(&mut self, batch: Vec<Message>) -> Result<Vec<Result<()>>>;
}

/// Answers HTTP requests.
pub trait Request {
    /// Answer 2xx only after [`crate::submit`] returned.
    ///
    /// # Errors
    /// Answered as 503 or 500.
    fn handle(&mut self, request: HttpRequest) -> Result<HttpResponse>;
}

/// Serves a line protocol: of the program that runs `flow helper`, or of whoever is connected to the
/// flow's socket. On instances that do nothing else.
pub trait Line {
    /// One line, without its end. `peer` names the connection: keep it in a header of what is submitted,
    /// to know later whom to [answer](crate::write_line).
    ///
    /// # Errors
    /// Logged; the line gets no answer.
    fn line(&mut self, peer: u64, text: String) -> Result<()>;
    /// No more lines will come.
    ///
    /// # Errors
    /// Logged.
    fn closed(&mut self, _peer: u64) -> Result<()> {
        Ok(())
    }
}
