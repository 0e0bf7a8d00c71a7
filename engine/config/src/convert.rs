//! Reads configurations of sr3, also those written for its previous generation, and writes ours.
//!
//! Old spellings, defaults worked out from other options, and options whose effect depends on the
//! lines before them live here and nowhere else. The result is a text, not a [`Flow`](crate::Flow):
//! it is checked by loading it as any other file.
//!
//! What can't be carried over is never left out in silence: every line ends as a [`Remark`] or as
//! an option of the same meaning. Where leaving something out would let a flow do what its author
//! forbade (a rule that can't be translated, a plugin that is not here), the result names it in a
//! way that does not load, so that nothing starts by mistake.
//!
//! Passwords never get into the text or the report. Those found in URLs are collected in
//! [`Conversion::credentials`], the one place that holds them.
//!
//! Words: a *mask* is an `accept` or `reject` line of sr3; a *component* is what we call a kind.

mod brokers;
mod callbacks;
mod components;
mod directory;
mod document;
mod emit;
mod input;
mod inputs;
mod lines;
mod masks;
mod moving;
mod names;
mod options;
mod ordered;
mod placing;
mod plugins;
mod queues;
mod reading;
mod regexes;
mod report;
mod rules;
mod settings;
mod taking_over;
mod text;
mod users;
mod values;
mod walk;

pub use components::Component;
pub use directory::{Converted, Directory, Remembered, convert_directory};
pub use input::{Folder, Include, Input, Known};
pub use queues::Queues;
pub use report::{Fate, Remark, Tally};

use crate::Secret;

/// What became of one configuration.
#[derive(Debug, Clone)]
pub struct Conversion {
    /// The kind of flow it is here, which is also the folder to put it in: `shovel`, `watch`, ….
    pub kind: &'static str,
    /// The flow, to be written to `<kind>/<name>.yaml`.
    pub yaml: String,
    /// The same flow for further brokers to take from, to be written to `<kind>/<name>-2.yaml` and
    /// so on: sr3 takes from several in one flow.
    pub others: Vec<String>,
    /// What became of each line, in the order of the lines; what concerns the flow as a whole is
    /// first.
    pub report: Vec<Remark>,
    /// Lines for `credentials.conf`: passwords that were written in URLs.
    pub credentials: Vec<Secret>,
    /// The files that were read, the one asked for first.
    pub files: Vec<std::path::PathBuf>,
}

impl Conversion {
    /// How many remarks of each fate.
    pub fn tally(&self) -> Tally {
        Tally::of(&self.report)
    }

    /// The report as lines of text, each `file:line: fate: text`, without what was merely kept
    /// unless `all` is set.
    pub fn render(&self, all: bool) -> String {
        report::render(&self.report, all)
    }
}

/// Converts one configuration. It can't fail: what can't be converted is in the report.
pub fn convert(input: &Input<'_>, known: &Known) -> Conversion {
    walk::convert(input, known)
}
