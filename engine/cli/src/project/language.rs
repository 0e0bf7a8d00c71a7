//! Languages plugins are written in: folders of `templates/`, each with a `language.toml`.

use std::path::Path;

use anyhow::Context;
use serde::Deserialize;

use super::built::TEMPLATES;
use crate::stop::Problem;

/// How projects of one language are built.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Language {
    /// The folder it is in.
    #[serde(skip)]
    pub(crate) name: String,
    /// What people call it.
    pub(crate) title: String,
    /// A folder that has one of these is a project of it.
    pub(crate) files: Vec<String>,
    /// Parts of `plugins/` that a project carries with it.
    #[serde(default)]
    pub(crate) vendor: Vec<String>,
    /// Folders of the project where its tools are looked for first.
    #[serde(default)]
    pub(crate) path: Vec<String>,
    /// Commands, run in the project.
    pub(crate) steps: Vec<Vec<String>>,
    /// What they make.
    pub(crate) component: String,
    /// What has to be there.
    #[serde(default)]
    pub(crate) needs: Vec<Need>,
}

/// Something that has to be there before the steps.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Need {
    /// In words.
    pub(crate) what: String,
    /// A command that ends well where it is there.
    #[serde(default)]
    pub(crate) probe: Vec<String>,
    /// What the command then prints.
    pub(crate) contains: Option<String>,
    /// Whether it prints a path that then exists.
    #[serde(default)]
    pub(crate) path: bool,
    /// Instead of a command: a file or folder of the project.
    pub(crate) file: Option<String>,
    /// The command that installs it.
    pub(crate) install: String,
    /// Whether that is a step of the build, because it installs into the project.
    #[serde(default)]
    pub(crate) step: bool,
}

impl Language {
    /// Every language.
    ///
    /// # Errors
    /// A `language.toml` is wrong, which a test finds before anybody else does.
    pub(crate) fn all() -> anyhow::Result<Vec<Self>> {
        let files = TEMPLATES
            .iter()
            .filter_map(|(path, text)| Some((path.strip_suffix("/language.toml")?, *text)));
        files
            .map(|(name, text)| {
                let language: Self = toml::from_str(text)
                    .with_context(|| format!("the description of the language `{name}`"))?;
                Ok(Self {
                    name: name.to_owned(),
                    ..language
                })
            })
            .collect()
    }

    /// Their names.
    pub(crate) fn names() -> Vec<&'static str> {
        TEMPLATES
            .iter()
            .filter_map(|(path, _)| path.strip_suffix("/language.toml"))
            .collect()
    }

    /// The language of that name.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn find(name: &str) -> anyhow::Result<Self> {
        let known = Self::all()?
            .into_iter()
            .find(|language| language.name == name);
        known.ok_or_else(|| {
            Problem::new("plugin/language", format!("there are no templates for `{name}`"))
                .note(format!("there are {}", Self::names().join(", ")))
                .hint("a plugin in any other language is a component that follows plugins/wit; its project says how it is built: `steps` and `component` in flow-plugin.toml")
                .into()
        })
    }

    /// The name a package file of the language gives the project, where that is simple to tell.
    pub(crate) fn package_name(&self, directory: &Path) -> Option<String> {
        #[derive(Deserialize)]
        struct Package {
            package: Named,
        }
        #[derive(Deserialize)]
        struct Named {
            name: String,
        }
        self.files.iter().find_map(|file| {
            let text = std::fs::read_to_string(directory.join(file)).ok()?;
            if file.ends_with(".toml") {
                return Some(toml::from_str::<Package>(&text).ok()?.package.name);
            }
            Some(serde_json::from_str::<Named>(&text).ok()?.name)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_describes_itself() {
        let all = Language::all().expect("the descriptions are right");
        assert!(all.iter().any(|language| language.name == "rust"));
        for language in all {
            assert!(!language.steps.is_empty(), "{}", language.name);
            for need in &language.needs {
                assert!(
                    need.probe.is_empty() == need.file.is_some(),
                    "{}: {} is either probed or a file",
                    language.name,
                    need.what
                );
            }
        }
    }
}
