//! What the binary carries: the shipped plugins and the examples `flow add` copies.
//!
//! `build.rs` writes both tables; here they get names.

use crate::credentials::PLACEHOLDER;

mod built {
    #![expect(
        unreachable_pub,
        reason = "build.rs writes one form, wherever it is included"
    )]
    include!(concat!(env!("OUT_DIR"), "/plugins.rs"));
    include!(concat!(env!("OUT_DIR"), "/catalogue.rs"));
}

/// The shipped plugins: name and component.
pub(crate) fn plugins() -> &'static [(&'static str, &'static [u8])] {
    built::PLUGINS
}

/// Whether a plugin of that name is shipped.
pub(crate) fn has_plugin(name: &str) -> bool {
    plugins().iter().any(|(known, _)| *known == name)
}

/// A shipped example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Example {
    /// `kind/name.yaml`.
    pub file: &'static str,
    /// What it says.
    pub text: &'static str,
}

impl Example {
    /// `kind/name`.
    pub(crate) fn name(self) -> &'static str {
        self.file.strip_suffix(".yaml").unwrap_or(self.file)
    }

    /// The kind of flow it is.
    pub(crate) fn kind(self) -> &'static str {
        self.file.split('/').next().unwrap_or_default()
    }

    /// What it is for, one line.
    pub(crate) fn summary(self) -> String {
        summary(self.text)
    }

    /// The line it needs in `credentials.conf`, as its comments give it, with the placeholder.
    pub(crate) fn credentials(self) -> Option<&'static str> {
        self.text
            .lines()
            .filter_map(|line| line.strip_prefix('#'))
            .map(str::trim)
            .find(|comment| comment.contains(&format!(":{PLACEHOLDER}@")))
    }

    /// The lines a person has to edit, numbered from 1: those marked `# EDIT: what`.
    pub(crate) fn edits(self) -> Vec<Edit> {
        let lines = self.text.lines().enumerate();
        lines
            .filter_map(|(index, line)| {
                let (line_text, what) = line.split_once("# EDIT:")?;
                Some(Edit {
                    line: index + 1,
                    text: line_text.trim().to_owned(),
                    what: what.trim().to_owned(),
                })
            })
            .collect()
    }
}

/// A line a person has to edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edit {
    /// From 1.
    pub line: usize,
    /// The line, without the mark.
    pub text: String,
    /// What to put there.
    pub what: String,
}

/// Every example, sorted by name.
pub(crate) fn examples() -> Vec<Example> {
    let mut examples: Vec<Example> = built::CATALOGUE
        .iter()
        .filter(|(file, _)| file.ends_with(".yaml"))
        .map(|(file, text)| Example { file, text })
        .collect();
    examples.sort_by_key(|example| example.file);
    examples
}

/// The example called so, with or without `.yaml`.
pub(crate) fn example(name: &str) -> Option<Example> {
    let name = name.strip_suffix(".yaml").unwrap_or(name);
    examples()
        .into_iter()
        .find(|example| example.name() == name)
}

/// What a flow file says of itself: its `description`, or else its first comment, without the
/// file's own name. Textual, so that a file with errors has its line in `flow list` too.
pub(crate) fn summary(text: &str) -> String {
    if let Some(said) = text
        .lines()
        .find_map(|line| line.strip_prefix("description:"))
    {
        return said.trim().trim_matches(['"', '\'']).to_owned();
    }
    let comment = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or_default();
    let Some(comment) = comment.strip_prefix('#') else {
        return String::new();
    };
    let comment = comment.trim();
    let said = match comment
        .split_once(" — ")
        .or_else(|| comment.split_once(" - "))
    {
        Some((file, said)) if file.ends_with(".yaml") => said,
        _ => comment,
    };
    said.trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_what_it_is_for_in_its_first_comment() {
        assert_eq!(
            summary("# poll/mail.yaml — announce new mail.\nsleep: 5s"),
            "announce new mail"
        );
        assert_eq!(
            summary("\n# scans - of a partner\n"),
            "scans - of a partner"
        );
        assert_eq!(
            summary("# poll/mail.yaml - copied\ndescription: 'office mail'\n"),
            "office mail"
        );
        assert_eq!(summary("sleep: 5s\n# later"), "");
    }

    #[test]
    fn every_example_says_what_it_is_for_and_what_to_edit() {
        assert!(examples().len() >= 3);
        for example in examples() {
            assert!(!example.summary().is_empty(), "{}", example.file);
            let edits = example.edits();
            assert!(edits.iter().all(|edit| !edit.what.is_empty()));
            if example.file.ends_with("mail.yaml") {
                assert_eq!(
                    edits.len(),
                    1,
                    "{}: one line in the flow, one in credentials.conf",
                    example.file
                );
                let credentials = example.credentials().expect("mail needs a password");
                assert!(credentials.starts_with("imaps://"), "{credentials}");
            }
        }
        assert_eq!(example("poll/mail.yaml"), example("poll/mail"));
        assert_eq!(example("poll/nothing"), None);
    }
}
