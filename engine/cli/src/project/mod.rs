//! Projects of plugins: what `flow plugin new` writes and `flow plugin build` builds.
//!
//! A *project* is a folder with `flow-plugin.toml`, or with a file that tells its language. A
//! *language* is a folder of `templates/`: how a project of it looks and which commands build it;
//! nothing of any language is in the code. A *kit* is what a project links against; it is carried
//! in this binary and copied into each project, so that a project builds wherever it is.

mod build;
mod language;
mod name;
mod template;

use std::path::{Path, PathBuf};

use serde::Deserialize;

pub(crate) use build::build;
pub(crate) use language::Language;
pub(crate) use name::Name;
pub(crate) use template::{ENTRY_POINTS, write};

use crate::stop::Problem;

mod built {
    #![expect(
        unreachable_pub,
        reason = "build.rs writes one form, wherever it is included"
    )]
    include!(concat!(env!("OUT_DIR"), "/templates.rs"));
    include!(concat!(env!("OUT_DIR"), "/kits.rs"));
}

/// The file that says what a folder is a project of.
pub(crate) const FILE: &str = "flow-plugin.toml";

/// `flow-plugin.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    name: String,
    language: Option<String>,
    /// In place of the language's.
    steps: Option<Vec<Vec<String>>>,
    /// In place of the language's.
    component: Option<String>,
}

/// A folder that holds the sources of a plugin.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    pub(crate) directory: PathBuf,
    pub(crate) name: Name,
    /// None: it says itself how it is built.
    pub(crate) language: Option<Language>,
    steps: Vec<Vec<String>>,
    component: String,
}

impl Project {
    /// The project in a directory.
    ///
    /// # Errors
    /// There is none, or what it says of itself makes no sense.
    pub(crate) fn find(directory: &Path) -> anyhow::Result<Self> {
        let file = directory.join(FILE);
        let said = match std::fs::read_to_string(&file) {
            Ok(text) => said(&file, &text)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => guessed(directory)?,
            Err(error) => {
                return Err(Problem::new(
                    "plugin/project",
                    format!("{} can't be read: {error}", file.display()),
                )
                .into());
            }
        };
        let name = Name::parse(&said.name).map_err(|why| {
            Problem::new(
                "plugin/project",
                format!("`{}` can't be the name of a plugin: {why}", said.name),
            )
            .note(format!("{} says so", file.display()))
        })?;
        let language = said.language.as_deref().map(Language::find).transpose()?;
        let own = |what: &str| {
            Problem::new(
                "plugin/project",
                format!(
                    "{} names no `language`, and no `{what}` either",
                    file.display()
                ),
            )
            .hint(format!(
                "add `language = \"…\"`, one of {}",
                Language::names().join(", ")
            ))
            .hint("or say how it is built: `steps = [[\"make\"]]` and `component = \"out.wasm\"`")
        };
        let steps = said
            .steps
            .or_else(|| language.as_ref().map(|language| language.steps.clone()));
        let component = said
            .component
            .or_else(|| language.as_ref().map(|language| language.component.clone()));
        Ok(Self {
            directory: directory.to_owned(),
            steps: steps.ok_or_else(|| own("steps"))?,
            component: component.ok_or_else(|| own("component"))?,
            name,
            language,
        })
    }

    /// Where `flow plugin build` puts the plugin.
    pub(crate) fn wasm(&self) -> PathBuf {
        self.directory.join(format!("{}.wasm", self.name.kebab()))
    }
}

fn said(file: &Path, text: &str) -> Result<Said, Problem> {
    toml::from_str(text).map_err(|error| {
        let line = error
            .span()
            .map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        Problem::new(
            "plugin/project",
            format!("{}:{line}: {}", file.display(), error.message()),
        )
        .hint("it says `name`, `language`, and where the language's own do not do, `steps` and `component`")
    })
}

/// What the files of a folder without `flow-plugin.toml` tell.
fn guessed(directory: &Path) -> anyhow::Result<Said> {
    let here = directory.display();
    if !directory.is_dir() {
        return Err(
            Problem::new("plugin/no-project", format!("there is no folder {here}"))
                .hint("`flow plugin new NAME --lang rust --entry after_accept` makes a project")
                .into(),
        );
    }
    for language in Language::all()? {
        if !language
            .files
            .iter()
            .any(|file| directory.join(file).is_file())
        {
            continue;
        }
        // The folder's name does for a project that was not made by `new`.
        let whole = std::path::absolute(directory)?;
        let name = whole
            .file_name()
            .map(|name| name.to_string_lossy().replace('_', "-"))
            .unwrap_or_default();
        return Ok(Said {
            name: language.package_name(directory).unwrap_or(name),
            language: Some(language.name),
            steps: None,
            component: None,
        });
    }
    let files: Vec<String> = Language::all()?
        .into_iter()
        .flat_map(|language| language.files)
        .map(|file| format!("`{file}`"))
        .collect();
    Err(Problem::new(
        "plugin/no-project",
        format!("{here} holds no plugin project"),
    )
    .note(format!(
        "a project has a `{FILE}`, or at least {}",
        files.join(" or ")
    ))
    .hint("name the project's folder: `flow plugin build DIR`")
    .hint("`flow plugin new NAME --lang rust --entry after_accept` makes a project")
    .into())
}
