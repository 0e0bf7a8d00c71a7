//! The plugin: from a batch to its fates.

use flow_plugin::{
    AfterWork, Context, Describe, Failure, Lifecycle, Manifest, Message, Result, Verdict as Fate,
    log, metrics, open,
};

use crate::api::{Client, Trouble};
use crate::options::{self, Settings};
use crate::round::{End, Round};
use crate::route::route;

/// The plugin.
#[derive(Debug)]
pub struct PtSandbox {
    settings: Settings,
    /// Whether one instance of several: the first looks after the sandbox's health.
    leads: bool,
}

impl Describe for PtSandbox {
    fn describe() -> Manifest {
        options::describe()
    }
}

impl Lifecycle for PtSandbox {
    fn start(context: Context) -> Result<Self> {
        let settings = Settings::read(&context)?;
        if settings.base.starts_with("http://") && context.instance == 0 {
            log::warn(
                "the sandbox is asked without TLS: its key and all content can be read on the way",
            );
        }
        Ok(Self {
            settings,
            leads: context.instance == 0,
        })
    }

    fn housekeeping(&mut self) -> Result<()> {
        if !self.leads {
            return Ok(());
        }
        let ill = match Client::new(&self.settings)?.health() {
            Ok(ill) => ill,
            Err(Trouble::Away(failure) | Trouble::Failure(failure)) => {
                Some(failure.reason().to_owned())
            }
            Err(Trouble::Refused(why)) => Some(why),
            Err(Trouble::Gone) => Some("it has no health check".to_owned()),
        };
        metrics::gauge("sandbox_healthy", if ill.is_none() { 1.0 } else { 0.0 });
        if let Some(why) = ill {
            log::warn(format!("the sandbox is not well: {why}"));
        }
        Ok(())
    }
}

impl AfterWork for PtSandbox {
    fn after_work(&mut self, batch: Vec<Message>) -> Result<Vec<Fate>> {
        let client = Client::new(&self.settings)?;
        let mut fates = Vec::with_capacity(batch.len());
        let mut scanned = Vec::new();
        for (number, message) in batch.iter().enumerate() {
            fates.push(Fate::Keep);
            if has_content(message) && !self.is_told(message) {
                scanned.push((number, message));
            }
        }
        let messages: Vec<&Message> = scanned.iter().map(|(_, message)| *message).collect();
        let ends = Round::new(&self.settings, &client).run(&messages);
        for ((number, message), end) in scanned.into_iter().zip(ends) {
            fates[number] = self.fate(message, end);
        }
        Ok(fates)
    }
}

impl PtSandbox {
    /// Whether somebody before has said why there is nothing to scan, to whoever acts on it.
    fn is_told(&self, message: &Message) -> bool {
        !self.settings.carry_out
            && message.header("sandbox-state") == Some("error")
            && message.header("sandbox-action").is_none()
            && open(message.id).is_err_and(|failure| {
                // That there is no such file has no word of its own.
                matches!(failure, Failure::Permanent(_))
                    || failure.reason().contains("(os error 2)")
            })
    }

    fn fate(&self, message: &Message, end: End) -> Fate {
        match end {
            End::Verdict(verdict) => route(&self.settings, message, &verdict),
            End::Wait(after, reason) => Fate::wait(reason, after),
            End::Fail(failure) => Fate::Fail(named(failure)),
        }
    }
}

fn named(failure: Failure) -> Failure {
    failure.context("content not scanned")
}

/// A removal, a link, a directory: there is nothing to scan.
fn has_content(message: &Message) -> bool {
    message.headers.iter().all(|header| header.name != "fileOp")
}

#[cfg(test)]
#[path = "tests.rs"]
pub(crate) mod tests;
