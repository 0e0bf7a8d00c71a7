//! Trying a plugin against a file that says what goes in and what has to come out.
//!
//! The plugin runs in the real host, under its limits and grants, but in a world that the file makes
//! up: canned peers, a clock that stands still, state and content in memory. Nothing leaves the
//! process. What such a file may say is in `plugins/WRITING.md`.
//!
//! Words: a *trial* is one file; a *step* is one call of an entry point; a *difference* is a place
//! where what came out is not what the file expects.

mod case;
mod compare;
mod given;
mod hear;
mod peers;
mod run;
mod stage;
mod told;
mod update;

use flow_config::document;

use crate::{Engine, Error};

pub use compare::Difference;

/// How a trial went.
#[derive(Debug, Clone, Default)]
pub struct Trial {
    /// Steps that were made.
    pub steps: usize,
    /// What was not as expected, in the order of the file.
    pub differences: Vec<Difference>,
    /// What the plugin said: `level: text`.
    pub log: Vec<String>,
    /// The file as it would be with what came out for what was expected, where that differs.
    pub updated: Option<String>,
}

impl Engine {
    /// Runs the trial `file`, whose content is `text`, with the plugin of that name.
    ///
    /// Blocks: it has a runtime of its own.
    ///
    /// # Errors
    /// The file makes no sense, or the plugin can't be loaded. What the plugin does wrong is a
    /// difference.
    pub fn try_plugin(&self, plugin: &str, file: &str, text: &str) -> Result<Trial, Error> {
        let catalogue = self.catalogue()?;
        let (flow, root) =
            document::plugin_test(file, text, plugin, catalogue).map_err(Error::Findings)?;
        let case = case::Case::read(&root).map_err(|wrong| Error::Trial {
            file: file.to_owned(),
            line: wrong.line,
            what: wrong.what,
        })?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| Error::File {
                path: file.into(),
                source,
            })?;
        let directory = std::path::Path::new(file).parent().map(ToOwned::to_owned);
        let heard = hear::Heard::default();
        let done = tracing::subscriber::with_default(heard.clone(), || {
            let work = run::run(catalogue, flow, &case, directory.as_deref(), &heard);
            runtime.block_on(work)
        })?;
        let updated = update::update(text, &done.updates);
        Ok(Trial {
            steps: case.steps.len(),
            updated: (updated != text).then_some(updated),
            log: heard.all(),
            differences: done.differences,
        })
    }
}
