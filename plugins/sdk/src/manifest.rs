//! Building what `describe` returns.

use crate::{Grant, Manifest, OptionKind, OptionSet, OptionSpec};

/// Starts a manifest: name, version, one line about it.
pub fn manifest(name: &str, version: &str, summary: &str) -> ManifestBuilder {
    ManifestBuilder(Manifest {
        name: name.to_owned(),
        version: version.to_owned(),
        summary: summary.to_owned(),
        doc: String::new(),
        options: Vec::new(),
        schemes: Vec::new(),
        grants: Vec::new(),
    })
}

/// A manifest being built.
#[derive(Debug, Clone)]
#[must_use]
pub struct ManifestBuilder(Manifest);

impl ManifestBuilder {
    /// The manual, Markdown; `include_str!("../README.md")` is a good one.
    pub fn doc(mut self, markdown: &str) -> Self {
        markdown.clone_into(&mut self.0.doc);
        self
    }

    /// Adds an option.
    pub fn option(mut self, option: OptionBuilder) -> Self {
        self.0.options.push(option.0);
        self
    }

    /// Adds the options of a struct.
    pub fn options<T: OptionSet>(mut self) -> Self {
        self.0.options.extend(T::specs());
        self
    }

    /// URL schemes `download` or `send` serves.
    pub fn schemes(mut self, schemes: &[&str]) -> Self {
        self.0
            .schemes
            .extend(schemes.iter().map(|&scheme| scheme.to_owned()));
        self
    }

    /// Asks for something to reach.
    pub fn grant(mut self, grant: Grant) -> Self {
        self.0.grants.push(grant);
        self
    }

    /// The manifest.
    pub fn build(self) -> Manifest {
        self.0
    }
}

/// Starts an option: its name, kind, and one sentence with units.
pub fn option(name: &str, kind: OptionKind, doc: &str) -> OptionBuilder {
    OptionBuilder(OptionSpec {
        name: name.to_owned(),
        kind,
        default: None,
        required: false,
        repeated: false,
        secret: false,
        choices: Vec::new(),
        doc: doc.to_owned(),
        example: None,
    })
}

/// An option being built.
#[derive(Debug, Clone)]
#[must_use]
pub struct OptionBuilder(OptionSpec);

impl OptionBuilder {
    /// The default, as it would be written in the flow (`10s`, `5MiB`).
    pub fn default(mut self, text: &str) -> Self {
        self.0.default = Some(text.to_owned());
        self
    }

    /// What it holds, where that is not what it started with.
    pub fn kind(mut self, kind: OptionKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// What the manifest says. What has a default need not be set.
    pub fn build(mut self) -> OptionSpec {
        self.0.required &= self.0.default.is_none();
        self.0
    }

    /// The flow has to set it.
    pub fn required(mut self) -> Self {
        self.0.required = true;
        self
    }

    /// The value is a list.
    pub fn repeated(mut self) -> Self {
        self.0.repeated = true;
        self
    }

    /// The value is never printed.
    pub fn secret(mut self) -> Self {
        self.0.secret = true;
        self
    }

    /// The values a `choice` has.
    pub fn choices(mut self, choices: &[&str]) -> Self {
        self.0.choices = choices.iter().map(|&choice| choice.to_owned()).collect();
        self
    }

    /// A value to show in the manual.
    pub fn example(mut self, text: &str) -> Self {
        self.0.example = Some(text.to_owned());
        self
    }
}
